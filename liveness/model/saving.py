"""Save a trained model: Keras file, runtime file, label encoder and card."""

import dataclasses
import logging
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from liveness.errors import ModelError
from liveness.model.card import ModelCard, sha256_of, write_card
from liveness.model.keras_files import silent_stderr
from liveness.model.labels import write_label_encoder
from liveness.model.loading import check_model
from liveness.model.networks import RuntimeNetwork
from liveness.model.paths import ModelPaths, check_output_paths

if TYPE_CHECKING:
    import keras

MAX_DIFFERENCE = 1e-4  # between the scores of a model and of its runtime file


def save_trained_model(
    model: "keras.Model", path: Path, label_encoder_path: Path, card: ModelCard
) -> ModelPaths:
    """Write a trained model with its runtime file, label encoder and card.

    Every file appears whole or not at all, the card last: a run killed in between
    leaves a model whose card does not name it, and such a runtime file is not used.

    Args:
        model: Built Keras model, (N, side, side, 3 * views) to softmax (N, 2).
        path: ``.keras`` gives Keras' zip format, any other suffix HDF5.
        label_encoder_path: Of the label encoder.
        card: Its SHA-256 sums, and its versions if empty, are filled in here.

    Returns:
        Where the files are.

    Raises:
        OutputError: As ``check_output_files``.
        ModelError: If the model does not fit the card, cannot be exported, or its
            runtime file gives other scores.
        OSError: If a file cannot be written.
    """
    paths = ModelPaths(path, label_encoder_path)
    check_output_paths(paths)
    check_model(model, card, path)
    versions = card.versions or library_versions()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".model-") as folder:
        suffix = ".keras" if path.suffix == ".keras" else ".h5"
        keras_file = Path(folder) / f"model{suffix}"
        runtime_file = Path(folder) / "model.onnx"
        _save_quietly(model, keras_file, runtime_file)
        keras_bytes, runtime_bytes = keras_file.read_bytes(), runtime_file.read_bytes()
        _check_agreement(model, runtime_bytes, card)
        os.replace(keras_file, paths.model)
        os.replace(runtime_file, paths.runtime)
    write_label_encoder(label_encoder_path)
    write_card(
        dataclasses.replace(
            card,
            versions=versions,
            model_sha256=sha256_of(keras_bytes),
            runtime_sha256=sha256_of(runtime_bytes),
        ),
        paths.card,
    )
    return paths


def library_versions() -> dict[str, str]:
    """Return the versions of the packages that train and save a model."""
    from importlib import metadata  # takes as long as a face; apps do without

    versions = {"python": platform.python_version(), "opencv": cv2.__version__}
    for package in ("keras", "tensorflow", "tf2onnx", "numpy"):
        versions[package] = metadata.version(package)
    return versions


def _save_quietly(model: "keras.Model", keras_file: Path, runtime_file: Path) -> None:
    """Save and export a model without messages of the libraries."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    # The exporter wants a model that was called at least once.
    model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)
    try:
        with silent_stderr():
            model.save(keras_file)
            model.export(runtime_file, format="onnx", verbose=False)
    except (ImportError, ValueError, NotImplementedError) as error:
        raise ModelError(f"the model cannot be exported: {error}") from error


def _check_agreement(model: "keras.Model", content: bytes, card: ModelCard) -> None:
    """Compare a model with its runtime file on random pictures, one and several."""
    random = np.random.default_rng(0)
    network = RuntimeNetwork(content)
    for count in (1, 5):
        batch = random.random((count, *card.input_shape), dtype=np.float32)
        expected = np.asarray(model(batch, training=False))
        received = network(batch)
        if expected.shape != received.shape:
            raise ModelError(
                f"the runtime file gives outputs of shape {received.shape}, the "
                f"model {expected.shape}"
            )
        # Written so that a NaN fails too.
        if not np.abs(expected - received).max() <= MAX_DIFFERENCE:
            raise ModelError(
                f"the runtime file's scores differ from the model's by more than "
                f"{MAX_DIFFERENCE:g}"
            )
