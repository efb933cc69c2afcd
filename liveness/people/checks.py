"""Who a live face is, and whether it moves when asked: the checks after the score.

Neither check ever makes a face real that its scores call fake. What is known about
a face in a live source is forgotten when it is lost or its scores say fake: who
comes after that may be somebody else.
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
RETRY_AFTER_S = 2.0  # seconds for which a failure is shown before it is asked anew


def load_identifier(
    known: Path | None, tolerance: float, *, must_know: str | None = None
) -> FaceIdentifier | None:
    """What names faces, by the people of an encodings file.

    Args:
        known: File of enroll_faces.py; None for no names at all.
        tolerance: Largest distance of a match, above 0.
        must_know: A person who must be in it.

    Raises:
        EncodingsError: If the file cannot be used.
        IdentityError: If it holds nobody, or not that person, or face_recognition
            cannot be used.
    """
    if known is None:
        return None
    people = load_known(known)
    if not people.names:
        raise IdentityError(f"nobody is enrolled in '{known}': enroll_faces.py --add")
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
    """The verdicts on a still picture with the nearest known person for each.

    Args:
        image: (H, W, 3) uint8, BGR.
        faces: Verdicts on that image.
        identifier: Names faces.
        fakes: Whether fake faces are named as well.
    """
    named = (REAL, FAKE) if fakes else (REAL,)
    return [
        replace(
            face,
            match=identifier.identify(image, face.box)
            if face.label in named
            else NOT_NAMED,
        )
        for face in faces
    ]


class PersonChecks:
    """What is asked of every face of one live source.

    Args:
        identifier: Names faces; None for no names.
        name_fakes: Whether fake faces are named as well.
        challenge: Movements a face must make before it is real, one of
            ``challenge.CHALLENGES``; None for none.
        landmarks: Gives the (68, 2) points of a face by picture and box.
        new_challenge: Makes the challenge of a kind.

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
        load_library()  # now, not in the middle of the first face
        self.identifier = identifier
        self.named_labels = (REAL, FAKE) if name_fakes else (REAL,)
        self.challenge = challenge
        self.landmarks = landmarks
        self.new_challenge = new_challenge
        self._named_s: float | None = None

    def may_name(self, time_s: float) -> bool:
        """Whether a face may be named in this picture.

        It takes 0.1 to 0.4 s, so one face a picture: the window stays alive when a
        group comes in.
        """
        if self._named_s == time_s:
            return False
        self._named_s = time_s
        return True


class Person:
    """What one face of a live source has shown of itself.

    Args:
        checks: What is asked of it.
    """

    def __init__(self, checks: PersonChecks) -> None:
        self._checks = checks
        self._forget()

    def _forget(self) -> None:
        self._match: Match | None = None
        self._matched_label = ""
        self._challenge: Challenge | None = None
        self._failed_s: float | None = None
        self._passed = self._checks.challenge is None
        self.turned_away = False  # in a challenge; such a face is not to be scored

    def checked(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """The verdict after the checks.

        Args:
            face: Verdict by the scores, on a face of this picture.
            image: (H, W, 3) uint8, BGR.
            time_s: When it was taken, in seconds; never goes back.

        Returns:
            ``checking`` with the prompt as its reason in place of ``real`` until the
            challenge is passed; with a match if people are known.
        """
        if face.label == FAKE and self._matched_label != FAKE:
            self._forget()
        face = self._challenged(face, image, time_s)
        return self._named(face, image, time_s)

    def _challenged(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """The verdict with the challenge's prompt until it is passed."""
        asked = self._challenge is not None or face.label == REAL
        if self._passed or face.label == FAKE or not asked:
            return face
        state = self._watch(face.box, image, time_s)
        if self._passed:
            return face
        if face.label == CHECKING and not self.turned_away:
            return face  # what is wrong with the picture comes first
        prompt = Reason.LOOK_AHEAD if state.passed else state.prompt
        return replace(face, label=CHECKING, reason=prompt)

    def _watch(self, box: Box, image: np.ndarray, time_s: float) -> ChallengeState:
        """Show the challenge this picture; after a failure begin another one."""
        if self._challenge is None:
            self._begin()
        landmarks = self._checks.landmarks(image, box)
        self.turned_away = abs(head_yaw_deg(landmarks)) > FRONTAL_DEG
        state = self._challenge.update(landmarks, time_s)
        if state.failed and self._failed_s is None:
            self._failed_s = time_s
        elif state.failed and time_s - self._failed_s >= RETRY_AFTER_S:
            self._begin()
        # A head still turned would be scored from the side.
        self._passed = state.passed and not self.turned_away
        return state

    def _begin(self) -> None:
        """Ask for the movements, in a new order."""
        self._challenge = self._checks.new_challenge(self._checks.challenge)
        self._failed_s = None

    def _named(
        self, face: FaceVerdict, image: np.ndarray, time_s: float
    ) -> FaceVerdict:
        """The verdict with the match; a face whose turn has not come is checked on."""
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
