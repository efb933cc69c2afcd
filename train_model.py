"""Train LivenessNet on a dataset folder and write everything the apps need.

python train_model.py -d dataset -m liveness.h5 -l label_encoder.pickle -p plot.png
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import (
    add_recipe_arguments,
    make_parser,
    options_given,
    probability,
    recipe_of,
    take_recipe,
)
from liveness.cli.run import run
from liveness.constants import EXIT_OK, ROOT
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from liveness.workflow.train import Outcome, TrainingFiles

logger = logging.getLogger("liveness.train_model")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
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
        help="plot of loss and accuracy per epoch",
    )
    files.add_argument(
        "-c",
        "--cm",
        type=Path,
        default=Path("confusion_matrix.png"),
        metavar="PNG",
        help="confusion matrix of the validation faces",
    )
    adaptation = parser.add_argument_group("adaptation")
    adaptation.add_argument(
        "--start-from",
        type=Path,
        nargs="?",
        const=ROOT / "models" / "liveness.h5",
        metavar="MODEL",
        help="adapt this trained model to the faces instead of training a new one; "
        "takes a minute and 10 faces per class or more (without a value: the model "
        "that ships)",
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
        help="share of sites or sources kept for validation",
    )
    validating.add_argument(
        "--threshold-from",
        type=Path,
        metavar="CSV",
        help="train on everything, with the recipe of these scores of "
        "leave_sites_out.py; threshold and error rates come from the scores",
    )
    return parser


def validation_share(text: str) -> float:
    """argparse type: a share between 0 and 1, both excluded."""
    share = probability(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"expected between 0 and 1, received {text!r}")
    return share


def main(argv: list[str] | None = None) -> int:
    """Train and print the validation report."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.workflow.train import TrainingFiles, train_model

    files = TrainingFiles(
        dataset=arguments.dataset,
        model=arguments.model,
        label_encoder=arguments.le,
        plot=None if arguments.start_from else arguments.plot,
        confusion_matrix=arguments.cm,
    )
    if arguments.start_from:
        return _adapt(parser, arguments, argv, files)
    if arguments.threshold_from:
        from liveness.training.recipe import read_recipe, recipe_file

        recipe = read_recipe(recipe_file(arguments.threshold_from))
        take_recipe(parser, arguments, argv, recipe)
    from livenessnet import LivenessNet

    outcome = train_model(
        files,
        recipe_of(arguments),
        LivenessNet,
        validation_split=arguments.validation_split,
        threshold_from=arguments.threshold_from,
        never_train=arguments.never_train,
        resume=arguments.resume,
    )
    _print_outcome(outcome, files)
    return EXIT_OK


def _adapt(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    argv: list[str] | None,
    files: "TrainingFiles",
) -> int:
    """Run --start-from; returns the exit code."""
    given = options_given(parser, argv) - {"seed", "simulate_attacks", "never_train"}
    given |= {name for name in ("resume", "threshold_from") if vars(arguments)[name]}
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        parser.error(f"{names} does not go with --start-from")
    from liveness.workflow.adapt import adapt_model
    from livenessnet import LivenessNet

    outcome = adapt_model(
        files,
        LivenessNet,
        start_from=arguments.start_from,
        simulate_attacks=arguments.simulate_attacks,
        never_train=arguments.never_train,
        seed=arguments.seed,
    )
    _print_outcome(outcome, files)
    return EXIT_OK


def _print_outcome(outcome: "Outcome", files: "TrainingFiles") -> None:
    """Print the report and which files there are now."""
    print(report(outcome))
    for reason in outcome.skipped:
        logger.warning("skipped: %s", reason)
    if outcome.skipped:
        print(f"skipped {len(outcome.skipped)} pictures that cannot be used")
    print(f"wrote {outcome.paths.model}, {outcome.paths.label_encoder}")
    print(f"wrote {outcome.paths.runtime}, {outcome.paths.card}")
    print(f"wrote {', '.join(map(str, files.figures))}")


def report(outcome: "Outcome") -> str:
    """Classification report and ISO/IEC 30107-3 rates; one sentence on few faces."""
    from sklearn.metrics import classification_report

    from liveness.evaluation.metrics import FEW_FACES
    from liveness.model.labels import LABELS

    judged, rates = outcome.judged, outcome.rates
    real = int(judged.is_bona_fide.sum())
    fake = len(judged.attacks) - real
    if min(real, fake) < FEW_FACES:
        return (
            f"{judged.part} ({real} real, {fake} fake): too few faces to say how "
            f"good this model is or to trust its threshold of {rates.threshold:.3f}; "
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
        f"{judged.part}: APCER {rates.apcer:.1%}  BPCER {rates.bpcer:.1%}  "
        f"ACER {rates.acer:.1%}  EER {rates.eer:.1%}\n"
        f"threshold: {rates.threshold:.3f} ({judged.rule}),\n{judged.note}"
    )


if __name__ == "__main__":
    sys.exit(run(main))
