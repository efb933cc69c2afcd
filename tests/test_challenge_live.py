"""The challenge among the tracks, with movements made of a portrait's landmarks."""

import json

import cv2
import numpy as np
import pytest

import liveness_app
from apps import ROOT, ScriptedClassifier, ScriptedDetector
from liveness.cli.run import run
from liveness.constants import CHALLENGES
from liveness.io.images import read_image
from liveness.live.tracks import FaceTracks
from liveness.people.challenge import BLINK, TURN_LEFT, Challenge
from liveness.people.checks import PersonChecks
from test_challenge import landmarks_of, with_eyes, yawed

BOX = (224, 103, 423, 340)  # of the face in images/reals/1.jpg
FRAME_S = 1 / 15


@pytest.fixture(scope="module")
def portrait():
    return read_image(ROOT / "images/reals/1.jpg")


@pytest.fixture(scope="module")
def ahead():
    return yawed(landmarks_of(1), 0)


class Scene:
    """One person before the camera whose movements are scripted."""

    def __init__(self, kind, portrait, ahead, *, problem="", score=0.9):
        self.image, self.ahead, self.now, self.problem = portrait, ahead, ahead, problem
        self.detector, self.classifier = ScriptedDetector([BOX]), ScriptedClassifier()
        self.classifier.score = score
        self.challenges, self.looks, self.time_s = [], 0, 0.0
        checks = PersonChecks(
            challenge=kind, landmarks=self._landmarks, new_challenge=self._challenge
        )
        self.tracks = FaceTracks(
            self.detector,
            self.classifier,
            problem=lambda image, box: self.problem,
            checks=checks,
        )

    def _landmarks(self, image, box):
        self.looks += 1
        return self.now

    def _challenge(self, kind):
        self.challenges.append(Challenge(kind, seed=len(self.challenges)))
        return self.challenges[-1]

    def show(self, landmarks=None, *, seconds=FRAME_S):
        """The verdict after so many seconds of one posture, ahead if none is given."""
        self.now = self.ahead if landmarks is None else landmarks
        for _ in range(max(1, round(seconds / FRAME_S))):
            (face,) = self.tracks.update(self.image, self.time_s)
            self.time_s += FRAME_S
        return face

    def move(self, movement):
        if movement == BLINK:
            return self.show(with_eyes(self.ahead, 0.1), seconds=0.15)
        return self.show(yawed(self.ahead, 35 if movement == TURN_LEFT else -35))

    def pass_challenge(self):
        """Do all that is asked; returns the verdict at its end, looking ahead."""
        for step in self.challenges[-1].steps:
            face = self.show(seconds=0.6)
            assert (face.label, face.reason[3:]) == ("checking", f": {step}")
            self.move(step)
        return self.show(seconds=0.6)


@pytest.fixture
def scene(portrait, ahead):
    return Scene("random", portrait, ahead)


@pytest.mark.parametrize("kind", CHALLENGES)
def test_real_only_after_all_that_was_asked(kind, portrait, ahead):
    scene = Scene(kind, portrait, ahead)
    assert scene.show().reason == "looking"
    scene.show(seconds=1)
    assert scene.pass_challenge().label == "real"
    looks = scene.looks
    assert scene.show(seconds=20).label == "real"  # and it stays so
    assert scene.looks == looks and len(scene.challenges) == 1


def test_a_fake_face_stays_fake_and_is_asked_nothing(portrait, ahead):
    scene = Scene("random", portrait, ahead, score=0.1)
    assert scene.show(seconds=10).label == "fake"
    assert not scene.challenges and not scene.looks


def test_a_still_face_is_never_real_and_asked_anew_after_each_failure(scene):
    told = []
    for _ in range(round(2.5 * (6 + 2) / FRAME_S)):
        face = scene.show()
        assert face.label == "checking"
        told.append(face.reason)
    assert len(scene.challenges) == 3
    failed_s = told.count("too late") * FRAME_S
    assert failed_s == pytest.approx(2 * 2, abs=0.3)
    assert told[-1].startswith("1/4: ")


def test_the_challenge_after_a_failure_can_be_passed(scene):
    scene.show(seconds=6 + 2 + 1)
    assert len(scene.challenges) == 2
    assert scene.pass_challenge().label == "real"


def test_a_turned_head_is_not_scored_and_must_look_ahead(portrait, ahead):
    scene = Scene("turn", portrait, ahead)
    scene.show(seconds=1)
    *steps, last = scene.challenges[0].steps
    for step in steps:
        scene.move(step)
        scene.show(seconds=0.6)
    scene.move(last)
    scored = len(scene.classifier.batches)
    scene.classifier.score = 0.0  # what a network says that has seen no such faces
    face = scene.show(scene.now, seconds=2)
    assert (face.label, face.reason) == ("checking", "look ahead")
    assert len(scene.classifier.batches) == scored
    scene.classifier.score = 0.9
    assert scene.show(seconds=0.5).label == "real"


def test_the_prompt_stays_while_the_head_is_on_its_way(portrait, ahead):
    scene = Scene("turn", portrait, ahead)
    scene.show(seconds=1)
    step = scene.challenges[0].steps[0]
    on_the_way = yawed(ahead, 20 if step == TURN_LEFT else -20)
    assert scene.show(on_the_way, seconds=0.5).reason == f"1/3: {step}"


def test_whose_scores_turn_fake_starts_anew(scene):
    scene.show(seconds=1)
    assert scene.pass_challenge().label == "real"
    scene.classifier.score = 0.0
    assert scene.show(seconds=2).label == "fake"
    scene.classifier.score = 0.9
    face = scene.show(seconds=2)
    assert face.label == "checking" and face.reason.startswith("1/4: ")
    assert len(scene.challenges) == 2


def test_who_comes_after_a_loss_starts_anew(scene, portrait):
    scene.show(seconds=1)
    assert scene.pass_challenge().label == "real"
    scene.image = np.random.default_rng(1).integers(0, 255, portrait.shape, np.uint8)
    scene.show(seconds=0.5)
    scene.image = cv2.flip(portrait, 1)
    face = scene.show(seconds=2)
    assert face.label == "checking" and face.reason.startswith("1/4: ")


def test_what_is_wrong_with_the_picture_is_said_first(scene):
    scene.show(seconds=1)
    scene.problem = "too dark: more light"
    assert scene.show(seconds=0.5).reason == "too dark: more light"
    scene.problem = ""
    assert scene.show(seconds=0.5).reason.startswith("1/4: ")


@pytest.fixture
def start(use_classifier):
    """Runs the webcam app on a video of a face that keeps still."""

    def start(*options, score=0.9):
        use_classifier(lambda image, box: score)
        given = ["--no-display", "--source", str(ROOT / "videos/real_1.mp4")]
        return run(lambda: liveness_app.main([*given, *options]))

    return start


def test_a_video_does_not_do_what_the_app_asks(start, capsys):
    assert start("--challenge", "random", "--once", "--json") == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["label"] for line in lines} == {"checking"}
    assert any(line["reason"].startswith("1/4: ") for line in lines)


def test_once_with_a_fake_is_still_3(start, capsys):
    assert start("--challenge", "turn", "--once", score=0.1) == 3


def test_an_unknown_challenge_is_wrong_usage(start, capsys):
    with pytest.raises(SystemExit) as end:
        start("--challenge", "smile")
    assert (
        end.value.code == 2 and "'blink', 'turn', 'random'" in capsys.readouterr().err
    )
