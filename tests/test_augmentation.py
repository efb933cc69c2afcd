"""What training does to its pictures: repeatable, in range, black stays black."""

import itertools

import cv2
import numpy as np
import pytest

from liveness.training import augmentation as subject
from liveness.training.augmentation import another_camera

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


@pytest.fixture
def only(monkeypatch):
    """Switches off all variation but what is named, which stays as it ships."""
    off = {"FLIP": 0, "QUARTER_TURN": 0, "BLUR": 0, "NOISE": 0, "FRAMED": 0}
    off |= {"MAX_ROTATION_DEG": 0, "MAX_STRETCH": 0, "SHOWN": (1, 1)}
    off |= {"SHOWN_WIDE": (1, 1), "MAX_SHIFT_WIDE": 0}
    as_filmed = subject.Light(0, (1, 1), 0, (1, 1))
    off |= {"OTHER_LIGHT": 0, "GREY": 0, "NEARLY_AS_FILMED": as_filmed}
    off |= {"RECOMPRESSED": 0}
    off |= {"ANOTHER_LIGHT": as_filmed}

    def switch(*shipped, **on):
        for name, value in (off | on).items():
            if name not in shipped:
                monkeypatch.setattr(subject, name, value)

    return switch


def test_without_variation_nothing_changes(images, only):
    only()
    for wide in (False, True):
        np.testing.assert_array_equal(vary(images, wide=wide), images)


def test_mirrored(images, only):
    only(FLIP=1)
    np.testing.assert_array_equal(vary(images), images[:, :, ::-1])


def test_quarter_turns(images, only):
    only(QUARTER_TURN=1)
    changed = vary(images)

    turned = [np.rot90(images, times, axes=(1, 2)).astype(int) for times in (1, 2, 3)]
    away = np.array([np.abs(changed - one).max(axis=(1, 2, 3)) for one in turned])
    assert (away.min(axis=0) <= 1).all()
    assert set(away.argmin(axis=0)) == {0, 1, 2}


