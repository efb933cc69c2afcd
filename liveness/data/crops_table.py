"""One row of ``crops.csv`` per face crop, as writer and readers know it.

``file``
    name of the crop in this folder, ``N.png``
``source``
    the video or picture it comes from, see ``crops_folder.source_of``
``frame``, ``time_s``
    number of the frame, the first is 1, and its time; a picture has 1 and 0
``x_min, y_min, x_max, y_max``, ``confidence``
    the detected face in that frame, max exclusive, and the detector's confidence
``scale``
    side of the crop over the longer side of the face
"""

from dataclasses import dataclass
from pathlib import Path

from liveness.faces.boxes import Box

CSV_NAME = "crops.csv"
COLUMNS = (
    *("file", "source", "frame", "time_s"),
    *("x_min", "y_min", "x_max", "y_max", "confidence", "scale"),
)


@dataclass(frozen=True)
class FaceCrop:
    """A face cut out of a frame, ready to be saved."""

    frame: int  # number of the frame, the first is 1
    time_s: float
    box: Box
    confidence: float
    scale: float
    png: Path  # the file that holds the crop until it is saved


def row_of(name: str, source: str, crop: FaceCrop) -> tuple:
    """Return a crop as crops.csv has it."""
    time_s, confidence = f"{crop.time_s:.3f}", f"{crop.confidence:.4f}"
    return (name, source, crop.frame, time_s, *crop.box, confidence, crop.scale)
