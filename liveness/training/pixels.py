"""Samples as pictures of one size, read batch by batch during training.

Pictures are decoded, cropped and resized once, into a file of bytes on disk that
every epoch reads from; memory does not grow with the data set.
"""

import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.reduction import DupFd
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from liveness.data.dataset import SIMULATED, Sample, read_crop
from liveness.errors import DatasetError, ImageError
from liveness.faces.boxes import square_around
from liveness.faces.crops import (
    CROP_SCALE,
    LEAST_FILMED,
    crop_face,
    filmed_box,
    views_of_crop,
    whole_box,
)
from liveness.model.labels import FAKE, LABELS
from liveness.simulation.composition import compose_attack
from liveness.simulation.recapture import KINDS, simulate
from liveness.training.recipe import TrainingOptions

ROOM = 1.1  # a view inside the face is larger to train on: room to shift
ROOM_PX = 1.3  # side of a picture to train on over the network's: detail for a zoom
MOST_PX = 128  # of such a side, unless the network's is larger: the file grows with it
KIND_SHARES = (0.65, 0.35)  # of screens and prints among simulated attacks
COMPOSED_SHARE = 0.6  # of simulated attacks with surroundings: device or paper
SIMULATED_EACH = 2  # simulated attacks made of each bona fide sample


class PixelFile:
    """Pictures of one size in a temporary file that is deleted with this object.

    Read and written piece by piece: a mapping of the file would count as memory. A
    process that is started with it reads the same file (not on Windows).

    Args:
        shape: Of one picture, uint8.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._open(shape, tempfile.TemporaryFile(prefix="liveness-", buffering=0))

    def _open(self, shape: tuple[int, ...], file: BinaryIO) -> None:
        self.shape, self._file = shape, file
        weakref.finalize(self, file.close)
        self._bytes = int(np.prod(shape))
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[tuple[int, ...], Any]:
        return self.shape, DupFd(self._file.fileno())

    def __setstate__(self, state: tuple[tuple[int, ...], Any]) -> None:
        shape, handle = state
        self._open(shape, open(handle.detach(), "rb", buffering=0))

    def write(self, place: int, picture: np.ndarray) -> None:
        """Put a picture at a place, 0 or more."""
        with self._lock:
            self._file.seek(place * self._bytes)
            self._file.write(picture.tobytes())

    def read(self, places: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return (n, *shape) uint8, the pictures at these places."""
        pictures = np.empty((len(places), *self.shape), np.uint8)
        for picture, place in zip(pictures, places, strict=True):
            self._read_into(memoryview(picture).cast("B"), int(place) * self._bytes)
        return pictures

    def _read_into(self, piece: memoryview, start: int) -> None:
        if hasattr(os, "preadv"):  # processes that share the file share its position
            os.preadv(self._file.fileno(), [piece], start)
            return
        with self._lock:
            self._file.seek(start)
            self._file.readinto(piece)


