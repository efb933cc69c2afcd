"""Adapt a trained model to one camera with a few faces of it."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from liveness.data.dataset import (
    Sample,
    describe,
    read_dataset,
    require_both_labels,
    without_sites,
)
from liveness.errors import DatasetError, ModelError
from liveness.evaluation.metrics import error_rates
from liveness.model.card import ModelCard, read_card, sha256_of
from liveness.model.keras_files import import_keras, load_keras_model
from liveness.model.labels import LABELS, REAL, read_label_encoder
from liveness.model.loading import check_model
from liveness.model.paths import ModelPaths, find_model, shipped_model
from liveness.model.saving import save_trained_model
from liveness.training.moments import read_moments, write_moments
from liveness.training.pixels import Pixels, load_pixels
from liveness.training.recipe import TrainingOptions
from liveness.workflow.train import (
    Judged,
    Outcome,
    TrainingFiles,
    check_outputs,
    draw_confusion,
)

LEAST_FACES = 10  # of a class; fewer say nothing of a camera

logger = logging.getLogger(__name__)


def adapt_model(
    files: TrainingFiles,
    architecture: type,
    *,
    start_from: Path | None = None,
    simulate_attacks: bool = False,
    never_train: Sequence[str] = (),
    seed: int = 42,
) -> Outcome:
    """Adapt a trained model to the faces of a dataset, and write a new one.

    Args:
        files: What is read and written; ``plot`` is not drawn.
        architecture: ``LivenessNet``, or what has its ``view_features`` and
            ``add_to_logits``.
        start_from: Model to start from, which stays as it is; None for the shipped one.
        simulate_attacks: Add simulated prints and replays of the real faces.
        never_train: Sites of the dataset that are left out.
        seed: Of what is drawn at random.

    Returns:
        The files that were written, and the error rates: each face is scored by an
        adaptation to the other faces.

    Raises:
        DatasetError: If a class has too few faces.
        ModelError: If the model cannot be adapted.
        OutputError: If a result could not be written.
    """
    base = find_model(start_from or shipped_model().model, None)
    check_outputs(files, *base.files)
    card = _card_to_adapt(base)
    samples = without_sites(read_dataset(files.dataset), never_train)
    _require_enough(samples, simulate_attacks=simulate_attacks)
    options = TrainingOptions(
        simulate_attacks=simulate_attacks,
        input_size_px=card.input_size_px,
        view_scales=card.view_scales,
        seed=seed,
    )
    import_keras()  # first, and without TensorFlow's start-up notes
    model = load_keras_model(base.model)
    check_model(model, card, base.model)
    logger.info("starting from '%s'", base.model)
    from liveness.training.adaptation import (
        FeatureReader,
        fit_correction,
        scores_elsewhere,
    )

    faces = load_pixels(samples, options, simulate_attacks=simulate_attacks)
    trained_on = describe(faces.samples)
    logger.info("adapting to %s", trained_on)
    features = FeatureReader(model, architecture).read(faces)
    moments = read_moments(base.moments, card.model_sha256)
    if moments is None:
        logger.warning(
            "no '%s' that belongs to the model: other cameras may get worse",
            base.moments,
        )
    how = {"threshold": card.threshold, "moments": moments}
    scores = scores_elsewhere(features, faces.samples, **how)
    correction = fit_correction(features, faces.samples, **how)
    architecture.add_to_logits(
        model, correction.weights, correction.bias, label=LABELS.index(REAL)
    )
    judged = _judged(scores, faces, card.threshold)
    rates = error_rates(judged.scores, judged.attacks, threshold=judged.threshold)
    adapted = dataclasses.replace(
        card,
        threshold=judged.threshold,
        threshold_rule=judged.rule,
        validation=rates.as_json(),
        trained_on=trained_on,
        started_from=f"{base.model.name}, SHA-256 {card.model_sha256}",
        seed=seed,
        versions={},
    )
    written = save_trained_model(model, files.model, files.label_encoder, adapted)
    if moments is not None:  # the features are those of the model started from
        write_moments(written.moments, moments, sha256_of(written.model.read_bytes()))
    draw_confusion(files, judged)
    return Outcome(written, judged, rates, faces.skipped)


def _card_to_adapt(base: ModelPaths) -> ModelCard:
    """Return the card of the model to start from.

    Raises:
        ModelError: If it is of another model, or its labels are in another order.
    """
    card = read_card(base.card)
    if card.model_sha256 != sha256_of(base.model.read_bytes()):
        raise ModelError(f"'{base.card}' was written for another model file")
    labels = tuple(read_label_encoder(base.label_encoder))
    if labels != LABELS or card.labels != LABELS:
        raise ModelError(
            f"cannot start from '{base.model}': its labels are in the order "
            f"{', '.join(labels)}, expected {', '.join(LABELS)}"
        )
    return card


def _require_enough(samples: Sequence[Sample], *, simulate_attacks: bool) -> None:
    """Raise a DatasetError unless the faces say enough of a camera."""
    if not simulate_attacks:
        require_both_labels(samples, "the dataset (or give --simulate-attacks)")
    for label in LABELS if not simulate_attacks else (REAL,):
        count = sum(sample.label == label for sample in samples)
        if count < LEAST_FACES:
            raise DatasetError(
                f"only {count} {label} faces to adapt to, expected {LEAST_FACES} or "
                "more: film longer, or collect more frames with -s"
            )


def _judged(scores: np.ndarray, faces: Pixels, threshold: float) -> Judged:
    """Return the threshold, of faces scored by adaptations that did not have them."""
    from liveness.training.adaptation import choose_threshold

    is_real = np.array([sample.is_bona_fide for sample in faces.samples])
    rule = (
        f"near that of the model started from, {threshold:.3f}, on "
        f"{describe(faces.samples)}"
    )
    note = (
        "each face is scored by an adaptation to the other parts of the films; another "
        "day and other people are harder"
    )
    chosen = choose_threshold(scores, is_real, threshold)
    return Judged(scores, faces.attacks, chosen, rule, note, "your camera")
