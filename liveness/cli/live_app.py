"""Options of both live apps, and the run that follows from them."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import judging_of, positive_float
from liveness.constants import (
    CHALLENGES,
    DEFAULT_TIMEOUT_S,
    EXIT_FAILED,
    EXIT_FAKE,
    EXIT_OK,
    EXIT_UNDECIDED,
    ONCE_LIMIT_S,
)

if TYPE_CHECKING:
    from liveness.live.loop import LiveSummary
    from liveness.sources.frames import FrameSource

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
        help="print a JSON line when a face's verdict changes, and at least one per "
        "second and face",
    )
    lines.add_argument(
        "--json-frames",
        action="store_true",
        help="print a JSON line per frame, with all of its faces",
    )
    group.add_argument(
        "--snapshot",
        type=Path,
        metavar="DIR",
        help="save the annotated picture of each decision in this folder",
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
        help="end with an error when a camera sends no picture for S seconds",
    )


def add_challenge_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--challenge``."""
    group = parser.add_argument_group(
        "challenge",
        "A photograph cannot do what it is asked. A replay of somebody blinking\n"
        "passes blink; a replay of somebody turning passes 1 time in 8, and may try\n"
        "again; a deepfake passes everything. A challenge adds to the score and\n"
        "replaces nothing. Needs face_recognition.",
    )
    group.add_argument(
        "--challenge",
        choices=CHALLENGES,
        help="movements a face must make before it can be real: two blinks, three "
        "turns to random sides, or three such turns and a blink in random order; "
        "a failed challenge is repeated",
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
    # Loads OpenCV, which --help can do without.
    from liveness.workflow.live import LiveOutputs, judge_live

    result = judge_live(
        open_source,
        judging_of(arguments),
        LiveOutputs(
            lines=sys.stdout,
            as_json=arguments.json,
            each_frame=arguments.json_frames,
            window=None if arguments.no_display else title,
            video=arguments.output,
            snapshots=arguments.snapshot,
        ),
        challenge=arguments.challenge,
        once=arguments.once,
        time_limit_s=arguments.time_limit,
        file=file,
    )
    _log_summary(result.summary)
    if arguments.once:
        codes = {"real": EXIT_OK, "fake": EXIT_FAKE}
        return codes[result.decision.label] if result.decision else EXIT_UNDECIDED
    if not result.is_live and not result.summary.frames_with_faces:
        logger.warning(
            "no face found: a film that is turned, or combed (interlaced without "
            "saying so), has to be mended first; else a lower --confidence finds more"
        )
        return EXIT_FAILED
    return EXIT_OK


def _log_summary(summary: "LiveSummary") -> None:
    logger.info(
        "%d frames of %.1f s, %d with a face; judged %.0f frames per second",
        summary.frames,
        summary.seconds,
        summary.frames_with_faces,
        summary.fps,
    )
