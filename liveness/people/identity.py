"""Recognise people: the encodings file, and the nearest known person to a face.

The file is a NumPy ``.npz`` without pickle. It holds the format, its version, and a
name and 128 numbers for each enrolled picture. It contains no pictures, but it is
personal data: to forget people, remove them from the file or delete it.
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
from liveness.errors import EncodingsError, IdentityError, reason_of
from liveness.faces.boxes import Box
from liveness.faces.dlib_faces import ENCODING_LENGTH, encode_face, load_library
from liveness.io.files import write_atomically
from liveness.model.verdicts import Match

# The distance to a person is the mean over this many of their nearest pictures, so that
# a single chance match gives no name. 42 people were filmed by three cameras, and two
# pictures from each of two cameras were enrolled. Of the probes from the third camera,
# 0.27 % were nearest to somebody else with one picture and 0.20 % with two. Strangers
# came closer than 0.4 to somebody in 50 % and 34 % of the cases.
NEAREST_PICTURES = 2
FORMAT = "face-liveness encodings"
VERSION = 1  # increase it when the content of the file changes
MAX_NAME_LENGTH = 100  # characters
MAX_CONTENT_BYTES = 256 * 2**20  # of the uncompressed file; enough for 170 000 pictures

_DAMAGE = (  # errors that zipfile and numpy raise for a damaged file
    ValueError,
    KeyError,
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,  # "encrypted"; its subclass NotImplementedError: "zip file version"
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class KnownFaces:
    """The names and encodings of all enrolled pictures.

    Attributes:
        names: The name of each encoding; a person with three pictures occurs three
            times.
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
        """Names without duplicates, in alphabetical order."""
        return sorted(set(self.names))

    def joined_with(self, other: "KnownFaces") -> "KnownFaces":
        """Return the pictures of both."""
        encodings = np.concatenate((self.encodings, other.encodings))
        return KnownFaces(self.names + other.names, encodings)

    def without(self, name: str) -> "KnownFaces":
        """Return all pictures except those of one person."""
        rows = [number for number, other in enumerate(self.names) if other != name]
        return KnownFaces(tuple(self.names[i] for i in rows), self.encodings[rows])


NOBODY = KnownFaces((), np.empty((0, ENCODING_LENGTH)))


