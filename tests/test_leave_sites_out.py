"""Leaving whole sites out: folds, rates by site, and a tiny run."""

import contextlib
import csv
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import leave_sites_out
import train_model
from conftest import write_dataset
from leave_sites_out import (
    Fold,
    Mean,
    check_folds,
    deal_parts,
    means,
    part_of,
    rates_by_part,
    table,
    table_of_changes,
    threshold_without,
)
from liveness.changes import CHANGES
from liveness.cli import run
from liveness.dataset import Sample, read_dataset
from liveness.errors import DatasetError

SCRIPT = Path(leave_sites_out.__file__)


def sample(site, attack="", scale=2.7):
    label = "fake" if attack else "real"
    return Sample(Path("x.png"), label, attack, site, "s", crop_scale=scale)


def fold_of(samples, scores, changed=None, within=None):
    parts = [part_of(one, within) for one in samples]
    return Fold(samples, parts, np.array(scores), changed or {})


def test_every_attacked_site_is_left_out_once():
    samples = [sample(f"{site}/person", "print") for site in "abcdefg"]
    samples.append(sample("wild"))
    folds = deal_parts(samples, 3, seed=1)

    assert sorted(site for fold in folds for site in fold) == list("abcdefg")
    assert sorted(map(len, folds)) == [2, 2, 3]
    assert folds == deal_parts(samples, 3, seed=1)
    assert any(folds != deal_parts(samples, 3, seed=seed) for seed in range(2, 6))


def test_groups_of_one_site_are_left_out():
    samples = [sample(f"a/{group}", "print") for group in "pqr"]
    samples += [sample("a/only-real"), sample("b", "replay"), sample("b")]
    folds = deal_parts(samples, 3, seed=1, within="a")

    assert sorted(part for fold in folds for part in fold) == ["a/p", "a/q", "a/r"]
    with pytest.raises(DatasetError, match="3 groups of a with attacks"):
        deal_parts(samples, 4, seed=1, within="a")
    with pytest.raises(DatasetError, match="no site 'c' with attacks"):
        deal_parts(samples, 2, seed=1, within="c")


def test_groups_are_reported_apart():
    samples = [sample(f"a/{group}", kind) for group in "pq" for kind in ("", "print")]
    samples += [sample("b/x"), sample("b/x", "replay")]
    fold = fold_of(samples, [0.9, 0.1, 0.9, 0.8, 0.9, 0.1], within="a")

    found = {one.site: one.apcer for one in rates_by_part(fold, 0.5)}
    assert found == {"a/p": 0, "a/q": 1, "b": 0}


def test_threshold_is_of_the_other_folds_and_sites_count_alike():
    def fold(site, real, fake):
        samples = [sample(site)] * len(real) + [sample(site, "x")] * len(fake)
        return fold_of(samples, [*real, *fake])

    own = fold("a", [0.99], [0.98])
    # Site b alone would give 0.85. It has many faces, and still counts once.
    many = fold("b", [0.9] * 30, [0.8] * 30)
    few, more = (fold(site, [0.3, 0.31], [0.2, 0.1]) for site in "cd")
    folds = [own, many, few, more]

    assert threshold_without(folds, 0) == pytest.approx(0.25, abs=0.06)
    assert threshold_without([own, many], 0) == pytest.approx(0.85)
    assert threshold_without([own, many], 1) == pytest.approx(0.985)


def test_people_count_alike_in_their_threshold():
    people = [("p", 0.9, 0.1, 1), ("q", 0.9, 0.8, 30), ("r", 0.3, 0.2, 2)]

    def fold(within, person, real, fake, count):
        samples = [sample(f"a/{person}", attack) for attack in ("", "x")] * count
        return fold_of(samples, [real, fake] * count, within=within)

    apart, together = ([fold(one, *each) for each in people] for one in ("a", None))
    # At 0.85 half of the people's real faces are refused, at 0.25 half of the
    # attacks pass: the middle of 0.3 and 0.8. Person q alone would give 0.85.
    assert threshold_without(apart, 0) == pytest.approx(0.55)
    assert threshold_without(together, 0) == pytest.approx(0.85)


