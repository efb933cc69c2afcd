"""Fixtures that several tests share: a small dataset and a model trained on it."""

import csv
import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from liveness.data.crops_table import COLUMNS
from liveness.faces.crops import CROP_SCALE, crop_face
from liveness.simulation.recapture import KINDS, simulate
from tools.make_examples import load_portraits

SIDE_PX = 96  # of the crops; small, so that training is quick
CROPS_PER_SOURCE = 4


def portrait_crops(count: int, *, seed: int) -> list[np.ndarray]:
    """Real faces: the portraits by turns, moved and lit a little differently."""
    rng = np.random.default_rng(seed)
    crops = []
    for number in range(count):
        portrait = load_portraits()[number % 2]
        left, top = rng.integers(-12, 12, 2)
        x_min, y_min, x_max, y_max = portrait.box
        box = (x_min + left, y_min + top, x_max + left, y_max + top)
        crop = cv2.resize(crop_face(portrait.image, box), (SIDE_PX, SIDE_PX))
        crops.append(cv2.convertScaleAbs(crop, alpha=rng.uniform(0.8, 1.1)))
    return crops


def write_crops(folder: Path, crops: list[np.ndarray], *, source: str) -> None:
    """Add crops of one source to a label folder, as the collectors do."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "crops.csv"
    is_new = not table.exists()
    first = len(list(folder.glob("*.png"))) + 1
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        for number, crop in enumerate(crops, first):
            cv2.imwrite(str(folder / f"{number}.png"), crop)
            frame = 16 * (number - first + 1)
            row = (f"{number}.png", source, frame, f"{frame / 30:.3f}")
            writer.writerow((*row, 10, 10, 45, 45, "0.9900", CROP_SCALE))


def write_dataset(folder: Path, *, seed: int = 0, sources: int = 3) -> Path:
    """real/ and fake/<kind>/ with several sources each."""
    rng = np.random.default_rng(seed)
    for number in range(sources):
        crops = portrait_crops(CROPS_PER_SOURCE, seed=seed + number)
        film = seed + number
        write_crops(folder / "real", crops, source=f"me_{number}.mp4#{film:010x}00")
        for code, kind in enumerate(KINDS, 1):
            fakes = [simulate(crop, kind, rng) for crop in crops[:2]]
            name = f"{kind}_{number}.mp4#{film:010x}{code:02x}"
            write_crops(folder / "fake" / kind, fakes, source=name)
    return folder


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory) -> Path:
    """12 real and 12 fake crops of 3 sources a kind; not to be changed."""
    return write_dataset(tmp_path_factory.mktemp("data") / "dataset")


@pytest.fixture
def sites(tmp_path):
    """Four sites with both classes; as many as two folds need and no more."""
    for number, site in enumerate("abcd"):
        write_dataset(tmp_path / "data" / site, seed=10 * number, sources=2)
    return tmp_path / "data"


def make_training_short(patch: pytest.MonkeyPatch) -> None:
    """Epochs of 32 pictures and a network of two thin blocks."""
    import liveness.training.fit
    from livenessnet import LivenessNet

    small = functools.partial(LivenessNet.build, filters=(4, 8))
    patch.setattr(liveness.training.fit, "EPOCH_SAMPLES", (32, 32))
    patch.setattr(LivenessNet, "build", staticmethod(small))


@pytest.fixture
def short_training(monkeypatch) -> None:
    """See ``make_training_short``."""
    make_training_short(monkeypatch)


@pytest.fixture(scope="session")
def trained(small_dataset, tmp_path_factory) -> Path:
    """Folder of the files that train_model.py wrote for ``small_dataset``."""
    import train_model

    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        make_training_short(patch)
        patch.chdir(folder)
        options = ["-d", small_dataset, "-m", "liveness.h5", "-l", "le.pickle"]
        options += ["--epochs", "1", "--batch-size", "16"]
        assert train_model.main([str(option) for option in options]) == 0
    return folder


@pytest.fixture
def use_classifier(monkeypatch):
    """Gives the apps a classifier that scores faces by a function of image and box."""
    from apps import RuleClassifier
    from liveness.model.classifier import LivenessClassifier

    def use(rule) -> None:
        monkeypatch.setattr(
            LivenessClassifier, "load", lambda *_, **__: RuleClassifier(rule)
        )

    return use
