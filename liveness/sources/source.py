"""The interface of all frame sources."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One frame and the time when it was taken."""

    image: np.ndarray  # (H, W, 3) uint8, BGR
    index: int  # from 0; a live source skips those that were not read
    time_s: float  # position in a file; seconds since opening if live
    captured_at: float  # time.monotonic() on arrival


@dataclass(frozen=True)
class Waiting:
    """Result of reading a live source while it has no frame."""

    state: str
    since_s: float  # time without a frame


class FrameSource(ABC):
    """A sequence of frames; a context manager that closes the source."""

    name: str
    is_live: bool
    fps: float | None

    @property
    @abstractmethod
    def state(self) -> str:
        """``live``, or a short description of the problem to draw on the picture."""

    @abstractmethod
    def read(self) -> Frame | Waiting | None:
        """Return the next frame of a file, or the newest unread one of a live source.

        Returns:
            A frame; None at the end of a file; Waiting, after at most half a second,
            while a live source has no new frame.

        Raises:
            SourceError: If a live source sent no frame for ``timeout_s``.
        """

    @abstractmethod
    def close(self) -> None:
        """Release camera, sockets and thread; it is safe to call this twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
