"""Read the header of a picture and check that its data is complete.

Both happen before OpenCV decodes the picture: OpenCV fills missing or damaged parts
with grey, and allocates whatever a header asks for.
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

# Pillow's names of the formats that photographs are stored in. Pillow tries them in
# this order: it imports the first six together, the rest only if none of them fits.
_FORMATS = (
    *("PNG", "JPEG", "BMP", "DIB", "GIF", "PPM"),
    *("WEBP", "TIFF", "AVIF", "JPEG2000", "SUN"),
)
_ISO_MEDIA = b"ftyp"  # at byte 4 of HEIC and AVIF; their brand follows
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_START_BYTES = 16  # Pillow recognises a format by these
_PNG_DATA = b"IDAT"  # at byte 37 of a file with pixels and no metadata
_PNG_END = b"IEND\xaeB`\x82"  # chunk name and checksum

_ORIENTATION = 0x0112  # EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # its values for pictures that lie on their side
# Codes of cv2.flip, which is applied after the transposition.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}

# Warnings of libjpeg-turbo (jerror.h) about an intact picture, and of simplejpeg about
# an unknown kind of picture. Any other warning means damage.
_JPEG_HARMLESS = re.compile(
    "bad ICC|JFIF revision|Adobe color|Invalid SOS param|Inconsistent progression|"
    "subsampling level"
)
_JPEG_SURPLUS = re.compile("([0-9]+) extraneous bytes before marker 0x([0-9a-f]+)")
_JPEG_END = b"\xff\xd9"
_JPEG_PADDING = 16  # this many extra bytes are no sign of damage

logger = logging.getLogger(__name__)


def open_picture(data: bytes, name: str) -> "Image":
    """Read the header of a picture without decoding its pixels.

    Raises:
        ImageError: If the data is not a picture, or the header is cut off.
    """
    image_module = _pillow()
    formats = _FORMATS
    if data[4:8] == _ISO_MEDIA and data[8:12] in _HEIF_BRANDS:
        _register_heif(name)
        formats = ("AVIF", "HEIF")
    try:
        return image_module.open(io.BytesIO(data), formats=formats)
    except Exception as error:  # Pillow's plug-ins raise errors of many types
        openers = image_module.OPEN
        checks = [openers[key][1] for key in formats if key in openers]
        if any(check and check(data[:_START_BYTES]) is True for check in checks):
            raise damaged(name) from error
        raise ImageError(f"cannot read image '{name}': not an image file") from error


def decode(picture: "Image", data: bytes, name: str) -> np.ndarray:
    """Decode a picture and apply its EXIF orientation.

    Args:
        picture: Header from ``open_picture``.
        data: The whole file.
        name: What error messages call the picture.

    Returns:
        (H, W, 3) uint8, BGR.

    Raises:
        ImageError: If the picture is cut off, damaged or of an unsupported kind.
    """
    # OpenCV cannot read HEIC and ignores the orientation of AVIF.
    if picture.format in ("AVIF", "HEIF"):
        return _decode_turned(picture, data, name)
    if picture.format in ("JPEG", "MPO") and picture.mode != "CMYK":
        image = _decode_sound_jpeg(picture, data)
        if image is not None:
            return image
    is_quiet = _check_whole(picture, data, name)
    with contextlib.nullcontext() if is_quiet else silent_libraries():
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.ndim != 3:  # a grey PFM decodes to floats
        raise damaged(name)
    return image


def has_others(picture: "Image") -> bool:
    """Tell whether the file holds further pictures: frames, pages or views."""
    try:
        if picture.format == "MPO":
            entries = picture.mpinfo[0xB002][1:]
            kinds = [entry["Attribute"]["MPType"] for entry in entries]
            return any(kind.startswith("Multi-Frame") for kind in kinds)
        return getattr(picture, "is_animated", False)
    except Exception:  # the data after the first picture is damaged
        return False


def damaged(name: str) -> ImageError:
    """Return the error for a picture that is recognised but cannot be decoded."""
    return ImageError(
        f"cannot read image '{name}': it is cut off or damaged; copy or download it "
        "again, or save it as PNG"
    )


def _pillow() -> ModuleType:
    """Import Pillow and make it silent, strict, and without a size limit of its own.

    Other libraries in the process change these settings (face_recognition allows
    truncated pictures), so they are set on each call.
    """
    from PIL import Image, ImageFile

    Image.MAX_IMAGE_PIXELS = None  # its own error does not state the size
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    return Image


def _register_heif(name: str) -> None:
    """Let Pillow read HEIC; raise ImageError if pillow-heif is not installed."""
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(
            f"cannot read image '{name}': HEIC needs pillow-heif; run: pip install "
            "-r requirements.txt, or save the picture as JPEG"
        ) from error
    pillow_heif.register_heif_opener()


def _check_whole(picture: "Image", data: bytes, name: str) -> bool:
    """Reject a damaged picture, if damage can be detected in its format.

    Returns:
        True if OpenCV decodes the picture without printing warnings.
    """
    if picture.format in ("JPEG", "MPO"):
        return _check_jpeg(data, name)
    try:
        if picture.format == "PNG":
            picture.verify()
            return data[37:41] == _PNG_DATA and data.endswith(_PNG_END)
        if picture.format == "TIFF":  # OpenCV decodes a damaged TIFF in part
            with silent_libraries():
                picture.load()
    except Exception as error:  # as in open_picture
        raise damaged(name) from error
    return False


def _decode_sound_jpeg(picture: "Image", data: bytes) -> np.ndarray | None:
    """Decode a JPEG to the pixels OpenCV would give; None if libjpeg warns.

    Both decode with libjpeg-turbo, but only simplejpeg reports damage.
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
    except Exception:  # damaged EXIF data; the pixels are intact
        return None  # OpenCV reads the EXIF data in its own way
    return _turned(image, orientation)


