"""collect_dataset.py as users run it, on small videos of a real portrait."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

import face_from_image
from collect_dataset import main
from films import example, write_film
from liveness.cli.run import run
from liveness.constants import ROOT
from liveness.faces.crops import crop_face
from liveness.io.images import read_image

WH = (320, 240)
SCRIPT = str(ROOT / "collect_dataset.py")


def make_video(path: Path, frames: int, *, face: bool = True) -> Path:
    portrait = cv2.resize(skimage.data.astronaut()[:, :, ::-1], WH)
    if not face:
        portrait = np.full_like(portrait, 60)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, WH)
    for number in range(frames):
        writer.write(np.roll(portrait, number, axis=1))
    writer.release()
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("Videos von mir ü")
    make_video(folder / "10.avi", 33)
    make_video(folder / "2.avi", 50)
    return folder


def rows_of(folder):
    with (folder / "crops.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def call(*arguments):
    return run(lambda: main([str(argument) for argument in arguments]))


def test_folder_is_collected_in_order_and_only_once(videos, tmp_path, capfd):
    assert call("-i", videos, "-o", tmp_path, "--jobs", 2) == 0
    summary = capfd.readouterr().out
    assert summary == "frames read: 83, examined: 5, without a face: 0, saved: 5\n"
    rows = rows_of(tmp_path)
    found = [(row["source"].partition("#")[0], row["frame"]) for row in rows]
    assert found == [
        *[("2.avi", "16"), ("2.avi", "32"), ("2.avi", "48")],
        *[("10.avi", "16"), ("10.avi", "32")],
    ]
    assert call("-i", videos, "-o", tmp_path) == 0
    again = capfd.readouterr()
    assert "already collected: 2" in again.out
    assert "2.avi: already collected" in again.err
    assert len(rows_of(tmp_path)) == 5


def test_crop_is_that_of_the_frame(videos, tmp_path):
    assert call("-i", videos / "2.avi", "-o", tmp_path, "-s", 7) == 0
    row = rows_of(tmp_path)[1]
    assert row["frame"] == "14"
    capture = cv2.VideoCapture(str(videos / "2.avi"))
    image = [capture.read()[1] for _ in range(14)][-1]
    box = tuple(int(row[side]) for side in ("x_min", "y_min", "x_max", "y_max"))
    wanted = crop_face(image, box, scale=float(row["scale"]))
    assert np.array_equal(read_image(tmp_path / row["file"]), wanted)


def test_bad_videos_are_counted_and_the_rest_collected(videos, tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("hello")
    (tmp_path / "empty.mp4").touch()
    inputs = (tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "none.mp4")
    assert call("-i", *inputs, videos / "2.avi", "-o", tmp_path / "out") == 1
    output = capfd.readouterr()
    assert "saved: 3, unreadable: 3" in output.out
    assert [line.split(":")[0] for line in output.err.splitlines()] == ["warning"] * 3
    assert all(path.name in output.err for path in inputs)


@pytest.mark.parametrize(
    ("frames", "face", "words"),
    [
        pytest.param(20, False, "no face found", id="no face"),
        pytest.param(5, True, "lower -s", id="shorter than -s"),
    ],
)
def test_nothing_saved_is_a_failure(tmp_path, capfd, frames, face, words):
    video = make_video(tmp_path / "a.avi", frames, face=face)
    assert call("-i", video, "-o", tmp_path / "out") == 1
    error = capfd.readouterr().err
    assert words in error and "nothing was saved" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("-i", "{tmp}", "-o", "{tmp}/o"), "no videos in", id="folder"),
        pytest.param(
            ("-i", "{tmp}/a", "-o", "/proc/none"), "output folder", id="output"
        ),
        pytest.param(
            ("-i", "{tmp}/a", "-o", "{tmp}/o", "-d", "{tmp}"),
            "no face detector",
            id="detector",
        ),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, capfd, arguments, words):
    assert call(*(text.format(tmp=tmp_path) for text in arguments)) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_wrong_usage_ends_with_2(tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["-i", "a.mp4", "-o", str(tmp_path), "-s", "0"])
    assert caught.value.code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("sent", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_stopped_run_leaves_a_valid_folder(tmp_path, jobs, sent, code, word):
    make_video(tmp_path / "a.avi", 1500)
    make_video(tmp_path / "b.avi", 1400)
    spools = tmp_path / "spools"
    spools.mkdir()
    process = subprocess.Popen(
        [
            *(sys.executable, SCRIPT, "-i", tmp_path, "-o", tmp_path / "out"),
            *("-s", "1", "--jobs", jobs),
        ],
        # A shell starts background jobs with Ctrl-C ignored; children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(spools)},
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(3)  # it examines for about half a minute
    os.killpg(process.pid, sent)  # as a terminal and timeout(1) do: to all of them
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    assert error.splitlines()[-1] == word and "Traceback" not in error
    assert not list((tmp_path / "out").iterdir()) and not list(spools.iterdir())


def test_a_film_that_is_upside_down_is_not_collected(tmp_path, capfd):
    upright = write_film(tmp_path / "upright.mp4", example("real_1", 12))
    turned = [image[::-1, ::-1].copy() for image in example("real_1", 12)]
    films = [upright, write_film(tmp_path / "turned.mp4", turned)]
    assert call("-i", *films, "-o", tmp_path / "out", "-s", 4, "--jobs", 1) == 1
    captured = capfd.readouterr()
    assert "saved: 3" in captured.out
    (line,) = [line for line in captured.err.splitlines() if "upside down" in line]
    assert "turned.mp4" in line and "hflip,vflip" in line
    assert {row["source"].partition("#")[0] for row in rows_of(tmp_path / "out")} == {
        "upright.mp4"
    }


@pytest.mark.parametrize("script", [main, face_from_image.main])
def test_inputs_that_are_not_there_are_one_line(script, tmp_path, capfd):
    given = ["-i", str(tmp_path / "gone"), "-o", str(tmp_path / "out")]
    assert run(lambda: script(given)) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and "gone': no such file or directory" in line
