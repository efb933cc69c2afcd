"""Train LivenessNet on a dataset folder and write everything the apps need.

python train_model.py -d dataset -m liveness.h5 -l label_encoder.pickle -p plot.png
"""

import argparse
import itertools
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_recipe_arguments,
    make_parser,
    probability,
    recipe_of,
)
from liveness.cli.run import run
from liveness.constants import EXIT_OK, ROOT
from liveness.errors import DatasetError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy as np

    from liveness.data.dataset import Sample
    from liveness.evaluation.metrics import ErrorRates
    from liveness.evaluation.report import ScoredFaces
    from liveness.model.card import ModelCard
    from liveness.model.paths import ModelPaths
    from liveness.training.pixels import Pixels
    from liveness.training.recipe import TrainingOptions

CHECKPOINT_SUFFIX = ".checkpoint.npz"  # in place of the model's; one per network

logger = logging.getLogger("liveness.train_model")


@dataclass(frozen=True)
class Outcome:
    """What a training gave: files, validation rates, and a report to print."""

    paths: "ModelPaths"
    rates: "ErrorRates"
    report: str
    skipped: list[str]


@dataclass(frozen=True)
class Judged:
    """Scored faces that did not train, and the threshold that they give."""

    scores: "np.ndarray"
    attacks: "Sequence[str]"
    threshold: float
    rule: str
    note: str  # on what these faces say about others
    of: str  # which part they are

    @property
    def is_bona_fide(self) -> "np.ndarray":
        """(N,) bool."""
        import numpy as np

        return np.asarray(self.attacks, str) == ""


def build_parser() -> argparse.ArgumentParser:
    """Arguments of this script."""
    parser = make_parser(__doc__)
    files = parser.add_argument_group("files")
    files.add_argument(
        "-d",
        "--dataset",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="dataset folder(s) with real/ and fake/[attack]/",
    )
    files.add_argument(
        "-m",
        "--model",
        type=Path,
        default=ROOT / "liveness.h5",
        metavar="FILE",
        help="model to write: .keras for Keras' zip format, else HDF5",
    )
    files.add_argument(
        "-l",
        "--le",
        type=Path,
        default=ROOT / "label_encoder.pickle",
        metavar="FILE",
        help="label encoder to write",
    )
    files.add_argument(
        "-p",
        "--plot",
        type=Path,
        default=Path("plot.png"),
        metavar="PNG",
        help="loss and accuracy of each epoch",
    )
    files.add_argument(
        "-c",
        "--cm",
        type=Path,
        default=Path("confusion_matrix.png"),
        metavar="PNG",
        help="confusion matrix of faces that did not train",
    )
    add_recipe_arguments(parser, seed=42)
    validation = parser.add_argument_group("validation")
    # Either a part of the faces validates, or faces elsewhere do.
    validating = validation.add_mutually_exclusive_group()
    validating.add_argument(
        "--validation-split",
        type=validation_share,
        default=0.2,
        metavar="P",
        help="share of sites or sources that validate and never train",
    )
    validating.add_argument(
        "--threshold-from",
        type=Path,
        metavar="CSV",
        help="train on everything; the threshold and the error rates come from these "
        "scores of leave_sites_out.py, instead of a part that validates",
    )
    return parser


def validation_share(text: str) -> float:
    """argparse type: a share between 0 and 1, both excluded."""
    share = probability(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"expected between 0 and 1, received {text!r}")
    return share


