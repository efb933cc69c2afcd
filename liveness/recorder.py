"""Write the annotated pictures of a live run as a video."""

import os
from pathlib import Path

import cv2

from liveness.errors import OutputError
from liveness.live import View
from liveness.overlay import fit_into

DEFAULT_FPS = 25.0  # of the video, where the source does not tell its own
MAX_FPS = 120.0  # above that a source's figure is not believed
MAX_REPEATS = 250  # of one picture, 10 s: a longer gap is shortened
CODEC = "mp4v"  # every build of OpenCV brings it; H.264 is not in the wheels


class VideoRecorder:
    """An MP4 of the annotated views; shows up under its name when it is closed.

    A file's frames are written one for one. A live source's pictures come when
    they come; each is repeated or left out so that the video keeps their times.

    Args:
        path: Video to create or replace.
        fps: Of the video; None or an unlikely figure gives DEFAULT_FPS.
        is_live: Whether pictures are repeated and left out to keep the time.

    Raises:
        OSError: If the folder does not exist or cannot be written.
    """

    def __init__(self, path: Path, *, fps: float | None, is_live: bool) -> None:
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        self._part.touch()  # now, not after the camera is on
        self._fps = fps if fps is not None and 1 <= fps <= MAX_FPS else DEFAULT_FPS
        self._is_live = is_live
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._first_s = 0.0
        self._written = 0

    def __call__(self, view: View) -> bool:
        if self._writer is None:
            self._open(view)
        image = fit_into(view.annotated, self._size_wh)
        for _ in range(self._repeats(view.time_s)):
            self._writer.write(image)
            self._written += 1
        return False

    def close(self) -> None:
        """Finish the video, also after an error; a run without frames has none.

        Raises:
            OutputError: If it was not written, as on a full disk.
        """
        if self._writer is not None:
            self._writer.release()
        try:
            if self._written:
                self._check_readable()
                os.replace(self._part, self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _open(self, view: View) -> None:
        height, width = view.frame.image.shape[:2]
        self._size_wh = width - width % 2, height - height % 2  # the codec wants even
        self._first_s = view.time_s
        fourcc = cv2.VideoWriter_fourcc(*CODEC)
        self._writer = cv2.VideoWriter(
            str(self._part), cv2.CAP_FFMPEG, fourcc, self._fps, self._size_wh
        )
        if not self._writer.isOpened():
            raise OutputError(
                f"cannot write video '{self._path}' of {width}x{height} pixels"
            )

    def _repeats(self, time_s: float) -> int:
        """How often this picture goes into the video, 0 to MAX_REPEATS."""
        if not self._is_live:
            return 1
        due = round((time_s - self._first_s) * self._fps) + 1
        repeats = min(max(0, due - self._written), MAX_REPEATS)
        if repeats == MAX_REPEATS:  # what is left out of a gap is not made up for
            self._first_s = time_s - (self._written + repeats - 1) / self._fps
        return repeats

    def _check_readable(self) -> None:
        """OpenCV's writer reports no failure: look whether the video opens."""
        capture = cv2.VideoCapture(str(self._part), cv2.CAP_FFMPEG)
        readable = capture.isOpened() and capture.grab()
        capture.release()
        if not readable:
            raise OutputError(
                f"cannot write video '{self._path}': it broke off; is the disk full?"
            )
