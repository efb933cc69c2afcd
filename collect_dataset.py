"""Collect face crops from videos into a dataset folder.

python collect_dataset.py -i videos/real_1.mp4 -o dataset/real -s 15
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from liveness.cli.arguments import add_detector_arguments, make_parser, positive_int
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
    add_detector_arguments(parser)
    return parser


def collect(
    videos: Sequence[Path],
    output: Path,
    *,
    detector: Path,
    confidence: float,
    every_n_frames: int,
    jobs: int,
):
    """Collect the best face of every n-th frame of each video.

    Args:
        videos: Video files; one that is in the folder already is passed over.
        output: Dataset folder.
        detector: Folder of the face detector.
        confidence: Least confidence of a face.
        every_n_frames: 16 examines the 16th, the 32nd ... frame.
        jobs: Videos examined at a time.

    Returns:
        The ``Tally`` of the run.

    Raises:
        LivenessError: If the detector or the output folder cannot be used, or no
            video is there.
    """
    from liveness.data.crops_folder import DatasetFolder, Tally
    from liveness.data.extraction import examine_videos
    from liveness.errors import SourceError
    from liveness.faces.detector import ensure_detector_files
    from liveness.io.files import check_any_exists
    from liveness.progress import Progress

    ensure_detector_files(detector)
    tally = Tally()
    with (
        DatasetFolder(output) as dataset,
        tempfile.TemporaryDirectory() as spool,
        Progress("frames read") as progress,
    ):
        check_any_exists(videos, kind="video", error=SourceError)
        wanted = tally.choose(videos, dataset)
        if not wanted:
            return tally
        found = examine_videos(
            list(wanted),
            detector_folder=detector,
            confidence=confidence,
            every_n_frames=every_n_frames,
            jobs=jobs,
            spool=Path(spool),
            on_progress=progress.show,
        )
        for (path, source), examined in zip(wanted.items(), found, strict=True):
            saved = dataset.add(source, examined.crops)
            tally.count(path, examined, saved=saved)
    return tally


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; see ``liveness.cli.run`` for the exit codes."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.errors import SourceError
    from liveness.io.files import VIDEO_SUFFIXES, list_files

    tally = collect(
        list_files(arguments.input, VIDEO_SUFFIXES, kind="videos", error=SourceError),
        arguments.output,
        detector=arguments.detector,
        confidence=arguments.confidence,
        every_n_frames=arguments.skip,
        jobs=arguments.jobs,
    )
    print(tally.summary("frames"))
    return tally.exit_code()


if __name__ == "__main__":
    sys.exit(run(main))
