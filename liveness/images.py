"""Read, list and write pictures."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from liveness.errors import ImageError, OutputError
from liveness.files import list_files, write_atomically

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_IMAGE_SIDE_PX = 16_384  # 200-megapixel cameras fit; decoded: 805 MB at most

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA  # start of scan: from here on the picture itself
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15


def read_image(path: Path) -> np.ndarray:
    """Read a picture as every part of the project expects it.

    Grey, RGBA (alpha is dropped) and 16-bit pictures become 8-bit BGR, and the
    EXIF orientation of cameras is applied.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If the file is missing, a folder, unreadable, empty, not a
            picture, cut off, or above MAX_IMAGE_SIDE_PX on a side.
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
        data: The whole file: JPEG, PNG or any other format OpenCV reads.
        name: What an error message calls the picture.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: As ``read_image``.
    """
    if not data:
        raise ImageError(f"cannot read image '{name}': the file is empty (0 bytes)")
    try:
        size_wh, is_whole = _header(data)
        _check_size(size_wh, name)
        if not is_whole:
            raise ImageError(
                f"cannot read image '{name}': it is cut off before its end; "
                "copy or download it again"
            )
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # what OpenCV itself refuses, such as its own limits
        raise ImageError(f"cannot read image '{name}': {error.err}") from error
    if image is None:
        raise ImageError(f"cannot read image '{name}': not an image file")
    _check_size((image.shape[1], image.shape[0]), name)
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
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise OutputError(
            f"cannot write image '{path}': expected a name ending in "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    encoded, data = cv2.imencode(path.suffix, image)
    if not encoded:
        raise OutputError(f"cannot write image '{path}': it cannot be encoded")
    write_atomically(path, data.tobytes())


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


def _header(data: bytes) -> tuple[tuple[int, int], bool]:
    """Size and completeness by the header; (0, 0) and True where it is not known.

    OpenCV fills up a cut-off picture with grey and allocates whatever a header
    asks for, so both are looked at before it decodes.
    """
    if data.startswith(_PNG_START):
        width, height = data[16:20], data[20:24]
        size_wh = int.from_bytes(width), int.from_bytes(height)
        return size_wh, b"IEND" in data
    if data.startswith(_JPEG_START):
        return _jpeg_header(data)
    return (0, 0), True


def _jpeg_header(data: bytes) -> tuple[tuple[int, int], bool]:
    """Size and completeness of a JPEG, by walking its segments up to the scan."""
    size_wh = (0, 0)
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding between segments
            at += 1
            continue
        if marker == _JPEG_SCAN:  # the thumbnail's end marker lies before this
            return size_wh, data.find(_JPEG_END, at) >= 0
        if marker in _JPEG_SIZES:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            size_wh = int.from_bytes(width), int.from_bytes(height)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return size_wh, False


def _check_size(size_wh: tuple[int, int], name: str) -> None:
    """Refuse a picture that is too large to be worked with."""
    if max(size_wh) > MAX_IMAGE_SIDE_PX:
        raise ImageError(
            f"cannot read image '{name}': {size_wh[0]}x{size_wh[1]} pixels, the "
            f"limit is {MAX_IMAGE_SIDE_PX} on a side; make it smaller"
        )
