"""Simulated attacks: repeatable, in range, visibly attacks, faces where they say."""

import cv2
import numpy as np
import pytest

from liveness.constants import ROOT
from liveness.faces.boxes import box_area, clip_box, intersection_over_union
from liveness.faces.crops import crop_face
from liveness.faces.detector import FaceDetector
from liveness.simulation import composition, light, panels, recapture
from liveness.simulation.composition import compose_attack, paste_panel, placement
from liveness.simulation.panels import make_panel, plain_backdrop
from liveness.simulation.recapture import KINDS, simulate
from tools.make_examples import draw_room, load_portraits


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
        compose_attack(portrait.image, room, portrait.box, rng_of(3), kind="screen")
        for _ in range(2)
    )

    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_an_attack_may_be_before_the_lower_part_of_a_picture(portrait, monkeypatch):
    """What is above in the background is not seen then."""
    background = np.zeros((240, 320, 3), np.uint8)
    background[:60, :, 2] = background[60:, :, 1] = 200

    def red_share(share: float, seed: int) -> float:
        monkeypatch.setattr(composition, "BEFORE_A_BODY", share)
        rng = np.random.default_rng(seed)
        image, _ = compose_attack(
            portrait.image, background, portrait.box, rng, kind="print"
        )
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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("box", [(0, 0, 60, 80), (470, 560, 600, 700)])
def test_face_at_the_border_of_the_content(portrait, room, box, kind):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, face = compose_attack(portrait.image, room, box, rng, kind=kind)
        assert box_area(face) > 0


def test_box_outside_the_content(portrait, room):
    with pytest.raises(ValueError, match="inside the picture"):
        outside = (900, 900, 950, 950)
        compose_attack(portrait.image, room, outside, rng_of(0), kind="screen")


def test_placement_puts_the_face_at_the_centre(portrait, room):
    rng = np.random.default_rng(1)
    panel = make_panel(portrait.image, portrait.box, "print", 120, rng)
    matrix = placement(panel, (300, 200), turn_deg=10)

    _, box = paste_panel(room, panel, matrix)

    assert abs((box[0] + box[2]) / 2 - 300) <= 1
    assert abs((box[1] + box[3]) / 2 - 200) <= 1
    assert abs(box[3] - box[1] - 120) <= 2


def detail(image) -> float:
    """How much a picture changes from pixel to pixel."""
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F).std())


def rng_of(seed) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("kind", "effect", "least", "most"),
    [
        ("screen", "_misexposed", 0.4, 0.8),
        ("screen", "_screen_colours", 0.2, 0.6),
        ("screen", "_resample", 0.3, 0.7),
        ("screen", "_defocus", 0.55, 0.95),
        ("screen", "_sharpen", 0.05, 0.4),
        ("screen", "pixel_grid", 0.2, 0.6),
        ("screen", "banding", 0.1, 0.45),
        ("screen", "uneven_light", 0.3, 0.7),
        ("screen", "glare", 0.3, 0.7),
        ("screen", "recompress_randomly", 1, 1),
        ("print", "_print_colours", 1, 1),
        ("print", "_resample", 0.2, 0.6),
        ("print", "halftone", 0.3, 0.7),
        ("print", "_defocus", 0.55, 0.95),
        ("print", "uneven_light", 1, 1),
        ("print", "paper", 0.4, 0.8),
        ("print", "glare", 0.1, 0.5),
        ("print", "recompress_randomly", 1, 1),
    ],
)
def test_each_effect_has_its_share(crop, monkeypatch, kind, effect, least, most):
    small = cv2.resize(crop, (32, 32))
    found = []
    original = getattr(recapture, effect)
    monkeypatch.setattr(
        recapture, effect, lambda *given: found.append(1) or original(*given)
    )
    for seed in range(100):
        simulate(small, kind, rng_of(seed))

    assert least <= len(found) / 100 <= most


