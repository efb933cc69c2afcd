"""Movements made of the portraits' own landmarks: eyelids closed, nose shifted."""

import cv2
import numpy as np
import pytest

from liveness.constants import ROOT
from liveness.faces.detector import FaceDetector
from liveness.faces.dlib_faces import find_landmarks
from liveness.io.images import read_image
from liveness.people.challenge import (
    BLINK,
    TURN_LEFT,
    TURN_RIGHT,
    Challenge,
    eye_aspect_ratio,
    head_yaw_deg,
)

FRAME_S = 1 / 15  # a cheap webcam


def landmarks_of(number: int) -> np.ndarray:
    image = read_image(ROOT / f"images/reals/{number}.jpg")
    return find_landmarks(
        image, FaceDetector(ROOT / "face_detector").detect(image)[0].box
    )


@pytest.fixture(scope="module", params=[1, 2], ids=["Grace", "Eileen"])
def ahead(request) -> np.ndarray:
    """Real landmarks with the nose shifted until the head looks ahead."""
    return yawed(landmarks_of(request.param), 0)


def yawed(landmarks: np.ndarray, degrees: float) -> np.ndarray:
    moved = landmarks.copy()
    axis = moved[45] - moved[36]
    along = np.tan(np.radians(degrees)) * 0.3
    shift = (moved[36] + moved[45]) / 2 + along * axis - moved[30]
    moved[27:36] += axis * (shift @ axis) / (axis @ axis)
    return moved


def with_eyes(landmarks: np.ndarray, opening: float) -> np.ndarray:
    """The eyelids brought together: 1 is as they are, 0 is shut."""
    moved = landmarks.copy()
    for first in (36, 42):
        for upper, lower in ((1, 5), (2, 4)):
            middle = (moved[first + upper] + moved[first + lower]) / 2
            for lid in (first + upper, first + lower):
                moved[lid] = middle + opening * (moved[lid] - middle)
    return moved


class Person:
    """Plays movements to a challenge, frame by frame, with a little noise."""

    def __init__(self, ahead: np.ndarray, challenge: Challenge) -> None:
        self.ahead, self.challenge, self.time_s = ahead, challenge, 0.0
        self._noise = np.random.default_rng(1)

    def show(self, landmarks: np.ndarray | None, frames: int = 1):
        for _ in range(frames):
            if landmarks is not None:
                noisy = landmarks + self._noise.normal(0, 0.2, landmarks.shape)
            state = self.challenge.update(
                None if landmarks is None else noisy, self.time_s
            )
            self.time_s += FRAME_S
        return state

    def do(self, movement: str):
        self.show(self.ahead, 8)
        if movement == BLINK:
            for opening in (0.5, 0.1, 0.5):
                self.show(with_eyes(self.ahead, opening))
        else:
            side = 1 if movement == TURN_LEFT else -1
            for degrees in (10, 20, 35):
                state = self.show(yawed(self.ahead, side * degrees))
            if state.failed or state.passed:
                return state
            for degrees in (20, 10):
                self.show(yawed(self.ahead, side * degrees))
        return self.show(self.ahead, 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["blink", "turn", "random"])
def test_doing_what_is_asked_passes(ahead, kind, seed):
    person = Person(ahead, Challenge(kind, seed=seed))
    for number, movement in enumerate(person.challenge.steps):
        state = person.show(ahead)
        assert state.prompt.endswith(movement)
        assert not (state.passed or state.failed), number
        state = person.do(movement)
    assert state.passed
    assert person.show(ahead, 500).passed  # it stays so


@pytest.mark.parametrize("kind", ["blink", "turn", "random"])
def test_a_still_photograph_fails_in_time(ahead, kind):
    person = Person(ahead, Challenge(kind))
    assert not person.show(ahead, int(5.5 / FRAME_S)).failed
    state = person.show(ahead, int(1 / FRAME_S))  # the limit is 6 s
    assert state.failed
    assert state.prompt == "too late"


def test_the_other_side_fails(ahead):
    challenge = Challenge("turn", seed=0)
    other = TURN_RIGHT if challenge.steps[0] == TURN_LEFT else TURN_LEFT
    state = Person(ahead, challenge).do(other)
    assert state.failed
    assert "another movement" in state.prompt


