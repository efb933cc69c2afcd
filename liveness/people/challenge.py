"""Active challenge: asks for a movement and watches the landmarks for it.

A photograph does not move, and a replay does not know what is asked and when. Its
limits: a replay of somebody who blinks passes one blink; a face puppeteered in
real time passes everything. So it adds to the liveness score, it replaces nothing.
"""

import math
import random
import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np

from liveness.constants import CHALLENGES, Reason

BLINK = Reason.BLINK
TURN_LEFT = Reason.TURN_LEFT
TURN_RIGHT = Reason.TURN_RIGHT

TURNS = 3  # with two of fixed sides, replays of people who turn passed 14 of 24 times
STEP_LIMIT_S = 6.0  # seconds for each movement; a slow reader needs about two
LOST_AFTER_S = 1.0  # seconds without landmarks after which nobody is there
CLOSED_RATIO = 0.65  # eyes are closed below this share of the person's open eyes
OPEN_RATIO = 0.85  # and open again above this one
BASELINE_SAMPLES = 5  # open eyes seen before a blink can be told
BASELINE_LENGTH = 30  # latest samples that make up the person's open eyes
LONGEST_BLINK_S = 1.0  # longer is closed eyes or a lowered head, no blink
FRONTAL_DEG = 15.0  # head yaw that counts as looking ahead
TURNED_DEG = 25.0  # head yaw that counts as turned
# Depth of the nose's tip before the outer corners of the eyes over their distance;
# 135 / 450 in the generic head of S. Mallick, "Head Pose Estimation using OpenCV
# and Dlib", learnopencv.com, 2016.
NOSE_DEPTH = 0.3


@dataclass(frozen=True)
class ChallengeState:
    """Where a challenge stands after a frame.

    Attributes:
        prompt: What the person is asked to do, or why it failed; empty when passed.
        passed: Every movement was made, in order and in time.
        failed: It is over without that; only a new challenge can be passed.
    """

    prompt: str
    passed: bool = False
    failed: bool = False


