"""Box arithmetic.

A box is ``(x_min, y_min, x_max, y_max)`` in whole pixels, max exclusive, so that
``image[y_min:y_max, x_min:x_max]`` is the content of the box.
"""

Box = tuple[int, int, int, int]


def box_wh(box: Box) -> tuple[int, int]:
    """Return the width and height of a box in pixels."""
    x_min, y_min, x_max, y_max = box
    return x_max - x_min, y_max - y_min


def box_area(box: Box) -> int:
    """Return the area of a box in pixels; 0 if it is empty or inverted."""
    width, height = box_wh(box)
    return max(0, width) * max(0, height)


def clip_box(box: Box, shape_hw: tuple[int, int]) -> Box:
    """Clip a box to an image; the area of a box outside becomes 0.

    Args:
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive.
        shape_hw: Height and width of the image in pixels.
    """
    height, width = shape_hw
    x_min, y_min, x_max, y_max = box
    return (
        min(max(x_min, 0), width),
        min(max(y_min, 0), height),
        min(max(x_max, 0), width),
        min(max(y_max, 0), height),
    )


def square_around(box: Box, scale: float) -> Box:
    """Return the square around a box's centre, ``scale`` times its longer side.

    Args:
        box: (x_min, y_min, x_max, y_max) in pixels, max exclusive, not empty.
        scale: Side of the square over the longer side of the box, above 0.

    Returns:
        A box that may extend beyond the image; its sides are at least 1 pixel.

    Raises:
        ValueError: If the box is empty or the scale is not above 0.
    """
    if box_area(box) == 0:
        raise ValueError(f"Expected a box that is not empty. Received: box={box}")
    if scale <= 0:
        raise ValueError(f"Expected a scale above 0. Received: scale={scale}")
    side = max(1, round(max(box_wh(box)) * scale))
    x_min = round((box[0] + box[2] - side) / 2)
    y_min = round((box[1] + box[3] - side) / 2)
    return x_min, y_min, x_min + side, y_min + side


def intersection_over_union(box: Box, other: Box) -> float:
    """Return the IoU of two boxes, 0 (disjoint) to 1 (equal); 0 if both are empty."""
    overlap = _overlap_area(box, other)
    union = box_area(box) + box_area(other) - overlap
    return overlap / union if union else 0.0


def overlap_of_smaller(box: Box, other: Box) -> float:
    """Return the share of the smaller box inside the larger; 0 if one is empty."""
    smaller = min(box_area(box), box_area(other))
    return _overlap_area(box, other) / smaller if smaller else 0.0


def _overlap_area(box: Box, other: Box) -> int:
    """Return the area of the intersection of two boxes in pixels."""
    x_min, y_min = max(box[0], other[0]), max(box[1], other[1])
    x_max, y_max = min(box[2], other[2]), min(box[3], other[3])
    return max(0, x_max - x_min) * max(0, y_max - y_min)
