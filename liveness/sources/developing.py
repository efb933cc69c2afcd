"""Pictures as a viewer sees them, from frames as a decoder gives them.

Colours are converted as the film says (matrix, range, and from HDR to what a screen
shows), pixels are made square, and the picture is turned upright.
"""

import math
import struct
from fractions import Fraction

import cv2
import numpy as np

from liveness.errors import SourceError
from liveness.sources.ffmpeg import av

MAX_SIDE_PX = 8192  # to which a side is stretched; else the other one shrinks
MAX_ASPECT = 8  # of a pixel; what says more is a fault, not a film
HDR_CURVES = (
    av.video.reformatter.ColorTrc.SMPTE2084,  # PQ
    av.video.reformatter.ColorTrc.ARIB_STD_B67,  # HLG
)


class Developer:
    """Makes pictures of the frames of one film; not to be shared by threads."""

    def __init__(self) -> None:
        # Kept for the film: what HDR needs takes over a second to set up.
        self._reformatter = av.video.reformatter.VideoReformatter()

    def picture(self, frame: av.VideoFrame, aspect: Fraction | None) -> np.ndarray:
        """The picture of a frame.

        Args:
            frame: Decoded and not interlaced.
            aspect: Width of a pixel over its height; None if the film does not say.

        Returns:
            (H, W, 3) uint8, BGR, with square pixels, upright.

        Raises:
            SourceError: If FFmpeg cannot convert such frames.
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
                f"frames of the format {frame.format.name} cannot be converted"
            ) from error
        return upright(np.ascontiguousarray(converted.to_ndarray()), _matrix(frame))


def square_size_wh(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Size of a picture once its pixels are square: one side grows.

    Args:
        width: In pixels as they are.
        height: In pixels.
        aspect: Width of a pixel over its height; None or 0 is not known.
    """
    if not aspect or aspect == 1 or not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        return width, height
    if aspect > 1:
        wider = round(width * aspect)
        if wider <= MAX_SIDE_PX:
            return wider, height
        return width, max(1, round(height / aspect))
    higher = round(height / aspect)
    if higher <= MAX_SIDE_PX:
        return width, higher
    return max(1, round(width * aspect)), height


def upright(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Turn and mirror a picture by quarter turns.

    Args:
        image: (H, W, 3) uint8, BGR.
        matrix: a, b, c, d that send a pixel from x, y to ax + cy, bx + dy; what lies
            between two quarter turns counts as the nearer one.
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
    """a, b, c, d of the film's display matrix, see ``upright``."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18.1 gives up where there is a kind it does not know
        turn = math.radians(frame.rotation)  # anticlockwise
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))  # in the machine's order
    return a, b, c, d
