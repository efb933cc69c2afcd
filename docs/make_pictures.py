"""Make the README's pictures again from the examples.

python docs/make_pictures.py

Only the public-domain portraits of the examples are in them. The verdicts are those
of the model in models/, right or wrong.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
TILE_WH = (300, 225)  # pixels of each example
LIVE_FRAMES = (3, 60, 5, 70)  # two of the real video, two of the fake one
LIVE_WH = (480, 360)  # pixels of each
CROP_PX = 200  # side of each crop


def annotated(folder: Path, into: Path, count: int) -> np.ndarray:
    """The first pictures of a folder side by side, with the app's verdicts."""
    pictures = [folder / f"{number}.jpg" for number in range(1, count + 1)]
    app = ROOT / "liveness_app_from_picture.py"
    model = ["-m", ROOT / "models/liveness.h5"]
    model += ["-l", ROOT / "models/label_encoder.pickle"]
    command = [sys.executable, app, "-i", *pictures, *model, "--output", into]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    made = [cv2.imread(str(into / picture.name)) for picture in pictures]
    return np.hstack(
        [cv2.resize(m, TILE_WH, interpolation=cv2.INTER_AREA) for m in made]
    )


def crops() -> np.ndarray:
    """Some crops of the example dataset, as the collectors saved them."""
    paths = [ROOT / "dataset" / name for name in ("real/2.png", "real/9.png")]
    paths += [ROOT / "dataset" / name for name in ("fake/2.png", "fake/8.png")]
    side = (CROP_PX, CROP_PX)
    read = [cv2.imread(str(path)) for path in paths]
    return np.hstack([cv2.resize(c, side, interpolation=cv2.INTER_AREA) for c in read])


def live(folder: Path) -> np.ndarray:
    """Frames of the example videos as the webcam app recorded them."""
    shown = []
    for name, numbers in (("real_1", LIVE_FRAMES[:2]), ("fake_1", LIVE_FRAMES[2:])):
        recorded = folder / f"{name}.mp4"
        app, source = ROOT / "liveness_app.py", ROOT / "videos" / f"{name}.mp4"
        command = [sys.executable, app, "--source", source, "--no-display"]
        command += ["--output", recorded]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        video = cv2.VideoCapture(str(recorded))
        frames = []
        while (read := video.read())[0]:
            frames.append(read[1])
        video.release()
        shown.append(
            np.hstack([cv2.resize(frames[number], LIVE_WH) for number in numbers])
        )
    return np.vstack(shown)


def main() -> int:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    with tempfile.TemporaryDirectory() as folder:
        reals = annotated(ROOT / "images/reals", Path(folder, "reals"), 4)
        fakes = annotated(ROOT / "images/fakes", Path(folder, "fakes"), 4)
        live_view = live(Path(folder))
    cv2.imwrite(str(DOCS / "examples.jpg"), np.vstack([reals, fakes]), quality)
    cv2.imwrite(str(DOCS / "crops.jpg"), crops(), quality)
    cv2.imwrite(str(DOCS / "live.jpg"), live_view, quality)
    return 0


if __name__ == "__main__":
    sys.exit(main())
