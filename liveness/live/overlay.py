"""Draw verdicts on a picture so that they can be read at a glance."""

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from liveness.model.verdicts import FaceVerdict

Color = tuple[int, int, int]

# BGR. Colour is never the only cue, because of colour blindness: each box also has the
# label as text.
LABEL_COLORS: dict[str, Color] = {
    "real": (80, 190, 60),
    "fake": (60, 60, 230),
    "checking": (40, 180, 240),
}
WHITE: Color = (255, 255, 255)
DARK: Color = (30, 30, 30)
FONT = cv2.FONT_HERSHEY_SIMPLEX
REFERENCE_SIDE_PX = 480  # shorter side of a picture with font scale 1
FACE_TEXT = 0.8  # font scales; the text of a face must be legible at arm's length
SMALL_TEXT = 0.6
TEXT_HEIGHT = 22  # capitals of the Hershey font in pixels at font scale 1
DISPLAY_WH = (960, 720)  # largest picture in the window


def draw_faces(
    image: np.ndarray, faces: Sequence[FaceVerdict], *, threshold: float
) -> np.ndarray:
    """Draw box, label, score bar and reason or name; edit ``image`` in place.

    The bar below a box is filled up to the score, and the notch in it marks the
    threshold. The detector's confidence is not drawn because it could be mistaken for
    the score.

    Args:
        image: (H, W, 3) uint8, BGR.
        faces: Verdicts on that image.
        threshold: Score from which a face counts as real, 0 to 1.

    Returns:
        The same array.
    """
    # The best face is the first and is drawn last, on top of the others.
    for face in reversed(faces):
        _draw_face(image, face, threshold)
    return image