def train_model(arguments: argparse.Namespace) -> Outcome:
    """Read, train, choose the threshold and write all files."""
    _check_outputs(arguments)
    samples, scored = _read_inputs(arguments)
    from liveness.data.dataset import describe
    from liveness.evaluation.metrics import error_rates
    from liveness.evaluation.plots import save_confusion_matrix, save_history
    from liveness.model.keras_files import import_keras
    from liveness.model.saving import save_trained_model

    import_keras()  # first, and without TensorFlow's start-up notes
    from liveness.training.fit import remove_checkpoints, train_average
    from livenessnet import LivenessNet

    options = recipe_of(arguments)
    train_pixels, validation_pixels = _read_parts(samples, options, arguments)
    trained_on = describe(train_pixels.samples)
    logger.info("training on %s", trained_on)
    checkpoint = arguments.model.with_suffix(CHECKPOINT_SUFFIX)
    model, histories = train_average(
        train_pixels,
        validation_pixels,
        LivenessNet,
        options,
        checkpoint=checkpoint,
        resume=arguments.resume,
    )
    if validation_pixels is None:
        judged = _judged_elsewhere(scored)
    else:
        judged = _judged_by(model, validation_pixels)
    rates = error_rates(judged.scores, judged.attacks, threshold=judged.threshold)
    card = _card(options, judged, rates, trained_on)
    paths = save_trained_model(model, arguments.model, arguments.le, card)
    remove_checkpoints(checkpoint, options.networks)
    save_history(arguments.plot, histories)
    accepted = judged.scores >= rates.threshold
    save_confusion_matrix(arguments.cm, judged.is_bona_fide, accepted)
    parts = [pixels for pixels in (train_pixels, validation_pixels) if pixels]
    skipped = [reason for pixels in parts for reason in pixels.skipped]
    return Outcome(paths, rates, _report(judged, rates), skipped)


def _check_outputs(arguments: argparse.Namespace) -> None:
    """What is written can be written, and replaces nothing that is read."""
    from liveness.data.dataset import files_of
    from liveness.model.paths import ModelPaths, check_output_paths

    inputs = files_of(arguments.dataset)
    if arguments.threshold_from:
        inputs = itertools.chain([arguments.threshold_from], inputs)
    files_of_model = ModelPaths(arguments.model, arguments.le)
    check_output_paths(files_of_model, arguments.plot, arguments.cm, inputs=inputs)


def _read_inputs(
    arguments: argparse.Namespace,
) -> "tuple[list[Sample], ScoredFaces | None]":
    """The dataset, and the scores that the threshold comes from."""
    from liveness.data.dataset import read_dataset, require_both_labels, without_sites
    from liveness.evaluation.report import read_scores

    scored = arguments.threshold_from and read_scores(arguments.threshold_from)
    samples = without_sites(read_dataset(arguments.dataset), arguments.never_train)
    if not arguments.simulate_attacks:
        require_both_labels(samples, f"the dataset {_names(arguments.dataset)}")
    if scored:
        _check_sites(scored, samples)
    return samples, scored


def _read_parts(
    samples: "list[Sample]", options: "TrainingOptions", arguments: argparse.Namespace
) -> "tuple[Pixels, Pixels | None]":
    """What trains, and what validates unless the scores come from elsewhere."""
    from liveness.data.dataset import describe, require_both_labels, split_samples
    from liveness.evaluation.metrics import FEW_FACES
    from liveness.training.pixels import load_pixels

    training, validation = samples, []
    if not arguments.threshold_from:
        training, validation, warnings = split_samples(
            samples, validation_share=arguments.validation_split, seed=arguments.seed
        )
        for warning in warnings:
            logger.warning("warning: %s", warning)
    train_pixels = load_pixels(
        training,
        options,
        to_train=True,
        simulate_attacks=options.simulate_attacks,
        progress="training faces",
    )
    require_both_labels(train_pixels.samples, "the training part")
    if arguments.threshold_from:
        _warn_of_imbalance(train_pixels.samples)
        return train_pixels, None
    validation_pixels = load_pixels(
        validation,
        options,
        simulate_attacks=options.simulate_attacks
        and all(sample.is_bona_fide for sample in validation),
        progress="validation faces",
    )
    require_both_labels(validation_pixels.samples, "the validation part")
    logger.info("validating on %s", describe(validation_pixels.samples))
    real = sum(sample.is_bona_fide for sample in validation_pixels.samples)
    if min(real, len(validation_pixels.samples) - real) < FEW_FACES:
        logger.warning(
            "warning: fewer than %d faces of a class validate: threshold and figures "
            "are left to luck",
            FEW_FACES,
        )
    _warn_of_imbalance([*train_pixels.samples, *validation_pixels.samples])
    return train_pixels, validation_pixels


def _card(
    options: "TrainingOptions", judged: Judged, rates: "ErrorRates", trained_on: str
) -> "ModelCard":
    """What the model's card says of this training."""
    from liveness.model.card import ModelCard

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


