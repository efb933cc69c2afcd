"""Checks of a face without HTTP: what ends them, and whom they belong to."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from liveness.constants import Reason
from liveness.model.verdicts import FaceVerdict, Match
from liveness.people.identity import KnownFaces
from liveness.web import face_checks
from liveness.web.face_checks import (
    IDLE_S,
    LIMIT_S,
    NO_FACE,
    NOT_LET_IN,
    NOT_LIVE,
    PICTURE_EVERY_S,
    SEVERAL,
    WAIT_S,
    FaceChecks,
    LogIn,
    SignUp,
    Tools,
    TryIt,
)

IMAGE = np.zeros((240, 320, 3), np.uint8)
BOX = (100, 50, 200, 180)


@dataclass
class ScriptedTracks:
    """Gives the verdicts of the moment."""

    faces: list = field(default_factory=list)

    def update(self, image, time_s):
        return self.faces


@dataclass
class Clock:
    time_s: float = 3.0  # a machine that was just started

    def __call__(self):
        return self.time_s


def face(label, *, track=1, box=BOX, reason="", match=None):
    return FaceVerdict(box, 0.9, 0.7, label, reason, track, match)


@pytest.fixture
def tracks():
    return ScriptedTracks()


@pytest.fixture
def tools(tracks):
    return Tools(lambda checks: tracks)


@pytest.fixture
def person(monkeypatch):
    """The encoding that the next picture has, of a sharp face."""
    values = [np.zeros(128)]
    monkeypatch.setattr(face_checks, "encode_face", lambda *_: values[0])
    monkeypatch.setattr(face_checks, "sharpness", lambda *_: 1.0)
    return values


def known_faces():
    return KnownFaces(("Ann",) * 3, np.zeros((3, 128)))


class TestLogIn:
    @pytest.mark.parametrize(
        ("faces", "expected"),
        [
            ([], ("looking", NO_FACE)),
            ([face("checking", reason=Reason.TOO_DARK)], ("looking", Reason.TOO_DARK)),
            ([face("fake")], ("failed", NOT_LET_IN)),
            ([face("real", match=Match("Ann", 0.2))], ("passed", "")),
            ([face("real", match=Match(None, 0.7))], ("failed", NOT_LET_IN)),
            ([face("real")], ("failed", NOT_LET_IN)),
            (
                [face("real", match=Match("Ann", 0.2)), face("real", track=2)],
                ("looking", SEVERAL),
            ),
            (
                [  # one far behind does not count
                    face("real", match=Match("Ann", 0.2)),
                    face("fake", track=2, box=(0, 0, 20, 25)),
                ],
                ("passed", ""),
            ),
        ],
        ids="nobody dark fake known stranger unnamed two behind".split(),
    )
    def test_states(self, tools, tracks, faces, expected):
        check = LogIn(tools, 1, known_faces())
        tracks.faces = faces
        answer = check.look(IMAGE, 0.0)
        assert (answer.state, answer.message) == expected

    def test_ends_after_its_time(self, tools, tracks):
        check = LogIn(tools, 1, known_faces())
        assert check.look(IMAGE, 5.0).seconds_left == LIMIT_S
        assert check.look(IMAGE, 5.0 + LIMIT_S - 1).state == "looking"
        tracks.faces = [face("real", match=Match("Ann", 0.2))]
        answer = check.look(IMAGE, 5.0 + LIMIT_S)
        assert answer.state == "failed"
        assert answer.message.startswith("That took more than 30 seconds")


class TestSignUp:
    def take(self, check, times, start_s=0.0):
        step_s = PICTURE_EVERY_S
        return [check.look(IMAGE, start_s + n * step_s).state for n in range(times)]

    def test_takes_three_pictures(self, tools, tracks, person):
        check = SignUp(tools, "Ann", "hash")
        tracks.faces = [face("real")]
        assert check.look(IMAGE, 0.0).state == "looking"
        assert check.look(IMAGE, PICTURE_EVERY_S / 2).state == "looking"
        assert len(check.encodings) == 1  # too early for the second
        assert self.take(check, 2, PICTURE_EVERY_S) == ["looking", "passed"]
        assert len(check.encodings) == 3

    def test_another_person_starts_over(self, tools, tracks, person):
        check = SignUp(tools, "Ann", "hash")
        tracks.faces = [face("real")]
        self.take(check, 2)
        person[0] = np.full(128, 0.1)  # distance 1.1
        assert self.take(check, 3, 2.0) == ["looking", "looking", "passed"]
        np.testing.assert_array_equal(check.encodings, np.full((3, 128), 0.1))

    def test_another_track_starts_over(self, tools, tracks, person):
        check = SignUp(tools, "Ann", "hash")
        tracks.faces = [face("real")]
        self.take(check, 2)
        tracks.faces = [face("real", track=2)]
        assert self.take(check, 3, 2.0) == ["looking", "looking", "passed"]

    def test_small_and_blurred_faces_are_not_taken(
        self, tools, tracks, person, monkeypatch
    ):
        check = SignUp(tools, "Ann", "hash")
        tracks.faces = [face("real", box=(100, 50, 150, 110))]
        assert check.look(IMAGE, 0.0).message == Reason.TOO_FAR
        tracks.faces = [face("real")]
        monkeypatch.setattr(face_checks, "sharpness", lambda *_: 0.05)
        assert check.look(IMAGE, 1.0).message == Reason.BLURRED
        assert not check.encodings

    def test_fake_ends_it(self, tools, tracks):
        tracks.faces = [face("fake")]
        answer = SignUp(tools, "Ann", "hash").look(IMAGE, 0.0)
        assert (answer.state, answer.message) == ("failed", NOT_LIVE)


class TestTryIt:
    def test_shows_verdicts_and_goes_on(self, tools, tracks):
        check = TryIt(tools)
        messages = []
        for faces in (
            [],
            [face("fake")],
            [face("real")],
            [face("checking", reason="x")],
        ):
            tracks.faces = faces
            answer = check.look(IMAGE, 0.0)
            assert answer.state == "looking"
            messages.append(answer.message)
        assert messages == [NO_FACE, "a photograph or a screen", "a live face", "x"]


class TestFaceChecks:
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def checks(self, clock):
        return FaceChecks(clock=clock, most=2)

    def begin(self, checks, tools, owner="session"):
        nonce = checks.begin(TryIt(tools), owner)
        return checks.find(nonce, owner)

    def test_belongs_to_its_session(self, checks, tools):
        nonce = checks.begin(TryIt(tools), "one")
        assert checks.find(nonce, "one")
        assert checks.find(nonce, "two") is None
        assert checks.find("", "one") is None

    def test_one_for_each_session(self, checks, tools):
        first = self.begin(checks, tools)
        second = self.begin(checks, tools)
        assert first.nonce != second.nonce
        assert checks.find(first.nonce, "session") is None
        assert checks.find(second.nonce, "session") is second

    def test_one_for_each_account(self, checks, tools):
        first = checks.begin(LogIn(tools, 1, known_faces()), "one")
        other = checks.begin(LogIn(tools, 2, known_faces()), "two")
        checks.begin(LogIn(tools, 1, known_faces()), "three")
        assert checks.find(first, "one") is None
        assert checks.find(other, "two")

    def test_is_over_once_it_has_ended(self, checks, tools, tracks):
        nonce = checks.begin(LogIn(tools, 1, known_faces()), "one")
        check = checks.find(nonce, "one")
        tracks.faces = [face("real", match=Match("Ann", 0.2))]
        assert checks.look(check, IMAGE).state == "passed"
        assert checks.find(nonce, "one") is None
        # A frame that was on its way passes nothing a second time.
        assert checks.look(check, IMAGE).state == "gone"

    def test_check_that_was_replaced_passes_nothing(self, checks, tools, tracks):
        old = checks.begin(LogIn(tools, 1, known_faces()), "one")
        check = checks.find(old, "one")
        checks.begin(LogIn(tools, 1, known_faces()), "two")
        tracks.faces = [face("real", match=Match("Ann", 0.2))]
        assert checks.look(check, IMAGE).state == "gone"

    def test_waits_for_the_first_frame(self, checks, clock, tools):
        check = self.begin(checks, tools)
        clock.time_s += WAIT_S
        assert checks.find(check.nonce, "session")
        clock.time_s += 1
        assert checks.find(check.nonce, "session") is None

    def test_is_dropped_after_its_time(self, checks, clock, tools):
        check = self.begin(checks, tools)
        checks.look(check, IMAGE)
        clock.time_s += LIMIT_S + 1
        assert checks.look(checks.find(check.nonce, "session"), IMAGE).state == "failed"
        check = self.begin(checks, tools)
        checks.look(check, IMAGE)
        clock.time_s += LIMIT_S + IDLE_S + 1
        assert checks.find(check.nonce, "session") is None

    def test_visitor_gives_up_the_place_for_a_login(self, checks, tools, tracks):
        visitors = [TryIt(tools) for _ in range(2)]
        for number, visitor in enumerate(visitors):
            checks.begin(visitor, f"visitor {number}")
            assert checks.look(visitor, IMAGE).state == "looking"
        known = KnownFaces(("Grace",), np.zeros((1, 128)))
        login = LogIn(tools, "token", known)
        checks.begin(login, "Grace's session")
        assert checks.look(login, IMAGE).state == "looking"
        assert checks.look(visitors[0], IMAGE) is None
        assert checks.look(visitors[1], IMAGE).state == "looking"

    def test_waits_for_a_place(self, checks, clock, tools):
        running = [self.begin(checks, tools, owner) for owner in "ab"]
        late = self.begin(checks, tools, "c")
        assert all(checks.look(check, IMAGE) for check in running)
        assert checks.look(late, IMAGE) is None
        assert late.started_s is None  # its time has not begun
        clock.time_s += IDLE_S
        assert checks.look(running[0], IMAGE)
        assert checks.look(late, IMAGE)  # the other has sent nothing for a while
        assert checks.look(running[1], IMAGE) is None

    def test_one_frame_at_a_time(self, checks, tools):
        check = self.begin(checks, tools)
        with check.lock:
            assert checks.look(check, IMAGE) is None

    def test_many_that_wait_drop_the_oldest(self, checks, tools, monkeypatch):
        monkeypatch.setattr(face_checks, "MOST_WAITING", 3)
        nonces = [checks.begin(TryIt(tools), owner) for owner in "abcd"]
        found = [bool(checks.find(*pair)) for pair in zip(nonces, "abcd", strict=True)]
        assert found == [False, True, True, True]
