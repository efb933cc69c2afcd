"""Simulated attacks: what a recaptured screen or photo print does to a picture.

``simulate_screen`` and ``simulate_print`` degrade a whole picture, such as a face
crop; ``compose_attack`` shows a face on a device or on paper in another picture.
They widen the variety of attacks in training and never replace filmed ones. All
randomness comes from the generator that is passed in: the same state gives the
same picture. Pictures are (H, W, 3) uint8, BGR; inputs are never changed.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from liveness.boxes import Box, box_area, box_wh, clip_box
from liveness.images import recompress

SCREEN = "screen"
PRINT = "print"
KINDS = (SCREEN, PRINT)
MISEXPOSED = 0.6  # share of screens that are too bright or dark for the camera
HELD = {SCREEN: 0.4, PRINT: 0.7}  # share of composed attacks that show fingers
BEFORE_A_BODY = 0.5  # share of composed attacks before the lower part of a picture
PLAIN_BACKDROP = 0.5  # share of composed prints that are passport pictures

_LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601
_HALFTONE_ANGLES_DEG = (0.0, 75.0, 15.0)  # yellow, magenta, cyan: offset practice
_SUBPIXEL_SHIFT = 2 * np.pi / 3  # of a grid period between the B, G and R stripes
_TAU = np.float32(2 * np.pi)
_PERSON_SIDE_PX = 96  # enough for an outline; the time grows with the area


@dataclass(frozen=True)
class Panel:
    """A device or sheet as it lies flat before a camera sees it.

    image: (H, W, 3) uint8, BGR, with bezel or paper margin.
    alpha: (H, W) uint8, 255 where the device or sheet is.
    box: The face in ``image``.
    """

    image: np.ndarray
    alpha: np.ndarray
    box: Box


def simulate_screen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera sees it on a phone or monitor.

    Colours, exposure and compression change always, focus nearly always, pixel
    grid, banding, glare and sharpening at times; all between barely visible and
    strong. More than half of the screens are too bright or dark for the camera.

    Args:
        image: (H, W, 3) uint8, BGR, at the resolution of the camera.
        rng: Source of all randomness.

    Returns:
        (H, W, 3) uint8, BGR, a new picture.
    """
    strength = rng.uniform(0.25, 1.0)
    if rng.random() < MISEXPOSED:
        result = _misexposed(image, strength, rng)
    else:
        result = _screen_colours(image, strength, rng)
    if rng.random() < 0.5:
        result = _resample(result, strength, rng)
    if rng.random() < 0.75:
        result = _defocus(result, strength, rng)
    if rng.random() < 0.2:
        result = _sharpen(result, rng)
    light = np.ones((*image.shape[:2], 3), np.float32)
    if rng.random() < 0.4:
        light *= _pixel_grid(image.shape[:2], strength, rng)
    if rng.random() < 0.25:
        light *= _banding(image.shape[:2], strength, rng)
    if rng.random() < 0.5:
        light *= _uneven_light(image.shape[:2], 0.3 * strength, rng)
    haze = _glare(image.shape[:2], strength, rng) if rng.random() < 0.5 else None
    return _recompress(_relight(result, light, haze), rng)


