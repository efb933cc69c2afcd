"""Take the best face of each picture into a dataset folder.

python face_from_image.py -i images/reals/1.jpg -o dataset/real
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from liveness.cli.arguments import (
    add_cluster_argument,
    add_detector_arguments,
    add_sheet_argument,
    make_parser,
)
from liveness.cli.collecting import report
from liveness.cli.run import run
from liveness.processes import set_up_logging

# What needs cv2 or tqdm is imported where it is used: --help stays instant.


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        nargs="+",
        required=True,
        metavar="PICTURE",
        help="pictures, or folders of pictures",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the crops, such as dataset/real",
    )
    add_cluster_argument(parser)
    add_sheet_argument(parser)
    add_detector_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Collect and print a summary; see ``liveness.cli.run`` for the exit codes."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.io.images import list_images
    from liveness.workflow.collect import PICTURE, collect_faces

    tally = collect_faces(
        list_images(arguments.input),
        arguments.output,
        kind=PICTURE,
        detector=arguments.detector,
        confidence=arguments.confidence,
        sheet=arguments.sheet,
        cluster=arguments.cluster,
    )
    return report(tally, "pictures")


if __name__ == "__main__":
    sys.exit(run(main))
