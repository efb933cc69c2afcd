"""Pictures from webcams, which OpenCV opens."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from liveness.constants import CAMERA_BACKENDS
from liveness.errors import SourceError

# OpenCV may try FFmpeg, too. It looks at this once, when it first opens a camera.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET

BACKENDS = {name: getattr(cv2, f"CAP_{name.upper()}") for name in CAMERA_BACKENDS}
MAX_LISTED_CAMERAS = 10  # numbers tried where the system has no list of its own
FIRST_PICTURE_TRIES = 10  # webcams that warm up refuse a few reads
RETRY_S = 0.1


@dataclass(frozen=True)
class Camera:
    """A webcam that gave a picture: its number, name and size."""

    number: int
    name: str
    width_px: int
    height_px: int


class WebcamConnection:
    """A webcam, for ``frames.LiveSource``: open, grab, decode, close."""

    details = ""

    def __init__(
        self,
        source: int | str,
        *,
        backend: str = "any",
        size_wh: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> None:
        self.name = f"webcam {source}"
        self.fps: float | None = None
        self._source = source
        self._backend = BACKENDS[backend]
        self._wanted = {cv2.CAP_PROP_BUFFERSIZE: 1}  # the driver keeps no old ones
        if size_wh is not None:
            self._wanted[cv2.CAP_PROP_FRAME_WIDTH] = size_wh[0]
            self._wanted[cv2.CAP_PROP_FRAME_HEIGHT] = size_wh[1]
        if fps is not None:
            self._wanted[cv2.CAP_PROP_FPS] = fps
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Open the camera and see that it gives pictures; else SourceError."""
        silence_opencv()
        self._capture = cv2.VideoCapture(self._source, self._backend)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot open {self.name}: no such camera, or no right to use it; "
                "--list-cameras shows what is there"
            )
        for key, value in self._wanted.items():
            self._capture.set(key, value)  # drivers take the nearest they have
        for _ in range(FIRST_PICTURE_TRIES):
            if self._capture.read()[0]:
                break
            time.sleep(RETRY_S)
        else:
            raise SourceError(
                f"{self.name} opens but gives no picture: is another program using it?"
            )
        self.fps = positive_or_none(self._capture.get(cv2.CAP_PROP_FPS))

    def grab(self, stall_s: float) -> np.ndarray:
        """The next picture; SourceError when the camera has none any more."""
        ok, image = self._capture.read()
        if not ok:
            raise SourceError(f"{self.name} gives no picture any more: unplugged?")
        return image

    def decode(self, image: np.ndarray) -> np.ndarray:
        """The picture itself: OpenCV has decoded it."""
        return image

    def interrupt(self) -> None:
        """Nothing: OpenCV's reads end by their own time limit."""

    def close(self) -> None:
        """Release the camera; ``open`` may follow."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def list_cameras() -> list[Camera]:
    """The webcams that give a picture now, in the order of their numbers.

    One that another program is using may be missing.
    """
    cameras = []
    for number in _camera_numbers():
        connection = WebcamConnection(number)
        try:
            connection.open()
            height, width = connection.grab(0).shape[:2]
        except SourceError:  # no camera, its metadata device, or in use
            continue
        finally:
            connection.close()
        cameras.append(Camera(number, _camera_name(number), width, height))
    return cameras


def silence_opencv() -> None:
    """Keep OpenCV from writing its own lines beside our one.

    Setting OPENCV_LOG_LEVEL in the environment brings them back.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def positive_or_none(number: float) -> float | None:
    """OpenCV reports what it does not know as 0, a negative number or nan."""
    return number if 0 < number < float("inf") else None


def _camera_numbers() -> list[int]:
    if sys.platform != "linux":
        return list(range(MAX_LISTED_CAMERAS))
    names = (path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
    return sorted(int(name) for name in names if name.isdigit())


def _camera_name(number: int) -> str:
    """What the driver calls it, where the system tells (Linux); else its number."""
    try:
        path = Path(f"/sys/class/video4linux/video{number}/name")
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"webcam {number}"