def _judged_by(model: "keras.Model", pixels: "Pixels") -> Judged:
    """The validation faces, as this model scores them."""
    from liveness.data.dataset import describe
    from liveness.evaluation.metrics import equal_error, rates_calibrated
    from liveness.training.fit import score

    scores = score(model, pixels)
    _, threshold = equal_error(scores, pixels.attacks)
    count = len({sample.source for sample in pixels.samples})
    rule = f"equal error on {describe(pixels.samples)} of {count} validation sources"
    note = "chosen on these faces, which flatters the figures"
    if own := rates_calibrated(scores, pixels.attacks):
        apcer, bpcer = own
        note += (
            "; each half of them at that of the other half: "
            f"APCER {apcer:.1%}  BPCER {bpcer:.1%}"
        )
    return Judged(scores, pixels.attacks, threshold, rule, note, "validation")


def _judged_elsewhere(faces: "ScoredFaces") -> Judged:
    """Faces that networks of the same recipe scored without having seen their site."""
    from liveness.evaluation.metrics import equal_error, weights_of_sources

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


def main(argv: list[str] | None = None) -> int:
    """Train and print the validation report."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    outcome = train_model(arguments)
    print(outcome.report)
    for reason in outcome.skipped:
        logger.warning("skipped: %s", reason)
    if outcome.skipped:
        print(f"skipped {len(outcome.skipped)} pictures that cannot be used")
    print(f"wrote {outcome.paths.model}, {outcome.paths.label_encoder}")
    print(f"wrote {outcome.paths.runtime}, {outcome.paths.card}")
    print(f"wrote {arguments.plot}, {arguments.cm}")
    return EXIT_OK


def _check_sites(scored: "ScoredFaces", samples: "list[Sample]") -> None:
    """Say so when the scores are not of the sites of the dataset.

    Raises:
        DatasetError: If they are of none of them.
    """
    from liveness.io.tables import as_written

    names = {name for sample in samples for name in (sample.collection, sample.site)}
    here = set(map(as_written, names))
    sources = set(scored.sources)
    if not sources & here:
        raise DatasetError(
            "the scores are of no site of the dataset: expected those that "
            "leave_sites_out.py wrote for it"
        )
    if absent := sorted(sources - here):
        logger.warning(
            "warning: the scores are also of %s, which the dataset does not have",
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
            "warning: no scores of the attacks of %s: the threshold is of the others",
            ", ".join(unscored),
        )


def _report(judged: Judged, rates: "ErrorRates") -> str:
    """Classification report and ISO/IEC 30107-3 rates, or that faces are too few."""
    from sklearn.metrics import classification_report

    from liveness.evaluation.metrics import FEW_FACES
    from liveness.model.labels import LABELS

    real = int(judged.is_bona_fide.sum())
    fake = len(judged.attacks) - real
    if min(real, fake) < FEW_FACES:
        return (
            f"{judged.of} ({real} real, {fake} fake): too few faces to say how good "
            f"this model is or to trust its threshold of {rates.threshold:.3f}; "
            f"{FEW_FACES} or more of each are needed"
        )
    table = classification_report(
        judged.is_bona_fide,
        judged.scores >= rates.threshold,
        labels=[False, True],
        target_names=LABELS,
        zero_division=0,
    )
    return (
        f"{table}\n"
        f"{judged.of}: APCER {rates.apcer:.1%}  BPCER {rates.bpcer:.1%}  "
        f"ACER {rates.acer:.1%}  EER {rates.eer:.1%}\n"
        f"threshold: {rates.threshold:.3f} ({judged.rule}),\n{judged.note}"
    )


def _warn_of_imbalance(samples) -> None:
    """Say so when one class is much larger than the other, as far as it is filmed."""
    from liveness.training.pixels import SIMULATED

    real = sum(sample.is_bona_fide for sample in samples)
    filmed = sum(not sample.attack.startswith(SIMULATED) for sample in samples)
    fake = filmed - real
    if fake and max(real, fake) > 1.5 * min(real, fake):
        logger.warning(
            "warning: %d real and %d fake faces: both classes weigh the same in "
            "training, but more of the rarer one would help",
            real,
            fake,
        )


def _names(folders: list[Path]) -> str:
    return ", ".join(f"'{folder}'" for folder in folders)


if __name__ == "__main__":
    sys.exit(run(main))
