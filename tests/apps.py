"""Stand-ins and a tiny saved model for the tests of the apps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from liveness.faces.detector import Detection
from liveness.model.classifier import Prediction
from liveness.sources.frames import Frame, Waiting

ROOT = Path(__file__).resolve().parent.parent


def save_tiny_model(folder: Path, *, threshold: float = 0.5) -> list[str]:
    """Write an untrained model; returns the options that name it."""
    import keras

    from liveness.model.card import ModelCard
    from liveness.model.saving import save_trained_model

    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    card = ModelCard(16, (1.0,), 2.7, threshold=threshold)
    files = folder / "liveness.h5", folder / "label_encoder.pickle"
    save_trained_model(model, *files, card)
    return ["-m", str(files[0]), "-l", str(files[1])]


@dataclass
class ScriptedDetector:
    """Finds the boxes it is told to find."""

    boxes: list = field(default_factory=list)
    calls: int = 0

    def detect(self, image):
        self.calls += 1
        return [Detection(box, 0.9 - 0.1 * n) for n, box in enumerate(self.boxes)]


@dataclass
class ScriptedClassifier:
    """Gives every face the score of the moment."""

    score: float = 0.9
    threshold: float = 0.5
    batches: list = field(default_factory=list)

    def classify(self, image, boxes):
        self.batches.append(len(boxes))
        label = "real" if self.score >= self.threshold else "fake"
        return [Prediction(label, self.score) for _ in boxes]


@dataclass
class ScriptedSource:
    """Gives frames and states from a list, then the end."""

    items: list
    is_live: bool = False
    name: str = "script"
    fps: float | None = 10.0
    state: str = "live"

    def read(self):
        return self.items.pop(0) if self.items else None


def frames(count: int, *, fps: float = 10.0, shape=(240, 320, 3)) -> list:
    """Grey frames, one after another."""
    image = np.full(shape, 90, np.uint8)
    return [Frame(image, n, n / fps, 0.0) for n in range(count)]


def waiting(since_s: float) -> Waiting:
    """The state of a source that has lost its camera."""
    return Waiting(f"reconnecting: no picture for {since_s:.0f} s", since_s)


@dataclass
class RuleClassifier:
    """Scores each face by a function of the image and its box; real from 0.5."""

    rule: Callable
    threshold: float = 0.5
    description: str = "stand-in"

    def classify(self, image, boxes):
        scores = [self.rule(image, box) for box in boxes]
        return [Prediction("real" if s >= 0.5 else "fake", s) for s in scores]
