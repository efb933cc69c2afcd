"""From a detected face to what the network sees: the one crop geometry.

Collectors, training and apps all call ``crop_face`` for the picture of a face and
``model_input`` for the numbers that go into a network, so that the same frame
gives the same pixels everywhere.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from liveness.boxes import Box, clip_box, square_around

CROP_SCALE = 2.7  # side of a crop over the face's longer side; MODEL_CARD.md
LEAST_FILMED = 0.5  # share of a view that must not be black for it to be used
MAX_CROP_SIDE_PX = 256  # a larger crop is shrunk to this; disk and memory


def crop_face(image: np.ndarray, box: Box, *, scale: float = CROP_SCALE) -> np.ndarray:
    """Square picture of a face and of what is around it.

    The square has the box's centre and ``scale`` times its longer side. What of
    it lies beyond the image is black. A square above ``MAX_CROP_SIDE_PX`` is
    shrunk to it by area averaging.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive.
        scale: Side of the square over the box's longer side, above 0.

    Returns:
        (side, side, 3) uint8, BGR, a copy; 1 <= side <= MAX_CROP_SIDE_PX.

    Raises:
        ValueError: If the box is empty or lies outside the image.
    """
    square = square_around(box, scale)
    x_min, y_min, x_max, y_max = clip_box(square, image.shape[:2])
    if x_min >= x_max or y_min >= y_max:
        raise ValueError(
            f"Expected a box inside the image of {image.shape[1]}x{image.shape[0]}. "
            f"Received: box={box}"
        )
    side = square[2] - square[0]
    crop = np.zeros((side, side, 3), np.uint8)
    top, left = y_min - square[1], x_min - square[0]
    crop[top : top + y_max - y_min, left : left + x_max - x_min] = image[
        y_min:y_max, x_min:x_max
    ]
    if side <= MAX_CROP_SIDE_PX:
        return crop
    shrunk = (MAX_CROP_SIDE_PX, MAX_CROP_SIDE_PX)
    return cv2.resize(crop, shrunk, interpolation=cv2.INTER_AREA)


def whole_box(image: np.ndarray) -> Box:
    """The box of a picture that is itself a face cut out at its edges."""
    height, width = image.shape[:2]
    return 0, 0, width, height


def view_of_crop(
    crop: np.ndarray, *, crop_scale: float, view_scale: float, side_px: int
) -> np.ndarray:
    """The centre of a crop as one view of the network.

    Args:
        crop: (side, side, 3) uint8, BGR, from ``crop_face`` with ``crop_scale``.
        crop_scale: Side of the crop over the face's longer side.
        view_scale: Side of the view over the face's longer side; what a view
            larger than the crop would show beyond it is black.
        side_px: Side of the returned picture in pixels.

    Returns:
        (side_px, side_px, 3) uint8, BGR.
    """
    side = crop.shape[0]
    wanted = max(1, round(side * view_scale / crop_scale))
    if wanted <= side:
        start = (side - wanted) // 2
        view = crop[start : start + wanted, start : start + wanted]
    else:
        before = (wanted - side) // 2
        after = wanted - side - before
        view = cv2.copyMakeBorder(
            crop, before, after, before, after, cv2.BORDER_CONSTANT, value=(0, 0, 0)
        )
    # Averaging when it shrinks: skipped pixels would turn texture into moire.
    shrinks = wanted > side_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(view, (side_px, side_px), interpolation=interpolation)


def filmed_share(view: np.ndarray) -> float:
    """Share of pixels that are not black, 0 to 1; (H, W, 3) uint8."""
    return float((view.max(axis=2) > 0).mean())


def views_of_crop(
    crop: np.ndarray,
    *,
    crop_scale: float,
    view_scales: Sequence[float],
    side_px: int,
) -> np.ndarray:
    """All views of a crop, stacked along the channels.

    Returns:
        (side_px, side_px, 3 * views) uint8, BGR in each view.
    """
    views = [
        view_of_crop(crop, crop_scale=crop_scale, view_scale=scale, side_px=side_px)
        for scale in view_scales
    ]
    # A view that is mostly black says nothing; the first one speaks for it.
    views = [view if filmed_share(view) > LEAST_FILMED else views[0] for view in views]
    return np.concatenate(views, axis=2)


def model_input(
    crops: Sequence[np.ndarray],
    *,
    crop_scale: float,
    view_scales: Sequence[float],
    side_px: int,
) -> np.ndarray:
    """Batch for a network: the views of each crop, divided by 255.

    Args:
        crops: Square (side, side, 3) uint8 BGR pictures from ``crop_face``.
        crop_scale: The scale they were cropped with.
        view_scales: Scale of each view, as the model's card lists them.
        side_px: Input size of the network in pixels.

    Returns:
        (N, side_px, side_px, 3 * views) float32 in [0, 1], BGR in each view.
    """
    batch = np.empty(
        (len(crops), side_px, side_px, 3 * len(view_scales)), dtype=np.float32
    )
    for number, crop in enumerate(crops):
        views = views_of_crop(
            crop,
            crop_scale=crop_scale,
            view_scales=view_scales,
            side_px=side_px,
        )
        np.multiply(views, np.float32(1 / 255), out=batch[number])
    return batch
