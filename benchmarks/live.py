"""Rows: the live loop at 640x480, with one face and with five.

python -m benchmarks.live
"""

import json
import statistics
from pathlib import Path

from benchmarks.inputs import VIDEOS, model_options
from benchmarks.live_loop import CAMERA_FPS
from benchmarks.timing import (
    Aim,
    Row,
    alternate,
    main,
    module,
    process_figure,
    ratio,
    run_process,
)


def measure(repetitions: int) -> list[Row]:
    """Three rows: one face to a null display, the same to a file, five faces."""
    with model_options() as options:
        runs = {
            "usual": ("usual",),
            "ours": ("ours",),
            "usual, file": ("usual", "--to-file"),
            "ours, file": ("ours", "--to-file"),
            "usual, five": ("usual", "--faces", "5"),
            "ours, five": ("ours", "--faces", "5"),
        }
        commands = {
            name: module("live_loop", *run, *options) for name, run in runs.items()
        }
        cases = {
            name: lambda command=command: process_figure(command, "fps")
            for name, command in commands.items()
        }
        fps = alternate(cases, repetitions, warm_up=False)
        parts = {
            name: _parts(commands[name])
            for name in ("ours", "ours, file", "ours, five")
        }
        agreement = _agreement(options)
    return [
        _row("live loop, 640x480, one face, null display", fps, "", parts, [agreement]),
        _row("live loop, 640x480, one face, to file", fps, ", file", parts, []),
        _five_faces(fps, parts),
    ]


def _row(what: str, fps, suffix: str, parts, notes: list[str]) -> Row:
    usual, ours = fps["usual" + suffix], fps["ours" + suffix]
    aims = [
        Aim("times faster", ratio(ours, usual), 4, True),
        Aim("fps", statistics.median(ours), CAMERA_FPS, True),
    ]
    return Row(what, "fps", usual, ours, [], aims, [parts["ours" + suffix], *notes])


def _five_faces(fps, parts) -> Row:
    usual, ours = fps["usual, five"], fps["ours, five"]
    aims = [Aim("of the time of one face", ratio(fps["ours"], ours), 1.3)]
    what = "live loop, 640x480, five faces, null display"
    return Row(what, "fps", usual, ours, [], aims, [parts["ours, five"]])


def _parts(command) -> str:
    """What a turn of our loop is made of."""
    found = json.loads(run_process(command).splitlines()[-1])
    turn_ms = 1000 / found["fps"]
    named = ("detector", "liveness", "drawing")
    rest_ms = turn_ms - sum(found[f"{name}_ms"] for name in named)
    parts = [f"{name} {found[f'{name}_ms']:.2f} ms" for name in named]
    return (
        f"A turn of our loop: {turn_ms:.2f} ms in the mean: {', '.join(parts)}, "
        f"following, reading and writing {rest_ms:.2f} ms."
    )


def _agreement(options: tuple[str, ...]) -> str:
    """How the verdicts differ from those with the detector on every frame."""
    from liveness.faces.boxes import intersection_over_union
    from liveness.live.tracks import TrackRules

    always = TrackRules(detect_every_s=0, score_every_s=0)
    overlaps, differences, same = [], [], []
    for video in VIDEOS:
        model, encoder = Path(options[1]), Path(options[3])
        for one, other in zip(
            _verdicts(video, model, encoder, TrackRules()),
            _verdicts(video, model, encoder, always),
            strict=True,
        ):
            if one is None or other is None:
                same.append(one is other)
                continue
            overlaps.append(intersection_over_union(one.box, other.box))
            same.append(one.label == other.label)
            if one.score is not None and other.score is not None:
                differences.append(abs(one.score - other.score))
    return (
        "Beside the detector and the network on every frame, on the example videos: "
        f"the same label on {sum(same) / len(same):.1%} of {len(same)} frames, mean "
        f"overlap of the boxes {statistics.mean(overlaps):.3f} (least "
        f"{min(overlaps):.2f}), mean difference of the scores "
        f"{statistics.mean(differences):.3f} (largest {max(differences):.3f})."
    )


def _verdicts(video, model, encoder, rules):
    """The first verdict on each frame of a video, None where there is none."""
    from liveness.constants import ROOT
    from liveness.faces.detector import FaceDetector
    from liveness.live.tracks import FaceTracks
    from liveness.model.classifier import LivenessClassifier
    from liveness.sources.frames import VideoFile

    tracks = FaceTracks(
        FaceDetector(ROOT / "face_detector"),
        LivenessClassifier.load(model, encoder),
        rules=rules,
    )
    with VideoFile(video) as source:
        while (frame := source.read()) is not None:
            yield next(iter(tracks.update(frame.image, frame.time_s)), None)


if __name__ == "__main__":
    main(measure, repetitions=3)
