"""The picture app on the example pictures, as a function and as a process."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

import liveness_app_from_picture as app
from apps import ROOT, save_tiny_model
from liveness.cli.run import run

REAL = ROOT / "images/reals/1.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def start(model):
    """Runs the app with a tiny model; returns its exit code."""
    return lambda *options: run(lambda: app.main([*map(str, options), *model]))


def test_one_line_per_face(start, capsys):
    assert start("-i", REAL, "-c", 0.5) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{REAL}: ") and out.count("\n") == 1
    assert "score 0." in out and "detector confidence 1.00" in out and "box 2" in out
    assert "liveness.h5" in err


def test_json_has_the_documented_form(start, capsys):
    assert start("-i", REAL, "--json", "--threshold", 0.9) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"input", "threshold", "faces"}
    assert found["input"] == str(REAL) and found["threshold"] == 0.9
    (face,) = found["faces"]
    assert set(face) == {"box", "confidence", "score", "label"}
    assert face["confidence"] > 0.9 and face["label"] == "fake"


@pytest.mark.parametrize(("threshold", "label"), [(0, "real"), (1, "fake")])
def test_threshold_is_for_the_score(start, capsys, threshold, label):
    start("-i", REAL, "--json", "--threshold", threshold)
    assert json.loads(capsys.readouterr().out)["faces"][0]["label"] == label


def test_score_is_the_classifiers_for_the_detected_box(start, capsys, model):
    from pathlib import Path

    from liveness.io.images import read_image
    from liveness.model.classifier import LivenessClassifier

    start("-i", REAL, "--json")
    face = json.loads(capsys.readouterr().out)["faces"][0]
    classifier = LivenessClassifier.load(Path(model[1]), Path(model[3]))
    (expected,) = classifier.classify(read_image(REAL), [tuple(face["box"])])
    assert face["score"] == pytest.approx(expected.score, abs=1e-4)


def test_several_faces_best_first(start, capsys, tmp_path):
    one = cv2.imread(str(REAL))
    noisy = cv2.GaussianBlur(one, (0, 0), 6)
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([noisy, one]))
    start("-i", tmp_path / "two.png", "--json", "-c", 0.3)
    faces = json.loads(capsys.readouterr().out)["faces"]
    confidences = [face["confidence"] for face in faces]
    assert len(faces) == 2 and confidences == sorted(confidences, reverse=True)


def test_folder_and_annotated_pictures(start, capsys, tmp_path):
    assert start("-i", REAL.parent, "--output", tmp_path / "new" / "deep") == 0
    written = sorted(path.name for path in (tmp_path / "new" / "deep").iterdir())
    assert written == sorted(path.name for path in REAL.parent.iterdir())
    image, drawn = (cv2.imread(str(p)) for p in (REAL, tmp_path / "new/deep/1.jpg"))
    assert image.shape == drawn.shape and (cv2.absdiff(image, drawn) > 100).sum() > 500


def test_annotated_file(start, tmp_path):
    assert start("-i", REAL, "--output", tmp_path / "ä b.png") == 0
    assert (tmp_path / "ä b.png").read_bytes().startswith(b"\x89PNG")


def test_same_names_do_not_overwrite_each_other(start, tmp_path):
    other = ROOT / "images/fakes/1.jpg"
    assert start("-i", REAL, other, "--output", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"1.jpg", "1_2.jpg"}


def test_a_file_in_no_folder_is_refused(start, capsys, tmp_path):
    assert start("-i", REAL, "--output", tmp_path / "no/x.png") == 1
    assert "no folder for" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["", "1.jpg"], ids=["folder", "file"])
def test_an_input_is_never_overwritten(start, capsys, tmp_path, output):
    copy = tmp_path / "1.jpg"
    shutil.copy(REAL, copy)
    assert start("-i", copy, "--output", tmp_path / output) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert copy.read_bytes() == REAL.read_bytes()


def test_several_pictures_do_not_fit_into_one_file(start, capsys, tmp_path):
    assert start("-i", REAL.parent, "--output", tmp_path / "out.jpg") == 1
    assert "give a folder" in capsys.readouterr().err


def test_no_face_is_an_empty_list_and_exit_1(start, capsys, tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((200, 200, 3), 128, np.uint8))
    assert start("-i", tmp_path / "grey.png", "--json") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["faces"] == [] and "no face" in err
    assert start("-i", tmp_path / "grey.png") == 1
    assert capsys.readouterr().out == f"{tmp_path / 'grey.png'}: no face\n"


def test_goes_on_past_a_bad_picture_and_ends_with_1(start, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    assert start("-i", tmp_path / "bad.jpg", REAL) == 1
    out, err = capsys.readouterr()
    assert out.startswith(str(REAL)) and "bad.jpg" in err and "1 of 2" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-i", "missing.jpg"], "error: cannot read image 'missing.jpg'"),
        (["-i", "gone", "missing.jpg", "-m", "x.h5"], "'gone', 'missing.jpg': no such"),
        (["-i", str(REAL), "--output", f"{REAL}/x", "-m", "x.h5"], "output folder"),
        (["-i", str(REAL), "-m", "missing.h5"], "missing.h5"),
        (["-i", str(REAL), "-d", "missing"], "no face detector in 'missing'"),
    ],
    ids=["picture", "pictures before model", "output", "model", "detector"],
)
def test_missing_files_are_one_clear_line(model, capsys, options, message):
    given = [*model, *options]  # the later option wins
    assert run(lambda: app.main(given)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last


def test_process_starts_without_the_heavy_libraries(model):
    code = (
        "import sys, liveness_app_from_picture as app\n"
        f"app.main(['-i', {str(REAL)!r}, *{model!r}])\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'matplotlib', 'requests', 'tqdm'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_help_as_a_process():
    done = subprocess.run(
        [sys.executable, ROOT / "liveness_app_from_picture.py", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "--output" in done.stdout


def test_formats_that_are_read_only_are_annotated_as_png(start, capsys, tmp_path):
    Image.open(REAL).save(tmp_path / "one.gif")
    output = tmp_path / "out"
    assert start("-i", tmp_path / "one.gif", "--output", output) == 0
    assert [path.name for path in output.iterdir()] == ["one.png"]
    assert start("-i", REAL, "--output", tmp_path / "two.gif") == 1
    assert "expected a name ending in .bmp" in capsys.readouterr().err
