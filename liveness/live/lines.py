"""Verdicts as lines, snapshots and decisions: outputs of the live loop."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from liveness.io.images import write_image
from liveness.live.view import View
from liveness.model.verdicts import CHECKING, FaceVerdict

REPEAT_S = 1.0  # a track's verdict that does not change is told again this often
TIME_STEP_S = 1e-3  # times that differ by less are the same
GONE = "gone"  # label in the event lines of a face that has left


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