def beside(image: np.ndarray, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put square pictures in a column at the right of another one.

    Args:
        image: (H, W, 3) uint8, BGR.
        pictures: (side, side, 3) uint8, BGR, at least one; they are resized.

    Returns:
        (H, W + side, 3) uint8, BGR, a new picture.
    """
    height = image.shape[0]
    side = max(1, min(height // len(pictures), height))
    column = np.zeros((height, side, 3), np.uint8)
    for number, picture in enumerate(pictures):
        column[number * side : (number + 1) * side] = cv2.resize(
            picture, (side, side), interpolation=cv2.INTER_AREA
        )
    return np.hstack([image, column])


def draw_status(image: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """Draw lines of text in the top left corner; edit ``image`` in place.

    Returns:
        The same array.
    """
    unit = _unit(image)
    y_top = round(6 * unit)
    for line in lines:
        corner = round(6 * unit), y_top
        y_top = _draw_tag(image, line, corner, DARK, SMALL_TEXT) + round(2 * unit)
    return image


def draw_hint(image: np.ndarray, text: str) -> np.ndarray:
    """Draw a line of text in the bottom left corner; edit ``image`` in place.

    Returns:
        The same array.
    """
    margin = round(6 * _unit(image))
    y_top = image.shape[0] - _tag_height(_unit(image), SMALL_TEXT) - margin
    _draw_tag(image, text, (margin, y_top), DARK, SMALL_TEXT)
    return image


def draw_banner(image: np.ndarray, text: str) -> np.ndarray:
    """Draw a line of text across the middle; edit ``image`` in place.

    Returns:
        The same array.
    """
    height, width = image.shape[:2]
    scale = 0.8 * _unit(image)
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, scale, 1)
    middle, half = height // 2, text_height * 2
    image[max(0, middle - half) : middle + half] //= 4
    origin = (max(2, (width - text_width) // 2), middle + text_height // 2)
    thickness = max(1, round(2 * scale))
    cv2.putText(image, text, origin, FONT, scale, WHITE, thickness, cv2.LINE_AA)
    return image


def fit_for_display(image: np.ndarray) -> np.ndarray:
    """Scale a copy up or down to fit ``DISPLAY_WH``, keeping the aspect ratio.

    This is for display only; scoring never uses a scaled picture.
    """
    height, width = image.shape[:2]
    factor = min(DISPLAY_WH[0] / width, DISPLAY_WH[1] / height)
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size_wh, interpolation=interpolation)


def fit_into(image: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Scale a picture to fit a size, keeping its aspect ratio, and pad it with black.

    Returns:
        (height, width, 3) uint8, BGR; ``image`` itself if it has that size.
    """
    width, height = size_wh
    if image.shape[:2] == (height, width):
        return image
    factor = min(width / image.shape[1], height / image.shape[0])
    inner_width = max(1, round(image.shape[1] * factor))
    inner_height = max(1, round(image.shape[0] * factor))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    canvas[top : top + inner_height, left : left + inner_width] = cv2.resize(
        image, (inner_width, inner_height), interpolation=cv2.INTER_AREA
    )
    return canvas


def _draw_face(image: np.ndarray, face: FaceVerdict, threshold: float) -> None:
    """Draw a face: the box, a tag above or inside it, and bar and text below."""
    unit = _unit(image)
    color = LABEL_COLORS[face.label]
    x_min, y_min, x_max, y_max = face.box
    cv2.rectangle(
        image, (x_min, y_min), (x_max - 1, y_max - 1), color, max(1, round(3 * unit))
    )
    title = face.label.upper()
    if face.score is not None:
        title += f" {face.score:.2f}"
    tag_height = _tag_height(unit, FACE_TEXT)
    _draw_tag(image, title, (x_min, y_min - tag_height), color, FACE_TEXT)
    bar_top = min(y_max, image.shape[0] - round(8 * unit))
    bar_bottom = bar_top
    if face.score is not None:
        bar_bottom = _draw_bar(image, face, threshold, bar_top)
    if text := face.reason or _ascii(face.who):
        y_top = bar_bottom + round(2 * unit)
        if y_top + tag_height > image.shape[0]:  # no room below: inside the box
            y_top = bar_top - tag_height
        _draw_tag(image, text, (x_min, y_top), color, FACE_TEXT)


def _draw_bar(
    image: np.ndarray, face: FaceVerdict, threshold: float, y_top: int
) -> int:
    """Draw the score bar with a notch at the threshold; return its lower edge."""
    unit = _unit(image)
    x_min, _, x_max, _ = face.box
    y_bottom = y_top + max(3, round(8 * unit))
    length = x_max - 1 - x_min
    cv2.rectangle(image, (x_min, y_top), (x_max - 1, y_bottom), DARK, cv2.FILLED)
    x_score = x_min + round(length * face.score)
    color = LABEL_COLORS[face.label]
    cv2.rectangle(image, (x_min, y_top), (x_score, y_bottom), color, cv2.FILLED)
    notch = x_min + round(length * threshold)
    cv2.line(image, (notch, y_top), (notch, y_bottom), WHITE, max(1, round(2 * unit)))
    return y_bottom


def _draw_tag(
    image: np.ndarray, text: str, corner: tuple[int, int], color: Color, size: float
) -> int:
    """Draw text on a filled box inside the picture; return the box's lower edge."""
    unit = _unit(image)
    scale, pad = size * unit, round(4 * unit)
    thickness = max(1, round(2.4 * scale))
    (text_width, text_height), _ = cv2.getTextSize(text, FONT, scale, thickness)
    x_min = max(0, min(corner[0], image.shape[1] - text_width - 2 * pad))
    y_min = max(0, corner[1])
    y_max = y_min + _tag_height(unit, size)
    right = x_min + text_width + 2 * pad
    cv2.rectangle(image, (x_min, y_min), (right, y_max), color, cv2.FILLED)
    origin = (x_min + pad, y_min + (y_max - y_min + text_height) // 2)
    ink = WHITE if color in (DARK, LABEL_COLORS["fake"]) else DARK
    cv2.putText(image, text, origin, FONT, scale, ink, thickness, cv2.LINE_AA)
    return y_max


def _ascii(text: str) -> str:
    """Convert a text for OpenCV's fonts: drop accents; other scripts become ``?``."""
    letters = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain.encode("ascii", "replace").decode()


def _tag_height(unit: float, size: float) -> int:
    """Return the height of a tag in pixels; ``size`` is the font scale at unit 1."""
    return round((size * TEXT_HEIGHT + 8) * unit)


def _unit(image: np.ndarray) -> float:
    """Return the scale of text and lines, relative to a 480-pixel picture."""
    return max(0.5, min(image.shape[:2]) / REFERENCE_SIDE_PX)
