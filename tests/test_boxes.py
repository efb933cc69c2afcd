"""Box arithmetic: properties that hold for every box."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveness.faces.boxes import (
    box_area,
    box_wh,
    clip_box,
    intersection_over_union,
    overlap_of_smaller,
    square_around,
)

coordinate = st.integers(-5000, 5000)
length = st.integers(1, 3000)
boxes = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h), coordinate, coordinate, length, length
)
shapes = st.tuples(length, length)


@given(boxes, shapes)
def test_clipped_box_lies_inside_both(box, shape_hw):
    clipped = clip_box(box, shape_hw)
    assert 0 <= clipped[0] <= shape_hw[1] and 0 <= clipped[2] <= shape_hw[1]
    assert 0 <= clipped[1] <= shape_hw[0] and 0 <= clipped[3] <= shape_hw[0]
    assert box_area(clipped) <= box_area(box)
    assert clip_box(clipped, shape_hw) == clipped


@given(boxes)
def test_box_inside_stays_as_it_is(box):
    x_min, y_min, x_max, y_max = box
    moved = (0, 0, x_max - x_min, y_max - y_min)
    assert clip_box(moved, (moved[3], moved[2])) == moved


@given(boxes, st.floats(0.1, 6))
def test_square_has_the_scaled_side_and_the_centre(box, scale):
    square = square_around(box, scale)
    width, height = box_wh(square)
    assert width == height == max(1, round(max(box_wh(box)) * scale))
    assert abs((square[0] + square[2]) - (box[0] + box[2])) <= 1
    assert abs((square[1] + square[3]) - (box[1] + box[3])) <= 1


@given(boxes, boxes)
def test_overlap_is_a_share_and_symmetric(box, other):
    overlap = intersection_over_union(box, other)
    assert 0 <= overlap <= 1
    assert overlap == intersection_over_union(other, box)
    assert intersection_over_union(box, box) == 1


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        pytest.param((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, id="half"),
        pytest.param((0, 0, 2, 2), (2, 0, 4, 2), 0, id="touching"),
        pytest.param((0, 0, 0, 0), (0, 0, 0, 0), 0, id="empty"),
    ],
)
def test_overlap_of_known_boxes(box, other, expected):
    assert intersection_over_union(box, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((2, 2, 4, 4), 1.0),
        ((5, 0, 15, 10), 0.5),
        ((-10, 0, 20, 1), 10 / 30),
        ((10, 0, 20, 10), 0.0),
        ((3, 3, 3, 9), 0.0),
    ],
    ids=["inside", "half of both", "across", "touching", "empty"],
)
def test_overlap_is_a_share_of_the_smaller_box(other, expected):
    box = (0, 0, 10, 10)
    assert overlap_of_smaller(box, other) == pytest.approx(expected)
    assert overlap_of_smaller(other, box) == pytest.approx(expected)


def test_box_turned_inside_out_has_no_area():
    assert box_area((5, 5, 0, 0)) == 0


@pytest.mark.parametrize(
    ("box", "scale", "words"),
    [
        pytest.param((3, 3, 3, 9), 1.0, "not empty", id="empty box"),
        pytest.param((0, 0, 4, 4), 0.0, "above 0", id="no scale"),
    ],
)
def test_square_refuses(box, scale, words):
    with pytest.raises(ValueError, match=words):
        square_around(box, scale)
