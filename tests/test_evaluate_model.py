"""Measuring and calibrating a model, on a dataset and on clips."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

import evaluate_model
from conftest import portrait_crops, write_crops
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.evaluation.changes import CHANGES
from liveness.evaluation.metrics import equal_error, rates_calibrated
from liveness.evaluation.report import read_scores
from liveness.workflow.evaluate import FaceFiles

REAL_CLIP, FAKE_CLIP = ROOT / "videos/real_1.mp4", ROOT / "videos/fake_1.mp4"
REAL_PICTURE, FAKE_PICTURE = ROOT / "images/reals/1.jpg", ROOT / "images/fakes/1.jpg"


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model, to be changed: one that ranks its faces."""
    if not (ROOT / "models/liveness.h5").is_file():
        pytest.skip("the shipped model is absent")
    return shutil.copytree(ROOT / "models", tmp_path / "model")


@pytest.fixture
def start(model, tmp_path, monkeypatch):
    """Runs the script on the model; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def start(*options):
        files = ["-m", model / "liveness.h5", "-l", model / "label_encoder.pickle"]
        given = [str(option) for option in (*options, *files)]
        return run(lambda: evaluate_model.main(given))

    return start


def card_of(model):
    return json.loads((model / "liveness.json").read_text())


def test_report_scores_json_and_figure(start, small_dataset, tmp_path, capsys, model):
    before = card_of(model)
    options = ["--scores", "s.csv", "--json", "r.json", "-p", "r.png"]
    assert start("-d", small_dataset, *options) == 0

    captured = capsys.readouterr()
    first = captured.out.splitlines()[0]
    assert first.startswith("12 bona fide faces, 12 attacks, 9 sources, threshold ")
    for figure in ("APCER print", "APCER screen", "BPCER", "ACER", "EER", "AUC"):
        assert f"\n{figure} " in captured.out
    assert "run by ONNX Runtime" in captured.err
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "attack", "source", "score"]
    assert len(rows) == 24
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["threshold"] == pytest.approx(before["threshold"])
    refused = [float(r["score"]) < found["threshold"] for r in rows if not r["attack"]]
    assert found["bpcer"] == pytest.approx(np.mean(refused), abs=1e-6)
    assert cv2.imread(str(tmp_path / "r.png")) is not None
    assert card_of(model) == before


def test_the_same_faces_after_changes(start, small_dataset, tmp_path, capsys):
    assert start("-d", small_dataset, "--changes", "--json", "r.json") == 0

    found = json.loads((tmp_path / "r.json").read_text())
    assert list(found["changed"]) == list(CHANGES)
    assert all(
        one["threshold"] == found["threshold"] for one in found["changed"].values()
    )
    assert len({one["auc"] for one in found["changed"].values()}) > 1
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("the same faces     APCER   BPCER    ACER     EER") + 1 :]
    assert [line[:16].strip() for line in table] == ["as they are", *CHANGES]
    assert table[0].split()[-3] == f"{found['bpcer']:.1%}"
    assert table[1].split()[-3] == f"{found['changed']['bluer']['bpcer']:.1%}"


def test_without_changes_nothing_is_said_of_them(
    start, small_dataset, tmp_path, capsys
):
    assert start("-d", small_dataset, "--json", "r.json") == 0

    assert "changed" not in json.loads((tmp_path / "r.json").read_text())
    assert "the same faces" not in capsys.readouterr().out


def test_threshold_option_overrides_the_card(start, small_dataset, capsys):
    assert start("-d", small_dataset, "--threshold", "0") == 0

    out = capsys.readouterr().out
    assert "threshold 0.000" in out
    assert "APCER (worst attack)          100.0%" in out


def test_several_datasets_and_unreadable_pictures(
    start, small_dataset, tmp_path, capsys
):
    write_crops(tmp_path / "more/real", portrait_crops(3, seed=9), source="x.mp4#9")
    (tmp_path / "more/real/2.png").write_text("no picture")

    assert start("-d", small_dataset, "more") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("14 bona fide faces, 12 attacks, 10 sources")
    assert "skipped: " in captured.err
    assert "2.png" in captured.err


def test_calibration_writes_the_threshold_into_the_card(
    start, small_dataset, model, tmp_path, capsys
):
    before = card_of(model)
    assert start("-d", small_dataset, "--calibrate", "--scores", "s.csv") == 0

    after = card_of(model)
    scored = read_scores(tmp_path / "s.csv")
    rule = "equal error on 12 real and 12 fake faces of dataset"
    assert after["threshold_rule"] == rule
    changed = {name for name in after if after[name] != before.get(name, "")}
    assert changed <= {"threshold", "threshold_rule", "validation"}
    assert after["validation"]["threshold"] == after["threshold"]
    captured = capsys.readouterr()
    assert f"threshold {after['threshold']:.3f}" in captured.out
    assert "on the faces that the threshold was chosen on" in captured.err
    assert (
        "two-fold estimate, each half at the threshold of the other half: APCER"
        in captured.err
    )
    assert "few films" not in captured.err
    assert f"at the threshold before, {before['threshold']:.3f}: APCER" in captured.err
    _, threshold = equal_error(scored.scores, scored.attacks)
    assert after["threshold"] == pytest.approx(threshold, abs=1e-5)
    assert start("-d", small_dataset) == 0  # and the model uses it from then on
    assert f"threshold {after['threshold']:.3f}" in capsys.readouterr().out


def test_clips_the_wrong_way_round_calibrate_nothing(start, model, capsys):
    before = card_of(model)

    assert start("--real", FAKE_CLIP, "--fake", REAL_CLIP, "--calibrate") == 1
    error = capsys.readouterr().err
    assert "the real faces do not score higher than the fakes" in error
    assert card_of(model) == before


def test_a_card_of_another_model_takes_no_threshold(
    start, small_dataset, model, capsys
):
    card = card_of(model) | {"model_sha256": "0" * 64}
    (model / "liveness.json").write_text(json.dumps(card))

    assert start("-d", small_dataset, "--calibrate") == 1
    assert "was written for another model file" in capsys.readouterr().err
    assert card_of(model) == card


def test_folders_of_one_form_are_sources_apart(start, tmp_path, capsys):
    for name in ("one", "two"):
        for label in ("real", "fake"):
            folder = tmp_path / name / label
            write_crops(folder, portrait_crops(2, seed=1), source="x")
            (folder / "crops.csv").unlink()

    assert start("-d", "one", "two") == 0
    assert ", 4 sources, threshold" in capsys.readouterr().out


@pytest.mark.parametrize("bpcer", [0.0, 0.25])
def test_calibration_for_a_wished_bpcer(
    start, small_dataset, model, tmp_path, bpcer, capsys
):
    options = ["--calibrate", "--bpcer", bpcer, "--json", "r.json"]
    options += ["--scores", "s.csv"]
    assert start("-d", small_dataset, *options) == 0

    found = json.loads((tmp_path / "r.json").read_text())
    assert found["bpcer"] == pytest.approx(bpcer)
    assert card_of(model)["threshold_rule"].startswith(f"BPCER of at most {bpcer:.1%}")
    faces = read_scores(tmp_path / "s.csv")
    apcer, refused = rates_calibrated(faces.scores, faces.attacks, bpcer=bpcer)
    expected = f"other half: APCER {apcer:.1%}, BPCER {refused:.1%}, which"
    assert expected in capsys.readouterr().err


def test_own_clips_and_pictures_calibrate(start, model, tmp_path, capsys):
    clips = ["--real", REAL_CLIP, REAL_PICTURE, "--fake", FAKE_CLIP, FAKE_PICTURE]
    assert start(*clips, "--calibrate", "--scores", "s.csv") == 0

    captured = capsys.readouterr()
    assert ", 4 sources" in captured.out
    assert "APCER own clip" in captured.out
    assert "real_1.mp4, 1.jpg, fake_1.mp4, 1.jpg" in card_of(model)["threshold_rule"]
    rows = (tmp_path / "s.csv").read_text().splitlines()
    assert sum(str(REAL_PICTURE) in row for row in rows) == 1
    assert sum(str(REAL_CLIP) in row for row in rows) > 5


def test_folders_of_clips_and_pictures(start, tmp_path, capsys):
    for label, files in (
        ("me", (REAL_CLIP, REAL_PICTURE)),
        ("phone", (FAKE_CLIP, FAKE_PICTURE)),
    ):
        (tmp_path / label).mkdir()
        for file in files:
            shutil.copy(file, tmp_path / label)
    (tmp_path / "me/notes.txt").write_text("not a picture")

    assert start("--real", "me", "--fake", "phone", FAKE_PICTURE) == 0
    out = capsys.readouterr().out
    assert ", 5 sources" in out
    assert "APCER phone" in out and "APCER own clip" in out
    (tmp_path / "phone/print").mkdir()
    (tmp_path / "phone" / FAKE_PICTURE.name).rename(tmp_path / "phone/print/1.jpg")
    assert start("--real", "me", "--fake", "phone") == 0
    out = capsys.readouterr().out
    assert "APCER phone" in out and "APCER print" in out


def test_crops_are_no_clips(start, small_dataset, capsys):
    clips = ["--real", small_dataset / "real", "--fake", FAKE_CLIP]
    assert start(*clips) == 1
    assert "holds face crops: give its dataset with -d" in capsys.readouterr().err


def test_a_clip_that_is_real_and_fake_is_refused(start, capsys):
    assert start("--real", REAL_CLIP, "--fake", FAKE_CLIP, REAL_CLIP) == 1
    assert f"'{REAL_CLIP}' is given as real and as fake" in capsys.readouterr().err


def test_calibration_on_few_faces_warns(start, model, capsys):
    pair = ["--real", REAL_PICTURE, "--fake", FAKE_PICTURE]
    assert start(*pair, "--calibrate") == 0
    error = capsys.readouterr().err
    assert "few faces for a threshold, 1 real and 1 fake" in error
    assert "two-fold estimate" not in error

    clips = ["--real", REAL_CLIP, "--fake", FAKE_CLIP]
    assert start(*clips, "--calibrate") == 0
    error = capsys.readouterr().err
    assert "few faces" not in error
    assert "few films or pictures, 1 of real and 1 of fake faces" in error


def test_clip_without_a_face_is_said(start, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320, 3), 90, np.uint8))

    assert start("--real", "wall.png", REAL_PICTURE, "--fake", FAKE_PICTURE) == 0
    assert "wall.png: no face found in 1 of 1 frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to measure on"),
        (["-d", "x", "--bpcer", "0.1"], "--bpcer goes with --calibrate"),
        (["-d", "x", "--calibrate", "--threshold", "0.5"], "leave out --threshold"),
        (["-d", "x", "--calibrate", "--bpcer", "2"], "expected 0 to 1"),
    ],
    ids=["nothing", "bpcer", "threshold", "range"],
)
def test_wrong_usage_exits_with_2(start, options, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        start(*options)

    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-d", "missing"], "no dataset folder 'missing'"),
        (["--real", REAL_PICTURE], "no fake face to measure on"),
        (["--fake", FAKE_PICTURE], "no real face to measure on"),
        (["--real", "missing.mp4", "--fake", FAKE_PICTURE], "missing.mp4"),
        (["--real", "notes.jpg", "--fake", FAKE_PICTURE], "notes.jpg"),
        (["--real", REAL_PICTURE, "--fake", "gone", "notes.jpg"], "'gone': no such"),
        (["--real", "no", "--fake", FAKE_PICTURE], "no videos or pictures in folder"),
        (["-d", "missing", "--json", "new/r.json"], "create 'new' first"),
        (["-d", "missing", "--scores", "."], "'.' is a folder"),
        (["-d", "missing", "--json", "r", "--plot", "r"], "choose different names"),
        (["--fake", "notes.jpg", "--json", "notes.jpg"], "'notes.jpg' is an input"),
        (["-d", "data", "--scores", "data/crops.csv"], "'data/crops.csv' is an input"),
        (["-d", "data", "--json", "model/liveness.json"], "would be overwritten"),
        (["-d", "data", "-p", "data/real/1.png"], "'data/real/1.png' is an input"),
    ],
    ids=[
        *("dataset", "no fake", "no real", "clip", "text", "gone", "empty", "no dir"),
        *("dir", "one name", "input", "list", "model", "picture"),
    ],
)
def test_bad_input_is_one_line(start, options, message, tmp_path, capsys):
    (tmp_path / "notes.jpg").write_text("no picture")
    (tmp_path / "data/real").mkdir(parents=True)
    (tmp_path / "no").mkdir()
    (tmp_path / "data/crops.csv").touch()
    (tmp_path / "data/real/1.png").touch()

    assert start(*options) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--real", REAL_PICTURE, "--fake", "missing.mp4"], "'missing.mp4': no such"),
        (["--real", REAL_PICTURE], "no fake face to measure on"),
        (["-d", "missing"], "no dataset folder 'missing'"),
    ],
    ids=["clip", "no fake", "dataset"],
)
def test_bad_input_is_refused_before_the_model_is_loaded(
    start, model, options, message, capsys
):
    (model / "label_encoder.pickle").write_bytes(b"damaged")
    assert start(*options) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_model_without_a_card_cannot_be_calibrated(start, model, tmp_path, capsys):
    import keras

    old = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    (model / "liveness.json").unlink()
    old.save(model / "liveness.h5")

    pair = ["--real", REAL_PICTURE, "--fake", FAKE_PICTURE]
    assert start(*pair, "--calibrate") == 1
    assert "no card to write a threshold into" in capsys.readouterr().err


def test_a_linked_folder_of_films_is_an_attack_of_its_own_name(tmp_path):
    (tmp_path / "disk/x7").mkdir(parents=True)
    (tmp_path / "disk/x7/1.mp4").touch()
    (tmp_path / "fakes").mkdir()
    try:
        (tmp_path / "fakes/mask").symlink_to(tmp_path / "disk/x7")
        (tmp_path / "replay").symlink_to(tmp_path / "disk/x7")
    except OSError:
        pytest.skip("this system makes no links")

    for fake, attack in (("fakes", "mask"), ("replay", "replay")):
        assert list(FaceFiles(fake=[tmp_path / fake]).clips.values()) == [attack]