@dataclass(frozen=True)
class Pixels:
    """Samples and their views, read from disk as they are needed.

    Attributes:
        samples: What each row shows; simulated attacks carry their kind.
        store: (side, side, 3) uint8 BGR on disk, the views of a sample in a row.
        views: How many.
        places: (N,) where in the store the first view of each sample is.
        skipped: Pictures that could not be used, with the reason.
    """

    samples: list[Sample]
    store: PixelFile
    views: int
    places: np.ndarray
    skipped: list[str]

    @property
    def targets(self) -> np.ndarray:
        """(N,) int32 index of each label in ``LABELS``."""
        return np.array([LABELS.index(s.label) for s in self.samples], np.int32)

    @property
    def attacks(self) -> list[str]:
        """Kind of attack of each row, empty for bona fide."""
        return [sample.attack for sample in self.samples]

    def read(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return (n, side, side, 3 * views) uint8 of these rows."""
        views = [self.read_view(rows, view) for view in range(self.views)]
        return np.concatenate(views, axis=3)

    def read_view(self, rows: np.ndarray | slice, view: int) -> np.ndarray:
        """Return (n, side, side, 3) uint8: one view of these rows."""
        return self.store.read(self.places[rows] + view)

    def only(self, wanted: Callable[[Sample], bool]) -> "Pixels":
        """Return the samples for which ``wanted`` holds; nothing is copied."""
        rows = [row for row, sample in enumerate(self.samples) if wanted(sample)]
        kept = [self.samples[row] for row in rows]
        return replace(self, samples=kept, places=self.places[rows])


def load_pixels(
    samples: Sequence[Sample],
    options: TrainingOptions,
    *,
    to_train: bool = False,
    simulate_attacks: bool = False,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    progress: str | None = None,
) -> Pixels:
    """Decode, crop and resize samples into a file that goes away by itself.

    Args:
        samples: What to read; the unreadable are skipped, counted and listed.
        options: Views and input size.
        to_train: Read what ``train`` varies: a little more than the network sees,
            and all views of all samples; else what the apps feed it.
        simulate_attacks: Add simulated attacks, ``SIMULATED_EACH`` for each bona
            fide sample.
        change: Of each crop before it is made smaller, as one of ``CHANGES``.
        progress: Name of the progress bar; None shows none.

    Raises:
        DatasetError: If no sample can be read.
    """
    jobs: list[tuple[Sample, Sample | None, str | None]] = [
        (sample, None, None) for sample in samples
    ]
    if simulate_attacks:
        jobs += _planned_attacks(samples, options.seed)
    side, scales = options.input_size_px, options.view_scales
    if to_train:
        side = max(side, min(round(ROOM_PX * side), MOST_PX))
        scales = tuple(min(scale * ROOM, CROP_SCALE) for scale in scales)
    store = PixelFile((side, side, 3))

    def fill(number: int) -> Sample | str:
        rng = np.random.default_rng((options.seed, number))
        try:
            crop, scale = _crop_of(*jobs[number], rng)
        except ImageError as error:
            return str(error)
        crop = change(crop) if change else crop
        views = views_of_crop(
            crop,
            crop_scale=scale,
            view_scales=scales,
            side_px=side,
            least_filmed=0 if to_train else LEAST_FILMED,
        )
        for view, picture in enumerate(np.split(views, len(scales), axis=2)):
            store.write(number * len(scales) + view, picture)
        return _sample_of(*jobs[number], scale)

    with ThreadPoolExecutor() as pool:  # OpenCV works outside Python's lock
        results = list(
            tqdm(
                pool.map(fill, range(len(jobs))),
                total=len(jobs),
                desc=progress,
                disable=None if progress else True,
            )
        )
    kept = [number for number, one in enumerate(results) if isinstance(one, Sample)]
    skipped = sorted({one for one in results if isinstance(one, str)})
    if not kept:
        raise DatasetError(f"none of the pictures can be read: {skipped[0]}")
    return Pixels(
        [results[number] for number in kept],
        store,
        len(scales),
        np.array(kept) * len(scales),
        skipped,
    )


def _planned_attacks(
    samples: Sequence[Sample], seed: int
) -> list[tuple[Sample, Sample | None, str]]:
    """Plan the simulated attacks: content, background and kind of each."""
    rng = np.random.default_rng(seed)
    rooms: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.is_bona_fide and sample.has_surroundings:
            rooms.setdefault(sample.collection, []).append(sample)
    plan = []
    for sample in [s for s in samples if s.is_bona_fide] * SIMULATED_EACH:
        # Of the same collection: nothing of a site gets into another one.
        near = rooms.get(sample.collection, []) if sample.crop_scale else []
        composed = near and rng.random() < COMPOSED_SHARE
        background = near[rng.integers(len(near))] if composed else None
        plan.append((sample, background, str(rng.choice(KINDS, p=KIND_SHARES))))
    return plan


def _sample_of(
    sample: Sample, background: Sample | None, kind: str | None, scale: float
) -> Sample:
    """Return the sample that describes a job's crop at this scale."""
    if kind is None:
        return sample
    return replace(
        sample,
        label=FAKE,
        attack=SIMULATED + kind,
        # Before a background it has surroundings, whatever it was made of.
        crop_scale=scale if background else sample.crop_scale,
        background=background.site if background else "",
    )


def _crop_of(
    sample: Sample,
    background: Sample | None,
    kind: str | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Return the crop of a job and its scale."""
    crop = read_crop(sample)
    scale = sample.crop_scale or CROP_SCALE
    if kind is None or not crop.any():
        return crop, scale
    # Without the black beyond the frame, which no camera films.
    shown, (left, top) = _filmed_part(crop)
    if background is None:
        attack = np.zeros_like(crop)
        height, width = shown.shape[:2]
        attack[top : top + height, left : left + width] = simulate(shown, kind, rng)
        return attack, scale
    face = square_around(whole_box(crop), 1 / scale)
    room, _ = _filmed_part(read_crop(background))
    face = (face[0] - left, face[1] - top, face[2] - left, face[3] - top)
    try:
        composed, box = compose_attack(shown, room, face, rng, kind=kind)
        return crop_face(composed, box), CROP_SCALE
    except ValueError as error:
        raise ImageError(
            f"'{sample.path}' or '{background.path}' is nearly all black: no attack "
            "can be simulated with it"
        ) from error


def _filmed_part(crop: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a crop without the black around it, and where its corner was."""
    x_min, y_min, x_max, y_max = filmed_box(crop)
    return crop[y_min:y_max, x_min:x_max], (x_min, y_min)
