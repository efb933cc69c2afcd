"""Who it is: the file of known people, and a face's nearest one among them.

The file is numpy's ``.npz`` without pickle: format, version, and for each enrolled
picture a name and 128 numbers. No picture is in it, but it is personal data:
delete the file, or take a person out of it, to forget them.
"""

import io
import itertools
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liveness.constants import DEFAULT_TOLERANCE
from liveness.errors import EncodingsError, IdentityError
from liveness.faces.boxes import Box
from liveness.faces.dlib_faces import ENCODING_LENGTH, encode_face, load_library
from liveness.io.files import write_atomically
from liveness.model.verdicts import Match

# Of a person, whose mean distance counts: one lucky picture among many gives no name.
# Of 42 people before three cameras, two pictures each enrolled by two of them, 0.27 %
# of the probes by the third were nearest to somebody else by the nearest picture alone
# and 0.20 % by two; strangers came nearer than 0.4 to somebody in 50 % and in 34 %.
NEAREST_PICTURES = 2
FORMAT = "face-liveness encodings"
VERSION = 1  # raise it when the file's content changes
MAX_NAME_LENGTH = 100  # characters
MAX_CONTENT_BYTES = 256 * 2**20  # of the unpacked file; 170 000 pictures fit

_DAMAGE = (  # what zipfile and numpy raise, depending on which bytes are wrong
    ValueError,
    KeyError,
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,  # "encrypted"; also NotImplementedError, "zip file version 21"
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class KnownFaces:
    """Enrolled pictures: the name and the encoding of each.

    Attributes:
        names: One for each encoding; a person with three pictures stands in it
            three times.
        encodings: (N, 128) float64.
    """

    names: tuple[str, ...]
    encodings: np.ndarray

    def __post_init__(self) -> None:
        if self.encodings.shape != (len(self.names), ENCODING_LENGTH):
            raise ValueError(
                f"Expected {len(self.names)} encodings of {ENCODING_LENGTH} numbers. "
                f"Received: shape={self.encodings.shape}"
            )

    @property
    def people(self) -> list[str]:
        """Each name once, in alphabetical order."""
        return sorted(set(self.names))

    def joined_with(self, other: "KnownFaces") -> "KnownFaces":
        """The pictures of both."""
        encodings = np.concatenate((self.encodings, other.encodings))
        return KnownFaces(self.names + other.names, encodings)

    def without(self, name: str) -> "KnownFaces":
        """All pictures but those of one person."""
        kept = [number for number, other in enumerate(self.names) if other != name]
        return KnownFaces(tuple(self.names[i] for i in kept), self.encodings[kept])


NOBODY = KnownFaces((), np.empty((0, ENCODING_LENGTH)))


class FaceIdentifier:
    """Names faces; face_recognition is loaded when it is made, not at the first face.

    Args:
        known: Enrolled people, from ``load_known``.
        tolerance: Largest distance of a match, above 0.

    Raises:
        IdentityError: If face_recognition cannot be used.
    """

    def __init__(
        self, known: KnownFaces, *, tolerance: float = DEFAULT_TOLERANCE
    ) -> None:
        load_library()
        self.known = known
        self.tolerance = tolerance

    def identify(self, image: np.ndarray, box: Box) -> Match:
        """The nearest known person to a face; about 0.15 s on one core.

        Args:
            image: (H, W, 3) uint8, BGR.
            box: (x_min, y_min, x_max, y_max) in pixels, max exclusive.
        """
        encoding = encode_face(image, box)
        return find_match(encoding, self.known, tolerance=self.tolerance)


def find_match(
    encoding: np.ndarray, known: KnownFaces, *, tolerance: float = DEFAULT_TOLERANCE
) -> Match:
    """The nearest known person to an encoding.

    A person is as far away as their NEAREST_PICTURES nearest pictures in the mean.

    Args:
        encoding: (128,) float64 of ``encode_face``.
        known: Enrolled people.
        tolerance: Largest distance of a match.
    """
    if not known.names:
        return Match(None, float("inf"))
    distances = np.linalg.norm(known.encodings - encoding, axis=1)
    of_person: dict[str, list[float]] = {}
    for name, distance in zip(known.names, distances.tolist(), strict=True):
        of_person.setdefault(name, []).append(distance)
    distance, name = min((_person_distance(d), name) for name, d in of_person.items())
    return Match(name if distance <= tolerance else None, distance)


def _person_distance(distances: list[float]) -> float:
    """Distance to a person by those to their pictures."""
    nearest = sorted(distances)[:NEAREST_PICTURES]
    return sum(nearest) / len(nearest)


def checked_name(name: str) -> str:
    """A person's name as it is stored: Unicode NFC, no space around it.

    Raises:
        IdentityError: If it is empty, too long, or has a slash or a control
            character in it: names end up in file names and on terminals.
    """
    cleaned = unicodedata.normalize("NFC", name).strip()
    if not cleaned or len(cleaned) > MAX_NAME_LENGTH:
        raise IdentityError(
            f"{name[:MAX_NAME_LENGTH]!r} is no name for a person: expected 1 to "
            f"{MAX_NAME_LENGTH} characters"
        )
    if cleaned in (".", "..") or any(
        character in "/\\" or unicodedata.category(character)[0] == "C"
        for character in cleaned
    ):
        raise IdentityError(
            f"{name!r} is no name for a person: expected no slash, backslash or "
            "control character"
        )
    return cleaned


def save_known(path: Path, known: KnownFaces) -> None:
    """Write an encodings file, whole or not at all, readable by its owner alone.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    buffer = io.BytesIO()
    np.savez(
        buffer,
        format=np.array(FORMAT),
        version=np.array(VERSION),
        names=np.array(known.names, dtype=np.str_),
        encodings=known.encodings.astype(np.float64),
    )
    write_atomically(path, buffer.getvalue())
    path.chmod(0o600)


def load_known(path: Path) -> KnownFaces:
    """Read an encodings file; nothing in it is ever executed.

    Raises:
        EncodingsError: If it is missing, damaged, foreign, a pickle or of another
            format version.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EncodingsError(
            f"cannot read encodings file '{path}': {reason}; enroll_faces.py makes one"
        ) from error
    content = _unpack(data, str(path))
    _check_version(content, str(path))
    try:
        names = tuple(checked_name(name) for name in content["names"].tolist())
        known = KnownFaces(names, content["encodings"].astype(np.float64))
    except (KeyError, ValueError, AttributeError, TypeError, IdentityError) as error:
        raise _damaged(str(path), error) from error
    if not np.isfinite(known.encodings).all():
        raise _damaged(str(path), "an encoding is not a number")
    return known


def match_rates(
    known: KnownFaces, tolerances: Iterable[float]
) -> tuple[np.ndarray, np.ndarray]:
    """How often two enrolled pictures are taken for the wrong thing.

    Args:
        known: Pictures of at least two people, at least two of one of them.
        tolerances: Largest distances of a match.

    Returns:
        False match rate (pairs of different people within the tolerance) and false
        non-match rate (pairs of one person beyond it), 0 to 1, one per tolerance.

    Raises:
        IdentityError: If there is no pair of the one or the other kind.
    """
    same, different = pair_distances(known)
    if not same.size or not different.size:
        raise IdentityError(
            "no error rates without two people and two pictures of one of them: "
            f"{len(known.names)} picture(s) of {len(known.people)} person(s) enrolled"
        )
    limits = np.array(list(tolerances))[:, np.newaxis]
    return (different <= limits).mean(axis=1), (same > limits).mean(axis=1)


def pair_distances(known: KnownFaces) -> tuple[np.ndarray, np.ndarray]:
    """Distances of all pairs of pictures: of the same person, of different people."""
    names = np.array(known.names, dtype=np.str_)
    first, second = np.triu_indices(len(names), k=1)
    distances = np.linalg.norm(known.encodings[first] - known.encodings[second], axis=1)
    same = names[first] == names[second]
    return distances[same], distances[~same]


def find_lookalikes(
    known: KnownFaces, tolerance: float
) -> list[tuple[str, str, float]]:
    """Pairs of people with pictures closer than the tolerance, the closest first."""
    names = np.array(known.names, dtype=np.str_)
    pairs = []
    for one, other in itertools.combinations(known.people, 2):
        mine, theirs = known.encodings[names == one], known.encodings[names == other]
        nearest = np.linalg.norm(mine[:, np.newaxis] - theirs, axis=2).min()
        if nearest <= tolerance:
            pairs.append((one, other, float(nearest)))
    return sorted(pairs, key=lambda pair: pair[2])


def _unpack(data: bytes, name: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file."""
    if data[:1] == b"\x80":
        raise EncodingsError(
            f"refused to read '{name}': it is a pickle, which can run any program; "
            "enrol the pictures again with enroll_faces.py"
        )
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise _damaged(name, "not an .npz file")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_CONTENT_BYTES:
            raise _damaged(name, f"{unpacked} bytes when unpacked")
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            return {key: np.asarray(content[key]) for key in content.files}
    except _DAMAGE as error:
        raise _damaged(name, error) from error


def _check_version(content: dict[str, np.ndarray], name: str) -> None:
    if str(content.get("format")) != FORMAT:
        raise EncodingsError(
            f"'{name}' is not a file of enroll_faces.py: expected format '{FORMAT}'"
        )
    if str(content.get("version")) != str(VERSION):
        raise EncodingsError(
            f"'{name}' has format version {content.get('version')}, expected "
            f"{VERSION}: enrol the pictures again with this enroll_faces.py"
        )


def _damaged(name: str, reason: object) -> EncodingsError:
    return EncodingsError(
        f"encodings file '{name}' is damaged or foreign ({reason}); enrol the "
        "pictures again with enroll_faces.py"
    )
