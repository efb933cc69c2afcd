"""Choose a model's threshold on faces of a camera, and write it into its card."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from liveness.errors import DatasetError, ModelError
from liveness.evaluation.metrics import (
    FEW_FACES,
    ErrorRates,
    calibrated_threshold,
    error_rates,
    rates_calibrated,
)
from liveness.evaluation.report import ScoredFaces
from liveness.model.card import sha256_of, write_card
from liveness.model.classifier import LivenessClassifier
from liveness.model.paths import find_model

FEW_SOURCES = 3  # of a class: fewer hardly vary in light, place and person

logger = logging.getLogger(__name__)


def card_to_calibrate(
    classifier: LivenessClassifier, model: Path | None, label_encoder: Path | None
) -> Path:
    """Find the card of the model that the threshold is written to.

    Raises:
        ModelError: If the model has no card of its own.
    """
    if classifier.card.model_sha256 is None:
        raise ModelError("this model has no card to write a threshold into")
    paths = find_model(model, label_encoder)
    if classifier.card.model_sha256 != sha256_of(paths.model.read_bytes()):
        raise ModelError(
            f"'{paths.card}' was written for another model file than '{paths.model}': "
            "it takes no threshold"
        )
    return paths.card


def calibrate(
    faces: ScoredFaces,
    classifier: LivenessClassifier,
    card: Path,
    *,
    bpcer: float | None = None,
    inputs: Sequence[Path] = (),
) -> float:
    """Choose the threshold on these faces and write it into the model's card.

    Args:
        faces: Scored by the classifier.
        classifier: The model in use, with the threshold of before.
        card: Of ``card_to_calibrate``.
        bpcer: Share of bona fide faces that may be refused; None for equal error.
        inputs: Where the faces come from, for the card.

    Returns:
        The threshold, 0 to 1.

    Raises:
        DatasetError: If the real faces do not score above the fakes.
        OSError: If the card cannot be written.
    """
    before = error_rates(faces.scores, faces.attacks, threshold=classifier.threshold)
    if before.eer >= 0.5:
        raise DatasetError(
            f"cannot calibrate (EER {before.eer:.1%}): the real faces do not score "
            "higher than the fakes. Are --real and --fake swapped?"
        )
    threshold = calibrated_threshold(faces.scores, faces.attacks, bpcer=bpcer)
    attacks = sum(attack != "" for attack in faces.attacks)
    real = len(faces.paths) - attacks
    _warn_of_few(faces, real, attacks)
    rule = "equal error" if bpcer is None else f"BPCER of at most {bpcer:.1%}"
    rule += f" on {real} real and {attacks} fake faces of "
    rule += ", ".join(path.name or str(path) for path in inputs)
    after = error_rates(faces.scores, faces.attacks, threshold=threshold)
    calibrated = dataclasses.replace(
        classifier.card,
        threshold=after.threshold,
        threshold_rule=rule,
        validation=after.as_json(),
    )
    write_card(calibrated, card)
    logger.info("wrote the threshold %.3f (%s) into %s", threshold, rule, card)
    _say_what_to_expect(faces, before, bpcer)
    return after.threshold


def _say_what_to_expect(
    faces: ScoredFaces, before: ErrorRates, bpcer: float | None
) -> None:
    """Log the rates before calibration, and how far its report can be trusted."""
    logger.info(
        "at the threshold before, %.3f: APCER %.1f%%, BPCER %.1f%%",
        *(before.threshold, 100 * before.apcer, 100 * before.bpcer),
    )
    logger.warning("the report is on the faces that the threshold was chosen on")
    if rates := rates_calibrated(faces.scores, faces.attacks, bpcer=bpcer):
        logger.warning(
            "two-fold estimate, each half at the threshold of the other half: APCER "
            "%.1f%%, BPCER %.1f%%, which is nearer to what to expect",
            *(100 * rate for rate in rates),
        )


def _warn_of_few(faces: ScoredFaces, real: int, fake: int) -> None:
    """Warn if a class has too few faces or films to choose a threshold."""
    if min(real, fake) < FEW_FACES:
        logger.warning(
            "few faces for a threshold, %d real and %d fake: film %d or more of each",
            *(real, fake, FEW_FACES),
        )
    owners = {
        (attack == "", source)
        for attack, source in zip(faces.attacks, faces.sources, strict=True)
    }
    films = [
        sum(is_real == wanted for is_real, _ in owners) for wanted in (True, False)
    ]
    if min(films) < FEW_SOURCES:
        logger.warning(
            "few films or pictures, %d of real and %d of fake faces: %d or "
            "more of each, on several days, vary enough",
            *(*films, FEW_SOURCES),
        )
