"""Training: what is drawn, read and simulated, and that it repeats and stops."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest

from conftest import portrait_crops, write_crops
from liveness.data.dataset import Sample, read_dataset, split_samples
from liveness.errors import DatasetError
from liveness.faces.crops import filmed_share, views_of_crop
from liveness.model.labels import LABELS
from liveness.simulation.recapture import KINDS
from livenessnet import LivenessNet

pytest.importorskip("tensorflow")

import keras
from keras.losses import CategoricalCrossentropy

from liveness.data.dataset import SIMULATED
from liveness.training import fit as subject
from liveness.training import pixels as pixels_module
from liveness.training.fit import (
    drawing_weights,
    score,
    train,
    train_average,
)
from liveness.training.pixels import load_pixels
from liveness.training.recipe import TrainingOptions

OPTIONS = TrainingOptions(epochs=2, batch_size=16, seed=3)


def batches_of(pixels, options=OPTIONS):
    return subject._TrainingBatches(pixels, options, 4, first_epoch=0)


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

    def test_a_large_site_weighs_a_little_more(self):
        drawn = groups_of({("a", ""): 1, ("a", "print"): 3, ("b", "print"): 64})
        weights = drawing_weights(drawn)

        assert weights[4:].sum() / weights[1:4].sum() == pytest.approx(2)
        assert np.ptp(weights[1:4]) == 0

    def test_a_site_weighs_the_same_among_real_and_fake(self):
        sizes = {("a", ""): 70, ("a", "x"): 10, ("b", ""): 1, ("b", "x"): 4}
        weights = drawing_weights(groups_of(sizes))

        of_a, of_b = weights[:70].sum(), weights[80:81].sum()
        assert of_a / of_b == pytest.approx(2)
        assert weights[70:80].sum() / weights[81:].sum() == pytest.approx(2)

    def test_simulated_attacks_are_a_share_of_the_fakes(self):
        sizes = {("a", ""): 9, ("a", "print"): 2, ("a", SIMULATED + "print"): 27}
        weights = drawing_weights(groups_of(sizes))

        assert weights[:9].sum() == pytest.approx(0.5)
        assert weights[11:].sum() == pytest.approx(0.5 * 0.3)

    def test_without_filmed_attacks_the_simulated_are_all_fakes(self):
        sizes = {("a", ""): 9, ("a", SIMULATED + "print"): 27}
        weights = drawing_weights(groups_of(sizes))

        assert weights[9:].sum() == pytest.approx(0.5)

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
    def test_several_fakes_for_each_real_face(self, samples):
        real = [sample for sample in samples if sample.is_bona_fide]
        loaded = load_pixels(samples, OPTIONS, simulate_attacks=True)
        added = loaded.samples[len(samples) :]

        assert loaded.samples[: len(samples)] == samples
        assert [s.path for s in added] == [s.path for s in real] * 2
        assert {s.label for s in added} == {"fake"}
        assert {s.attack for s in added} <= {SIMULATED + k for k in ("screen", "print")}
        first = loaded.only(lambda s: s.path == real[0].path)
        face, *attacks = first.read(slice(None)).astype(int)
        assert len(attacks) == 2
        assert all(np.abs(face - attack).mean() > 3 for attack in attacks)
        assert np.abs(attacks[0] - attacks[1]).mean() > 1  # each in its own way

    def test_seed_decides(self, samples):
        def load(seed):
            options = dataclasses.replace(OPTIONS, seed=seed)
            loaded = load_pixels(samples, options, simulate_attacks=True)
            return loaded.read(slice(None))

        np.testing.assert_array_equal(load(1), load(1))
        assert (load(1) != load(2)).any()

    def test_bare_boxes_have_no_view_of_the_surroundings(self, tmp_path):
        crops = [crop[30:66, 30:66] for crop in portrait_crops(4, seed=0)]
        write_crops(tmp_path / "real", crops, source="a.mp4#1")
        (tmp_path / "real/crops.csv").unlink()
        loaded = load_pixels(
            read_dataset([tmp_path]), OPTIONS, simulate_attacks=True
        ).only(lambda sample: not sample.is_bona_fide)

        views = loaded.read(slice(None))
        assert not views[..., 3:].any()
        assert all(filmed_share(view[..., :3]) > 0.9 for view in views)


@pytest.mark.parametrize("lit", [(5, 10, 5, 10), (5, 7, 2, 98), (50, 51, 50, 51)])
def test_a_dark_picture_is_skipped_and_not_the_end(tmp_path, lit):
    """Neither where its lit part misses the face, nor behind a good picture."""
    top, bottom, left, right = lit
    dark = np.zeros((100, 100, 3), np.uint8)
    dark[top:bottom, left:right] = 255
    crops = [*[dark] * 3, *portrait_crops(3, seed=0)]
    write_crops(tmp_path / "real", crops, source="dark.mp4#1")
    mixed = read_dataset([tmp_path])
    for seed in range(4):
        options = dataclasses.replace(OPTIONS, seed=seed)
        loaded = load_pixels(mixed, options, simulate_attacks=True)

        assert any("nearly all black" in reason for reason in loaded.skipped)
        assert set(mixed) <= set(loaded.samples)


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_attack_without_background_stays_where_the_picture_was(
    tmp_path, kind
):
    crop = np.zeros((100, 100, 3), np.uint8)
    crop[20:90, 5:80] = np.random.default_rng(0).integers(60, 200, (70, 75, 3))
    write_crops(tmp_path / "real", [crop], source="a.mp4#1")
    (sample,) = read_dataset([tmp_path])
    attack, _ = pixels_module._crop_of(sample, None, kind, np.random.default_rng(1))

    assert attack.shape == crop.shape
    assert (attack[20:90, 5:80] != crop[20:90, 5:80]).mean() > 0.5
    attack[20:90, 5:80] = 0
    assert not attack.any()


def test_an_attack_before_a_background_counts_as_having_surroundings(samples):
    """Else fakes with surroundings would be among the faces alone, which have none."""
    real = [one for one in samples if one.is_bona_fide]
    tight = [dataclasses.replace(one, crop_scale=1.5) for one in real[:-2]]
    loaded = load_pixels([*tight, *real[-2:]], OPTIONS, simulate_attacks=True)
    made = loaded.only(lambda one: one.attack and one.path in {t.path for t in tight})
    wide = made.read_view(slice(None), 1)

    shows_more = [filmed_share(view) > 0.4 for view in wide]  # 1.5 of 2.7: 0.31
    assert [one.crop_scale == 2.7 for one in made.samples] == shows_more
    assert len(set(shows_more)) == 2


def test_nothing_is_simulated_on_a_black_crop(tmp_path):
    write_crops(tmp_path / "real", [np.zeros((50, 50, 3), np.uint8)], source="a.mp4#1")
    (sample,) = read_dataset([tmp_path])
    for seed in range(8):
        rng = np.random.default_rng(seed)
        assert not pixels_module._crop_of(sample, None, KINDS[0], rng)[0].any()


def test_a_batch_shows_what_its_truths_say(samples, monkeypatch):
    """Grey level tells label and view: blocks, rows and truths belong together."""

    def painted(store, places):
        grey = np.where(places % 2, 100, 0) + np.where(is_real[places // 2], 50, 20)
        shape = (len(places), *store.shape)
        return np.broadcast_to(grey[:, None, None, None], shape).astype(np.uint8)

    loaded = load_pixels(samples, OPTIONS, to_train=True)
    is_real = np.array([sample.is_bona_fide for sample in loaded.samples])
    monkeypatch.setattr(pixels_module.PixelFile, "read", painted)

    def seen_as_filmed(picture, rng, *, side_px, is_wide):
        assert is_wide == (picture.min() > 100)
        return picture[:side_px, :side_px]

    monkeypatch.setattr(subject, "another_camera", seen_as_filmed)
    images, truths = batches_of(loaded)[0]
    seen = np.rint(images[:, 0, 0] * 255)
    for view, base in enumerate((0, 100)):
        there = seen[:, 3 * view] > 0
        assert there.sum() >= OPTIONS.batch_size - 2
        expected = base + np.where(truths[there, view, 1] == 1, 50, 20)
        np.testing.assert_array_equal(seen[there, 3 * view], expected)


def test_training_draws_are_seeded_and_balanced(pixels):
    training, _ = pixels
    first, second = (batches_of(training)[0] for _ in range(2))

    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    options = dataclasses.replace(OPTIONS, seed=OPTIONS.seed + 1)
    third = batches_of(training, options)[0]
    assert (first[0] != third[0]).any()
    images, targets = first
    side, views = OPTIONS.input_size_px, len(OPTIONS.view_scales)
    assert images.shape == (OPTIONS.batch_size, side, side, 3 * views)
    assert targets.shape == (OPTIONS.batch_size, views, len(LABELS))
    for view in range(views):
        assert 2 <= targets[:, view, 0].sum() <= 14


def test_missing_view_is_as_often_real_as_fake(pixels):
    training, _ = pixels
    for number, (images, targets) in enumerate(
        batches_of(training)[number] for number in range(4)
    ):
        face, around = images[..., :3], images[..., 3:]
        absent = ~around.any(axis=(1, 2, 3))
        assert absent.sum() == 2, number
        assert sorted(targets[absent, 1, 0]) == [0, 1]
        assert face.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("labels", [("real",), ("real", "fake")])
def test_faces_alone_teach_a_wide_view_less_and_only_with_both_labels(samples, labels):
    """Else being without surroundings would tell the label."""
    bare = [
        dataclasses.replace(one, site="bare", crop_scale=None)
        for one in samples
        if one.label in labels
    ]
    loaded = load_pixels([*bare, *samples], OPTIONS, to_train=True)
    first, wide = (
        subject._weights_of_view(loaded, scale) for scale in OPTIONS.view_scales
    )

    assert (first > 0).all()
    share = 0.25 if len(labels) == 2 else 0
    assert wide[: len(bare)].sum() == pytest.approx(share)
    assert (wide[len(bare) :] > 0).all()
    assert wide.sum() == pytest.approx(1)
    # The face is there to learn from, though the apps show the wide view none of it.
    assert loaded.read_view(slice(0, 1), 1).any()


@pytest.mark.parametrize("bare", [("real", "fake"), ("real",), ("fake",)])
def test_surroundings_of_one_label_only_teach_nothing(samples, bare):
    """Else having surroundings at all would tell the label."""
    mixed = [
        dataclasses.replace(one, crop_scale=None) if one.label in bare else one
        for one in samples
    ]
    loaded = load_pixels(mixed, OPTIONS, to_train=True)
    images, targets = batches_of(loaded)[0]

    assert images[..., :3].any(axis=(1, 2, 3)).all()
    assert not images[..., 3:].any()
    assert targets[:, 1, 0].mean() == 0.5


def test_validation_classes_weigh_alike(pixels):
    _, validation = pixels
    uneven = validation.only(lambda s: s.is_bona_fide or s.attack == "print")
    images, targets, weights = subject._ValidationBatches(uneven)[0]

    expected = uneven.read(slice(None)) / np.float32(255)
    np.testing.assert_allclose(images, expected, atol=1e-6)
    for view in range(len(OPTIONS.view_scales)):
        totals = (targets[:, view] * weights[:, view, None]).sum(axis=0)
        np.testing.assert_allclose(totals, len(uneven.samples) / 2)


def test_missing_view_does_not_validate(samples):
    bare = [dataclasses.replace(one, crop_scale=None) for one in samples]
    loaded = load_pixels([*samples, *bare], OPTIONS)
    _, _, weights = subject._ValidationBatches(loaded)[0]

    there = weights > 0
    assert there[:, 0].all()
    assert list(there[:, 1]) == [True] * len(samples) + [False] * len(bare)


def test_classes_weigh_alike_in_a_view_that_some_lack(samples):
    fakes = [one for one in samples if not one.is_bona_fide]
    bare = {one.path for one in fakes[: len(fakes) // 2]}
    mixed = [
        dataclasses.replace(one, crop_scale=None) if one.path in bare else one
        for one in samples
    ]
    loaded = load_pixels(mixed, OPTIONS)
    _, targets, weights = subject._ValidationBatches(loaded)[0]
    totals = (targets * weights[..., None]).sum(axis=0)

    np.testing.assert_allclose(totals, len(samples) / 2, rtol=1e-5)


class CompiledOnly(Exception):
    """Ends a training before its first batch."""


def test_compiled_recipe(pixels, short_training, monkeypatch):
    """What the optimizer and the loss are made with: written out, not looked up."""
    learners = []

    def remember(learner, *_, **__):
        learners.append(learner)
        raise CompiledOnly

    monkeypatch.setattr(keras.Model, "fit", remember)
    with pytest.raises(CompiledOnly):
        train(*pixels, LivenessNet, OPTIONS)

    (learner,) = learners
    optimizer = learner.optimizer
    assert isinstance(optimizer, keras.optimizers.AdamW)
    assert optimizer.weight_decay == 0.01
    assert optimizer.use_ema
    assert optimizer.ema_momentum == 0.99
    assert learner.loss.label_smoothing == 0.05


@pytest.mark.parametrize("validates", [True, False])
def test_what_training_gives_are_averaged_weights(
    pixels, short_training, monkeypatch, validates
):
    """An average that takes in nothing new stays where the first batch led."""
    monkeypatch.setattr(subject, "AVERAGING_MOMENTUM", 1.0)
    model, _ = train(pixels[0], pixels[1] if validates else None, LivenessNet, OPTIONS)
    monkeypatch.setattr(subject, "AVERAGING_MOMENTUM", 0.5)
    other, _ = train(pixels[0], pixels[1] if validates else None, LivenessNet, OPTIONS)

    keras.utils.set_random_seed(OPTIONS.seed)
    side, views = OPTIONS.input_size_px, len(OPTIONS.view_scales)
    start = LivenessNet.build(side, side, 3 * views, len(LABELS))
    first_step = 1.1 * OPTIONS.learning_rate / 10
    far = 0.0
    for weight, kept, moved in zip(
        *(one.trainable_weights for one in (start, model, other)), strict=True
    ):
        np.testing.assert_allclose(kept.numpy(), weight.numpy(), atol=first_step)
        far = max(far, np.abs(moved.numpy() - weight.numpy()).max())
    assert far > 4 * first_step


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
    # Enough to learn something: else the validation loss only trembles.
    monkeypatch.setattr(subject, "EPOCH_SAMPLES", (256, 256))
    options = dataclasses.replace(OPTIONS, epochs=12, patience=2, learning_rate=5e-3)
    model, history = train(training, validation, LivenessNet, options)

    losses = history["val_loss"]
    assert len(losses) < options.epochs
    batches = subject._ValidationBatches(validation)
    learner = LivenessNet.each_view(model)
    learner.compile(
        loss=CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    )
    kept = learner.evaluate(batches, verbose=0)
    late = losses[options.epochs // 2 :]  # a best epoch before that is luck
    assert kept == pytest.approx(min(late), rel=1e-3)
    assert kept < losses[-1]
    assert history.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"}
    scores = score(model, pixels[1])
    assert scores.shape == (len(pixels[1].samples),)
    outputs = np.asarray(model(pixels[1].read(slice(None)).astype(np.float32) / 255))
    np.testing.assert_allclose(scores, outputs[:, 1], atol=1e-5)


def test_networks_of_an_average_differ_by_their_seed(pixels, short_training, caplog):
    training, validation = pixels
    options = dataclasses.replace(OPTIONS, networks=2)
    with caplog.at_level("INFO", logger="liveness"):
        both, histories = train_average(training, validation, LivenessNet, options)

    assert [len(one["loss"]) for one in histories] == [2, 2]
    assert histories[0]["val_loss"] != histories[1]["val_loss"]
    logits = []
    for seed in (OPTIONS.seed, OPTIONS.seed + 1):
        own = dataclasses.replace(OPTIONS, seed=seed)
        alone, _ = train(training, validation, LivenessNet, own)
        real = score(alone, validation)
        logits.append(np.log(real / (1 - real)))
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    real = score(both, validation)
    np.testing.assert_allclose(
        np.log(real / (1 - real)), np.mean(logits, axis=0), atol=1e-3
    )
    assert "network 2 of 2" in caplog.text


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