def simulate_print(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as a camera sees it printed on paper.

    Args:
        image: (H, W, 3) uint8, BGR, at the resolution of the camera.
        rng: Source of all randomness.

    Returns:
        (H, W, 3) uint8, BGR, a new picture.
    """
    strength = rng.uniform(0.25, 1.0)
    result = _print_colours(image, strength, rng)
    if rng.random() < 0.4:
        result = _resample(result, strength, rng)
    if rng.random() < 0.5:
        result = _halftone(result, strength, rng)
    if rng.random() < 0.75:
        result = _defocus(result, 0.8 * strength, rng)
    light = _uneven_light(image.shape[:2], 0.4 * strength, rng)
    if rng.random() < 0.6:
        light = light * _paper(image.shape[:2], strength, rng)
    glossy = rng.random() < 0.3
    haze = _glare(image.shape[:2], 0.8 * strength, rng) if glossy else None
    return _recompress(_relight(result, light, haze), rng)


def simulate(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """``simulate_screen`` or ``simulate_print``, by ``kind`` of ``KINDS``."""
    if kind not in KINDS:
        raise ValueError(f"Expected a kind of {KINDS}. Received: kind={kind!r}")
    return (simulate_screen if kind == SCREEN else simulate_print)(image, rng)


def compose_attack(
    content: np.ndarray,
    background: np.ndarray,
    box: Box,
    rng: np.random.Generator,
    *,
    kind: str,
) -> tuple[np.ndarray, Box]:
    """A face shown on a device or on paper in front of another picture.

    Args:
        content: (H, W, 3) uint8, BGR, the picture that is shown.
        background: (h, w, 3) uint8, BGR, what the camera looks at; at times only its
            lower part, larger.
        box: The face in ``content``.
        rng: Source of all randomness.
        kind: One of ``KINDS``.

    Returns:
        (h, w, 3) uint8, BGR, and the box of the face in it, inside the picture.

    Raises:
        ValueError: If the box has no area in ``content`` or the kind is unknown.
    """
    if rng.random() < BEFORE_A_BODY:
        background = _below(background, rng)
    height, width = background.shape[:2]
    face_px = rng.uniform(0.18, 0.55) * min(height, width)
    panel = make_panel(content, box, kind, face_px, rng)
    centre = (
        width * 0.5 + rng.uniform(-1, 1) * max(0.0, width * 0.5 - face_px),
        height * 0.5 + rng.uniform(-0.6, 0.6) * max(0.0, height * 0.5 - face_px * 0.7),
    )
    turn_deg = float(np.clip(rng.normal(0, 7), -20, 20))
    tilt = rng.uniform(-0.08, 0.08, (4, 2))
    matrix = placement(panel, centre, turn_deg=turn_deg, tilt=tilt)
    if kind == SCREEN and rng.random() < 0.6:  # the camera exposes for the screen
        background = cv2.convertScaleAbs(background, alpha=rng.uniform(0.35, 1.0))
    result, face = paste_panel(background, panel, matrix)
    if rng.random() < HELD[kind]:
        result = _fingers(result, panel, matrix, rng)
    return camera_look(result, rng), face


def make_panel(
    content: np.ndarray,
    box: Box,
    kind: str,
    face_px: float,
    rng: np.random.Generator,
) -> Panel:
    """The face's surroundings on a device or on paper.

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
        raise ValueError(f"Expected a box in the picture. Received: box={box}")
    region = _shown_region(content.shape[:2], box, kind, rng)
    scale = face_px / max(box_wh(box))
    shown = _cut(content, region, scale)
    face = tuple(
        round((value - region[axis % 2]) * scale) for axis, value in enumerate(box)
    )
    if kind == PRINT and rng.random() < PLAIN_BACKDROP:
        shown = plain_backdrop(shown, face, rng)
    shown = simulate(shown, kind, rng)
    if kind == SCREEN:
        return _device(shown, face, face_px, rng)
    return _sheet(shown, face, face_px, rng)


def plain_backdrop(
    image: np.ndarray, face: Box, rng: np.random.Generator
) -> np.ndarray:
    """The person of a face before one colour, as on a passport picture.

    Args:
        image: (H, W, 3) uint8, BGR.
        face: Their face in it; may reach beyond the picture.
        rng: Source of all randomness.

    Returns:
        (H, W, 3) uint8, BGR, a new picture.
    """
    share = _person(image, face, rng)[..., None]
    light = rng.uniform(170, 250)
    colour = np.clip(light + rng.normal(0, 8, 3) + [8, 0, -4], 0, 255)  # often bluish
    if rng.random() < 0.1:  # blue or red, as some countries want it
        colour = np.array([[170.0, 110, 40], [60, 40, 180]])[rng.integers(2)]
    return np.rint(colour + (image - colour) * share).astype(np.uint8)


def placement(
    panel: Panel,
    centre: tuple[float, float],
    *,
    turn_deg: float = 0.0,
    tilt: np.ndarray | None = None,
    zoom: float = 1.0,
) -> np.ndarray:
    """Homography that puts the panel's face at a point of a picture.

    Args:
        panel: The device or sheet.
        centre: Where the centre of the face goes, (x, y) in pixels.
        turn_deg: Rotation, counter-clockwise.
        tilt: (4, 2) shift of the panel's corners as shares of its sides.
        zoom: Size in the picture over size of the panel.

    Returns:
        (3, 3) float64, from panel to picture.
    """
    height, width = panel.image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners if tilt is None else corners + tilt * (width, height)
    perspective = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    x_min, y_min, x_max, y_max = panel.box
    face = np.array([[[(x_min + x_max) / 2, (y_min + y_max) / 2]]], np.float32)
    x, y = (float(value) for value in cv2.perspectiveTransform(face, perspective)[0, 0])
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D((x, y), turn_deg, zoom)
    shift = np.array([[1, 0, centre[0] - x], [0, 1, centre[1] - y], [0, 0, 1]])
    return shift @ turn @ perspective


def paste_panel(
    background: np.ndarray, panel: Panel, matrix: np.ndarray
) -> tuple[np.ndarray, Box]:
    """The panel in front of a picture, and the face's box there.

    Args:
        background: (h, w, 3) uint8, BGR.
        panel: The device or sheet.
        matrix: (3, 3) homography from ``placement``.

    Returns:
        (h, w, 3) uint8, BGR, a new picture, and a box clipped to it.
    """
    height, width = background.shape[:2]
    # A panel is made at the size that it is seen in, but for tilt and perspective:
    # linear interpolation does not alias here.
    front = cv2.warpPerspective(
        panel.image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    alpha = cv2.warpPerspective(panel.alpha, matrix, (width, height))
    share = cv2.merge([alpha] * 3).astype(np.float32) * np.float32(1 / 255)
    mixed = background + (front.astype(np.float32) - background) * share
    x_min, y_min, x_max, y_max = panel.box
    corners = np.array(
        [[[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]]], np.float32
    )
    seen = cv2.perspectiveTransform(corners, matrix)[0]
    centre = seen.mean(axis=0)
    # Half sides from opposite edges: a turned face keeps its size in the box.
    half_w = np.linalg.norm(seen[1] + seen[2] - seen[0] - seen[3]) / 4
    half_h = np.linalg.norm(seen[2] + seen[3] - seen[0] - seen[1]) / 4
    face = (
        round(float(centre[0] - half_w)),
        round(float(centre[1] - half_h)),
        round(float(centre[0] + half_w)),
        round(float(centre[1] + half_h)),
    )
    return np.rint(mixed).astype(np.uint8), clip_box(face, (height, width))


def camera_look(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One camera over everything: softness, exposure, colour cast, noise, JPEG.

    Without it the edge of a pasted panel is sharper than any lens draws it.
    """
    result = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    gains = rng.uniform(0.8, 1.15) * np.exp(rng.normal(0, 0.03, 3))
    result = _apply_curves(result, np.linspace(0, 1, 256)[:, None] * gains)
    noise = rng.standard_normal(image.shape[:2], np.float32)
    noise *= np.float32(rng.uniform(0.5, 4.0))
    noisy = result + noise[..., None]
    return _recompress(np.clip(noisy, 0, 255).astype(np.uint8), rng)


# What is cut out and put together


def _below(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower part of a picture of a person: attacks are held before a body."""
    height, width = background.shape[:2]
    part = rng.uniform(0.4, 0.75)
    tall, broad = max(1, round(height * part)), max(1, round(width * part))
    left = int(rng.integers(0, width - broad + 1))
    lower = background[height - tall :, left : left + broad]
    return cv2.resize(lower, (width, height), interpolation=cv2.INTER_LINEAR)


def _person(image: np.ndarray, face: Box, rng: np.random.Generator) -> np.ndarray:
    """(H, W) float32 in [0, 1], 1 where the person of a face is.

    GrabCut (Rother, Kolmogorov and Blake, 2004) in a small copy, from an ellipse
    for the head and a trapezoid for the shoulders.
    """
    height, width = image.shape[:2]
    scale = _PERSON_SIDE_PX / max(height, width)
    seen = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = cv2.resize(image, seen, interpolation=cv2.INTER_AREA)
    x_min, y_min, x_max, y_max = (value * scale for value in face)
    wide, tall, x = x_max - x_min, y_max - y_min, (x_min + x_max) / 2
    middle = (x, (y_min + y_max) / 2 - 0.08 * tall)  # a box ends at the hair
    neck, shoulder, end = y_max - 0.1 * tall, y_max + 0.6 * tall, seen[1] + 1.0
    body = [(0.35, neck), (1.1, shoulder), (1.2, end)]
    core = [(0.2, y_max), (0.5, max(end, y_max + 1))]
    mask = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    mask[: max(1, int(y_min - 0.5 * tall))] = cv2.GC_BGD
    for label, grown, sides in ((cv2.GC_PR_FGD, 1.35, body), (cv2.GC_FGD, 0.85, core)):
        ellipse = (middle, (wide * grown, 1.15 * tall * grown), 0)
        cv2.ellipse(mask, ellipse, int(label), -1)
        outline = [(x - half * wide, y) for half, y in sides]
        outline += [(x + half * wide, y) for half, y in reversed(sides)]
        cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), int(label))
    inside = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if inside.all() or not inside.any():  # nothing to tell a person from
        return np.ones((height, width), np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))  # of this thread: GrabCut draws from it
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    person = cv2.GaussianBlur(person, (0, 0), 0.8)
    return cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR)


