"""Options that several scripts share, and the types of their values."""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from liveness.constants import (
    DEFAULT_CONFIDENCE,
    DEFAULT_DETECTOR,
    DEFAULT_TOLERANCE,
    LEAST_BATCH,
    RECIPE_OPTIONS,
    SMALL_TRUNK,
    TRUNKS,
)

if TYPE_CHECKING:
    from liveness.training.recipe import TrainingOptions
    from liveness.workflow.judge import Judging


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Make a parser with --verbose, whose help shows the script's docstring."""
    parser = _Parser(description=description, formatter_class=_Help)
    parser.add_argument(
        "--verbose", action="store_true", help="log details, such as of each frame"
    )
    return parser


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``-d/--detector`` and ``-c/--confidence``."""
    group = parser.add_argument_group("face detector")
    group.add_argument(
        "-d",
        "--detector",
        type=Path,
        default=DEFAULT_DETECTOR,
        metavar="DIR",
        help="folder of the SSD face detector",
    )
    group.add_argument(
        "-c",
        "--confidence",
        type=probability,
        default=DEFAULT_CONFIDENCE,
        metavar="P",
        help="minimum face-detector confidence",
    )


def add_cluster_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--cluster``."""
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="Dask scheduler whose workers do it, such as tcp://host:8786, or its "
        "scheduler file; 'local' starts workers here",
    )


def add_sheet_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--sheet``."""
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="PNG",
        help="write a contact sheet of the new crops, to find what is not a face",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``-m/--model``, ``-l/--le`` and ``--threshold``."""
    group = parser.add_argument_group(
        "liveness model",
        "without -m and -l: your own liveness.h5 and label_encoder.pickle beside "
        "the scripts if training wrote them, else those in models/",
    )
    group.add_argument(
        "-m", "--model", type=Path, metavar="FILE", help="trained Keras model"
    )
    group.add_argument(
        "-l", "--le", type=Path, metavar="FILE", help="its label encoder"
    )
    group.add_argument(
        "--threshold",
        type=probability,
        metavar="P",
        help="score from which a face counts as real (default: the model's own)",
    )


