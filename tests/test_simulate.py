"""Simulated attacks: repeatable, in range, visibly attacks, faces where they say."""

import cv2
import numpy as np
import pytest

from liveness import simulate as subject
from liveness.boxes import box_area, clip_box, intersection_over_union
from liveness.cli import ROOT
from liveness.faces import FaceDetector
from liveness.preprocess import crop_face
from liveness.simulate import (
    KINDS,
    compose_attack,
    make_panel,
    paste_panel,
    placement,
    plain_backdrop,
    simulate,
)
from make_examples import draw_room, load_portraits


@pytest.fixture(scope="module")
def portrait():
    return load_portraits()[0]


@pytest.fixture(scope="module")
def crop(portrait) -> np.ndarray:
    return crop_face(portrait.image, portrait.box, scale=1.5)


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    return draw_room(np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_same_picture(crop, kind):
    first = simulate(crop, kind, np.random.default_rng(5))

    np.testing.assert_array_equal(first, simulate(crop, kind, np.random.default_rng(5)))
    assert (first != simulate(crop, kind, np.random.default_rng(6))).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape_hw", [(1, 1), (7, 3), (64, 200), (256, 256)])
def test_any_size_keeps_shape_and_input(crop, kind, shape_hw):
    image = np.ascontiguousarray(cv2.resize(crop, shape_hw[::-1]))
    before = image.copy()
    for seed in range(12):
        result = simulate(image, kind, np.random.default_rng(seed))
        assert result.shape == image.shape
        assert result.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", KINDS)
def test_attacks_look_different_and_stay_faces(crop, kind):
    pictures = [simulate(crop, kind, np.random.default_rng(seed)) for seed in range(60)]

    distances = [cv2.absdiff(picture, crop).mean() for picture in pictures]
    assert min(distances) > 1.5
    assert 10 < np.median(distances) < 70
    detail = [cv2.Laplacian(picture, cv2.CV_32F).std() for picture in pictures]
    own = cv2.Laplacian(crop, cv2.CV_32F).std()
    assert np.median(detail) < 0.9 * own  # mostly softer
    assert max(detail) > own  # at times a grid or dots on top
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).ravel()
    alike = [
        np.corrcoef(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).ravel(), grey)[0, 1]
        for picture in pictures
    ]
    assert np.median(alike) > 0.9


def test_unknown_kind(crop):
    with pytest.raises(ValueError, match="kind='mask'"):
        simulate(crop, "mask", np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_composed_face_is_where_the_box_says(portrait, room, kind):
    detector = FaceDetector(ROOT / "face_detector")
    before = portrait.image.copy(), room.copy()
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, box = compose_attack(portrait.image, room, portrait.box, rng, kind=kind)
        assert image.shape == room.shape and image.dtype == np.uint8
        assert clip_box(box, room.shape[:2]) == box and box_area(box) > 0
        faces = detector.detect(image)
        found += bool(faces) and intersection_over_union(faces[0].box, box) > 0.5
    assert found >= 17
    np.testing.assert_array_equal(portrait.image, before[0])
    np.testing.assert_array_equal(room, before[1])


def test_composition_repeats(portrait, room):
    first, second = (
        compose_attack(portrait.image, room, portrait.box, np.random.default_rng(3))
        for _ in range(2)
    )

    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_an_attack_may_be_before_the_lower_part_of_a_picture(portrait, monkeypatch):
    """What is above in the background is not seen then."""
    background = np.zeros((240, 320, 3), np.uint8)
    background[:60, :, 2] = background[60:, :, 1] = 200

    def red_share(share: float, seed: int) -> float:
        monkeypatch.setattr(subject, "BEFORE_A_BODY", share)
        rng = np.random.default_rng(seed)
        image, _ = compose_attack(portrait.image, background, portrait.box, rng)
        blue, green, red = cv2.split(image[:8].astype(int))
        return float((red > green + blue + 40).mean())

    for seed in range(6):
        assert red_share(0, seed) > 0.2
        assert red_share(1, seed) < 0.02


def test_passport_picture_keeps_the_person_and_one_colour_behind(portrait):
    image, (x_min, y_min, x_max, y_max) = portrait.image, portrait.box
    # A room behind the person: stripes, which no passport picture has.
    striped = image.copy()
    striped[: y_min // 2, ::8] //= 2
    striped[: y_min // 2, 4::8] //= 4

    for seed in range(8):
        rng = np.random.default_rng(seed)
        result = plain_backdrop(striped, portrait.box, rng)
        again = plain_backdrop(striped, portrait.box, np.random.default_rng(seed))

        np.testing.assert_array_equal(result, again)
        above = np.abs(result[: y_min // 4].astype(int) - result[0, 0])
        assert (above.max(axis=2) <= 2).mean() > 0.9
        face = (slice(y_min, y_max), slice(x_min, x_max))
        changed = np.abs(result[face].astype(int) - striped[face]).max(axis=2) > 2
        assert changed.mean() < 0.1


@pytest.mark.parametrize(
    "face", [(-50, -60, 90, 100), (10, 10, 11, 11), (300, 300, 400, 400)]
)
def test_passport_picture_of_a_face_that_is_hardly_there(face):
    image = np.random.default_rng(0).integers(0, 256, (60, 40, 3), np.uint8)

    result = plain_backdrop(image, face, np.random.default_rng(1))

    assert (result.shape, result.dtype) == (image.shape, np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 60, 80), (470, 560, 600, 700)])
def test_face_at_the_border_of_the_content(portrait, room, box):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, face = compose_attack(portrait.image, room, box, rng)
        assert box_area(face) > 0


def test_box_outside_the_content(portrait, room):
    with pytest.raises(ValueError, match="in the picture"):
        compose_attack(
            portrait.image, room, (900, 900, 950, 950), np.random.default_rng(0)
        )


def test_placement_puts_the_face_at_the_centre(portrait, room):
    rng = np.random.default_rng(1)
    panel = make_panel(portrait.image, portrait.box, "print", 120, rng)
    matrix = placement(panel, (300, 200), turn_deg=10)

    _, box = paste_panel(room, panel, matrix)

    assert abs((box[0] + box[2]) / 2 - 300) <= 1
    assert abs((box[1] + box[3]) / 2 - 200) <= 1
    assert abs(box[3] - box[1] - 120) <= 2
