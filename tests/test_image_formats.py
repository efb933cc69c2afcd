"""Pictures of every format: read whole with their right side up, or refused by name."""

import io
import logging
import subprocess
import sys
import time

import cv2
import numpy as np
import pillow_heif
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageFile

from liveness.errors import ImageError
from liveness.io.images import decode_image

pillow_heif.register_heif_opener()
SIZE_WH = (320, 240)
ORIENTATION = 0x0112  # EXIF tag
TURNED = 6  # its value for a picture that was taken with the camera upright
# Ending, Pillow's name of the format, and how it is written.
FORMATS = {
    "jpg": ("JPEG", {}),
    "jfif": ("JPEG", {"progressive": True}),
    "mpo": ("MPO", {}),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "avif": ("AVIF", {}),
    "heic": ("HEIF", {}),
    "tif": ("TIFF", {}),
    "tiff": ("TIFF", {"compression": "tiff_deflate"}),
    "ppm": ("PPM", {}),
}
EXACT = ("png", "bmp", "tif", "tiff", "ppm")


@pytest.fixture(scope="module")
def portrait():
    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return Image.open(file).resize(SIZE_WH)


def encoded(picture, name, **options):
    kind, usual = FORMATS[name]
    file = io.BytesIO()
    picture.save(file, kind, **usual, **options)
    return file.getvalue()


def opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def bgr(picture):
    return np.asarray(picture.convert("RGB"))[:, :, ::-1]


def refusal(data):
    with pytest.raises(ImageError) as caught:
        decode_image(data, name="x/one.jpg")
    assert "'x/one.jpg'" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def decode_quietly(data, caplog):
    with caplog.at_level(logging.WARNING):
        image = decode_image(data, name="x/one.jpg")
    assert not caplog.records
    return image


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(portrait, caplog, name):
    image = decode_quietly(encoded(portrait, name), caplog)
    assert image.shape == (*SIZE_WH[::-1], 3) and image.dtype == np.uint8
    error = np.abs(image.astype(int) - bgr(portrait)).mean()
    assert error == 0 if name in EXACT else error < 6


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "heic"])
def test_pixels_are_those_of_opencv(portrait, name):
    data = encoded(portrait, name)
    assert np.array_equal(decode_image(data, name="a"), opencv(data))


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("name", ["jpg", "png", "tiff", "gif", "webp"])
def test_other_modes_are_those_of_opencv(portrait, caplog, name, mode):
    try:
        data = encoded(portrait.convert(mode), name)
    except (OSError, ValueError):
        pytest.skip(f"there is no {name} of this mode")
    assert np.array_equal(decode_quietly(data, caplog), opencv(data))


@pytest.mark.parametrize("name", ["jpg", "jfif", "mpo", "png", "webp", "avif", "heic"])
def test_orientation_of_the_camera_is_applied(portrait, name):
    stored = portrait.copy()
    stored.getexif()[ORIENTATION] = TURNED
    image = decode_image(
        encoded(stored, name, exif=stored.getexif().tobytes()), name="a"
    )
    right = bgr(portrait.transpose(Image.Transpose.ROTATE_270))
    assert image.shape == right.shape
    assert np.abs(image.astype(int) - right).mean() < 6


@pytest.mark.parametrize("kept", [0.04, 0.5, 0.9, -1])
@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_that_is_cut_off_is_called_so(portrait, name, kept):
    data = encoded(portrait, name)
    cut = data[: kept if kept < 0 else max(20, int(kept * len(data)))]
    assert "cut off" in refusal(cut)


