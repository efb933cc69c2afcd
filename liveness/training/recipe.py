"""How a network is trained: what can be chosen, without loading TensorFlow."""

from dataclasses import dataclass
from typing import Any

from liveness.constants import LITE0_TRUNK, SMALL_TRUNK
from liveness.faces.crops import CROP_SCALE

VIEW_SCALES = (0.68, CROP_SCALE)  # inside the face, and with its surroundings
INPUT_SIZE_PX = 80
TRUNK_INPUTS = {  # side in pixels, and scales of the views, of what it is trained on
    SMALL_TRUNK: (INPUT_SIZE_PX, VIEW_SCALES),
    LITE0_TRUNK: (112, (0.68, 1.6, CROP_SCALE)),
}


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are those of train_model.py."""

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    patience: int = 8
    simulate_attacks: bool = False
    input_size_px: int = INPUT_SIZE_PX
    view_scales: tuple[float, ...] = VIEW_SCALES
    seed: int = 42
    networks: int = 1
    trunk: str = SMALL_TRUNK


def options_of(trunk: str, **others: Any) -> TrainingOptions:
    """Options with the input that belongs to a trunk.

    Args:
        trunk: A key of ``TRUNK_INPUTS``.
        others: Further values of ``TrainingOptions``.
    """
    side_px, scales = TRUNK_INPUTS[trunk]
    return TrainingOptions(
        trunk=trunk, input_size_px=side_px, view_scales=scales, **others
    )
