"""Encodings of the two portraits, the encodings file, and the library's absence."""

import io
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest

import enroll_faces
import liveness_app_from_picture
from liveness.constants import ROOT
from liveness.errors import EncodingsError, IdentityError
from liveness.faces.detector import FaceDetector
from liveness.faces.dlib_faces import dlib_square, encode_face, find_landmarks
from liveness.io.images import read_image
from liveness.people.identity import (
    FORMAT,
    NOBODY,
    FaceIdentifier,
    KnownFaces,
    checked_name,
    find_lookalikes,
    find_match,
    load_known,
    match_rates,
    save_known,
)

GRACE = ROOT / "images/reals/1.jpg"
EILEEN = ROOT / "images/reals/2.jpg"


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(ROOT / "face_detector")


@pytest.fixture(scope="module")
def known(detector) -> KnownFaces:
    images = [read_image(path) for path in (GRACE, EILEEN)]
    encodings = [encode_face(im, detector.detect(im)[0].box) for im in images]
    return KnownFaces(("Grace", "Eileen"), np.array(encodings))


def made_up(*names: str) -> KnownFaces:
    """People on a line: number n has n tenths as its first number, else zeros."""
    encodings = np.zeros((len(names), 128))
    encodings[:, 0] = np.arange(len(names)) / 10
    return KnownFaces(names, encodings)


def jpeg(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [1, 20])[1], cv2.IMREAD_COLOR)


VARIATIONS = {
    "mirrored": lambda image: image[:, ::-1].copy(),
    "dark": lambda image: cv2.convertScaleAbs(image, alpha=0.4),
    "bright": lambda image: cv2.convertScaleAbs(image, alpha=1.3),
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 1.5),
    "half as large": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5),
    "cropped": lambda image: image[:, image.shape[1] // 8 :].copy(),
    "strong JPEG": jpeg,
}


@pytest.mark.parametrize("change", VARIATIONS.values(), ids=VARIATIONS)
@pytest.mark.parametrize(
    ("path", "name"), [(GRACE, "Grace"), (EILEEN, "Eileen")], ids=["Grace", "Eileen"]
)
def test_variations_keep_the_name(known, detector, path, name, change):
    image = change(read_image(path))

    match = FaceIdentifier(known).identify(image, detector.detect(image)[0].box)

    assert match.name == name
    assert match.distance < 0.45


def test_stranger_has_no_name_but_a_distance(known, detector):
    image = read_image(EILEEN)
    only_grace = known.without("Eileen")

    match = FaceIdentifier(only_grace).identify(image, detector.detect(image)[0].box)

    assert match.name is None
    assert match.distance > 0.6


def test_two_faces_in_one_picture(known, detector):
    pictures = [cv2.resize(read_image(path), (400, 400)) for path in (GRACE, EILEEN)]
    image = np.hstack(pictures)

    faces = sorted(detector.detect(image), key=lambda face: face.box[0])
    identifier = FaceIdentifier(known)
    names = [identifier.identify(image, face.box).name for face in faces]

    assert names == ["Grace", "Eileen"]


def test_surroundings_do_not_matter(known, detector):
    """The region handed to dlib is cut out: far pixels change nothing."""
    image = read_image(GRACE)
    box = detector.detect(image)[0].box
    wide = cv2.copyMakeBorder(image, 300, 0, 500, 0, cv2.BORDER_CONSTANT)
    moved = (box[0] + 500, box[1] + 300, box[2] + 500, box[3] + 300)

    assert np.linalg.norm(encode_face(wide, moved) - known.encodings[0]) < 0.05
    shift = find_landmarks(wide, moved) - find_landmarks(image, box)
    assert np.allclose(np.median(shift, axis=0), (500, 300), atol=2)


def test_box_outside_the_image():
    with pytest.raises(ValueError, match="box inside the image"):
        encode_face(np.zeros((100, 100, 3), np.uint8), (400, 400, 450, 460))


def test_dlib_square_lies_lower_and_is_square():
    assert dlib_square((0, 0, 80, 100)) == (-1, 16, 81, 98)


@pytest.mark.parametrize(
    ("at", "tolerance", "name"),
    [(0.0, 0.6, "a"), (0.09, 0.05, "b"), (0.5, 0.6, "b"), (0.8, 0.6, None)],
    ids=["same", "nearest", "within", "too far"],
)
def test_find_match(at, tolerance, name):
    encoding = np.zeros(128)
    encoding[0] = at
    assert find_match(encoding, made_up("a", "b"), tolerance=tolerance).name == name


@pytest.mark.parametrize(
    ("places", "name", "distance"),
    [
        ({"many": (0.10, 0.7, 0.7, 0.7), "few": (0.20, 0.22)}, "few", 0.21),
        ({"many": (0.20, 0.22, 0.7, 0.7), "few": (0.30, 0.30)}, "many", 0.21),
        ({"many": (0.30, 0.32, 0.34), "few": (0.20,)}, "few", 0.20),
        ({"many": (0.45, 0.65, 0.7)}, None, 0.55),
    ],
    ids=["lucky picture", "two pictures count", "only picture", "lucky stranger"],
)
def test_the_nearest_person_and_not_the_nearest_picture(places, name, distance):
    names = tuple(person for person, at in places.items() for _ in at)
    encodings = np.zeros((len(names), 128))
    encodings[:, 0] = [place for at in places.values() for place in at]

    match = find_match(np.zeros(128), KnownFaces(names, encodings))

    assert match.name == name
    assert match.distance == pytest.approx(distance)


