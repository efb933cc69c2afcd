"""Where a verdict comes from: parts of a face's crop are covered, one after another.

Occlusion, after Zeiler and Fergus, "Visualizing and Understanding Convolutional
Networks" (ECCV 2014), through the same runtime file that judges: nothing of the network
is needed but its scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from liveness.faces.crops import filmed_mask, model_input
from liveness.model.classifier import LivenessClassifier

CELLS = 10  # of the grid on each side of the crop
REACH = 1  # cells around a cell that are covered with it
MARKED = 0.1  # share of the cells that is marked
BLUR = 1 / 8  # of the crop's side: what a covered part is filled with
LEAST_LOGIT = 1e-6  # of a probability: keeps the logit finite


@dataclass(frozen=True)
class Explanation:
    """Where a verdict comes from.

    Attributes:
        is_real: The verdict.
        heat: (CELLS, CELLS) float64, how much of the logit of bona fide each part of
            the crop gives: above 0 it speaks for real, below 0 for fake.
        views: Scale of each view and how much of the logit it gives.
    """

    is_real: bool
    heat: np.ndarray
    views: tuple[tuple[float, float], ...]

    @property
    def marked(self) -> np.ndarray:
        """(CELLS, CELLS) bool, the tenth that speaks most for the verdict."""
        side = 1 if self.is_real else -1
        order = np.argsort(-side * self.heat, axis=None)
        marked = np.zeros(self.heat.size, bool)
        marked[order[: round(MARKED * self.heat.size)]] = True
        return marked.reshape(self.heat.shape)

    @property
    def sentence(self) -> str:
        """Which view speaks most for the verdict, and what each gives."""
        parts = [f"{_name(scale)} {value:+.1f}" for scale, value in self.views]
        side, word = (1, "real") if self.is_real else (-1, "fake")
        scale, value = max(self.views, key=lambda view: side * view[1])
        if side * value <= 0:
            return f"no view says {word}; the threshold decides ({', '.join(parts)})"
        return f"{word} because of {_name(scale)} ({', '.join(parts)})"

    def as_json(self) -> dict[str, object]:
        """Return the explanation as JSON values."""
        return {
            "sentence": self.sentence,
            "views": [
                {"scale": scale, "logit": round(value, 2)}
                for scale, value in self.views
            ],
            "heat": np.round(self.heat, 2).tolist(),
        }


def explain(classifier: LivenessClassifier, crop: np.ndarray) -> Explanation:
    """Explain the score of a face; about half a second on two cores.

    Args:
        classifier: What scores it.
        crop: (side, side, 3) uint8, BGR, of the scale of the classifier's card.
    """
    blurred, filmed = _blurred(crop), filmed_mask(crop)
    covered = [_covered(crop, cells, blurred, filmed) for cells in _patches()]
    whole, *rest = _logits(classifier.score_crops([crop, *covered]))
    heat = (whole - np.array(rest)).reshape(CELLS, CELLS)
    is_real = bool(whole >= _logits(classifier.threshold))
    return Explanation(is_real, heat, _views(classifier, crop, whole))


def cover(crop: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Cover parts of a crop with a blur of it; what no camera filmed stays black.

    Args:
        crop: (side, side, 3) uint8, BGR.
        cells: (CELLS, CELLS) bool, the parts.

    Returns:
        (side, side, 3) uint8, BGR, a new picture.
    """
    return _covered(crop, cells, _blurred(crop), filmed_mask(crop))


def draw_heat(crop: np.ndarray, explanation: Explanation) -> np.ndarray:
    """Draw where the score comes from: green speaks for real, red for fake.

    Args:
        crop: (side, side, 3) uint8, BGR.
        explanation: Of this crop.

    Returns:
        (side, side, 3) uint8, BGR, a new picture, with the marked tenth outlined.
    """
    side = crop.shape[0]
    heat = cv2.resize(explanation.heat, (side, side), interpolation=cv2.INTER_CUBIC)
    strength = np.abs(heat) / max(np.abs(explanation.heat).max(), 1e-9)
    colour = np.where(heat[..., None] > 0, (60, 190, 80), (60, 60, 230))
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None].astype(np.float64)
    share = 0.7 * strength.clip(0, 1)[..., None]
    image = np.rint(grey * (1 - share) + colour * share).astype(np.uint8)
    mask = cv2.resize(
        explanation.marked.astype(np.uint8),
        (side, side),
        interpolation=cv2.INTER_NEAREST,
    )
    outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(image, outline, -1, (255, 255, 255), max(1, side // 150))
    return image


def _patches() -> Sequence[np.ndarray]:
    """Return, for each cell, the cells that are covered with it."""
    rows, columns = np.indices((CELLS, CELLS))
    return [
        (np.abs(rows - row) <= REACH) & (np.abs(columns - column) <= REACH)
        for row in range(CELLS)
        for column in range(CELLS)
    ]


def _blurred(crop: np.ndarray) -> np.ndarray:
    """Return the crop without detail, enlarged from a small copy, and nowhere black."""
    side = crop.shape[0]
    small = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 32 * BLUR)
    return np.maximum(cv2.resize(small, (side, side)), 1)


def _covered(
    crop: np.ndarray, cells: np.ndarray, blurred: np.ndarray, filmed: np.ndarray
) -> np.ndarray:
    """Return the crop, blurred where the cells are and it was filmed."""
    mask = cv2.resize(
        cells.astype(np.uint8), crop.shape[1::-1], interpolation=cv2.INTER_NEAREST
    )
    return cv2.copyTo(blurred, mask & filmed.astype(np.uint8), crop.copy())


def _views(
    classifier: LivenessClassifier, crop: np.ndarray, whole: float
) -> tuple[tuple[float, float], ...]:
    """Return the drop in logit when a view is black, as if it were missing."""
    card = classifier.card
    batch = model_input(
        [crop] * len(card.view_scales),
        crop_scale=card.crop_scale,
        view_scales=card.view_scales,
        side_px=card.input_size_px,
    )
    for view in range(len(card.view_scales)):
        batch[view, :, :, 3 * view : 3 * view + 3] = 0
    values = whole - _logits(classifier.score_inputs(batch))
    return tuple(zip(card.view_scales, map(float, values), strict=True))


def _logits(scores: np.ndarray | float) -> np.ndarray:
    chance = np.asarray(scores, np.float64).clip(LEAST_LOGIT, 1 - LEAST_LOGIT)
    return np.log(chance / (1 - chance))


def _name(scale: float) -> str:
    """Return what a view shows, in words."""
    if scale <= 1:
        return "the face itself"
    return "the face and its edge" if scale < 2 else "what is around the face"