def test_folds_that_would_leave_no_threshold_are_refused_first():
    samples = [sample("a"), sample("a", "x"), sample("b", "x"), sample("wild")]

    with pytest.raises(DatasetError, match=r"b, which the threshold .* no real faces"):
        check_folds(samples, [{"a"}, {"b"}])
    check_folds([*samples, sample("b")], [{"a"}, {"b"}])


@pytest.mark.parametrize(("sites", "folds"), [(2, 3), (3, 1), (0, 2)])
def test_too_few_sites_are_refused(sites, folds):
    samples = [sample(str(number), "print") for number in range(sites)]

    with pytest.raises(DatasetError, match=f"{sites} sites with attacks"):
        deal_parts(samples, folds, seed=1)


def test_rates_keep_sites_and_kinds_apart():
    samples = [sample("a"), sample("a", "print"), sample("a", "replay")]
    samples += [sample("a", scale=None), sample("a", "print", None)]
    samples += [sample("b"), sample("c", "print")]  # one class only: no rates
    scores = np.array([0.9, 0.2, 0.8, 0.3, 0.1, 0.9, 0.1])

    crops, prints, replays = rates_by_part(fold_of(samples, scores), 0.5)
    assert (crops.site, crops.kind, crops.attack) == ("a", "crops", "print")
    assert (crops.apcer, crops.bpcer, crops.eer) == (0, 1, 0)
    assert [one.kind for one in (prints, replays)] == ["full frames"] * 2
    assert [one.attack for one in (prints, replays)] == ["print", "replay"]
    assert {one.faces for one in (crops, prints, replays)} == {2}
    assert (prints.apcer, prints.bpcer, prints.acer) == (0, 0, 0)
    assert (replays.apcer, replays.bpcer, replays.acer) == (1, 0, 0.5)


def test_a_site_at_a_threshold_of_its_own():
    samples = [sample("a", attack) for attack in ["", ""] + ["print"] * 2]
    scores = np.array([0.35, 0.4, 0.1, 0.2])

    (one,) = results = rates_by_part(fold_of(samples, scores), 0.5)
    assert (one.acer, one.acer_calibrated) == (0.5, 0)
    assert table(results).splitlines()[1].endswith(" 50.0%     0.0%")
    assert "ACER 50.0%  ACER calibrated 0.0%" in table(results)


def test_a_site_that_is_too_small_to_calibrate_is_left_out_of_that_mean():
    samples = [sample("a", attack) for attack in ("", "", "print", "print")]
    samples += [sample("b"), sample("b", "print")]
    scores = np.array([0.3, 0.3, 0.1, 0.1, 0.1, 0.2])
    results = rates_by_part(fold_of(samples, scores), 0.5)

    (figures,) = means(results).values()
    assert figures["ACER calibrated"] == Mean(0, None, sites=1)
    assert figures["EER"].value == pytest.approx(0.5)
    assert table(results).endswith("  ACER calibrated 0.0% over 1 of the sites")


def test_means_are_over_sites_with_an_interval():
    samples, scores = [], []
    for site, fooled in (("a", 0.0), ("b", 0.0), ("c", 1.0)):
        samples += [sample(site), sample(site, "print")]
        scores += [0.9, fooled * 0.8]
    results = rates_by_part(fold_of(samples, scores), 0.5)

    found = means(results)
    (name,) = found
    assert name == "full frames, print, 3 sites"
    assert found[name]["APCER"] == Mean(pytest.approx(1 / 3), (0, 1), sites=3)
    assert "APCER 33.3% (0.0% to 100.0%)" in table(results)
    assert means(results) == found


def test_a_change_is_measured_at_the_threshold_of_the_unchanged(capsys):
    """Bluer faces score 0.3 less: all real ones fall below the other fold's 0.5."""
    samples = [sample(site, attack) for site in "ab" for attack in ("", "replay")]
    scores = np.array([0.6, 0.4, 0.6, 0.4])
    folds = [
        fold_of(samples[at : at + 2], part, {"bluer": part - 0.3})
        for at, part in ((0, scores[:2]), (2, scores[2:]))
    ]

    results = leave_sites_out._results(folds)
    text = table_of_changes(results)
    (kind,) = means(results["bluer"])
    assert means(results["bluer"])[kind]["BPCER"].value == 1
    assert means(results["bluer"])[kind]["EER"].value == 0
    assert text.splitlines() == [
        "",
        "full frames, replay, 2 sites         APCER   BPCER    ACER     EER",
        "as they are                           0.0%    0.0%    0.0%    0.0%",
        "bluer                                 0.0%  100.0%   50.0%    0.0%",
    ]


