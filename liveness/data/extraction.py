"""Extract the best face of pictures and of every n-th frame of videos.

Every script that takes faces from files comes through ``extract_faces``, so that the
same film gives the same crops everywhere. Several inputs are examined at a time, each
in a process of its own. Within a video, one thread decodes while another one detects,
so that a video takes hardly longer than its decoding.
"""

import multiprocessing
import os
import statistics
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path

import cv2
import numpy as np

from liveness.cluster import Cluster, Killed, report
from liveness.constants import DEFAULT_CONFIDENCE, DEFAULT_DETECTOR
from liveness.data.crops_table import FaceCrop
from liveness.errors import ImageError, OutputError, SourceError, reason_of
from liveness.faces.crops import CROP_SCALE, crop_face
from liveness.faces.detector import UPSIDE_DOWN, Detection, FaceDetector
from liveness.io.files import VIDEO_SUFFIXES
from liveness.io.images import read_image
from liveness.processes import obey_parent, set_up_logging
from liveness.sources.frames import Frame, VideoFile

WAITING_FRAMES = 4  # decoded and not examined yet; a 4K frame takes 25 MB
ORIENTED_FACES = 5  # first faces of a film that tell which side of it is up
POLL_S = 0.2  # how often progress is reported
PICTURES_TOGETHER = 32  # at most, in a call of a cluster, which costs as much as one
LEAST_BATCHES = 16  # of pictures, so that all workers of a small cluster have some


@dataclass(frozen=True)
class Input:
    """A file to take faces from."""

    path: Path
    is_video: bool

    @classmethod
    def by_name(cls, path: Path) -> "Input":
        """Return a video if the name ends like one, else a picture."""
        return cls(path, path.suffix.lower() in VIDEO_SUFFIXES)