class FaceIdentifier:
    """Identifies faces; creating it loads face_recognition.

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
        """Find the nearest known person to a face; takes about 0.15 s on one core.

        Args:
            image: (H, W, 3) uint8, BGR.
            box: (x_min, y_min, x_max, y_max) in pixels, max exclusive.
        """
        encoding = encode_face(image, box)
        return find_match(encoding, self.known, tolerance=self.tolerance)


def find_match(
    encoding: np.ndarray, known: KnownFaces, *, tolerance: float = DEFAULT_TOLERANCE
) -> Match:
    """Find the nearest known person to an encoding.

    The distance to a person is the mean over their NEAREST_PICTURES nearest pictures.

    Args:
        encoding: (128,) float64 from ``encode_face``.
        known: Enrolled people.
        tolerance: Largest distance of a match.
    """
    if not known.names:
        return Match(None, float("inf"))
    distances = np.linalg.norm(known.encodings - encoding, axis=1)
    by_person: dict[str, list[float]] = {}
    for name, distance in zip(known.names, distances.tolist(), strict=True):
        by_person.setdefault(name, []).append(distance)
    distance, name = min((_person_distance(d), name) for name, d in by_person.items())
    return Match(name if distance <= tolerance else None, distance)


def _person_distance(distances: list[float]) -> float:
    """Return the distance to a person, given the distances to their pictures."""
    nearest = sorted(distances)[:NEAREST_PICTURES]
    return sum(nearest) / len(nearest)


def checked_name(name: str) -> str:
    """Normalize a person's name to Unicode NFC without surrounding spaces.

    Raises:
        IdentityError: If the name is empty or too long, or contains a slash or a
            control character; names are used in file names and on terminals.
    """
    normalized = unicodedata.normalize("NFC", name).strip()
    if not normalized or len(normalized) > MAX_NAME_LENGTH:
        raise IdentityError(
            f"{name[:MAX_NAME_LENGTH]!r} is not a valid name: expected 1 to "
            f"{MAX_NAME_LENGTH} characters"
        )
    if normalized in (".", "..") or any(
        character in "/\\" or unicodedata.category(character)[0] == "C"
        for character in normalized
    ):
        raise IdentityError(
            f"{name!r} is not a valid name: expected no slash, backslash or control "
            "character"
        )
    return normalized


def save_known(path: Path, known: KnownFaces) -> None:
    """Write an encodings file atomically, readable only by its owner.

    Raises:
        OSError: If the folder is not writable or the disk is full.
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
    """Read an encodings file without executing anything in it.

    Raises:
        EncodingsError: If the file is missing, damaged, of another format or version,
            or a pickle.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        reason = reason_of(error)
        raise EncodingsError(
            f"cannot read encodings file '{path}': {reason}; create it with "
            "enroll_faces.py"
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
    """Compute the false match and false non-match rates of the enrolled pictures.

    Args:
        known: Pictures of at least two people, with two or more pictures of one.
        tolerances: Largest distances of a match.

    Returns:
        False match rate (pairs of different people within the tolerance) and false
        non-match rate (pairs of one person beyond it), 0 to 1, one per tolerance.

    Raises:
        IdentityError: If there is no pair of one person or of different people.
    """
    same, different = pair_distances(known)
    if not same.size or not different.size:
        raise IdentityError(
            "no error rates: expected at least two people, and two pictures of one; "
            f"enrolled: {len(known.names)} picture(s) of {len(known.people)} person(s)"
        )
    limits = np.array(list(tolerances))[:, np.newaxis]
    return (different <= limits).mean(axis=1), (same > limits).mean(axis=1)


def pair_distances(known: KnownFaces) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of all picture pairs: same person, different people."""
    names = np.array(known.names, dtype=np.str_)
    first, second = np.triu_indices(len(names), k=1)
    distances = np.linalg.norm(known.encodings[first] - known.encodings[second], axis=1)
    same = names[first] == names[second]
    return distances[same], distances[~same]


def find_lookalikes(
    known: KnownFaces, tolerance: float
) -> list[tuple[str, str, float]]:
    """Return the pairs of people within the tolerance, the closest first."""
    names = np.array(known.names, dtype=np.str_)
    pairs = []
    for person, other in itertools.combinations(known.people, 2):
        first = known.encodings[names == person]
        second = known.encodings[names == other]
        distance = np.linalg.norm(first[:, np.newaxis] - second, axis=2).min()
        if distance <= tolerance:
            pairs.append((person, other, float(distance)))
    return sorted(pairs, key=lambda pair: pair[2])


def _unpack(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file."""
    if data[:1] == b"\x80":
        raise EncodingsError(
            f"refused to read '{name}': it is a pickle, which can run arbitrary code; "
            "enrol the pictures again with enroll_faces.py"
        )
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise _damaged(name, "not an .npz file")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            content_bytes = sum(member.file_size for member in archive.infolist())
        if content_bytes > MAX_CONTENT_BYTES:
            raise _damaged(name, f"{content_bytes} bytes when uncompressed")
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            return {key: np.asarray(content[key]) for key in content.files}
    except _DAMAGE as error:
        raise _damaged(name, error) from error


def _check_version(content: dict[str, np.ndarray], name: str) -> None:
    if str(content.get("format")) != FORMAT:
        raise EncodingsError(
            f"'{name}' was not written by enroll_faces.py: expected format '{FORMAT}'"
        )
    if str(content.get("version")) != str(VERSION):
        raise EncodingsError(
            f"'{name}' has format version {content.get('version')}, expected "
            f"{VERSION}: enrol the pictures again with this enroll_faces.py"
        )


def _damaged(name: str, reason: object) -> EncodingsError:
    return EncodingsError(
        f"encodings file '{name}' is damaged or has another format ({reason}); enrol "
        "the pictures again with enroll_faces.py"
    )
