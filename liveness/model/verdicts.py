"""Verdict on one face: its box, score, confidence and label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liveness.constants import Reason
from liveness.faces.boxes import Box

if TYPE_CHECKING:
    import numpy as np

    from liveness.faces.detector import Detection
    from liveness.model.classifier import LivenessClassifier

CHECKING = "checking"  # label of a face that cannot be decided on (yet)


@dataclass(frozen=True)
class Match:
    """The nearest known person, if near enough.

    Attributes:
        name: The person; None if nobody is within the tolerance.
        distance: To the nearest person, whoever it is, 0 (the same picture) to about
            1; infinity if nobody is enrolled.
    """

    name: str | None
    distance: float


@dataclass(frozen=True)
class FaceVerdict:
    """One face of one picture.

    Attributes:
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive.
        confidence: Of the detector that this is a face, 0 to 1; no liveness.
        score: Probability that the face is bona fide, 0 to 1; None before the
            first scoring.
        label: ``real``, ``fake`` or ``checking``.
        reason: Why the label is ``checking``, for the person; empty otherwise.
        track: Number of the face in a live source; None in a still picture.
        match: Nearest known person, without name and distance for a face that
            is not named; None if no known people were given.
    """

    box: Box
    confidence: float
    score: float | None
    label: str
    reason: str = ""
    track: int | None = None
    match: Match | None = None

    @property
    def who(self) -> str:
        """The name in words; empty for a face without one."""
        if self.match is None or math.isinf(self.match.distance):
            return ""
        return f"{self.match.name or 'unknown'}  distance {self.match.distance:.2f}"

    def as_json(self) -> dict[str, object]:
        """Return the face as JSON values.

        A still picture has no track, and a reason only where there is one; name and
        distance are there if known people were given.
        """
        fields: dict[str, object] = {
            "box": list(self.box),
            "confidence": round(self.confidence, 4),
            "score": None if self.score is None else round(self.score, 4),
            "label": self.label,
        }
        if self.track is not None:
            fields |= {"track": self.track, "reason": self.reason}
        elif self.reason:
            fields["reason"] = self.reason
        if self.match is not None:
            distance = self.match.distance  # JSON has no infinity
            fields |= {
                "name": self.match.name,
                "distance": None if math.isinf(distance) else round(distance, 4),
            }
        return fields


def classify_faces(
    image: "np.ndarray",
    detections: Sequence["Detection"],
    classifier: "LivenessClassifier",
    upside_down: Sequence[bool] = (),
) -> list[FaceVerdict]:
    """Return verdict on each detected face of a still picture, in the given order.

    Args:
        image: (H, W, 3) uint8, BGR.
        detections: Faces of that image; all are scored in one batch.
        upside_down: Of each, whether it is; such a face is not scored.
    """
    turned = list(upside_down) or [False] * len(detections)
    upright = [
        face
        for face, is_turned in zip(detections, turned, strict=True)
        if not is_turned
    ]
    predictions = (
        iter(classifier.classify(image, [face.box for face in upright]))
        if upright
        else iter(())
    )
    verdicts = []
    for face, is_turned in zip(detections, turned, strict=True):
        if is_turned:
            score, label, reason = None, CHECKING, Reason.UPSIDE_DOWN
        else:
            prediction = next(predictions)
            score, label, reason = prediction.score, prediction.label, ""
        verdicts.append(FaceVerdict(face.box, face.confidence, score, label, reason))
    return verdicts
