"""Load Keras files of either format, after checking what they contain.

A Keras file may hold plain image layers and no code.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveness.errors import ModelError
from liveness.model.paths import require_model_file
from liveness.processes import silent_libraries

if TYPE_CHECKING:
    import keras

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


def load_keras_model(path: Path) -> "keras.Model":
    """Load a Keras file of either format, told apart by its first bytes.

    Args:
        path: HDF5 file or Keras' zip format, under any name.

    Raises:
        ModelError: If it is missing, of another format, holds anything but plain
            image layers, or TensorFlow is not installed.
    """
    require_model_file(path)
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
            with silent_stderr():  # remarks about the style of an older model
                return keras.models.load_model(copy, compile=False, safe_mode=True)
        # Keras fails on a damaged file in ways of its own and of its libraries.
        except Exception as error:
            raise ModelError(
                f"Keras cannot load '{path}': it is damaged or of a version that "
                f"Keras {keras.__version__} does not read; train again"
            ) from error


def import_keras() -> Any:
    """Import Keras without TensorFlow's start-up messages, with its optimisations on.

    Raises:
        ModelError: If it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN, which TensorFlow leaves out on processors without AVX-512: with it a
    # training there takes about two thirds of the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        with silent_stderr():
            import keras
    except ImportError as error:
        raise ModelError(
            "this model needs TensorFlow: pip install -r requirements.txt"
        ) from error
    return keras


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what Python and C++ libraries write to stderr; errors still raise."""
    sys.stderr.flush()
    with silent_libraries(), contextlib.redirect_stderr(io.StringIO()):
        yield


def _config_of_hdf5(file: Path, path: Path) -> Any:
    """Return architecture in an HDF5 file; path is the name for messages."""
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
    """Return architecture in a .keras file; path is the name for messages."""
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
    """Yield all dictionaries in a JSON value, without recursion."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
