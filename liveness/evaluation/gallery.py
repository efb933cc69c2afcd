"""The faces that a model gets most wrong, collected while scoring."""

import heapq
import itertools
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from liveness.constants import Reason
from liveness.faces.boxes import square_around
from liveness.faces.crops import filmed_box, whole_box
from liveness.faces.quality import face_problem

KEPT = 24  # faces of each class


@dataclass(frozen=True)
class ScoredCrop:
    """A face of a gallery.

    Attributes:
        path: The picture or clip that it comes from.
        place: Where in it, such as "frame 32, 1.07 s"; empty in a picture.
        attack: Kind of attack; empty for bona fide.
        score: Probability of bona fide.
        crop: (side, side, 3) uint8, BGR.
        scale: Side of the crop over the face's longer side.
    """

    path: str
    place: str
    attack: str
    score: float
    crop: np.ndarray = field(repr=False)
    scale: float = 1.0

    @cached_property
    def reason(self) -> str:
        """Why the live apps would not judge this face; empty if they would."""
        x_min, y_min, x_max, y_max = filmed_box(self.crop)
        left, top, right, bottom = square_around(whole_box(self.crop), 1 / self.scale)
        box = left - x_min, top - y_min, right - x_min, bottom - y_min
        filmed = self.crop[y_min:y_max, x_min:x_max]
        if min(box[:2]) < 0 or box[2] > x_max - x_min or box[3] > y_max - y_min:
            return Reason.OUT_OF_PICTURE
        problem = face_problem(filmed, box)
        # Of the frame's height a crop knows nothing.
        return "" if problem == Reason.TOO_CLOSE else problem


class Gallery:
    """Keeps the lowest scores of bona fide faces and the highest of attacks.

    Args:
        kept: How many of each.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._number = itertools.count()
        self._heaps: dict[bool, list] = {True: [], False: []}

    def offer(self, face: ScoredCrop) -> None:
        """Keep a face if it is among the worst so far."""
        is_real = face.attack == ""
        badness = -face.score if is_real else face.score
        heap = self._heaps[is_real]
        heapq.heappush(heap, (badness, next(self._number), face))
        if len(heap) > self._kept:
            heapq.heappop(heap)

    def worst(self, *, is_real: bool) -> list[ScoredCrop]:
        """Return the worst faces of a class, the worst first."""
        return [face for *_, face in sorted(self._heaps[is_real], reverse=True)]


def encoded(picture: np.ndarray) -> bytes:
    """Return a picture as the content of a JPEG file."""
    _, data = cv2.imencode(".jpg", picture)
    return data.tobytes()
