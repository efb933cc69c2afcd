"""Take the best face of each picture into a dataset folder.

python face_from_image.py -i images/reals/1.jpg -o dataset/real
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from liveness.cli.arguments import add_detector_arguments, make_parser
from liveness.cli.run import run
from liveness.processes import set_up_logging

# What needs cv2 or tqdm is imported where it is used: --help stays instant.


def build_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
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
    add_detector_arguments(parser)
    return parser


def collect(
    pictures: Sequence[Path], output: Path, *, detector: Path, confidence: float
):
    """Save the best face of each picture.

    Args:
        pictures: Picture files; one that is in the folder already is passed over.
        output: Dataset folder.
        detector: Folder of the face detector.
        confidence: Least confidence of a face.

    Returns:
        The ``Tally`` of the run.

    Raises:
        LivenessError: If the detector or the output folder cannot be used, or no
            picture is there.
    """
    from liveness.data.crops_folder import DatasetFolder, Examined, Tally
    from liveness.data.extraction import examine_image
    from liveness.errors import ImageError
    from liveness.faces.detector import FaceDetector, ensure_detector_files
    from liveness.io.files import check_any_exists
    from liveness.progress import Progress

    ensure_detector_files(detector)
    tally = Tally()
    with DatasetFolder(output) as dataset, Progress("pictures") as progress:
        check_any_exists(pictures, kind="image", error=ImageError)
        finder = FaceDetector(detector, confidence=confidence)
        wanted = tally.choose(pictures, dataset)
        for done, (path, source) in enumerate(wanted.items(), 1):
            try:
                examined = examine_image(path, finder)
            except ImageError as error:
                examined = Examined(0, 0, (), str(error))
            tally.count(path, examined, saved=dataset.add(source, examined.crops))
            progress.show(done, len(wanted))
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; see ``liveness.cli.run`` for the exit codes."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.io.images import list_images

    tally = collect(
        list_images(arguments.input),
        arguments.output,
        detector=arguments.detector,
        confidence=arguments.confidence,
    )
    print(tally.summary("pictures"))
    return tally.exit_code()


if __name__ == "__main__":
    sys.exit(run(main))
