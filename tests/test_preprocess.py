"""The one crop geometry: pixels of crops and views."""

import cv2
import numpy as np
import pytest

from liveness.preprocess import (
    CROP_SCALE,
    MAX_CROP_SIDE_PX,
    crop_face,
    model_input,
    view_of_crop,
    whole_box,
)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(1, 256, (120, 160, 3), np.uint8)


def test_crop_is_the_square_around_the_box(noise):
    crop = crop_face(noise, (60, 40, 80, 60), scale=2)
    assert np.array_equal(crop, noise[30:70, 50:90])
    crop[:] = 0  # a copy: the image stays
    assert noise.min() > 0


def test_default_scale_and_longer_side_count(noise):
    crop = crop_face(noise, (70, 40, 80, 60))
    assert crop.shape == (round(20 * CROP_SCALE),) * 2 + (3,)


def test_beyond_the_border_is_black(noise):
    crop = crop_face(noise, (0, 0, 20, 20), scale=2)
    assert crop.shape == (40, 40, 3)
    assert not crop[:10].any() and not crop[:, :10].any()
    assert np.array_equal(crop[10:, 10:], noise[:30, :30])


def test_large_crop_is_shrunk_by_averaging():
    image = np.random.default_rng(1).integers(0, 256, (900, 900, 3), np.uint8)
    crop = crop_face(image, (200, 200, 712, 712), scale=1)
    assert crop.shape == (MAX_CROP_SIDE_PX,) * 2 + (3,)
    wanted = image[200:712, 200:712].reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(crop - wanted).max() <= 1


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (900, 900, 920, 920)])
def test_box_without_pixels_is_refused(noise, box):
    with pytest.raises(ValueError, match="Expected a box"):
        crop_face(noise, box)


def test_view_is_the_centre_of_the_crop():
    crop = np.random.default_rng(2).integers(0, 256, (108, 108, 3), np.uint8)
    view = view_of_crop(crop, crop_scale=2.7, view_scale=1.0, side_px=40)
    assert np.array_equal(view, crop[34:74, 34:74])


def test_view_larger_than_the_crop_has_a_black_border():
    crop = np.full((50, 50, 3), 200, np.uint8)
    view = view_of_crop(crop, crop_scale=1.0, view_scale=2.0, side_px=100)
    assert (view[25:75, 25:75] == 200).all()
    assert view[:25].max() == view[75:].max() == 0


def test_model_input_of_a_whole_picture(noise):
    crop = cv2.resize(noise, (64, 64))
    assert whole_box(crop) == (0, 0, 64, 64)
    batch = model_input([crop], crop_scale=1, view_scales=(1, 0.5), side_px=32)
    assert batch.shape == (1, 32, 32, 6) and batch.dtype == np.float32
    assert 0 <= batch.min() and batch.max() <= 1
    assert np.allclose(batch[0, :, :, 3:] * 255, crop[16:48, 16:48])


def test_no_crops_make_an_empty_batch():
    assert model_input([], crop_scale=1, view_scales=(1,), side_px=32).shape[0] == 0
