"""Remove wrong crops from a dataset, or move them to another label.

python review_dataset.py --delete dataset/real/12.png dataset/real/31.png

The rows in crops.csv go with the crops. With --move the last name is the folder:
python review_dataset.py --move dataset/real/12.png dataset/fake/print
"""

import argparse
import sys
from pathlib import Path

from liveness.cli.arguments import make_parser
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.processes import set_up_logging


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this script."""
    parser = make_parser(__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--delete", type=Path, nargs="+", metavar="PNG", help="delete these crops"
    )
    action.add_argument(
        "--move",
        type=Path,
        nargs="+",
        metavar="PNG",
        help="move these crops to the folder named last",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Delete or move, and print how many."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.workflow.review import delete_crops, move_crops

    if arguments.delete:
        print(f"deleted: {delete_crops(arguments.delete)}")
        return EXIT_OK
    *crops, folder = arguments.move
    if not crops:
        parser.error("--move takes one crop or more, and a folder")
    print(f"moved: {move_crops(crops, folder)} to {folder}")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