class Challenge:
    """A row of movements that one person has to make; one instance per track.

    ``blink`` asks for two blinks, as one comes by itself every few seconds;
    ``turn`` for three turns, each to a random side; ``random`` for such turns with a
    blink somewhere among them. A turn that was not asked for fails, so a replay of
    somebody who turns has to guess the sides: 1 in 8 right.

    Args:
        kind: One of CHALLENGES.
        limit_s: Seconds for each movement.
        seed: For a repeatable order; None for an unpredictable one.

    Raises:
        ValueError: If the kind is unknown or the limit is not above 0.
    """

    def __init__(
        self, kind: str, *, limit_s: float = STEP_LIMIT_S, seed: int | None = None
    ) -> None:
        if kind not in CHALLENGES or not limit_s > 0:
            raise ValueError(
                f"Expected a kind of {CHALLENGES} and a limit above 0. "
                f"Received: kind={kind!r}, limit_s={limit_s}"
            )
        # What an attacker could foresee is no challenge, so not a seeded default.
        chance = random.SystemRandom() if seed is None else random.Random(seed)
        turns = chance.choices((TURN_LEFT, TURN_RIGHT), k=TURNS)
        steps = {
            "blink": [BLINK, BLINK],
            "turn": turns,
            "random": chance.sample((BLINK, *turns), TURNS + 1),
        }
        self._steps: list[str] = steps[kind]
        self._limit_s = limit_s
        self._at = 0
        self._since_s: float | None = None  # when the present step was asked for
        self._seen_s = 0.0
        self._was_frontal = False
        self._closed_s: float | None = None  # when the eyes closed
        self._open_ratios: deque[float] = deque(maxlen=BASELINE_LENGTH)
        self._over: ChallengeState | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The movements in the order in which they are asked for."""
        return tuple(self._steps)

    def update(
        self, track_landmarks: np.ndarray | None, time_s: float
    ) -> ChallengeState:
        """Take in the next frame of the track.

        Args:
            track_landmarks: (68, 2) points in pixels; None if the face was not
                found in this frame.
            time_s: Time of the frame in seconds, never going back.

        Returns:
            The state after it; it stays as it is once passed or failed.
        """
        if self._over is None:
            if self._since_s is None:
                self._since_s = self._seen_s = time_s
            self._over = self._ended(time_s)
        if self._over is None and track_landmarks is not None:
            self._seen_s = time_s
            self._over = self._watch(track_landmarks, time_s)
        return self._over or ChallengeState(self._prompt())

    def _ended(self, time_s: float) -> ChallengeState | None:
        """The failure by time, if there is one."""
        if time_s - self._seen_s > LOST_AFTER_S:
            return ChallengeState(Reason.FACE_LOST, failed=True)
        if time_s - self._since_s > self._limit_s:
            return ChallengeState(Reason.TOO_LATE, failed=True)
        return None

    def _watch(self, landmarks: np.ndarray, time_s: float) -> ChallengeState | None:
        """Compare a frame with what is asked for; the end, if it brings one."""
        yaw_deg = head_yaw_deg(landmarks)
        turned = self._turn(yaw_deg)
        blinked = False
        if abs(yaw_deg) <= FRONTAL_DEG:  # the far eye of a turned head looks narrow
            blinked = self._blink(eye_aspect_ratio(landmarks), time_s)
        step = self._steps[self._at]
        if turned is not None and turned != step:
            return ChallengeState(Reason.WRONG_MOVEMENT, failed=True)
        if turned is None and not (blinked and step == BLINK):
            return None
        self._at += 1
        self._since_s = time_s
        self._was_frontal = False  # the next movement starts from looking ahead
        self._closed_s = None
        return ChallengeState("", passed=True) if self._at == len(self._steps) else None

    def _turn(self, yaw_deg: float) -> str | None:
        """The turn that this frame completes, from looking ahead to a side."""
        if abs(yaw_deg) <= FRONTAL_DEG:
            self._was_frontal = True
        elif abs(yaw_deg) >= TURNED_DEG and self._was_frontal:
            return TURN_LEFT if yaw_deg > 0 else TURN_RIGHT
        return None

    def _blink(self, ratio: float, time_s: float) -> bool:
        """Whether this frame ends a blink: open, closed for a moment, open."""
        if len(self._open_ratios) < BASELINE_SAMPLES:
            self._open_ratios.append(ratio)
            return False
        usual = statistics.median(self._open_ratios)
        if ratio < CLOSED_RATIO * usual:
            if self._closed_s is None:
                self._closed_s = time_s
            return False
        if ratio <= OPEN_RATIO * usual and self._closed_s is not None:
            return False  # still opening
        self._open_ratios.append(ratio)
        closed_s, self._closed_s = self._closed_s, None
        return closed_s is not None and time_s - closed_s <= LONGEST_BLINK_S

    def _prompt(self) -> str:
        count = f"{self._at + 1}/{len(self._steps)}"
        return f"{count}: {self._steps[self._at]}"


def eye_aspect_ratio(landmarks: np.ndarray) -> float:
    """Height over width of the eyes, mean of both: about 0.3 open, near 0 closed.

    Args:
        landmarks: (68, 2) points, order of the iBUG 300-W markup.

    Source: Soukupova and Cech, "Real-Time Eye Blink Detection using Facial
        Landmarks", Computer Vision Winter Workshop 2016, equation 1.
    """
    ratios = []
    for first in (36, 42):
        eye = landmarks[first : first + 6]
        heights = np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])
        width = np.linalg.norm(eye[0] - eye[3])
        ratios.append(heights / (2 * width) if width else 0.0)
    return float(np.mean(ratios))


def head_yaw_deg(landmarks: np.ndarray) -> float:
    """How far the head is turned, in degrees; positive is to the person's left.

    The tip of the nose stands out before the eyes, so a turn moves it along the
    line through their outer corners. A tilt of the head in the picture's plane
    changes nothing.

    Args:
        landmarks: (68, 2) points of a picture that is not mirrored.
    """
    right_corner, left_corner = landmarks[36], landmarks[45]  # the person's own
    axis = left_corner - right_corner
    distance_squared = float(axis @ axis)
    if not distance_squared:
        return 0.0
    middle = (right_corner + left_corner) / 2
    offset = float((landmarks[30] - middle) @ axis) / distance_squared
    return math.degrees(math.atan(offset / NOSE_DEPTH))
