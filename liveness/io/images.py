"""Read, list and write pictures."""

import logging
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from liveness.errors import ImageError, OutputError
from liveness.io.files import list_files, write_atomically
from liveness.io.image_formats import decode, has_others, open_picture

WRITABLE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES = tuple(
    sorted((*WRITABLE_SUFFIXES, *".avif .gif .heic .heif .hif .jfif .mpo".split()))
)
MAX_IMAGE_SIDE_PX = 16_384
MAX_IMAGE_PIXELS = 16_384 * 12_288  # of a 200-megapixel camera; decoded: 604 MB
# Photographs of more than 40 megapixels have ten times these bytes; a few kilobytes
# that unpack to hundreds of megabytes have not.
MAX_FREE_PIXELS = 40_000_000
MAX_PIXELS_PER_BYTE = 200

logger = logging.getLogger(__name__)


def read_image(path: Path) -> np.ndarray:
    """Read a picture as every part of the project expects it.

    Grey, RGBA (alpha is dropped) and 16-bit pictures become 8-bit BGR, and the
    EXIF orientation of cameras is applied. Of several pictures in one file the
    first is read, and a warning says so.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If the file is missing, a folder, unreadable, empty, not a
            picture, cut off, damaged, above MAX_IMAGE_SIDE_PX on a side or
            MAX_IMAGE_PIXELS, or a large one of hardly any data.
    """
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError:
        raise ImageError(f"cannot read image '{path}': it is a folder") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(f"cannot read image '{path}': {reason}") from error
    return decode_image(data, name=str(path))


def decode_image(data: bytes, *, name: str) -> np.ndarray:
    """Decode the bytes of a picture file.

    Args:
        data: The whole file, of any of the formats in ``image_formats``.
        name: What an error message calls the picture.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: As ``read_image``.
    """
    if not data:
        raise ImageError(f"cannot read image '{name}': the file is empty (0 bytes)")
    picture = open_picture(data, name)
    _check_size(picture.size, len(data), name)
    try:
        image = decode(picture, data, name)
    except cv2.error as error:  # what OpenCV itself refuses, such as its own limits
        raise ImageError(f"cannot read image '{name}': {error.err}") from error
    if has_others(picture):
        logger.warning(
            "warning: '%s' holds several pictures; only the first is looked at", name
        )
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture, whole or not at all; the suffix names the format.

    Args:
        path: File to create or replace; its folder must exist.
        image: (H, W, 3) uint8, BGR.

    Raises:
        OutputError: If the suffix names no format that can be written.
        OSError: If the folder cannot be written or the disk is full.
    """
    path = Path(path)
    check_writable(path)
    encoded, data = cv2.imencode(path.suffix, image)
    if not encoded:
        raise OutputError(f"cannot write image '{path}': it cannot be encoded")
    write_atomically(path, data.tobytes())


def check_writable(path: Path) -> None:
    """Raise an OutputError if no picture can be written under such a name."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise OutputError(
            f"cannot write image '{path}': expected a name ending in "
            f"{', '.join(WRITABLE_SUFFIXES)}"
        )


def recompress(image: np.ndarray, quality: int) -> np.ndarray:
    """A picture after JPEG: (H, W, 3) uint8, BGR; quality from 0 to 100."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def list_images(paths: Iterable[Path]) -> list[Path]:
    """The picture files that a user means by files and folders; see list_files.

    Raises:
        ImageError: If a folder holds no picture.
    """
    return list_files(paths, IMAGE_SUFFIXES, kind="pictures", error=ImageError)


def _check_size(size_wh: tuple[int, int], file_bytes: int, name: str) -> None:
    """Refuse a picture that is too large to be worked with."""
    width, height = size_wh
    if max(size_wh) > MAX_IMAGE_SIDE_PX or width * height > MAX_IMAGE_PIXELS:
        raise ImageError(
            f"cannot read image '{name}': {width}x{height} pixels, the limit is "
            f"{MAX_IMAGE_SIDE_PX} on a side and {MAX_IMAGE_PIXELS // 10**6} million "
            "in all; make it smaller"
        )
    if width * height > max(MAX_FREE_PIXELS, MAX_PIXELS_PER_BYTE * file_bytes):
        raise ImageError(
            f"cannot read image '{name}': {width}x{height} pixels from {file_bytes} "
            "bytes are no photograph; make it smaller"
        )
