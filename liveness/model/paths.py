"""Where a model's files are, and which model is used by default."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from liveness.constants import ROOT
from liveness.errors import ModelError, OutputError
from liveness.io.files import check_output_files

MODEL_NAME = "liveness.h5"
MODEL_NAMES = (MODEL_NAME, "liveness.keras", "liveness.model")
LABEL_ENCODER_NAME = "label_encoder.pickle"


@dataclass(frozen=True)
class ModelPaths:
    """Where a model's files are; card and runtime file take the model's name."""

    model: Path
    label_encoder: Path

    @property
    def files(self) -> list[Path]:
        """All of them, whether they are there or not."""
        four = [self.model, self.label_encoder, self.card, self.runtime]
        return [*four, self.moments]

    @property
    def card(self) -> Path:
        """``liveness.json`` for ``liveness.h5`` and ``liveness.model``."""
        return self.model.with_suffix(".json")

    @property
    def moments(self) -> Path:
        """``liveness.moments.npz`` for ``liveness.h5``: what adapting starts from."""
        return self.model.with_suffix(".moments.npz")

    @property
    def runtime(self) -> Path:
        """``liveness.onnx`` for ``liveness.h5`` and ``liveness.model``."""
        return self.model.with_suffix(".onnx")


def find_model(
    model: Path | None, label_encoder: Path | None, *, root: Path = ROOT
) -> ModelPaths:
    """Return the files of the model to use.

    Args:
        model: Keras file; None for the one that lies beside the label encoder.
        label_encoder: Its label encoder; None for the one beside the model. When
            both are None, the user's own two files in ``root`` are taken if both
            are there, else those in ``root/models``.
        root: Folder of the scripts.

    Raises:
        ModelError: If a file is missing, or there is more than one to choose from.
    """
    if model is None and label_encoder is None:
        own = ModelPaths(root / MODEL_NAME, root / LABEL_ENCODER_NAME)
        if own.model.is_file() and own.label_encoder.is_file():
            return own
        paths = shipped_model(root=root)
    elif model is None:
        paths = ModelPaths(_only_model_beside(label_encoder), label_encoder)
    else:
        beside = model.parent / LABEL_ENCODER_NAME
        paths = ModelPaths(model, label_encoder or beside)
    require_model_file(paths.model)
    if not paths.label_encoder.is_file():
        raise ModelError(
            f"no label encoder at '{paths.label_encoder}': give the one written with "
            f"'{paths.model}' with -l"
        )
    return paths


def shipped_model(*, root: Path = ROOT) -> ModelPaths:
    """Return the files of the model that comes with the project."""
    folder = root / "models"
    return ModelPaths(folder / MODEL_NAME, folder / LABEL_ENCODER_NAME)


def check_output_paths(
    paths: ModelPaths, *others: Path, inputs: Iterable[Path] = ()
) -> None:
    """Refuse output paths that cannot be written, before a long training.

    Args:
        paths: Of the model.
        *others: Further files that the same run writes.
        inputs: Files that it reads and that have to stay.

    Raises:
        OutputError: As ``check_output_files``.
        ModelError: If the exporter is not installed.
    """
    check_output_files([paths.model])  # before a folder's name gets another ending
    for path in paths.files:
        # Behind a link may be another model's file, and the others are not linked.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise OutputError(
                f"'{path}' is no file but a link or device: choose another name"
            )
    check_output_files([*paths.files, *others], inputs=inputs)
    if find_spec("tf2onnx") is None:
        raise ModelError(
            "writing the runtime file needs tf2onnx: pip install -r requirements.txt"
        )


def require_model_file(path: Path) -> None:
    """Raise ModelError unless there is a file."""
    if path.is_dir():
        raise ModelError(
            f"'{path}' is a folder (TensorFlow's SavedModel?); expected a Keras file: "
            "save it again with a name that ends in .h5"
        )
    if not path.is_file():
        raise ModelError(
            f"no model at '{path}': give one with -m or train it with train_model.py"
        )


def _only_model_beside(label_encoder: Path) -> Path:
    """Return the one model of a usual name in a label encoder's folder."""
    folder = label_encoder.parent
    found = [folder / name for name in MODEL_NAMES if (folder / name).is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "no model"
        raise ModelError(
            f"'{folder}' has {names} beside '{label_encoder.name}': give one with -m"
        )
    return found[0]
