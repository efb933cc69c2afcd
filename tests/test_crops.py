"""The one crop geometry: pixels of crops and views."""

import cv2
import numpy as np
import pytest

from liveness.faces.crops import (
    CROP_SCALE,
    crop_face,
    filmed_box,
    filmed_share,
    model_input,
    view_of_crop,
    views_of_crop,
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
    assert crop.shape == (54, 54, 3)


def test_beyond_the_border_is_black(noise):
    crop = crop_face(noise, (0, 0, 20, 20), scale=2)
    assert crop.shape == (40, 40, 3)
    assert not crop[:10].any() and not crop[:, :10].any()
    assert np.array_equal(crop[10:, 10:], noise[:30, :30])


def test_large_crop_is_shrunk_by_averaging():
    side = 432
    image = np.random.default_rng(1).integers(0, 256, (950, 950, 3), np.uint8)
    end = 50 + 2 * side
    crop = crop_face(image, (50, 50, end, end), scale=1)
    assert crop.shape == (side, side, 3)
    wanted = image[50:end, 50:end].reshape(side, 2, side, 2, 3).mean((1, 3))
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


def test_filmed_box_is_what_is_not_black_beyond_the_frame(noise):
    crop = crop_face(noise, (0, 10, 20, 30), scale=3)
    assert filmed_box(crop) == (20, 10, 60, 60)
    assert filmed_box(np.zeros((7, 9, 3), np.uint8)) == (0, 0, 9, 7)


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_view_inside_the_face_shows_no_black(shape):
    """A box cut out by itself is no square: black beside it would tell its form."""
    face = np.random.default_rng(3).integers(1, 256, (*shape, 3), np.uint8)
    crop = crop_face(face, whole_box(face))
    view = view_of_crop(crop, crop_scale=CROP_SCALE, view_scale=0.9, side_px=40)
    top, left = (shape[0] - 40) // 2, (shape[1] - 40) // 2
    assert np.array_equal(view, face[top : top + 40, left : left + 40])


def test_view_inside_the_face_is_never_a_speck():
    """Where a face is nearly all beyond the frame, black is shown after all."""
    crop = np.zeros((270, 270, 3), np.uint8)
    crop[:, :137] = 200
    view = view_of_crop(crop, crop_scale=2.7, view_scale=0.8, side_px=40)
    assert 0 < (view == 0).mean() < 0.5


def test_surroundings_that_are_hardly_there_are_all_black():
    crop = np.zeros((108, 108, 3), np.uint8)
    crop[34:74, 34:74] = np.random.default_rng(4).integers(1, 256, (40, 40, 3))
    views = views_of_crop(crop, crop_scale=2.7, view_scales=(0.8, 2.7), side_px=32)
    assert views[..., :3].all() and not views[..., 3:].any()
    crop[20:90, 20:90] = 99  # 42 % of the crop
    views = views_of_crop(crop, crop_scale=2.7, view_scales=(0.8, 2.7), side_px=32)
    assert 0.4 < filmed_share(views[..., 3:]) < 0.5


def test_model_input_of_a_whole_picture(noise):
    crop = cv2.resize(noise, (64, 64))
    assert whole_box(crop) == (0, 0, 64, 64)
    batch = model_input([crop], crop_scale=1, view_scales=(1, 0.5), side_px=32)
    assert batch.shape == (1, 32, 32, 6) and batch.dtype == np.float32
    assert 0 <= batch.min() and batch.max() <= 1
    assert np.allclose(batch[0, :, :, 3:] * 255, crop[16:48, 16:48])


def test_no_crops_make_an_empty_batch():
    assert model_input([], crop_scale=1, view_scales=(1,), side_px=32).shape[0] == 0
