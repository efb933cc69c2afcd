"""Leaving sites out as a user runs it: the files, and how processes end."""

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

import pytest

import leave_sites_out
import train_model
from liveness.cli.run import run
from liveness.data.dataset import read_dataset
from liveness.evaluation.changes import CHANGES
from liveness.evaluation.sites import split_parts

SCRIPT = Path(leave_sites_out.__file__)


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
    recipe = json.loads((tmp_path / "s.recipe.json").read_text())
    assert (recipe["epochs"], recipe["networks"], recipe["seed"]) == (1, 2, 7)
    assert (recipe["simulate_attacks"], recipe["never_train"]) == (True, [])


def test_one_fold_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as exit_:
        leave_sites_out.main(["-d", "x", "--folds", "1"])

    assert exit_.value.code == 2
    assert "expected 2 or more, received '1'" in capsys.readouterr().err


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
    dealt = split_parts(samples, 2, seed=7)
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
