"""Make the example pictures and videos from two public-domain portraits.

    python -m tools.make_examples -o .

For developers: the results are in the repository. The portraits ship inside
matplotlib (Grace Hopper, US Navy) and scikit-image (Eileen Collins, NASA). The
"real" examples move a camera over a portrait in changing light; the "fake" ones
show it on a simulated phone or print. They show how the workflow runs, not how
real attacks look. The same seed gives the same pictures; the bytes may differ
between OpenCV versions.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import make_parser, positive_float
from liveness.cli.run import run
from liveness.constants import ROOT

if TYPE_CHECKING:
    import numpy as np

WIDTH_PX, HEIGHT_PX = 640, 480  # what most webcams give first
FPS = 16.0  # keeps each video near 1 MB
CODEC = "mp4v"  # MPEG-4 part 2: OpenCV's wheels write it everywhere, unlike H.264
JPEG_QUALITY = 85
# Faces in the portraits, as the face detector gives them.
HOPPER_BOX = (183, 123, 350, 330)
COLLINS_BOX = (179, 58, 272, 177)


@dataclass(frozen=True)
class Portrait:
    """A picture of one person; image is (H, W, 3) uint8 BGR."""

    image: "np.ndarray"
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Shot:
    """How one example is filmed: light and framing; all random parts from seed."""

    seed: int
    face_px: float  # longer side of the face in the picture
    centre: tuple[float, float] = (320.0, 225.0)  # of the face, pixels
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gain of B, G, R


def build_parser():
    parser = make_parser(__doc__)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="folder that gets images/ and videos/",
    )
    parser.add_argument(
        "--seconds",
        type=positive_float,
        default=7.0,
        metavar="S",
        help="length of each video",
    )
    return parser


def make_examples(output: Path, *, seconds: float) -> list[Path]:
    """Write all examples below a folder and return their paths.

    Raises:
        OutputError: If a video cannot be written.
        OSError: If a folder or picture cannot be written.
    """
    hopper, collins = load_portraits()
    reals = [
        (hopper, Shot(11, 235)),
        (collins, Shot(12, 190, (310, 178))),
        (hopper, Shot(13, 225, (330, 240), (0.62, 0.7, 0.82))),
        (collins, Shot(14, 165, (350, 148), (1.18, 1.02, 0.9))),
    ]
    fakes = [
        (hopper, "screen", Shot(21, 170)),
        (hopper, "print", Shot(22, 190, (300, 230))),
        (collins, "screen", Shot(23, 160, (340, 215))),
        (collins, "print", Shot(24, 175, (330, 225), (0.85, 0.92, 1.0))),
    ]
    written = []
    for number, (portrait, shot) in enumerate(reals, start=1):
        frame = RealCamera(portrait, shot).frame(0.0)
        written.append(_save(output / "images" / "reals" / f"{number}.jpg", frame))
    for number, (portrait, kind, shot) in enumerate(fakes, start=1):
        frame = AttackCamera(portrait, kind, shot).frame(0.0)
        written.append(_save(output / "images" / "fakes" / f"{number}.jpg", frame))
    cameras = {
        "real_1.mp4": RealCamera(hopper, Shot(31, 230)),
        "fake_1.mp4": AttackCamera(collins, "screen", Shot(36, 165, (325, 215))),
    }
    for name, camera in cameras.items():
        path = output / "videos" / name
        _film(path, camera, round(seconds * FPS))
        written.append(path)
    return written


def load_portraits() -> tuple[Portrait, Portrait]:
    """Grace Hopper and Eileen Collins, from the installed packages."""
    import matplotlib
    import skimage.data

    from liveness.io.images import read_image

    samples = Path(matplotlib.get_data_path()) / "sample_data"
    collins_rgb = skimage.data.astronaut()
    return (
        Portrait(read_image(samples / "grace_hopper.jpg"), HOPPER_BOX),
        Portrait(collins_rgb[..., ::-1].copy(), COLLINS_BOX),
    )


class RealCamera:
    """A camera in a hand that films a person."""

    def __init__(self, portrait: Portrait, shot: Shot):
        import numpy as np

        self._portrait, self._shot = portrait, shot
        self._rng = np.random.default_rng(shot.seed)
        self._sway = Sway(self._rng)

    def frame(self, time_s: float) -> "np.ndarray":
        """(480, 640, 3) uint8 BGR at a time; call with growing times."""
        import cv2

        x_min, y_min, x_max, y_max = self._portrait.box
        sway = self._sway.at(time_s)
        zoom = self._shot.face_px / (y_max - y_min) * (1 + 0.05 * sway[3])
        middle = ((x_min + x_max) / 2, (y_min + y_max) / 2)
        matrix = cv2.getRotationMatrix2D(middle, 2.5 * sway[2], zoom)
        matrix[0, 2] += self._shot.centre[0] - middle[0] + 14 * sway[0]
        matrix[1, 2] += self._shot.centre[1] - middle[1] + 9 * sway[1]
        size_wh = (WIDTH_PX, HEIGHT_PX)
        # Where the portrait ends its mirror image goes on, as a wall would.
        seen = cv2.warpAffine(
            self._portrait.image,
            matrix,
            size_wh,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        return _expose(seen, self._shot, sway, self._rng)


class AttackCamera:
    """A fixed camera in front of which a hand holds a phone or a print."""

    def __init__(self, portrait: Portrait, kind: str, shot: Shot):
        import numpy as np

        from liveness.simulation.panels import make_panel

        self._shot = shot
        self._rng = np.random.default_rng(shot.seed)
        self._room = draw_room(self._rng)
        self._panel = make_panel(
            portrait.image, portrait.box, kind, shot.face_px, self._rng
        )
        self._tilt = self._rng.uniform(-0.04, 0.04, (4, 2))
        self._sway = Sway(self._rng)

    def frame(self, time_s: float) -> "np.ndarray":
        """(480, 640, 3) uint8 BGR at a time; call with growing times."""
        from liveness.simulation.composition import paste_panel, placement

        sway = self._sway.at(time_s)
        centre = (
            self._shot.centre[0] + 12 * sway[0],
            self._shot.centre[1] + 8 * sway[1],
        )
        matrix = placement(
            self._panel,
            centre,
            turn_deg=3 * sway[2],
            tilt=self._tilt * (1 + 0.5 * sway[4]),
            zoom=1 + 0.05 * sway[3],
        )
        seen, _ = paste_panel(self._room, self._panel, matrix)
        return _expose(seen, self._shot, sway, self._rng)


class Sway:
    """Five smooth movements of a hand, each about -1 to 1."""

    def __init__(self, rng: "np.random.Generator"):
        self._hz = rng.uniform([[0.1], [0.5]], [[0.25], [1.1]], (2, 5))
        self._start = rng.uniform(0, 6.28, (2, 5))

    def at(self, time_s: float) -> "np.ndarray":
        """(5,) float64: right, down, turn, closer, light or tilt."""
        import numpy as np

        waves = np.sin(6.28 * self._hz * time_s + self._start)
        return 0.8 * waves[0] + 0.2 * waves[1]


def draw_room(rng: "np.random.Generator") -> "np.ndarray":
    """Return a wall, a shelf and a window out of focus, (480, 640, 3) uint8 BGR."""
    import cv2
    import numpy as np

    wall = rng.uniform(90, 170) * np.array([0.9, 0.97, 1.0])
    room = np.tile(wall, (HEIGHT_PX, WIDTH_PX, 1))
    room *= np.linspace(0.75, 1.15, WIDTH_PX)[None, :, None]
    window_x = int(rng.integers(380, 520))
    cv2.rectangle(room, (window_x, 30), (window_x + 110, 210), (235, 225, 215), -1)
    cv2.line(room, (window_x + 55, 30), (window_x + 55, 210), (120, 130, 140), 8)
    for x in range(20, 240, 22):  # books
        height = int(rng.integers(50, 90))
        colour = rng.uniform(30, 150, 3).tolist()
        cv2.rectangle(room, (x, 160 - height), (x + 20, 160), colour, -1)
    cv2.rectangle(room, (0, 160), (260, 172), (50, 75, 105), -1)
    cv2.rectangle(room, (0, 400), (WIDTH_PX, HEIGHT_PX), (60, 85, 115), -1)  # desk
    soft = cv2.GaussianBlur(room, (0, 0), 4)
    return np.clip(soft, 0, 255).astype(np.uint8)


def _expose(image, shot: Shot, sway, rng) -> "np.ndarray":
    """Changing light, sensor noise and a little softness over a frame."""
    import cv2
    import numpy as np

    gain = np.array(shot.light) * (1 + 0.12 * sway[4])
    from_side = 1 + 0.12 * sway[0] * np.linspace(-1, 1, WIDTH_PX)[None, :, None]
    # Fine noise would cost most of the bits of a video.
    noise = cv2.GaussianBlur(rng.standard_normal((HEIGHT_PX, WIDTH_PX)), (0, 0), 1.2)
    lit = cv2.GaussianBlur(image, (0, 0), 0.8) * gain * from_side
    return np.clip(lit + 2.5 * noise[..., None], 0, 255).astype(np.uint8)


def _save(path: Path, image) -> Path:
    import cv2

    from liveness.io.files import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    write_atomically(path, data.tobytes())
    return path


def _film(path: Path, camera: RealCamera | AttackCamera, frames: int) -> None:
    import cv2

    from liveness.errors import OutputError

    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter_fourcc(*CODEC)
    writer = cv2.VideoWriter(str(path), code, FPS, (WIDTH_PX, HEIGHT_PX))
    if not writer.isOpened():
        raise OutputError(f"cannot write video '{path}': OpenCV lacks {CODEC}")
    try:
        for number in range(frames):
            writer.write(camera.frame(number / FPS))
    finally:
        writer.release()


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    for path in make_examples(arguments.output, seconds=arguments.seconds):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