# What a display, a printer and a second camera do to colours


def _screen_colours(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    saturation = 1 + strength * rng.uniform(-0.55, 0.5)
    result = _mix_channels(image, saturation, 0.04 * strength, rng)
    x = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25 * strength))
    # Blue is lifted on average: screens are bluer than rooms.
    x = x * np.exp(strength * rng.normal([0.06, -0.01, -0.01], [0.11, 0.07, 0.11]))
    if rng.random() < 0.45:  # a bright screen in a dim room
        x = x * (1 + strength * rng.uniform(0.1, 1.1))
        x = x / (1 + x**5) ** 0.2  # shoulder: highlights run together below white
    else:
        x = x * (1 + strength * rng.uniform(-0.4, 0.1))
    contrast = 1 + strength * rng.uniform(-0.45, 0.3)
    x = 0.5 + (x - 0.5) * contrast + strength * rng.uniform(-0.03, 0.12)
    return _apply_curves(result, x)


def _misexposed(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """A screen that the camera does not expose for, in linear light."""
    # Highlights burn out and glow into what is beside them, colours shift and grow,
    # lamps are mirrored as small spots, and the room's light lies over the black.
    height, width = shape_hw = image.shape[:2]
    gamma = 2 * np.exp(strength * rng.uniform(-0.35, 0.45))
    # Blue is lifted on average: screens are bluer than rooms.
    shift = rng.normal([0.12, 0.0, -0.02], [0.3, 0.12, 0.3])
    gains = np.exp(strength * (shift + rng.uniform(-0.8, 1.5)))
    curves = np.linspace(0, 1, 256)[:, None] ** gamma * gains
    light = cv2.LUT(image, curves.astype(np.float32)[:, None])
    matrix = _saturation(np.exp(strength * rng.uniform(-0.7, 0.6)))
    light = cv2.transform(light, matrix.astype(np.float32))
    light = np.clip(light, 0, 3, out=light)  # a sensor's well is full at some point
    if rng.random() < 0.2:
        light += _spots(shape_hw, rng)
    if rng.random() < 0.6:
        share = np.float32(strength * rng.uniform(0.05, 0.6))
        small = (max(1, width // 4), max(1, height // 4))
        glow = cv2.resize(light, small, interpolation=cv2.INTER_AREA)
        reach = max(small) * np.exp(rng.uniform(np.log(0.015), np.log(0.15)))
        glow = cv2.GaussianBlur(glow, (0, 0), max(0.3, reach))
        glow = cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)
        light = cv2.addWeighted(light, 1 - share / 2, glow, share, 0)
    if rng.random() < 0.5:
        tint = strength * rng.uniform(0, 0.25) * np.exp(rng.normal(0, 0.2, 3))
        light += _smooth(shape_hw, 2, rng)[..., None] * tint.astype(np.float32)
    if rng.random() < 0.5:
        light += np.float32(strength * rng.uniform(0, 0.08))
    # A gamma of 2 instead of 2.2: the square root is many times faster.
    seen = np.sqrt(np.clip(light, 0, 1, out=light), out=light)
    contrast = 1 + strength * rng.uniform(-0.2, 0.6) * (rng.random() < 0.5)
    return cv2.convertScaleAbs(
        np.maximum(seen, 0.5 - 0.5 / contrast),
        alpha=255 * contrast,
        beta=127.5 * (1 - contrast),
    )


def _spots(shape_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 1) float32 of light: lamps in the glass, far brighter than the face."""
    height, width = shape_hw
    side = max(shape_hw)
    spots = np.zeros(shape_hw, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle = (
            int(rng.uniform(0.1, 0.9) * width),
            int(rng.uniform(0.1, 0.9) * height),
        )
        axes = [max(1, int(side * rng.uniform(0.01, most))) for most in (0.05, 0.12)]
        bright = float(rng.uniform(0.3, 4))
        cv2.ellipse(spots, middle, axes, rng.uniform(0, 180), 0, 360, bright, -1)
    return cv2.GaussianBlur(spots, (0, 0), side * rng.uniform(0.006, 0.03))[..., None]


def _print_colours(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    saturation = 1 + strength * rng.uniform(-0.65, 0.25)
    if rng.random() < 0.06:
        saturation = 0.0  # a black and white print
    result = _mix_channels(image, saturation, 0.03 * strength, rng)
    x = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25 * strength))
    ink = strength * rng.uniform(0.0, 0.25, 3)  # black ink reflects some light
    ink = 0.7 * ink.mean() + 0.3 * ink
    paper = 1 - strength * rng.uniform(0.0, 0.25) * rng.uniform(0.6, 1.0, 3)
    room = np.exp(strength * rng.normal(0, 0.1, 3)) * (1 + rng.normal(0, 0.12))
    return _apply_curves(result, (ink + (paper - ink) * x) * room)


def _mix_channels(
    image: np.ndarray, saturation: float, crosstalk: float, rng: np.random.Generator
) -> np.ndarray:
    """Other primaries: towards or away from grey, and a little of each other."""
    mixed = rng.normal(0, crosstalk, (3, 3))
    mixed -= mixed.mean(axis=1, keepdims=True)  # grey stays grey
    return cv2.transform(image, _saturation(saturation) + mixed)


def _saturation(factor: float) -> np.ndarray:
    """(3, 3) float64 matrix that moves colours away from grey by a factor."""
    return factor * np.eye(3) + (1 - factor) * _LUMA_BGR


def _apply_curves(image: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """One tone curve for each channel; (256, 3) with values around [0, 1]."""
    table = np.rint(np.clip(curves, 0, 1) * 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))


# What a second lens and sensor do to detail


def _resample(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    height, width = image.shape[:2]
    share = 1 - strength * rng.uniform(0.1, 0.7)
    small = (max(1, round(width * share)), max(1, round(height * share)))
    down = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)
    up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    odds = (0.5, 0.4, 0.1)
    reduced = cv2.resize(image, small, interpolation=int(rng.choice(down, p=odds)))
    return cv2.resize(
        reduced, (width, height), interpolation=int(rng.choice(up, p=odds))
    )


def _defocus(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    largest = max(0.8, 0.011 * min(image.shape[:2]))
    sigma = 0.35 + strength * rng.uniform(0, 1) ** 1.5 * largest
    if rng.random() < 0.8:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    along = (sigma * 2, 0.3) if rng.random() < 0.6 else (0.3, sigma * 2)  # hand shake
    return cv2.GaussianBlur(image, (0, 0), along[0], sigmaY=along[1])


def _sharpen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera does about a soft picture: edges with a halo."""
    reach = max(0.5, 0.012 * max(image.shape[:2]))
    soft = cv2.GaussianBlur(image, (0, 0), reach)
    amount = rng.uniform(0.3, 1.2)
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)


def _recompress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return recompress(image, int(rng.integers(30, 97)))


# Fields of light: (H, W, 3) float32 around 1, multiplied into a picture


def _pixel_grid(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Display pixels as the sensor samples them: moire where the pitch is fine.

    The grid is evaluated at the sensor's pixels without a filter, so a pitch
    below two pixels folds to a coarse pattern as it does on a sensor.
    """
    pitch_px = rng.uniform(0.7, 3.5)
    angle = rng.normal(0, 0.12) + rng.choice([0.0, np.pi / 2])
    along = _phase(shape_hw, pitch_px, angle, rng)
    across = _phase(shape_hw, pitch_px, angle + np.pi / 2, rng)
    # The lens and the pixel's own area average a fine grid, hence mostly weak.
    depth = strength * (0.02 + 0.25 * rng.uniform(0, 1) ** 2)
    colour = rng.uniform(0, 1)  # how far the stripes' colours separate
    shifts = np.array([-1, 0, 1]) * colour * _SUBPIXEL_SHIFT
    cosine, sine = np.cos(along), np.sin(along)
    rows = np.float32(rng.uniform(0, 1)) * np.cos(across)
    stripes = [
        1
        + np.float32(depth)
        * (np.float32(np.cos(shift)) * cosine - np.float32(np.sin(shift)) * sine + rows)
        for shift in shifts
    ]
    return cv2.merge(stripes)


def _phase(
    shape_hw: tuple[int, int], pitch_px: float, angle: float, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) float32 phase of stripes, bent a little as lens and tilt bend them."""
    height, width = shape_hw
    x = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) / pitch_px)
    y = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle) / pitch_px)
    bend = _smooth(shape_hw, 3, rng) * np.float32(rng.uniform(0, 6))
    cycles = bend + x + (y + np.float32(rng.random()))[:, None]
    return (cycles - np.floor(cycles)) * _TAU


