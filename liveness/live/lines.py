"""Outputs of the live loop: text and JSON lines, snapshots and decisions."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from liveness.io.images import write_image
from liveness.live.view import View
from liveness.model.verdicts import CHECKING, FaceVerdict

REPEAT_S = 1.0  # interval at which an unchanged verdict is printed again
TIME_STEP_S = 1e-3  # times that differ by less are equal
GONE = "gone"  # label of a face that has left, in the event lines only


class EventLines:
    """Prints a line when a track's verdict changes.

    As JSON, it also prints a line per second and track if nothing changes.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._last: dict[int, tuple[FaceVerdict, float]] = {}

    def __call__(self, view: View) -> bool:
        for face in view.faces:
            last, last_s = self._last.get(face.track, (None, 0.0))
            is_new = last is None or _event_key(last) != _event_key(face)
            is_due = self._as_json and view.time_s - last_s >= REPEAT_S - TIME_STEP_S
            if is_new or is_due:
                self._last[face.track] = face, view.time_s
                self._write(view.time_s, face, face.label)
        for track in self._last.keys() - {face.track for face in view.faces}:
            self._write(view.time_s, self._last.pop(track)[0], GONE)
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
    """Prints one JSON line per frame with all of its faces."""

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
    """Calls ``act`` whenever a track changes to real or fake."""

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
    """Save the annotated picture of a decision, named by time, face and label.

    Raises:
        OSError: If the folder is not writable or the disk is full.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    name = f"{now}_face{face.track}_{face.label}.jpg"
    write_image(folder / name, view.annotated)
    return False


def _event_key(face: FaceVerdict) -> tuple[str, str, str | None]:
    """Return the parts of a verdict whose change is an event."""
    return face.label, face.reason, face.match and face.match.name
