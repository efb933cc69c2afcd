"""Check that a face is good enough to score, with advice if it is not."""

import cv2
import numpy as np

from liveness.constants import Reason
from liveness.faces.boxes import Box, box_wh, clip_box
from liveness.faces.dlib_faces import find_eyes_and_nose

# These limits let nearly all frames of webcam and phone videos pass.
MIN_SIDE_PX = 48  # longer side of the box; a smaller crop has too few pixels
MAX_HEIGHT_SHARE = 0.85  # of the picture's height; the crop needs surroundings
BORDER_PX = 1  # a box this close to the border extends beyond it
DARK_LUMA = 50  # 0 to 255, 90th percentile: less dependent on skin tone
BRIGHT_LUMA = 235  # 0 to 255, median: half of the face is overexposed
MIN_SHARPNESS = 25.0  # variance of the Laplacian of a face at 64 x 64
# Offset of the base of the nose from the middle between the eyes, over the distance of
# their outer corners: near 0 from the front, 0.3 in a half profile.
MAX_NOSE_OFFSET = 0.25
PROBE_WH = (64, 64)  # pixels; size at which sharpness and light are measured


def face_problem(image: np.ndarray, box: Box) -> str:
    """Return why a face cannot be scored, as advice to the person.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive, not empty.

    Returns:
        A ``Reason`` such as ``too far: come closer``; empty if the face is fine.
    """
    return (
        _place_problem(image.shape[:2], box)
        or _light_problem(image, box)
        or _turn_problem(image, box)
    )


def _place_problem(shape_hw: tuple[int, int], box: Box) -> str:
    """Check that the face is not too far, too close or partly out of the picture."""
    height, width = shape_hw
    if max(box_wh(box)) < MIN_SIDE_PX:
        return Reason.TOO_FAR
    if box_wh(box)[1] > MAX_HEIGHT_SHARE * height:
        return Reason.TOO_CLOSE
    if (
        min(box[0], box[1]) < BORDER_PX
        or box[2] > width - BORDER_PX
        or box[3] > height - BORDER_PX
    ):
        return Reason.OUT_OF_PICTURE
    return ""


def _light_problem(image: np.ndarray, box: Box) -> str:
    """Check that the face is not too dark, too bright or blurred."""
    x_min, y_min, x_max, y_max = clip_box(box, image.shape[:2])
    face = cv2.resize(
        image[y_min:y_max, x_min:x_max], PROBE_WH, interpolation=cv2.INTER_AREA
    )
    luma = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    median, bright = np.percentile(luma, (50, 90))
    if bright < DARK_LUMA:
        return Reason.TOO_DARK
    if median > BRIGHT_LUMA:
        return Reason.TOO_BRIGHT
    if cv2.Laplacian(luma, cv2.CV_32F).var() < MIN_SHARPNESS:
        return Reason.BLURRED
    return ""


def _turn_problem(image: np.ndarray, box: Box) -> str:
    """Check that the face is not turned away."""
    points = find_eyes_and_nose(image, box)
    if points is None:
        return ""
    left, _, right, _, nose = points
    axis = left - right
    offset = abs((nose - (left + right) / 2) @ axis)
    is_turned = offset > MAX_NOSE_OFFSET * (axis @ axis)
    return Reason.TURNED_AWAY if is_turned else ""
