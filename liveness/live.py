"""The loop of the live apps: read, judge, hand out; and where verdicts go.

An output is called with each ``View`` and returns True to end the loop. Window,
video, lines and snapshots are outputs; the window's functions are passed in.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np

from liveness.frames import FpsMeter, Frame, FrameSource
from liveness.images import write_image
from liveness.overlay import draw_banner, draw_faces, draw_status
from liveness.verdicts import CHECKING, FaceVerdict

REPEAT_S = 1.0  # a track's verdict that does not change is told again this often
TIME_STEP_S = 1e-3  # times that differ by less are the same
GONE = "gone"  # label in the event lines of a face that has left

Judge = Callable[[Frame], list[FaceVerdict]]


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


@dataclass(frozen=True)
class LiveSummary:
    """What a run has seen."""

    frames: int
    frames_with_faces: int
    fps: float  # over the last frames
    seconds: float  # between the first and the last view


def run_live(
    source: FrameSource,
    judge: Judge,
    outputs: Sequence[Output],
    *,
    threshold: float,
    time_limit_s: float | None = None,
) -> LiveSummary:
    """Judge frame after frame until the source ends or an output says so.

    Args:
        source: Open frame source; the caller closes it.
        judge: Gives the verdicts on a frame.
        outputs: Called in turn with each view.
        threshold: Score from which a face counts as real, 0 to 1.
        time_limit_s: End after that many seconds of the source's time.

    Raises:
        SourceError: If a live source gives no picture for its time limit.
    """
    meter = FpsMeter()
    frame: Frame | None = None
    first_s = time_s = 0.0
    frames = with_faces = 0
    while (got := source.read()) is not None:
        if isinstance(got, Frame):
            faces = judge(got)
            first_s = got.time_s if frame is None else first_s
            frame, time_s, waiting = got, got.time_s, ""
            meter.tick()
            frames += 1
            with_faces += bool(faces)
        elif frame is None:  # nothing to show yet; the source's own limit ends this
            continue
        else:
            faces, time_s, waiting = [], frame.time_s + got.since_s, got.state
        status = _status(source, frame, meter)
        view = View(frame, faces, time_s, status, threshold, waiting)
        if any([output(view) for output in outputs]):  # each one is called
            break
        if time_limit_s is not None and time_s - first_s >= time_limit_s:
            break
    return LiveSummary(frames, with_faces, meter.fps, time_s - first_s)


class EventLines:
    """One line per change of a track's verdict.

    As JSON also one per second and track while nothing changes.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._told: dict[int, tuple[FaceVerdict, float]] = {}

    def __call__(self, view: View) -> bool:
        for face in view.faces:
            before, told_s = self._told.get(face.track, (None, 0.0))
            changed = before is None or _told_as(before) != _told_as(face)
            repeated = self._as_json and view.time_s - told_s >= REPEAT_S - TIME_STEP_S
            if changed or repeated:
                self._told[face.track] = face, view.time_s
                self._write(view.time_s, face, face.label)
        for track in self._told.keys() - {face.track for face in view.faces}:
            self._write(view.time_s, self._told.pop(track)[0], GONE)
        return False

    def _write(self, time_s: float, face: FaceVerdict, label: str) -> None:
        if self._as_json:
            fields = {"time_s": round(time_s, 3)} | face.as_json() | {"label": label}
            line = json.dumps(fields)
        else:
            line = f"{time_s:7.2f} s  face {face.track}  {label:8}"
            if label != GONE and face.score is not None:
                line += f"  score {face.score:.2f}"
            if label == CHECKING and face.reason:
                line += f"  {face.reason}"
            if face.who:
                line += f"  {face.who}"
        print(line, file=self._stream, flush=True)


class FrameLines:
    """One JSON line per frame with all of its faces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, view: View) -> bool:
        if not view.waiting:
            fields = {
                "frame": view.frame.index,
                "time_s": round(view.time_s, 3),
                "threshold": view.threshold,
                "faces": [face.as_json() for face in view.faces],
            }
            print(json.dumps(fields), file=self._stream, flush=True)
        return False


class Decisions:
    """Calls ``act`` at each change of a track to real or fake."""

    def __init__(self, act: Callable[[View, FaceVerdict], bool]) -> None:
        self._act = act
        self._labels: dict[int, str] = {}

    def __call__(self, view: View) -> bool:
        stop = False
        for face in view.faces:
            if face.label not in (CHECKING, self._labels.get(face.track)):
                self._labels[face.track] = face.label
                stop = self._act(view, face) or stop
        return stop


def save_snapshot(folder: Path, view: View, face: FaceVerdict) -> bool:
    """Keep the annotated picture of a decision, named by time, face and label.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    name = f"{now}_face{face.track}_{face.label}.jpg"
    write_image(folder / name, view.annotated)
    return False


def _told_as(face: FaceVerdict) -> tuple[str, str, str | None]:
    """What makes a new line when it changes."""
    return face.label, face.reason, face.match and face.match.name


def _status(source: FrameSource, frame: Frame, meter: FpsMeter) -> list[str]:
    """Lines for the corner of the picture."""
    rate = f"{meter.fps:.0f} fps"
    if not source.is_live:
        return [rate]
    lag_ms = 1000 * (time.monotonic() - frame.captured_at)
    return [f"{rate}  lag {lag_ms:.0f} ms  {source.state}"]
