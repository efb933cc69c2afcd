"""Class names, their one order, and the label encoder's file.

The file is a pickled scikit-learn LabelEncoder, as users of this workflow expect.
A pickle can run code when it is opened, so it is read without scikit-learn or
numpy taking part: only the names that a label encoder consists of are admitted,
and each of them becomes a stand-in that stores what it is given.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

from liveness.errors import ModelError
from liveness.io.files import write_atomically

LABELS = ("fake", "real")  # sorted, as LabelEncoder does; order of a network's outputs
FAKE, REAL = LABELS
MAX_ENCODER_BYTES = 64 * 1024  # two class names take about 300 bytes


def write_label_encoder(path: Path) -> None:
    """Write the pickled LabelEncoder of ``LABELS``, whole or not at all.

    Raises:
        OSError: If the folder is missing or cannot be written.
    """
    from sklearn.preprocessing import LabelEncoder  # slow, and only training writes

    write_atomically(path, pickle.dumps(LabelEncoder().fit(list(LABELS))))


def read_label_encoder(path: Path) -> list[str]:
    """Read class names from a label encoder, in the order of a network's outputs.

    Returns:
        The two names of ``LABELS``, in the file's order.

    Raises:
        ModelError: If the file is missing, is no pickled LabelEncoder, asks for
            anything else (nothing of it is executed), or has other classes.
    """
    if not path.is_file():
        raise ModelError(
            f"no label encoder at '{path}': train_model.py writes it beside the model"
        )
    with path.open("rb") as file:
        if len(file.read(MAX_ENCODER_BYTES + 1)) > MAX_ENCODER_BYTES:
            raise _foreign(path, f"it is larger than {MAX_ENCODER_BYTES} bytes")
        file.seek(0)
        try:
            labels = _classes(_EncoderUnpickler(file).load())
        except _RefusedError as error:
            raise _foreign(path, str(error)) from None
        # A damaged pickle can fail in any way; none of them is our own fault.
        except Exception as error:
            raise _foreign(path, "it is damaged or of another kind") from error
    if sorted(labels) != sorted(LABELS):
        raise ModelError(
            f"the label encoder '{path}' has the classes {', '.join(labels)}; "
            f"expected {' and '.join(LABELS)}: give the one written with the model"
        )
    return labels


class _RefusedError(Exception):
    """The pickle asks for something that no label encoder needs."""


class _StandIn:
    """Stores its arguments and state in place of the object a pickle describes."""

    def __new__(cls, *args: Any) -> "_StandIn":
        self = super().__new__(cls)
        self.args = args
        self.state = None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Encoder(_StandIn):
    """Of LabelEncoder: state is its attributes."""


class _Array(_StandIn):
    """Of numpy's array: state is (version, shape, dtype, fortran order, data)."""


class _Buffer(_StandIn):
    """Of an array by pickle protocol 5: args are (data, dtype, shape, order)."""


class _DType(_StandIn):
    """Of numpy's dtype: args[0] is its code, state[1] the byte order."""


class _Latin1(_StandIn):
    """Of codecs.encode(text, "latin1"), by which pickle protocol 2 stores bytes."""


_ADMITTED = {
    ("sklearn.preprocessing._label", "LabelEncoder"): _Encoder,
    ("sklearn.preprocessing.label", "LabelEncoder"): _Encoder,  # before 0.22
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,  # before numpy 2
    ("numpy._core.numeric", "_frombuffer"): _Buffer,
    ("numpy.core.numeric", "_frombuffer"): _Buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Latin1,
}


class _EncoderUnpickler(pickle.Unpickler):
    """Admits a label encoder's names, as stand-ins, and nothing else."""

    def find_class(self, module: str, name: str) -> type:
        """Return the stand-in for an admitted name; nothing is imported."""
        if (module, name) not in _ADMITTED:
            raise _RefusedError(f"it asks for {module}.{name}, which is not allowed")
        return _ADMITTED[module, name]


def _classes(encoder: Any) -> list[str]:
    """Return the names in the stand-in of an encoder."""
    if not isinstance(encoder, _Encoder):
        raise _RefusedError(f"it holds an object of type {type(encoder).__name__}")
    array = encoder.state["classes_"]
    if isinstance(array, _Buffer):
        data, dtype, (count,), _ = array.args
    else:
        _, (count,), dtype, _, data = array.state
    code, byte_order = dtype.args[0], dtype.state[1]
    if isinstance(data, _Latin1):
        data = data.args[0].encode("latin1")
    if code.startswith("U"):  # fixed-width text, four bytes per character
        big = byte_order == ">" or (byte_order == "=" and sys.byteorder == "big")
        text = data.decode("utf-32-be" if big else "utf-32-le")
        width = int(code[1:])
        names = [text[i * width : (i + 1) * width].rstrip("\0") for i in range(count)]
    elif code.startswith("O"):
        names = list(data)
    else:
        raise _RefusedError("its classes are not text")
    if not all(isinstance(name, str) for name in names):
        raise _RefusedError("its classes are not text")
    return names


def _foreign(path: Path, reason: str) -> ModelError:
    """Return the error for a file that is refused."""
    return ModelError(
        f"'{path}' is not a label encoder that can be used: {reason}; "
        "give the label_encoder.pickle written with the model"
    )
