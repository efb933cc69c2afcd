"""Faces that keep their identity from frame to frame, and one verdict on each.

The detector runs on a schedule, when a face is lost and when the scene changes;
in between a small template of each face is looked for near its last place. All
faces are scored together a few times a second, and the scores of about a second
make the verdict.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from liveness.constants import Reason
from liveness.faces.boxes import Box, box_area, clip_box, intersection_over_union
from liveness.faces.quality import face_problem
from liveness.model.labels import FAKE, REAL
from liveness.model.verdicts import CHECKING, FaceVerdict
from liveness.people.checks import Person, PersonChecks

if TYPE_CHECKING:
    from liveness.faces.detector import Detection, FaceDetector
    from liveness.model.classifier import LivenessClassifier


@dataclass(frozen=True)
class TrackRules:
    """When to look, and how much evidence a verdict needs."""

    detect_every_s: float = 0.2
    score_every_s: float = 0.1
    window_s: float = 1.0  # scores older than that no longer count ...
    min_scores: int = 4  # ... but a verdict rests on at least so many
    hysteresis: float = 0.05  # past the threshold before a verdict turns round
    forget_s: float = 0.5  # a face that the detector misses for so long has left
    orient_every_s: float = 5.0  # which side is up; a new face is looked at at once
    gap_s: float = 2.0  # after such a gap in the source nobody is known any more


SMALL_WIDTH_PX = 160  # of the grey picture that faces are followed in; 640 / 4
TEMPLATE_PX = 32  # side of a face's template
SEARCH_PX = 64  # side of the area it is looked for in: twice the face
LOST_CORRELATION = 0.5  # of template and picture, -1 to 1
SCENE_CHANGE = 40.0  # mean difference of two grey pictures, 0 to 255
MATCH_OVERLAP = 0.3  # least intersection over union of a track and a detection


class FaceTracks:
    """All faces of one source.

    Args:
        detector: Finds faces in a picture.
        classifier: Scores faces; its threshold makes a score a label.
        problem: Why a face cannot be judged, empty if it can.
        rules: When to look and when to decide.
        checks: What else is asked of a live face, and who it is; None for neither.
        upside_down: Which of the faces found in a picture are.
    """

    def __init__(
        self,
        detector: "FaceDetector",
        classifier: "LivenessClassifier",
        *,
        problem: Callable[[np.ndarray, Box], str] = face_problem,
        rules: TrackRules | None = None,
        checks: PersonChecks | None = None,
        upside_down: "Callable[[np.ndarray, list[Detection]], list[bool]]" = (
            lambda image, faces: [False] * len(faces)
        ),
    ) -> None:
        self._detector = detector
        self._classifier = classifier
        self._problem = problem
        self._rules = rules or TrackRules()
        self._checks = checks
        self._upside_down = upside_down
        self._tracks: list[_Track] = []
        self._small: np.ndarray | None = None
        self._count = 0
        self._seen_s = self._detected_s = self._scored_s = float("-inf")

    def update(self, image: np.ndarray, time_s: float) -> list[FaceVerdict]:
        """Take the next picture in.

        Args:
            image: (H, W, 3) uint8, BGR.
            time_s: When it was taken, in seconds. Where it goes back, as when a
                camera's clock is set, everything starts anew.

        Returns:
            Verdict on each face, the most confidently detected first.
        """
        small = _small_grey(image)
        if self._small is not None and small.shape != self._small.shape:
            self._forget_all()
        if not 0 <= time_s - self._seen_s <= self._rules.gap_s:
            self._forget_all()
        lost = self._follow(small, image.shape[:2])
        due = time_s - self._detected_s >= self._rules.detect_every_s - 1e-3
        if due or lost or self._scene_changed(small):
            self._match(self._detector.detect(image), small, image.shape, time_s)
            self._detected_s = time_s
            self._orient(image, time_s)
        if time_s - self._scored_s >= self._rules.score_every_s - 1e-3 or any(
            not track.judged for track in self._tracks
        ):
            self._score(image, time_s)
        self._small, self._seen_s = small, time_s
        verdicts = [self._verdict(track, image, time_s) for track in self._tracks]
        return sorted(verdicts, key=lambda verdict: -verdict.confidence)

    def _verdict(
        self, track: "_Track", image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """The track's verdict after all that is asked of it."""
        if self._checks is None:
            return track.verdict()
        if track.person is None:
            track.person = Person(self._checks)
        return track.person.checked(track.verdict(), image, time_s)

    def _forget_all(self) -> None:
        self._tracks = []
        self._small = None
        self._detected_s = self._scored_s = float("-inf")

    def _scene_changed(self, small: np.ndarray) -> bool:
        if self._small is None:
            return True
        return bool(
            cv2.norm(small, self._small, cv2.NORM_L1) > SCENE_CHANGE * small.size
        )

    def _follow(self, small: np.ndarray, shape_hw: tuple[int, int]) -> bool:
        """Move the boxes to where the faces are now; True if one was just lost."""
        newly_lost = False
        for track in self._tracks:
            was_lost = track.lost
            track.follow(small, shape_hw)
            newly_lost |= track.lost and not was_lost
        return newly_lost

    def _match(
        self,
        detections: list["Detection"],
        small: np.ndarray,
        shape: tuple[int, ...],
        time_s: float,
    ) -> None:
        """Give each detection to the track it overlaps most, or to a new one."""
        pairs = sorted(
            (
                (intersection_over_union(track.box, found.box), number, index)
                for number, track in enumerate(self._tracks)
                for index, found in enumerate(detections)
            ),
            reverse=True,
        )
        taken: set[int] = set()
        given: set[int] = set()
        for overlap, number, index in pairs:
            if overlap < MATCH_OVERLAP or number in taken or index in given:
                continue
            taken.add(number)
            given.add(index)
            self._tracks[number].found(detections[index], small, shape[:2], time_s)
        for index, found in enumerate(detections):
            if index not in given:
                self._count += 1
                track = _Track(self._count, found.box, found.confidence)
                track.found(found, small, shape[:2], time_s)
                self._tracks.append(track)
        self._tracks = [
            track
            for track in self._tracks
            if time_s - track.detected_s < self._rules.forget_s
        ]

    def _orient(self, image: np.ndarray, time_s: float) -> None:
        """Look which side of the faces just found is up, if it is time."""
        seen = [track for track in self._tracks if track.detected_s == time_s]
        oldest_s = min((track.oriented_s for track in seen), default=time_s)
        if time_s - oldest_s < self._rules.orient_every_s - 1e-3:
            return
        faces = [track.detection for track in seen]
        for track, is_turned in zip(seen, self._upside_down(image, faces), strict=True):
            track.upside_down, track.oriented_s = is_turned, time_s

    def _score(self, image: np.ndarray, time_s: float) -> None:
        """Score every face that can be judged, in one batch."""
        self._scored_s = time_s
        fit = []
        for track in self._tracks:
            if track.upside_down:
                problem = Reason.UPSIDE_DOWN
            else:
                problem = self._problem(image, track.box)
            if not problem and track.lost:
                problem = Reason.HOLD_STILL
            if not problem and track.person is not None and track.person.turned_away:
                problem = Reason.LOOK_AHEAD
            track.judged = True
            track.problem = problem
            if problem:
                track.label, track.reason = CHECKING, problem
            else:
                fit.append(track)
        if not fit:
            return
        predictions = self._classifier.classify(image, [track.box for track in fit])
        for track, prediction in zip(fit, predictions, strict=True):
            track.scores.append((time_s, prediction.score))
            track.decide(time_s, self._classifier.threshold, self._rules)


