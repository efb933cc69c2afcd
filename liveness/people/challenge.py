"""Active challenge: ask for movements and detect them in the landmarks.

A photograph does not move, and a replay cannot know which movements are asked for and
when. Limits: a replay of somebody who blinks passes one blink, and a deepfake driven in
real time passes everything. The challenge complements the liveness score; it does not
replace it.
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

TURNS = 3  # with two turns in fixed order, replays of turning heads passed 14 of 24
STEP_LIMIT_S = 6.0  # seconds per movement; a slow reader needs about two
LOST_AFTER_S = 1.0  # seconds without landmarks after which the face is lost
CLOSED_RATIO = 0.65  # eyes are closed below this share of the open-eye baseline
OPEN_RATIO = 0.85  # and open again above this share
BASELINE_SAMPLES = 5  # frames with open eyes needed before a blink can be detected
BASELINE_LENGTH = 30  # latest samples in the baseline of a person's open eyes
LONGEST_BLINK_S = 1.0  # longer than this is closed eyes or a lowered head
FRONTAL_DEG = 15.0  # head yaw that counts as looking ahead
TURNED_DEG = 25.0  # head yaw that counts as turned
# Distance by which the tip of the nose protrudes beyond the outer corners of the eyes,
# over the distance of the corners; 135 / 450 in the generic head of S. Mallick, "Head
# Pose Estimation using OpenCV and Dlib", learnopencv.com, 2016.
NOSE_DEPTH = 0.3


@dataclass(frozen=True)
class ChallengeState:
    """The state of a challenge after a frame.

    Attributes:
        prompt: What the person should do, or why the challenge failed; empty if passed.
        passed: Whether all movements were made, in order and in time.
        failed: Whether the challenge failed; only a new one can be passed.
    """

    prompt: str
    passed: bool = False
    failed: bool = False


class Challenge:
    """A sequence of movements that one person must make; one instance per track.

    ``blink`` asks for two blinks, because people blink every few seconds anyway.
    ``turn`` asks for three head turns, each to a random side. ``random`` asks for three
    turns and a blink in random order. A wrong turn fails the challenge, so a replay of
    somebody turning has a chance of 1 in 8.

    Args:
        kind: One of CHALLENGES.
        limit_s: Seconds for each movement.
        seed: Seed for a reproducible order; None for an unpredictable one.

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
        # No default seed: an attacker must not be able to predict the order.
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
        self._since_s: float | None = None  # when the current step started
        self._seen_s = 0.0
        self._was_frontal = False
        self._closed_s: float | None = None  # when the eyes closed
        self._open_ratios: deque[float] = deque(maxlen=BASELINE_LENGTH)
        self._over: ChallengeState | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The movements in order."""
        return tuple(self._steps)

    def update(
        self, track_landmarks: np.ndarray | None, time_s: float
    ) -> ChallengeState:
        """Process the next frame of the track.

        Args:
            track_landmarks: (68, 2) landmarks in pixels; None if the face was not
                detected in this frame.
            time_s: Time of the frame in seconds; it never goes back.

        Returns:
            The state after the frame; it is final once passed or failed.
        """
        if self._over is None:
            if self._since_s is None:
                self._since_s = self._seen_s = time_s
            self._over = self._timeout(time_s)
        if self._over is None and track_landmarks is not None:
            self._seen_s = time_s
            self._over = self._watch(track_landmarks, time_s)
        return self._over or ChallengeState(self._prompt())

    def _timeout(self, time_s: float) -> ChallengeState | None:
        """Return the failed state if the face was lost or the time is up."""
        if time_s - self._seen_s > LOST_AFTER_S:
            return ChallengeState(Reason.FACE_LOST, failed=True)
        if time_s - self._since_s > self._limit_s:
            return ChallengeState(Reason.TOO_LATE, failed=True)
        return None

    def _watch(self, landmarks: np.ndarray, time_s: float) -> ChallengeState | None:
        """Look for the current movement in a frame; return the final state, if any."""
        yaw_deg = head_yaw_deg(landmarks)
        turn = self._turn(yaw_deg)
        is_blink = False
        if abs(yaw_deg) <= FRONTAL_DEG:  # the far eye of a turned head looks narrow
            is_blink = self._blink(eye_aspect_ratio(landmarks), time_s)
        step = self._steps[self._at]
        if turn is not None and turn != step:
            return ChallengeState(Reason.WRONG_MOVEMENT, failed=True)
        if turn is None and not (is_blink and step == BLINK):
            return None
        self._at += 1
        self._since_s = time_s
        self._was_frontal = False  # the next movement must start from looking ahead
        self._closed_s = None
        return ChallengeState("", passed=True) if self._at == len(self._steps) else None

    def _turn(self, yaw_deg: float) -> str | None:
        """Return the turn that this frame completes, from looking ahead to a side."""
        if abs(yaw_deg) <= FRONTAL_DEG:
            self._was_frontal = True
        elif abs(yaw_deg) >= TURNED_DEG and self._was_frontal:
            return TURN_LEFT if yaw_deg > 0 else TURN_RIGHT
        return None

    def _blink(self, ratio: float, time_s: float) -> bool:
        """Tell whether this frame ends a blink: open, briefly closed, open."""
        if len(self._open_ratios) < BASELINE_SAMPLES:
            self._open_ratios.append(ratio)
            return False
        baseline = statistics.median(self._open_ratios)
        if ratio < CLOSED_RATIO * baseline:
            if self._closed_s is None:
                self._closed_s = time_s
            return False
        if ratio <= OPEN_RATIO * baseline and self._closed_s is not None:
            return False  # still opening
        self._open_ratios.append(ratio)
        closed_s, self._closed_s = self._closed_s, None
        return closed_s is not None and time_s - closed_s <= LONGEST_BLINK_S

    def _prompt(self) -> str:
        """Return the current movement with its number."""
        count = f"{self._at + 1}/{len(self._steps)}"
        return f"{count}: {self._steps[self._at]}"


def eye_aspect_ratio(landmarks: np.ndarray) -> float:
    """Return the mean height over width of both eyes: about 0.3 open, near 0 closed.

    Args:
        landmarks: (68, 2) points in the order of the iBUG 300-W markup.

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
    """Estimate the head yaw in degrees; positive is to the person's left.

    The tip of the nose lies in front of the eyes, so a turn of the head moves it along
    the line through their outer corners. In-plane rotation has no effect.

    Args:
        landmarks: (68, 2) points of a picture that is not mirrored.
    """
    right_corner, left_corner = landmarks[36], landmarks[45]  # from the person's view
    axis = left_corner - right_corner
    distance_squared = float(axis @ axis)
    if not distance_squared:
        return 0.0
    middle = (right_corner + left_corner) / 2
    offset = float((landmarks[30] - middle) @ axis) / distance_squared
    return math.degrees(math.atan(offset / NOSE_DEPTH))
