"""Augment training pictures as other cameras, light and hands would change them.

It runs while training only; the saved model does not contain it. OpenCV on one
picture at a time is several times faster here than TensorFlow on a batch.
"""

from typing import NamedTuple

import cv2
import numpy as np

from liveness.faces.crops import filmed_mask
from liveness.io.images import recompress

FLIP = 0.5  # probability of a mirrored picture
QUARTER_TURN = 0.08  # of a phone's video that lies on its side
BLUR = 0.5  # of a soft focus
OUT_OF_FOCUS = 0.3  # of those: a stronger one
LEAST_BLUR_PX = 0.2  # deviation of a soft focus
MOST_BLUR_PX = (0.8, 1.6)  # of a soft focus, and of the stronger one
NOISE = 0.5  # of sensor noise
RECOMPRESSED = 0.4  # of JPEG, as of a phone's stream; simulated attacks have it, too
LEAST_QUALITY = (25, 50)  # of JPEG, 0 to 100: inside the face, and around it
MAX_ROTATION_DEG = 11.5
MAX_STRETCH = 0.1  # of the width, natural logarithm
SHOWN = (0.7, 1.0)  # share of the picture's side that is seen; less is a zoom
SHOWN_WIDE = (0.85, 1.0)
MAX_SHIFT_WIDE = 0.04  # of the side
FRAMED = 0.3  # of a wide picture whose frame ends nearer to the face
EDGE_MOVED = 0.5  # of each edge of such a frame
UPRIGHT = 0.35  # of such frames that end on the left and right, like a phone's
NEAREST_EDGE = 0.37  # of half the side: about a face's edge at a scale of 2.7
MAX_NOISE = 0.04  # standard deviation, of the full range

OTHER_LIGHT = 0.4  # of wide pictures in light and white balance far from the filmed
GREY = 0.1  # of those: no colours at all, as at night

_LEVELS = np.linspace(0, 1, 256, dtype=np.float32)[:, None]


class Light(NamedTuple):
    """How far tones and colours may depart from those that were filmed."""

    tone_bend: float  # of the tone curve; 0.4 is about a gamma of 0.75
    contrast: tuple[float, float]
    brightness: float  # added or taken off, of the full range
    channel_gain: tuple[float, float]  # white balance, each channel


# What a screen or paper does to colours is small, and large changes seem to hide it
# inside the face; around it a network without them goes by the colours of the cameras
# that it saw: docs/tried.md.
NEARLY_AS_FILMED = Light(0.25, (0.83, 1.14), 0.07, (0.91, 1.1))
ANOTHER_LIGHT = Light(0.7, (0.6, 1.25), 0.12, (0.77, 1.3))


def another_camera(
    picture: np.ndarray, rng: np.random.Generator, *, side_px: int, is_wide: bool
) -> np.ndarray:
    """Random geometry, colour, focus and noise.

    Args:
        picture: (side, side, 3) uint8, BGR. A larger one than ``side_px`` lets a zoom
            find detail that is there.
        rng: Source of all randomness.
        side_px: Side of the picture that is returned.
        is_wide: Whether it shows what is around the face: then it moves less, the
            frame may end anywhere beside the face (at times a little inside it), and
            light may be far from what was filmed.

    Returns:
        (side_px, side_px, 3) uint8, BGR, a new picture. What was black stays black.
    """
    moved = _move(picture, rng, side_px, is_wide)
    filmed = filmed_mask(moved)
    if is_wide:
        filmed &= _random_frame(side_px, rng)
    recoloured = _recolour(moved, rng, is_wide)
    result = _add_noise(_blur(recoloured, rng), rng)
    result = np.clip(np.rint(result, out=result), 0, 255, out=result)
    seen = result.astype(np.uint8)
    if rng.random() < RECOMPRESSED:
        seen = recompress(seen, int(rng.integers(LEAST_QUALITY[is_wide], 97)))
    # What was black for want of a picture stays black.
    return cv2.copyTo(seen, filmed.astype(np.uint8))