@dataclass
class _Track:
    """One face: where it is, what it looks like, and its latest scores."""

    number: int
    box: Box
    confidence: float
    label: str = CHECKING
    reason: str = ""
    problem: str = ""
    judged: bool = False  # whether it was looked at since it appeared
    lost: bool = False
    detected_s: float = float("-inf")
    scores: deque[tuple[float, float]] = field(default_factory=deque)
    template: np.ndarray | None = None
    person: Person | None = None
    detection: "Detection | None" = None  # the last one
    upside_down: bool = False
    oriented_s: float = float("-inf")  # when that was looked at

    def found(
        self,
        detection: "Detection",
        small: np.ndarray,
        shape_hw: tuple[int, int],
        time_s: float,
    ) -> None:
        """Take the detector's box over. A lost face may be another person's."""
        if self.lost:
            self.scores.clear()
            self.label, self.judged, self.lost = CHECKING, False, False
            self.person = None
            self.upside_down, self.oriented_s = False, float("-inf")
        self.detection = detection
        self.box, self.confidence = detection.box, detection.confidence
        self.detected_s = time_s
        self.template = _patch(small, self.box, shape_hw, TEMPLATE_PX, 1.0)

    def follow(self, small: np.ndarray, shape_hw: tuple[int, int]) -> None:
        """Move the box to where the template fits best, if it fits at all."""
        area = _patch(small, self.box, shape_hw, SEARCH_PX, SEARCH_PX / TEMPLATE_PX)
        fit = cv2.matchTemplate(area, self.template, cv2.TM_CCOEFF_NORMED)
        _, best, _, (column, row) = cv2.minMaxLoc(fit)
        self.lost = self.lost or best < LOST_CORRELATION
        if self.lost:
            return
        middle = (SEARCH_PX - TEMPLATE_PX) // 2
        x_min, y_min, x_max, y_max = self.box
        x_shift = round((column - middle) * (x_max - x_min) / TEMPLATE_PX)
        y_shift = round((row - middle) * (y_max - y_min) / TEMPLATE_PX)
        moved = (x_min + x_shift, y_min + y_shift, x_max + x_shift, y_max + y_shift)
        moved = clip_box(moved, shape_hw)
        if box_area(moved):
            self.box = moved

    def decide(self, time_s: float, threshold: float, rules: TrackRules) -> None:
        """Make a label of the scores of the last second."""
        while (
            len(self.scores) > rules.min_scores
            and time_s - self.scores[0][0] > rules.window_s
        ):
            self.scores.popleft()
        if len(self.scores) < rules.min_scores:
            self.label, self.reason = CHECKING, Reason.LOOKING
            return
        # Near 0 and 1 the band is narrower, so that it can always be left.
        band = min(rules.hysteresis, threshold / 2, (1 - threshold) / 2)
        level = {REAL: threshold - band, FAKE: threshold + band}
        is_real = self.mean_score >= level.get(self.label, threshold)
        self.label, self.reason = REAL if is_real else FAKE, ""

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores in the window, None while there is none."""
        if not self.scores:
            return None
        return sum(score for _, score in self.scores) / len(self.scores)

    def verdict(self) -> FaceVerdict:
        """The track as it is told to others."""
        return FaceVerdict(
            self.box,
            self.confidence,
            self.mean_score,
            self.label,
            self.reason,
            self.number,
        )


def _small_grey(image: np.ndarray) -> np.ndarray:
    """Grey picture SMALL_WIDTH_PX wide, in which faces are cheap to follow."""
    height, width = image.shape[:2]
    size_wh = (SMALL_WIDTH_PX, max(1, round(height * SMALL_WIDTH_PX / width)))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # one channel shrinks faster
    return cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA)


def _patch(
    small: np.ndarray, box: Box, shape_hw: tuple[int, int], side_px: int, scale: float
) -> np.ndarray:
    """What lies in ``scale`` times the box, as (side_px, side_px) uint8 grey."""
    per_x, per_y = small.shape[1] / shape_hw[1], small.shape[0] / shape_hw[0]
    width, height = (box[2] - box[0]) * per_x, (box[3] - box[1]) * per_y
    x_zoom, y_zoom = side_px / (width * scale), side_px / (height * scale)
    x_middle, y_middle = (box[0] + box[2]) / 2 * per_x, (box[1] + box[3]) / 2 * per_y
    to_patch = np.array(
        [
            [x_zoom, 0, side_px / 2 - x_middle * x_zoom],
            [0, y_zoom, side_px / 2 - y_middle * y_zoom],
        ]
    )
    return cv2.warpAffine(
        small, to_patch, (side_px, side_px), borderMode=cv2.BORDER_REPLICATE
    )
