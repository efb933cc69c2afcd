"""Wrap dlib: 128-d encodings, 68 landmarks, and 5 landmarks for speed.

Only this module imports dlib and face_recognition, and only when a function runs.
"""

import functools
import importlib
import importlib.util
import logging
import threading
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from liveness.errors import IdentityError
from liveness.faces.boxes import Box, box_wh, clip_box, square_around

ENCODING_LENGTH = 128  # numbers; dlib_face_recognition_resnet_model_v1
FIVE_POINTS_FILE = "shape_predictor_5_face_landmarks.dat"
# dlib's networks were trained on the square boxes of its own detector. Medians of its
# box relative to the SSD's, over 168 faces from webcams and photographs:
SQUARE_OVER_HEIGHT = 0.82  # side of the square over the height of the SSD's box
SQUARE_DOWN = 0.07  # downward shift of its centre over that height
REGION_SCALE = 2.5  # side of the region passed to dlib over the square's side

_encoder = threading.Lock()  # the network keeps its activations: one face at a time

logger = logging.getLogger(__name__)


def encode_face(image: np.ndarray, box: Box) -> np.ndarray:
    """Encode a face as 128 numbers, which are similar for pictures of one person.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: Face of the SSD detector, (x_min, y_min, x_max, y_max), max exclusive.

    Returns:
        (128,) float64.

    Raises:
        IdentityError: If face_recognition cannot be used.
        ValueError: If the box is empty or lies outside the image.
    """
    region_rgb, square, _ = _region(image, box)
    library = load_library()
    with _encoder:
        return library.face_encodings(region_rgb, [_css(square)])[0]


def find_landmarks(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the 68 landmarks of a face: jaw, brows, nose, eyes and mouth.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: Face of the SSD detector, (x_min, y_min, x_max, y_max), max exclusive.

    Returns:
        (68, 2) float64, x and y in pixels of the image.

    Raises:
        IdentityError: If face_recognition cannot be used.
        ValueError: If the box is empty or lies outside the image.
    """
    region_rgb, square, offset = _region(image, box)
    # The public face_landmarks() regroups the points and duplicates some of them.
    shape = load_library().api._raw_face_landmarks(region_rgb, [_css(square)])[0]
    return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + offset


def find_eyes_and_nose(image: np.ndarray, box: Box) -> np.ndarray | None:
    """Return the corners of the left eye, of the right eye, and the base of the nose.

    This takes half a millisecond. It is right about a turned head, for which the 68
    landmarks still look like a frontal face.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: Face of the SSD detector, (x_min, y_min, x_max, y_max), max exclusive.

    Returns:
        (5, 2) float64, x and y in pixels of the image; of each eye, the outer corner
        comes first, and left is the person's left. None if dlib is not installed,
        which is logged once.

    Raises:
        ValueError: If the box is empty or lies outside the image.
    """
    predictor = _five_point_predictor()
    if predictor is None:
        return None
    dlib = importlib.import_module("dlib")
    region_rgb, square, offset = _region(image, box)
    shape = predictor(region_rgb, dlib.rectangle(*square))
    return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64) + offset


@functools.cache
def _five_point_predictor() -> Any:
    """Load dlib's 5-point predictor without face_recognition; None if missing."""
    try:
        package = importlib.util.find_spec("face_recognition_models")
        if package is None:
            raise ImportError("no module named 'face_recognition_models'")
        file = Path(package.origin).parent / "models" / FIVE_POINTS_FILE
        return importlib.import_module("dlib").shape_predictor(str(file))
    except (ImportError, RuntimeError) as error:
        logger.warning("cannot detect faces that are turned away: %s", error)
        return None


@functools.cache
def load_library() -> ModuleType:
    """Import face_recognition; the first call takes about 2 s.

    Raises:
        IdentityError: If it, dlib or its models are missing. (face_recognition
            itself would print two lines and exit.)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources is deprecated
            importlib.import_module("face_recognition_models")  # first, as it may fail
            return importlib.import_module("face_recognition")
    except (ImportError, RuntimeError) as error:
        raise IdentityError(
            f"cannot use face_recognition ({error}); run: pip install -r "
            "requirements.txt, then: pip install --no-deps -r requirements-no-deps.txt"
        ) from error


def dlib_square(box: Box) -> Box:
    """Convert a box of the SSD detector to the square that dlib's would return."""
    height = box_wh(box)[1]
    shift = round(SQUARE_DOWN * height)
    lower_box = (box[0], box[1] + shift, box[2], box[3] + shift)
    return square_around(lower_box, SQUARE_OVER_HEIGHT * height / max(box_wh(box)))


def _region(image: np.ndarray, box: Box) -> tuple[np.ndarray, Box, np.ndarray]:
    """Cut the RGB region around a face; return it, its square there, and its offset."""
    square = dlib_square(box)
    region = clip_box(square_around(square, REGION_SCALE), image.shape[:2])
    left, top, right, bottom = region
    if left >= right or top >= bottom:
        raise ValueError(
            f"Expected a box inside the image of {image.shape[1]}x{image.shape[0]}. "
            f"Received: box={box}"
        )
    region_rgb = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2RGB)
    shifted = square[0] - left, square[1] - top, square[2] - left, square[3] - top
    return region_rgb, shifted, np.array((left, top), dtype=np.float64)


def _css(box: Box) -> tuple[int, int, int, int]:
    """Return a box in face_recognition's order: top, right, bottom, left."""
    return box[1], box[2], box[3], box[0]
