"""What training does to its pictures: repeatable, in range, black stays black."""

import itertools

import cv2
import numpy as np
import pytest

from liveness.augment import another_camera

SIDE_PX = 40
COUNT = 64


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth pictures without black."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(75, 180, (COUNT, 5, 5, 3)).astype(np.uint8)
    return np.array([cv2.resize(one, (SIDE_PX, SIDE_PX)) for one in coarse])


def vary(images, seed=1, *, wide=False, side_px=SIDE_PX) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array(
        [another_camera(one, rng, side_px=side_px, is_wide=wide) for one in images]
    )


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_seed_decides(images):
    np.testing.assert_array_equal(vary(images), vary(images))
    assert difference(vary(images), vary(images, seed=2)) > 3


def test_form_and_type_are_kept_and_the_given_is_not_changed(images):
    extremes = np.where(images < 128, 0, 255).astype(np.uint8)
    for given, wide in itertools.product((images, extremes, images[:1]), (0, 1)):
        before = given.copy()
        changed = vary(given, wide=bool(wide))
        np.testing.assert_array_equal(given, before)
        assert changed.shape == given.shape
        assert changed.dtype == np.uint8
        assert difference(changed, given) > 3


def test_too_bright_and_too_dark_do_not_wrap_around(images):
    """White stays light and the darkest stays dark, whatever is added to it."""
    assert vary(np.full_like(images, 255)).min() > 150
    assert vary(np.full_like(images, 1)).max() < 100


def test_each_picture_changes_in_its_own_way(images):
    same = np.repeat(images[:1], COUNT, axis=0)
    changed = vary(same)

    assert all((changed[0] != other).any() for other in changed[1:])


def test_colours_change_in_every_channel_alike_in_the_mean(images):
    changed = vary(np.repeat(images, 8, axis=0))

    shift = changed.mean(axis=(0, 1, 2)) - images.mean(axis=(0, 1, 2))
    assert np.abs(shift).max() < 5
    each = changed.mean(axis=(1, 2)) - np.repeat(images, 8, axis=0).mean(axis=(1, 2))
    assert (each.std(axis=0) > 3).all()


def test_black_stays_black(images):
    hidden = images.copy()
    hidden[COUNT // 2 :] = 0

    changed = vary(hidden)
    assert (changed[COUNT // 2 :] == 0).all()
    assert changed[: COUNT // 2].mean() > 50


def test_a_larger_picture_becomes_one_of_the_wished_side(images):
    """The whole is seen, or a zoom into it, and not one corner."""
    ramp = np.linspace(50, 200, SIDE_PX)[:, None, None]
    ramp = np.broadcast_to(ramp, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    changed = vary(np.repeat(ramp[None], COUNT, axis=0), side_px=SIDE_PX // 2)

    assert changed.shape == (COUNT, SIDE_PX // 2, SIDE_PX // 2, 3)
    assert changed.mean() == pytest.approx(ramp.mean(), abs=12)
    spread = changed.std(axis=(1, 2, 3)) / ramp.std()
    assert 0.5 < np.median(spread) < 1.1


def test_frames_end_beside_the_face_in_wide_pictures_only(images):
    assert (vary(images).max(axis=3) > 0).all()

    wide = vary(images, wide=True).max(axis=3) > 0
    framed = (~wide).any(axis=(1, 2))
    assert 0.3 < framed.mean() < 0.7
    middle = slice(round(SIDE_PX * 0.35), round(SIDE_PX * 0.65))
    assert wide[:, middle, middle].all()
