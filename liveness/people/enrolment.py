"""From pictures of people to their encodings, and what stands in the way."""

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

MIN_HEIGHT_PX = 64  # of the box; at 64 a portrait moved by 0.24, at 40 by 0.35
# Edges over contrast; blurred until a portrait moved by 0.4 it was below 0.08, and
# of 132 faces of webcams and photographs none was below 0.16.
MIN_SHARPNESS = 0.12
PROBE_WH = (112, 112)  # pixels; sharpness is measured at one size
SAME_PICTURE = 1e-6  # distance below which a picture was enrolled before


@dataclass
class Enrolment:
    """What became of the pictures.

    Attributes:
        known: Everybody: those known before and the newly enrolled.
        enrolled: Pictures whose encodings are new in it.
        repeated: Pictures that were in it already.
        problems: One line for each picture or person left out.
    """

    known: KnownFaces
    enrolled: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)


def find_people(path: Path) -> dict[str, list[Path]]:
    """Pictures of each person.

    Args:
        path: A folder with one folder for each person, or with pictures named
            after the person; or one such picture.

    Returns:
        Pictures by name, in alphabetical order; a folder without any has none.

    Raises:
        IdentityError: If nobody is in it, a name cannot be used, or two entries
            have one name, upper and lower case being the same.
    """
    if not path.exists():
        raise IdentityError(
            f"no pictures at '{path}': expected a folder with one folder per person"
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
                f"two people under one name: '{other}' and '{entry}'; rename one, or "
                "put the pictures of one person into one folder"
            )
        people[name] = [entry] if is_picture else _pictures_in(entry)
    tell_of_others(others, kind="pictures")
    if not people:
        raise IdentityError(
            f"nobody to enrol in '{path}': expected one folder per person, or "
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

    A picture further than the tolerance from most others of its name is left out:
    it shows somebody else, or nothing that could be recognised later.

    Args:
        people: Pictures by name, of ``find_people``.
        detector: Finds the face of each picture.
        tolerance: Largest distance of a match.
        known: Who is enrolled already.

    Raises:
        IdentityError: If face_recognition cannot be used, or a name differs from
            one already enrolled by upper and lower case alone.
    """
    result = Enrolment(known)
    for name, pictures in people.items():
        _refuse_other_case(name, known)
        encoded: list[tuple[Path, np.ndarray]] = []
        for picture in pictures:
            try:
                encoded.append((picture, encode_picture(picture, detector)))
            except ImageError as error:
                result.problems.append(str(error))
        kept = _alike(encoded, _encodings_of(name, known), tolerance, result)
        if kept:
            added = KnownFaces((name,) * len(kept), np.array(kept))
            result.known = result.known.joined_with(added)
            result.enrolled += len(kept)
        elif name not in known.people:
            result.problems.append(f"{name}: no picture could be enrolled")
    return result


def encode_picture(path: Path, detector: FaceDetector) -> np.ndarray:
    """Encoding of the one face in a picture; smaller ones far behind it do not count.

    Returns:
        (128,) float64.

    Raises:
        ImageError: If the picture cannot be read, shows no face or several that are
            about as near, or the face is too small or blurred.
    """
    image = read_image(path)
    faces = detector.detect_still(image)
    near = near_faces(faces)
    if len(near) != 1:
        found = f"{len(near)} faces" if near else "no face"
        raise ImageError(f"{path}: {found}, expected one")
    tell_passed_over(path, len(faces) - len(near))
    if detector.are_upside_down(image, near) == [True]:
        raise ImageError(f"{path}: the face is upside down or on its side, turn it")
    box = near[0].box
    height = box_wh(box)[1]
    if height < MIN_HEIGHT_PX:
        raise ImageError(
            f"{path}: the face is too small: {height} pixels high, expected "
            f"{MIN_HEIGHT_PX} or more"
        )
    measured = sharpness(image, box)
    if measured < MIN_SHARPNESS:
        raise ImageError(
            f"{path}: the face is blurred: sharpness {measured:.2f}, expected "
            f"{MIN_SHARPNESS} or more"
        )
    return encode_face(image, box)


def sharpness(image: np.ndarray, box: Box) -> float:
    """Strength of a face's edges over its contrast, so that dim light is no blur.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: (x_min, y_min, x_max, y_max) inside the image, max exclusive.
    """
    x_min, y_min, x_max, y_max = box
    face = cv2.resize(
        image[y_min:y_max, x_min:x_max], PROBE_WH, interpolation=cv2.INTER_AREA
    )
    luma = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    contrast = max(1.0, float(luma.std()))  # an even grey has neither
    return float(cv2.Laplacian(luma, cv2.CV_64F).std()) / contrast


def _alike(
    encoded: Sequence[tuple[Path, np.ndarray]],
    before: np.ndarray,
    tolerance: float,
    result: Enrolment,
) -> list[np.ndarray]:
    """New encodings of one name that agree with most of the others; notes the rest."""
    everything = np.array([*before, *(encoding for _, encoding in encoded)])
    kept: list[np.ndarray] = []
    for number, (path, encoding) in enumerate(encoded, len(before)):
        distances = np.linalg.norm(everything - encoding, axis=1)
        if (distances[:number] < SAME_PICTURE).any():
            result.repeated += 1
            continue
        others = np.delete(distances, number)
        typical = float(np.median(others)) if others.size else 0.0
        if typical > tolerance:
            result.problems.append(
                f"{path}: distance {typical:.2f} to the other pictures of this name, "
                f"expected {tolerance} or less: two people under one name?"
            )
        else:
            kept.append(encoding)
    return kept


def _encodings_of(name: str, known: KnownFaces) -> np.ndarray:
    return known.encodings[np.array(known.names, dtype=np.str_) == name]


def _refuse_other_case(name: str, known: KnownFaces) -> None:
    for other in known.people:
        if other != name and other.casefold() == name.casefold():
            raise IdentityError(
                f"two people under one name: '{name}' and '{other}', who is enrolled "
                "already; write it the same way or choose another"
            )


def _pictures_in(folder: Path) -> list[Path]:
    """Pictures of a person's folder; none if it is empty."""
    try:
        return list_images([folder])
    except ImageError:
        return []