class TestEffects:
    """Each by itself at full strength, so that none can be lost among the others."""

    @pytest.mark.parametrize("seed", range(5))
    def test_pixel_grid_is_periodic(self, seed):
        grid = light.pixel_grid((128, 128), 1.0, rng_of(seed))[..., 1]
        spectrum = np.abs(np.fft.rfft2((grid - grid.mean()) * np.hanning(128)))

        assert grid.mean() == pytest.approx(1, abs=0.05)
        assert np.sort(spectrum.ravel())[-20:].mean() > 10 * spectrum.mean()

    def test_banding_is_along_the_rows(self):
        bands = light.banding((100, 80), 1.0, rng_of(0))

        assert bands.shape == (100, 1, 1)
        assert 0.02 < np.ptp(bands) < 0.4
        assert np.abs(np.diff(bands[:, 0, 0])).max() < np.ptp(bands) / 2  # no noise

    def test_uneven_light_is_smooth(self):
        field = light.uneven_light((100, 80), 0.4, rng_of(0))[..., 0]

        assert 0.05 < np.ptp(field) <= 0.4
        assert detail(field) < 0.01

    @pytest.mark.parametrize("seed", range(5))
    def test_paper_is_grainy(self, seed):
        paper = light.paper((100, 80), 1.0, rng_of(seed))[..., 0]

        assert paper.mean() == pytest.approx(1, abs=0.02)
        assert 0.003 < paper.std() < 0.1
        assert detail(paper) > 0.3 * paper.std()

    @pytest.mark.parametrize("seed", range(5))
    def test_glare_is_light_at_places(self, seed):
        haze = light.glare((100, 80), 1.0, rng_of(seed))

        assert haze.shape == (100, 80, 3)
        assert haze.min() >= 0 and haze.max() <= 1
        assert haze.max() - np.median(haze) > 0.02
        assert detail(haze[..., 0]) < haze.std()

    @pytest.mark.parametrize("seed", range(5))
    def test_spots_are_small_and_bright(self, seed):
        spots = light.spots((100, 80), rng_of(seed))

        assert spots.max() > 0.2
        assert np.median(spots) < 0.05

    @pytest.mark.parametrize("soften", [recapture._defocus, recapture._resample])
    def test_softening(self, crop, soften):
        """Mostly: nearest neighbours, drawn at times, are blocky."""
        seen = [soften(crop, 1.0, rng_of(seed)) for seed in range(20)]

        assert {one.shape for one in seen} == {crop.shape}
        assert np.median([detail(one) for one in seen]) < 0.9 * detail(crop)
        assert max(cv2.absdiff(one, crop).mean() for one in seen) < 15

    @pytest.mark.parametrize("seed", range(5))
    def test_sharpening(self, crop, seed):
        assert detail(recapture._sharpen(crop, rng_of(seed))) > 1.1 * detail(crop)

    @pytest.mark.parametrize("seed", range(5))
    def test_recompression_loses_a_little(self, crop, seed):
        again = recapture.recompress_randomly(crop, rng_of(seed))

        assert 0.3 < cv2.absdiff(again, crop).mean() < 10

    @pytest.mark.parametrize(
        "colours", [recapture._screen_colours, recapture._print_colours]
    )
    def test_colours_move_and_stay_in_order(self, colours):
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        spread, moved = [], []
        for seed in range(20):
            seen = colours(ramp, 1.0, rng_of(seed)).astype(int)
            assert (np.diff(seen, axis=1) >= 0).all()
            spread.append(np.ptp(seen[0, 128]))
            moved.append(np.abs(seen - ramp).mean())
        assert np.median(spread) > 5  # grey has a cast
        assert np.median(moved) > 8

    def test_ink_is_not_black_and_paper_not_white(self):
        ends = np.array([[[0] * 3, [255] * 3]], np.uint8)
        seen = [recapture._print_colours(ends, 1.0, rng_of(seed)) for seed in range(20)]

        assert np.mean([one[0, 0] for one in seen]) > 10
        assert np.mean([one[0, 1] for one in seen]) < 245

    def test_the_camera_does_not_expose_for_all_screens(self, crop):
        seen = [recapture._misexposed(crop, 1.0, rng_of(seed)) for seed in range(40)]
        burnt = [(one.min(axis=2) == 255).mean() for one in seen]
        own = (crop.min(axis=2) == 255).mean()

        assert max(burnt) > own + 0.1
        brightness = [float(one.mean()) - crop.mean() for one in seen]
        assert max(brightness) > 20 and min(brightness) < -10

    @pytest.mark.parametrize("seed", range(5))
    def test_halftone_has_dots_in_the_mid_tones_alone(self, seed):
        def dots(grey: int) -> float:
            flat = np.full((60, 60, 3), grey, np.uint8)
            return light.halftone(flat, 1.0, rng_of(seed)).std()

        assert dots(128) > 2
        assert dots(0) < 0.5 and dots(255) < 0.5


