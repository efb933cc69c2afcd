"""Make panels: devices and sheets of paper that show a face."""

from dataclasses import dataclass

import cv2
import numpy as np

from liveness.faces.boxes import Box, box_area, box_wh, clip_box
from liveness.simulation.recapture import PRINT, SCREEN, simulate

PLAIN_BACKDROP = 0.5  # share of composed prints that are passport photos

_PERSON_SIDE_PX = 96  # enough for an outline; the run time grows with the area


@dataclass(frozen=True)
class Panel:
    """A device or sheet that shows a face, seen straight on.

    Attributes:
        image: (H, W, 3) uint8, BGR, with bezel or paper margin.
        alpha: (H, W) uint8, 255 inside the device or sheet.
        box: The face in ``image``.
    """

    image: np.ndarray
    alpha: np.ndarray
    box: Box


def make_panel(
    content: np.ndarray,
    box: Box,
    kind: str,
    face_px: float,
    rng: np.random.Generator,
) -> Panel:
    """Show a face and its surroundings on a device or on paper.

    Args:
        content: (H, W, 3) uint8, BGR.
        box: The face in ``content``.
        kind: One of ``KINDS``.
        face_px: Longer side of the face in the panel.
        rng: Source of all randomness.

    Raises:
        ValueError: If the box has no area in ``content`` or the kind is unknown.
    """
    box = clip_box(box, content.shape[:2])
    if box_area(box) == 0:
        raise ValueError(f"Expected a box inside the picture. Received: box={box}")
    region = _choose_region(content.shape[:2], box, kind, rng)
    scale = face_px / max(box_wh(box))
    picture = _cut(content, region, scale)
    face = tuple(
        round((value - region[axis % 2]) * scale) for axis, value in enumerate(box)
    )
    if kind == PRINT and rng.random() < PLAIN_BACKDROP:
        picture = plain_backdrop(picture, face, rng)
    picture = simulate(picture, kind, rng)
    if kind == SCREEN:
        return _device(picture, face, face_px, rng)
    return _sheet(picture, face, face_px, rng)


def plain_backdrop(
    image: np.ndarray, face: Box, rng: np.random.Generator
) -> np.ndarray:
    """Replace the background of a person by one colour, as in a passport photo.

    Args:
        image: (H, W, 3) uint8, BGR.
        face: The person's face; it may extend beyond the picture.
        rng: Source of all randomness.

    Returns:
        (H, W, 3) uint8, BGR, a new picture.
    """
    share = _person(image, face, rng)[..., None]
    light = rng.uniform(170, 250)
    colour = np.clip(light + rng.normal(0, 8, 3) + [8, 0, -4], 0, 255)  # often bluish
    if rng.random() < 0.1:  # blue or red, as some countries require
        colour = np.array([[170.0, 110, 40], [60, 40, 180]])[rng.integers(2)]
    return np.rint(colour + (image - colour) * share).astype(np.uint8)


def _person(image: np.ndarray, face: Box, rng: np.random.Generator) -> np.ndarray:
    """Segment the person of a face: (H, W) float32 in [0, 1], 1 for the person.

    GrabCut (Rother, Kolmogorov and Blake, 2004) runs on a small copy, initialized with
    an ellipse for the head and a trapezoid for the shoulders.
    """
    height, width = image.shape[:2]
    scale = _PERSON_SIDE_PX / max(height, width)
    small_wh = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    x_min, y_min, x_max, y_max = (value * scale for value in face)
    face_w, face_h, x = x_max - x_min, y_max - y_min, (x_min + x_max) / 2
    middle = (x, (y_min + y_max) / 2 - 0.08 * face_h)  # a box excludes the hair
    neck, shoulder = y_max - 0.1 * face_h, y_max + 0.6 * face_h
    end = small_wh[1] + 1.0
    body = [(0.35, neck), (1.1, shoulder), (1.2, end)]
    core = [(0.2, y_max), (0.5, max(end, y_max + 1))]
    mask = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    mask[: max(1, int(y_min - 0.5 * face_h))] = cv2.GC_BGD
    for label, zoom, sides in ((cv2.GC_PR_FGD, 1.35, body), (cv2.GC_FGD, 0.85, core)):
        ellipse = (middle, (face_w * zoom, 1.15 * face_h * zoom), 0)
        cv2.ellipse(mask, ellipse, int(label), -1)
        outline = [(x - half * face_w, y) for half, y in sides]
        outline += [(x + half * face_w, y) for half, y in reversed(sides)]
        cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), int(label))
    inside = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if inside.all() or not inside.any():  # no background, or no person
        return np.ones((height, width), np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))  # GrabCut uses this thread's generator
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    person = cv2.GaussianBlur(person, (0, 0), 0.8)
    return cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR)


def _choose_region(
    shape_hw: tuple[int, int], box: Box, kind: str, rng: np.random.Generator
) -> Box:
    """Choose the visible part of the content; a screen may add a letterbox."""
    face = max(box_wh(box))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    least, most = (0.6, 1.5) if kind == SCREEN else (0.4, 1.2)  # passport photos
    left, right = rng.uniform(least, most, 2) * face
    top, bottom = rng.uniform(least, most, 2) * face
    if kind == SCREEN and rng.random() < 0.7:  # an upright phone
        bottom = max(bottom, (left + right) * rng.uniform(1.3, 2.1) - top)
    elif kind == SCREEN:  # a monitor or laptop, often wider than the view
        left, right = left * rng.uniform(1, 2.5), right * rng.uniform(1, 2.5)
    region = round(x - left), round(y - top), round(x + right), round(y + bottom)
    letterbox = kind == SCREEN and rng.random() < 0.35
    return region if letterbox else clip_box(region, shape_hw)


