"""Admit pictures from a browser's camera: JPEG alone, and only small ones."""

import numpy as np
import simplejpeg

from liveness.errors import ImageError

MAX_BYTES = 2**20
MAX_PIXELS = 4_000_000
MIN_SIDE_PX = 48  # a smaller picture has no face that could be judged


def decode_frame(data: bytes) -> np.ndarray:
    """Decode a JPEG whose header promises a picture of a decent size.

    Args:
        data: The upload, at most ``MAX_BYTES``.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If it is no JPEG, too large or small, cut off or damaged.
    """
    if len(data) > MAX_BYTES:
        raise ImageError(f"the picture has more than {MAX_BYTES} bytes")
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise ImageError("the picture is no JPEG") from error
    if height * width > MAX_PIXELS:
        raise ImageError(f"the picture has more than {MAX_PIXELS} pixels")
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"the picture is less than {MIN_SIDE_PX} pixels high or wide")
    try:
        return simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError as error:
        raise ImageError("the picture is cut off or damaged") from error
