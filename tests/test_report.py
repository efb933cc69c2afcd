"""The report: figures, intervals over sources, and the table of scores."""

import csv
import json
import re

import numpy as np
import pytest

from liveness.errors import DatasetError
from liveness.evaluation.report import (
    ScoredFaces,
    evaluate,
    read_scores,
    write_scores,
)


def faces_of(*, sources: int = 6) -> ScoredFaces:
    """Ten faces of each source: half the sources real, prints and replays else."""
    rng = np.random.default_rng(1)
    attacks, owners, scores = [], [], []
    for number in range(sources):
        kind = "" if number % 2 == 0 else ("print", "replay")[number // 2 % 2]
        attacks += [kind] * 10
        owners += [f"{number}.mp4"] * 10
        scores += list(rng.uniform(0.3, 1, 10) if kind == "" else rng.random(10) * 0.7)
    paths = [f"{number}.png" for number in range(len(scores))]
    return ScoredFaces(paths, attacks, owners, np.array(scores))


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(faces_of(sources=8), threshold=0.5)


def test_counts_and_intervals_contain_the_figures(evaluation):
    counts = (evaluation.bona_fide, evaluation.attacks, evaluation.sources)
    assert counts == (40, 40, 8)

    rates = evaluation.rates
    figures = {"BPCER": rates.bpcer, "ACER": rates.acer, "EER": rates.eer}
    figures |= {"AUC": rates.auc, "APCER (worst attack)": rates.apcer}
    for name, value in figures.items():
        low, high = evaluation.intervals[name]
        assert 0 <= low <= value <= high <= 1
        assert low < high


def test_same_faces_give_the_same_report(evaluation):
    again = evaluate(faces_of(sources=8), threshold=0.5)

    assert again.as_text() == evaluation.as_text()


def test_json_holds_every_figure(evaluation):
    found = json.loads(json.dumps(evaluation.as_json(), allow_nan=False))

    assert found["acer"] == pytest.approx((found["apcer"] + found["bpcer"]) / 2)
    assert found["apcer_by_attack"].keys() == {"print", "replay"}
    assert found["bpcer_at_apcer"].keys() == {"10%", "5%", "1%"}
    assert found["intervals_95"]["APCER print"][0] <= found["apcer_by_attack"]["print"]
    assert found["sources"] == 8


def test_text_has_one_line_for_each_figure(evaluation):
    lines = evaluation.as_text().splitlines()

    assert lines[0].startswith("40 bona fide faces, 40 attacks, 8 sources")
    names = [line[:28].strip() for line in lines[2:]]
    assert names == list(evaluation.intervals)
    assert all(" to " in line for line in lines[2:])


def test_one_source_of_a_class_gives_no_interval():
    evaluation = evaluate(faces_of(sources=2), threshold=0.5)

    assert all(np.isnan(ends).all() for ends in evaluation.intervals.values())
    assert evaluation.as_text().count("too few sources") == len(evaluation.intervals)
    assert evaluation.as_json()["intervals_95"]["ACER"] is None


def test_an_attack_with_one_source_has_no_interval_of_its_own():
    evaluation = evaluate(faces_of(sources=6), threshold=0.5)  # one is a replay

    assert np.isnan(evaluation.intervals["APCER replay"]).all()
    assert not np.isnan(evaluation.intervals["APCER print"]).any()
    assert not np.isnan(evaluation.intervals["BPCER"]).any()


def test_the_worst_attack_with_one_source_has_no_interval():
    """A draw without it would take another one for the worst."""
    attacks = ["print"] * 4 + ["replay"] * 10 + [""] * 10
    sources = ["p"] * 4 + [f"r{n}" for n in range(10)] + [f"m{n}" for n in range(10)]
    scores = np.array([0.9] * 4 + [0.1] * 10 + [0.8] * 10)
    faces = ScoredFaces(sources, attacks, sources, scores)

    intervals = evaluate(faces, threshold=0.5).intervals
    limits = [f"BPCER at APCER {limit}" for limit in ("10%", "5%", "1%")]
    for name in ("APCER print", "APCER (worst attack)", "ACER", *limits):
        assert np.isnan(intervals[name]).all()
    assert intervals["APCER replay"] == intervals["BPCER"] == (0, 0)
    text = evaluate(faces, threshold=0.5).as_text()
    assert "0.0% to 0.0% (no draw differs: no bound)" in text
    worst_of_two = evaluate(
        ScoredFaces(sources, attacks, ["p", "q"] * 2 + sources[4:], scores),
        threshold=0.5,
    )
    assert worst_of_two.intervals["APCER (worst attack)"] == (1, 1)


@pytest.mark.parametrize("alone", ["real", "fake"])
def test_one_source_of_a_class_leaves_the_rate_of_the_other(alone):
    many = [str(number) for number in range(10)]
    attacks = ["replay"] * 10 + [""] * 10
    sources = ["one"] * 10 + many if alone == "fake" else many + ["one"] * 10
    scores = np.linspace(0, 1, 20)
    intervals = evaluate(
        ScoredFaces(sources, attacks, sources, scores), threshold=0.5
    ).intervals

    there = {name for name, ends in intervals.items() if not np.isnan(ends).any()}
    if alone == "fake":
        assert there == {"BPCER"}
    else:
        assert there == {"APCER replay", "APCER (worst attack)"}


def test_one_class_only_raises():
    faces = ScoredFaces(["a"], [""], ["a"], np.array([0.5]))

    with pytest.raises(ValueError, match="attack face"):
        evaluate(faces, threshold=0.5)


def test_scores_are_one_row_for_each_face(tmp_path):
    faces = ScoredFaces(
        ["ä b,1.png", "2.png"], ["", "print"], ["s1", "s2"], np.array([0.25, 1 / 3])
    )
    write_scores(tmp_path / "scores.csv", faces)

    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["path", "label", "attack", "source", "score"],
        ["ä b,1.png", "real", "", "s1", "0.250000"],
        ["2.png", "fake", "print", "s2", "0.333333"],
    ]