def _banding(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Dark bands of a backlight that pulses while the shutter rolls."""
    rows = np.arange(shape_hw[0]) / shape_hw[0]
    wave = np.sin(2 * np.pi * (rows * rng.uniform(1, 12) + rng.random()))
    bands = 1 + strength * rng.uniform(0.02, 0.15) * wave
    return bands.astype(np.float32)[:, None, None]


def _uneven_light(
    shape_hw: tuple[int, int], depth: float, rng: np.random.Generator
) -> np.ndarray:
    field = 1 + np.float32(depth) * (_smooth(shape_hw, 2, rng) - np.float32(0.5))
    return field[..., None]


def _paper(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Fibres and the lines of a print head."""
    grain = rng.standard_normal(shape_hw, np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.3))
    paper = 1 + np.float32(strength * rng.uniform(0.01, 0.06)) * grain
    if rng.random() < 0.3:
        lines = cv2.GaussianBlur(rng.standard_normal((shape_hw[0], 1)), (1, 0), 0.8)
        paper *= 1 + (strength * rng.uniform(0.01, 0.06) * lines).astype(np.float32)
    return paper[..., None]


def _halftone(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Ink dots, one screen for each ink at its own angle, strongest in mid-tones."""
    pitch_px = rng.uniform(1.2, 3.0)
    depth = np.float32(strength * rng.uniform(8, 45))
    turn = rng.uniform(-10, 10)
    table = (4 * np.linspace(0, 1, 256) * np.linspace(1, 0, 256)).astype(np.float32)
    dots = []
    for angle_deg in _HALFTONE_ANGLES_DEG:
        angle = np.deg2rad(angle_deg + turn)
        first = np.cos(_phase(image.shape[:2], pitch_px, angle, rng))
        second = np.cos(_phase(image.shape[:2], pitch_px, angle + np.pi / 2, rng))
        dots.append(first * second)
    printed = image + depth * cv2.merge(dots) * cv2.LUT(image, table)
    return np.clip(printed, 0, 255).astype(np.uint8)


def _glare(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]: lamps, windows and haze mirrored by glass."""
    height, width = shape_hw
    small_h, small_w = 48, max(8, round(48 * width / height))  # glare is smooth
    light = np.zeros((small_h, small_w), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle = (rng.uniform(0, small_w), rng.uniform(0, small_h))
        sides = rng.uniform(2, 22, 2)
        bright = float(strength * rng.uniform(0.15, 0.9))
        if rng.random() < 0.5:
            corners = cv2.boxPoints((middle, sides, rng.uniform(-30, 30)))
            cv2.fillConvexPoly(light, np.rint(corners).astype(np.int32), 0.5 * bright)
        else:
            axes = [max(1, round(side / 3)) for side in sides]
            centre = [round(value) for value in middle]
            cv2.ellipse(light, centre, axes, rng.uniform(0, 180), 0, 360, bright, -1)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.7, 7))
    haze = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    haze = haze + _smooth(shape_hw, 3, rng) * np.float32(strength * rng.uniform(0, 0.2))
    tint = rng.uniform(0.8, 1.0, 3).astype(np.float32)
    return np.minimum(haze, 1)[..., None] * tint


