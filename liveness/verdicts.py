"""What is said about one face: where it is, its two numbers and its label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liveness.boxes import Box

if TYPE_CHECKING:
    import numpy as np

    from liveness.classifier import LivenessClassifier
    from liveness.faces import Detection

CHECKING = "checking"  # label of a face that cannot be decided on (yet)


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
    """

    box: Box
    confidence: float
    score: float | None
    label: str
    reason: str = ""
    track: int | None = None

    def as_json(self) -> dict[str, object]:
        """The face as JSON values; a still picture has no track and no reason."""
        fields: dict[str, object] = {
            "box": list(self.box),
            "confidence": round(self.confidence, 4),
            "score": None if self.score is None else round(self.score, 4),
            "label": self.label,
        }
        if self.track is not None:
            fields |= {"track": self.track, "reason": self.reason}
        return fields


def classify_faces(
    image: "np.ndarray",
    detections: Sequence["Detection"],
    classifier: "LivenessClassifier",
) -> list[FaceVerdict]:
    """Verdict on each detected face of a still picture, in the given order.

    Args:
        image: (H, W, 3) uint8, BGR.
        detections: Faces of that image; all are scored in one batch.
    """
    if not detections:
        return []
    predictions = classifier.classify(image, [face.box for face in detections])
    return [
        FaceVerdict(face.box, face.confidence, prediction.score, prediction.label)
        for face, prediction in zip(detections, predictions, strict=True)
    ]
