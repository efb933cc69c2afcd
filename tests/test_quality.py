"""Each gate fails for its own reason on a real portrait, and only for that."""

import sys

import cv2
import numpy as np
import pytest

from apps import ROOT
from liveness.faces import quality
from liveness.faces.dlib_faces import _five_point_predictor, find_eyes_and_nose
from liveness.faces.quality import face_problem
from liveness.io.images import read_image

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


def points_turned(angle_deg, *, tilt_deg=0):
    """(5, 2) points of a head with the eyes 45 beside the nose's base, 25 behind it."""
    x = np.array([45, 20, -45, -20, 0.0])
    depth = np.array([0, 8, 0, 8, 25.0])
    y = np.array([0, 0, 0, 0, 60.0])
    angle, tilt = np.radians((angle_deg, tilt_deg))
    x = x * np.cos(angle) + depth * np.sin(angle)
    return np.column_stack(
        (x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt))
    )


@pytest.mark.parametrize("tilt_deg", [-20, 0, 30])
@pytest.mark.parametrize(
    ("angle_deg", "reason"),
    [(-60, "turned away"), (-20, ""), (0, ""), (20, ""), (60, "turned away")],
)
def test_a_turn_is_told_from_a_tilt(portrait, monkeypatch, angle_deg, tilt_deg, reason):
    points = points_turned(angle_deg, tilt_deg=tilt_deg)
    monkeypatch.setattr(quality, "find_eyes_and_nose", lambda image, box: points)
    problem = face_problem(portrait, BOX)
    assert problem.startswith(reason) and bool(problem) == bool(reason)


def test_the_points_are_where_they_are_said_to_be(portrait):
    left, left_inner, right, right_inner, nose = find_eyes_and_nose(portrait, BOX)
    assert right[0] < right_inner[0] < nose[0] < left_inner[0] < left[0]
    assert max(left[1], right[1]) < nose[1] < BOX[3]
    mirrored = portrait[:, ::-1].copy()
    width = portrait.shape[1]
    x_min, y_min, x_max, y_max = BOX
    there = find_eyes_and_nose(mirrored, (width - x_max, y_min, width - x_min, y_max))
    assert abs(width - there[4][0] - nose[0]) < 5


def test_without_dlib_no_face_is_turned_and_it_is_said_once(
    portrait, monkeypatch, caplog
):
    _five_point_predictor.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", None)
    assert face_problem(portrait, BOX) == face_problem(portrait, BOX) == ""
    assert [record.message[:13] for record in caplog.records] == ["cannot detect"]
    _five_point_predictor.cache_clear()
