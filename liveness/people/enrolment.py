"""Enrol people: encode their pictures and report those that are not usable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from liveness.errors import IdentityError, ImageError
from liveness.faces.boxes import Box, box_wh
from liveness.faces.detector import FaceDetector, near_faces, tell_passed_over
from liveness.faces.dlib_faces import encode_face
from liveness.io.files import natural_key, tell_of_others
from liveness.io.images import IMAGE_SUFFIXES, list_images, read_image
from liveness.people.identity import NOBODY, KnownFaces, checked_name

MIN_HEIGHT_PX = 64  # of the box; at 64 an encoding moved by 0.24, at 40 by 0.35
# Edge strength over contrast. A portrait so blurred that its encoding moved by 0.4 had
# less than 0.08; none of 132 faces from webcams and photographs had less than 0.16.
MIN_SHARPNESS = 0.12
PROBE_WH = (112, 112)  # pixels; size at which sharpness is measured
SAME_PICTURE = 1e-6  # distance below which two pictures are the same


@dataclass
class Enrolment:
    """The result of an enrolment.

    Attributes:
        known: All enrolled people, old and new.
        enrolled: Number of pictures added.
        repeated: Number of pictures that were enrolled before.
        problems: One line for each picture or person that was rejected.
    """

    known: KnownFaces
    enrolled: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)


def find_people(path: Path) -> dict[str, list[Path]]:
    """List the pictures of each person.

    Args:
        path: A folder with one subfolder per person, or with pictures named after
            the person; or one such picture.

    Returns:
        Pictures by name, in alphabetical order. A person with an empty folder has an
        empty list.

    Raises:
        IdentityError: If there is nobody in the folder, a name is not valid, or two
            entries have the same name, ignoring case.
    """
    if not path.exists():
        raise IdentityError(
            f"no pictures at '{path}': expected a folder with one subfolder per person"
        )
    people: dict[str, list[Path]] = {}
    origins: dict[str, Path] = {}
    others: list[Path] = []
    entries = sorted(path.iterdir(), key=natural_key) if path.is_dir() else [path]
    for entry in entries:
        is_picture = entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()
        if entry.name.startswith("."):
            continue
        if not (is_picture or entry.is_dir()):
            others.append(entry)
            continue
        name = checked_name(entry.stem if is_picture else entry.name)
        other = origins.setdefault(name.casefold(), entry)
        if other is not entry:
            raise IdentityError(
                f"two people with the same name: '{other}' and '{entry}'; rename one, "
                "or put all pictures of a person into one folder"
            )
        people[name] = [entry] if is_picture else _pictures_in(entry)
    tell_of_others(others, kind="pictures")
    if not people:
        raise IdentityError(
            f"nobody to enrol in '{path}': expected one subfolder per person, or "
            "pictures named after the person"
        )
    return people


def enroll(
    people: dict[str, list[Path]],
    detector: FaceDetector,
    *,
    tolerance: float,
    known: KnownFaces = NOBODY,
) -> Enrolment:
    """Encode the pictures of people.

    A picture whose median distance to the others of its name exceeds the tolerance is
    rejected: it shows somebody else, or could not be recognised later.

    Args:
        people: Pictures by name, from ``find_people``.
        detector: Detector for the face in each picture.
        tolerance: Largest distance of a match.
        known: People who are enrolled already.

    Raises:
        IdentityError: If face_recognition cannot be used, or a name differs from an
            enrolled one only in case.
    """
    result = Enrolment(known)
    for name, pictures in people.items():
        _refuse_other_case(name, known)
        candidates: list[tuple[Path, np.ndarray]] = []
        for picture in pictures:
            try:
                candidates.append((picture, encode_picture(picture, detector)))
            except ImageError as error:
                result.problems.append(str(error))
        encodings = _consistent_encodings(
            candidates, _encodings_of(name, known), tolerance, result
        )
        if encodings:
            newcomers = KnownFaces((name,) * len(encodings), np.array(encodings))
            result.known = result.known.joined_with(newcomers)
            result.enrolled += len(encodings)
        elif name not in known.people:
            result.problems.append(f"{name}: no picture could be enrolled")
    return result


def encode_picture(path: Path, detector: FaceDetector) -> np.ndarray:
    """Encode the only face in a picture; smaller faces far behind it are ignored.

    Returns:
        (128,) float64.

    Raises:
        ImageError: If the picture cannot be read or shows no face or several near
            ones, or if the face is upside down, too small or blurred.
    """
    image = read_image(path)
    faces = detector.detect_still(image)
    near = near_faces(faces)
    if len(near) != 1:
        count = f"{len(near)} faces" if near else "no face"
        raise ImageError(f"{path}: {count}, expected one")
    tell_passed_over(path, len(faces) - len(near))
    if detector.are_upside_down(image, near) == [True]:
        raise ImageError(
            f"{path}: the face is upside down or on its side: rotate the picture"
        )
    box = near[0].box
    height = box_wh(box)[1]
    if height < MIN_HEIGHT_PX:
        raise ImageError(
            f"{path}: the face is too small: {height} pixels high, expected "
            f"{MIN_HEIGHT_PX} or more"
        )
    face_sharpness = sharpness(image, box)
    if face_sharpness < MIN_SHARPNESS:
        raise ImageError(
            f"{path}: the face is blurred: sharpness {face_sharpness:.2f}, expected "
            f"{MIN_SHARPNESS} or more"
        )
    return encode_face(image, box)


def sharpness(image: np.ndarray, box: Box) -> float:
    """Return a face's edge strength over its contrast, which is robust to dim light.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: (x_min, y_min, x_max, y_max) inside the image, max exclusive.
    """
    x_min, y_min, x_max, y_max = box
    face = cv2.resize(
        image[y_min:y_max, x_min:x_max], PROBE_WH, interpolation=cv2.INTER_AREA
    )
    luma = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    contrast = max(1.0, float(luma.std()))  # avoids division by zero for a uniform grey
    return float(cv2.Laplacian(luma, cv2.CV_64F).std()) / contrast


def _consistent_encodings(
    candidates: Sequence[tuple[Path, np.ndarray]],
    known: np.ndarray,
    tolerance: float,
    result: Enrolment,
) -> list[np.ndarray]:
    """Return the new encodings of a name that agree with most; report the others."""
    pool = np.array([*known, *(encoding for _, encoding in candidates)])
    encodings: list[np.ndarray] = []
    for number, (path, encoding) in enumerate(candidates, len(known)):
        distances = np.linalg.norm(pool - encoding, axis=1)
        if (distances[:number] < SAME_PICTURE).any():
            result.repeated += 1
            continue
        others = np.delete(distances, number)
        typical = float(np.median(others)) if others.size else 0.0
        if typical > tolerance:
            result.problems.append(
                f"{path}: distance {typical:.2f} to the other pictures of this name, "
                f"expected {tolerance} or less: two people with the same name?"
            )
        else:
            encodings.append(encoding)
    return encodings


def _encodings_of(name: str, known: KnownFaces) -> np.ndarray:
    return known.encodings[np.array(known.names, dtype=np.str_) == name]


def _refuse_other_case(name: str, known: KnownFaces) -> None:
    """Reject a name that differs from an enrolled one only in case."""
    for other in known.people:
        if other != name and other.casefold() == name.casefold():
            raise IdentityError(
                f"two people with the same name: '{name}' and '{other}', who is "
                "enrolled already; use the same spelling or choose another name"
            )


def _pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a person's folder, which may be empty."""
    try:
        return list_images([folder])
    except ImageError:
        return []