def add_identity_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--known``, ``--tolerance`` and ``--name-fakes``."""
    group = parser.add_argument_group(
        "known people", "only a live face is named, once per appearance"
    )
    group.add_argument(
        "--known",
        type=Path,
        metavar="FILE.npz",
        help="encodings file of enroll_faces.py; name the people in it",
    )
    group.add_argument(
        "--tolerance",
        type=positive_float,
        default=DEFAULT_TOLERANCE,
        metavar="D",
        help="largest distance of a face from its person",
    )
    group.add_argument(
        "--name-fakes",
        action="store_true",
        help="also name the person that a fake face shows; its label stays fake",
    )


def add_recipe_arguments(parser: argparse.ArgumentParser, *, seed: int) -> None:
    """Add how networks are trained: the same for one model and for folds.

    Args:
        parser: Gets the options.
        seed: Default of ``--seed``.
    """
    group = parser.add_argument_group("training")
    group.add_argument(
        "--trunk",
        choices=TRUNKS,
        default=SMALL_TRUNK,
        help="small: trains in minutes; efficientnet-lite0: starts from ImageNet "
        "weights (requirements-pretrained.txt), needs hours or a GPU",
    )
    group.add_argument(
        "--epochs",
        type=positive_int,
        default=30,
        metavar="N",
        help="maximum number of epochs; from half-way, stop after 8 epochs without a "
        "lower validation loss",
    )
    group.add_argument(
        "--batch-size", type=batch_size, default=64, metavar="N", help="faces per batch"
    )
    group.add_argument(
        "--learning-rate",
        type=positive_float,
        default=2e-3,
        metavar="R",
        help="peak learning rate; decays by cosine to a hundredth",
    )
    group.add_argument(
        "--networks",
        type=positive_int,
        default=1,
        metavar="N",
        help="networks to train, each with the next seed, and to average",
    )
    group.add_argument(
        "--seed",
        type=seed_number,
        default=seed,
        metavar="N",
        help="the same seed gives the same model on the same machine",
    )
    group.add_argument(
        "--simulate-attacks",
        action="store_true",
        help="add simulated prints and replays of the real faces to the fakes",
    )
    group.add_argument(
        "--never-train",
        nargs="+",
        default=[],
        metavar="SITE",
        help="sites of the dataset to keep out of training",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run of the same command after its last epoch",
    )


def check_identity_arguments(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> None:
    """End with a usage error if people are to be named but none are known."""
    for option in ("name_fakes", "verify"):
        if getattr(arguments, option, None) and arguments.known is None:
            name = option.replace("_", "-")
            parser.error(f"--{name} needs --known FILE.npz of enroll_faces.py")


def probability(text: str) -> float:
    """argparse type: a number from 0 to 1."""
    value = _number(float, text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, received {text!r}")
    return value


def positive_int(text: str) -> int:
    """argparse type: a whole number above 0."""
    value = _number(int, text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text!r}")
    return value


def recipe_of(arguments: argparse.Namespace) -> "TrainingOptions":
    """Return the training that the options of ``add_recipe_arguments`` ask for."""
    from liveness.training.recipe import options_of  # loads numpy

    return options_of(
        arguments.trunk,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        simulate_attacks=arguments.simulate_attacks,
        networks=arguments.networks,
    )


def options_given(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> set[str]:
    """Return the options of ``RECIPE_OPTIONS`` that a valid command line has."""
    unset = object()
    blank = argparse.Namespace(**dict.fromkeys(RECIPE_OPTIONS, unset))
    values = vars(parser.parse_args(argv, blank))
    return {name for name in RECIPE_OPTIONS if values[name] is not unset}


def take_recipe(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    argv: Sequence[str] | None,
    recipe: dict[str, object],
) -> None:
    """Take a recipe into parsed arguments; end with a usage error on another one.

    Args:
        parser: That parsed them.
        arguments: Its result; changed here.
        argv: What was parsed.
        recipe: A value for each of ``RECIPE_OPTIONS``, or nothing.
    """
    for name in sorted(options_given(parser, argv) & recipe.keys()):
        wanted, value = recipe[name], getattr(arguments, name)
        if value != wanted:
            option = name.replace("_", "-")
            parser.error(
                f"--{option}: the scores are of networks trained with {wanted!r}, not "
                f"{value!r}: leave the option out, or measure with it first"
            )
    vars(arguments).update(recipe)


def judging_of(arguments: argparse.Namespace) -> "Judging":
    """Return what the options of detector, model and known people ask for."""
    from liveness.workflow.judge import Judging  # loads OpenCV

    return Judging(
        model=arguments.model,
        label_encoder=arguments.le,
        threshold=arguments.threshold,
        detector=arguments.detector,
        confidence=arguments.confidence,
        known=arguments.known,
        tolerance=arguments.tolerance,
        name_fakes=arguments.name_fakes,
    )


def batch_size(text: str) -> int:
    """argparse type: faces in a batch, enough for both labels and absent views."""
    count = positive_int(text)
    if count < LEAST_BATCH:
        raise argparse.ArgumentTypeError(
            f"expected {LEAST_BATCH} or more, received {text!r}"
        )
    return count


def positive_float(text: str) -> float:
    """argparse type: a finite number above 0."""
    value = _number(float, text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(
            f"expected a number above 0, received {text!r}"
        )
    return value


def seed_number(text: str) -> int:
    """argparse type: a seed that every library takes, 32 bits without sign."""
    value = _number(int, text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"expected 0 to 2^32 - 1, received {text!r}")
    return value


class _Parser(argparse.ArgumentParser):
    """Keeps the value of a shortened option, maybe a password, out of a message."""

    def error(self, message: str) -> NoReturn:
        pattern = r"(ambiguous option: --[\w-]+)=.*( could match )"
        super().error(re.sub(pattern, r"\1\2", message, flags=re.DOTALL))


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the description's line breaks and leaves out defaults of None."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(indent + line for line in text.splitlines(keepends=True))

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


def _number(kind: Callable[[str], float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number, received {text!r}"
        ) from None
