"""Identity, evidence, hysteresis, gates and the detector's schedule."""

import cv2
import numpy as np
import pytest

from apps import ROOT, ScriptedClassifier, ScriptedDetector
from liveness.io.images import read_image
from liveness.live.tracks import FaceTracks, TrackRules

FPS = 30
BOX = (224, 103, 423, 340)  # of the face in images/reals/1.jpg


@pytest.fixture(scope="module")
def portrait():
    return read_image(ROOT / "images/reals/1.jpg")


@pytest.fixture
def detector():
    return ScriptedDetector([BOX])


@pytest.fixture
def classifier():
    return ScriptedClassifier()


@pytest.fixture
def tracks(detector, classifier):
    return FaceTracks(detector, classifier, problem=lambda image, box: "")


def run(tracks, image, seconds, *, start_s=0.0):
    """Verdicts at every frame of that many seconds of one picture."""
    return [
        tracks.update(image, start_s + n / FPS) for n in range(round(seconds * FPS))
    ]


def shifted(image, x_px, y_px=0):
    matrix = np.array([[1, 0, x_px], [0, 1, y_px]], float)
    size_wh = image.shape[1], image.shape[0]
    return cv2.warpAffine(image, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)


def test_checking_until_there_is_enough_then_real(tracks, portrait):
    labels = [faces[0].label for faces in run(tracks, portrait, 1)]
    decided = labels.index("real")
    assert set(labels[:decided]) == {"checking"} and set(labels[decided:]) == {"real"}
    assert 0.2 <= decided / FPS <= 0.5


def test_a_low_score_becomes_fake(tracks, classifier, portrait):
    classifier.score = 0.1
    assert run(tracks, portrait, 1)[-1][0].label == "fake"


def test_one_odd_score_does_not_flip_the_verdict(tracks, classifier, portrait):
    run(tracks, portrait, 1.5)
    classifier.score = 0.0
    face = tracks.update(portrait, 1.6)[0]
    assert face.label == "real" and face.score < 0.9


def test_verdict_follows_lasting_evidence(tracks, classifier, portrait):
    run(tracks, portrait, 1.5)
    classifier.score = 0.0
    labels = [faces[0].label for faces in run(tracks, portrait, 2, start_s=1.5)]
    assert labels[-1] == "fake" and 0.2 < labels.index("fake") / FPS < 1.1


@pytest.mark.parametrize(
    ("first", "then", "label"),
    [(0.6, 0.47, "real"), (0.4, 0.53, "fake"), (0.6, 0.43, "fake")],
)
def test_hysteresis(tracks, classifier, portrait, first, then, label):
    classifier.score = first
    run(tracks, portrait, 1.5)
    classifier.score = then
    assert run(tracks, portrait, 2, start_s=1.5)[-1][0].label == label


def test_threshold_one_and_zero_can_be_left_and_met(detector, portrait):
    for threshold, label in ((0.0, "real"), (1.0, "fake")):
        classifier = ScriptedClassifier(0.5, threshold)
        tracks = FaceTracks(detector, classifier, problem=lambda image, box: "")
        assert run(tracks, portrait, 1)[-1][0].label == label


def test_identity_is_kept_while_the_face_moves(tracks, detector, portrait):
    numbers, errors = set(), []
    for n in range(60):
        offset = round(60 * np.sin(n / 10))
        detector.boxes = [(BOX[0] + offset, BOX[1], BOX[2] + offset, BOX[3])]
        face = tracks.update(shifted(portrait, offset), n / FPS)[0]
        numbers.add(face.track)
        errors.append(abs(face.box[0] - BOX[0] - offset))
    assert numbers == {1}
    # Boxes follow the face between detections too: 1/10 of its width at most.
    assert max(errors) <= 0.1 * (BOX[2] - BOX[0])


def test_two_faces_keep_their_numbers_when_the_order_changes(tracks, detector):
    image = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 8)
    left, right = (50, 100, 150, 220), (400, 100, 500, 220)
    detector.boxes = [left, right]
    run(tracks, image, 0.5)
    detector.boxes = [right, left]
    faces = run(tracks, image, 0.5, start_s=0.5)[-1]
    assert {face.track: face.box for face in faces} == {1: left, 2: right}


def test_all_faces_are_scored_in_one_batch(tracks, detector, classifier, portrait):
    detector.boxes = [(x, 100, x + 90, 200) for x in range(0, 500, 100)]
    run(tracks, portrait, 1)
    assert set(classifier.batches) == {5} and len(classifier.batches) <= 11


def test_detector_and_scores_run_on_a_schedule(tracks, detector, classifier, portrait):
    run(tracks, portrait, 2)
    assert 8 <= detector.calls <= 12 and 18 <= len(classifier.batches) <= 22


def test_detector_looks_at_once_when_the_scene_changes(tracks, detector, portrait):
    run(tracks, portrait, 0.5)
    calls = detector.calls
    detector.boxes = []
    tracks.update(255 - portrait, 0.5)
    assert detector.calls == calls + 1


def test_another_picture_in_the_same_place_inherits_no_verdict(tracks, portrait):
    run(tracks, portrait, 1)
    other = np.random.default_rng(1).integers(0, 255, portrait.shape, np.uint8)
    face = tracks.update(other, 1.0)[0]
    assert face.label == "checking"


def test_a_face_that_left_is_forgotten_and_comes_back_as_another(
    tracks, detector, portrait
):
    run(tracks, portrait, 1)
    detector.boxes = []
    assert run(tracks, portrait, 1, start_s=1)[-1] == []
    detector.boxes = [BOX]
    assert run(tracks, portrait, 0.5, start_s=2)[-1][0].track == 2


def test_after_a_gap_nobody_is_known(tracks, portrait):
    run(tracks, portrait, 1)
    face = tracks.update(portrait, 1 + 2 * TrackRules().gap_s)[0]
    assert (face.track, face.label) == (2, "checking")


def test_a_face_that_fails_a_gate_is_checking_with_the_reason(
    detector, classifier, portrait
):
    problems = [""]
    tracks = FaceTracks(detector, classifier, problem=lambda image, box: problems[0])
    run(tracks, portrait, 1)
    scored = len(classifier.batches)
    problems[0] = "too dark: more light"
    later = run(tracks, portrait, 0.5, start_s=1)
    told = [(faces[0].label, faces[0].reason) for faces in later]
    assert set(told[4:]) == {("checking", "too dark: more light")}
    assert len(classifier.batches) == scored  # such a picture is no evidence


def test_a_change_of_resolution_starts_anew(tracks, detector, portrait):
    run(tracks, portrait, 1)
    turned = cv2.rotate(portrait, cv2.ROTATE_90_CLOCKWISE)
    assert tracks.update(turned, 1.0)[0].label == "checking"


def test_no_face(tracks, detector, portrait):
    detector.boxes = []
    assert run(tracks, portrait, 0.3)[-1] == []


def test_a_face_upside_down_gets_no_verdict_until_it_is_turned(
    detector, classifier, portrait
):
    looks, is_turned = [], True

    def upside_down(image, faces):
        looks.append(len(faces))
        return [is_turned] * len(faces)

    tracks = FaceTracks(
        detector, classifier, problem=lambda *_: "", upside_down=upside_down
    )
    shown = run(tracks, portrait, 6)
    assert {(faces[0].label, faces[0].reason) for faces in shown} == {
        ("checking", "upside down?")
    }
    assert looks == [1, 1]  # at once, and after five seconds
    is_turned = False
    assert run(tracks, portrait, 5, start_s=6)[-1][0].label == "real"
