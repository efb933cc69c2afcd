"""Check identity and challenges of live faces after their scores.

Neither check ever turns a fake verdict into real. All results for a face are dropped
when it is lost or its scores say fake, because the next face may be somebody else's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from liveness.constants import Reason
from liveness.errors import IdentityError
from liveness.faces.boxes import Box
from liveness.faces.dlib_faces import find_landmarks, load_library
from liveness.model.labels import FAKE, REAL
from liveness.model.verdicts import CHECKING, FaceVerdict, Match
from liveness.people.challenge import (
    FRONTAL_DEG,
    Challenge,
    ChallengeState,
    head_yaw_deg,
)
from liveness.people.identity import FaceIdentifier, checked_name, load_known

NOT_NAMED = Match(None, float("inf"))
RETRY_AFTER_S = 2.0  # seconds for which a failure is shown before the next challenge


def load_identifier(
    known: Path | None, tolerance: float, *, must_know: str | None = None
) -> FaceIdentifier | None:
    """Load an encodings file and create the identifier for its people.

    Args:
        known: Encodings file of enroll_faces.py; None for no identification.
        tolerance: Largest distance of a match, above 0.
        must_know: A person who must be in the file.

    Returns:
        The identifier; None without an encodings file.

    Raises:
        EncodingsError: If the file cannot be used.
        IdentityError: If the file is empty or lacks that person, or face_recognition
            cannot be used.
    """
    if known is None:
        return None
    people = load_known(known)
    if not people.names:
        raise IdentityError(
            f"nobody is enrolled in '{known}': add people with enroll_faces.py --add"
        )
    if must_know is not None and checked_name(must_know) not in people.people:
        raise IdentityError(
            f"'{must_know}' is not in '{known}'; enrolled: {', '.join(people.people)}"
        )
    return FaceIdentifier(people, tolerance=tolerance)


def name_faces(
    image: np.ndarray,
    faces: Sequence[FaceVerdict],
    identifier: FaceIdentifier,
    *,
    fakes: bool = False,
) -> list[FaceVerdict]:
    """Add the nearest known person to each verdict on a still picture.

    Args:
        image: (H, W, 3) uint8, BGR.
        faces: Verdicts on the image.
        identifier: Identifier of known people.
        fakes: Whether fake faces are identified as well.
    """
    labels = (REAL, FAKE) if fakes else (REAL,)
    return [
        replace(
            face,
            match=identifier.identify(image, face.box)
            if face.label in labels
            else NOT_NAMED,
        )
        for face in faces
    ]


class PersonChecks:
    """The checks on every face of one live source.

    Args:
        identifier: Identifier of known people; None for no identification.
        name_fakes: Whether fake faces are identified as well.
        challenge: Challenge that a face must pass before it is real, one of
            ``constants.CHALLENGES``; None for no challenge.
        landmarks: Function that returns the (68, 2) landmarks of a face, given the
            picture and the box.
        new_challenge: Function that creates a challenge of a kind.

    Raises:
        IdentityError: If face_recognition cannot be used.
    """

    def __init__(
        self,
        identifier: FaceIdentifier | None = None,
        *,
        name_fakes: bool = False,
        challenge: str | None = None,
        landmarks: Callable[[np.ndarray, Box], np.ndarray] = find_landmarks,
        new_challenge: Callable[[str], Challenge] = Challenge,
    ) -> None:
        load_library()  # now, as it would delay the first face
        self.identifier = identifier
        self.named_labels = (REAL, FAKE) if name_fakes else (REAL,)
        self.challenge = challenge
        self.landmarks = landmarks
        self.new_challenge = new_challenge
        self._named_s: float | None = None

    def may_name(self, time_s: float) -> bool:
        """Tell whether a face may be identified in this frame; only the first may.

        Identification takes 0.1 to 0.4 s. With one face per frame the window stays
        responsive when a group of people arrives.
        """
        if self._named_s == time_s:
            return False
        self._named_s = time_s
        return True


class Person:
    """The state of the checks on one face of a live source.

    Args:
        checks: The checks to apply.
    """

    def __init__(self, checks: PersonChecks) -> None:
        self._checks = checks
        self._forget()

    def _forget(self) -> None:
        """Reset all checks."""
        self._match: Match | None = None
        self._matched_label = ""
        self._challenge: Challenge | None = None
        self._failed_s: float | None = None
        self._passed = self._checks.challenge is None
        self.turned_away = False  # during a challenge; such a face is not scored

    def checked(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """Apply the checks to a verdict.

        Args:
            face: Verdict from the scores, on a face of this frame.
            image: (H, W, 3) uint8, BGR.
            time_s: Time of the frame in seconds; it never goes back.

        Returns:
            The verdict: until the challenge is passed, ``checking`` with the prompt as
            its reason instead of ``real``; with a match if there are known people.
        """
        if face.label == FAKE and self._matched_label != FAKE:
            self._forget()
        face = self._challenged(face, image, time_s)
        return self._named(face, image, time_s)

    def _challenged(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """Replace the verdict by the challenge's prompt until it is passed."""
        is_due = self._challenge is not None or face.label == REAL
        if self._passed or face.label == FAKE or not is_due:
            return face
        state = self._watch(face.box, image, time_s)
        if self._passed:
            return face
        if face.label == CHECKING and not self.turned_away:
            return face  # a problem with the picture has priority
        prompt = Reason.LOOK_AHEAD if state.passed else state.prompt
        return replace(face, label=CHECKING, reason=prompt)

    def _watch(self, box: Box, image: np.ndarray, time_s: float) -> ChallengeState:
        """Update the challenge with this frame; after a failure, start a new one."""
        if self._challenge is None:
            self._begin()
        landmarks = self._checks.landmarks(image, box)
        self.turned_away = abs(head_yaw_deg(landmarks)) > FRONTAL_DEG
        state = self._challenge.update(landmarks, time_s)
        if state.failed and self._failed_s is None:
            self._failed_s = time_s
        elif state.failed and time_s - self._failed_s >= RETRY_AFTER_S:
            self._begin()
        # A head that is still turned would be scored from the side.
        self._passed = state.passed and not self.turned_away
        return state

    def _begin(self) -> None:
        """Start a new challenge, with its movements in a new order."""
        self._challenge = self._checks.new_challenge(self._checks.challenge)
        self._failed_s = None

    def _named(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """Add the match; a face that waits for identification stays ``checking``."""
        checks = self._checks
        if checks.identifier is None:
            return face
        if face.label not in checks.named_labels:
            return replace(face, match=NOT_NAMED)
        if self._matched_label != face.label:
            if not checks.may_name(time_s):
                return replace(
                    face, label=CHECKING, reason=Reason.LOOKING, match=NOT_NAMED
                )
            self._match = checks.identifier.identify(image, face.box)
            self._matched_label = face.label
        return replace(face, match=self._match)
