"""The trained model on disk: Keras file, runtime file, card and label encoder.

Beside ``liveness.h5`` lie ``liveness.json``, the card, and ``liveness.onnx``, the
same network for ONNX Runtime. The card holds the SHA-256 of both, so that a
runtime file is only used with the model that it was made from. A Keras file is
looked through before it is loaded: it may hold plain image layers and no code.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import math
import os
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from liveness.cli import ROOT
from liveness.errors import ModelError, OutputError
from liveness.files import check_output_files, write_atomically
from liveness.labels import LABELS, write_label_encoder
from liveness.silence import silent_libraries

if TYPE_CHECKING:
    import keras

MODEL_NAME = "liveness.h5"
MODEL_NAMES = (MODEL_NAME, "liveness.keras", "liveness.model")
LABEL_ENCODER_NAME = "label_encoder.pickle"
PROBABILITIES = ("softmax", "sigmoid")  # activations of a network's last layer
MAX_DIFFERENCE = 1e-4  # between the scores of a model and of its runtime file
MAX_CONFIG_BYTES = 16 * 1024 * 1024  # architecture in a .keras file; some 20 kB here

_HDF5_START = b"\x89HDF\r\n\x1a\n"  # signature of the HDF5 format specification
_ZIP_START = b"PK\x03\x04"  # local file header of a zip archive

# What a Keras file may name. Layers that read files, run functions or load other
# frameworks' modules are not among them, whatever Keras' own safe mode lets pass.
_LAYERS = """
    Functional Sequential Model InputLayer Activation Add Average AveragePooling2D
    BatchNormalization Concatenate Conv2D Cropping2D Dense DepthwiseConv2D Dropout ELU
    Flatten GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D
    GroupNormalization LayerNormalization LeakyReLU MaxPooling2D Maximum Minimum
    Multiply PReLU Permute ReLU Rescaling Reshape SeparableConv2D Softmax
    SpatialDropout2D Subtract UpSampling2D ZeroPadding2D
""".split()
_SETTINGS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform L1 L1L2 L2 LecunNormal
    LecunUniform MaxNorm Ones Orthogonal RandomNormal RandomUniform TruncatedNormal
    UnitNorm VarianceScaling Zeros DTypePolicy Policy __keras_tensor__ __tuple__
""".split()
_ADMITTED_NAMES = frozenset(_LAYERS + _SETTINGS)

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class ModelPaths:
    """Where a model's files are; card and runtime file take the model's name."""

    model: Path
    label_encoder: Path

    @property
    def files(self) -> list[Path]:
        """All four."""
        return [self.model, self.label_encoder, self.card, self.runtime]

    @property
    def card(self) -> Path:
        """``liveness.json`` for ``liveness.h5`` and ``liveness.model``."""
        return self.model.with_suffix(".json")

    @property
    def runtime(self) -> Path:
        """``liveness.onnx`` for ``liveness.h5`` and ``liveness.model``."""
        return self.model.with_suffix(".onnx")


class Network(Protocol):
    """A network that is ready to run."""

    runtime: str

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Outputs (N, 2) float32 for a batch (N, side, side, channels) float32."""


class RuntimeNetwork:
    """A runtime file in ONNX Runtime.

    On two cores a face takes 3 ms of the network that ships, and 20 ms in OpenCV, which
    has no fast convolution of single channels.

    Raises:
        ModelError: If ONNX Runtime cannot read the file's content.
    """

    runtime = "ONNX Runtime"

    def __init__(self, content: bytes) -> None:
        import onnxruntime  # 50 ms, which --help and collecting go without

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal: what fails raises, and we say it
        # Threads that wait busily would take the detector's time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of classes of its own that it does not export
            raise ModelError(
                "ONNX Runtime cannot read the runtime file: train again, or delete it "
                "to use the Keras model"
            ) from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """See Network."""
        if not len(batch):
            return np.empty((0, 2), np.float32)
        (outputs,) = self._session.run(None, {self._input: batch})
        return outputs


class KerasNetwork:
    """A Keras model; needs TensorFlow."""

    runtime = "TensorFlow"

    def __init__(self, model: "keras.Model") -> None:
        self._model = model

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """See Network."""
        return np.asarray(self._model.predict_on_batch(batch))


@dataclass(frozen=True)
class LoadedModel:
    """A network with the card that says how to feed it."""

    network: Network
    card: ModelCard


def find_model(
    model: Path | None, label_encoder: Path | None, *, root: Path = ROOT
) -> ModelPaths:
    """The files of the model to use.

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
        folder = root / "models"
        paths = ModelPaths(folder / MODEL_NAME, folder / LABEL_ENCODER_NAME)
    elif model is None:
        paths = ModelPaths(_only_model_beside(label_encoder), label_encoder)
    else:
        beside = model.parent / LABEL_ENCODER_NAME
        paths = ModelPaths(model, label_encoder or beside)
    _require_model_file(paths.model)
    if not paths.label_encoder.is_file():
        raise ModelError(
            f"no label encoder at '{paths.label_encoder}': give the one written with "
            f"'{paths.model}' with -l"
        )
    return paths


