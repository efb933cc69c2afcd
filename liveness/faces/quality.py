"""Whether a face can be judged at all, and what its owner can do about it."""

import cv2
import numpy as np

from liveness.constants import Reason
from liveness.faces.boxes import Box, box_wh, clip_box
from liveness.faces.dlib_faces import find_eyes_and_nose

# Chosen so that nearly all frames of webcam and phone videos pass.
MIN_SIDE_PX = 48  # longer side of the box; below it the crop holds too few pixels
MAX_HEIGHT_SHARE = 0.85  # of the picture; the crop needs what is around the face
BORDER_PX = 1  # a box this near to the border goes on beyond it
DARK_LUMA = 50  # 0 to 255, the face's bright parts: skin tone matters less there
BRIGHT_LUMA = 235  # 0 to 255, the median: half of the face is burnt out
MIN_SHARPNESS = 25.0  # variance of the Laplacian on a face of 64 x 64
# How far the base of the nose lies aside from the middle between the eyes, over the
# distance of their outer corners: near 0 from the front, 0.3 in a half profile.
MAX_NOSE_OFFSET = 0.25
PROBE_WH = (64, 64)  # pixels; sharpness and light are measured at one size


def face_problem(image: np.ndarray, box: Box) -> str:
    """What keeps a face from being judged, as advice to the person.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive, not empty.

    Returns:
        A few words such as ``too far: come closer``; empty if there is nothing.
    """
    return (
        _place_problem(image.shape[:2], box)
        or _light_problem(image, box)
        or _turn_problem(image, box)
    )


def _place_problem(shape_hw: tuple[int, int], box: Box) -> str:
    """Too far, too close or partly outside."""
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
    """Too dark, too bright or blurred."""
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
    """Turned away."""
    points = find_eyes_and_nose(image, box)
    if points is None:
        return ""
    left, _, right, _, nose = points
    axis = left - right
    offset = abs((nose - (left + right) / 2) @ axis)
    is_turned = offset > MAX_NOSE_OFFSET * (axis @ axis)
    return Reason.TURNED_AWAY if is_turned else ""
