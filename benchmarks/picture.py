"""Row: liveness_app_from_picture.py on one picture, as a whole process.

python -m benchmarks.picture
"""

import sys

from benchmarks.inputs import PICTURE, model_options
from benchmarks.timing import (
    Aim,
    Row,
    alternate,
    main,
    module,
    process_seconds,
    ratio,
    run_process,
    script,
)

PARTS = """
import time
last = time.perf_counter()
def lap(name):
    global last
    now = time.perf_counter()
    print(f"{name} {1000 * (now - last):.0f} ms", end=", ")
    last = now
import cv2
lap("import cv2")
from pathlib import Path
import sys
from liveness.model.classifier import LivenessClassifier
from liveness.constants import ROOT
from liveness.faces.detector import FaceDetector
from liveness.io.images import read_image
lap("import our modules")
classifier = LivenessClassifier.load(Path(sys.argv[2]), Path(sys.argv[4]))
lap("load the model")
detector = FaceDetector(ROOT / "face_detector")
lap("load the SSD")
image = read_image(Path(sys.argv[5]))
lap("read the picture")
faces = detector.detect_still(image)
lap("find faces")
classifier.classify(image, [face.box for face in faces])
lap("score them")
"""  # one after another, in a process of its own


def measure(repetitions: int) -> list[Row]:
    """The row, with the parts of our process."""
    with model_options() as options:
        picture = ("-i", PICTURE)
        ours = script("liveness_app_from_picture.py", *picture, *options)
        commands = {
            "usual": module("usual_picture", *picture, *options),
            "ours": ours,
            "limit": module("bare_picture", PICTURE),
        }
        cases = {
            name: lambda command=command: process_seconds(command)
            for name, command in commands.items()
        }
        found = alternate(cases, repetitions)
        parts = run_process([sys.executable, "-c", PARTS, *options, PICTURE])
    return [
        Row(
            "liveness_app_from_picture.py -i one.jpg, whole process",
            "s",
            found["usual"],
            found["ours"],
            found["limit"],
            [
                Aim("times faster", ratio(found["usual"], found["ours"]), 20, True),
                Aim("of the bare process", ratio(found["ours"], found["limit"]), 1.4),
            ],
            [f"Parts of our process: {parts.strip().rstrip(',')}."],
        )
    ]


if __name__ == "__main__":
    main(measure, repetitions=5)
