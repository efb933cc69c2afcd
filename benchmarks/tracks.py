"""What a verdict on a track gains over one on each frame.

python -m benchmarks.tracks --real me.mp4 --fake replay.mp4

Use clips of people and cameras that the model was not trained on. Errors are shares
of frames: of a single frame's best face at the model's threshold, and of the first
track's verdict, where frames without a verdict are told apart.
"""

import argparse
import itertools
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from liveness.cli.arguments import add_model_arguments, make_parser
from liveness.cli.run import run
from liveness.constants import EXIT_OK, ROOT
from liveness.processes import set_up_logging


@dataclass(frozen=True)
class ClipFigures:
    """How one clip was judged.

    Attributes:
        frames: With a face.
        frame_errors: Share of frames whose single score is on the wrong side.
        frame_changes: How often that label changed, per minute.
        errors: Share of frames with a wrong verdict of the track.
        checking: Share of frames without a verdict.
        changes: How often the verdict turned from real to fake or back, per minute.
        wait_s: From the first face to the first verdict; None if none came.
    """

    clip: str
    frames: int
    frame_errors: float
    frame_changes: float
    errors: float
    checking: float
    changes: float
    wait_s: float | None


def build_parser() -> argparse.ArgumentParser:
    """Arguments of this benchmark."""
    parser = make_parser(__doc__)
    for label in ("real", "fake"):
        parser.add_argument(
            f"--{label}", type=Path, nargs="+", required=True, metavar="CLIP"
        )
    add_model_arguments(parser)
    return parser


def measure(clip: Path, truth: str, detector, classifier) -> ClipFigures | None:
    """Judge every frame of a clip in both ways; None if it shows no face."""
    from liveness.live.tracks import FaceTracks
    from liveness.model.verdicts import CHECKING
    from liveness.sources.frames import VideoFile

    tracks = FaceTracks(detector, classifier)
    single, combined, times = [], [], []
    with VideoFile(clip) as video:
        for frame in iter(video.read, None):
            verdicts = tracks.update(frame.image, frame.time_s)
            faces = detector.detect(frame.image)[:1]
            if not faces:
                continue
            (prediction,) = classifier.classify(frame.image, [faces[0].box])
            single.append(prediction.label)
            combined.append(verdicts[0].label if verdicts else CHECKING)
            times.append(frame.time_s)
    if not times:
        return None
    minutes = max(times[-1] - times[0], 1.0) / 60
    decided = [label for label in combined if label != CHECKING]
    waits = [
        time_s - times[0]
        for time_s, label in zip(times, combined, strict=True)
        if label != CHECKING
    ]
    return ClipFigures(
        clip.name,
        len(times),
        sum(label != truth for label in single) / len(single),
        _changes(single) / minutes,
        sum(label != truth for label in decided) / len(combined),
        1 - len(decided) / len(combined),
        _changes(decided) / minutes,
        waits[0] if waits else None,
    )


def main(argv: list[str] | None = None) -> int:
    """Measure all clips and print one line for each, and the means."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.faces.detector import FaceDetector
    from liveness.model.classifier import LivenessClassifier

    detector = FaceDetector(ROOT / "face_detector")
    classifier = LivenessClassifier.load(
        arguments.model, arguments.le, threshold=arguments.threshold
    )
    print(
        f"{'clip':<20}{'frames':>7}{'frame errors':>14}{'changes/min':>13}"
        f"{'track errors':>14}{'checking':>10}{'changes/min':>13}{'verdict after':>15}"
    )
    found = []
    for truth in ("real", "fake"):
        for clip in getattr(arguments, truth):
            figures = measure(clip, truth, detector, classifier)
            if figures is None:
                print(f"{clip.name:<20}no face")
                continue
            found.append(figures)
            _print(figures)
    if found:
        waits = [one.wait_s for one in found if one.wait_s is not None]
        names = ("frame_errors", "frame_changes", "errors", "checking", "changes")
        means = {
            name: statistics.mean(getattr(one, name) for one in found) for name in names
        }
        wait_s = statistics.median(waits) if waits else None
        frames = sum(one.frames for one in found)
        _print(ClipFigures("mean (wait: median)", frames, **means, wait_s=wait_s))
    return EXIT_OK


def _changes(labels: list[str]) -> int:
    return sum(one != other for one, other in itertools.pairwise(labels))


def _print(one: ClipFigures) -> None:
    wait = "never" if one.wait_s is None else f"{one.wait_s:.2f} s"
    print(
        f"{one.clip:<20}{one.frames:>7}{one.frame_errors:>14.1%}"
        f"{one.frame_changes:>13.1f}{one.errors:>14.1%}{one.checking:>10.1%}"
        f"{one.changes:>13.1f}{wait:>15}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(run(main))