def load_model(paths: ModelPaths) -> LoadedModel:
    """Network and card of a model, by the runtime file if it belongs to the model.

    Otherwise the Keras file is loaded with TensorFlow, and a log line says why. A
    model without a card gets ``card_of_older_model``.

    Raises:
        ModelError: If a file is missing, damaged, unsafe or does not fit the others.
    """
    _require_model_file(paths.model)
    if not paths.card.is_file():
        model = load_keras_model(paths.model)
        card = card_of_older_model(model, paths.model)
        logger.info(
            "'%s' has no card: taken as a model of an older tool (%d px, tight crop, "
            "threshold %.2f), run by TensorFlow",
            *(paths.model, card.input_size_px, card.threshold),
        )
        return LoadedModel(KerasNetwork(model), card)
    card = read_card(paths.card)
    belongs = card.model_sha256 == sha256_of(paths.model.read_bytes())
    reason = f"'{paths.card}' was written for another model file"
    if belongs:
        content = paths.runtime.read_bytes() if paths.runtime.is_file() else b""
        if content and card.runtime_sha256 == sha256_of(content):
            return LoadedModel(RuntimeNetwork(content), card)
        reason = f"'{paths.runtime}' does not belong to the model"
        if not content:
            reason = f"there is no '{paths.runtime}'"
    model = load_keras_model(paths.model)
    if not belongs and not _fits(model, card):
        reason += ", so it is taken as one of an older tool (tight crop)"
        card = card_of_older_model(model, paths.model)
    elif not belongs:
        reason += ": its threshold may be off"
    check_model(model, card, paths.model)
    logger.info("loading '%s' with TensorFlow: %s", paths.model, reason)
    return LoadedModel(KerasNetwork(model), card)


def load_keras_model(path: Path) -> "keras.Model":
    """Load a Keras file of either format, told apart by its first bytes.

    Args:
        path: HDF5 file or Keras' zip format, under any name.

    Raises:
        ModelError: If it is missing, of another format, holds anything but plain
            image layers, or TensorFlow is not installed.
    """
    _require_model_file(path)
    with path.open("rb") as file:
        start = file.read(len(_HDF5_START))
    if start == _HDF5_START:
        suffix, read_config = ".h5", _config_of_hdf5
    elif start.startswith(_ZIP_START):
        suffix, read_config = ".keras", _config_of_zip
    else:
        raise ModelError(f"'{path}' is not a Keras model: neither HDF5 nor .keras")
    # Keras goes by the name; and what was looked through is what gets loaded.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{suffix}"
        shutil.copyfile(path, copy)
        _check_config(read_config(copy, path), path)
        keras = import_keras()
        try:
            with _silent_stderr():  # remarks about the style of an older model
                return keras.models.load_model(copy, compile=False, safe_mode=True)
        # Keras fails on a damaged file in ways of its own and of its libraries.
        except Exception as error:
            raise ModelError(
                f"Keras cannot load '{path}': it is damaged or of a version that "
                f"Keras {keras.__version__} does not read; train again"
            ) from error


