"""Light and ink fields over a picture: grids, bands, paper, glare, lamps.

A field is (H, W, 1) or (H, W, 3) float32 with values around 1; the picture is
multiplied by it.
"""

import cv2
import numpy as np

_HALFTONE_ANGLES_DEG = (0.0, 75.0, 15.0)  # yellow, magenta, cyan, as in offset printing
_SUBPIXEL_SHIFT = 2 * np.pi / 3  # phase between the B, G and R stripes
_TAU = np.float32(2 * np.pi)


def pixel_grid(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the pixel grid of a display, with moire if the pitch is fine.

    The grid is sampled at the sensor's pixels without a filter, so a pitch below two
    pixels aliases to a coarse pattern, as it does on a sensor.
    """
    pitch_px = rng.uniform(0.7, 3.5)
    angle = rng.normal(0, 0.12) + rng.choice([0.0, np.pi / 2])
    along = _phase(shape_hw, pitch_px, angle, rng)
    across = _phase(shape_hw, pitch_px, angle + np.pi / 2, rng)
    # The lens and the pixel area average a fine grid, so it is mostly weak.
    depth = strength * (0.02 + 0.25 * rng.uniform(0, 1) ** 2)
    colour = rng.uniform(0, 1)  # separation of the stripes' colours
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
    """Return the (H, W) float32 phase of stripes, bent slightly by lens and tilt."""
    height, width = shape_hw
    x = np.arange(width, dtype=np.float32) * np.float32(np.cos(angle) / pitch_px)
    y = np.arange(height, dtype=np.float32) * np.float32(np.sin(angle) / pitch_px)
    bend = smooth(shape_hw, 3, rng) * np.float32(rng.uniform(0, 6))
    cycles = bend + x + (y + np.float32(rng.random()))[:, None]
    return (cycles - np.floor(cycles)) * _TAU


def banding(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the dark bands of a pulsed backlight under a rolling shutter."""
    rows = np.arange(shape_hw[0]) / shape_hw[0]
    wave = np.sin(2 * np.pi * (rows * rng.uniform(1, 12) + rng.random()))
    bands = 1 + strength * rng.uniform(0.02, 0.15) * wave
    return bands.astype(np.float32)[:, None, None]


def uneven_light(
    shape_hw: tuple[int, int], depth: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a field of light that varies slowly across the picture."""
    field = 1 + np.float32(depth) * (smooth(shape_hw, 2, rng) - np.float32(0.5))
    return field[..., None]


def paper(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the texture of paper: fibres and lines of the print head."""
    grain = rng.standard_normal(shape_hw, np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.3))
    paper = 1 + np.float32(strength * rng.uniform(0.01, 0.06)) * grain
    if rng.random() < 0.3:
        lines = cv2.GaussianBlur(rng.standard_normal((shape_hw[0], 1)), (1, 0), 0.8)
        paper *= 1 + (strength * rng.uniform(0.01, 0.06) * lines).astype(np.float32)
    return paper[..., None]


def halftone(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Print a picture with ink dots: one screen angle per ink, strongest mid-tones."""
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


def glare(
    shape_hw: tuple[int, int], strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Return reflected lamps, windows and haze: (H, W, 3) float32 in [0, 1]."""
    height, width = shape_hw
    small_h, small_w = 48, max(8, round(48 * width / height))  # glare is smooth
    light = np.zeros((small_h, small_w), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle = (rng.uniform(0, small_w), rng.uniform(0, small_h))
        sides = rng.uniform(2, 22, 2)
        brightness = float(strength * rng.uniform(0.15, 0.9))
        if rng.random() < 0.5:
            corners = cv2.boxPoints((middle, sides, rng.uniform(-30, 30)))
            outline = np.rint(corners).astype(np.int32)
            cv2.fillConvexPoly(light, outline, 0.5 * brightness)
        else:
            axes = [max(1, round(side / 3)) for side in sides]
            centre = [round(value) for value in middle]
            turn_deg = rng.uniform(0, 180)
            cv2.ellipse(light, centre, axes, turn_deg, 0, 360, brightness, -1)
    light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.7, 7))
    haze = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    haze = haze + smooth(shape_hw, 3, rng) * np.float32(strength * rng.uniform(0, 0.2))
    tint = rng.uniform(0.8, 1.0, 3).astype(np.float32)
    return np.minimum(haze, 1)[..., None] * tint


def spots(shape_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return reflected lamps, far brighter than the face: (H, W, 1) float32."""
    height, width = shape_hw
    side = max(shape_hw)
    spots = np.zeros(shape_hw, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        middle = (
            int(rng.uniform(0.1, 0.9) * width),
            int(rng.uniform(0.1, 0.9) * height),
        )
        axes = [max(1, int(side * rng.uniform(0.01, most))) for most in (0.05, 0.12)]
        brightness = float(rng.uniform(0.3, 4))
        turn_deg = rng.uniform(0, 180)
        cv2.ellipse(spots, middle, axes, turn_deg, 0, 360, brightness, -1)
    return cv2.GaussianBlur(spots, (0, 0), side * rng.uniform(0.006, 0.03))[..., None]


def relight(
    image: np.ndarray, light: np.ndarray, haze: np.ndarray | None
) -> np.ndarray:
    """Multiply a picture by a field of light and add haze."""
    result = image * light
    if haze is not None:
        result += (255 - result) * haze
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


def smooth(
    shape_hw: tuple[int, int], cells: int, rng: np.random.Generator
) -> np.ndarray:
    """Return slowly varying random values: (H, W) float32 in [0, 1]."""
    coarse = rng.random((cells + 1, cells + 1), np.float32)
    field = cv2.resize(coarse, shape_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(field, 0, 1)
