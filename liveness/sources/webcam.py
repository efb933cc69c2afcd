"""Read webcams with OpenCV."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from liveness.constants import CAMERA_BACKENDS
from liveness.errors import SourceError

# OpenCV may also try FFmpeg. It reads this once, when it first opens a camera.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET

BACKENDS = {name: getattr(cv2, f"CAP_{name.upper()}") for name in CAMERA_BACKENDS}
MAX_LISTED_CAMERAS = 10  # numbers to try if the system provides no list
FIRST_PICTURE_TRIES = 10  # the first reads fail while a webcam warms up
RETRY_S = 0.1


@dataclass(frozen=True)
class Camera:
    """A webcam that works: its number, name and frame size."""

    number: int
    name: str
    width_px: int
    height_px: int


class WebcamConnection:
    """A webcam, for ``frames.LiveSource``: open, grab, decode, close."""

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
        self._settings = {cv2.CAP_PROP_BUFFERSIZE: 1}  # the driver queues no frames
        if size_wh is not None:
            self._settings[cv2.CAP_PROP_FRAME_WIDTH] = size_wh[0]
            self._settings[cv2.CAP_PROP_FRAME_HEIGHT] = size_wh[1]
        if fps is not None:
            self._settings[cv2.CAP_PROP_FPS] = fps
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Open the camera and read a first frame; raise SourceError if that fails."""
        silence_opencv()
        self._capture = cv2.VideoCapture(self._source, self._backend)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot open {self.name}: no such camera, or permission denied; "
                "--list-cameras lists the cameras"
            )
        for key, value in self._settings.items():
            self._capture.set(key, value)  # drivers choose the nearest they support
        for _ in range(FIRST_PICTURE_TRIES):
            if self._capture.read()[0]:
                break
            time.sleep(RETRY_S)
        else:
            raise SourceError(
                f"{self.name} opens but sends no frames: is another program using it?"
            )
        self.fps = positive_or_none(self._capture.get(cv2.CAP_PROP_FPS))

    def grab(self, stall_s: float) -> np.ndarray:
        """Return the next frame; raise SourceError if the camera has stopped."""
        succeeded, image = self._capture.read()
        if not succeeded:
            raise SourceError(f"{self.name} stopped sending frames: unplugged?")
        return image

    def decode(self, image: np.ndarray) -> np.ndarray:
        """Return the frame unchanged: OpenCV has decoded it."""
        return image

    def interrupt(self) -> None:
        """Do nothing: OpenCV's reads have their own timeout."""

    def close(self) -> None:
        """Release the camera; ``open`` may follow."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def list_cameras() -> list[Camera]:
    """List the webcams that work now, ordered by number.

    A webcam that another program is using may be missing.
    """
    cameras = []
    for number in _camera_numbers():
        connection = WebcamConnection(number)
        try:
            connection.open()
            height, width = connection.grab(0).shape[:2]
        except SourceError:  # no camera, a camera's metadata device, or in use
            continue
        finally:
            connection.close()
        cameras.append(Camera(number, _camera_name(number), width, height))
    return cameras


def silence_opencv() -> None:
    """Silence OpenCV's own log lines.

    Set OPENCV_LOG_LEVEL in the environment to get them back.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def positive_or_none(number: float) -> float | None:
    """Return None for unknown values: OpenCV reports 0, a negative number or nan."""
    return number if 0 < number < float("inf") else None


def _camera_numbers() -> list[int]:
    if sys.platform != "linux":
        return list(range(MAX_LISTED_CAMERAS))
    names = (path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
    return sorted(int(name) for name in names if name.isdigit())


def _camera_name(number: int) -> str:
    """Return the driver's name of a camera (Linux only), else its number."""
    try:
        path = Path(f"/sys/class/video4linux/video{number}/name")
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"webcam {number}"
