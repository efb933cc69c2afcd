"""Sum up what a trained model sees in the faces that it was trained on.

    python -m tools.write_moments -d DATA gathered -m liveness.h5 --never-train lab

train_model.py does the same after a training; this is for a model that was trained
before it did. train_model.py --start-from holds an adapted model by it.
"""

import argparse
import sys
from pathlib import Path

from liveness.cli.arguments import make_parser
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.data.dataset import read_dataset, without_sites
from liveness.model.card import read_card, sha256_of
from liveness.model.keras_files import import_keras, load_keras_model
from liveness.model.paths import find_model
from liveness.processes import set_up_logging
from liveness.training.moments import write_moments
from liveness.training.recipe import TrainingOptions

SEED = 7


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-d", "--dataset", type=Path, nargs="+", required=True, metavar="DIR"
    )
    parser.add_argument("-m", "--model", type=Path, required=True, metavar="FILE")
    parser.add_argument("--never-train", nargs="+", default=[], metavar="SITE")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write the file beside the model."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    paths = find_model(arguments.model, None)
    card = read_card(paths.card)
    samples = without_sites(read_dataset(arguments.dataset), arguments.never_train)
    import_keras()
    from liveness.training.adaptation import FeatureReader, sum_up
    from liveness.training.fit import drawing_weights
    from livenessnet import LivenessNet

    options = TrainingOptions(
        input_size_px=card.input_size_px, view_scales=card.view_scales, seed=SEED
    )
    reader = FeatureReader(load_keras_model(paths.model), LivenessNet)
    moments = sum_up(reader, samples, options, shares=drawing_weights(samples))
    write_moments(paths.moments, moments, sha256_of(paths.model.read_bytes()))
    print(f"wrote {paths.moments}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