def test_scores_are_read_as_they_were_written(tmp_path):
    faces = faces_of()
    write_scores(tmp_path / "s.csv", faces)
    read = read_scores(tmp_path / "s.csv")

    assert (read.paths, read.attacks, read.sources) == (
        faces.paths,
        faces.attacks,
        faces.sources,
    )
    np.testing.assert_allclose(read.scores, faces.scores, atol=1e-6)


def test_scores_that_a_spreadsheet_program_saved_again_are_read(tmp_path):
    path = tmp_path / "s.csv"
    write_scores(path, faces_of())
    read = read_scores(path)
    text = path.read_text(encoding="utf-8").replace(",", ";")
    text = re.sub(r";(\d)\.", r";\1,", text)  # where numbers have a decimal comma
    assert ";0," in text
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))

    again = read_scores(path)
    assert again.paths == read.paths
    np.testing.assert_array_equal(again.scores, read.scores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no scores"),
        ("path,label\na,real\n", "holds no scores: expected a file of --scores"),
        ("path,label,attack,source,score\na,fake,,s,0.5\n", "label 'fake' and attack"),
        ("path,label,attack,source,score\na,real,,s,high\n", "holds no scores"),
        ("path,label,attack,source,score\na,real,,s\n", "holds no scores"),
        ("path,label,attack,source,score\na,real,,s,1.5\n", "not from 0 to 1"),
        ("path,label,attack,source,score\na,real,,s,nan\n", "not from 0 to 1"),
        ("path,label,attack,source,score\na,real,,s,0.5\n", "lacks real or fake"),
        ("\xff\xfe", "holds no scores"),
    ],
)
def test_other_files_hold_no_scores(tmp_path, text, message):
    path = tmp_path / "s.csv"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(DatasetError, match=message) as error:
        read_scores(path)
    assert str(path) in str(error.value)


def test_scores_of_files_whose_names_are_not_utf_8(tmp_path):
    path = tmp_path / "scores.csv"
    names = ["caf\udce9.jpg", "b.jpg"]
    write_scores(path, ScoredFaces(names, ["", "print"], names, np.array([0.9, 0.1])))
    assert read_scores(path).paths == ["caf\\udce9.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["nope.csv", ""])
def test_scores_that_are_not_there(tmp_path, name):
    with pytest.raises(DatasetError, match="--scores, as leave_sites_out"):
        read_scores(tmp_path / name)
