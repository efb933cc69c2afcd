"""What is measured on: the examples, and larger inputs drawn from them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import ROOT
from liveness.constants import ROOT as SCRIPTS
from liveness.data.dataset import Sample
from liveness.faces.crops import CROP_SCALE
from liveness.model.card import ModelCard
from liveness.model.labels import LABELS
from liveness.model.paths import MODEL_NAME
from liveness.model.saving import save_trained_model

PICTURE = ROOT / "images" / "reals" / "1.jpg"
VIDEOS = (ROOT / "videos" / "real_1.mp4", ROOT / "videos" / "fake_1.mp4")
FULL_HD_WH = (1920, 1080)
FPS = 30.0
CODEC = "mp4v"  # MPEG-4 part 2, the best one that OpenCV's wheels write everywhere
NOISE = 3.0  # standard deviation of a camera's noise, of 255
CROP_PX = 128  # side of a synthetic crop
FACE_GRID = ((220, 20), (7, 20), (433, 20), (113, 260), (327, 260))  # left, top


@contextmanager
def model_options() -> Iterator[tuple[str, ...]]:
    """``-m`` and ``-l`` of the model that ships; of an untrained one without it."""
    shipped = SCRIPTS / "models" / MODEL_NAME
    if shipped.is_file():
        yield "-m", str(shipped), "-l", str(shipped.with_name("label_encoder.pickle"))
        return
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / MODEL_NAME, Path(folder) / "label_encoder.pickle"
        _save_untrained(*files)
        yield "-m", str(files[0]), "-l", str(files[1])


def write_full_hd_video(path: Path, *, frames: int, seed: int = 0) -> None:
    """Write a 1080p video: a moving camera before a portrait, with its noise.

    Args:
        path: File ending in .mp4.
        frames: How many.
        seed: Another seed gives another path of the camera.
    """
    rng = np.random.default_rng(seed)
    wider_wh = (FULL_HD_WH[0] + 128, FULL_HD_WH[1] + 128)
    scene = cv2.resize(cv2.imread(str(PICTURE)), wider_wh)
    noise = rng.normal(0, NOISE, (8, *FULL_HD_WH[::-1], 3)).astype(np.int8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*CODEC), FPS, FULL_HD_WH)
    phases = rng.uniform(0, 2 * np.pi, 2)
    for frame in range(frames):
        x, y = (64 + 60 * np.sin(frame / 40 + phases)).astype(int)
        view = scene[y : y + FULL_HD_WH[1], x : x + FULL_HD_WH[0]]
        grain = noise[rng.integers(len(noise))]
        writer.write(cv2.add(view, grain, dtype=cv2.CV_8U))
    writer.release()


def frames_with_faces(faces: int, *, count: int) -> list[np.ndarray]:
    """640x480 pictures of one face, or of five, that sway a little."""
    portrait = cv2.imread(str(PICTURE))
    face = cv2.resize(portrait[60:420, 140:500], (200, 200))
    pictures = []
    for number in range(count):
        picture = np.full((480, 640, 3), 127, np.uint8)
        sway = round(6 * np.sin(number / 10))
        for left, top in FACE_GRID[:faces]:
            left += sway
            picture[top : top + 200, left : left + 200] = face
        pictures.append(picture)
    return pictures


def write_crops(folder: Path, *, count: int) -> list[Path]:
    """Write different crops of a portrait as PNG; every second one is to be fake."""
    rng = np.random.default_rng(0)
    crop = cv2.resize(cv2.imread(str(PICTURE))[:, 80:560], (CROP_PX, CROP_PX))
    paths = [folder / f"{number}.png" for number in range(count)]
    for path in paths:
        noise = rng.normal(rng.uniform(-20, 20), NOISE, crop.shape)
        picture = np.clip(crop + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(path), picture)
    return paths


def samples_of(paths: Sequence[Path], *, count: int) -> list[Sample]:
    """Training samples, half of them fake; paths are used over and over."""
    return [
        Sample(
            path=paths[number % len(paths)],
            label=LABELS[number % 2],
            attack="" if number % 2 else "print",
            site=".",
            source=f"video {number // 100}",
            frame=number,
            crop_scale=CROP_SCALE,
        )
        for number in range(count)
    ]


def _save_untrained(model_file: Path, encoder_file: Path) -> None:
    """A network of the real size with random weights."""
    from liveness.training.fit import keras
    from liveness.training.recipe import INPUT_SIZE_PX, VIEW_SCALES
    from livenessnet import LivenessNet

    keras.utils.set_random_seed(0)
    side, channels = INPUT_SIZE_PX, 3 * len(VIEW_SCALES)
    card = ModelCard(INPUT_SIZE_PX, VIEW_SCALES, VIEW_SCALES[-1])
    model = LivenessNet.build(side, side, channels, 2)
    save_trained_model(model, model_file, encoder_file, card)
