"""Options of both live apps, and the run that follows from them."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import positive_float
from liveness.constants import (
    CHALLENGES,
    DEFAULT_TIMEOUT_S,
    EXIT_FAILED,
    EXIT_FAKE,
    EXIT_OK,
    EXIT_UNDECIDED,
)

if TYPE_CHECKING:
    from liveness.live.loop import Judge, LiveSummary
    from liveness.live.view import Output, View
    from liveness.model.classifier import LivenessClassifier
    from liveness.model.verdicts import FaceVerdict
    from liveness.sources.frames import FrameSource

ONCE_LIMIT_S = 30.0  # --time-limit of --once where none is given

logger = logging.getLogger(__name__)


def add_live_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is shown, printed and kept, and when a live app ends."""
    group = parser.add_argument_group("output")
    group.add_argument("--no-display", action="store_true", help="run without a window")
    group.add_argument(
        "--output", type=mp4_file, metavar="FILE.mp4", help="write the annotated video"
    )
    lines = group.add_mutually_exclusive_group()
    lines.add_argument(
        "--json",
        action="store_true",
        help="print a JSON line for each change of a face's verdict, and one per "
        "second and face otherwise",
    )
    lines.add_argument(
        "--json-frames",
        action="store_true",
        help="print a JSON line for each frame with all of its faces",
    )
    group.add_argument(
        "--snapshot",
        type=Path,
        metavar="DIR",
        help="keep the annotated picture of each decision in this folder",
    )
    group = parser.add_argument_group("end")
    group.add_argument(
        "--once",
        action="store_true",
        help=f"end at the first decision: exit code {EXIT_OK} real, {EXIT_FAKE} fake, "
        f"{EXIT_UNDECIDED} no decision in time",
    )
    group.add_argument(
        "--time-limit",
        type=positive_float,
        metavar="S",
        help=f"end after S seconds (default: {ONCE_LIMIT_S:g} with --once, else never)",
    )
    group.add_argument(
        "--timeout",
        type=positive_float,
        default=DEFAULT_TIMEOUT_S,
        metavar="S",
        help="end with an error when a camera gives no picture for S seconds",
    )


def add_challenge_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--challenge``."""
    group = parser.add_argument_group(
        "challenge",
        "A photograph cannot do what it is asked. A replay of somebody who blinks\n"
        "passes blink, one of somebody who turns guesses the sides right 1 time in 8\n"
        "and may try again; a face that a computer moves passes everything. It adds\n"
        "to the score, it replaces nothing. Needs face_recognition.",
    )
    group.add_argument(
        "--challenge",
        choices=CHALLENGES,
        help="movements a face must make before it can be real: two blinks, three "
        "turns to random sides, or three such turns and a blink in random order; "
        "after a failure it is asked anew",
    )


def mp4_file(text: str) -> Path:
    """argparse type: a path that ends in .mp4."""
    path = Path(text)
    if path.suffix.lower() != ".mp4":
        raise argparse.ArgumentTypeError(
            f"expected a name ending in .mp4, received {text!r}"
        )
    return path


def size_wh(text: str) -> tuple[int, int]:
    """argparse type: width and height in pixels, such as 640x480."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(
            f"expected a size such as 640x480, received {text!r}"
        )
    return int(width), int(height)


