"""What training does to its pictures: repeatable, in range, black stays black."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from liveness.augment import RandomCamera  # noqa: E402

SCALES = (1.0, 2.7)
SIDE_PX = 40
COUNT = 64


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures without black, two views each."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.3, 0.7, (COUNT, 5, 5, 6)).astype(np.float32)
    return np.asarray(tf.image.resize(coarse, (SIDE_PX, SIDE_PX)))


def vary(images, seed=1, scales=SCALES) -> np.ndarray:
    return np.asarray(RandomCamera(scales)(images, tf.constant([seed, 2], tf.int32)))


def test_seed_decides(images):
    np.testing.assert_array_equal(vary(images), vary(images))
    assert np.abs(vary(images) - vary(images, seed=2)).mean() > 0.01


def test_form_and_range_are_kept(images):
    extremes = np.round(images)
    for given in (images, extremes, images[:1]):
        changed = vary(given)
        assert changed.shape == given.shape
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert np.abs(changed - given).mean() > 0.01


def test_each_picture_changes_in_its_own_way(images):
    same = np.repeat(images[:1], COUNT, axis=0)
    changed = vary(same)

    assert all((changed[0] != other).any() for other in changed[1:])


def test_both_views_move_together(images):
    twice = np.concatenate([images[..., :3]] * 2, axis=-1)
    changed = vary(twice, scales=(1.0, 1.0))  # the noise differs, nothing else

    assert np.abs(changed[..., :3] - changed[..., 3:]).max() < 0.3
    assert np.abs(changed[..., :3] - changed[..., 3:]).mean() < 0.02


def test_black_stays_black(images):
    hidden = images.copy()
    hidden[..., 3:] = 0

    changed = vary(hidden)
    assert (changed[..., 3:] == 0).all()
    assert changed[..., :3].mean() > 0.2


def test_surroundings_are_hidden_in_some(images):
    changed = vary(images)
    half = SIDE_PX / 2.7 / 2
    middle = slice(round(SIDE_PX / 2 - half) + 1, round(SIDE_PX / 2 + half) - 1)
    inside = changed[:, middle, middle, 3:]
    without = changed[..., 3:].copy()
    without[
        :, middle.start - 2 : middle.stop + 2, middle.start - 2 : middle.stop + 2
    ] = 0

    is_hidden = without.reshape(COUNT, -1).max(axis=1) == 0
    assert 0.05 < is_hidden.mean() < 0.5
    assert (inside.reshape(COUNT, -1).mean(axis=1) > 0.1).all()
    # A view of the face alone has no surroundings to hide.
    assert (changed[..., :3].reshape(COUNT, -1).mean(axis=1) > 0.1).all()


def test_layer_is_built_again_from_its_config():
    layer = RandomCamera.from_config(RandomCamera(SCALES).get_config())

    assert layer.view_scales == SCALES
