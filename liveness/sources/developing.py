"""Convert decoded frames to the pictures a video player would show.

Colours are converted as the file specifies (matrix and range; HDR to SDR), pixels are
made square, and the picture is rotated upright.
"""

import math
import struct
from fractions import Fraction

import cv2
import numpy as np

from liveness.errors import SourceError
from liveness.sources.ffmpeg import av

MAX_SIDE_PX = 8192  # a side is stretched up to this; beyond, the other one shrinks
MAX_ASPECT = 8  # of a pixel; a larger value is an error in the file
HDR_CURVES = (
    av.video.reformatter.ColorTrc.SMPTE2084,  # PQ
    av.video.reformatter.ColorTrc.ARIB_STD_B67,  # HLG
)


class Developer:
    """Converts the frames of one video; not thread-safe."""

    def __init__(self) -> None:
        # Reused for the whole video: setting it up for HDR takes over a second.
        self._reformatter = av.video.reformatter.VideoReformatter()

    def picture(self, frame: av.VideoFrame, aspect: Fraction | None) -> np.ndarray:
        """Convert a frame to a picture.

        Args:
            frame: A decoded, progressive frame.
            aspect: Width of a pixel over its height; None if the file does not say.

        Returns:
            (H, W, 3) uint8, BGR, with square pixels, upright.

        Raises:
            SourceError: If FFmpeg cannot convert frames of this format.
        """
        width, height = square_size_wh(frame.width, frame.height, aspect)
        options = {}
        if frame.color_trc in HDR_CURVES:
            options = {
                "dst_color_trc": av.video.reformatter.ColorTrc.BT709,
                "dst_color_primaries": av.video.reformatter.ColorPrimaries.BT709,
            }
        try:
            converted = self._reformatter.reformat(
                frame, width=width, height=height, format="bgr24", **options
            )
        except av.FFmpegError as error:
            raise SourceError(
                f"cannot convert frames of the format {frame.format.name}"
            ) from error
        return upright(np.ascontiguousarray(converted.to_ndarray()), _matrix(frame))


def square_size_wh(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size of a picture after one side is stretched to square pixels.

    Args:
        width: Width in stored pixels.
        height: Height in stored pixels.
        aspect: Width of a pixel over its height; None or 0 if unknown.
    """
    if not aspect or aspect == 1 or not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        return width, height
    if aspect > 1:
        new_width = round(width * aspect)
        if new_width <= MAX_SIDE_PX:
            return new_width, height
        return width, max(1, round(height / aspect))
    new_height = round(height / aspect)
    if new_height <= MAX_SIDE_PX:
        return width, new_height
    return max(1, round(width * aspect)), height


def upright(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Rotate a picture by quarter turns, and mirror it.

    Args:
        image: (H, W, 3) uint8, BGR.
        matrix: a, b, c, d of the display matrix, which maps a pixel from x, y to
            ax + cy, bx + dy. The rotation is rounded to the nearest quarter turn.
    """
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image = cv2.transpose(image)
        mirrored, flipped = c < 0, b < 0
    else:
        mirrored, flipped = a < 0, d < 0
    if mirrored or flipped:
        return cv2.flip(image, -1 if mirrored and flipped else int(mirrored))
    return image


def _matrix(frame: av.VideoFrame) -> tuple[float, float, float, float]:
    """Return a, b, c, d of the display matrix; see ``upright``."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18.1 fails on side data of unknown types
        turn = math.radians(frame.rotation)  # counter-clockwise
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))  # native byte order
    return a, b, c, d
