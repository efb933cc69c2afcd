"""Simulate the recapture of a whole picture, e.g. a crop, from a screen or print.

All randomness comes from the generator that is passed in, so the same state gives the
same picture. Pictures are (H, W, 3) uint8, BGR; inputs are never changed.
"""

import cv2
import numpy as np

from liveness.io.images import recompress
from liveness.simulation.light import (
    banding,
    glare,
    halftone,
    paper,
    pixel_grid,
    relight,
    smooth,
    spots,
    uneven_light,
)

SCREEN = "screen"
PRINT = "print"
KINDS = (SCREEN, PRINT)
MISEXPOSED = 0.6  # share of screens that are too bright or too dark for the camera

_LUMA_BGR = np.array([0.114, 0.587, 0.299], np.float32)  # ITU-R BT.601


def simulate_screen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate a picture on a phone or monitor, seen by a camera.

    Colours, exposure and compression always change, focus nearly always, and pixel
    grid, banding, glare and sharpening sometimes. Effects range from barely visible to
    strong. More than half of the screens are too bright or too dark for the camera.

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
        light *= pixel_grid(image.shape[:2], strength, rng)
    if rng.random() < 0.25:
        light *= banding(image.shape[:2], strength, rng)
    if rng.random() < 0.5:
        light *= uneven_light(image.shape[:2], 0.3 * strength, rng)
    haze = glare(image.shape[:2], strength, rng) if rng.random() < 0.5 else None
    return recompress_randomly(relight(result, light, haze), rng)


