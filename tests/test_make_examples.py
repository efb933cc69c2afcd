"""The example pictures and videos: complete, deterministic, with a face to find."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from liveness.constants import ROOT
from liveness.data.crops_folder import source_of
from liveness.faces.detector import FaceDetector
from liveness.model.labels import LABELS
from tools.make_examples import FPS, main


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    assert main(["-o", str(folder), "--seconds", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(ROOT / "face_detector")


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, frame = capture.read()
        if not read:
            return frames
        frames.append(frame)


def test_pictures_show_one_face_each(made, detector):
    pictures = sorted((made / "images").glob("*/*.jpg"))

    assert len(pictures) == 8
    for path in pictures:
        assert len(detector.detect(cv2.imread(str(path)))) == 1, path.name


@pytest.mark.parametrize("name", ["real_1.mp4", "fake_1.mp4"])
def test_videos_move_and_show_a_face(made, detector, name):
    frames = frames_of(made / "videos" / name)

    assert len(frames) == FPS
    assert all(detector.detect(frame) for frame in frames[::4])
    assert cv2.absdiff(frames[0], frames[-1]).mean() > 2


def test_same_examples_again(made, tmp_path):
    main(["-o", str(tmp_path), "--seconds", "0.2"])

    for path in (made / "images").glob("*/*.jpg"):
        again = tmp_path / path.relative_to(made)
        assert path.read_bytes() == again.read_bytes()


def test_committed_pictures_are_those_of_this_version(made):
    """Bytes may differ between versions of OpenCV, what is seen does not."""
    for path in (made / "images").glob("*/*.jpg"):
        kept = cv2.imread(str(ROOT / path.relative_to(made)))
        assert cv2.absdiff(cv2.imread(str(path)), kept).mean() < 2, path.name


@pytest.mark.parametrize("label", LABELS)
def test_committed_dataset_is_of_the_committed_pictures(label):
    with (ROOT / "dataset" / label / "crops.csv").open(newline="") as file:
        collected = {row["source"] for row in csv.DictReader(file)}

    pictures = (ROOT / "images" / f"{label}s").glob("*.jpg")
    inputs = [*pictures, ROOT / "videos" / f"{label}_1.mp4"]
    assert collected == {source_of(path) for path in inputs}


def test_committed_examples_are_small():
    files = [*(ROOT / "images").rglob("*.jpg"), *(ROOT / "videos").glob("*.mp4")]

    assert len(files) == 10
    assert sum(path.stat().st_size for path in files) < 3_000_000
