"""Load a model from disk as a network that is ready to run."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.errors import ModelError
from liveness.model.card import ModelCard, read_card, sha256_of
from liveness.model.keras_files import load_keras_model
from liveness.model.labels import LABELS
from liveness.model.networks import KerasNetwork, Network, RuntimeNetwork
from liveness.model.paths import ModelPaths, require_model_file

if TYPE_CHECKING:
    import keras

PROBABILITIES = ("softmax", "sigmoid")  # activations of a network's last layer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedModel:
    """A network with the card that says how to feed it."""

    network: Network
    card: ModelCard


def load_model(paths: ModelPaths) -> LoadedModel:
    """Load network and card of a model, from the runtime file if it belongs to it.

    Otherwise the Keras file is loaded with TensorFlow, and a log line says why. A
    model without a card gets ``card_of_older_model``.

    Raises:
        ModelError: If a file is missing, damaged, unsafe or does not fit the others.
    """
    require_model_file(paths.model)
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


def card_of_older_model(model: "keras.Model", path: Path) -> ModelCard:
    """Return a card for a model of an older tool, derived from its input size.

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
    """Check that the input and output of a model match its card.

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


def _fits(model: "keras.Model", card: ModelCard) -> bool:
    """Return whether input and outputs are those of the card."""
    return (
        model.input_shape == (None, *card.input_shape)  # a list when there are several
        and model.output_shape == (None, len(LABELS))
    )
