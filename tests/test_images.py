"""Reading, listing and writing pictures, good and bad ones."""

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data

from liveness.errors import ImageError, OutputError
from liveness.io.images import list_images, read_image, write_image


@pytest.fixture
def jpeg():
    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return file.read()


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image)[1].tobytes()


def test_portrait_is_bgr(tmp_path, jpeg):
    path = tmp_path / "ein Bild ü.jpg"
    path.write_bytes(jpeg)
    image = read_image(path)
    assert image.shape == (600, 512, 3) and image.dtype == np.uint8


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param(np.full((4, 5), 90, np.uint8), 90, id="grey"),
        pytest.param(np.full((4, 5, 4), 90, np.uint8), 90, id="rgba"),
        pytest.param(np.full((4, 5, 3), 90 * 257, np.uint16), 90, id="16 bits"),
        pytest.param(np.full((1, 1, 3), 7, np.uint8), 7, id="1x1"),
    ],
)
def test_other_kinds_become_8_bit_bgr(tmp_path, stored, expected):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(stored))
    image = read_image(path)
    assert image.shape == (*stored.shape[:2], 3) and image.dtype == np.uint8
    assert (image == expected).all()


def test_exif_orientation_is_applied(tmp_path):
    data = encoded(np.zeros((20, 40, 3), np.uint8), ".jpg")
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff  # orientation 6: turned by 90 degrees
    path = tmp_path / "a.jpg"
    path.write_bytes(
        data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + data[2:]
    )
    assert read_image(path).shape == (40, 20, 3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.jpg", lambda jpeg: b"", "empty", id="0 bytes"),
        pytest.param("a.jpg", lambda jpeg: b"hello", "not an image", id="text"),
        pytest.param("a.jpg", lambda jpeg: jpeg[:30000], "cut off", id="cut jpeg"),
        pytest.param("a.jpg", lambda jpeg: jpeg[:-2], "cut off", id="end missing"),
        pytest.param(
            "a.png",
            lambda jpeg: encoded(np.zeros((99, 99, 3), np.uint8))[:80],
            "cut off",
            id="cut png",
        ),
        pytest.param(
            "a.png",
            lambda jpeg: encoded(np.zeros((2, 30000, 3), np.uint8)),
            "30000x2 pixels, the limit is 16384",
            id="too wide",
        ),
    ],
)
def test_bad_pictures_are_refused_by_name(tmp_path, jpeg, name, content, words):
    path = tmp_path / name
    path.write_bytes(content(jpeg))
    with pytest.raises(ImageError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_missing_picture_and_folder(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="it is a folder"):
        read_image(tmp_path)


def test_written_picture_reads_back_and_replaces(tmp_path):
    path = tmp_path / "é.png"
    for value in (1, 2):
        image = np.full((3, 4, 3), value, np.uint8)
        write_image(path, image)
        assert np.array_equal(read_image(path), image)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_failed_writing_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, np.zeros((3, 3, 3), np.uint8))
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("liveness.io.files.os.replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_image(path, np.ones((9, 9, 3), np.uint8))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_unknown_suffix_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="expected a name ending in"):
        write_image(tmp_path / "a.txt", np.zeros((3, 3, 3), np.uint8))


def test_folders_are_listed_in_natural_order(tmp_path):
    for name in ("10.jpg", "2.JPG", "sub/1.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = list_images([tmp_path, tmp_path / "10.jpg", tmp_path / "missing.jpg"])
    names = [str(path.relative_to(tmp_path)) for path in listed]
    assert names == ["2.JPG", "10.jpg", "sub/1.png", "missing.jpg"]


def test_folder_without_pictures(tmp_path):
    assert list_images([]) == []
    with pytest.raises(ImageError, match="no pictures in folder"):
        list_images([tmp_path])