class TestPanels:
    FACE = (30, 30, 70, 80)

    @pytest.fixture
    def shown(self) -> np.ndarray:
        return np.full((120, 100, 3), (60, 130, 200), np.uint8)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_device_has_a_frame_of_its_own_colour(self, shown, seed):
        panel = panels._device(shown, self.FACE, 50, rng_of(seed))

        height, width = panel.image.shape[:2]
        assert panel.alpha.shape == (height, width)
        assert height > shown.shape[0] and width > shown.shape[1]
        left, top = panel.box[0] - self.FACE[0], panel.box[1] - self.FACE[1]
        assert left > 0 and top > 0
        frame = panel.image[height // 2, left - 1].astype(int)
        assert np.abs(frame - shown[0, 0]).max() > 20
        assert panel.alpha[height // 2, width // 2] == 255

    def test_corners_of_a_device_may_be_round(self, shown):
        corners = {
            int(panels._device(shown, self.FACE, 50, rng_of(seed)).alpha[0, 0])
            for seed in range(20)
        }
        assert 0 in corners

    def test_a_sheet_is_cut_and_bent(self, shown):
        sheets = [
            panels._sheet(shown, self.FACE, 50, rng_of(seed)) for seed in range(20)
        ]
        assert any((panel.alpha == 0).any() for panel in sheets)
        margins = [panel.box[0] - self.FACE[0] for panel in sheets]
        assert min(margins) == 0 and max(margins) > 5
        # Shading across the sheet comes from the bend alone: what is shown is flat.
        middle = [panel.image[panel.image.shape[0] // 2, :, 2] for panel in sheets]
        assert np.median([np.ptp(row[20:-20].astype(int)) for row in middle]) > 5

    def test_an_interface_lies_above_and_below(self, shown):
        seen = [panels._interface(shown, rng_of(seed)) for seed in range(20)]

        assert all(one.shape == shown.shape for one in seen)
        bars = [(one[[0, -1]].astype(int) - shown[[0, -1]]).any() for one in seen]
        assert np.mean(bars) > 0.8
        centre = slice(50, 55)
        assert all(
            np.abs(one[centre, centre].astype(int) - shown[0, 0]).max() <= 1
            for one in seen
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_held_attacks_show_skin(self, portrait, monkeypatch, kind):
        """Nothing else in it is of that colour: all is blue."""
        blue = np.full((240, 320, 3), (200, 60, 20), np.uint8)

        def skin(held: float, seed: int) -> float:
            monkeypatch.setitem(composition.HELD, kind, held)
            content = np.full_like(portrait.image, (200, 60, 20))
            image, _ = compose_attack(
                content, blue, portrait.box, rng_of(seed), kind=kind
            )
            blues, _, reds = cv2.split(image.astype(int))
            return float((reds > blues + 15).mean())

        found = [skin(1, seed) - skin(0, seed) for seed in range(20)]
        assert np.mean([one > 0.005 for one in found]) > 0.6
        assert min(found) > -0.02
