"""Judge the frames that a browser sends, for as long as one check of a face lasts.

Every check has tracks of its own, as a live app has; the model and a few detectors
serve all of them. Nothing here knows of HTTP or of the database.
"""

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from liveness.constants import DEFAULT_TOLERANCE, Reason
from liveness.faces.boxes import box_wh
from liveness.faces.detector import Detection, FaceDetector, near_faces
from liveness.faces.dlib_faces import encode_face
from liveness.live.tracks import FaceTracks
from liveness.model.labels import FAKE, REAL
from liveness.model.verdicts import FaceVerdict
from liveness.people.checks import PersonChecks
from liveness.people.enrolment import MIN_HEIGHT_PX, MIN_SHARPNESS, sharpness
from liveness.people.identity import FaceIdentifier, KnownFaces, find_match
from liveness.workflow.judge import Judging, load_parts

MOST_CHECKS = 10  # at the same time; two cores keep up with that many
MOST_WAITING = 1000  # checks that were begun and have sent no frame
LIMIT_S = 30.0  # from the first frame of a check to its end
WAIT_S = 120.0  # for the first frame: a browser asks for the camera first
IDLE_S = 5.0  # without a frame, from which on a check gives up its place
PICTURES = 3  # that are encoded to sign up
PICTURE_EVERY_S = 0.5  # so that they are not all alike

# What a person is told who is not let in, whatever the reason is: an attacker learns
# nothing from it about the score or the distance.
ADVICE = "Face the camera in even light, alone."
NOT_LET_IN = f"We could not confirm that it is you. {ADVICE}"
NOT_LIVE = f"We could not confirm a live face. {ADVICE}"
NO_FACE = "look into the camera"
LABELS_IN_WORDS = {REAL: "a live face", FAKE: "a photograph or a screen"}
SEVERAL = "only one person, please"
KEEP_LOOKING = "keep looking into the camera"


@dataclass(frozen=True)
class Answer:
    """What a frame has led to.

    Attributes:
        state: ``looking``, ``passed``, ``failed``, or ``gone`` for a frame that came
            after the end.
        message: What the person should do, or why it failed.
        seconds_left: Until the check ends.
        faces: Verdicts on the frame.
    """

    state: str
    message: str
    seconds_left: float
    faces: Sequence[FaceVerdict] = ()


@dataclass(frozen=True)
class Tools:
    """What all checks share.

    Attributes:
        tracks: Makes new tracks with these checks of a person; None for no checks.
        challenge: One of ``CHALLENGES``; None for none.
        tolerance: Largest distance of a match, above 0.
        known: Who may sign up; None for anybody.
    """

    tracks: Callable[[PersonChecks | None], FaceTracks]
    challenge: str | None = None
    tolerance: float = DEFAULT_TOLERANCE
    known: FaceIdentifier | None = None