def test_one_site_has_no_interval():
    samples = [sample("a"), sample("a", "print")]
    results = rates_by_part(fold_of(samples, [0.9, 0.8]), 0.5)

    found = means(results)["full frames, print, 1 site"]
    assert found["APCER"] == Mean(1, None, sites=1)
    assert "APCER 100.0%  BPCER 0.0%" in table(results)


@pytest.fixture
def sites(tmp_path):
    """Four sites with both classes; as many as two folds need and no more."""
    for number, site in enumerate("abcd"):
        write_dataset(tmp_path / "data" / site, seed=10 * number, sources=2)
    return tmp_path / "data"


def test_small_run_scores_every_site(sites, tmp_path, short_training, capsys):
    options = ["-d", sites, "--folds", "2", "--epochs", "1", "--simulate-attacks"]
    options += ["--json", tmp_path / "t.json", "--scores", tmp_path / "s.csv"]
    options += ["--changes", "--networks", "2"]
    (sites / "a/real/no.png").write_text("no picture")
    assert run(lambda: leave_sites_out.main([str(one) for one in options])) == 0

    out, err = capsys.readouterr()
    assert err.count("skipped: cannot read image") == 1
    assert err.count("network 2 of 2") == 2  # in each of two folds
    content = json.loads((tmp_path / "t.json").read_text())
    rows = {(one["site"], one["attack"]) for one in content["sites"]}
    assert rows == set(itertools.product("abcd", ("print", "screen")))
    assert all(f"\n{site}  " in out for site in "abcd")
    kinds = [f"full frames, {attack}, 4 sites" for attack in ("print", "screen")]
    assert list(content["means"]) == kinds
    for figures in content["means"].values():
        assert figures["EER"].keys() == {"value", "interval", "sites"}
    assert list(content["changed"]) == ["as they are", *CHANGES]
    assert content["changed"]["as they are"] == content["means"]
    assert len({json.dumps(found) for found in content["changed"].values()}) > 1
    assert all(f"\n{name}  " in out for name in content["changed"])
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 16  # every filmed face once, no simulated one
    assert {row["attack"] for row in rows} == {"", "print", "screen"}
    assert {row["source"] for row in rows} == set("abcd")
    command = shlex.split(err.partition("to train on all of it alike: ")[2])
    assert command[:2] == ["python", "train_model.py"]
    alike = train_model.build_parser().parse_args(command[2:])
    assert (alike.dataset, alike.threshold_from) == ([sites], tmp_path / "s.csv")
    assert (alike.epochs, alike.networks, alike.simulate_attacks) == (1, 2, True)


def test_one_fold_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as exit_:
        leave_sites_out.main(["-d", "x", "--folds", "1"])

    assert exit_.value.code == 2
    assert "expected 2 or more, received '1'" in capsys.readouterr().err


@pytest.mark.parametrize("scale", [None, 1.5])
def test_crops_that_show_little_more_than_the_face_are_no_full_frames(scale):
    samples = [sample("a", attack, scale) for attack in ("", "print")]
    (result,) = rates_by_part(fold_of(samples, [0.9, 0.1]), 0.5)

    assert result.kind == "crops"


@pytest.fixture
def start_jobs(sites):
    """Starts a run of two processes, and ends what is left of it after the test."""
    started = []

    def start(*options) -> subprocess.Popen:
        command = [sys.executable, SCRIPT, "-d", sites, "--jobs", "2", *options]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts background jobs with Ctrl-C ignored; children inherit it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


NEVER_ENDING = ("--folds", "4", "--epochs", "100000")


