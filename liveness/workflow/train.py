"""Train a model on a dataset and write everything the apps need."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liveness.data.dataset import (
    Sample,
    describe,
    files_of,
    read_dataset,
    require_both_labels,
    split_samples,
    without_sites,
)
from liveness.errors import DatasetError
from liveness.evaluation.metrics import (
    FEW_FACES,
    ErrorRates,
    equal_error,
    error_rates,
    rates_calibrated,
    weights_of_sources,
)
from liveness.evaluation.report import ScoredFaces, read_scores
from liveness.io.tables import as_written
from liveness.model.card import ModelCard, sha256_of
from liveness.model.keras_files import import_keras
from liveness.model.paths import ModelPaths, check_output_paths
from liveness.model.saving import save_trained_model
from liveness.training.moments import write_moments
from liveness.training.pixels import Pixels, load_pixels
from liveness.training.recipe import TrainingOptions

if TYPE_CHECKING:
    import keras

CHECKPOINT_SUFFIX = ".checkpoint.npz"  # in place of the model's; one per network
IMBALANCE = 1.5  # of one class's faces over the other's, from which a warning says so

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """What a training reads and writes.

    Attributes:
        dataset: Dataset folders with ``real/`` and ``fake/[attack]/``.
        model: Model to write: ``.keras`` for Keras' zip format, else HDF5.
        label_encoder: Label encoder to write.
        plot: PNG of loss and accuracy; None for none.
        confusion_matrix: PNG of faces that did not train; None for none.
    """

    dataset: Sequence[Path]
    model: Path
    label_encoder: Path
    plot: Path | None = None
    confusion_matrix: Path | None = None

    @property
    def figures(self) -> list[Path]:
        """The pictures that are wanted."""
        return [path for path in (self.plot, self.confusion_matrix) if path]


@dataclass(frozen=True)
class Judged:
    """Scored faces that did not train, and the threshold that they give.

    Attributes:
        scores: (N,) probability of bona fide.
        attacks: (N,) kinds of attack, empty for bona fide.
        threshold: Chosen on them.
        rule: How.
        note: What the figures say about other faces.
        part: Which faces they are: "validation" or "sites left out".
    """

    scores: np.ndarray
    attacks: Sequence[str]
    threshold: float
    rule: str
    note: str
    part: str

    @property
    def is_bona_fide(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray(self.attacks, str) == ""


@dataclass(frozen=True)
class Outcome:
    """A finished training: the files, and what the faces that did not train say."""

    paths: ModelPaths
    judged: Judged
    rates: ErrorRates
    skipped: list[str]


def train_model(
    files: TrainingFiles,
    options: TrainingOptions,
    architecture: type,
    *,
    validation_split: float = 0.2,
    threshold_from: Path | None = None,
    never_train: Sequence[str] = (),
    resume: bool = False,
) -> Outcome:
    """Read, train, choose the threshold and write all files.

    Args:
        files: What is read and written.
        options: The recipe, see ``options_of``.
        architecture: ``LivenessNet``, or what has its ``build``, ``each_view`` and
            ``average``.
        validation_split: Share of sites or sources that validate and never train,
            between 0 and 1.
        threshold_from: Scores file of ``leave_sites_out.py``: everything trains, and
            the threshold comes from these scores.
        never_train: Sites of the dataset that train nothing.
        resume: Continue after the last epoch of the same training that was interrupted.

    Returns:
        The files that were written, and the error rates.

    Raises:
        DatasetError: If the dataset cannot train a model.
        OutputError: If a result could not be written.
        ModelError: If pretrained weights or a package are missing, or a checkpoint is
            of another training.
    """
    check_outputs(files, *filter(None, [threshold_from]))
    scored = threshold_from and read_scores(threshold_from)
    samples = without_sites(read_dataset(files.dataset), never_train)
    if not options.simulate_attacks:
        names = ", ".join(f"'{folder}'" for folder in files.dataset)
        require_both_labels(samples, f"the dataset {names}")
    if scored:
        _check_sites(scored, samples)
    import_keras()  # first, and without TensorFlow's start-up notes
    from liveness.training.adaptation import FeatureReader, sum_up
    from liveness.training.fit import remove_checkpoints, train_average

    if scored:
        training, validation = _load_training(samples, options), None
        _warn_of_imbalance(training.samples)
    else:
        training, validation = _load_parts(samples, options, validation_split)
    trained_on = describe(training.samples)
    logger.info("training on %s", trained_on)
    checkpoint = files.model.with_suffix(CHECKPOINT_SUFFIX)
    model, histories = train_average(
        training,
        validation,
        architecture,
        options,
        checkpoint=checkpoint,
        resume=resume,
    )
    judged = _judge_elsewhere(scored) if scored else _judge(model, validation)
    rates = error_rates(judged.scores, judged.attacks, threshold=judged.threshold)
    card = _card_of(options, judged, rates, trained_on)
    paths = save_trained_model(model, files.model, files.label_encoder, card)
    if options.networks == 1:
        filmed = [sample for sample in training.samples if not sample.is_simulated]
        moments = sum_up(FeatureReader(model, architecture), filmed, options)
        write_moments(paths.moments, moments, sha256_of(paths.model.read_bytes()))
    remove_checkpoints(checkpoint, options.networks)
    if files.plot:
        from liveness.evaluation.plots import save_history

        save_history(files.plot, histories)
    draw_confusion(files, judged)
    parts = [pixels for pixels in (training, validation) if pixels]
    skipped = [reason for pixels in parts for reason in pixels.skipped]
    return Outcome(paths, judged, rates, skipped)


def check_outputs(files: TrainingFiles, *others: Path) -> None:
    """Check that the results can be written and replace nothing that is read.

    Args:
        files: What is read and written.
        *others: What is read besides.

    Raises:
        OutputError: If a result cannot be written, or would replace an input.
    """
    inputs = itertools.chain(others, files_of(files.dataset))
    paths = ModelPaths(files.model, files.label_encoder)
    check_output_paths(paths, *files.figures, inputs=inputs)


def _load_training(samples: Sequence[Sample], options: TrainingOptions) -> Pixels:
    """Read what trains."""
    training = load_pixels(
        samples,
        options,
        to_train=True,
        simulate_attacks=options.simulate_attacks,
        progress="training faces",
    )
    require_both_labels(training.samples, "the training part")
    return training


def _load_parts(
    samples: Sequence[Sample], options: TrainingOptions, share: float
) -> tuple[Pixels, Pixels]:
    """Read what trains and what validates."""
    first, last, warnings = split_samples(
        samples, validation_share=share, seed=options.seed
    )
    for warning in warnings:
        logger.warning("%s", warning)
    training = _load_training(first, options)
    validation = load_pixels(
        last,
        options,
        simulate_attacks=options.simulate_attacks
        and all(sample.is_bona_fide for sample in last),
        progress="validation faces",
    )
    require_both_labels(validation.samples, "the validation part")
    logger.info("validating on %s", describe(validation.samples))
    real = sum(sample.is_bona_fide for sample in validation.samples)
    if min(real, len(validation.samples) - real) < FEW_FACES:
        logger.warning(
            "fewer than %d validation faces per class: threshold and rates "
            "are unreliable",
            FEW_FACES,
        )
    _warn_of_imbalance([*training.samples, *validation.samples])
    return training, validation


def _card_of(
    options: TrainingOptions, judged: Judged, rates: ErrorRates, trained_on: str
) -> ModelCard:
    """Return what the model's card says of this training."""
    return ModelCard(
        input_size_px=options.input_size_px,
        view_scales=options.view_scales,
        crop_scale=options.view_scales[-1],
        threshold=judged.threshold,
        threshold_rule=judged.rule,
        validation=rates.as_json(),
        trained_on=trained_on,
        seed=options.seed,
        networks=options.networks,
    )


