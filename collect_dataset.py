"""Collect face crops from videos into a dataset folder.

python collect_dataset.py -i videos/real_1.mp4 -o dataset/real -s 15
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from liveness.cli.arguments import (
    add_cluster_argument,
    add_detector_arguments,
    add_sheet_argument,
    make_parser,
    positive_int,
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
        metavar="VIDEO",
        help="videos, or folders of videos",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the crops, such as dataset/real",
    )
    parser.add_argument(
        "-s",
        "--skip",
        type=positive_int,
        default=16,
        metavar="N",
        help="examine every N-th frame",
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="videos examined at a time",
    )
    add_cluster_argument(parser)
    add_sheet_argument(parser)
    add_detector_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Collect and print a summary; see ``liveness.cli.run`` for the exit codes."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.errors import SourceError
    from liveness.io.files import VIDEO_SUFFIXES, list_files
    from liveness.workflow.collect import VIDEO, collect_faces

    tally = collect_faces(
        list_files(arguments.input, VIDEO_SUFFIXES, kind="videos", error=SourceError),
        arguments.output,
        kind=VIDEO,
        every_n_frames=arguments.skip,
        detector=arguments.detector,
        confidence=arguments.confidence,
        sheet=arguments.sheet,
        jobs=arguments.jobs,
        cluster=arguments.cluster,
    )
    return report(tally, "frames")


if __name__ == "__main__":
    sys.exit(run(main))