def parse_discreetly(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> argparse.Namespace:
    """Parse a command line whose surplus words may be pieces of a password.

    An address or a password with a blank in it and no quotes round it falls apart, and
    argparse would repeat the pieces.
    """
    arguments, surplus = parser.parse_known_args(argv)
    options = [word.partition("=")[0] for word in surplus if word.startswith("--")]
    if options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    if surplus:
        parser.error(
            f"{len(surplus)} unrecognized argument{'s' * (len(surplus) > 1)}, not "
            "repeated here because a password may be in them: put an address or "
            "password with blanks into quotes"
        )
    return arguments


def run_live_app(
    arguments: argparse.Namespace,
    open_source: Callable[[], "FrameSource"],
    *,
    file: Path | None = None,
    title: str,
) -> int:
    """Run a live app as its options say.

    Args:
        arguments: With the detector's, the model's and the live options.
        open_source: Opens the camera or file; called after the cheap checks.
        file: The video file that it opens, None for a camera.
        title: Of the window.

    Returns:
        The exit code.
    """
    from liveness.live.loop import run_live  # loads OpenCV, which --help can do without

    _check_cheaply(arguments, file)
    judge, classifier = _load_judge(arguments)
    first_decision: list[FaceVerdict] = []
    time_limit_s = arguments.time_limit
    if arguments.once and time_limit_s is None:
        time_limit_s = ONCE_LIMIT_S
    with (
        open_source() as source,
        _open_outputs(arguments, source, title, first_decision) as outputs,
    ):
        summary = run_live(
            source,
            judge,
            outputs,
            threshold=classifier.threshold,
            time_limit_s=time_limit_s,
        )
    _log_summary(summary)
    if arguments.once:
        codes = {"real": EXIT_OK, "fake": EXIT_FAKE}
        return codes[first_decision[0].label] if first_decision else EXIT_UNDECIDED
    if not source.is_live and not summary.frames_with_faces:
        logger.warning(
            "no face found: a film that is turned, or combed (interlaced without "
            "saying so), has to be mended first; else a lower --confidence finds more"
        )
        return EXIT_FAILED
    return EXIT_OK


def _check_cheaply(arguments: argparse.Namespace, file: Path | None) -> None:
    """Refuse what cannot work before a model is loaded and a camera opened."""
    from liveness.io.files import check_output_files, make_output_folder
    from liveness.model.paths import find_model

    if not arguments.no_display:
        from liveness.live.window import check_screen

        check_screen()
    model = find_model(arguments.model, arguments.le)
    if arguments.output is not None:
        inputs = [file, arguments.known, *model.files]
        check_output_files([arguments.output], inputs=filter(None, inputs))
    if arguments.snapshot is not None:
        make_output_folder(arguments.snapshot)


def _load_judge(
    arguments: argparse.Namespace,
) -> tuple["Judge", "LivenessClassifier"]:
    """What turns a frame into verdicts, and the model behind it."""
    from liveness.faces.detector import FaceDetector
    from liveness.live.tracks import FaceTracks
    from liveness.model.classifier import LivenessClassifier
    from liveness.people.checks import PersonChecks, load_identifier

    identifier = load_identifier(arguments.known, arguments.tolerance)
    checks = None
    if identifier or arguments.challenge:
        checks = PersonChecks(
            identifier, name_fakes=arguments.name_fakes, challenge=arguments.challenge
        )
    detector = FaceDetector(arguments.detector, confidence=arguments.confidence)
    classifier = LivenessClassifier.load(
        arguments.model, arguments.le, threshold=arguments.threshold
    )
    logger.info("%s", classifier.description)
    tracks = FaceTracks(
        detector, classifier, checks=checks, upside_down=detector.are_upside_down
    )
    return lambda frame: tracks.update(frame.image, frame.time_s), classifier


@contextmanager
def _open_outputs(
    arguments: argparse.Namespace,
    source: "FrameSource",
    title: str,
    first_decision: list["FaceVerdict"],
) -> Iterator[list["Output"]]:
    """The outputs that were asked for, finished and released at the end."""
    from liveness.live.lines import Decisions, EventLines, FrameLines, save_snapshot

    outputs: list[Output] = []
    with ExitStack() as stack:
        if arguments.json_frames:
            outputs.append(FrameLines(sys.stdout))
        else:
            outputs.append(EventLines(sys.stdout, as_json=arguments.json))
        if arguments.snapshot is not None:
            outputs.append(Decisions(partial(save_snapshot, arguments.snapshot)))
        if arguments.output is not None:
            from liveness.live.recorder import VideoRecorder

            recorder = VideoRecorder(
                arguments.output, fps=source.fps, is_live=source.is_live
            )
            stack.callback(recorder.close)
            outputs.append(recorder)
        if not arguments.no_display:
            import cv2

            from liveness.live.window import Window

            window = Window(title, cv2, is_live=source.is_live)
            stack.callback(window.close)
            outputs.append(window)
        if arguments.once:  # last, so that the others have the decisive picture

            def decide(_: "View", face: "FaceVerdict") -> bool:
                first_decision.append(face)
                return True

            outputs.append(Decisions(decide))
        yield outputs


def _log_summary(summary: "LiveSummary") -> None:
    logger.info(
        "%d frames of %.1f s, %d with a face; judged %.0f frames per second",
        summary.frames,
        summary.seconds,
        summary.frames_with_faces,
        summary.fps,
    )