def _relight(
    image: np.ndarray, light: np.ndarray, haze: np.ndarray | None
) -> np.ndarray:
    result = image * light
    if haze is not None:
        result += (255 - result) * haze
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


def _smooth(
    shape_hw: tuple[int, int], cells: int, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) float32 in [0, 1] that varies slowly."""
    coarse = rng.random((cells + 1, cells + 1), np.float32)
    field = cv2.resize(coarse, shape_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(field, 0, 1)


# Devices and sheets


def _shown_region(
    shape_hw: tuple[int, int], box: Box, kind: str, rng: np.random.Generator
) -> Box:
    """What of the content is shown; may reach beyond it on a screen (letterbox)."""
    face = max(box_wh(box))
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    least, most = (0.6, 1.5) if kind == SCREEN else (0.4, 1.2)  # passport pictures
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
    """The region at another scale; black where it lies beyond the content."""
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
    seen = [max(8, round(side * scale)) for side in box_wh(region)]
    shrinks = scale < 1
    return cv2.resize(
        part, seen, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )


def _device(
    shown: np.ndarray, face: Box, face_px: float, rng: np.random.Generator
) -> Panel:
    """A phone, tablet or monitor around the shown picture."""
    if rng.random() < 0.35:
        shown = _interface(shown, rng)
    sides = np.rint(face_px * rng.uniform(0.02, 0.16, 4)).astype(int) + 1
    if rng.random() < 0.3:  # older phones: broad above and below
        sides[:2] += round(face_px * rng.uniform(0.1, 0.4))
    top, bottom, left, right = (int(side) for side in sides)
    dark = rng.random() < 0.75
    grey = rng.uniform(5, 60) if dark else rng.uniform(150, 235)
    colour = np.clip(grey + rng.normal(0, 4, 3), 0, 255).tolist()
    image = cv2.copyMakeBorder(
        shown, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour
    )
    rim = max(1, round(0.02 * face_px))
    height, width = image.shape[:2]
    shade = np.clip(np.array(colour) + rng.uniform(-30, 90), 0, 255).tolist()
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), shade, rim)
    alpha = _rounded(image.shape[:2], face_px * rng.uniform(0, 0.25))
    return Panel(image, alpha, _shift(face, left, top))


def _sheet(
    shown: np.ndarray, face: Box, face_px: float, rng: np.random.Generator
) -> Panel:
    """Paper with a margin or none, cut by hand and slightly bent."""
    margin = 0 if rng.random() < 0.5 else round(face_px * rng.uniform(0.02, 0.35))
    top, bottom, left, right = (
        int(margin * value) for value in rng.uniform(0.7, 1.3, 4)
    )
    paper = float(np.percentile(shown, 98))
    colour = np.clip(paper * rng.uniform(0.9, 1.0, 3), 120, 255).tolist()
    image = cv2.copyMakeBorder(
        shown, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour
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
    """Paper that curves towards or away from the camera about an upright axis."""
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


def _interface(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bars of an app or player over the picture, and at times a play button."""
    height, width = shown.shape[:2]
    overlay = shown.copy()
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
    return cv2.addWeighted(overlay, 0.85, shown, 0.15, 0)


