"""The model's card: what must be known to use a model, as JSON beside it.

It holds the SHA-256 of the Keras file and of the runtime file, so that a runtime file
is only used with the model that it was made from.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liveness.errors import ModelError
from liveness.io.files import write_atomically
from liveness.model.labels import LABELS


@dataclass(frozen=True)
class ModelCard:
    """What must be known about a model to use it, and where it comes from.

    Attributes:
        input_size_px: Side of the network's square input.
        view_scales: Scale of each view in the network's input, in its order.
        crop_scale: Side of a crop over the face's longer side.
        threshold: Score from which a face counts as real, 0 to 1.
        threshold_rule: How and on what data the threshold was chosen.
        labels: Classes in the order of the network's outputs.
        color_order: Of the input's channels in each view.
        validation: Error rates of the faces that the threshold was chosen on, JSON
            values.
        trained_on: Counts of the training data by kind, one text.
        started_from: The model that it was adapted from; empty for none.
        seed: Of the training run.
        networks: How many were trained, with the next seed each, and averaged.
        versions: Libraries that trained and saved the model.
        model_sha256: Of the Keras file.
        runtime_sha256: Of the runtime file.

    Raises:
        ValueError: If a value is outside its range.
    """

    input_size_px: int
    view_scales: tuple[float, ...]
    crop_scale: float
    threshold: float = 0.5
    threshold_rule: str = ""
    labels: tuple[str, ...] = LABELS
    color_order: str = "BGR"
    validation: dict[str, Any] = field(default_factory=dict)
    trained_on: str = ""
    started_from: str = ""
    seed: int | None = None
    networks: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    model_sha256: str | None = None
    runtime_sha256: str | None = None

    def __post_init__(self) -> None:
        numbers = (*self.view_scales, self.crop_scale)
        if not self.view_scales or not all(_is_positive(value) for value in numbers):
            raise ValueError(f"scales must be above 0, received {numbers}")
        if type(self.input_size_px) is not int or self.input_size_px < 1:
            raise ValueError(f"input_size_px is {self.input_size_px!r}, expected 1 up")
        if not (_is_number(self.threshold) and 0 <= self.threshold <= 1):
            raise ValueError(f"threshold is {self.threshold!r}, expected 0 to 1")
        if sorted(self.labels) != sorted(LABELS):
            raise ValueError(f"labels are {self.labels}, expected {LABELS}")
        if self.color_order != "BGR":
            raise ValueError(f"color_order is {self.color_order!r}, expected 'BGR'")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return self.input_size_px, self.input_size_px, 3 * len(self.view_scales)


def read_card(path: Path) -> ModelCard:
    """Read a model's card.

    Raises:
        ModelError: If it is missing, damaged, lacks keys or has some that no card
            has, or values outside their range.
    """
    try:
        values = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise ModelError(f"no model card at '{path}': train again") from None
    except (ValueError, RecursionError) as error:
        raise _bad_card(path, "it is not JSON") from error
    if not isinstance(values, dict):
        raise _bad_card(path, "it is not a JSON object")
    known = {item.name for item in dataclasses.fields(ModelCard)}
    if unknown := sorted(values.keys() - known):
        raise _bad_card(path, f"it has the unknown keys {', '.join(unknown)}")
    needed = {
        item.name
        for item in dataclasses.fields(ModelCard)
        if item.default is item.default_factory is dataclasses.MISSING
    }
    if missing := sorted(needed - values.keys()):
        raise _bad_card(path, f"it lacks the keys {', '.join(missing)}")
    try:
        for key in {"view_scales", "labels"} & values.keys():
            values[key] = tuple(values[key])
        return ModelCard(**values)
    except (TypeError, ValueError) as error:
        raise _bad_card(path, str(error)) from error


def write_card(card: ModelCard, path: Path) -> None:
    """Write a model's card as JSON, whole or not at all.

    Raises:
        OSError: If it cannot be written.
        ValueError: If its validation metrics hold a number JSON does not have.
    """
    text = json.dumps(dataclasses.asdict(card), indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def sha256_of(content: bytes) -> str:
    """Return SHA-256 in lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value > 0


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _bad_card(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"the model card '{path}' cannot be used: {reason}; train again or restore "
        "the card written with the model"
    )
