"""What a picture's header says, and whether its data is whole.

Both are looked at before OpenCV decodes: it fills what is missing or damaged with
grey, and allocates whatever a header asks for.
"""

import contextlib
import io
import logging
import re
import warnings
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from liveness.errors import ImageError
from liveness.processes import silent_libraries

if TYPE_CHECKING:
    from PIL.Image import Image

# Of Pillow's formats those that photographs are kept in, in the order in which they
# are tried: the first six are imported together, the rest only if none fits.
_FORMATS = (
    *("PNG", "JPEG", "BMP", "DIB", "GIF", "PPM"),
    *("WEBP", "TIFF", "AVIF", "JPEG2000", "SUN"),
)
_ISO_MEDIA = b"ftyp"  # at byte 4 of HEIC and AVIF; their brand follows
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_START_BYTES = 16  # by which Pillow tells formats apart
_PNG_DATA = b"IDAT"  # at byte 37 of one with pixels and nothing else
_PNG_END = b"IEND\xaeB`\x82"  # with its checksum
_SAME_VIEW = "Undefined"  # MPO kind of a gain map or preview, which phones add

_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values for rows that are the scene's columns
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # cv2.flip's code, after that

# What libjpeg-turbo says of a picture that is whole (jerror.h), and simplejpeg of one
# that it does not know. All else is damage.
_JPEG_HARMLESS = re.compile(
    "bad ICC|JFIF revision|Adobe color|Invalid SOS param|Inconsistent progression|"
    "subsampling level"
)
_JPEG_LEFT_OVER = re.compile("([0-9]+) extraneous bytes before marker 0x([0-9a-f]+)")
_JPEG_END = b"\xff\xd9"
_JPEG_PADDING = 16  # bytes too many that do not tell of damage

logger = logging.getLogger(__name__)


def open_picture(data: bytes, name: str) -> "Image":
    """Read the header of a picture, in little time and memory.

    Raises:
        ImageError: If it is no picture, or is cut off within its header.
    """
    image_module = _pillow()
    formats = _FORMATS
    if data[4:8] == _ISO_MEDIA and data[8:12] in _HEIF_BRANDS:
        _register_heif(name)
        formats = ("AVIF", "HEIF")
    try:
        return image_module.open(io.BytesIO(data), formats=formats)
    except Exception as error:  # the formats raise whatever they stumble over
        openers = image_module.OPEN
        starts = [openers[one][1] for one in formats if one in openers]
        if any(fits and fits(data[:_START_BYTES]) is True for fits in starts):
            raise damaged(name) from error
        raise ImageError(f"cannot read image '{name}': not an image file") from error


def decode(picture: "Image", data: bytes, name: str) -> np.ndarray:
    """The pixels of a whole picture, turned as its EXIF data says.

    Args:
        picture: Its header, from ``open_picture``.
        data: The whole file.
        name: What an error message calls the picture.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If it is cut off, damaged or of a kind that is not read.
    """
    if picture.format in ("AVIF", "HEIF"):  # OpenCV reads no HEIC and turns no AVIF
        return _decode_turned(picture, data, name)
    if picture.format in ("JPEG", "MPO") and picture.mode != "CMYK":
        image = _decode_sound_jpeg(picture, data)
        if image is not None:
            return image
    is_quiet = _check_whole(picture, data, name)
    with contextlib.nullcontext() if is_quiet else silent_libraries():
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.ndim != 3:  # a grey PFM stays one of floats
        raise damaged(name)
    return image


def has_others(picture: "Image") -> bool:
    """Whether the file holds further pictures: frames, pages or views."""
    try:
        if picture.format == "MPO":
            kinds = [one["Attribute"]["MPType"] for one in picture.mpinfo[0xB002][1:]]
            return any(kind.startswith("Multi-Frame") for kind in kinds)
        return getattr(picture, "is_animated", False)
    except Exception:  # what follows the first one is damaged
        return False


def damaged(name: str) -> ImageError:
    """The error for a picture that starts as one and cannot be decoded."""
    return ImageError(
        f"cannot read image '{name}': it is cut off or damaged; copy or download it "
        "again, or save it as PNG"
    )


def _pillow() -> ModuleType:
    """Pillow, which tells nothing to the terminal and leaves sizes to the caller.

    Others in the process set it up as well: face_recognition makes it read what is
    cut off. So it is set each time.
    """
    from PIL import Image, ImageFile

    Image.MAX_IMAGE_PIXELS = None  # it would refuse without telling the size
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    return Image


