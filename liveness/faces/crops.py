"""Crop faces and convert the crops to model input.

Collectors, training and apps all call ``crop_face`` to crop a face and
``model_input`` to get the input of a network, so that the same frame gives the same
pixels everywhere.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from liveness.faces.boxes import Box, clip_box, square_around

CROP_SCALE = 2.7  # side of a crop over the face's longer side; shows a device's edges
LEAST_FILMED = 0.2  # least share of a view inside the frame for the apps to use it
LEAST_FACE = 0.5  # least share of a tight view that remains after cutting off black
MAX_CROP_SIDE_PX = 432  # larger crops are scaled down to this: a face of 160 pixels


def crop_face(image: np.ndarray, box: Box, *, scale: float = CROP_SCALE) -> np.ndarray:
    """Crop a square around a face.

    The square is centred on the box, and its side is ``scale`` times the box's longer
    side. The part beyond the image is black. A square larger than
    ``MAX_CROP_SIDE_PX`` is scaled down to it by area averaging.

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
    size_wh = (MAX_CROP_SIDE_PX, MAX_CROP_SIDE_PX)
    return cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA)


def whole_box(image: np.ndarray) -> Box:
    """Return the box of the whole picture, for a tight crop of a face."""
    height, width = image.shape[:2]
    return 0, 0, width, height


def view_of_crop(
    crop: np.ndarray, *, crop_scale: float, view_scale: float, side_px: int
) -> np.ndarray:
    """Cut one view of the network from the centre of a crop.

    A view that is tighter than the face box is reduced further so that it shows no
    black from beyond the frame: black depends on how the face was cropped, not on
    what it is.

    Args:
        crop: (side, side, 3) uint8, BGR, from ``crop_face`` with ``crop_scale``.
        crop_scale: Side of the crop over the face's longer side.
        view_scale: Side of the view over the face's longer side. A view larger than
            the crop is padded with black.
        side_px: Side of the returned picture in pixels.

    Returns:
        (side_px, side_px, 3) uint8, BGR.
    """
    side = crop.shape[0]
    view_side = max(1, round(side * view_scale / crop_scale))
    if view_scale < 1:
        view_side = _side_without_black(crop, view_side)
    if view_side <= side:
        start = (side - view_side) // 2
        view = crop[start : start + view_side, start : start + view_side]
    else:
        before = (view_side - side) // 2
        after = view_side - side - before
        view = cv2.copyMakeBorder(
            crop, before, after, before, after, cv2.BORDER_CONSTANT, value=(0, 0, 0)
        )
    # Area averaging when scaling down: skipped pixels would turn texture into moire.
    shrinks = view_side > side_px
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(view, (side_px, side_px), interpolation=interpolation)


def _side_without_black(crop: np.ndarray, side: int) -> int:
    """Return the side of the largest centred square up to ``side`` without black."""
    centre = crop.shape[0] / 2
    x_min, y_min, x_max, y_max = filmed_box(crop)
    reach = min(centre - x_min, centre - y_min, x_max - centre, y_max - centre)
    return max(1, min(side, max(int(2 * reach), round(LEAST_FACE * side))))


def filmed_box(crop: np.ndarray) -> Box:
    """Return the box of a crop that lies inside the frame, without the black part.

    Args:
        crop: (H, W, 3) uint8, BGR, from ``crop_face``.

    Returns:
        (x_min, y_min, x_max, y_max); the whole crop if all of it is black.
    """
    rows = np.flatnonzero(crop.any(axis=(1, 2)))
    columns = np.flatnonzero(crop.any(axis=0).any(axis=1))
    if not rows.size:
        return whole_box(crop)
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def filmed_mask(picture: np.ndarray) -> np.ndarray:
    """Return an (H, W) bool mask, True where a (H, W, 3) uint8 picture is not black."""
    blue, green, red = cv2.split(picture)
    return cv2.max(cv2.max(blue, green), red) > 0


def filmed_share(view: np.ndarray) -> float:
    """Return the share of pixels that are not black in (H, W, 3) uint8, 0 to 1."""
    return float(filmed_mask(view).mean())


def views_of_crop(
    crop: np.ndarray,
    *,
    crop_scale: float,
    view_scales: Sequence[float],
    side_px: int,
    least_filmed: float = LEAST_FILMED,
) -> np.ndarray:
    """Cut all views of a crop and stack them along the channels.

    Args:
        crop: Square (side, side, 3) uint8 BGR picture from ``crop_face``.
        crop_scale: Scale of the crop.
        view_scales: Scale of each view.
        side_px: Side of each view in pixels.
        least_filmed: A view other than the first is blacked out if no more than this
            share of its pixels, 0 to 1, lies inside the frame.

    Returns:
        (side_px, side_px, 3 * views) uint8, BGR in each view.
    """
    views = [
        view_of_crop(crop, crop_scale=crop_scale, view_scale=scale, side_px=side_px)
        for scale in view_scales
    ]
    for view in views[1:]:
        # Mostly black: it would show how the face was cropped, not its surroundings.
        if filmed_share(view) <= least_filmed:
            view[:] = 0
    return np.concatenate(views, axis=2)


def model_input(
    crops: Sequence[np.ndarray],
    *,
    crop_scale: float,
    view_scales: Sequence[float],
    side_px: int,
) -> np.ndarray:
    """Build the input batch of a network: the views of each crop, divided by 255.

    Args:
        crops: Square (side, side, 3) uint8 BGR pictures from ``crop_face``.
        crop_scale: Scale of the crops.
        view_scales: Scale of each view, as listed in the model's card.
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
