"""Track faces from frame to frame and give one verdict on each.

The detector runs on a schedule, and whenever a face is lost or the scene changes. In
between, each face is tracked by template matching near its last position. All faces
are scored together several times a second, and the verdict is based on the scores of
about one second.
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
    """When to detect and score faces, and how many scores a verdict needs."""

    detect_every_s: float = 0.2
    score_every_s: float = 0.1
    window_s: float = 1.0  # older scores no longer count ...
    min_scores: int = 4  # ... but a verdict needs at least this many
    hysteresis: float = 0.05  # distance past the threshold to reverse a verdict
    forget_s: float = 0.5  # a face that is not detected for this long has left
    orient_every_s: float = 5.0  # check which side is up; new faces are checked at once
    gap_s: float = 2.0  # a longer gap in the source drops all tracks


SMALL_WIDTH_PX = 160  # of the grey frame that faces are tracked in; 640 / 4
TEMPLATE_PX = 32  # side of a face's template
SEARCH_PX = 64  # side of the search area: twice the face
LOST_CORRELATION = 0.5  # of template and frame, -1 to 1; a face below it is lost
SCENE_CHANGE = 40.0  # mean difference of two grey frames, 0 to 255
MATCH_OVERLAP = 0.3  # minimum intersection over union of a track and a detection


class FaceTracks:
    """All faces of one source.

    Args:
        detector: Face detector.
        classifier: Classifier that scores faces; its threshold decides the label.
        problem: Function that returns why a face cannot be scored, or "".
        rules: When to detect, score and decide.
        checks: Challenge and identification of live faces; None for neither.
        upside_down: Function that tells which of the detections are upside down.
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
        """Process the next frame.

        Args:
            image: (H, W, 3) uint8, BGR.
            time_s: Time of the frame in seconds. If it goes back, e.g. because a
                camera's clock is set, all tracks are dropped.

        Returns:
            The verdict on each face, the most confidently detected first.
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
        """Return the verdict on a track after the checks."""
        if self._checks is None:
            return track.verdict()
        if track.person is None:
            track.person = Person(self._checks)
        return track.person.checked(track.verdict(), image, time_s)

    def _forget_all(self) -> None:
        """Drop all tracks."""
        self._tracks = []
        self._small = None
        self._detected_s = self._scored_s = float("-inf")

    def _scene_changed(self, small: np.ndarray) -> bool:
        """Tell whether the frame differs strongly from the last one."""
        if self._small is None:
            return True
        return bool(
            cv2.norm(small, self._small, cv2.NORM_L1) > SCENE_CHANGE * small.size
        )

    def _follow(self, small: np.ndarray, shape_hw: tuple[int, int]) -> bool:
        """Move the boxes with the faces; return True if a face was lost just now."""
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
        """Assign each detection to the track it overlaps most, or to a new track."""
        pairs = sorted(
            (
                (intersection_over_union(track.box, detection.box), number, index)
                for number, track in enumerate(self._tracks)
                for index, detection in enumerate(detections)
            ),
            reverse=True,
        )
        numbers: set[int] = set()  # tracks that have a detection
        indices: set[int] = set()  # detections that have a track
        for overlap, number, index in pairs:
            if overlap < MATCH_OVERLAP or number in numbers or index in indices:
                continue
            numbers.add(number)
            indices.add(index)
            self._tracks[number].assign(detections[index], small, shape[:2], time_s)
        for index, detection in enumerate(detections):
            if index not in indices:
                self._count += 1
                track = _Track(self._count, detection.box, detection.confidence)
                track.assign(detection, small, shape[:2], time_s)
                self._tracks.append(track)
        self._tracks = [
            track
            for track in self._tracks
            if time_s - track.detected_s < self._rules.forget_s
        ]

    def _orient(self, image: np.ndarray, time_s: float) -> None:
        """Check, when it is due, which of the detected faces are upside down."""
        tracks = [track for track in self._tracks if track.detected_s == time_s]
        oldest_s = min((track.oriented_s for track in tracks), default=time_s)
        if time_s - oldest_s < self._rules.orient_every_s - 1e-3:
            return
        flags = self._upside_down(image, [track.detection for track in tracks])
        for track, is_upside_down in zip(tracks, flags, strict=True):
            track.upside_down, track.oriented_s = is_upside_down, time_s

    def _score(self, image: np.ndarray, time_s: float) -> None:
        """Score every face without a problem, in one batch."""
        self._scored_s = time_s
        candidates = []
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
                candidates.append(track)
        if not candidates:
            return
        boxes = [track.box for track in candidates]
        predictions = self._classifier.classify(image, boxes)
        for track, prediction in zip(candidates, predictions, strict=True):
            track.scores.append((time_s, prediction.score))
            track.decide(time_s, self._classifier.threshold, self._rules)


@dataclass
class _Track:
    """One face: its position, its template and its latest scores."""

    number: int
    box: Box
    confidence: float
    label: str = CHECKING
    reason: str = ""
    problem: str = ""
    judged: bool = False  # whether it was checked since it appeared
    lost: bool = False
    detected_s: float = float("-inf")
    scores: deque[tuple[float, float]] = field(default_factory=deque)
    template: np.ndarray | None = None
    person: Person | None = None
    detection: "Detection | None" = None  # the latest detection
    upside_down: bool = False
    oriented_s: float = float("-inf")  # time of the last orientation check

    def assign(
        self,
        detection: "Detection",
        small: np.ndarray,
        shape_hw: tuple[int, int],
        time_s: float,
    ) -> None:
        """Adopt a detection; after a loss, the face may be another person's."""
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
        """Move the box to the best match of the template, if it is good enough."""
        area = _patch(small, self.box, shape_hw, SEARCH_PX, SEARCH_PX / TEMPLATE_PX)
        correlation = cv2.matchTemplate(area, self.template, cv2.TM_CCOEFF_NORMED)
        _, best, _, (column, row) = cv2.minMaxLoc(correlation)
        self.lost = self.lost or best < LOST_CORRELATION
        if self.lost:
            return
        middle = (SEARCH_PX - TEMPLATE_PX) // 2
        x_min, y_min, x_max, y_max = self.box
        x_shift = round((column - middle) * (x_max - x_min) / TEMPLATE_PX)
        y_shift = round((row - middle) * (y_max - y_min) / TEMPLATE_PX)
        box = (x_min + x_shift, y_min + y_shift, x_max + x_shift, y_max + y_shift)
        box = clip_box(box, shape_hw)
        if box_area(box):
            self.box = box

    def decide(self, time_s: float, threshold: float, rules: TrackRules) -> None:
        """Decide on a label from the scores in the window."""
        while (
            len(self.scores) > rules.min_scores
            and time_s - self.scores[0][0] > rules.window_s
        ):
            self.scores.popleft()
        if len(self.scores) < rules.min_scores:
            self.label, self.reason = CHECKING, Reason.LOOKING
            return
        # The band is narrower for thresholds near 0 and 1, so that scores can leave it.
        band = min(rules.hysteresis, threshold / 2, (1 - threshold) / 2)
        level = {REAL: threshold - band, FAKE: threshold + band}
        is_real = self.mean_score >= level.get(self.label, threshold)
        self.label, self.reason = REAL if is_real else FAKE, ""

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores in the window, None if there are none."""
        if not self.scores:
            return None
        return sum(score for _, score in self.scores) / len(self.scores)

    def verdict(self) -> FaceVerdict:
        """Return the verdict on the track."""
        return FaceVerdict(
            self.box,
            self.confidence,
            self.mean_score,
            self.label,
            self.reason,
            self.number,
        )


def _small_grey(image: np.ndarray) -> np.ndarray:
    """Convert a frame to grey, SMALL_WIDTH_PX wide, for fast tracking."""
    height, width = image.shape[:2]
    size_wh = (SMALL_WIDTH_PX, max(1, round(height * SMALL_WIDTH_PX / width)))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # one channel resizes faster
    return cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA)


def _patch(
    small: np.ndarray, box: Box, shape_hw: tuple[int, int], side_px: int, scale: float
) -> np.ndarray:
    """Resample ``scale`` times the box to (side_px, side_px) uint8 grey."""
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
