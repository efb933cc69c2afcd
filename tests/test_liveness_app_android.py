"""The phone app against a local server that behaves like IP Webcam."""

import json
import subprocess
import sys

import pytest

import liveness_app_android
from apps import ROOT, save_tiny_model
from ip_webcam_server import FakePhone, part
from liveness.cli.run import run

PORTRAIT = (ROOT / "images/reals/1.jpg").read_bytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def start(model):
    """Runs the app without a window; returns its exit code."""

    def start(url, *options):
        given = ["-u", url, "--no-display", *map(str, options), *model]
        return run(lambda: liveness_app_android.main(given))

    return start


def portraits(**options):
    return FakePhone(fps=25, script=[lambda number: part(number, PORTRAIT)], **options)


@pytest.mark.parametrize("path", ["", "/video"])
def test_a_face_on_the_phone(start, capsys, path):
    with portraits() as phone:
        assert start(phone.url + path, "--once", "--threshold", 0, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] for line in lines] == ["checking", "real"]


def test_recording_from_the_phone_keeps_the_time(start, tmp_path):
    import cv2

    video = tmp_path / "out.mp4"
    with portraits() as phone:
        assert start(phone.url, "--time-limit", 1, "--output", video) == 0
    capture = cv2.VideoCapture(str(video))
    seconds = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    assert seconds == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("kind", ["Basic", "Digest"])
def test_login_is_used_and_never_shown(start, capsys, kind):
    with portraits(login=("anna", "s3cret"), kind=kind) as phone:
        options = ("--once", "--threshold", 1, "--verbose", "--json")
        assert start(phone.url, *options, "--user", "anna", "--password", "s3cret") == 3
        assert start(phone.url, *options, "--user", "anna", "--password", "wr0ng") == 1
    out, err = capsys.readouterr()
    assert "s3cret" not in out + err and "wr0ng" not in out + err


def test_a_phone_that_vanishes_ends_with_one_line(start, capsys):
    def few(number):
        if number > 10:
            phone.answers["/video"] = phone.answers["/shot.jpg"] = 404
            return None
        return part(number, PORTRAIT)

    with FakePhone(fps=25, script=[few]) as phone:
        assert start(phone.url, "--timeout", 1.5) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "no picture for" in last


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "ftp://127.0.0.1", "phone", "http://"]
)
def test_wrong_url_is_one_clear_line(start, capsys, url):
    assert start(url) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_wrong_url_is_refused_before_the_model_is_loaded(capsys):
    given = ["-u", "phone", "--no-display", "-m", "missing.h5"]
    assert run(lambda: liveness_app_android.main(given)) == 1
    assert "camera address" in capsys.readouterr().err


def test_help_as_a_process():
    done = subprocess.run(
        [sys.executable, ROOT / "liveness_app_android.py", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "--password" in done.stdout