def simulate_print(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Simulate a picture printed on paper, seen by a camera.

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
        result = halftone(result, strength, rng)
    if rng.random() < 0.75:
        result = _defocus(result, 0.8 * strength, rng)
    light = uneven_light(image.shape[:2], 0.4 * strength, rng)
    if rng.random() < 0.6:
        light = light * paper(image.shape[:2], strength, rng)
    is_glossy = rng.random() < 0.3
    haze = glare(image.shape[:2], 0.8 * strength, rng) if is_glossy else None
    return recompress_randomly(relight(result, light, haze), rng)


def simulate(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Call ``simulate_screen`` or ``simulate_print``, depending on the kind.

    Raises:
        ValueError: If the kind is not in KINDS.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected a kind of {KINDS}. Received: kind={kind!r}")
    return (simulate_screen if kind == SCREEN else simulate_print)(image, rng)


def _screen_colours(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Change colours, exposure and contrast as a screen and a camera do."""
    saturation = 1 + strength * rng.uniform(-0.55, 0.5)
    result = _mix_channels(image, saturation, 0.04 * strength, rng)
    x = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25 * strength))
    # Blue is lifted on average: screens are bluer than rooms.
    x = x * np.exp(strength * rng.normal([0.06, -0.01, -0.01], [0.11, 0.07, 0.11]))
    if rng.random() < 0.45:  # a bright screen in a dim room
        x = x * (1 + strength * rng.uniform(0.1, 1.1))
        x = x / (1 + x**5) ** 0.2  # shoulder: highlights are compressed below white
    else:
        x = x * (1 + strength * rng.uniform(-0.4, 0.1))
    contrast = 1 + strength * rng.uniform(-0.45, 0.3)
    x = 0.5 + (x - 0.5) * contrast + strength * rng.uniform(-0.03, 0.12)
    return apply_curves(result, x)


def _misexposed(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Simulate, in linear light, a screen that the camera does not expose for."""
    # Highlights clip and bloom, colours shift and saturate, lamps are reflected as
    # small spots, and room light lifts the black.
    height, width = shape_hw = image.shape[:2]
    gamma = 2 * np.exp(strength * rng.uniform(-0.35, 0.45))
    # Blue is lifted on average: screens are bluer than rooms.
    shift = rng.normal([0.12, 0.0, -0.02], [0.3, 0.12, 0.3])
    gains = np.exp(strength * (shift + rng.uniform(-0.8, 1.5)))
    curves = np.linspace(0, 1, 256)[:, None] ** gamma * gains
    light = cv2.LUT(image, curves.astype(np.float32)[:, None])
    matrix = _saturation(np.exp(strength * rng.uniform(-0.7, 0.6)))
    light = cv2.transform(light, matrix.astype(np.float32))
    light = np.clip(light, 0, 3, out=light)  # sensor pixels saturate
    if rng.random() < 0.2:
        light += spots(shape_hw, rng)
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
        light += smooth(shape_hw, 2, rng)[..., None] * tint.astype(np.float32)
    if rng.random() < 0.5:
        light += np.float32(strength * rng.uniform(0, 0.08))
    # Gamma 2 instead of 2.2, because the square root is many times faster.
    result = np.sqrt(np.clip(light, 0, 1, out=light), out=light)
    contrast = 1 + strength * rng.uniform(-0.2, 0.6) * (rng.random() < 0.5)
    return cv2.convertScaleAbs(
        np.maximum(result, 0.5 - 0.5 / contrast),
        alpha=255 * contrast,
        beta=127.5 * (1 - contrast),
    )


def _print_colours(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Change colours and contrast as ink, paper and room light do."""
    saturation = 1 + strength * rng.uniform(-0.65, 0.25)
    if rng.random() < 0.06:
        saturation = 0.0  # a black and white print
    result = _mix_channels(image, saturation, 0.03 * strength, rng)
    x = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25 * strength))
    ink = strength * rng.uniform(0.0, 0.25, 3)  # black ink reflects some light
    ink = 0.7 * ink.mean() + 0.3 * ink
    paper = 1 - strength * rng.uniform(0.0, 0.25) * rng.uniform(0.6, 1.0, 3)
    room = np.exp(strength * rng.normal(0, 0.1, 3)) * (1 + rng.normal(0, 0.12))
    return apply_curves(result, (ink + (paper - ink) * x) * room)


def _mix_channels(
    image: np.ndarray, saturation: float, crosstalk: float, rng: np.random.Generator
) -> np.ndarray:
    """Change the saturation and add crosstalk between the channels."""
    noise = rng.normal(0, crosstalk, (3, 3))
    noise -= noise.mean(axis=1, keepdims=True)  # grey stays grey
    return cv2.transform(image, _saturation(saturation) + noise)


def _saturation(factor: float) -> np.ndarray:
    """Return the (3, 3) float64 matrix that scales the saturation by a factor."""
    return factor * np.eye(3) + (1 - factor) * _LUMA_BGR


def apply_curves(image: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Apply one tone curve per channel; (256, 3) with values around [0, 1]."""
    table = np.rint(np.clip(curves, 0, 1) * 255).astype(np.uint8)
    return cv2.LUT(image, table.reshape(1, 256, 3))


def _resample(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Lose resolution: scale down and up again with random interpolation."""
    height, width = image.shape[:2]
    share = 1 - strength * rng.uniform(0.1, 0.7)
    small = (max(1, round(width * share)), max(1, round(height * share)))
    down = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)
    up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    odds = (0.5, 0.4, 0.1)
    result = cv2.resize(image, small, interpolation=int(rng.choice(down, p=odds)))
    return cv2.resize(
        result, (width, height), interpolation=int(rng.choice(up, p=odds))
    )


def _defocus(
    image: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Blur a picture by defocus or by hand shake."""
    largest = max(0.8, 0.011 * min(image.shape[:2]))
    sigma = 0.35 + strength * rng.uniform(0, 1) ** 1.5 * largest
    if rng.random() < 0.8:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    sigmas = (sigma * 2, 0.3) if rng.random() < 0.6 else (0.3, sigma * 2)  # hand shake
    return cv2.GaussianBlur(image, (0, 0), sigmas[0], sigmaY=sigmas[1])


def _sharpen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sharpen as a camera does, which gives edges a halo."""
    reach = max(0.5, 0.012 * max(image.shape[:2]))
    soft = cv2.GaussianBlur(image, (0, 0), reach)
    amount = rng.uniform(0.3, 1.2)
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)


def recompress_randomly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress a picture as JPEG with a random quality of 30 to 96."""
    return recompress(image, int(rng.integers(30, 97)))