def save_trained_model(
    model: "keras.Model", path: Path, label_encoder_path: Path, card: ModelCard
) -> ModelPaths:
    """Write a trained model with its runtime file, label encoder and card.

    Every file appears whole or not at all, the card last: a run killed in between
    leaves a model whose card does not name it, and such a runtime file is not used.

    Args:
        model: Built Keras model, (N, side, side, 3 * views) to softmax (N, 2).
        path: ``.keras`` gives Keras' zip format, any other suffix HDF5.
        label_encoder_path: Of the label encoder.
        card: Its SHA-256 sums, and its versions if empty, are filled in here.

    Returns:
        Where the files are.

    Raises:
        OutputError: As ``check_output_files``.
        ModelError: If the model does not fit the card, cannot be exported, or its
            runtime file gives other scores.
        OSError: If a file cannot be written.
    """
    paths = ModelPaths(path, label_encoder_path)
    check_output_paths(paths)
    check_model(model, card, path)
    versions = card.versions or library_versions()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".model-") as folder:
        suffix = ".keras" if path.suffix == ".keras" else ".h5"
        keras_file = Path(folder) / f"model{suffix}"
        runtime_file = Path(folder) / "model.onnx"
        _save_quietly(model, keras_file, runtime_file)
        keras_bytes, runtime_bytes = keras_file.read_bytes(), runtime_file.read_bytes()
        _check_agreement(model, runtime_bytes, card)
        os.replace(keras_file, paths.model)
        os.replace(runtime_file, paths.runtime)
    write_label_encoder(label_encoder_path)
    write_card(
        dataclasses.replace(
            card,
            versions=versions,
            model_sha256=sha256_of(keras_bytes),
            runtime_sha256=sha256_of(runtime_bytes),
        ),
        paths.card,
    )
    return paths


def check_output_paths(
    paths: ModelPaths, *others: Path, inputs: Iterable[Path] = ()
) -> None:
    """Refuse, before a long training, what could not be saved after it.

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


def card_of_older_model(model: "keras.Model", path: Path) -> ModelCard:
    """Card for a model of an older tool of this family, from its input's size.

    Those tools scaled BGR crops of the bare detector box to the input and took
    the more probable class.

    Raises:
        ModelError: If it has no square input of three channels or not two outputs.
    """
    shape = tuple(model.input_shape) if isinstance(model.input_shape, tuple) else ()
    if len(shape) != 4 or not shape[1] or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(
            f"'{path}' has no card and its input {shape} is not (N, side, side, 3): "
            f"expected the card '{path.with_suffix('.json')}' beside it"
        )
    card = ModelCard(
        input_size_px=shape[1],
        view_scales=(1.0,),
        crop_scale=1.0,
        threshold_rule="the more probable class; the model has no card",
    )
    check_model(model, card, path)
    return card


def check_model(model: "keras.Model", card: ModelCard, path: Path) -> None:
    """Check that a model takes and gives what its card says.

    Raises:
        ModelError: If its input or its outputs differ, or these are no probabilities.
    """
    if not _fits(model, card):
        raise ModelError(
            f"'{path}' takes {model.input_shape} and gives {model.output_shape}; "
            f"expected {(None, *card.input_shape)} and (None, {len(LABELS)}), one "
            f"output each for {' and '.join(LABELS)}: give a model of this project"
        )
    last = model.layers[-1]
    # What follows a dense layer may be anything: its outputs tell, see classifier.py.
    name = last.activation.__name__ if type(last).__name__ == "Dense" else ""
    if name and name not in PROBABILITIES:
        raise ModelError(
            f"the last layer of '{path}' has the activation '{name}': expected "
            f"{' or '.join(PROBABILITIES)}, which give probabilities; add a softmax "
            "and save it again"
        )


def library_versions() -> dict[str, str]:
    """Versions of what trains and saves a model, by package name."""
    from importlib import metadata  # takes as long as a face; apps do without

    versions = {"python": platform.python_version(), "opencv": cv2.__version__}
    for package in ("keras", "tensorflow", "tf2onnx", "numpy"):
        versions[package] = metadata.version(package)
    return versions


def import_keras() -> Any:
    """Import Keras without TensorFlow's start-up messages, and with its fast parts.

    Raises:
        ModelError: If it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN, which TensorFlow leaves out on processors without AVX-512: with it a
    # training there takes about two thirds of the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with _silent_stderr():
            import keras
    except ImportError as error:
        raise ModelError(
            "this model needs TensorFlow: pip install -r requirements.txt"
        ) from error
    return keras


