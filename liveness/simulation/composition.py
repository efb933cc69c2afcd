"""Compose attacks: a face on a device or on paper in front of a background."""

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
BEFORE_A_BODY = 0.5  # share of attacks in front of the lower part of a picture


def compose_attack(
    content: np.ndarray,
    background: np.ndarray,
    box: Box,
    rng: np.random.Generator,
    *,
    kind: str,
) -> tuple[np.ndarray, Box]:
    """Compose a face on a device or on paper in front of another picture.

    Args:
        content: (H, W, 3) uint8, BGR, the picture that the panel shows.
        background: (h, w, 3) uint8, BGR, the scene behind the panel; sometimes only
            its lower part is used, enlarged.
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
    """Return the homography that moves the panel's face to a point of a picture.

    Args:
        panel: The device or sheet.
        centre: New centre of the face, (x, y) in pixels.
        turn_deg: Rotation, counter-clockwise.
        tilt: (4, 2) shift of the panel's corners as shares of its sides.
        zoom: Size in the picture over the size of the panel.

    Returns:
        (3, 3) float64, from panel to picture.
    """
    height, width = panel.image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    targets = corners if tilt is None else corners + tilt * (width, height)
    perspective = cv2.getPerspectiveTransform(corners, targets.astype(np.float32))
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
    """Paste the panel onto a picture and return the picture and the face's box.

    Args:
        background: (h, w, 3) uint8, BGR.
        panel: The device or sheet.
        matrix: (3, 3) homography from ``placement``.

    Returns:
        (h, w, 3) uint8, BGR, a new picture, and a box clipped to it.
    """
    height, width = background.shape[:2]
    # Apart from tilt and perspective, a panel already has its final size, so linear
    # interpolation does not alias here.
    front = cv2.warpPerspective(
        panel.image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    alpha = cv2.warpPerspective(panel.alpha, matrix, (width, height))
    share = cv2.merge([alpha] * 3).astype(np.float32) * np.float32(1 / 255)
    blend = background + (front.astype(np.float32) - background) * share
    x_min, y_min, x_max, y_max = panel.box
    corners = np.array(
        [[[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]]], np.float32
    )
    quad = cv2.perspectiveTransform(corners, matrix)[0]
    centre = quad.mean(axis=0)
    # Half sides from opposite edges, so that a rotated face keeps the size of its box.
    half_w = np.linalg.norm(quad[1] + quad[2] - quad[0] - quad[3]) / 4
    half_h = np.linalg.norm(quad[2] + quad[3] - quad[0] - quad[1]) / 4
    face = (
        round(float(centre[0] - half_w)),
        round(float(centre[1] - half_h)),
        round(float(centre[0] + half_w)),
        round(float(centre[1] + half_h)),
    )
    return np.rint(blend).astype(np.uint8), clip_box(face, (height, width))


def camera_look(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply the look of one camera: softness, exposure, colour cast, noise, JPEG.

    Without it, the edge of a pasted panel is sharper than any lens can render it.
    """
    result = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    gains = rng.uniform(0.8, 1.15) * np.exp(rng.normal(0, 0.03, 3))
    result = apply_curves(result, np.linspace(0, 1, 256)[:, None] * gains)
    noise = rng.standard_normal(image.shape[:2], np.float32)
    noise *= np.float32(rng.uniform(0.5, 4.0))
    result = np.clip(result + noise[..., None], 0, 255).astype(np.uint8)
    return recompress_randomly(result, rng)


def _below(background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarge the lower part of a picture: attackers hold panels before their body."""
    height, width = background.shape[:2]
    share = rng.uniform(0.4, 0.75)
    part_h, part_w = max(1, round(height * share)), max(1, round(width * share))
    left = int(rng.integers(0, width - part_w + 1))
    part = background[height - part_h :, left : left + part_w]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)


def _fingers(
    image: np.ndarray, panel: Panel, matrix: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw skin-coloured fingers or a thumb where a hand holds the panel."""
    height, width = panel.image.shape[:2]
    width_px = max(3.0, 0.3 * max(box_wh(panel.box)) * rng.uniform(0.6, 1.4))
    skin = np.zeros(image.shape[:2], np.uint8)
    corners = np.array([[0, height], [0, 0], [width, 0], [width, height]], np.float64)
    two_hands = (0, 2) if rng.random() < 0.8 else (1, 3)  # at its sides; above, below
    one_hand = (int(rng.integers(4)),)
    for edge in two_hands if rng.random() < 0.5 else one_hand:
        start, end = corners[edge], corners[(edge + 1) % 4]
        along = (end - start) / max(1.0, np.linalg.norm(end - start))
        outward = np.array([along[1], -along[0]])
        middle = start + (end - start) * rng.uniform(0.2, 0.8)
        for number in range(int(rng.integers(1, 5))):
            contact = middle + along * width_px * 1.05 * number
            tip = contact - outward * width_px * rng.uniform(-0.3, 0.7)
            root = contact + outward * width_px * rng.uniform(2, 4)
            root = root + along * width_px * rng.normal(0, 0.5)
            line = cv2.perspectiveTransform(np.array([[tip, root]]), matrix)[0]
            first, second = np.rint(line).astype(int).tolist()
            cv2.line(skin, first, second, 255, round(width_px), cv2.LINE_AA)
    share = cv2.GaussianBlur(skin, (0, 0), max(0.6, width_px / 25))[..., None] / 255
    # Fingers are round: darker towards the edges, and uneven.
    shading = cv2.GaussianBlur(skin, (0, 0), width_px / 3)[..., None] / 255
    tone = np.array([105.0, 135, 190]) * np.exp(rng.normal(0, 0.12, 3))
    tone = tone * rng.uniform(0.4, 1.35) * (0.55 + 0.45 * shading)
    tone = tone * (0.7 + 0.6 * smooth(image.shape[:2], 5, rng)[..., None])
    return np.clip(image + (tone - image) * share, 0, 255).astype(np.uint8)
