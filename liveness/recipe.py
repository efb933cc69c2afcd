"""How a network is trained: what can be chosen, without loading TensorFlow."""

from dataclasses import dataclass

from liveness.preprocess import CROP_SCALE

VIEW_SCALES = (0.68, CROP_SCALE)  # inside the face, and with its surroundings
INPUT_SIZE_PX = 80
SMALL_TRUNK = "small"  # of LivenessNet, as are all trunks


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
