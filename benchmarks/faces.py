"""How many faces the detector reports where there is one, by how near it is.

python -m benchmarks.faces

The portraits of images/reals are framed anew: five shapes of frame, four sizes of the
face, two people, six places each. Printed is how many framings do not give exactly one
face, by the network as it is published and by FaceDetector, and what that costs.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.timing import ROOT
from benchmarks.usual_faces import find_faces, load_detector
from liveness.cli.arguments import make_parser
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.faces.boxes import Box
from liveness.faces.detector import DEFAULT_FOLDER, FaceDetector
from liveness.io.images import read_image

PORTRAITS = (  # and the face in each, as the detector gives it
    (ROOT / "images" / "reals" / "1.jpg", (224, 103, 423, 340)),
    (ROOT / "images" / "reals" / "2.jpg", (231, 76, 390, 275)),
)
SHAPES_WH = {
    "9:16": (368, 656),
    "3:4": (480, 640),
    "1:1": (480, 480),
    "4:3": (640, 480),
    "16:9": (640, 360),
}
HEIGHTS = (0.35, 0.5, 0.65, 0.8)  # of the face over that of the frame
PLACES = (  # of the face's centre, as shares of width and height
    *((0.5, 0.5), (0.42, 0.45), (0.58, 0.45)),
    *((0.5, 0.4), (0.45, 0.58), (0.56, 0.55)),
)
MAX_WIDTH = 1.15  # of the face over that of the frame; a wider one is left out


@dataclass(frozen=True)
class Framing:
    """One person in a frame: (H, W, 3) uint8 BGR, and the face's box in it."""

    image: np.ndarray
    box: Box


def framings(shape: str, height: float) -> Iterator[Framing]:
    """Both people at every place, in one shape of frame and size of the face."""
    width_px, height_px = SHAPES_WH[shape]
    for path, (x_min, y_min, x_max, y_max) in PORTRAITS:
        portrait = read_image(path)
        zoom = height * height_px / (y_max - y_min)
        if zoom * (x_max - x_min) > MAX_WIDTH * width_px:
            continue
        for x, y in PLACES:
            left = x * width_px - zoom * (x_min + x_max) / 2
            top = y * height_px - zoom * (y_min + y_max) / 2
            image = cv2.warpAffine(
                portrait,
                np.array([[zoom, 0, left], [0, zoom, top]]),
                (width_px, height_px),
                flags=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            corners = np.array([x_min, y_min, x_max, y_max]) * zoom
            box = np.rint(corners + np.array([left, top, left, top])).astype(int)
            yield Framing(image, tuple(box.tolist()))


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    make_parser(__doc__).parse_args(argv)
    detector = FaceDetector(DEFAULT_FOLDER)

    network = load_detector(DEFAULT_FOLDER)

    def as_published(image: np.ndarray) -> list:
        return find_faces(network, image, detector.confidence)

    print(f"{'frame':<7}{'face':>6}{'framings':>10}{'published':>11}{'now':>6}")
    times_ms = {as_published: [], detector.detect: []}
    for shape in SHAPES_WH:
        for height in HEIGHTS:
            images = [framing.image for framing in framings(shape, height)]
            wrong = [
                _count_wrong(look, images, times) for look, times in times_ms.items()
            ]
            if images:
                print(
                    f"{shape:<7}{height:>6}{len(images):>10}{wrong[0]:>11}{wrong[1]:>6}"
                )
    before_ms, now_ms = (np.median(times) for times in times_ms.values())
    print(
        f"median over all framings: {before_ms:.1f} ms as published, {now_ms:.1f} now"
    )
    return EXIT_OK


def _count_wrong(
    look: Callable[[np.ndarray], list], images: list[np.ndarray], times_ms: list[float]
) -> int:
    """Images in which another number of faces than one is seen."""
    wrong = 0
    for image in images:
        start = time.perf_counter()
        faces = look(image)
        times_ms.append(1000 * (time.perf_counter() - start))
        wrong += len(faces) != 1
    return wrong


if __name__ == "__main__":
    sys.exit(run(main))