def test_what_others_set_up_in_pillow_changes_nothing(portrait, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # face_recognition
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded(portrait, "heic")
    assert decode_image(data, name="a").shape == (*SIZE_WH[::-1], 3)
    assert "cut off" in refusal(data[:-900])


def test_what_is_no_picture_is_called_so():
    for data in (b"hello", b"\0" * 999, b"\0\0\0\x20ftypisom" + bytes(99), b"%PDF-1.7"):
        assert "not an image file" in refusal(data)


def test_a_grey_picture_of_floats_is_refused():
    data = cv2.imencode(".pfm", np.zeros((9, 9), np.float32))[1].tobytes()
    assert "save it as PNG" in refusal(data)


def test_what_pillow_logs_does_not_reach_the_terminal(portrait, caplog):
    data = encoded(portrait, "tif")
    many = data.replace(b"\x15\1\3\0\1\0\0\0\3\0", b"\x15\1\3\0\1\0\0\0\x70\0")
    assert many != data
    refusal(many)
    assert not caplog.records


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("how", ["emptied", "noise", "left out", "cut and ended"])
def test_a_damaged_jpeg_with_its_end_marker_is_refused(portrait, progressive, at, how):
    data = encoded(portrait, "jpg", progressive=progressive, quality=95)
    start = int(at * len(data))
    rest = {
        "emptied": bytes(900) + data[start + 900 :],
        "noise": np.random.default_rng(1).bytes(900) + data[start + 900 :],
        "left out": data[start + 900 :],
        "cut and ended": b"\xff\xd9",
    }[how]
    damaged = data[:start] + rest
    assert damaged.endswith(b"\xff\xd9")
    assert "damaged" in refusal(damaged)


@pytest.mark.parametrize("name", ["png", "gif", "avif"])
def test_other_damaged_pictures_are_refused(portrait, name):
    data = encoded(portrait, name)
    middle = len(data) // 2
    noise = np.random.default_rng(1).bytes(300)
    assert "damaged" in refusal(data[:middle] + noise + data[middle + 300 :])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("jpg", lambda data: data + b"more" * 999, id="text behind"),
        pytest.param("jfif", lambda data: data + bytes(5000), id="zeros behind"),
        pytest.param("jpg", lambda data: data + data[:900], id="cut one behind"),
        pytest.param(
            "jpg",
            lambda data: data[:20] + b"\xff\xec\0\x07phone" + data[20:],
            id="unknown segment",
        ),
        pytest.param(
            "jpg", lambda data: data[:20] + b"\0\0" + data[20:], id="bytes in header"
        ),
        pytest.param("png", lambda data: data + b"more", id="behind png"),
    ],
)
def test_harmless_oddities_of_phones_are_read(portrait, caplog, name, change):
    data = encoded(portrait, name)
    assert opencv(change(data)) is not None
    image = decode_image(change(data), name="a")
    assert np.array_equal(image, opencv(data))


def test_bytes_left_over_before_the_end_are_read_and_told(portrait, caplog):
    data = encoded(portrait, "jpg")
    with caplog.at_level(logging.WARNING):
        image = decode_image(data[:-2] + bytes(7) + data[-2:], name="x/one.jpg")
    assert np.array_equal(image, opencv(data))
    assert "'x/one.jpg' may be damaged" in caplog.text


@pytest.mark.parametrize("name", ["gif", "webp", "avif", "png", "tiff"])
def test_of_several_pictures_one_line_tells(portrait, caplog, name):
    others = [portrait.rotate(180), portrait.rotate(90)]
    data = encoded(portrait, name, save_all=True, append_images=others)
    with caplog.at_level(logging.WARNING):
        image = decode_image(data, name="x/film")
    assert np.abs(image.astype(int) - bgr(portrait)).mean() < 6
    assert len(caplog.records) == 1
    assert "'x/film' holds several pictures" in caplog.text


def test_the_gain_map_of_a_phone_is_no_other_picture(portrait, caplog):
    small = portrait.resize((80, 60))
    data = encoded(portrait, "mpo", save_all=True, append_images=[small])
    assert decode_quietly(data, caplog).shape == (*SIZE_WH[::-1], 3)


def grown(data, old_wh, new_wh, length):
    """A picture whose header asks for more pixels than it has data for."""
    sizes = [b"".join(n.to_bytes(length) for n in (w, h)) for w, h in (old_wh, new_wh)]
    swapped = [one[length:] + one[:length] for one in sizes]
    return data.replace(*sizes).replace(*swapped)


