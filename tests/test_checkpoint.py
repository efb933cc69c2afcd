"""Trainings that were broken off go on as if they had not been."""

import dataclasses
import shutil

import numpy as np
import pytest

from liveness.data.dataset import read_dataset, split_samples
from liveness.errors import ModelError
from liveness.training.pixels import load_pixels
from liveness.training.recipe import TrainingOptions
from livenessnet import LivenessNet

pytest.importorskip("tensorflow")

from liveness.training import checkpoint as subject
from liveness.training.fit import checkpoint_of, score, train, train_average

OPTIONS = TrainingOptions(epochs=4, batch_size=16, seed=3)


class KilledError(Exception):
    """Stands for a process that ends in mid-training."""


@pytest.fixture(scope="module")
def pixels(small_dataset):
    parts = split_samples(read_dataset([small_dataset]), validation_share=0.3, seed=1)
    return load_pixels(parts[0], OPTIONS, to_train=True), load_pixels(parts[1], OPTIONS)


def kill_in_epoch(patch, number):
    """End a training when an epoch begins, after the checkpoint is written."""
    begin = subject.Checkpoint.on_epoch_begin

    def on_epoch_begin(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == number:
            raise KilledError

    patch.setattr(subject.Checkpoint, "on_epoch_begin", on_epoch_begin)


@pytest.mark.parametrize("validates", [True, False])
def test_goes_on_to_the_very_same_network(
    pixels, short_training, monkeypatch, tmp_path, validates
):
    training, validation = pixels[0], pixels[1] if validates else None
    whole, history = train(training, validation, LivenessNet, OPTIONS)
    file = tmp_path / "c.npz"
    with monkeypatch.context() as patch:
        kill_in_epoch(patch, 3)
        with pytest.raises(KilledError):
            train(training, validation, LivenessNet, OPTIONS, checkpoint=file)
    again, joined = train(
        training, validation, LivenessNet, OPTIONS, checkpoint=file, resume=True
    )

    assert joined.keys() == history.keys()
    for name in history:
        np.testing.assert_allclose(joined[name], history[name], rtol=1e-4)
    np.testing.assert_allclose(
        score(again, pixels[1]), score(whole, pixels[1]), atol=1e-4
    )


def test_networks_that_are_done_are_not_trained_again(
    pixels, short_training, tmp_path, monkeypatch
):
    options = dataclasses.replace(OPTIONS, epochs=1, networks=2)
    file = tmp_path / "c.npz"
    first, _ = train_average(pixels[0], None, LivenessNet, options, checkpoint=file)
    assert checkpoint_of(file, 1).is_file()
    assert checkpoint_of(file, 2).is_file()

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("keras.Model.fit", refuse)
    second, _ = train_average(
        pixels[0], None, LivenessNet, options, checkpoint=file, resume=True
    )
    np.testing.assert_allclose(score(first, pixels[1]), score(second, pixels[1]))


def test_another_training_is_refused_by_what_differs(pixels, short_training, tmp_path):
    options = dataclasses.replace(OPTIONS, epochs=1)
    file = tmp_path / "c.npz"
    train(pixels[0], None, LivenessNet, options, checkpoint=file)
    other = dataclasses.replace(options, learning_rate=1e-4)
    with pytest.raises(ModelError, match=r"of another training .*learning_rate"):
        train(pixels[0], None, LivenessNet, other, checkpoint=file, resume=True)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ModelError, match="is damaged"):
        train(pixels[0], None, LivenessNet, options, checkpoint=file, resume=True)


def test_a_full_disk_does_not_end_the_training(
    pixels, short_training, tmp_path, monkeypatch, caplog
):
    def full(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(subject, "write_atomically", full)
    options = dataclasses.replace(OPTIONS, epochs=2)
    _, history = train(
        pixels[0], None, LivenessNet, options, checkpoint=tmp_path / "c.npz"
    )

    assert len(history["loss"]) == 2
    assert caplog.text.count("no space left on device") == 1


def test_attacks_whose_names_are_not_utf_8_are_trained_on(
    small_dataset, short_training, tmp_path
):
    folder = shutil.copytree(small_dataset, tmp_path / "data")
    kind = next(path for path in (folder / "fake").iterdir() if path.is_dir())
    try:
        kind.rename(kind.with_name("caf\udce9"))  # a Latin-1 name on Linux
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    options = dataclasses.replace(OPTIONS, epochs=1)
    training = load_pixels(read_dataset([folder]), options, to_train=True)

    _, history = train(training, None, LivenessNet, options)
    assert np.isfinite(history["loss"]).all()