def test_turning_when_asked_to_blink_fails(ahead):
    assert Person(ahead, Challenge("blink")).do(TURN_LEFT).failed


def test_blinking_does_not_pass_a_turn(ahead):
    person = Person(ahead, Challenge("turn", seed=0))
    state = person.do(BLINK)
    assert not (state.passed or state.failed)
    assert state.prompt.startswith("1/3")


def test_one_turn_is_not_taken_for_two(ahead):
    person = Person(ahead, Challenge("turn", seed=0))
    side = 1 if person.challenge.steps[0] == TURN_LEFT else -1
    person.show(ahead, 3)
    state = person.show(yawed(ahead, side * 40), 30)
    assert state.prompt.startswith("2/3")
    assert not state.failed


def test_a_face_turned_from_the_start_does_not_pass(ahead):
    person = Person(ahead, Challenge("turn", seed=0))
    for side in (1, -1):
        state = person.show(yawed(ahead, side * 40), 5)
    assert state.prompt.startswith("1/3")


def test_eyes_kept_shut_are_no_blink(ahead):
    person = Person(ahead, Challenge("blink"))
    person.show(ahead, 10)
    person.show(with_eyes(ahead, 0.1), 30)
    assert person.show(ahead, 3).prompt.startswith("1/2")


def test_narrow_eyes_blink_too(ahead):
    """The measure is the person's own open eye, not one for everybody."""
    person = Person(with_eyes(ahead, 0.65), Challenge("blink"))
    person.show(person.ahead, 10)
    person.show(with_eyes(ahead, 0.15), 2)
    assert person.show(person.ahead, 2).prompt.startswith("2/2")


def test_a_lost_face_fails_and_a_short_gap_does_not(ahead):
    person = Person(ahead, Challenge("blink"))
    person.show(ahead, 5)
    assert not person.show(None, 10).failed
    assert not person.show(ahead, 1).failed
    state = person.show(None, 20)
    assert state.failed
    assert state.prompt == "face lost"


def test_orders_differ_and_none_asks_to_smile():
    orders = {Challenge("random").steps for _ in range(400)}
    assert len(orders) == 32  # 8 rows of sides, 4 places for the blink
    assert all(steps.count(BLINK) == 1 for steps in orders)
    assert "smile" not in str(orders)


@pytest.mark.parametrize(
    ("kind", "limit_s"), [("smile", 6.0), ("blink", 0.0), ("turn", float("nan"))]
)
def test_wrong_use(kind, limit_s):
    with pytest.raises(ValueError, match="Expected a kind"):
        Challenge(kind, limit_s=limit_s)


def test_measures_on_real_landmarks():
    """Both look roughly ahead with open eyes; a mirror turns the yaw around."""
    image = read_image(ROOT / "images/reals/2.jpg")
    detector = FaceDetector(ROOT / "face_detector")
    points = find_landmarks(image, detector.detect(image)[0].box)
    mirror = cv2.flip(image, 1)
    mirrored = find_landmarks(mirror, detector.detect(mirror)[0].box)

    assert 0.2 < eye_aspect_ratio(points) < 0.45
    assert eye_aspect_ratio(mirrored) == pytest.approx(
        eye_aspect_ratio(points), abs=0.06
    )
    assert abs(head_yaw_deg(points)) < 25
    assert head_yaw_deg(mirrored) == pytest.approx(-head_yaw_deg(points), abs=6)


def test_yaw_ignores_a_tilted_head(ahead):
    turned = yawed(ahead, 30)
    cos, sin = np.cos(0.4), np.sin(0.4)
    tilted = turned @ np.array([[cos, sin], [-sin, cos]])
    assert head_yaw_deg(turned) == pytest.approx(30)
    assert head_yaw_deg(tilted) == pytest.approx(30)


def test_eye_aspect_ratio_of_a_drawn_eye():
    points = np.zeros((68, 2))
    eye = np.array([(0, 0), (10, -4), (20, -4), (30, 0), (20, 4), (10, 4)])
    points[36:42], points[42:48] = eye, eye + 100
    assert eye_aspect_ratio(points) == pytest.approx(8 / 30)
    assert eye_aspect_ratio(np.zeros((68, 2))) == 0
    assert head_yaw_deg(np.zeros((68, 2))) == 0
