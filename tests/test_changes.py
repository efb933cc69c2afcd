"""Changes of light, colour and focus: what they claim, and nothing in the black."""

import cv2
import numpy as np
import pytest

from conftest import portrait_crops
from liveness.evaluation.changes import CHANGES


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    """A face with black on the left, as beyond a frame, and a black spot."""
    crop = portrait_crops(1, seed=0)[0].copy()
    crop[:, : crop.shape[1] // 4] = 0
    return crop


@pytest.mark.parametrize("name", CHANGES)
def test_the_picture_changes_and_the_black_around_it_does_not(crop, name):
    before = crop.copy()
    changed = CHANGES[name](crop)

    np.testing.assert_array_equal(crop, before)
    np.testing.assert_array_equal(changed, CHANGES[name](crop))
    assert changed.dtype == np.uint8
    if name == "nearer":
        assert changed.shape[0] == pytest.approx(0.8 * crop.shape[0], abs=1)
        return
    assert changed.shape == crop.shape
    there = crop.any(axis=2)
    assert np.abs(changed.astype(int) - crop)[there].mean() > 2
    np.testing.assert_array_equal(changed.any(axis=2), there)


def test_changes_go_where_their_names_say(crop):
    there = crop.any(axis=2)
    before = crop[there].mean(axis=0)
    after = {name: change(crop) for name, change in CHANGES.items() if name != "nearer"}
    means = {name: picture[there].mean(axis=0) for name, picture in after.items()}

    def spread(picture):
        return picture[there].std()

    assert means["bluer"][0] > before[0] + 5
    assert means["bluer"][2] < before[2] - 5
    assert means["yellower"][0] < before[0] - 5
    assert means["yellower"][2] > before[2]
    assert means["darker"].max() < before.min()
    assert means["brighter"].min() > before.min() + 10
    assert spread(after["flatter"]) < 0.7 * spread(crop)
    assert np.ptp(means["grey"]) < 1
    steps = {
        name: np.abs(np.diff(p.astype(int), axis=1)).mean() for name, p in after.items()
    }
    own = np.abs(np.diff(crop.astype(int), axis=1)).mean()
    assert steps["softer"] < own < steps["noisier"]


# The amounts are written out: published figures of a model depend on each of them.
@pytest.mark.parametrize(
    ("name", "at_50", "at_128", "at_200"),
    [
        ("bluer", (62, 50, 40), (160, 128, 102), (250, 200, 160)),
        ("yellower", (40, 50, 62), (102, 128, 160), (160, 200, 250)),
        ("darker", (16, 16, 16), (79, 79, 79), (169, 169, 169)),  # 255 (L / 255)^1.7
        ("brighter", (96, 96, 96), (169, 169, 169), (220, 220, 220)),  # and ^0.6
        ("flatter", (81, 81, 81), (128, 128, 128), (171, 171, 171)),  # 0.6 L + 51
        ("grey", (50, 50, 50), (128, 128, 128), (200, 200, 200)),
    ],
)
def test_levels_become_others(name, at_50, at_128, at_200):
    ramp = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    changed = CHANGES[name](ramp).reshape(256, 3)

    np.testing.assert_allclose(changed[[50, 128, 200]], (at_50, at_128, at_200), atol=1)


def test_grey_is_the_brightness_that_people_see():
    coloured = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    # ITU-R BT.601: 0.114 of blue, 0.587 of green, 0.299 of red.
    np.testing.assert_array_equal(CHANGES["grey"](coloured), 96)


def test_compression_is_of_quality_25(crop):
    bright = np.maximum(crop, 1)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 25]
    _, data = cv2.imencode(".jpg", bright, quality)
    expected = np.maximum(cv2.imdecode(data, cv2.IMREAD_COLOR), 1)

    np.testing.assert_array_equal(CHANGES["recompressed"](bright), expected)


def test_noise_has_a_deviation_of_18_levels():
    grey = np.full((200, 200, 3), 128, np.uint8)
    added = CHANGES["noisier"](grey) - 128.0

    assert added.mean() == pytest.approx(0, abs=0.7)
    assert added.std() == pytest.approx(18, abs=0.3)
    assert added[..., 0].std() == pytest.approx(18, abs=0.5)
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(("side_px", "deviation_px"), [(320, 4), (160, 2), (24, 0.5)])
def test_soft_focus_is_an_eightieth_of_the_side(side_px, deviation_px):
    """The step of a sharp edge becomes the middle weight of the blur's kernel."""
    edge = np.full((side_px, side_px, 3), 20, np.uint8)
    edge[:, side_px // 2 :] = 220
    row = CHANGES["softer"](edge)[side_px // 2, :, 0].astype(int)

    offsets = np.arange(-20, 21)
    weights = np.exp(-(offsets**2) / (2 * deviation_px**2))
    assert np.diff(row).max() == pytest.approx(200 / weights.sum(), abs=1.5)


def test_nearer_is_the_middle_four_fifths():
    crop = np.random.default_rng(0).integers(1, 256, (100, 100, 3)).astype(np.uint8)
    np.testing.assert_array_equal(CHANGES["nearer"](crop), crop[10:90, 10:90])
