"""Each gate fails for its own reason on a real portrait, and only for that."""

import cv2
import numpy as np
import pytest

from apps import ROOT
from liveness.images import read_image
from liveness.quality import face_problem

BOX = (224, 103, 423, 340)  # of the face in images/reals/1.jpg


@pytest.fixture(scope="module")
def portrait():
    return read_image(ROOT / "images/reals/1.jpg")


def dimmed(image):
    return (image * 0.15).astype(np.uint8)


def burnt_out(image):
    return np.clip(image.astype(int) * 4 + 120, 0, 255).astype(np.uint8)


def blurred(image):
    return cv2.GaussianBlur(image, (0, 0), 15)


def shrunk(image):
    small = np.zeros_like(image)
    small[200:260, 300:380] = cv2.resize(image, (80, 60))
    return small


@pytest.mark.parametrize(
    ("change", "box", "reason"),
    [
        (lambda image: image, BOX, ""),
        (dimmed, BOX, "too dark"),
        (burnt_out, BOX, "too bright"),
        (blurred, BOX, "blurred"),
        (shrunk, (328, 213, 353, 243), "too far"),
        (lambda image: image, (150, 10, 460, 450), "too close"),
        (lambda image: image[:, 300:], (0, 103, 123, 340), "partly out"),
    ],
    ids=["good", "dark", "bright", "blurred", "far", "close", "outside"],
)
def test_reason(portrait, change, box, reason):
    problem = face_problem(change(portrait), box)
    assert problem.startswith(reason) and bool(problem) == bool(reason)


def test_dark_skin_in_fair_light_is_not_too_dark(portrait):
    assert face_problem((portrait * 0.45).astype(np.uint8), BOX) == ""
