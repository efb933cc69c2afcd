"""Second moments of a network's features on its training faces, used to adapt it.

Second moments of features: sums over thousands of faces, from which no picture of a
face can be made.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from liveness.io.files import write_atomically

MOMENT_FACES = 3000  # faces that are summed up, at most


def second_moments(values: np.ndarray) -> np.ndarray:
    """Return the mean products of features.

    Args:
        values: (N, F) features of faces that a network was trained on.

    Returns:
        (F + 1, F + 1) float64; the last row and column are of a 1, for the bias.
    """
    values = np.hstack([values, np.ones((len(values), 1))])
    return values.T @ values / len(values)


def write_moments(path: Path, moments: np.ndarray, model_sha256: str) -> None:
    """Write second moments beside the model that they belong to.

    Args:
        path: File to write, numpy's ``.npz`` without pickle.
        moments: Of ``second_moments``.
        model_sha256: Of the Keras file.

    Raises:
        OSError: If the file cannot be written.
    """
    content = io.BytesIO()
    np.savez_compressed(
        content, moments=moments.astype(np.float32), model=np.array(model_sha256)
    )
    write_atomically(path, content.getvalue())


def read_moments(path: Path, model_sha256: str | None) -> np.ndarray | None:
    """Read second moments.

    Args:
        path: File of ``write_moments``.
        model_sha256: Of the Keras file that they have to belong to.

    Returns:
        (F + 1, F + 1) float64; None if there are none that belong to the model.
    """
    try:
        data = io.BytesIO(path.read_bytes())
        with np.load(data, allow_pickle=False) as content:
            if str(content["model"]) != model_sha256:
                return None
            moments = content["moments"].astype(np.float64)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    is_square = moments.ndim == 2 and moments.shape[0] == moments.shape[1]
    return moments if is_square and np.isfinite(moments).all() else None