@dataclass(frozen=True)
class Extraction:
    """How faces are taken from files.

    Attributes:
        detector: Folder of the face detector's files, already there.
        confidence: Minimum detector confidence of a face, 0 to 1.
        every_n_frames: 16 examines the 16th, the 32nd ... frame of a video.
        per_video: If given, every_n_frames follows from each video's length: so many
            frames are examined, and at most twice as many; all of a video that does
            not say how long it is.
        scale: Side of a crop over the face's longer side.
    """

    detector: Path
    confidence: float = DEFAULT_CONFIDENCE
    every_n_frames: int = 16
    per_video: int | None = None
    scale: float = CROP_SCALE

    def step(self, frame_count: int) -> int:
        """Return the interval between examined frames for a video of that length."""
        if self.per_video is None:
            return self.every_n_frames
        return max(1, frame_count // self.per_video)


@dataclass(frozen=True)
class Examined:
    """What was found in a picture or video; ``error`` says why it was not read."""

    read: int  # frames
    examined: int  # frames the detector looked at
    crops: tuple[FaceCrop, ...]
    error: str | None = None


@dataclass
class _Shared:
    """Counters and a stop signal that an extraction shares with its workers."""

    counter: Sequence[int]  # frames read, and frames that the files promise
    lock: AbstractContextManager
    stop: threading.Event | ProcessEvent

    def count(self, promised: int) -> None:
        """Add a frame that was read, and how many more frames a file promises."""
        with self.lock:
            self.counter[0] += 1
            self.counter[1] += promised
        if self.stop.is_set():
            raise SourceError("stopped")  # nobody waits for this result any more


def extract_faces(
    inputs: Sequence[Input],
    how: Extraction,
    *,
    spool: Path,
    jobs: int = 1,
    cluster: str | None = None,
    on_progress: Callable[[int, int], None] = lambda read, promised: None,
) -> Iterator[Examined]:
    """Take the best face of each picture and of every n-th frame of each video.

    Args:
        inputs: The files. One that cannot be read gives a result with ``error``.
        how: Which frames, which detector, how large a crop.
        spool: Folder that the encoded crops are written to, one file each; on the disk
            where they are to stay, for they are moved there.
        jobs: Files at a time, on this machine.
        cluster: Dask scheduler whose workers examine the files, as ``Cluster`` takes
            it; None for this machine.
        on_progress: Called a few times a second with the frames read so far and
            those that the files opened so far promise.

    Yields:
        One result per input, in their order.

    Raises:
        DetectorError: If the detector cannot be loaded.
        SourceError: If a worker process was killed, or a worker of the cluster does
            not see a file.
        ClusterError: If the cluster cannot be used, or is lost.
        OutputError: If the spool cannot be written, as on a full disk.
    """
    if not inputs:
        return
    if cluster is not None:
        with Cluster(cluster) as workers:
            yield from _extract_on_cluster(inputs, how, spool, workers, on_progress)
        return
    pool, examine, shared = _start_workers(min(jobs, len(inputs)), how, spool)
    try:
        futures = [
            pool.submit(examine, number, item) for number, item in enumerate(inputs)
        ]
        for item, future in zip(inputs, futures, strict=True):
            yield _wait_for(future, item.path, lambda: on_progress(*shared.counter))
        on_progress(*shared.counter)
    finally:
        shared.stop.set()
        pool.shutdown(cancel_futures=True)


def _start_workers(
    workers: int, how: Extraction, spool: Path
) -> tuple[Executor, Callable[[int, Input], Examined], _Shared]:
    """Start a pool; return it, the function to submit, and what is shared."""
    if workers == 1:  # a process of its own would take half a second to start
        shared = _Shared([0, 0], threading.Lock(), threading.Event())
        return ThreadPoolExecutor(1), _Examiner(how, spool, shared.count), shared
    context = multiprocessing.get_context("spawn")  # OpenCV's threads survive no fork
    shared = _Shared(context.RawArray("Q", 2), context.Lock(), context.Event())
    settings = (how, spool, shared, workers)
    pool = ProcessPoolExecutor(workers, context, _start_process, settings)
    return pool, _examine_in_process, shared


def _wait_for(future: Future, path: Path, report: Callable[[], None]) -> Examined:
    """Return a worker's result; progress is reported until there is one."""
    while True:
        report()
        try:
            return future.result(timeout=POLL_S)
        except NotYet:
            continue
        except BrokenProcessPool as error:
            raise SourceError(
                f"a process that examined files was killed, at '{path}' or one "
                "after it: too little memory? Try --jobs 1"
            ) from error


class _Examiner:
    """Examines one file after the other."""

    def __init__(
        self,
        how: Extraction,
        spool: Path,
        count: Callable[[int], None],
        detector: FaceDetector | None = None,
    ) -> None:
        self._how, self._spool, self._count = how, spool, count
        self._detector = detector or FaceDetector(
            how.detector, confidence=how.confidence
        )

    def __call__(self, number: int, item: Input) -> Examined:
        """Examine an input; one that cannot be read gives a result with ``error``."""
        examine = self._examine_video if item.is_video else self._examine_image
        try:
            return examine(number, item.path)
        except (ImageError, SourceError) as error:
            return Examined(0, 0, (), str(error))

    def _examine_image(self, number: int, path: Path) -> Examined:
        image = read_image(path)
        faces = self._detector.detect_still(image)
        if self._detector.are_upside_down(image, faces[:1]) == [True]:
            raise ImageError(
                f"the face of '{path}' is upside down or on its side: turn the picture"
            )
        self._count(1)
        frame = Frame(image, 0, 0.0, 0.0)
        crops = [self._crop(number, frame, face) for face in faces[:1]]
        return Examined(1, 1, tuple(crops))

    def _examine_video(self, number: int, path: Path) -> Examined:
        evidence: list[float] = []  # of the first faces, that they are upside down

        def examine(frame: Frame) -> FaceCrop | None:
            faces = self._detector.detect(frame.image)
            if len(evidence) < ORIENTED_FACES:
                first = self._detector.upside_down_evidence(frame.image, faces[:1])
                evidence.extend(first)
            return self._crop(number, frame, faces[0]) if faces else None

        read = 0
        pending: deque[Future[FaceCrop | None]] = deque()
        results: list[FaceCrop | None] = []

        def count() -> None:
            nonlocal read
            self._count(0 if read else video.frame_count)
            read += 1

        with VideoFile(path) as video, ThreadPoolExecutor(1) as pool:
            for frame in _every_nth(video, self._how.step(video.frame_count), count):
                pending.append(pool.submit(examine, frame))
                if len(pending) > WAITING_FRAMES:
                    results.append(pending.popleft().result())
            results += [future.result() for future in pending]
        if evidence and statistics.median(evidence) > UPSIDE_DOWN / 2:
            raise SourceError(
                f"faces of '{path}' are upside down or on their side: turn it, as with "
                "ffmpeg -i FILM -vf hflip,vflip TURNED"
            )
        return Examined(read, len(results), tuple(crop for crop in results if crop))

    def _crop(self, number: int, frame: Frame, face: Detection) -> FaceCrop:
        """Return the crop of a face, encoded in the spool."""
        crop = crop_face(frame.image, face.box, scale=self._how.scale)
        path = self._spool / f"{number}-{frame.index}.png"
        _write_png(path, crop)
        return FaceCrop(
            frame=frame.index + 1,
            time_s=frame.time_s,
            box=face.box,
            confidence=face.confidence,
            scale=self._how.scale,
            png=path,
        )


_examiners: list[_Examiner] = []  # of a worker process: its one


def _start_process(how: Extraction, spool: Path, shared: _Shared, workers: int) -> None:
    """Prepare a worker process."""
    obey_parent()
    set_up_logging()
    cv2.setNumThreads(max(1, (os.cpu_count() or 1) // workers))
    _examiners.append(_Examiner(how, spool, shared.count))


def _examine_in_process(number: int, item: Input) -> Examined:
    """Examine a file in a worker process."""
    return _examiners[0](number, item)


def _extract_on_cluster(
    inputs: Sequence[Input],
    how: Extraction,
    spool: Path,
    cluster: Cluster,
    on_progress: Callable[[int, int], None],
) -> Iterator[Examined]:
    """``extract_faces`` on the workers of a cluster."""
    if how.detector == DEFAULT_DETECTOR:  # the project may lie elsewhere there
        how = replace(how, detector=Path())
    results = _results_of_batches(inputs, how, spool, cluster, on_progress)
    early: dict[int, Examined] = {}
    for expected in range(len(inputs)):
        while expected not in early:
            number, examined = next(results)
            early[number] = examined
        yield early.pop(expected)


def _results_of_batches(
    inputs: Sequence[Input],
    how: Extraction,
    spool: Path,
    cluster: Cluster,
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[int, Examined]]:
    """Yield the number of an input and its result, as they come."""
    batches = _batches(inputs)
    while batches:
        killed: list[list[int]] = []
        tasks = [
            (how, [replace(inputs[n], path=inputs[n].path.absolute()) for n in batch])
            for batch in batches
        ]
        runs = cluster.run(_examine_on_worker, tasks, on_progress=on_progress)
        for place, results in runs:
            batch = batches[place]
            if not isinstance(results, Killed):
                for number, (examined, pngs) in zip(batch, results, strict=True):
                    yield number, _received(number, examined, pngs, spool=spool)
            elif len(batch) > 1:  # one of them did it
                killed += [[number] for number in batch]
            else:
                path = inputs[batch[0]].path
                error = f"every worker that examined '{path}' was killed"
                yield batch[0], Examined(0, 0, (), error)
        batches = killed


def _batches(inputs: Sequence[Input]) -> list[list[int]]:
    """Split inputs for workers: each film by itself, and pictures in batches."""
    pictures = [number for number, item in enumerate(inputs) if not item.is_video]
    count = min(PICTURES_TOGETHER, max(1, len(pictures) // LEAST_BATCHES))
    batches = [pictures[i : i + count] for i in range(0, len(pictures), count)]
    batches += [[number] for number, item in enumerate(inputs) if item.is_video]
    return sorted(batches)


def _received(
    number: int, examined: Examined, pngs: Sequence[bytes], *, spool: Path
) -> Examined:
    """Write the crops of a worker into the spool."""
    crops = []
    for crop, data in zip(examined.crops, pngs, strict=True):
        path = spool / f"{number}-{crop.frame}.png"
        _write(path, data)
        crops.append(replace(crop, png=path))
    return replace(examined, crops=tuple(crops))


_of_thread = threading.local()  # of a cluster's worker: its detectors


def _examine_on_worker(
    task: tuple[Extraction, Sequence[Input]],
) -> list[tuple[Examined, list[bytes]]]:
    """Examine files on a worker of a cluster; returns the crops as bytes."""
    how, items = task
    if how.detector == Path():
        how = replace(how, detector=DEFAULT_DETECTOR)
    for item in items:
        if not item.path.exists():
            raise SourceError(
                f"no file '{item.path}' there: expected the same paths on all machines"
            )
    cv2.setNumThreads(1)  # the worker has as many threads as it may use
    detectors = vars(_of_thread).setdefault("detectors", {})
    if (wanted := (how.detector, how.confidence)) not in detectors:
        detectors[wanted] = FaceDetector(how.detector, confidence=how.confidence)
    read, promised = 0, 0

    def count(more: int) -> None:
        nonlocal read, promised
        read, promised = read + 1, promised + more
        report(read, promised)

    with tempfile.TemporaryDirectory() as folder:
        examine = _Examiner(how, Path(folder), count, detectors[wanted])
        results = [examine(number, item) for number, item in enumerate(items)]
        return [(one, [crop.png.read_bytes() for crop in one.crops]) for one in results]


def _every_nth(
    video: VideoFile, every_n_frames: int, count: Callable[[], None]
) -> Iterator[Frame]:
    """Yield every n-th frame; the others are neither converted nor copied."""
    while True:
        for _ in range(every_n_frames - 1):
            if not video.skip():
                return
            count()
        frame = video.read()
        if frame is None:
            return
        count()
        yield frame


def _write_png(path: Path, image: np.ndarray) -> None:
    """Write a crop as PNG."""
    _write(path, cv2.imencode(".png", image)[1])


def _write(path: Path, data: bytes | np.ndarray) -> None:
    """Write a file of the spool."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(
            f"cannot write crops to '{path.parent}': {reason_of(error)}"
        ) from error