def test_small_turns_keep_lengths_and_the_centre(only):
    """Two dots turn about the centre, by as much as is allowed and no more."""
    only(MAX_ROTATION_DEG=30)
    dots = np.zeros((81, 81, 3), np.uint8)
    for x in (20, 60):
        cv2.circle(dots, (x, 40), 4, (255, 255, 255), -1)
    changed = vary(np.repeat(dots[None], COUNT, axis=0), side_px=81)

    angles = []
    for one in changed:
        _, _, _, centres = cv2.connectedComponentsWithStats(one[..., 0] // 128)
        (x1, y1), (x2, y2) = centres[1:]
        assert np.hypot(x2 - x1, y2 - y1) == pytest.approx(40, abs=1)
        assert (x1 + x2) / 2 == pytest.approx(40, abs=0.5)
        assert (y1 + y2) / 2 == pytest.approx(40, abs=0.5)
        angles.append(np.degrees(np.arctan((y2 - y1) / (x2 - x1))))
    assert -31 < min(angles) < -15
    assert 15 < max(angles) < 31


def test_white_balance_multiplies_the_light_of_each_channel(images, only):
    """The same ratio for dark and light parts of a picture, another one per channel."""
    only(NEARLY_AS_FILMED=subject.Light(0, (1, 1), 0, (0.75, 1.3)))
    ratios = vary(images) / images

    each = np.median(ratios, axis=(1, 2))
    assert np.abs(ratios - each[:, None, None]).max() < 0.02
    assert (each.min(axis=0) < 0.8).all()
    assert (each.max(axis=0) > 1.25).all()
    assert np.median(np.ptp(each, axis=1)) > 0.15


def test_contrast_spreads_levels_about_grey(images, only):
    only(NEARLY_AS_FILMED=subject.Light(0, (0.5, 0.5), 0, (1, 1)))
    np.testing.assert_allclose(vary(images), (images - 127.5) * 0.5 + 127.5, atol=1)


def test_tones_bend_and_keep_black_and_white(only):
    only(NEARLY_AS_FILMED=subject.Light(0.7, (1, 1), 0, (1, 1)))
    ramp = np.tile(np.arange(1, 256, dtype=np.uint8)[:, None], (1, 255))
    bent = vary(np.repeat(np.dstack([ramp] * 3)[None], COUNT, axis=0), side_px=255)

    assert bent[:, 0].max() <= 2
    assert bent[:, -1].min() == 255
    middle = bent[:, 127, 127, 0]
    assert middle.min() < 95
    assert middle.max() > 160
    assert (np.diff(bent[:, :, 0, 0].astype(int), axis=1) >= 0).all()


def test_far_light_and_grey_are_as_frequent_as_they_say_and_not_inside_the_face(
    images, only
):
    half_the_contrast = subject.Light(0, (0.5, 0.5), 0, (1, 1))
    only(OTHER_LIGHT=0.5, GREY=0.4, ANOTHER_LIGHT=half_the_contrast)
    many = np.repeat(images, 8, axis=0)
    np.testing.assert_array_equal(vary(many), many)  # inside the face
    changed = vary(many, wide=True)

    grey = (np.ptp(changed, axis=3) == 0).all(axis=(1, 2))
    far = changed.std(axis=(1, 2)).max(axis=1) < 0.6 * many.std(axis=(1, 2)).max(axis=1)
    assert grey.mean() == pytest.approx(0.2, abs=0.06)
    assert far.mean() == pytest.approx(0.5, abs=0.07)
    assert far[grey].all()


def test_a_zoom_looks_anywhere_inside_the_picture(only):
    """Position as colour: half of the side is seen, anywhere, and nothing beyond."""
    only(SHOWN=(0.5, 0.5))
    place = np.tile(np.arange(1, 101, dtype=np.uint8), (100, 1))
    ramps = np.dstack([place, place.T, place])
    changed = vary(np.repeat(ramps[None], COUNT, axis=0), side_px=50)

    for channel, axis in ((0, 2), (1, 1)):
        span = np.ptp(changed[..., channel], axis=axis)
        assert (abs(span - 49.0) <= 1).all()
        firsts = changed[..., channel].min(axis=(1, 2))
        assert firsts.min() < 12
        assert firsts.max() > 40


def test_soft_focus_takes_detail_away(only):
    rng = np.random.default_rng(3)
    fine = rng.integers(60, 200, (COUNT, SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    only(BLUR=1)

    spread = vary(fine).std(axis=(1, 2, 3)) / fine.std(axis=(1, 2, 3))
    assert (spread < 1.001).all()
    assert spread.min() < 0.4


def test_noise_is_added_around_what_was_there(images, only):
    only(NOISE=1)
    added = vary(images).astype(int) - images

    assert abs(added.mean()) < 0.1
    deviations = added.std(axis=(1, 2, 3))
    assert 9.2 < deviations.max() < 10.5  # 4 % of the range
    assert deviations.min() < 2


def test_a_black_bar_stays_black_to_its_edge(images, only):
    barred = images.copy()
    barred[:, :, :9] = 0
    only(NOISE=1, NEARLY_AS_FILMED=subject.Light(0, (1, 1), 0.3, (1, 1)))

    changed = vary(barred)
    assert not changed[:, :, :9].any()
    assert (changed[:, :, 9:].max(axis=3) > 0).all()


def test_frames_end_beside_the_face_in_wide_pictures_only(images):
    assert (vary(images).max(axis=3) > 0).all()

    wide = vary(images, wide=True).max(axis=3) > 0
    framed = (~wide).any(axis=(1, 2))
    assert 0.15 < framed.mean() < 0.5
    middle = slice(round(SIDE_PX * 0.35), round(SIDE_PX * 0.65))
    assert wide[:, middle, middle].all()


def test_some_frames_are_upright_like_a_phones(images, monkeypatch):
    """Narrow left and right of the face, whatever the edges above and below."""
    monkeypatch.setattr(subject, "FRAMED", 1)
    monkeypatch.setattr(subject, "EDGE_MOVED", 0)

    filmed = vary(images, wide=True).max(axis=3) > 0
    widths = filmed.any(axis=1).sum(axis=1)
    heights = filmed.any(axis=2).sum(axis=1)
    upright = widths < SIDE_PX
    assert 0.2 < upright.mean() < 0.5
    assert (widths[upright] <= 0.75 * SIDE_PX).all()
    assert (widths[upright] >= 0.35 * SIDE_PX).all()
    assert (heights == SIDE_PX).all()


@pytest.mark.parametrize(("wide", "least"), [(False, 25), (True, 50)])
def test_some_pictures_are_compressed_of_either_class(images, monkeypatch, wide, least):
    """Simulated attacks always are: without this, JPEG would mean fake."""
    noise = np.random.default_rng(3).integers(-40, 40, images.shape)
    rough = np.clip(images + noise, 1, 255).astype(np.uint8)
    qualities = []

    def count(picture, quality):
        qualities.append(quality)
        return picture

    monkeypatch.setattr(subject, "recompress", count)
    vary(np.repeat(rough, 8, axis=0), wide=wide)
    assert 0.34 < len(qualities) / COUNT / 8 < 0.46
    assert least <= min(qualities) < least + 4
    assert 92 < max(qualities) <= 96

    monkeypatch.undo()
    monkeypatch.setattr(subject, "RECOMPRESSED", 1)
    always = vary(rough, wide=wide)
    monkeypatch.setattr(subject, "recompress", lambda picture, quality: picture)
    assert difference(always, vary(rough, wide=wide)) > 1


# What each field of a Light does, from the levels, 0 to 1, that 256 levels become.
MEASURES = {
    "tone_bend": lambda levels: 4 * levels[128] - 2,
    "contrast": lambda levels: (levels[191] - levels[64]) * 255 / 127,
    "brightness": lambda levels: levels[128] - 128 / 255,
    "channel_gain": lambda levels: levels[140] * 255 / 140,
}


class TestAsShipped:
    """What training sees: how often and how far, with the constants as they are."""

    MANY = 1000

    def geometry(self, wide: bool) -> tuple[np.ndarray, ...]:
        """Turns, zooms, stretches, mirroring and shifts, from three dots."""
        side, dots = 161, [(80, 80), (110, 80), (80, 110)]
        picture = np.full((side, side, 3), 1, np.uint8)
        for channel, dot in enumerate(dots):
            layer = np.ones((side, side), np.uint8)
            picture[..., channel] = cv2.circle(layer, dot, 5, 255, -1)
        changed = vary([picture] * self.MANY, wide=wide, side_px=side)
        weights = changed.astype(float) - 1
        totals = weights.sum(axis=(1, 2))
        across = np.arange(side)
        x = (weights.sum(axis=1) * across[:, None]).sum(axis=1) / totals
        y = (weights.sum(axis=2) * across[:, None]).sum(axis=1) / totals
        # Rows of the map from the result to the source, as three points fix it.
        places = np.stack([x, y, np.ones_like(x)], axis=2)
        maps = np.linalg.solve(places, np.broadcast_to(dots, (self.MANY, 3, 2)) * 1.0)
        maps = maps.transpose(0, 2, 1)
        turns = np.degrees(np.arctan2(-maps[:, 1, 0], maps[:, 1, 1]))
        wide_px, high_px = np.hypot(maps[..., 0], maps[..., 1]).T
        is_mirrored = np.linalg.det(maps[..., :2]) < 0
        shifts = maps @ [80, 80, 1] - 80
        return turns, high_px, np.log(wide_px / high_px), is_mirrored, shifts / side

    @pytest.mark.parametrize(
        ("wide", "least_shown"), [(False, 0.7), (True, 0.85)], ids=["face", "wide"]
    )
    def test_geometry(self, only, wide, least_shown):
        names = ("FLIP", "QUARTER_TURN", "MAX_ROTATION_DEG", "MAX_STRETCH")
        only(*names, "SHOWN", "SHOWN_WIDE", "MAX_SHIFT_WIDE")
        turns, shown, stretches, is_mirrored, shifts = self.geometry(wide)

        quarters = np.rint(turns / 90)
        assert 0.45 < is_mirrored.mean() < 0.55
        assert 0.055 < (quarters != 0).mean() < 0.105
        assert set(quarters % 4) == {0, 1, 2, 3}
        small = turns - 90 * quarters
        assert (small.min(), small.max()) == pytest.approx((-11.5, 11.5), abs=0.3)
        extremes = stretches.min(), stretches.max()
        assert extremes == pytest.approx((-0.1, 0.1), abs=0.006)
        assert (shown.min(), shown.max()) == pytest.approx((least_shown, 1), abs=0.006)
        reach = 0.04 if wide else (1 - shown) / 2
        nearness = np.abs(shifts).max(axis=1) / reach
        if not wide:
            nearness = nearness[shown < 0.9]  # of next to nothing all is noise
        assert 0.97 < nearness.max() < 1.06

    def test_soft_focus(self, images, only, monkeypatch):
        only("BLUR")
        sigmas = []
        blur = cv2.GaussianBlur

        def record(picture, kernel, sigma):
            sigmas.append(sigma)
            return blur(picture, kernel, sigma)

        monkeypatch.setattr(cv2, "GaussianBlur", record)
        vary(np.resize(images, (self.MANY, *images.shape[1:])))

        assert 0.45 < len(sigmas) / self.MANY < 0.55
        assert (min(sigmas), max(sigmas)) == pytest.approx((0.2, 1.6), abs=0.05)
        # 30 % are from 0.2 to 1.6 instead of 0.8, and 4 in 7 of those above 0.8.
        assert 0.12 < np.mean(np.array(sigmas) > 0.8) < 0.22

    def test_noise(self, only):
        only("NOISE")
        flat = np.full((self.MANY, SIDE_PX, SIDE_PX, 3), 128, np.uint8)
        deviations = vary(flat).std(axis=(1, 2, 3))

        assert 0.44 < (deviations > 0).mean() < 0.55
        assert deviations.max() == pytest.approx(0.04 * 255, abs=0.4)
        assert np.median(deviations[deviations > 0]) == pytest.approx(5.1, abs=0.6)

    def test_frames_of_wide_pictures(self, only):
        only("FRAMED")
        side = 100
        grey = np.full((self.MANY, side, side, 3), 128, np.uint8)
        filmed = vary(grey, wide=True, side_px=side).any(axis=3)
        rows, columns = filmed.any(axis=2), filmed.any(axis=1)
        above, below = rows[:, :50].sum(axis=1), rows[:, 50:].sum(axis=1)
        left, right = columns[:, :50].sum(axis=1), columns[:, 50:].sum(axis=1)
        edges = np.stack([above, below, left, right], axis=1)
        is_framed = (edges < 50).any(axis=1)

        # In 3 of 100 frames that are chosen no edge happens to move.
        assert 0.24 < is_framed.mean() < 0.34
        # Half of the edges move above and below, and few of them by nothing.
        for edge in (above, below):
            assert 0.42 < (edge[is_framed] < 50).mean() < 0.58
        assert edges.min() == pytest.approx(0.37 * 50, abs=1)
        # 35 % are upright: narrow on both sides alike, to 0.7 of half the side.
        is_narrow = (np.maximum(left, right) <= 36) & (abs(left - right) <= 6)
        assert 0.3 < is_narrow[is_framed].mean() < 0.46

    def test_other_light_around_the_face(self, images, only):
        half_the_contrast = subject.Light(0, (0.5, 0.5), 0, (1, 1))
        only("OTHER_LIGHT", "GREY", ANOTHER_LIGHT=half_the_contrast)
        many = np.resize(images, (2 * self.MANY, *images.shape[1:]))
        changed = vary(many, wide=True)

        grey = (np.ptp(changed, axis=3) == 0).all(axis=(1, 2))
        spread, before = (one.std(axis=(1, 2)).max(axis=1) for one in (changed, many))
        far = spread < 0.6 * before
        assert 0.36 < far.mean() < 0.44
        assert 0.028 < grey.mean() < 0.052  # 10 % of those 40 %

    @pytest.mark.parametrize(
        ("light", "field", "least", "most"),
        [
            ("NEARLY_AS_FILMED", "tone_bend", -0.25, 0.25),
            ("NEARLY_AS_FILMED", "contrast", 0.83, 1.14),
            ("NEARLY_AS_FILMED", "brightness", -0.07, 0.07),
            ("NEARLY_AS_FILMED", "channel_gain", 0.91, 1.1),
            ("ANOTHER_LIGHT", "tone_bend", -0.7, 0.7),
            ("ANOTHER_LIGHT", "contrast", 0.6, 1.25),
            ("ANOTHER_LIGHT", "brightness", -0.12, 0.12),
            ("ANOTHER_LIGHT", "channel_gain", 0.77, 1.3),
        ],
    )
    def test_tones_and_colours(self, only, light, field, least, most):
        shipped = getattr(subject, light)
        neutral = subject.Light(0, (1, 1), 0, (1, 1))
        only(
            OTHER_LIGHT=light == "ANOTHER_LIGHT",
            **{light: neutral._replace(**{field: getattr(shipped, field)})},
        )
        levels = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
        changed = vary([levels] * self.MANY, wide=True, side_px=16) / 255
        by_level = changed.reshape(self.MANY, 256, 3).transpose(1, 0, 2)
        measured = MEASURES[field](by_level)

        extremes = measured.min(), measured.max()
        assert extremes == pytest.approx((least, most), abs=0.05 * (most - least))
