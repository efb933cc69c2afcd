"""The webcam app on the example videos, without a screen and on a virtual one."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import liveness_app
from apps import ROOT, save_tiny_model
from films import example, write_film
from liveness.cli.run import run
from liveness.sources.frames import Frame, FrameSource

SCRIPT = ROOT / "liveness_app.py"
VIDEO = ROOT / "videos/real_1.mp4"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def start(model):
    """Runs the app on a video without a window; returns its exit code."""

    def start(*options, source=VIDEO):
        given = ["--no-display", "--source", str(source), *map(str, options), *model]
        return run(lambda: liveness_app.main(given))

    return start


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_no_camera_is_said(monkeypatch, capsys):
    monkeypatch.setattr("liveness.sources.frames.list_cameras", list)

    assert run(lambda: liveness_app.main(["--list-cameras"])) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no camera gives a picture" in captured.err


def test_json_lines_of_a_video(start, capsys):
    assert start("--json", "--threshold", 0) == 0
    lines = lines_of(capsys.readouterr().out)
    assert [line["label"] for line in lines[:2]] == ["checking", "real"]
    assert {line["track"] for line in lines} == {1}
    times = [line["time_s"] for line in lines[1:]]
    assert all(0.9 < b - a < 1.2 for a, b in itertools.pairwise(times))


def test_json_frames_has_a_line_per_frame(start, capsys):
    assert start("--json-frames") == 0
    lines = lines_of(capsys.readouterr().out)
    frame_count = cv2.VideoCapture(str(VIDEO)).get(cv2.CAP_PROP_FRAME_COUNT)
    assert [line["frame"] for line in lines] == list(range(int(frame_count)))
    assert all(line["faces"] for line in lines)


def test_plain_lines_and_recording_and_snapshots(start, capsys, tmp_path):
    video, folder = tmp_path / "out.mp4", tmp_path / "a" / "b"
    assert start("--output", video, "--snapshot", folder, "--threshold", 1) == 0
    assert "face 1  fake" in capsys.readouterr().out
    source, annotated = cv2.VideoCapture(str(VIDEO)), cv2.VideoCapture(str(video))
    for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FPS):
        assert source.get(key) == annotated.get(key)
    assert [path.name[-9:] for path in folder.iterdir()] == ["_fake.jpg"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--threshold", 0], 0),
        (["--threshold", 1], 3),
        (["--time-limit", 0.2], 4),
    ],
    ids=["real", "fake", "no decision"],
)
def test_once(start, capsys, options, code):
    assert start("--once", *options) == code
    assert capsys.readouterr().out.count("\n") <= 2


class EndlessCamera(FrameSource):
    """A frame without a face every 5 seconds, and no end to them."""

    name, is_live, fps, state = "camera", True, 0.2, "live"
    frames_read = 0

    def read(self):
        if self.frames_read == 20:
            pytest.fail("reads on: nothing ended the run")
        self.frames_read += 1
        image = np.full((120, 160, 3), 120, np.uint8)
        time_s = 5.0 * self.frames_read
        return Frame(image, self.frames_read, time_s, time.monotonic())

    def close(self):
        pass


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (["--once"], 30),
        (["--once", "--time-limit", 50], 50),
        (["--once", "--time-limit", 15], 15),
    ],
    ids=["default", "longer", "shorter"],
)
def test_once_ends_although_the_camera_does_not(start, monkeypatch, options, seconds):
    camera = EndlessCamera()
    monkeypatch.setattr("liveness.sources.frames.open_webcam", lambda *_, **__: camera)

    assert start(*options, source=0) == 4
    assert camera.frames_read == 1 + seconds / 5


def test_without_once_no_time_is_too_long(start, monkeypatch):
    camera = EndlessCamera()
    monkeypatch.setattr("liveness.sources.frames.open_webcam", lambda *_, **__: camera)

    with pytest.raises(pytest.fail.Exception, match="reads on"):
        start(source=0)


@pytest.fixture
def empty_video(tmp_path):
    path = tmp_path / "grey.mp4"
    fourcc = cv2.VideoWriter_fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(path), fourcc, 10, (160, 120))
    for _ in range(8):
        writer.write(cv2.UMat(120, 160, cv2.CV_8UC3, (120, 120, 120)).get())
    writer.release()
    return path


def test_a_video_without_a_face(start, capsys, empty_video):
    assert start(source=empty_video) == 1
    assert "no face found" in capsys.readouterr().err
    assert start("--once", source=empty_video) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "missing.mp4"], "no such video file: 'missing.mp4'"),
        (["--source", "97"], "cannot open webcam 97"),
        (["--source", "ftp://camera"], "bad camera address"),
        (["--output", "missing/out.mp4"], "no folder for 'missing/out.mp4'"),
    ],
    ids=["file", "camera", "url", "output"],
)
def test_bad_sources_and_outputs_are_one_clear_line(start, capsys, options, message):
    assert start(*options) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and message in last


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "missing.mp4"], "no such video file: 'missing.mp4'"),
        (["--source", "ftp://camera"], "bad camera address"),
        (["--output", "missing/out.mp4"], "no folder for 'missing/out.mp4'"),
        (["--output", "{input}"], "would be overwritten"),
        (["--snapshot", "{input}"], "cannot write to output folder"),
    ],
    ids=["file", "url", "output", "input", "snapshot"],
)
def test_cheap_checks_come_before_the_model(model, tmp_path, capsys, options, message):
    film = tmp_path / "film.mp4"
    shutil.copy(VIDEO, film)
    (tmp_path / "damaged.pickle").touch()
    given = [option.replace("{input}", str(film)) for option in options]
    given = ["--source", str(film), *given, "--no-display", *model]
    given += ["-l", str(tmp_path / "damaged.pickle")]
    assert run(lambda: liveness_app.main(given)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert film.read_bytes() == VIDEO.read_bytes()


def test_the_input_is_never_overwritten(start, capsys, tmp_path):
    copy = tmp_path / "copy.mp4"
    shutil.copy(VIDEO, copy)
    assert start("--output", copy, source=copy) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert copy.read_bytes() == VIDEO.read_bytes()


@pytest.mark.parametrize(
    "options",
    [["--output", "out.avi"], ["--camera-size", "640"], ["--json", "--json-frames"]],
    ids=["suffix", "size", "both kinds of lines"],
)
def test_wrong_usage(start, options):
    with pytest.raises(SystemExit) as ended:
        start(*options)
    assert ended.value.code == 2


def test_no_screen_ends_with_one_line(model):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY")
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, "--source", VIDEO, *model],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: no screen")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_stopped_run_finishes_its_recording(model, tmp_path, sent, code, word):
    video = tmp_path / "out.mp4"
    options = ["--output", video, "--json-frames", *model]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--no-display", "--source", VIDEO, *options],
        # A shell starts background jobs with Ctrl-C ignored; children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(5):
        process.stdout.readline()
    for _ in range(2):  # timeout(1) sends its signal twice
        process.send_signal(sent)
        if sent == signal.SIGINT:
            break
    _, err = process.communicate(timeout=20)
    assert process.returncode == code and err.endswith(f"{word}\n")
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.fixture
def virtual_screen():
    """DISPLAY of an Xvfb that lives as long as the test."""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool: apt-get install xvfb xdotool")
    read_end, write_end = os.pipe()
    screen = ("-screen", "0", "1280x960x24")
    server = subprocess.Popen(  # it would reset itself when its last window closes
        ["Xvfb", "-noreset", "-displayfd", str(write_end), *screen],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as numbers:
        display = f":{numbers.readline().strip()}"
    yield display
    server.terminate()
    server.wait()


def xdotool(display, *words):
    environment = os.environ | {"DISPLAY": display}
    return subprocess.run(
        ["xdotool", *words], env=environment, capture_output=True, text=True
    ).stdout.split()


def write_long_video(path: Path) -> int:
    """The example video ten times over, longer than any key takes to arrive."""
    capture = cv2.VideoCapture(str(VIDEO))
    frames = [frame for _, frame in iter(capture.read, (False, None))]
    height, width = frames[0].shape[:2]
    code = cv2.VideoWriter_fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), code, 30, (width, height))
    for frame in frames * 10:
        writer.write(frame)
    writer.release()
    return len(frames) * 10


def test_window_opens_and_closes_on_q(model, virtual_screen, tmp_path):
    count = write_long_video(tmp_path / "long.avi")
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--source", tmp_path / "long.avi", *model],
        env=os.environ | {"DISPLAY": virtual_screen},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    was_seen, end = False, time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end:
        # Found anew each time: what is there first may be gone when it is drawn.
        for window in xdotool(virtual_screen, "search", "--name", "^Liveness$"):
            was_seen = True
            # Without a window manager the focus is ours to set.
            xdotool(virtual_screen, "windowfocus", window, "key", "q")
        time.sleep(0.1)
    assert was_seen, "no window came up"
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    (summary,) = [line for line in err.splitlines() if " frames of " in line]
    assert 1 <= int(summary.split()[0]) < count  # it did not just play to the end


def test_help_as_a_process():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "--time-limit" in done.stdout


def test_a_film_upside_down_gets_no_verdict(start, capsys, tmp_path):
    turned = [image[::-1, ::-1].copy() for image in example("real_1", 40)]
    film = write_film(tmp_path / "turned.mp4", turned)
    start("--json-frames", source=film)
    faces = [
        face for line in lines_of(capsys.readouterr().out) for face in line["faces"]
    ]
    assert faces and {face["label"] for face in faces} == {"checking"}
    assert "upside down?" in {face["reason"] for face in faces}