def _move(
    picture: np.ndarray, rng: np.random.Generator, side_px: int, is_wide: bool
) -> np.ndarray:
    """Mirror, turn, zoom, stretch and shift in one resampling."""
    side = picture.shape[0]
    angle = rng.uniform(-MAX_ROTATION_DEG, MAX_ROTATION_DEG)
    if rng.random() < QUARTER_TURN:
        angle += 90 * rng.integers(1, 4)
    shown = rng.uniform(*(SHOWN_WIDE if is_wide else SHOWN))
    step = shown * side / side_px  # pixels of the source for one of the result
    # Rows of the inverse map: from a pixel of the result to one of the source.
    inverse = cv2.getRotationMatrix2D((0, 0), angle, step)
    inverse[0, :2] *= np.exp(rng.uniform(-MAX_STRETCH, MAX_STRETCH))
    if rng.random() < FLIP:
        inverse[0, :2] *= -1
    # A zoom leaves room to look beside the centre.
    reach = (MAX_SHIFT_WIDE if is_wide else (1 - shown) / 2) * side
    middle = np.full(2, (side_px - 1) / 2)
    shift = rng.uniform(-reach, reach, 2)
    inverse[:, 2] = (side - 1) / 2 + shift - inverse[:, :2] @ middle
    return cv2.warpAffine(
        picture,
        inverse,
        (side_px, side_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )


def _random_frame(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side) bool: what of a picture lies inside a frame around its middle.

    Where the face was zoomed or shifted an edge may cut a little of it off.
    """
    inside = np.ones((side_px, side_px), bool)
    # How near a face is to the frame's edge says how it was filmed and not what it
    # is; without this it is what a network learns first.
    if rng.random() >= FRAMED:
        return inside
    half = side_px / 2
    # Each edge by itself: half of the edges stay where they were.
    edges = np.where(rng.random(4) < EDGE_MOVED, rng.uniform(NEAREST_EDGE, 1.0, 4), 1.0)
    if rng.random() < UPRIGHT:  # as phones film themselves: narrow, and centred
        edges[[0, 2]] = rng.uniform(NEAREST_EDGE, 0.6) + rng.uniform(0, 0.1, 2)
    left, top = np.floor(half * (1 - edges[:2])).astype(int)
    right, bottom = np.ceil(half * (1 + edges[2:])).astype(int)
    inside[:top] = inside[bottom:] = False
    inside[:, :left] = inside[:, right:] = False
    return inside


def _recolour(
    picture: np.ndarray, rng: np.random.Generator, is_wide: bool
) -> np.ndarray:
    """(side, side, 3) float32, 0 to 255: as another camera exposes and balances it."""
    light, is_grey = NEARLY_AS_FILMED, False
    if is_wide and rng.random() < OTHER_LIGHT:
        light, is_grey = ANOTHER_LIGHT, rng.random() < GREY
    if is_grey:
        picture = cv2.merge([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)] * 3)
    gains = 1 if is_grey else rng.uniform(*light.channel_gain, (1, 3))
    # A parabola through black and white is nearly a gamma curve.
    bend = rng.uniform(-light.tone_bend, light.tone_bend)
    curve = _LEVELS * (1 + bend * (1 - _LEVELS))
    # White balance multiplies light, about black; contrast spreads it about grey.
    levels = (curve * gains - 0.5) * rng.uniform(*light.contrast) + 0.5
    levels = levels + rng.uniform(-light.brightness, light.brightness)
    table = np.clip(np.broadcast_to(levels, (256, 3)), 0, 1) * 255
    return cv2.LUT(picture, table.astype(np.float32)[:, None])


def _blur(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur the picture, at times."""
    if rng.random() >= BLUR:
        return picture
    most = MOST_BLUR_PX[int(rng.random() < OUT_OF_FOCUS)]
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(LEAST_BLUR_PX, most))


def _add_noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add sensor noise, at times; returns a float32 picture."""
    if rng.random() >= NOISE:
        return picture
    reach = 255 * rng.uniform(0, MAX_NOISE) * 3**0.5
    # Uniform noise of that deviation: normal noise takes three times as long.
    noise = rng.random(picture.shape, np.float32)
    return cv2.scaleAdd(noise, 2 * reach, cv2.subtract(picture, (reach,) * 4))
