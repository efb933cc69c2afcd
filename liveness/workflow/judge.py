"""Judge the faces of still pictures."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liveness.constants import (
    DEFAULT_CONFIDENCE,
    DEFAULT_DETECTOR,
    DEFAULT_TOLERANCE,
)
from liveness.faces.crops import crop_face
from liveness.faces.detector import FaceDetector, near_faces
from liveness.io.images import read_image
from liveness.model.classifier import LivenessClassifier
from liveness.model.explanation import Explanation, explain
from liveness.model.verdicts import FaceVerdict, classify_faces

if TYPE_CHECKING:
    from liveness.people.identity import FaceIdentifier


@dataclass(frozen=True)
class Judging:
    """What faces are judged with.

    Attributes:
        model: Keras file; None as in ``find_model``.
        label_encoder: Its label encoder; None as in ``find_model``.
        threshold: Score from which a face counts as real; None for the model's.
        detector: Folder of the face detector.
        confidence: Minimum detector confidence of a face, 0 to 1.
        known: Encodings file of known people; None names nobody.
        tolerance: Largest distance of a face from its person, above 0.
        name_fakes: Whether to say whom a fake face shows.
    """

    model: Path | None = None
    label_encoder: Path | None = None
    threshold: float | None = None
    detector: Path = DEFAULT_DETECTOR
    confidence: float = DEFAULT_CONFIDENCE
    known: Path | None = None
    tolerance: float = DEFAULT_TOLERANCE
    name_fakes: bool = False


@dataclass(frozen=True)
class JudgingParts:
    """What ``Judging`` names, loaded.

    Attributes:
        classifier: Scores faces.
        detector: Finds faces.
        identifier: Names faces; None names nobody.
    """

    classifier: LivenessClassifier
    detector: FaceDetector
    identifier: "FaceIdentifier | None"


class PictureJudge:
    """Detects, scores and names the faces of still pictures.

    Args:
        classifier: Scores the faces.
        detector: Finds them.
        identifier: Names them; None names nobody.
        name_fakes: Whether it also says whom a fake face shows.
    """

    def __init__(
        self,
        classifier: LivenessClassifier,
        detector: FaceDetector,
        identifier: "FaceIdentifier | None" = None,
        *,
        name_fakes: bool = False,
    ) -> None:
        self._detector = detector
        self._identifier = identifier
        self._name_fakes = name_fakes
        self.classifier = classifier

    def explain(self, image: np.ndarray, face: FaceVerdict) -> Explanation | None:
        """Return where a verdict comes from; None for a face that was not scored.

        Args:
            image: (H, W, 3) uint8, BGR.
            face: Of ``judge`` on this image.
        """
        if face.score is None:
            return None
        return explain(self.classifier, self.crop(image, face))

    def crop(self, image: np.ndarray, face: FaceVerdict) -> np.ndarray:
        """Return the crop that a face was scored by, (side, side, 3) uint8, BGR."""
        scale = self.classifier.card.crop_scale
        return crop_face(image, face.box, scale=scale)

    def judge(self, image: np.ndarray) -> list[FaceVerdict]:
        """Return the verdict on each face, the most confidently detected first.

        Args:
            image: (H, W, 3) uint8, BGR.
        """
        detections = self._detector.detect_still(image)
        upside_down = self._detector.are_upside_down(image, detections)
        faces = classify_faces(image, detections, self.classifier, upside_down)
        if self._identifier is None:
            return faces
        from liveness.people.checks import name_faces

        return name_faces(image, faces, self._identifier, fakes=self._name_fakes)


def load_judge(judging: Judging, *, must_know: str | None = None) -> PictureJudge:
    """Load a judge of pictures.

    Args:
        judging: What faces are judged with.
        must_know: A person who has to be among the known people.

    Raises:
        LivenessError: If a file is missing, damaged or unsafe.
    """
    parts = load_parts(judging, must_know=must_know)
    return PictureJudge(
        parts.classifier,
        parts.detector,
        parts.identifier,
        name_fakes=judging.name_fakes,
    )


def load_parts(judging: Judging, *, must_know: str | None = None) -> JudgingParts:
    """Load the model, the detector and the known people.

    Args:
        judging: What faces are judged with.
        must_know: A person who has to be among the known people.

    Raises:
        LivenessError: If a file is missing, damaged or unsafe.
    """
    identifier = None
    if judging.known is not None:
        from liveness.people.checks import load_identifier  # 30 ms that few need

        identifier = load_identifier(
            judging.known, judging.tolerance, must_know=must_know
        )
    with ThreadPoolExecutor(1) as pool:  # both load outside Python's lock, mostly
        loading = pool.submit(
            LivenessClassifier.load,
            judging.model,
            judging.label_encoder,
            threshold=judging.threshold,
        )
        detector = FaceDetector(judging.detector, confidence=judging.confidence)
        classifier = loading.result()
    return JudgingParts(classifier, detector, identifier)


def judge_picture(
    path: Path | str,
    *,
    model: Path | None = None,
    label_encoder: Path | None = None,
    threshold: float | None = None,
) -> list[FaceVerdict]:
    """Judge the faces of one picture file.

    For many pictures, load once with ``load_judge``.

    Args:
        path: The picture.
        model: Keras file; None as in ``find_model``.
        label_encoder: Its label encoder; None as in ``find_model``.
        threshold: Score from which a face counts as real; None for the model's.

    Returns:
        The verdict on each face, the most confidently detected first.

    Raises:
        ImageError: If the picture cannot be read.
        LivenessError: If model or detector cannot be used.
    """
    image = read_image(Path(path))
    judging = Judging(model, label_encoder, threshold)
    return load_judge(judging).judge(image)


def failed_check(faces: Sequence[FaceVerdict], name: str) -> str | None:
    """Return which check keeps the nearest face from being that person, live.

    Whoever stands far behind does not count, and whoever stands beside does.

    Args:
        faces: Named verdicts on one picture.
        name: The person.

    Returns:
        ``liveness``, ``identity``, ``several faces`` or the reason that a face was not
        judged; None if it is that person, live.
    """
    from liveness.people.identity import checked_name

    near = near_faces(faces)
    if any(face.label == "fake" for face in near):
        return "liveness"
    if any(face.reason for face in near):
        return next(face.reason for face in near if face.reason)
    if len(near) > 1:
        return "several faces"
    is_known = near and near[0].match.name == checked_name(name)
    return None if is_known else "identity"
