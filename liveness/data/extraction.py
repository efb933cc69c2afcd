"""Find the best face in pictures and in every n-th frame of videos.

Videos are examined in processes of their own, several at a time. In each, one
thread decodes while another one detects, so that a video takes hardly longer than
its decoding.
"""

import logging
import multiprocessing
import os
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from liveness.data.crops_folder import Examined
from liveness.data.crops_table import FaceCrop
from liveness.errors import ImageError, SourceError
from liveness.faces.crops import CROP_SCALE, crop_face
from liveness.faces.detector import UPSIDE_DOWN, Detection, FaceDetector
from liveness.io.images import read_image
from liveness.processes import obey_parent
from liveness.sources.frames import Frame, VideoFile

WAITING_FRAMES = 4  # decoded and not examined yet; a 4K frame takes 25 MB
ORIENTED_FACES = 5  # of a film's first faces it is looked at which side is up
POLL_S = 0.2  # how often progress is reported

_worker: dict[str, Any] = {}  # what a worker process keeps between videos


class _Counter:
    """Frames read and promised so far, in one process; calls back for each frame."""

    def __init__(self, on_progress: Callable[[int, int], None]) -> None:
        self.read, self.promised, self._on_progress = 0, 0, on_progress

    def start_video(self) -> Callable[[int], None]:
        """The on_frame of the next video."""
        before = self.promised

        def on_frame(expected: int) -> None:
            self.read += 1
            self.promised = before + expected
            self._on_progress(self.read, self.promised)

        return on_frame


def examine_image(path: Path, detector: FaceDetector) -> Examined:
    """The best face of a picture.

    Raises:
        ImageError: If the picture cannot be read, or its face is upside down.
    """
    image = read_image(path)
    faces = detector.detect_still(image)
    if detector.are_upside_down(image, faces[:1]) == [True]:
        raise ImageError(
            f"the face of '{path}' is upside down or on its side: turn the picture"
        )
    crop = _best_crop(image, faces)
    return Examined(1, 1, (crop,) if crop else ())


def examine_video(
    path: Path,
    detector: FaceDetector,
    *,
    every_n_frames: int,
    spool: Path,
    on_frame: Callable[[int], None] = lambda expected: None,
) -> Examined:
    """The best face of every n-th frame of a video, the n-th one first.

    Args:
        path: The video.
        detector: The face detector.
        every_n_frames: 16 examines the 16th, the 32nd ... frame.
        spool: Folder for the encoded crops, so that a long film fits in memory.
        on_frame: Called for each frame read with how many the file promises.

    Raises:
        SourceError: If the video cannot be read at all, or is upside down.
        OSError: If the spool cannot be written.
    """
    turned: list[float] = []  # evidence of the first faces

    def find(frame: Frame) -> FaceCrop | None:
        faces = detector.detect(frame.image)
        if len(turned) < ORIENTED_FACES:
            turned.extend(detector.upside_down_evidence(frame.image, faces[:1]))
        crop = _best_crop(frame.image, faces, frame)
        if crop is None:
            return None
        file = spool / f"{frame.index}.png"
        file.write_bytes(crop.png)
        return replace(crop, png=file)

    pending: deque[Future[FaceCrop | None]] = deque()
    results: list[FaceCrop | None] = []
    read = 0

    def count() -> None:
        nonlocal read
        read += 1
        on_frame(video.frame_count)

    with VideoFile(path) as video, ThreadPoolExecutor(1) as pool:
        for frame in _every_nth(video, every_n_frames, count):
            pending.append(pool.submit(find, frame))
            if len(pending) > WAITING_FRAMES:
                results.append(pending.popleft().result())
        results += [future.result() for future in pending]
    if turned and statistics.median(turned) > UPSIDE_DOWN / 2:
        raise SourceError(
            f"faces of '{path}' are upside down or on their side: turn it, as with "
            "ffmpeg -i FILM -vf hflip,vflip TURNED"
        )
    return Examined(read, len(results), tuple(crop for crop in results if crop))