def wait_for_a_fold(process) -> None:
    first = process.stderr.readline()  # ends with the process at the latest
    assert first.startswith("fold ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_folds_in_processes_score_every_site(sites, start_jobs, tmp_path):
    """The same faces in the same order as one fold after another."""
    options = ("--folds", "2", "--epochs", "1", "--scores", tmp_path / "s.csv")
    process = start_jobs(*options)
    out, err = process.communicate(timeout=240)

    assert process.returncode == 0, err
    assert all(f"\n{site}  " in out for site in "abcd")
    for number in "12":
        assert f"fold {number} leaves out" in err
        assert f"fold {number}: epoch 1 of 1" in err
    samples = read_dataset([sites])
    dealt = deal_parts(samples, 2, seed=7)
    expected = [str(s.path) for part in dealt for s in samples if s.site in part]
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        assert [row["path"] for row in csv.DictReader(file)] == expected


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_nothing_goes_on_training_after_an_end(start_jobs, sent, code, word):
    process = start_jobs(*NEVER_ENDING)
    wait_for_a_fold(process)
    if sent == signal.SIGINT:  # as a terminal does: to all of them
        os.killpg(process.pid, sent)
    else:  # as a service manager may do: to the first alone
        process.send_signal(sent)
    _, err = process.communicate(timeout=60)  # until its processes end, too

    assert process.returncode == code
    assert err.splitlines()[-1] == word
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="finds children in /proc")
def test_a_process_that_is_killed_ends_the_run(start_jobs):
    process = start_jobs(*NEVER_ENDING)
    wait_for_a_fold(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    workers = [
        int(child)
        for child in children.split()
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "error: the process of a fold ended unexpectedly" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--scores", "--json"])
def test_a_file_that_could_not_be_written_is_refused_first(option, tmp_path, capsys):
    """Not after hours of training: the dataset is not even looked for."""
    arguments = ["-d", "missing", option, str(tmp_path / "no" / "file")]

    assert run(lambda: leave_sites_out.main(arguments)) == 1
    assert "no folder for" in capsys.readouterr().err


def test_people_left_out_are_in_no_background(sites, tmp_path, monkeypatch):
    """People of one site stand in the backgrounds of each other's simulated attacks."""
    from liveness import training

    (tmp_path / "one").mkdir()
    sites.rename(tmp_path / "one/home")
    samples = read_dataset([tmp_path / "one"])
    options = training.TrainingOptions(epochs=1)
    to_train = training.load_pixels(
        samples, options, to_train=True, simulate_attacks=True
    )
    seen = []

    def look(train_pixels, *_):
        seen.extend(train_pixels.samples)
        return None, {}

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(training, "score", lambda _, part: np.zeros(len(part.samples)))
    held_out = {"home/a", "home/b"}
    filmed = training.load_pixels(samples, options)
    fold = leave_sites_out.measure_fold(
        to_train, filmed, held_out, options, within="home"
    )

    assert fold.parts == [sample.site for sample in fold.samples]
    assert set(fold.parts) == held_out
    shown = [{s.site, s.background} - {""} for s in seen]
    assert set().union(*shown) == {"home/c", "home/d"}
    assert sum(len(sites) == 2 for sites in shown) > 5


def test_training_never_sees_what_is_left_out(sites, monkeypatch):
    from liveness import training

    samples = read_dataset([sites])
    options = training.TrainingOptions(epochs=1)
    to_train = training.load_pixels(
        samples, options, to_train=True, simulate_attacks=True
    )
    filmed = training.load_pixels(samples, options)
    seen = {}

    def look(train_pixels, validation_pixels, *_):
        seen.update(train=train_pixels, validation=validation_pixels)
        return None, {}

    monkeypatch.setattr(training, "train", look)
    monkeypatch.setattr(
        training, "score", lambda _, part: np.linspace(0, 1, len(part.samples))
    )
    for held_out in ({"a"}, {"a", "b"}, {"b", "c", "d"}):
        fold = leave_sites_out.measure_fold(to_train, filmed, held_out, options)
        assert {s.site for s in fold.samples} == held_out
        assert len(fold.scores) == len(fold.samples)
        assert not any(s.attack.startswith("simulated") for s in fold.samples)
        assert seen["validation"] is None  # nothing is chosen by a score
        assert {s.site for s in seen["train"].samples} == set("abcd") - held_out
        assert any(s.attack.startswith("simulated") for s in seen["train"].samples)
