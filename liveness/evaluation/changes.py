"""Faces as another camera or light would show them, for measuring a model.

Light, colours and focus change about as much as training varies what is around the
face at most, and inside the face more than that. Noise is that of a sensor, before
the picture is made smaller; compression and distance go beyond training. People know
the face at once. Amounts are our choice, not a standard's. Black, which stands for
what lies beyond the frame, stays black.
"""

from collections.abc import Callable

import cv2
import numpy as np

from liveness.faces.boxes import square_around
from liveness.faces.crops import crop_face, filmed_mask, whole_box
from liveness.io.images import recompress

Change = Callable[[np.ndarray], np.ndarray]

# Standard deviation of a soft focus: of what the network sees about one pixel of the
# view around the face, and four of that inside it.
SHARE_OF_SIDE = 1 / 80
NOISE_LEVELS = 18  # standard deviation of sensor noise, of 255 levels
JPEG_QUALITY = 25
NEARER = 0.8  # side of the crop after over before: a detector's box that is smaller


def _levels(curve: np.ndarray) -> Change:
    """Another level for each level and channel; (256,) or (256, 3) in [0, 1]."""
    curve = curve if curve.ndim == 2 else np.repeat(curve[:, None], 3, axis=1)
    table = np.rint(np.clip(curve, 0, 1) * 255).astype(np.uint8).reshape(1, 256, 3)
    return lambda crop: _keep_black(crop, cv2.LUT(crop, table))


def _keep_black(crop: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return the changed picture: 0 where nothing was filmed, at least 1 elsewhere."""
    there = filmed_mask(crop).astype(np.uint8)
    return cv2.copyTo(np.maximum(changed, 1).astype(np.uint8), there)


def _softer(crop: np.ndarray) -> np.ndarray:
    reach = max(0.5, SHARE_OF_SIDE * crop.shape[0])
    return _keep_black(crop, cv2.GaussianBlur(crop, (0, 0), reach))


def _noisier(crop: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(crop.shape, np.float32)
    return _keep_black(crop, np.clip(crop + NOISE_LEVELS * noise, 0, 255))


def _recompressed(crop: np.ndarray) -> np.ndarray:
    return _keep_black(crop, recompress(crop, JPEG_QUALITY))


def _nearer(crop: np.ndarray) -> np.ndarray:
    return crop_face(crop, square_around(whole_box(crop), NEARER), scale=1)


def _grey(crop: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return _keep_black(crop, cv2.merge([grey] * 3))


_X = np.linspace(0, 1, 256)

# Each takes and gives (side, side, 3) uint8, BGR, and never changes what it is given.
CHANGES: dict[str, Change] = {
    "bluer": _levels(_X[:, None] * (1.25, 1, 0.8)),
    "yellower": _levels(_X[:, None] * (0.8, 1, 1.25)),
    "darker": _levels(_X**1.7),
    "brighter": _levels(_X**0.6),
    "flatter": _levels(0.6 * _X + 0.2),
    "softer": _softer,
    "noisier": _noisier,
    "recompressed": _recompressed,
    "nearer": _nearer,
    "grey": _grey,
}
