"""One run of a live loop in a process of its own; prints its rate as JSON.

python -m benchmarks.live_loop ours --faces 1 -m liveness.h5 -l label_encoder.pickle
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.inputs import CODEC, frames_with_faces

CAMERA_FPS = 60.0
USUAL_FACES = 45  # a frame with one takes about 70 ms
OUR_FRAMES = 600


class Camera:
    """Pictures from memory that carry the times of a 60 fps camera."""

    is_live = False
    fps = CAMERA_FPS
    state = "file"
    name = "memory"

    def __init__(self, pictures) -> None:
        from liveness.sources.frames import Frame

        self._frames = iter(
            [Frame(x, n, n / CAMERA_FPS, 0.0) for n, x in enumerate(pictures)]
        )

    def read(self):
        """The next frame, None at the end."""
        return next(self._frames, None)


def our_rate(pictures, model: Path, encoder: Path, output: Path | None) -> dict:
    """Rate of ``run_live`` with the apps' own parts, and the mean cost of each."""
    from liveness.constants import ROOT
    from liveness.faces.detector import FaceDetector
    from liveness.live.loop import run_live
    from liveness.live.recorder import VideoRecorder
    from liveness.live.tracks import FaceTracks
    from liveness.model.classifier import LivenessClassifier

    detector = FaceDetector(ROOT / "face_detector")
    classifier = LivenessClassifier.load(model, encoder)
    spent = {"detector": 0.0, "liveness": 0.0, "drawing": 0.0}
    timed(detector, "detect", spent, "detector")
    timed(classifier, "classify", spent, "liveness")
    tracks = FaceTracks(detector, classifier, upside_down=detector.are_upside_down)

    def judge(frame):
        return tracks.update(frame.image, frame.time_s)

    def show(view) -> bool:
        start = time.perf_counter()
        _ = view.annotated
        spent["drawing"] += time.perf_counter() - start
        return False

    outputs = [show]
    if output is not None:
        outputs.append(VideoRecorder(output, fps=CAMERA_FPS, is_live=False))
    detector.detect(pictures[0])  # as the usual way: the first run is not timed
    start = time.perf_counter()
    run_live(Camera(pictures), judge, outputs, threshold=classifier.threshold)
    seconds = time.perf_counter() - start
    if output is not None:
        outputs[-1].close()
    per_frame = {
        f"{name}_ms": 1000 * value / len(pictures) for name, value in spent.items()
    }
    return {"fps": len(pictures) / seconds, **per_frame}


def timed(thing, method: str, spent: dict[str, float], name: str) -> None:
    """Add the time of each call of a method to ``spent[name]``."""
    call = getattr(thing, method)

    def wrapper(*arguments):
        start = time.perf_counter()
        result = call(*arguments)
        spent[name] += time.perf_counter() - start
        return result

    setattr(thing, method, wrapper)


def usual_rate(pictures, model: Path, encoder: Path, output: Path | None) -> dict:
    """Rate of the usual loop."""
    import cv2

    from benchmarks.usual_live import frames_per_second

    if output is None:
        return {"fps": frames_per_second(pictures, model, encoder, lambda frame: None)}
    fourcc = cv2.VideoWriter_fourcc(*CODEC)
    writer = cv2.VideoWriter(str(output), fourcc, CAMERA_FPS, (640, 480))
    rate = frames_per_second(pictures, model, encoder, writer.write)
    writer.release()
    return {"fps": rate}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("usual", "ours"))
    parser.add_argument("--faces", type=int, default=1)
    parser.add_argument("--to-file", action="store_true")
    parser.add_argument("-m", "--model", type=Path)
    parser.add_argument("-l", "--le", type=Path)
    arguments = parser.parse_args()
    measure, count = our_rate, OUR_FRAMES
    if arguments.way == "usual":
        measure, count = usual_rate, USUAL_FACES // arguments.faces
    pictures = frames_with_faces(arguments.faces, count=count)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seen.mp4" if arguments.to_file else None
        print(json.dumps(measure(pictures, arguments.model, arguments.le, output)))


if __name__ == "__main__":
    main()
