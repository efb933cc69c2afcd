"""What training does to its pictures: repeatable, in range, black stays black."""

import itertools

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


def vary(images, seed=1, *, wide=False, side_px=SIDE_PX) -> np.ndarray:
    is_wide = tf.fill((len(images),), wide)
    return np.asarray(RandomCamera(side_px)(images, is_wide, tf.constant([seed, 2])))


def test_seed_decides(images):
    np.testing.assert_array_equal(vary(images), vary(images))
    assert np.abs(vary(images) - vary(images, seed=2)).mean() > 0.01


def test_form_and_range_are_kept(images):
    extremes = np.round(images)
    for given, wide in itertools.product((images, extremes, images[:1]), (0, 1)):
        changed = vary(given, wide=bool(wide))
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


def test_a_larger_picture_becomes_one_of_the_wished_side(images):
    """The whole is seen, or a zoom into it, and not one corner."""
    ramp = np.linspace(0, 1, SIDE_PX, dtype=np.float32)
    ramp = np.broadcast_to(0.2 + 0.6 * ramp[:, None], (SIDE_PX, SIDE_PX))
    ramp = np.repeat(ramp[None, ..., None], COUNT, axis=0).repeat(3, axis=3)
    changed = vary(ramp, side_px=SIDE_PX // 2)

    assert changed.shape == (COUNT, SIDE_PX // 2, SIDE_PX // 2, 3)
    assert changed.mean() == pytest.approx(ramp.mean(), abs=0.05)
    spread = changed.std(axis=(1, 2, 3)) / ramp[0].std()
    assert 0.5 < np.median(spread) < 1.1


def test_frames_end_beside_the_face_in_wide_pictures_only(images):
    assert (vary(images).max(axis=3) > 0).all()

    wide = vary(images, wide=True).max(axis=3) > 0
    framed = (~wide).any(axis=(1, 2))
    assert 0.3 < framed.mean() < 0.7
    middle = slice(round(SIDE_PX * 0.35), round(SIDE_PX * 0.65))
    assert wide[:, middle, middle].all()