def _turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror a picture according to its EXIF orientation."""
    if orientation in _SIDEWAYS:
        image = cv2.transpose(image)
    if orientation in _FLIPS:
        image = cv2.flip(image, _FLIPS[orientation])
    return image


def _check_jpeg(data: bytes, name: str) -> bool:
    """Reject a JPEG with missing data; return True if libjpeg has no warning."""
    warning = _jpeg_warning(data)
    surplus = _JPEG_SURPLUS.search(warning)
    if surplus:
        count, marker = int(surplus[1]), int(surplus[2], 16)
        if _is_picture_data(data, count, marker, warning):
            raise damaged(name)
        logger.warning("'%s' may be damaged: %s", name, warning)
    elif warning and not _JPEG_HARMLESS.search(warning):
        raise damaged(name)
    return not warning


def _jpeg_warning(data: bytes) -> str:
    """Return the first warning of libjpeg about a JPEG; empty if there is none."""
    import simplejpeg

    try:
        # Grey at an eighth of the size: reads all the data but computes few pixels.
        simplejpeg.decode_jpeg(
            data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True
        )
    except ValueError as error:
        return str(error)
    return ""


def _is_picture_data(data: bytes, count: int, marker: int, warning: str) -> bool:
    """Tell whether extra bytes are compressed pixels, left over because of damage.

    Some phones write a few extra bytes, zeros or text. After a damaged part, however,
    the decoder can reach the last pixel too early, and compressed data remains.
    """
    from PIL import JpegImagePlugin

    # Pillow stops where the compressed pixels begin.
    start = JpegImagePlugin.JpegImageFile(io.BytesIO(data)).fp.tell()
    is_in_header = _jpeg_warning(data[:start] + _JPEG_END) == warning
    if is_in_header or count <= _JPEG_PADDING:
        return False
    end = data.find(bytes((0xFF, marker)), start)
    extra = data[max(start, end - count) : end]
    is_text = extra.isascii()
    return marker != _JPEG_END[1] or not (is_text or len(set(extra)) <= _JPEG_PADDING)


def _decode_turned(picture: "Image", data: bytes, name: str) -> np.ndarray:
    """Decode a picture with Pillow and turn it upright: (H, W, 3) uint8, BGR."""
    from PIL import ImageOps

    try:
        with silent_libraries():
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            if picture.format == "AVIF" and cv2.haveImageWriter(".avif"):
                # Pillow decodes a damaged AVIF in part; OpenCV rejects it.
                image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                if image is None:
                    raise damaged(name)
    except ImageError:
        raise
    except Exception as error:  # as in open_picture
        raise damaged(name) from error
    return cv2.cvtColor(np.asarray(upright), cv2.COLOR_RGB2BGR)
