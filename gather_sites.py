"""Turn a folder of full frames of many sites into a dataset of wide face crops.

python gather_sites.py -i DATA -o gathered

DATA has frames.csv (path, site, label, attack, group) with the pictures that it
names, and videos/SITE_real.* and videos/SITE_fake.*; either may be missing. Crops
go to gathered/SITE/GROUP/real and gathered/SITE/GROUP/fake/ATTACK, so that
train_model.py and leave_sites_out.py keep sites apart.
"""

import argparse
import os
import sys
from pathlib import Path

from liveness.cli.arguments import (
    add_cluster_argument,
    add_detector_arguments,
    make_parser,
    positive_int,
)
from liveness.cli.collecting import report
from liveness.cli.run import run
from liveness.processes import set_up_logging


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="DATA",
        help="folder with frames.csv, videos/ or both (see above)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="dataset folder to write",
    )
    parser.add_argument(
        "--per-video",
        type=positive_int,
        default=60,
        metavar="N",
        help="frames to examine per video: N to 2N, or all if the file has no frame "
        "count",
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="files examined at a time",
    )
    add_cluster_argument(parser)
    add_detector_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Gather and print a summary."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.workflow.gather import gather_sites

    tally = gather_sites(
        arguments.input,
        arguments.output,
        per_video=arguments.per_video,
        detector=arguments.detector,
        confidence=arguments.confidence,
        jobs=arguments.jobs,
        cluster=arguments.cluster,
    )
    return report(tally, "frames")


if __name__ == "__main__":
    sys.exit(run(main))
