"""A face on a device or on paper, held into another picture."""

import cv2
import numpy as np

from liveness.faces.boxes import Box, box_wh, clip_box
from liveness.simulation.light import smooth
from liveness.simulation.panels import Panel, make_panel
from liveness.simulation.recapture import (
    PRINT,
    SCREEN,
    apply_curves,
    recompress_randomly,
)

HELD = {SCREEN: 0.4, PRINT: 0.7}  # share of composed attacks that show fingers
BEFORE_A_BODY = 0.5  # share of composed attacks before the lower part of a picture


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
    result = apply_curves(result, np.linspace(0, 1, 256)[:, None] * gains)
    noise = rng.standard_normal(image.shape[:2], np.float32)
    noise *= np.float32(rng.uniform(0.5, 4.0))
    noisy = result + noise[..., None]
    return recompress_randomly(np.clip(noisy, 0, 255).astype(np.uint8), rng)


def _below(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower part of a picture of a person: attacks are held before a body."""
    height, width = background.shape[:2]
    part = rng.uniform(0.4, 0.75)
    tall, broad = max(1, round(height * part)), max(1, round(width * part))
    left = int(rng.integers(0, width - broad + 1))
    lower = background[height - tall :, left : left + broad]
    return cv2.resize(lower, (width, height), interpolation=cv2.INTER_LINEAR)


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
    tone = tone * (0.7 + 0.6 * smooth(image.shape[:2], 5, rng)[..., None])
    return np.clip(image + (tone - image) * share, 0, 255).astype(np.uint8)
