"""Save the state of a training after each epoch, so that it can be resumed."""

import io
import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from liveness.errors import ModelError, reason_of
from liveness.io.files import write_atomically

_EARLY_STOPPING = ("wait", "best", "best_epoch")  # what it counts

logger = logging.getLogger(__name__)


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer and history after each epoch, whole or not at all.

    It has to be the last of the callbacks. Where the file cannot be written, training
    goes on and a line says so once.

    Args:
        path: File to write: numpy's ``.npz``, without pickle; None writes nothing and
            only keeps the history.
        recipe: JSON values that make a training what it is; the checkpoint of another
            one is refused.
    """

    def __init__(self, path: Path | None, recipe: dict[str, Any]) -> None:
        super().__init__()
        self.path = path
        self.epochs = 0  # that are done
        self.is_done = False  # all of them, or early stopping ended it
        self.history: dict[str, list[float]] = {}
        self._recipe = json.loads(json.dumps(recipe))
        self._early: dict[str, Any] = {}
        self._has_failed = False

    def attach(
        self, learner: keras.Model, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Choose what is kept.

        Args:
            learner: Compiled; its optimizer is built here.
            callbacks: The others; early stopping among them is kept, too.
        """
        learner.optimizer.build(learner.trainable_variables)
        self._learner = learner
        self._stops = [
            one for one in callbacks if isinstance(one, keras.callbacks.EarlyStopping)
        ]

    def restore(self) -> None:
        """Go on from the file; without one nothing changes.

        Raises:
            ModelError: If it is damaged or of another training.
        """
        if self.path is None or not self.path.is_file():
            return
        try:
            # Opened here: of a damaged file np.load would leave its own one open.
            with (
                self.path.open("rb") as file,
                np.load(file, allow_pickle=False) as content,
            ):
                state = json.loads(str(content["state"]))
                arrays = {key: content[key] for key in content.files}
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"the checkpoint '{self.path}' is damaged: delete it to start anew"
            ) from error
        if state["recipe"] != self._recipe:
            different = sorted(
                name
                for name in {*state["recipe"], *self._recipe}
                if state["recipe"].get(name) != self._recipe.get(name)
            )
            raise ModelError(
                f"the checkpoint '{self.path}' is of another training (other "
                f"{', '.join(different)}): repeat its command, or delete it"
            )
        self.epochs, self.is_done = state["epochs"], state["is_done"]
        self.history = state["history"]
        for number, variable in enumerate(self._variables()):
            variable.assign(arrays[f"variable_{number}"])
        best = [arrays[f"best_{number}"] for number in range(state["best_weights"])]
        self._early = state["early_stopping"] | {"best_weights": best or None}
        logger.info("going on after epoch %d", self.epochs)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the state that early stopping resets when a training begins."""
        for stop in self._stops:
            vars(stop).update(self._early)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record the figures of the epoch."""
        self.epochs = epoch + 1
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write where the last epoch ended, with the weights to go on from."""
        if self.epochs:
            self._write()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Write the final weights, for a training of several networks."""
        self.is_done = True
        self._write()

    def _variables(self) -> list:
        return [*self._learner.variables, *self._learner.optimizer.variables]

    def _write(self) -> None:
        if self.path is None:
            return
        arrays = {
            f"variable_{number}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(self._variables())
        }
        state: dict[str, Any] = {
            "recipe": self._recipe,
            "epochs": self.epochs,
            "is_done": self.is_done,
            "history": self.history,
            "early_stopping": {},
            "best_weights": 0,
        }
        for stop in self._stops:
            values = {name: getattr(stop, name) for name in _EARLY_STOPPING}
            state["early_stopping"] = {
                name: value if value is None else float(value)
                for name, value in values.items()
            }
            best = stop.best_weights or []
            state["best_weights"] = len(best)
            arrays |= {f"best_{number}": one for number, one in enumerate(best)}
        buffer = io.BytesIO()
        np.savez(buffer, state=np.array(json.dumps(state)), **arrays)
        try:
            write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            if not self._has_failed:
                logger.warning(
                    "cannot write the checkpoint '%s' (%s): training goes on "
                    "without it",
                    self.path,
                    reason_of(error),
                )
            self._has_failed = True
