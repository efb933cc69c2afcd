"""What is drawn is there, in the right colour, and inside the picture."""

import numpy as np
import pytest

from liveness.live.overlay import (
    draw_banner,
    draw_faces,
    draw_hint,
    draw_status,
    fit_for_display,
    fit_into,
)
from liveness.model.verdicts import FaceVerdict
from liveness.people.challenge import TURN_LEFT, TURN_RIGHT

BOX = (100, 80, 200, 180)
# BGR: green, red and amber.
COLORS = {"real": (80, 190, 60), "fake": (60, 60, 230), "checking": (40, 180, 240)}


def blank(height=240, width=320):
    return np.full((height, width, 3), 7, np.uint8)


def face(label="real", score=0.75, box=BOX, reason=""):
    return FaceVerdict(box, 0.99, score, label, reason)


def count(image, color):
    return int((image == color).all(axis=2).sum())


@pytest.mark.parametrize("label", ["real", "fake", "checking"])
def test_each_label_has_its_own_colour(label):
    image = blank()
    assert draw_faces(image, [face(label)], threshold=0.5) is image
    others = [COLORS[other] for other in COLORS if other != label]
    assert count(image, COLORS[label]) > 300
    assert not any(count(image, color) for color in others)


def test_bar_is_filled_up_to_the_score_with_a_notch_at_the_threshold():
    image = draw_faces(blank(480, 640), [face(score=0.75)], threshold=0.25)
    row = image[BOX[3] + 4]
    filled = np.flatnonzero((row == COLORS["real"]).all(axis=1))
    notch = np.flatnonzero((row == (255, 255, 255)).all(axis=1))
    assert abs(filled.max() - (BOX[0] + 74)) <= 1
    assert abs(notch.mean() - (BOX[0] + 25)) <= 1


def test_no_bar_without_a_score():
    image = draw_faces(blank(), [face("checking", None)], threshold=0.5)
    assert (image[BOX[3] + 2 :] == 7).all()


def test_reason_is_written_below_the_face():
    without = draw_faces(blank(), [face("checking")], threshold=0.5)
    with_reason = draw_faces(
        blank(), [face("checking", reason="too far: come closer")], threshold=0.5
    )
    assert (without != with_reason)[BOX[3] :].any()


def test_the_longest_words_fit_a_phone_held_upright():
    words = f"4/4: {max(TURN_LEFT, TURN_RIGHT, key=len)}"
    faces = [face("checking", reason=words, box=(300, 200, 470, 400))]
    image = draw_faces(blank(640, 480), faces, threshold=0.5)
    below = (image[412:440] == COLORS["checking"]).all(axis=2).any(axis=0)
    assert below.any() and not below[0]


@pytest.mark.parametrize(
    ("shape_hw", "box"),
    [
        ((240, 320), (0, 0, 320, 240)),
        ((240, 320), (300, 220, 320, 240)),
        ((1, 1), (0, 0, 1, 1)),
        ((30, 2000), (1990, 0, 2000, 30)),
    ],
    ids=["whole", "corner", "1x1", "strip"],
)
def test_drawing_fits_any_picture(shape_hw, box):
    image = blank(*shape_hw)
    draw_faces(image, [face("checking", 1.0, box, "too dark")], threshold=1.0)
    draw_status(image, ["30 fps"])
    draw_hint(image, "press q to quit")
    draw_banner(image, "reconnecting")
    assert image.shape == (*shape_hw, 3)


def test_status_and_hint_stand_in_their_corners():
    image = draw_status(blank(), ["30 fps"])
    assert (image[:60, :160] != 7).any() and (image[120:] == 7).all()
    image = draw_hint(blank(), "press q to quit")
    assert (image[180:, :200] != 7).any() and (image[:120] == 7).all()


@pytest.mark.parametrize("shape_hw", [(100, 100), (3000, 4000), (2000, 100)])
def test_display_keeps_the_shape_and_fits(shape_hw):
    shown = fit_for_display(blank(*shape_hw))
    height, width = shown.shape[:2]
    assert width <= 960 and height <= 720
    assert width == 960 or height == 720
    assert width / height == pytest.approx(shape_hw[1] / shape_hw[0], rel=0.02)


def test_fit_into_puts_the_picture_on_black():
    fitted = fit_into(blank(100, 100), (300, 200))
    assert fitted.shape == (200, 300, 3)
    assert (fitted[:, :50] == 0).all() and (fitted[:, 50:250] == 7).all()
    same = blank(200, 300)
    assert fit_into(same, (300, 200)) is same
