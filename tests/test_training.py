"""Training: what is drawn, read and simulated, and that it repeats and stops."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest

from conftest import portrait_crops, write_crops
from liveness.dataset import Sample, read_dataset, split_samples
from liveness.errors import DatasetError
from liveness.labels import LABELS
from liveness.preprocess import filmed_share, views_of_crop
from livenessnet import LivenessNet

pytest.importorskip("tensorflow")

from keras.losses import CategoricalCrossentropy

from liveness import training as subject
from liveness.training import (
    LABEL_SMOOTHING,
    SIMULATED,
    SIMULATED_EACH,
    TrainingOptions,
    drawing_weights,
    load_pixels,
    score,
    train,
)

OPTIONS = TrainingOptions(epochs=2, batch_size=16, seed=3)


@pytest.fixture(scope="module")
def samples(small_dataset):
    return read_dataset([small_dataset])


@pytest.fixture(scope="module")
def pixels(samples):
    """Training and validation part of the small dataset."""
    training, validation, _ = split_samples(samples, validation_share=0.3, seed=1)
    return (
        load_pixels(training, OPTIONS, to_train=True),
        load_pixels(validation, OPTIONS),
    )


def groups_of(sizes):
    return [
        Sample(Path("x"), "fake" if attack else "real", attack, site, "s")
        for (site, attack), size in sizes.items()
        for _ in range(size)
    ]


class TestDrawing:
    def test_labels_weigh_alike(self):
        drawn = groups_of({("a", ""): 90, ("a", "print"): 4, ("b", "replay"): 6})
        weights = drawing_weights(drawn)

        assert weights.shape == (100,)
        assert weights[:90].sum() == pytest.approx(0.5)
        assert weights[90:].sum() == pytest.approx(0.5)

    def test_sites_weigh_as_the_root_of_their_size(self):
        drawn = groups_of({("a", ""): 1, ("a", "print"): 3, ("b", "print"): 64})
        weights = drawing_weights(drawn)

        assert weights[4:].sum() / weights[1:4].sum() == pytest.approx(4)
        assert np.ptp(weights[1:4]) == 0

    def test_a_site_weighs_the_same_among_real_and_fake(self):
        sizes = {("a", ""): 90, ("a", "x"): 10, ("b", ""): 1, ("b", "x"): 24}
        weights = drawing_weights(groups_of(sizes))

        of_a, of_b = weights[:90].sum(), weights[100:101].sum()
        assert of_a / of_b == pytest.approx(2)
        assert weights[90:100].sum() / weights[101:].sum() == pytest.approx(2)

    def test_people_of_one_site_are_one_group(self):
        drawn = groups_of({("a/p", ""): 2, ("a/q", ""): 2, ("b", "x"): 1})
        weights = drawing_weights(drawn)

        np.testing.assert_allclose(weights[:4], 0.5 / 4)


class TestLoading:
    def test_rows_are_the_views_of_the_crops(self, samples):
        loaded = load_pixels(samples, OPTIONS)

        assert loaded.samples == samples
        assert not loaded.skipped
        side, views = OPTIONS.input_size_px, len(OPTIONS.view_scales)
        rows = loaded.read(slice(0, 5))
        assert rows.shape == (5, side, side, 3 * views)
        assert rows.dtype == np.uint8
        np.testing.assert_array_equal(loaded.read(np.array([4, 0])), rows[[4, 0]])
        assert list(loaded.targets) == [LABELS.index(s.label) for s in samples]
        assert loaded.attacks == [s.attack for s in samples]

    def test_only_keeps_rows_together(self, samples):
        loaded = load_pixels(samples, OPTIONS)
        fakes = loaded.only(lambda sample: not sample.is_bona_fide)

        assert [s.label for s in fakes.samples] == ["fake"] * 12
        first = samples.index(fakes.samples[0])
        np.testing.assert_array_equal(
            fakes.read(slice(0, 1)), loaded.read(slice(first, first + 1))
        )

    def test_unusable_pictures_are_skipped_and_listed(self, samples, tmp_path):
        (tmp_path / "empty.png").touch()
        broken = [
            dataclasses.replace(samples[0], path=tmp_path / name)
            for name in ("empty.png", "missing.png")
        ]
        loaded = load_pixels([broken[0], *samples[:3], broken[1]], OPTIONS)

        assert loaded.samples == samples[:3]
        assert len(loaded.skipped) == 2
        assert any("empty.png" in reason for reason in loaded.skipped)
        expected = load_pixels(samples[:3], OPTIONS)
        rows = slice(0, 3)
        np.testing.assert_array_equal(loaded.read(rows), expected.read(rows))

    def test_no_usable_picture_is_an_error(self, samples, tmp_path):
        missing = dataclasses.replace(samples[0], path=tmp_path / "missing.png")

        with pytest.raises(DatasetError, match=r"none of the pictures.*missing\.png"):
            load_pixels([missing], OPTIONS)

    def test_store_leaves_no_file_behind(self, samples, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        loaded = load_pixels(samples[:3], OPTIONS)

        assert loaded.read(slice(0, 3)).any()
        assert not list(tmp_path.iterdir())


class TestSimulatedAttacks:
    def test_one_fake_for_each_real_face(self, samples):
        real = [sample for sample in samples if sample.is_bona_fide]
        loaded = load_pixels(samples, OPTIONS, simulate_attacks=True)
        added = loaded.samples[len(samples) :]

        assert loaded.samples[: len(samples)] == samples
        assert [s.path for s in added] == [s.path for s in real] * SIMULATED_EACH
        assert {s.label for s in added} == {"fake"}
        assert {s.attack for s in added} <= {SIMULATED + k for k in ("screen", "print")}
        first = loaded.only(lambda s: s.path == real[0].path)
        face, *attacks = first.read(slice(None)).astype(int)
        assert len(attacks) == SIMULATED_EACH
        assert all(np.abs(face - attack).mean() > 3 for attack in attacks)
        assert np.abs(attacks[0] - attacks[1]).mean() > 1  # each in its own way

    def test_seed_decides(self, samples):
        def load(seed):
            options = dataclasses.replace(OPTIONS, seed=seed)
            loaded = load_pixels(samples, options, simulate_attacks=True)
            return loaded.read(slice(None))

        np.testing.assert_array_equal(load(1), load(1))
        assert (load(1) != load(2)).any()

    def test_bare_boxes_have_the_face_for_every_view(self, tmp_path):
        crops = [crop[30:66, 30:66] for crop in portrait_crops(4, seed=0)]
        write_crops(tmp_path / "real", crops, source="a.mp4#1")
        (tmp_path / "real/crops.csv").unlink()
        loaded = load_pixels(
            read_dataset([tmp_path]), OPTIONS, simulate_attacks=True
        ).only(lambda sample: not sample.is_bona_fide)

        views = loaded.read(slice(None))
        np.testing.assert_array_equal(views[..., -3:], views[..., :3])
        assert filmed_share(views[0, ..., :3]) == 1


def test_training_draws_are_seeded_and_balanced(pixels):
    training, _ = pixels
    first, second = (
        next(iter(subject._training_batches(training, OPTIONS))) for _ in range(2)
    )

    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    images, targets = first
    assert images.shape[0] == OPTIONS.batch_size
    assert 2 <= targets.numpy()[:, 0].sum() <= 14


def test_validation_classes_weigh_alike(pixels):
    _, validation = pixels
    uneven = validation.only(lambda s: s.is_bona_fide or s.attack == "print")
    batches = list(subject._validation_batches(uneven))

    assert len(batches) == 2  # the face alone, and with its surroundings
    pictures = uneven.read(slice(None)) / np.float32(255)
    for (images, targets, weights), expected in zip(
        batches, (pictures[..., :3], pictures[..., 3:]), strict=True
    ):
        totals = (targets.numpy() * weights.numpy()[:, None]).sum(axis=0)
        np.testing.assert_allclose(totals, len(uneven.samples) / 2)
        np.testing.assert_allclose(images.numpy(), expected, atol=1e-6)


def test_training_stops_early_and_keeps_the_best_weights(
    pixels, short_training, monkeypatch
):
    """Labels the other way round in validation: what is learned makes it worse."""
    training, validation = pixels
    swapped = [
        dataclasses.replace(one, label=LABELS[not one.is_bona_fide])
        for one in validation.samples
    ]
    validation = dataclasses.replace(validation, samples=swapped)
    options = dataclasses.replace(OPTIONS, epochs=12, patience=2)
    model, history = train(training, validation, LivenessNet.build, options)

    losses = history["val_loss"]
    assert len(losses) < options.epochs
    batches = subject._validation_batches(validation)
    of_a_view = LivenessNet.build(*model.input_shape[1:3], 3, len(LABELS))
    of_a_view.set_weights(model.get_weights())
    of_a_view.compile(loss=CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING))
    kept = of_a_view.evaluate(batches, verbose=0)
    late = losses[options.epochs // 2 :]  # a best epoch before that is luck
    assert kept == pytest.approx(min(late), rel=1e-3)
    assert kept < losses[-1]
    assert history.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    scores = score(model, pixels[1])
    assert scores.shape == (len(pixels[1].samples),)
    outputs = np.asarray(model(pixels[1].read(slice(None)).astype(np.float32) / 255))
    np.testing.assert_allclose(scores, outputs[:, 1], atol=1e-5)


def test_views_are_those_of_the_apps(samples):
    """Training and apps make the same pixels from a crop."""
    import cv2

    loaded = load_pixels(samples[:1], OPTIONS)
    expected = views_of_crop(
        cv2.imread(str(samples[0].path)),
        crop_scale=samples[0].crop_scale,
        view_scales=OPTIONS.view_scales,
        side_px=OPTIONS.input_size_px,
    )

    np.testing.assert_array_equal(loaded.read(slice(0, 1))[0], expected)
