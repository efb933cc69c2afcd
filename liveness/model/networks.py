"""Networks that are ready to run: in ONNX Runtime, or in Keras."""

import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from liveness.errors import ModelError

if TYPE_CHECKING:
    import keras


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
    """A Keras model; needs TensorFlow. Threads wait for each other."""

    runtime = "TensorFlow"

    def __init__(self, model: "keras.Model") -> None:
        self._model = model
        self._lock = threading.Lock()  # Keras builds its function on the first call

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """See Network."""
        with self._lock:
            return np.asarray(self._model.predict_on_batch(batch))