def test_one_default_tolerance():
    assert all(
        make_parser().parse_args(given).tolerance == FaceIdentifier(NOBODY).tolerance
        for make_parser, given in (
            (enroll_faces.build_parser, []),
            (liveness_app_from_picture.build_parser, ["-i", "a.jpg"]),
        )
    )


def test_nobody_known():
    match = find_match(np.zeros(128), NOBODY)
    assert match.name is None
    assert match.distance == float("inf")


def test_file_round_trip(tmp_path, known):
    path = tmp_path / "encodings.npz"

    save_known(path, known)
    again = load_known(path)

    assert again.names == known.names
    assert np.array_equal(again.encodings, known.encodings)
    assert path.stat().st_mode & 0o077 == 0
    assert [file.name for file in tmp_path.iterdir()] == ["encodings.npz"]


def test_file_of_nobody(tmp_path):
    save_known(tmp_path / "e.npz", NOBODY)
    assert load_known(tmp_path / "e.npz").people == []


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def good_arrays(**changed) -> dict:
    arrays = {
        "format": np.array(FORMAT),
        "version": np.array(1),
        "names": np.array(["a"]),
        "encodings": np.zeros((1, 128)),
    }
    return arrays | changed


BAD_FILES = {
    "empty": (b"", "not an .npz file"),
    "text": (b"names: a, b", "not an .npz file"),
    "pickle": (pickle.dumps({"names": ["a"]}), "it is a pickle"),
    "old pickle": (pickle.dumps({"names": ["a"]}, protocol=0), "not an .npz file"),
    "pickle inside": (
        npz(**good_arrays(names=np.array(["a"], dtype=object))),
        "damaged or has another format",
    ),
    "cut off": (npz(**good_arrays())[:-60], "not an .npz file"),
    "foreign": (npz(x=np.zeros(3)), "not written by enroll_faces.py"),
    "older": (npz(**good_arrays(version=np.array(0))), "format version 0, expected 1"),
    "newer": (npz(**good_arrays(version=np.array(2))), "format version 2, expected 1"),
    "no names": (
        npz(**{k: v for k, v in good_arrays().items() if k != "names"}),
        "'names'",
    ),
    "names missing": (npz(**good_arrays(names=np.array(["a", "b"]))), "2 encodings"),
    "numbers missing": (npz(**good_arrays(encodings=np.zeros((1, 64)))), "(1, 64)"),
    "words": (npz(**good_arrays(encodings=np.full((1, 128), "x"))), "damaged"),
    "not a number": (
        npz(**good_arrays(encodings=np.full((1, 128), np.nan))),
        "not a number",
    ),
    "name with escape": (
        npz(**good_arrays(names=np.array(["a\x1b[2J"]))),
        "not a valid name",
    ),
    "number as name": (npz(**good_arrays(names=np.array([7]))), "damaged"),
}


@pytest.mark.parametrize(("data", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files(tmp_path, data, message):
    path = tmp_path / "e.npz"
    path.write_bytes(data)

    with pytest.raises(EncodingsError) as caught:
        load_known(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_flipped_bytes_never_crash(tmp_path):
    """Any damage gives the one error, or leaves what a reader may accept."""
    good = npz(**good_arrays())
    path = tmp_path / "e.npz"
    for at in range(len(good)):
        damaged = bytearray(good)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            load_known(path)
        except EncodingsError:
            pass


def test_missing_file(tmp_path):
    with pytest.raises(EncodingsError, match="create it with"):
        load_known(tmp_path / "none.npz")


def test_names_are_normalised():
    assert checked_name(" Zoe\u0308 ") == "Zo\u00eb"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", "..", "a\nb", "x" * 101])
def test_bad_names(name):
    with pytest.raises(IdentityError, match="not a valid name"):
        checked_name(name)


def test_rates_and_lookalikes():
    # On a line: a 0.0, a 0.1, b 0.2. Same: 0.1. Different: 0.2 and 0.1.
    people = made_up("a", "a", "b")

    false_match, false_non_match = match_rates(people, [0.05, 0.15, 0.25])

    assert false_match.tolist() == [0, 0.5, 1]
    assert false_non_match.tolist() == [1, 0, 0]
    assert find_lookalikes(people, 0.05) == []
    assert find_lookalikes(people, 0.15) == [("a", "b", pytest.approx(0.1))]


@pytest.mark.parametrize("names", [(), ("a",), ("a", "a"), ("a", "b")])
def test_no_rates_without_pairs(names):
    with pytest.raises(IdentityError, match="two people"):
        match_rates(made_up(*names), [0.6])


def run_python(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_missing_models_are_one_clear_line():
    """Left alone, face_recognition prints advice on stdout and ends the program."""
    done = run_python(
        "import sys; sys.modules['face_recognition_models'] = None\n"
        "from liveness.cli.run import run\n"
        "from liveness.faces.dlib_faces import load_library\n"
        "sys.exit(run(load_library))"
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: cannot use face_recognition")
    assert done.stderr.count("\n") == 1


def test_library_loads_without_a_warning():
    done = run_python(
        "from liveness.faces.dlib_faces import load_library; load_library()"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_library_is_only_loaded_when_used():
    done = run_python(
        "import sys, liveness.people.identity, liveness.people.challenge\n"
        "import liveness.people.enrolment\n"
        "sys.exit('face_recognition' in sys.modules or 'dlib' in sys.modules)"
    )
    assert done.returncode == 0