def _judge(model: "keras.Model", pixels: Pixels) -> Judged:
    """Score the validation faces and choose the threshold on them."""
    from liveness.training.fit import score

    scores = score(model, pixels)
    _, threshold = equal_error(scores, pixels.attacks)
    count = len({sample.source for sample in pixels.samples})
    rule = f"equal error on {describe(pixels.samples)} of {count} validation sources"
    note = "chosen on these faces, which flatters the figures"
    if rates := rates_calibrated(scores, pixels.attacks):
        apcer, bpcer = rates
        note += (
            "; two-fold estimate, each half at the threshold of the other half: "
            f"APCER {apcer:.1%}  BPCER {bpcer:.1%}"
        )
    return Judged(scores, pixels.attacks, threshold, rule, note, "validation")


def _judge_elsewhere(faces: ScoredFaces) -> Judged:
    """Choose the threshold on faces that networks of this recipe scored elsewhere."""
    weights = weights_of_sources(faces.sources, faces.attacks)
    _, threshold = equal_error(faces.scores, faces.attacks, weights=weights)
    real = sum(attack == "" for attack in faces.attacks)
    rule = (
        f"equal error on {real} real, {len(faces.attacks) - real} fake of "
        f"{len(set(faces.sources))} sites left out, each site counted alike"
    )
    note = (
        "chosen on these faces; what to expect of sites that it never saw is in the "
        "table of leave_sites_out.py"
    )
    return Judged(faces.scores, faces.attacks, threshold, rule, note, "sites left out")


def draw_confusion(files: TrainingFiles, judged: Judged) -> None:
    """Draw the confusion matrix if it is wanted."""
    if files.confusion_matrix:
        from liveness.evaluation.plots import save_confusion_matrix

        accepted = judged.scores >= judged.threshold
        save_confusion_matrix(files.confusion_matrix, judged.is_bona_fide, accepted)


def _check_sites(scored: ScoredFaces, samples: Sequence[Sample]) -> None:
    """Warn when the scores are not of the sites of the dataset.

    Raises:
        DatasetError: If they are of none of them.
    """
    names = {name for sample in samples for name in (sample.collection, sample.site)}
    sites = set(map(as_written, names))
    sources = set(scored.sources)
    if not sources & sites:
        raise DatasetError(
            "the scores are of no site of the dataset: expected those that "
            "leave_sites_out.py wrote for it"
        )
    if absent := sorted(sources - sites):
        logger.warning(
            "the scores file also covers %s, which the dataset does not have",
            ", ".join(absent),
        )
    if unscored := sorted(
        {
            sample.collection
            for sample in samples
            if not sample.is_bona_fide
            and sources.isdisjoint(map(as_written, (sample.collection, sample.site)))
        }
    ):
        logger.warning(
            "no attack scores for %s; the threshold comes from the other sites",
            ", ".join(unscored),
        )


def _warn_of_imbalance(samples: Sequence[Sample]) -> None:
    """Warn when one class is much larger than the other, as far as it is filmed."""
    real = sum(sample.is_bona_fide for sample in samples)
    filmed = sum(not sample.is_simulated for sample in samples)
    fake = filmed - real
    if fake and max(real, fake) > IMBALANCE * min(real, fake):
        logger.warning(
            "%d real and %d fake faces: both classes weigh the same in "
            "training, but more of the rarer one would help",
            real,
            fake,
        )
