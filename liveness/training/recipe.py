"""Options of a training; importing this does not load TensorFlow."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liveness.constants import LITE0_TRUNK, RECIPE_OPTIONS, SMALL_TRUNK
from liveness.errors import DatasetError
from liveness.faces.crops import CROP_SCALE
from liveness.io.files import write_atomically

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
    """Return options with the input size and views that fit a trunk.

    Args:
        trunk: A key of ``TRUNK_INPUTS``.
        others: Further values of ``TrainingOptions``.
    """
    side_px, scales = TRUNK_INPUTS[trunk]
    return TrainingOptions(
        trunk=trunk, input_size_px=side_px, view_scales=scales, **others
    )


def recipe_file(scores: Path) -> Path:
    """Return where the recipe of a scores file is: ``a.recipe.json`` for ``a.csv``."""
    return scores.with_suffix(".recipe.json")


def write_recipe(
    path: Path, options: TrainingOptions, never_train: Sequence[str]
) -> None:
    """Write the chosen options of a recipe as JSON.

    Raises:
        OSError: If it cannot be written.
    """
    values = dataclasses.asdict(options) | {"never_train": list(never_train)}
    chosen = {name: values[name] for name in RECIPE_OPTIONS}
    write_atomically(path, f"{json.dumps(chosen, indent=2)}\n".encode())


def read_recipe(path: Path) -> dict[str, Any]:
    """Read the chosen options of a recipe.

    Returns:
        A value for each of ``RECIPE_OPTIONS``; nothing if there is no such file.

    Raises:
        DatasetError: If it is damaged.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DatasetError(f"'{path}' is no recipe: it is not JSON") from error
    if not isinstance(values, dict) or values.keys() != set(RECIPE_OPTIONS):
        raise DatasetError(
            f"'{path}' is no recipe: expected the keys {', '.join(RECIPE_OPTIONS)}"
        )
    return values
