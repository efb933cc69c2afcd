"""Changes of light, colour and focus: what they claim, and nothing in the black."""

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