def sha256_of(content: bytes) -> str:
    """SHA-256 in lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what Python and libraries in C++ write to stderr; errors still raise."""
    sys.stderr.flush()
    with silent_libraries(), contextlib.redirect_stderr(io.StringIO()):
        yield


def _require_model_file(path: Path) -> None:
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
    """The one model of a usual name in a label encoder's folder."""
    folder = label_encoder.parent
    found = [folder / name for name in MODEL_NAMES if (folder / name).is_file()]
    if len(found) != 1:
        names = " and ".join(path.name for path in found) or "no model"
        raise ModelError(
            f"'{folder}' has {names} beside '{label_encoder.name}': give one with -m"
        )
    return found[0]


def _fits(model: "keras.Model", card: ModelCard) -> bool:
    """Whether input and outputs are those of the card."""
    return (
        model.input_shape == (None, *card.input_shape)  # a list when there are several
        and model.output_shape == (None, len(LABELS))
    )


def _save_quietly(model: "keras.Model", keras_file: Path, runtime_file: Path) -> None:
    """Save and export a model without the libraries' remarks about either."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    # The exporter wants a model that was called at least once.
    model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)
    try:
        with _silent_stderr():
            model.save(keras_file)
            model.export(runtime_file, format="onnx", verbose=False)
    except (ImportError, ValueError, NotImplementedError) as error:
        raise ModelError(f"the model cannot be exported: {error}") from error


def _check_agreement(model: "keras.Model", content: bytes, card: ModelCard) -> None:
    """Compare a model with its runtime file on random pictures, one and several."""
    random = np.random.default_rng(0)
    network = RuntimeNetwork(content)
    for count in (1, 5):
        batch = random.random((count, *card.input_shape), dtype=np.float32)
        expected = np.asarray(model(batch, training=False))
        received = network(batch)
        if expected.shape != received.shape:
            raise ModelError(
                f"the runtime file gives outputs of shape {received.shape}, the "
                f"model {expected.shape}"
            )
        # Written so that a NaN fails too.
        if not np.abs(expected - received).max() <= MAX_DIFFERENCE:
            raise ModelError(
                f"the runtime file's scores differ from the model's by more than "
                f"{MAX_DIFFERENCE:g}"
            )


def _config_of_hdf5(file: Path, path: Path) -> Any:
    """Architecture in an HDF5 file; path is the name for messages."""
    import h5py

    try:
        with h5py.File(file, "r") as content:
            text = content.attrs.get("model_config")
        config = None if text is None else json.loads(text)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"'{path}' is a damaged HDF5 file: train again") from error
    if config is None:
        raise ModelError(
            f"'{path}' is an HDF5 file without a Keras model (weights alone do not "
            "suffice): give the file that train_model.py wrote"
        )
    return config


def _config_of_zip(file: Path, path: Path) -> Any:
    """Architecture in a .keras file; path is the name for messages."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open("config.json") as content:
            text = content.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise ValueError(f"config.json is larger than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(text)
    except KeyError:
        raise ModelError(
            f"'{path}' is a zip archive without a Keras model: give the file that "
            "train_model.py wrote"
        ) from None
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError) as error:
        raise ModelError(f"'{path}' is a damaged .keras file: train again") from error
    if isinstance(config, dict):
        config.pop("compile_config", None)  # optimizer and loss are not loaded
    return config


def _check_config(config: Any, path: Path) -> None:
    """Refuse an architecture that names anything but plain layers of Keras."""
    for item in _dicts_in(config):
        if "class_name" not in item:
            continue
        name, module = item["class_name"], item.get("module")
        registered = item.get("registered_name")
        plain = isinstance(name, str) and name in _ADMITTED_NAMES
        ours = module is None or str(module).split(".")[0] in ("keras", "builtins")
        if not (plain and ours and registered in (None, name)):
            raise ModelError(
                f"'{path}' contains {name!r}, which is not a plain image layer and "
                "could run code: refused; use a model from a source you trust, made "
                "of plain layers"
            )


def _dicts_in(value: Any) -> Iterator[dict]:
    """All dictionaries in a JSON value, without recursion."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


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
