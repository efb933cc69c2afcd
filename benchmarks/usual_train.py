"""Training the usual way: pictures in memory, augmented one by one in Python."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from liveness.faces.crops import CROP_SCALE, model_input

VIEW_SCALES = (1.0,)  # the network learns from one view of a sample


def load_all(paths: Sequence[Path], *, side_px: int) -> np.ndarray:
    """(N, side, side, 3): every picture, read into one array of float64."""
    data = []
    for path in paths:
        batch = model_input(
            [cv2.imread(str(path))],
            crop_scale=CROP_SCALE,
            view_scales=VIEW_SCALES,
            side_px=side_px,
        )
        data.append(batch[0])
    return np.array(data, dtype="float")


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turned, zoomed, moved, brightened and mirrored at random."""
    side = image.shape[0]
    centre = (side - 1) / 2, (side - 1) / 2
    matrix = cv2.getRotationMatrix2D(
        centre, rng.uniform(-20, 20), rng.uniform(0.85, 1.15)
    )
    matrix[:, 2] += rng.uniform(-0.2, 0.2, 2) * side
    moved = cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    moved = np.clip(moved * rng.uniform(0.8, 1.2), 0, 1)
    return moved[:, ::-1] if rng.random() < 0.5 else moved


def batches(
    data: np.ndarray, targets: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Augmented batches without end."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(data))
        for start in range(0, len(data) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            yield np.array([augment(data[i], rng) for i in rows]), targets[rows]