def _cut(content: np.ndarray, region: Box, scale: float) -> np.ndarray:
    """Cut a region and scale it; the part beyond the content is black."""
    x_min, y_min, x_max, y_max = region
    inside = clip_box(region, content.shape[:2])
    part = content[inside[1] : inside[3], inside[0] : inside[2]]
    part = cv2.copyMakeBorder(
        part,
        inside[1] - y_min,
        y_max - inside[3],
        inside[0] - x_min,
        x_max - inside[2],
        cv2.BORDER_CONSTANT,
    )
    size_wh = [max(8, round(side * scale)) for side in box_wh(region)]
    shrinks = scale < 1
    return cv2.resize(
        part, size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def _device(
    picture: np.ndarray, face: Box, face_px: float, rng: np.random.Generator
) -> Panel:
    """Put a picture on a phone, tablet or monitor."""
    if rng.random() < 0.35:
        picture = _interface(picture, rng)
    sides = np.rint(face_px * rng.uniform(0.02, 0.16, 4)).astype(int) + 1
    if rng.random() < 0.3:  # older phones: wide at the top and bottom
        sides[:2] += round(face_px * rng.uniform(0.1, 0.4))
    top, bottom, left, right = (int(side) for side in sides)
    dark = rng.random() < 0.75
    grey = rng.uniform(5, 60) if dark else rng.uniform(150, 235)
    colour = np.clip(grey + rng.normal(0, 4, 3), 0, 255).tolist()
    image = cv2.copyMakeBorder(
        picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour
    )
    rim = max(1, round(0.02 * face_px))
    height, width = image.shape[:2]
    shade = np.clip(np.array(colour) + rng.uniform(-30, 90), 0, 255).tolist()
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), shade, rim)
    alpha = _rounded(image.shape[:2], face_px * rng.uniform(0, 0.25))
    return Panel(image, alpha, _shift(face, left, top))


def _sheet(
    picture: np.ndarray, face: Box, face_px: float, rng: np.random.Generator
) -> Panel:
    """Put a picture on paper, with or without a margin, cut by hand, slightly bent."""
    margin = 0 if rng.random() < 0.5 else round(face_px * rng.uniform(0.02, 0.35))
    top, bottom, left, right = (
        int(margin * value) for value in rng.uniform(0.7, 1.3, 4)
    )
    paper = float(np.percentile(picture, 98))
    colour = np.clip(paper * rng.uniform(0.9, 1.0, 3), 120, 255).tolist()
    image = cv2.copyMakeBorder(
        picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour
    )
    height, width = image.shape[:2]
    cut = rng.uniform(0, 0.025, (4, 2)) * (width, height)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    alpha = np.zeros((height, width), np.uint8)
    outline = np.rint(corners + inward * cut).astype(np.int32)
    cv2.fillConvexPoly(alpha, outline, 255, cv2.LINE_AA)
    return _bend(Panel(image, alpha, _shift(face, left, top)), rng)


def _bend(panel: Panel, rng: np.random.Generator) -> Panel:
    """Bend paper towards or away from the camera about a vertical axis."""
    height, width = panel.image.shape[:2]
    rise_px = height * rng.uniform(-0.06, 0.06)
    across = np.sin(np.pi * np.arange(width) / width)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    centred = (y - height / 2) / height
    source_y = (y + 2 * rise_px * centred * across).astype(np.float32)
    source_x = x.astype(np.float32)
    image = cv2.remap(
        panel.image, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    alpha = cv2.remap(panel.alpha, source_x, source_y, cv2.INTER_LINEAR)
    shade = 1 + rng.uniform(-0.2, 0.2) * (across - 0.5)
    image = np.clip(image * shade[None, :, None], 0, 255).astype(np.uint8)
    return Panel(image, alpha, panel.box)


def _interface(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw the bars of an app or player, and sometimes a play button."""
    height, width = picture.shape[:2]
    overlay = picture.copy()
    colour = [float(rng.choice([15, 40, 235]))] * 3
    top, bottom = (round(height * share) for share in rng.uniform(0, 0.09, 2))
    overlay[:top] = colour
    overlay[height - bottom :] = colour
    ink = [255.0 - colour[0]] * 3
    for share in rng.uniform(0.05, 0.95, 4):
        middle = (round(width * share), round(height - bottom / 2))
        cv2.circle(overlay, middle, max(1, bottom // 6), ink, -1, cv2.LINE_AA)
    if rng.random() < 0.25:
        x, y = round(width * 0.5), round(height * rng.uniform(0.6, 0.9))
        side = max(3, round(0.05 * min(height, width)))
        points = [[x - side, y - side], [x - side, y + side], [x + side, y]]
        cv2.fillConvexPoly(overlay, np.array(points), [235.0] * 3, cv2.LINE_AA)
    return cv2.addWeighted(overlay, 0.85, picture, 0.15, 0)


def _rounded(shape_hw: tuple[int, int], radius_px: float) -> np.ndarray:
    """Return the (H, W) uint8 mask of a rectangle with round corners."""
    height, width = shape_hw
    radius = int(min(radius_px, (min(shape_hw) - 1) / 2))
    mask = np.zeros(shape_hw, np.uint8)
    cv2.rectangle(mask, (radius, 0), (width - radius - 1, height - 1), 255, -1)
    cv2.rectangle(mask, (0, radius), (width - 1, height - radius - 1), 255, -1)
    for x in (radius, width - radius - 1):
        for y in (radius, height - radius - 1):
            cv2.circle(mask, (x, y), radius, 255, -1, cv2.LINE_AA)
    return mask


def _shift(box: Box, right_px: int, down_px: int) -> Box:
    """Move a box to the right and down."""
    x_min, y_min, x_max, y_max = box
    return x_min + right_px, y_min + down_px, x_max + right_px, y_max + down_px
