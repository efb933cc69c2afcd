"""Read, list and write pictures."""

import logging
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from liveness.errors import ImageError, OutputError, reason_of
from liveness.io.files import list_files, write_atomically
from liveness.io.image_formats import decode, has_others, open_picture

WRITABLE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IMAGE_SUFFIXES = tuple(
    sorted((*WRITABLE_SUFFIXES, *".avif .gif .heic .heif .hif .jfif .mpo".split()))
)
MAX_IMAGE_SIDE_PX = 16_384
MAX_IMAGE_PIXELS = 16_384 * 12_288  # a 200-megapixel camera; 604 MB once decoded
# A photograph of more than 40 megapixels has at least ten times as many bytes as this
# ratio demands; a decompression bomb, a few kilobytes for hundreds of megabytes, fewer.
MAX_FREE_PIXELS = 40_000_000
MAX_PIXELS_PER_BYTE = 200

logger = logging.getLogger(__name__)


def read_image(path: Path) -> np.ndarray:
    """Read a picture file as an upright 8-bit BGR image.

    Grey, RGBA and 16-bit pictures are converted to 8-bit BGR (alpha is dropped), and
    the EXIF orientation is applied. If the file holds several pictures, the first one
    is read and a warning is logged.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If the path is missing, a folder, unreadable or empty, or the
            picture is not an image, cut off, damaged, larger than MAX_IMAGE_SIDE_PX
            or MAX_IMAGE_PIXELS, or a suspected decompression bomb.
    """
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError:
        raise ImageError(f"cannot read image '{path}': it is a folder") from None
    except OSError as error:
        reason = reason_of(error)
        raise ImageError(f"cannot read image '{path}': {reason}") from error
    return decode_image(data, name=str(path))


def decode_image(data: bytes, *, name: str) -> np.ndarray:
    """Decode the bytes of a picture file.

    Args:
        data: The whole file, in one of the formats of ``image_formats``.
        name: What error messages call the picture.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If the picture cannot be read, as for ``read_image``.
    """
    if not data:
        raise ImageError(f"cannot read image '{name}': the file is empty (0 bytes)")
    picture = open_picture(data, name)
    _check_size(picture.size, len(data), name)
    try:
        image = decode(picture, data, name)
    except cv2.error as error:  # e.g. OpenCV's own size limits
        raise ImageError(f"cannot read image '{name}': {error.err}") from error
    if has_others(picture):
        logger.warning("'%s' holds several pictures; only the first is used", name)
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a picture atomically; the suffix determines the format.

    Args:
        path: File to create or replace; its folder must exist.
        image: (H, W, 3) uint8, BGR.

    Raises:
        OutputError: If the suffix is not in WRITABLE_SUFFIXES.
        OSError: If the folder is not writable or the disk is full.
    """
    path = Path(path)
    check_writable(path)
    succeeded, data = cv2.imencode(path.suffix, image)
    if not succeeded:
        raise OutputError(f"cannot write image '{path}': OpenCV cannot encode it")
    write_atomically(path, data.tobytes())


def check_writable(path: Path) -> None:
    """Raise an OutputError if the suffix is not in WRITABLE_SUFFIXES."""
    if path.suffix.lower() not in WRITABLE_SUFFIXES:
        raise OutputError(
            f"cannot write image '{path}': expected a name ending in "
            f"{', '.join(WRITABLE_SUFFIXES)}"
        )


def recompress(image: np.ndarray, quality: int) -> np.ndarray:
    """Compress a picture as JPEG and decode it: (H, W, 3) uint8, BGR.

    Args:
        image: (H, W, 3) uint8, BGR.
        quality: JPEG quality, 0 to 100.
    """
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def list_images(paths: Iterable[Path]) -> list[Path]:
    """List the picture files in the given files and folders; see ``list_files``.

    Raises:
        ImageError: If a folder holds no picture.
    """
    return list_files(paths, IMAGE_SUFFIXES, kind="pictures", error=ImageError)


def _check_size(size_wh: tuple[int, int], file_bytes: int, name: str) -> None:
    """Reject a picture that is too large, or a suspected decompression bomb."""
    width, height = size_wh
    if max(size_wh) > MAX_IMAGE_SIDE_PX or width * height > MAX_IMAGE_PIXELS:
        raise ImageError(
            f"cannot read image '{name}': {width}x{height} pixels, the limit is "
            f"{MAX_IMAGE_SIDE_PX} per side and {MAX_IMAGE_PIXELS // 10**6} million "
            "in total; scale it down"
        )
    if width * height > max(MAX_FREE_PIXELS, MAX_PIXELS_PER_BYTE * file_bytes):
        raise ImageError(
            f"cannot read image '{name}': {width}x{height} pixels in only "
            f"{file_bytes} bytes is not a photograph; scale it down"
        )
