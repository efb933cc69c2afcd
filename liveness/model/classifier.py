"""Face crops in, liveness scores out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liveness.errors import ModelError
from liveness.faces.boxes import Box
from liveness.faces.crops import crop_face, model_input
from liveness.model.card import ModelCard
from liveness.model.labels import FAKE, REAL, read_label_encoder
from liveness.model.loading import LoadedModel, load_model
from liveness.model.paths import ModelPaths, find_model

BATCH_SIZE = 32  # faces per run of the network; bounds the memory for long lists
ROUNDING = 1e-3  # by which a runtime's probabilities may lie outside 0 to 1


@dataclass(frozen=True)
class Prediction:
    """What the model says about one face: score is the probability of "real"."""

    label: str
    score: float


class LivenessClassifier:
    """A loaded model with its threshold; several threads may use it."""

    def __init__(
        self,
        loaded: LoadedModel,
        labels: Sequence[str],
        *,
        name: str,
        threshold: float | None = None,
    ) -> None:
        """Join a loaded model with the order of its outputs.

        Args:
            loaded: From ``load_model``.
            labels: Classes in the order of the network's outputs.
            name: What to call the model in ``description``.
            threshold: Score from which a face counts as real; None for the card's.
        """
        self.card: ModelCard = loaded.card
        self.threshold = loaded.card.threshold if threshold is None else threshold
        self._network = loaded.network
        self._real = list(labels).index(REAL)
        self.name = name

    @classmethod
    def load(
        cls, model: Path | None, le: Path | None, *, threshold: float | None = None
    ) -> "LivenessClassifier":
        """Load a model and its label encoder.

        Args:
            model: Keras file; None as in ``find_model``.
            le: Its label encoder; None as in ``find_model``.
            threshold: Score from which a face counts as real; None for the card's.

        Raises:
            ModelError: If a file is missing, damaged, unsafe or of another model.
        """
        paths = find_model(model, le)
        labels = read_label_encoder(paths.label_encoder)
        loaded = load_model(paths)
        # A model without a card takes the order of its label encoder.
        if loaded.card.model_sha256 and tuple(labels) != tuple(loaded.card.labels):
            raise _foreign_encoder(paths, labels, loaded.card)
        return cls(loaded, labels, name=f"'{paths.model}'", threshold=threshold)

    @property
    def description(self) -> str:
        """One line: which model, what runs it, and the threshold."""
        return (
            f"model {self.name}, run by {self._network.runtime}, "
            f"threshold {self.threshold:.3f}"
        )

    def classify(self, image: np.ndarray, boxes: Sequence[Box]) -> list[Prediction]:
        """Judge the faces of one image.

        Args:
            image: (H, W, 3) uint8, BGR.
            boxes: One per face, (x_min, y_min, x_max, y_max) in pixels, max
                exclusive, not empty, inside the image.

        Returns:
            One prediction per box, in their order.

        Raises:
            ValueError: If a box is empty or lies outside the image.
            ModelError: As ``score_crops``.
        """
        scale = self.card.crop_scale
        scores = self.score_crops([crop_face(image, box, scale=scale) for box in boxes])
        return [self._prediction(float(score)) for score in scores]

    def score_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Return probability of "real" for each crop.

        Args:
            crops: Square (side, side, 3) uint8 BGR pictures from ``crop_face`` with
                the scale of ``card.crop_scale``; sides may differ.

        Returns:
            (N,) float32, 0 to 1.

        Raises:
            ModelError: If an output of the network is no probability.
        """
        scores = np.empty(len(crops), np.float32)
        for start in range(0, len(crops), BATCH_SIZE):
            batch = model_input(
                crops[start : start + BATCH_SIZE],
                crop_scale=self.card.crop_scale,
                view_scales=self.card.view_scales,
                side_px=self.card.input_size_px,
            )
            scores[start : start + len(batch)] = self.score_inputs(batch)
        return scores

    def score_inputs(self, batch: np.ndarray) -> np.ndarray:
        """Return probability of "real" for each input of the network.

        Args:
            batch: (N, side, side, 3 * views) float32 in [0, 1], from ``model_input``.

        Returns:
            (N,) float32, 0 to 1.

        Raises:
            ModelError: If an output of the network is no probability.
        """
        outputs = self._checked(self._network(batch))
        # Older models end in two sigmoids, which need not add up to 1.
        total = np.maximum(outputs.sum(axis=1), np.finfo(np.float32).tiny)
        return outputs[:, self._real] / total

    def _checked(self, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs, which must be probabilities."""
        # Written so that a NaN fails too.
        if not ((outputs >= -ROUNDING) & (outputs <= 1 + ROUNDING)).all():
            raise ModelError(
                f"model {self.name} gives {outputs.min():.3g} to {outputs.max():.3g}, "
                "expected probabilities from 0 to 1: it is damaged, or its last layer "
                "has no softmax"
            )
        return outputs.clip(0, 1)

    def _prediction(self, score: float) -> Prediction:
        return Prediction(REAL if score >= self.threshold else FAKE, score)


def _foreign_encoder(
    paths: ModelPaths, labels: Sequence[str], card: ModelCard
) -> ModelError:
    return ModelError(
        f"the label encoder '{paths.label_encoder}' has the order {', '.join(labels)}, "
        f"the model '{paths.model}' {', '.join(card.labels)}: give the one written "
        "with the model"
    )
