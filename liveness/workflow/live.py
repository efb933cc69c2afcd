"""Judge the faces before a camera or in a film, in real time."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from liveness.constants import ONCE_LIMIT_S
from liveness.io.files import check_output_files, make_output_folder
from liveness.live.lines import Decisions, EventLines, FrameLines, save_snapshot
from liveness.live.loop import LiveSummary, run_live
from liveness.live.tracks import FaceTracks
from liveness.live.view import Output, View
from liveness.model.paths import find_model
from liveness.model.verdicts import FaceVerdict
from liveness.people.checks import PersonChecks
from liveness.sources.frames import FrameSource
from liveness.workflow.judge import Judging, load_parts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveOutputs:
    """Where verdicts go.

    Attributes:
        lines: Stream of the lines; None for none.
        as_json: Whether the lines are JSON.
        each_frame: Whether there is a JSON line for each frame.
        window: Title of the window; None for none.
        video: MP4 file of the annotated video; None for none.
        snapshots: Folder for the annotated picture of each decision; None for none.
    """

    lines: TextIO | None = None
    as_json: bool = False
    each_frame: bool = False
    window: str | None = None
    video: Path | None = None
    snapshots: Path | None = None


@dataclass(frozen=True)
class LiveRun:
    """What a run came to.

    Attributes:
        summary: Frames, faces and speed.
        is_live: Whether the source was a camera.
        decision: The first decision, if the run was to end at it and there was one.
    """

    summary: LiveSummary
    is_live: bool
    decision: FaceVerdict | None


@dataclass
class _FirstDecision:
    """An output that ends the loop at the first decision and keeps it."""

    face: FaceVerdict | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._decisions = Decisions(self._keep)

    def __call__(self, view: View) -> bool:
        return self._decisions(view)

    def _keep(self, _: View, face: FaceVerdict) -> bool:
        self.face = self.face or face
        return True


def judge_live(
    open_source: Callable[[], FrameSource],
    judging: Judging,
    outputs: LiveOutputs,
    *,
    challenge: str | None = None,
    once: bool = False,
    time_limit_s: float | None = None,
    file: Path | None = None,
) -> LiveRun:
    """Judge frame after frame until the source ends or somebody ends it.

    What cannot work is refused before a model is loaded and a camera opened.

    Args:
        open_source: Opens the camera or file.
        judging: What faces are judged with.
        outputs: Where verdicts go.
        challenge: One of ``CHALLENGES``, which a face must pass before it is real; None
            for none.
        once: Whether to end at the first decision, after ``ONCE_LIMIT_S`` if there is
            no other limit.
        time_limit_s: End after that many seconds; None for never.
        file: The video file that the source is, which no output may replace; None for
            a camera.

    Returns:
        What was seen, and the decision if ``once``.

    Raises:
        LivenessError: If the model, the detector, the source or an output fails.
    """
    _check_outputs(judging, outputs, file)
    parts = load_parts(judging)
    checks = None
    if parts.identifier or challenge:
        checks = PersonChecks(
            parts.identifier, name_fakes=judging.name_fakes, challenge=challenge
        )
    logger.info("%s", parts.classifier.description)
    tracks = FaceTracks(
        parts.detector,
        parts.classifier,
        checks=checks,
        upside_down=parts.detector.are_upside_down,
    )
    if once and time_limit_s is None:
        time_limit_s = ONCE_LIMIT_S
    first = _FirstDecision()
    with open_source() as source, _open_outputs(outputs, source) as opened:
        summary = run_live(
            source,
            lambda frame: tracks.update(frame.image, frame.time_s),
            # Last, so that the others have the decisive picture.
            [*opened, first] if once else opened,
            threshold=parts.classifier.threshold,
            time_limit_s=time_limit_s,
        )
    return LiveRun(summary, source.is_live, first.face)


def _check_outputs(judging: Judging, outputs: LiveOutputs, file: Path | None) -> None:
    """Refuse what cannot work before a model is loaded and a camera opened."""
    if outputs.window is not None:
        from liveness.live.window import check_screen

        check_screen()
    model = find_model(judging.model, judging.label_encoder)
    if outputs.video is not None:
        inputs = [file, judging.known, *model.files]
        check_output_files([outputs.video], inputs=filter(None, inputs))
    if outputs.snapshots is not None:
        make_output_folder(outputs.snapshots)


@contextmanager
def _open_outputs(outputs: LiveOutputs, source: FrameSource) -> Iterator[list[Output]]:
    """The outputs that were asked for, finished and released at the end."""
    opened: list[Output] = []
    with ExitStack() as stack:
        if outputs.lines is not None and outputs.each_frame:
            opened.append(FrameLines(outputs.lines))
        elif outputs.lines is not None:
            opened.append(EventLines(outputs.lines, as_json=outputs.as_json))
        if outputs.snapshots is not None:
            opened.append(Decisions(partial(save_snapshot, outputs.snapshots)))
        if outputs.video is not None:
            from liveness.live.recorder import VideoRecorder

            recorder = VideoRecorder(
                outputs.video, fps=source.fps, is_live=source.is_live
            )
            stack.callback(recorder.close)
            opened.append(recorder)
        if outputs.window is not None:
            import cv2

            from liveness.live.window import Window

            window = Window(outputs.window, cv2, is_live=source.is_live)
            stack.callback(window.close)
            opened.append(window)
        yield opened
