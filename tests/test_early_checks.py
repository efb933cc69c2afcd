"""What can be seen to be wrong is said before a model, a camera or a face is loaded."""

import shutil
from pathlib import Path

import pytest

import collect_dataset
import enroll_faces
import evaluate_model
import face_from_image
import liveness_app
import liveness_app_android
import liveness_app_from_picture
import train_model
from apps import ROOT
from liveness.cli.run import run
from liveness.faces.detector import DEFAULT_FOLDER, ensure_detector_files

VIDEO = str(ROOT / "videos/real_1.mp4")
PICTURE = str(ROOT / "images/reals/1.jpg")
LIVE = ["--no-display", "--source"]
PHONE = ["--no-display", "-u"]
EXPECTED_SCORES = "expected a file of --scores, as leave_sites_out.py writes it"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder in which nothing may be loaded."""

    def refuse(*_, **__):
        pytest.fail("loaded or opened before the check")

    ensure_detector_files(DEFAULT_FOLDER)  # filling it would say so
    for name in (
        *("cv2.dnn.readNetFromCaffe", "liveness.sources.frames.LiveSource.__init__"),
        *(
            "liveness.people.checks.load_library",
            "liveness.people.identity.load_library",
        ),
        *(
            "liveness.model.classifier.LivenessClassifier.load",
            "liveness.people.enrolment.enroll",
        ),
        "liveness.workflow.train.read_dataset",
        "liveness.workflow.evaluate.read_dataset",
        "liveness.data.dataset.read_dataset",
    ):
        monkeypatch.setattr(name, refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("text\n")
    (tmp_path / "folder.mp4").mkdir()
    shutil.copy(VIDEO, tmp_path / "film.mp4")
    (tmp_path / "film.mp4").chmod(0o644)
    people = tmp_path / "people"
    people.mkdir()
    shutil.copy(PICTURE, people / "Grace.jpg")
    return tmp_path


def last_line(script, options, capsys):
    """Run a script that ends with 1; its one line."""
    assert run(lambda: script.main(options)) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
    return err.removeprefix("error: ").strip()


@pytest.mark.parametrize("start", [[*LIVE, "0"], [*LIVE, VIDEO]], ids=["0", "film"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "no/x.mp4"], "no folder for 'no/x.mp4': create 'no' first"),
        (["--output", "folder.mp4"], "'folder.mp4' is a folder: expected a file name"),
        (["--output", "/proc/x.mp4"], "cannot create a file in folder '/proc'"),
        (["--output", "file.txt/x.mp4"], "no folder for 'file.txt/x.mp4'"),
        (
            ["--snapshot", "file.txt"],
            "cannot write to output folder 'file.txt': it is a file",
        ),
        (
            ["--snapshot", "file.txt/x"],
            "cannot write to output folder 'file.txt/x': not a dir",
        ),
        (["--snapshot", "/proc/none"], "cannot write to output folder '/proc/none'"),
        (["-m", "no.h5"], "no model at 'no.h5'"),
        (["-l", "no.pickle"], "beside 'no.pickle': give one with -m"),
        (["-d", "no"], "no face detector in 'no'"),
    ],
)
def test_live_app(place, capsys, start, options, message):
    if "/proc" in options[1] and not (Path("/proc")).is_dir():
        pytest.skip("needs a folder that even root cannot write")
    assert message in last_line(liveness_app, [*start, *options], capsys)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.mp4", "no such video file: 'no.mp4'"),
        ("folder.mp4", "cannot read video 'folder.mp4'"),
        ("file.txt", "not a video file"),
        ("/dev/video_none", "no such camera: '/dev/video_none'; --list-cameras"),
        ("ftp://camera", "bad camera address: it starts with none of http://"),
        ("192.168.1.2:8080/video", "bad camera address: it starts with none of http"),
        ("me:s3cret@" + 300 * "h", "bad camera address: it starts with none of"),
        ("me:s3cret@host", "bad camera address: it starts with none of http://"),
        ("rtsp:/me:s3cret@host/", "bad camera address: it starts with none of"),
        ("rtsp://me:s3/cret@host/", "bad camera address: it contains an @ after"),
        ("rtsp://me:s3 cret@host/", "bad camera address: it contains a space"),
    ],
)
def test_source(place, capsys, source, message):
    line = last_line(liveness_app, [*LIVE, source], capsys)
    assert message in line and "cret" not in line


def test_input_is_not_overwritten(place, capsys):
    options = [*LIVE, "film.mp4", "--output", "film.mp4"]
    assert "would be overwritten" in last_line(liveness_app, options, capsys)


def test_known_people_come_before_the_model(place, capsys):
    options = [*LIVE, VIDEO, "--known", "no.npz"]
    assert "encodings file 'no.npz'" in last_line(liveness_app, options, capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["http://me:s3/cret@host/"], "it contains an @ after"),
        (["host:8080"], "it starts with none of"),
        (["http://host", "--output", "no/x.mp4"], "no folder for 'no/x.mp4'"),
    ],
)
def test_phone(place, capsys, options, message):
    line = last_line(liveness_app_android, [*PHONE, *options], capsys)
    assert message in line and "cret" not in line


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        (liveness_app, [*LIVE, "rtsp://me:pa", "cret@host"], "put an address"),
        (liveness_app_android, [*PHONE, "http://me:pa", "cret@host"], "into quotes"),
        (
            liveness_app_android,
            [*PHONE, "http://h", "--user", "me", "--password", "my", "s3cret"],
            "1 unrecognized argument, not repeated here",
        ),
        (liveness_app_android, [*PHONE, "http://h", "--pasword=s3cret"], "--pasword"),
        (liveness_app_android, ["--u=http://me:s3cret@h"], "--u could match --url,"),
        (
            liveness_app_android,
            [*PHONE, "http://h", "--password", "s3cret"],
            "--password needs --user",
        ),
    ],
)
def test_usage_shows_no_piece_of_a_password(place, capsys, script, options, message):
    with pytest.raises(SystemExit) as ended:
        script.main(options)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and message in error and "cret" not in error


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        (
            liveness_app_from_picture,
            ["-i", "no.jpg", "--output", "new"],
            "cannot read image 'no.jpg': no such file or directory",
        ),
        (
            liveness_app_from_picture,
            ["-i", PICTURE, "--output", "file.txt"],
            "cannot write to output folder 'file.txt': it is a file",
        ),
        (
            liveness_app_from_picture,
            ["-i", "no.jpg", "no.png"],
            "cannot read image 'no.jpg', 'no.png': no such file or directory",
        ),
        (
            liveness_app_from_picture,
            ["-i", PICTURE, "--known", "no.npz"],
            "cannot read encodings file 'no.npz'",
        ),
        (
            face_from_image,
            ["-i", "no.jpg", "-o", "crops"],
            "cannot read image 'no.jpg': no such file or directory",
        ),
        (
            collect_dataset,
            ["-i", "no.mp4", "-o", "crops"],
            "cannot read video 'no.mp4': no such file or directory",
        ),
        (
            evaluate_model,
            ["--real", VIDEO, "--fake", "no.mp4"],
            "cannot read 'no.mp4': no such file or directory",
        ),
        (evaluate_model, ["--real", VIDEO], "no fake face to measure on"),
        (
            evaluate_model,
            ["--real", VIDEO, "--fake", PICTURE, "--detector", "no"],
            "no face detector in 'no'",
        ),
        (
            enroll_faces,
            ["-i", "people", "--report", "no/r.png"],
            "no folder for 'no/r.png': create 'no' first",
        ),
        (enroll_faces, ["-i", "people", "-e", "no/e.npz"], "no folder for 'no/e.npz'"),
        (
            enroll_faces,
            ["-i", "people", "--report", "people/Grace.jpg"],
            "'people/Grace.jpg' is an input and would be overwritten",
        ),
        (
            enroll_faces,
            ["-i", "people", "-e", "x", "--report", "x"],
            "two files would be written to 'x'",
        ),
        (enroll_faces, ["-i", "no"], "no pictures at 'no'"),
        (
            train_model,
            ["-d", "data", "--threshold-from", "no.csv"],
            f"cannot read 'no.csv': no such file or directory; {EXPECTED_SCORES}",
        ),
        (
            train_model,
            ["-d", "data", "--threshold-from", "people"],
            f"cannot read 'people': is a directory; {EXPECTED_SCORES}",
        ),
        (
            train_model,
            ["-d", "data", "--threshold-from", "file.txt"],
            f"'file.txt' holds no scores: {EXPECTED_SCORES}",
        ),
    ],
)
def test_script(place, capsys, script, options, message):
    assert message in last_line(script, options, capsys)
    assert not (place / "new").exists() and not (place / "encodings.npz").exists()
