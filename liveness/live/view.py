"""What the live loop passes to its outputs in each iteration."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from liveness.live.overlay import draw_banner, draw_faces, draw_status
from liveness.model.verdicts import FaceVerdict
from liveness.sources.frames import Frame


@dataclass(frozen=True)
class View:
    """A frame with its verdicts and the state of the source.

    Attributes:
        frame: The frame; while the source waits, the last frame.
        faces: Verdicts on the frame, best first; empty while the source waits.
        time_s: Position in a file; seconds since opening if live.
        status: Lines for the picture's corner: frame rate, lag and state.
        waiting: State of a source that currently has no frames; empty otherwise.
        threshold: Score from which a face counts as real, 0 to 1.
    """

    frame: Frame
    faces: Sequence[FaceVerdict]
    time_s: float
    status: Sequence[str]
    threshold: float
    waiting: str = ""

    @cached_property
    def annotated(self) -> np.ndarray:
        """The frame with verdicts and status drawn on it, (H, W, 3) uint8, BGR."""
        image = draw_status(self.frame.image.copy(), self.status)
        draw_faces(image, self.faces, threshold=self.threshold)  # over the status
        return draw_banner(image, self.waiting) if self.waiting else image


class Output(Protocol):
    """A consumer of views; it returns True to end the loop."""

    def __call__(self, view: View) -> bool: ...