def _register_heif(name: str) -> None:
    """Let Pillow read HEIC; ImageError where the package for it is missing."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            f"cannot read image '{name}': HEIC needs pillow-heif: "
            "pip install -r requirements.txt, or save it as JPEG"
        ) from error
    pillow_heif.register_heif_opener()


def _check_whole(picture: "Image", data: bytes, name: str) -> bool:
    """Refuse a damaged picture where its format can tell.

    Returns:
        Whether OpenCV decodes it without a line on the terminal.
    """
    if picture.format in ("JPEG", "MPO"):
        return _check_jpeg(data, name)
    try:
        if picture.format == "PNG":
            picture.verify()
            return data[37:41] == _PNG_DATA and data.endswith(_PNG_END)
        if picture.format == "TIFF":  # of one OpenCV shows what is left
            with silent_libraries():
                picture.load()
    except Exception as error:  # as in open_picture
        raise damaged(name) from error
    return False


def _decode_sound_jpeg(picture: "Image", data: bytes) -> np.ndarray | None:
    """The pixels of a JPEG, those that OpenCV gives; None if libjpeg says anything.

    Both decode with libjpeg-turbo, but this tells of damage on the way.
    """
    import simplejpeg
    from PIL import Image

    try:
        image = simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError:
        return None
    exif = Image.Exif()
    try:
        exif.load(picture.info.get("exif", b""))
        orientation = exif.get(_ORIENTATION, 1)
    except Exception:  # damaged; no pixel depends on it
        return None  # OpenCV reads it in its own way
    return _turned(image, orientation)


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """A picture turned and mirrored as its EXIF orientation asks for."""
    if orientation in _SIDEWAYS:
        image = cv2.transpose(image)
    if orientation in _FLIPS:
        image = cv2.flip(image, _FLIPS[orientation])
    return image


def _check_jpeg(data: bytes, name: str) -> bool:
    """Refuse a JPEG that lacks a part; whether libjpeg has nothing to say of it."""
    words = _jpeg_warning(data)
    left_over = _JPEG_LEFT_OVER.search(words)
    if left_over:
        count, marker = int(left_over[1]), int(left_over[2], 16)
        if _is_picture_data(data, count, marker, words):
            raise damaged(name)
        logger.warning("warning: '%s' may be damaged: %s", name, words)
    elif words and not _JPEG_HARMLESS.search(words):
        raise damaged(name)
    return not words


def _jpeg_warning(data: bytes) -> str:
    """The first thing that libjpeg says of a JPEG; empty if it is in order."""
    import simplejpeg

    try:
        # Grey and an eighth of the size: reads every bit and makes little of them.
        simplejpeg.decode_jpeg(
            data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True
        )
    except ValueError as error:
        return str(error)
    return ""


def _is_picture_data(data: bytes, count: int, marker: int, words: str) -> bool:
    """Whether the bytes that no pixel needed tell of damage before them.

    Some phones write a few bytes too many, zeros or text. Behind a damaged part the
    rest of a picture can fit too early, and then compressed data is left over.
    """
    from PIL import JpegImagePlugin

    # Pillow stops where the pixels begin; of the header alone they would be missing.
    start = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).fp.tell()
    is_in_header = _jpeg_warning(data[:start] + _JPEG_END) == words
    if is_in_header or count <= _JPEG_PADDING:
        return False
    end = data.find(bytes((0xFF, marker)), start)
    extra = data[max(start, end - count) : end]
    is_text = extra.isascii()
    return marker != _JPEG_END[1] or not (is_text or len(set(extra)) <= _JPEG_PADDING)


def _decode_turned(picture: "Image", data: bytes, name: str) -> np.ndarray:
    """The pixels of a picture that Pillow decodes: (H, W, 3) uint8, BGR."""
    from PIL import ImageOps

    try:
        with silent_libraries():
            turned = ImageOps.exif_transpose(picture).convert("RGB")
            if picture.format == "AVIF" and cv2.haveImageWriter(".avif"):
                # Of a damaged one Pillow shows what is left, OpenCV nothing.
                whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                if whole is None:
                    raise damaged(name)
    except ImageError:
        raise
    except Exception as error:  # as in open_picture
        raise damaged(name) from error
    return cv2.cvtColor(np.asarray(turned), cv2.COLOR_RGB2BGR)