def examine_videos(
    paths: Sequence[Path],
    *,
    detector_folder: Path,
    confidence: float,
    every_n_frames: int,
    jobs: int,
    spool: Path,
    on_progress: Callable[[int, int], None] = lambda read, promised: None,
) -> Iterator[Examined]:
    """Examine videos in parallel; the results come in the order of the paths.

    Args:
        paths: The videos. One that cannot be read gives a result with ``error``.
        detector_folder: Folder of the face detector's files, already there.
        confidence: Least confidence of a face.
        every_n_frames: 16 examines the 16th, the 32nd ... frame.
        jobs: Videos at a time.
        spool: Folder for the encoded crops until they are saved.
        on_progress: Called a few times a second with the frames read so far and
            those that the files opened so far promise.

    Raises:
        SourceError: If a worker process was killed.
        OSError: If the spool cannot be written.
    """
    workers = min(jobs, len(paths))
    if workers == 1:  # a process of its own would take half a second to start
        detector = FaceDetector(detector_folder, confidence=confidence)
        counter = _Counter(on_progress)
        for number, path in enumerate(paths):
            yield _examine_or_say_why(
                path,
                detector,
                every_n_frames,
                spool / str(number),
                counter.start_video(),
            )
        return
    context = multiprocessing.get_context("spawn")  # OpenCV's threads survive no fork
    counter = context.Array("Q", 2)  # frames read, frames promised
    stop = context.Event()
    settings = (counter, stop, detector_folder, confidence, every_n_frames, workers)
    pool = ProcessPoolExecutor(workers, context, _start_worker, settings)
    try:
        futures = []
        for number, path in enumerate(paths):
            task = (path, spool / str(number))
            futures.append(pool.submit(_examine_in_worker, *task))
        for path, future in zip(paths, futures, strict=True):
            yield _wait_for(future, path, lambda: on_progress(*counter))
        on_progress(*counter)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _wait_for(future: Future, path: Path, report: Callable[[], None]) -> Examined:
    """A worker's result, reporting progress while there is none."""
    while True:
        report()
        try:
            return future.result(timeout=POLL_S)
        except NotYet:
            continue
        except BrokenProcessPool as error:
            raise SourceError(
                f"a process that examined videos was killed, at '{path}' or one "
                "after it: too little memory? Try --jobs 1"
            ) from error


def _start_worker(counter, stop, detector_folder, confidence, every_n, workers):
    """Prepare a worker process."""
    obey_parent()
    logging.basicConfig(format="%(message)s")
    cv2.setNumThreads(max(1, (os.cpu_count() or 1) // workers))
    _worker["counter"], _worker["stop"] = counter, stop
    _worker["detector"] = FaceDetector(detector_folder, confidence=confidence)
    _worker["every_n"] = every_n


def _examine_in_worker(path: Path, spool: Path) -> Examined:
    """Examine a video in a worker process."""
    counter, stop = _worker["counter"], _worker["stop"]
    is_first = True

    def on_frame(expected: int) -> None:
        nonlocal is_first
        with counter.get_lock():
            counter[0] += 1
            counter[1] += expected if is_first else 0
        is_first = False
        if stop.is_set():
            raise SourceError("stopped")  # nobody waits for this result any more

    detector, every_n = _worker["detector"], _worker["every_n"]
    return _examine_or_say_why(path, detector, every_n, spool, on_frame)


def _examine_or_say_why(
    path: Path,
    detector: FaceDetector,
    every_n_frames: int,
    spool: Path,
    on_frame: Callable[[int], None],
) -> Examined:
    """examine_video with a new spool; a video that cannot be read is a result."""
    spool.mkdir()
    try:
        return examine_video(
            path,
            detector,
            every_n_frames=every_n_frames,
            spool=spool,
            on_frame=on_frame,
        )
    except SourceError as error:
        return Examined(0, 0, (), str(error))


def _every_nth(
    video: VideoFile, every_n_frames: int, count: Callable[[], None]
) -> Iterator[Frame]:
    """Every n-th frame; the others are neither converted nor copied."""
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


def _best_crop(image, faces: list[Detection], frame: Frame | None = None):
    """Crop of the most confident face, None without a face."""
    if not faces:
        return None
    _, png = cv2.imencode(".png", crop_face(image, faces[0].box))
    return FaceCrop(
        frame=frame.index + 1 if frame else 1,
        time_s=frame.time_s if frame else 0.0,
        box=faces[0].box,
        confidence=faces[0].confidence,
        scale=CROP_SCALE,
        png=png.tobytes(),
    )