@pytest.mark.parametrize("name", ["png", "tiff", "bmp", "gif", "jpg", "heic", "avif"])
def test_a_bomb_is_refused_at_once(name):
    small_wh, side = (320, 256), 20_000
    if name in ("png", "tiff", "bmp"):
        file = io.BytesIO()
        Image.new("1", (side, side)).save(file, FORMATS[name][0], **FORMATS[name][1])
        data = file.getvalue()
    elif name == "avif":
        data = encoded(Image.new("L", (side, 300)), name)
    elif name == "gif":
        data = encoded(Image.new("L", small_wh), name)
        data = data[:6] + side.to_bytes(2, "little") * 2 + data[10:]
    else:
        length = 4 if name == "heic" else 2
        data = encoded(Image.new("L", small_wh), name)
        data = grown(data, small_wh, (side, side), length)
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    words = refusal(data)
    assert time.perf_counter() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
    assert f"{side}x{300 if name == 'avif' else side} pixels, the limit is" in words


def test_many_pixels_on_allowed_sides_are_refused():
    file = io.BytesIO()
    Image.new("1", (16_384, 16_384)).save(file, "PNG")
    assert "201 million in total" in refusal(file.getvalue())


@pytest.mark.parametrize("name", ["webp", "png", "gif", "tiff"])
def test_a_bomb_within_the_limit_is_refused_by_what_it_unpacks_to(name):
    data = encoded(Image.new("L", (9000, 9000)), name)
    start = time.perf_counter()
    words = refusal(data)
    assert "9000x9000 pixels" in words and "not a photograph" in words
    assert time.perf_counter() - start < 0.2


def test_a_large_photograph_is_read():
    small = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    large = cv2.resize(small, (8000, 6000), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 40])[1].tobytes()
    assert decode_image(data, name="a.jpg").shape == large.shape


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("name", ["jpg", "jfif"])
def test_a_jpeg_is_turned_as_opencv_turns_it(portrait, name, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for options in ({"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}):
        data = encoded(portrait.resize((77, 51)), name, exif=exif, **options)
        np.testing.assert_array_equal(decode_image(data, name="a"), opencv(data))


def test_a_jpeg_is_decoded_once(portrait, monkeypatch):
    """Decoding to look for damage and then for the pixels takes half as long again."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded again"))
    assert decode_image(encoded(portrait, "jpg"), name="a").shape[2] == 3


def test_left_over_text_and_padding_before_the_end_are_harmless(portrait):
    data = encoded(portrait, "jpg")
    for extra in (b"Phone 5, firmware 1.2.3; night mode off", bytes(600), b"\x9f\x02"):
        image = decode_image(data[:-2] + extra + data[-2:], name="a")
        assert np.array_equal(image, opencv(data))


READ_ALL = """
import sys
from pathlib import Path
from liveness.errors import ImageError
from liveness.io.images import read_image
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        print(path.name, read_image(path).shape)
    except ImageError as error:
        print(error)
"""


def test_libraries_write_nothing_to_the_terminal(portrait, tmp_path):
    for name in FORMATS:
        data = encoded(portrait, name)
        middle = len(data) // 2
        for kept in (20, middle, -1):
            (tmp_path / f"cut_{kept}.{name}").write_bytes(data[:kept])
        holed = data[:middle] + bytes(range(256)) + data[middle + 256 :]
        (tmp_path / f"holed.{name}").write_bytes(holed)
    jpeg = encoded(portrait, "jpg")
    (tmp_path / "odd.jpg").write_bytes(jpeg[:-2] + bytes(99) + jpeg[-2:])
    odd = encoded(portrait.convert("L"), "png", icc_profile=b"no profile at all")
    (tmp_path / "odd.png").write_bytes(odd)
    odd = encoded(portrait, "tiff", tiffinfo={65000: "unknown tag"})
    (tmp_path / "odd.tiff").write_bytes(odd)

    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4 * len(FORMATS) + 3
    told = done.stderr.splitlines()  # of those JPEGs that may be damaged
    assert all(str(tmp_path) in line and ".j" in line for line in told), told
