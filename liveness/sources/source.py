"""What every source of pictures gives, and how it is read."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One picture and when it was taken."""

    image: np.ndarray  # (H, W, 3) uint8, BGR
    index: int  # counts what the source sent, from 0; live: gaps were skipped
    time_s: float  # position in a file; seconds since opening when live
    captured_at: float  # time.monotonic() when it was received


@dataclass(frozen=True)
class Waiting:
    """What a live source returns instead of a frame while it has none."""

    state: str
    since_s: float  # how long there has been no picture


class FrameSource(ABC):
    """Frames one after another; a context manager that releases what it opened."""

    name: str
    is_live: bool
    fps: float | None

    @property
    @abstractmethod
    def state(self) -> str:
        """``live``, or what is wrong, in words for the picture."""

    @abstractmethod
    def read(self) -> Frame | Waiting | None:
        """The next frame (file) or the newest one not returned yet (live).

        Returns:
            A frame; None at the end of a file; Waiting, after half a second at
            most, while a live source has no new picture.

        Raises:
            SourceError: If a live source gave no picture for ``timeout_s``.
        """

    @abstractmethod
    def close(self) -> None:
        """Release camera, sockets and thread; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
