"""The loop of the live apps: read a frame, judge it, pass it to the outputs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liveness.live.view import Output, View
from liveness.model.verdicts import FaceVerdict
from liveness.sources.frames import FpsMeter, Frame, FrameSource

Judge = Callable[[Frame], list[FaceVerdict]]


@dataclass(frozen=True)
class LiveSummary:
    """Statistics of a run."""

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
    """Judge frame after frame until the source ends or an output stops the loop.

    Args:
        source: Open frame source; the caller closes it.
        judge: Function that returns the verdicts on a frame.
        outputs: Outputs to call, in this order, with each view.
        threshold: Score from which a face counts as real, 0 to 1.
        time_limit_s: End after this many seconds of the source's time.

    Raises:
        SourceError: If a live source sends no frame within its timeout.
    """
    meter = FpsMeter()
    frame: Frame | None = None
    first_s = time_s = 0.0
    frames = with_faces = 0
    while (item := source.read()) is not None:
        if isinstance(item, Frame):
            faces = judge(item)
            first_s = item.time_s if frame is None else first_s
            frame, time_s, waiting = item, item.time_s, ""
            meter.tick()
            frames += 1
            with_faces += bool(faces)
        elif frame is None:  # nothing to show yet; the source has its own timeout
            continue
        else:
            faces, time_s, waiting = [], frame.time_s + item.since_s, item.state
        status = _status(source, frame, meter)
        view = View(frame, faces, time_s, status, threshold, waiting)
        if any([output(view) for output in outputs]):  # a list, so that all are called
            break
        if time_limit_s is not None and time_s - first_s >= time_limit_s:
            break
    return LiveSummary(frames, with_faces, meter.fps, time_s - first_s)


def _status(source: FrameSource, frame: Frame, meter: FpsMeter) -> list[str]:
    """Return the status lines for the corner of the picture."""
    rate = f"{meter.fps:.0f} fps"
    if not source.is_live:
        return [rate]
    lag_ms = 1000 * (time.monotonic() - frame.captured_at)
    return [f"{rate}  lag {lag_ms:.0f} ms  {source.state}"]