class DetectorPool:
    """Face detectors of which each thread takes one: one alone is not thread-safe.

    Args:
        detectors: One or more, alike.
    """

    def __init__(self, detectors: Sequence[FaceDetector]) -> None:
        self._free: queue.SimpleQueue[FaceDetector] = queue.SimpleQueue()
        for detector in detectors:
            self._free.put(detector)

    @contextmanager
    def _one(self) -> Iterator[FaceDetector]:
        detector = self._free.get()
        try:
            yield detector
        finally:
            self._free.put(detector)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Detect faces, as ``FaceDetector.detect``."""
        with self._one() as detector:
            return detector.detect(image)

    def are_upside_down(
        self, image: np.ndarray, faces: Sequence[Detection]
    ) -> list[bool]:
        """Tell which faces are upside down, as ``FaceDetector.are_upside_down``."""
        with self._one() as detector:
            return detector.are_upside_down(image, faces)


def load_tools(judging: Judging, *, challenge: str | None = None) -> tuple[Tools, str]:
    """Load what checks need.

    Args:
        judging: What faces are judged with; ``known`` names who may sign up.
        challenge: One of ``CHALLENGES``; None for none.

    Returns:
        The tools, and the model in words.

    Raises:
        LivenessError: If a file is missing, damaged or unsafe.
    """
    parts = load_parts(judging)
    more = max(1, os.cpu_count() or 1) - 1
    others = [
        FaceDetector(judging.detector, confidence=judging.confidence)
        for _ in range(more)
    ]
    pool = DetectorPool([parts.detector, *others])

    def tracks(checks: PersonChecks | None) -> FaceTracks:
        return FaceTracks(
            pool,
            parts.classifier,
            checks=checks,
            upside_down=pool.are_upside_down,
        )

    tools = Tools(tracks, challenge, judging.tolerance, parts.identifier)
    return tools, parts.classifier.description


class FaceCheck:
    """One check of a face, from the first frame to its end.

    What is checked is up to the subclass: this one only looks, see ``TryIt``.

    Args:
        tools: What all checks share.
        checks: Of a person; None for none.
    """

    reveals = False  # whether scores and labels are shown
    refused = NOT_LIVE  # the message to who is not let in
    too_late = f"That took more than {LIMIT_S:.0f} seconds."
    account: str | None = None  # token of the account that it opens

    def __init__(self, tools: Tools, checks: PersonChecks | None) -> None:
        self.tools = tools
        self.nonce = secrets.token_urlsafe(32)
        self.owner = ""  # the session that it was begun in
        self.began_s = 0.0
        self.started_s: float | None = None  # time of the first frame
        self.seen_s = float("-inf")  # time of the latest
        self.lock = threading.Lock()  # is held while a frame is judged
        self._checks = checks
        self._tracks: FaceTracks | None = None

    def look(self, image: np.ndarray, time_s: float) -> Answer:
        """Judge the next frame.

        Args:
            image: (H, W, 3) uint8, BGR.
            time_s: When it came, in seconds; it never goes back.
        """
        if self._tracks is None:
            self._tracks, self.started_s = self.tools.tracks(self._checks), time_s
        left_s = self.started_s + LIMIT_S - time_s
        if left_s <= 0:
            return Answer("failed", self.too_late, 0)
        faces = self._tracks.update(image, time_s)
        state, message = self.decide(faces, image, time_s)
        return Answer(state, message, left_s, faces)

    def decide(
        self, faces: Sequence[FaceVerdict], image: np.ndarray, time_s: float
    ) -> tuple[str, str]:
        """Return the state after a frame, and the message."""
        near = near_faces(faces)
        if not near:
            return "looking", NO_FACE
        if len(near) > 1:
            return "looking", SEVERAL
        if near[0].label == FAKE:
            return "failed", self.refused
        if near[0].label != REAL:
            return "looking", near[0].reason
        return self.confirm(near[0], image, time_s)

    def confirm(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> tuple[str, str]:
        """Return the state after a frame with one near face, which is live."""
        raise NotImplementedError


class TryIt(FaceCheck):
    """Shows a visitor the verdicts on their own camera."""

    reveals = True
    too_late = f"These were {LIMIT_S:.0f} seconds. Start again to go on."

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools, None)

    def decide(
        self, faces: Sequence[FaceVerdict], image: np.ndarray, time_s: float
    ) -> tuple[str, str]:
        """Return a message on the nearest face; never ends by itself."""
        near = near_faces(faces)
        if not near:
            return "looking", NO_FACE
        return "looking", near[0].reason or LABELS_IN_WORDS[near[0].label]


@dataclass
class _Pictures:
    """Pictures of one track that are encoded to sign up."""

    track: int | None = None
    taken_s: float = float("-inf")
    encodings: list[np.ndarray] = field(default_factory=list)


class SignUp(FaceCheck):
    """Takes ``PICTURES`` of a live face.

    Args:
        tools: What all checks share.
        name: Of the new account.
        password_hash: Of the new account.

    Attributes:
        encodings: Of the pictures so far, (128,) float64 each.
    """

    def __init__(self, tools: Tools, name: str, password_hash: str) -> None:
        checks = PersonChecks(challenge=tools.challenge) if tools.challenge else None
        super().__init__(tools, checks)
        self.name, self.password_hash = name, password_hash
        self._pictures = _Pictures()

    @property
    def encodings(self) -> list[np.ndarray]:
        """Of the pictures so far."""
        return self._pictures.encodings

    def confirm(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> tuple[str, str]:
        """Take a picture if it is time for one; passes with the last."""
        if self._pictures.track != face.track:  # may be somebody else
            self._pictures = _Pictures(face.track)
        if time_s - self._pictures.taken_s < PICTURE_EVERY_S:
            return "looking", KEEP_LOOKING
        if box_wh(face.box)[1] < MIN_HEIGHT_PX:
            return "looking", Reason.TOO_FAR
        if sharpness(image, face.box) < MIN_SHARPNESS:
            return "looking", Reason.BLURRED
        encoding = encode_face(image, face.box)
        if not self._may_sign_up(encoding):
            return "failed", self.refused
        distances = [np.linalg.norm(encoding - one) for one in self.encodings]
        if max(distances, default=0) > self.tools.tolerance:
            self._pictures = _Pictures(face.track)
        self.encodings.append(encoding)
        self._pictures.taken_s = time_s
        if len(self.encodings) == PICTURES:
            return "passed", ""
        return "looking", KEEP_LOOKING

    def _may_sign_up(self, encoding: np.ndarray) -> bool:
        """Tell whether it is the person of that name, where only known people may."""
        known = self.tools.known
        if known is None:
            return True
        match = find_match(encoding, known.known, tolerance=known.tolerance)
        return match.name == self.name


class LogIn(FaceCheck):
    """Lets in a live face that is that of the account.

    Args:
        tools: What all checks share.
        account: Token of the account, which no later account can have.
        faces: Its encodings, all under one name.
    """

    refused = NOT_LET_IN

    def __init__(self, tools: Tools, account: str, faces: KnownFaces) -> None:
        identifier = FaceIdentifier(faces, tolerance=tools.tolerance)
        super().__init__(tools, PersonChecks(identifier, challenge=tools.challenge))
        self.account = account

    def confirm(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> tuple[str, str]:
        """Pass if the face was recognised."""
        is_known = face.match is not None and face.match.name is not None
        return ("passed", "") if is_known else ("failed", self.refused)


class FaceChecks:
    """All checks that are not over.

    Args:
        clock: Returns seconds that never go back.
        most: Checks that may run at the same time.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_CHECKS,
    ) -> None:
        self._clock = clock
        self._most = most
        self._checks: dict[str, FaceCheck] = {}
        self._lock = threading.Lock()

    def begin(self, check: FaceCheck, owner: str) -> str:
        """Add a check; it ends every other of its session or account.

        Args:
            check: A new one.
            owner: The session; only it may send frames.

        Returns:
            The check's nonce.
        """
        with self._lock:
            self._drop_old()
            for nonce, other in list(self._checks.items()):
                same_account = check.account is not None and (
                    other.account == check.account
                )
                if other.owner == owner or same_account:
                    del self._checks[nonce]
            if len(self._checks) >= MOST_WAITING:
                del self._checks[next(iter(self._checks))]
            check.owner, check.began_s = owner, self._clock()
            self._checks[check.nonce] = check
        return check.nonce

    def find(self, nonce: str, owner: str) -> FaceCheck | None:
        """Return a check of this session; None if it is over or another's."""
        with self._lock:
            self._drop_old()
            check = self._checks.get(nonce)
        is_own = check is not None and secrets.compare_digest(check.owner, owner)
        return check if is_own else None

    def look(self, check: FaceCheck, image: np.ndarray) -> Answer | None:
        """Judge a frame; a check that passes or fails is over.

        Args:
            check: Of ``find``.
            image: (H, W, 3) uint8, BGR.

        Returns:
            The answer; None if no place is free or the frame before is being judged.
        """
        if not self._has_place(check) or not check.lock.acquire(blocking=False):
            return None
        try:
            if not self._is_under_way(check):  # the frame before has ended it
                return Answer("gone", "", 0)
            answer = check.look(image, self._clock())
            if answer.state != "looking":
                with self._lock:
                    if self._checks.pop(check.nonce, None) is None:
                        # Another check has ended it meanwhile.
                        return Answer("gone", "", 0)
            return answer
        finally:
            check.lock.release()

    def _is_under_way(self, check: FaceCheck) -> bool:
        """Return whether a check has not ended."""
        with self._lock:
            return self._checks.get(check.nonce) is check

    @property
    def frames_queue(self) -> bool:
        """Whether more checks are running than there are processors for."""
        with self._lock:
            return len(self._running()) > (os.cpu_count() or 1)

    def _running(self) -> list[FaceCheck]:
        """Return the checks that have a place."""
        now_s = self._clock()
        checks = self._checks.values()
        return [check for check in checks if now_s - check.seen_s < IDLE_S]

    def _has_place(self, check: FaceCheck) -> bool:
        """Take a place for a check, if need be that of a visitor who only looks."""
        with self._lock:
            running = self._running()
            if check not in running and len(running) >= self._most:
                visitor = next((one for one in running if one.reveals), None)
                if check.reveals or visitor is None:
                    check.began_s = self._clock()  # its time has not begun
                    return False
                visitor.seen_s = float("-inf")
            check.seen_s = self._clock()
            return True

    def _drop_old(self) -> None:
        """Drop checks whose time is over."""
        now_s = self._clock()
        for nonce, check in list(self._checks.items()):
            start_s, limit_s = check.began_s, WAIT_S
            if check.started_s is not None:
                # The frame that comes too late is still told so.
                start_s, limit_s = check.started_s, LIMIT_S + IDLE_S
            if now_s - start_s > limit_s:
                del self._checks[nonce]