def _fingers(
    image: np.ndarray, panel: Panel, matrix: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Blobs of skin colour where a hand holds the panel: a thumb or some fingers."""
    height, width = panel.image.shape[:2]
    thick = max(3.0, 0.3 * max(box_wh(panel.box)) * rng.uniform(0.6, 1.4))
    skin = np.zeros(image.shape[:2], np.uint8)
    corners = np.array([[0, height], [0, 0], [width, 0], [width, height]], np.float64)
    two_hands = (0, 2) if rng.random() < 0.8 else (1, 3)  # beside it, above and below
    one_hand = (int(rng.integers(4)),)
    for edge in two_hands if rng.random() < 0.5 else one_hand:
        start, end = corners[edge], corners[(edge + 1) % 4]
        along = (end - start) / max(1.0, np.linalg.norm(end - start))
        outward = np.array([along[1], -along[0]])
        middle = start + (end - start) * rng.uniform(0.2, 0.8)
        for number in range(int(rng.integers(1, 5))):
            held = middle + along * thick * 1.05 * number
            tip = held - outward * thick * rng.uniform(-0.3, 0.7)
            root = held + outward * thick * rng.uniform(2, 4)
            root = root + along * thick * rng.normal(0, 0.5)
            line = cv2.perspectiveTransform(np.array([[tip, root]]), matrix)[0]
            first, second = np.rint(line).astype(int).tolist()
            cv2.line(skin, first, second, 255, round(thick), cv2.LINE_AA)
    share = cv2.GaussianBlur(skin, (0, 0), max(0.6, thick / 25))[..., None] / 255
    # Darker towards the edges, as round fingers are, and uneven.
    round_off = cv2.GaussianBlur(skin, (0, 0), thick / 3)[..., None] / 255
    tone = np.array([105.0, 135, 190]) * np.exp(rng.normal(0, 0.12, 3))
    tone = tone * rng.uniform(0.4, 1.35) * (0.55 + 0.45 * round_off)
    tone = tone * (0.7 + 0.6 * _smooth(image.shape[:2], 5, rng)[..., None])
    return np.clip(image + (tone - image) * share, 0, 255).astype(np.uint8)


def _rounded(shape_hw: tuple[int, int], radius_px: float) -> np.ndarray:
    """(H, W) uint8 mask of a rectangle with round corners."""
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
    x_min, y_min, x_max, y_max = box
    return x_min + right_px, y_min + down_px, x_max + right_px, y_max + down_px
