"""What the live loop hands to its outputs at each turn."""

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
    """What is known at one turn of the loop.

    Attributes:
        frame: The picture, or the last one there was while the source waits.
        faces: Verdicts on that picture, best first; none while it waits.
        time_s: Position in a file; seconds since opening when live.
        status: Lines for the picture's corner: rate, lag and state.
        waiting: State of a source that gives no picture now; empty otherwise.
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
        """(H, W, 3) uint8, BGR: the picture with all that is drawn on it."""
        image = draw_status(self.frame.image.copy(), self.status)
        draw_faces(image, self.faces, threshold=self.threshold)  # over the status
        return draw_banner(image, self.waiting) if self.waiting else image


class Output(Protocol):
    """Where views go; True ends the loop."""

    def __call__(self, view: View) -> bool: ...
