"""One training in a process of its own; prints its rate or memory as JSON.

python -m benchmarks.train_run ours CROPS
"""

import argparse
import json
import logging
import re
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.inputs import samples_of
from liveness.model.keras_files import import_keras

EPOCHS = 3  # the first one, with TensorFlow's preparations, is not timed
STEPS = 20
USUAL_IMAGES = 200  # of an epoch of the usual way
VALIDATION = 64
PER_COPY = 2000  # crops that the usual way's memory is measured with


def our_rate(paths: list[Path], batch_size: int) -> dict[str, float]:
    """Images per second of our training, and pictures opened after epoch 1."""
    from liveness.training.fit import train
    from liveness.training.pixels import load_pixels
    from liveness.training.recipe import TrainingOptions
    from livenessnet import LivenessNet

    options = TrainingOptions(epochs=EPOCHS, batch_size=batch_size)
    training = load_pixels(
        samples_of(paths, count=STEPS * batch_size), options, to_train=True
    )
    validation = load_pixels(samples_of(paths, count=VALIDATION), options)
    ends: list[float] = []
    opened: list[int] = []

    class Watch(logging.Handler):
        """Notes when an epoch's line is logged."""

        def emit(self, record) -> None:
            ends.append(time.perf_counter())

    def count_pictures(event: str, arguments: tuple) -> None:
        if event == "open" and str(arguments[0]).endswith(".png") and ends:
            opened.append(1)

    logger = logging.getLogger("liveness.training.fit")
    logger.setLevel(logging.INFO)
    logger.addHandler(Watch())
    sys.addaudithook(count_pictures)
    train(training, validation, LivenessNet, options)
    images = max(STEPS * batch_size, 640) // batch_size * batch_size * (EPOCHS - 1)
    return {
        "images_per_s": images / (ends[-1] - ends[0]),
        "pictures_opened": len(opened),
    }


def usual_rate(paths: list[Path], batch_size: int) -> dict[str, float]:
    """Images per second of the usual way."""
    from benchmarks.usual_train import batches, load_all
    from liveness.training.recipe import INPUT_SIZE_PX

    data = load_all(paths[:USUAL_IMAGES], side_px=INPUT_SIZE_PX)
    targets = np.eye(2)[np.arange(len(data)) % 2]
    steps = len(data) // batch_size
    return _fit(batches(data, targets, batch_size), steps, batch_size)


def limit_rate(paths: list[Path], batch_size: int) -> dict[str, float]:
    """Images per second of the network's own step, on one batch in memory."""
    import tensorflow as tf

    from liveness.processes import keep_freed_memory
    from liveness.training.recipe import INPUT_SIZE_PX, VIEW_SCALES

    keep_freed_memory()  # as ours does
    rng = np.random.default_rng(0)
    depth = 3 * len(VIEW_SCALES)
    shape = (batch_size, INPUT_SIZE_PX, INPUT_SIZE_PX, depth)
    data = tf.constant(rng.random(shape), tf.float32)
    targets = tf.constant(np.eye(2, dtype=np.float32)[np.arange(batch_size) % 2])
    dataset = tf.data.Dataset.from_tensors((data, targets)).repeat()
    return _fit(dataset, STEPS, batch_size, depth=depth)


def _fit(data, steps: int, batch_size: int, depth: int = 3) -> dict[str, float]:
    """Fit an untrained network and time the epochs after the first.

    ``depth`` is the channels of its input, 3 for each view.
    """
    import keras

    from liveness.training.recipe import INPUT_SIZE_PX
    from livenessnet import LivenessNet

    ends: list[float] = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: ends.append(time.perf_counter())
    )
    model = LivenessNet.build(INPUT_SIZE_PX, INPUT_SIZE_PX, depth, 2)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(data, epochs=EPOCHS, steps_per_epoch=steps, verbose=0, callbacks=[note])
    images = steps * batch_size * (EPOCHS - 1)
    return {"images_per_s": images / (ends[-1] - ends[0])}


def our_memory(paths: list[Path], count: int) -> dict[str, float]:
    """Most memory of a training on so many crops, beyond TensorFlow's, in MiB."""
    from liveness.training.fit import train
    from liveness.training.pixels import load_pixels
    from liveness.training.recipe import TrainingOptions
    from livenessnet import LivenessNet

    before_mib = _memory_mib("VmRSS")
    options = TrainingOptions(epochs=2)
    start = time.perf_counter()
    training = load_pixels(samples_of(paths, count=count), options, to_train=True)
    read_s = time.perf_counter() - start
    validation = load_pixels(samples_of(paths, count=count // 10), options)
    train(training, validation, LivenessNet, options)
    return {
        "tensorflow_mib": before_mib,
        "mib": _memory_mib("VmHWM") - before_mib,
        "read_s": read_s,
    }


def usual_memory(paths: list[Path], count: int) -> dict[str, float]:
    """What all pictures as float64 take, by the growth with PER_COPY of them."""
    from benchmarks.usual_train import load_all
    from liveness.training.recipe import INPUT_SIZE_PX

    some = [paths[number % len(paths)] for number in range(PER_COPY)]
    before_mib = _memory_mib("VmRSS")
    data = load_all(some, side_px=INPUT_SIZE_PX)
    grown_mib = _memory_mib("VmRSS") - before_mib
    return {"mib": grown_mib * count / len(data)}


def _memory_mib(key: str) -> float:
    """A figure of /proc/self/status: VmRSS is now, VmHWM the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    ways = {
        "ours": our_rate,
        "usual": usual_rate,
        "limit": limit_rate,
        "our-memory": our_memory,
        "usual-memory": usual_memory,
    }
    parser.add_argument("way", choices=ways)
    parser.add_argument("crops", type=Path)
    parser.add_argument("count", type=int, help="batch size, or number of crops")
    arguments = parser.parse_args()
    paths = sorted(arguments.crops.glob("*.png"))
    if not arguments.way.startswith("usual"):
        import_keras()  # as train_model.py does
    print(json.dumps(ways[arguments.way](paths, arguments.count)))


if __name__ == "__main__":
    main()
