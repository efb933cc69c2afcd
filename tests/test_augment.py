"""What training does to its pictures: repeatable, in range, black stays black."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from liveness.augment import RandomCamera  # noqa: E402

SIDE_PX = 40
COUNT = 64


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures without black."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.3, 0.7, (COUNT, 5, 5, 3)).astype(np.float32)
    return np.asarray(tf.image.resize(coarse, (SIDE_PX, SIDE_PX)))


def vary(images, seed=1) -> np.ndarray:
    return np.asarray(RandomCamera()(images, tf.constant([seed, 2], tf.int32)))


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


def test_black_stays_black(images):
    hidden = images.copy()
    hidden[COUNT // 2 :] = 0

    changed = vary(hidden)
    assert (changed[COUNT // 2 :] == 0).all()
    assert changed[: COUNT // 2].mean() > 0.2
