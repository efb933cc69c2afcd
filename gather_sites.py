"""Turn a folder of full frames of many sites into a dataset of wide face crops.

python gather_sites.py -i DATA -o gathered

DATA has frames.csv (path, site, label, attack, group) with the pictures that it
names, and videos/SITE_real.* and videos/SITE_fake.*; either may be missing. Crops
go to gathered/SITE/GROUP/real and gathered/SITE/GROUP/fake/ATTACK, so that
train_model.py and leave_sites_out.py keep sites apart.
"""

import argparse
import itertools
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli.arguments import add_detector_arguments, make_parser, positive_int
from liveness.cli.run import run
from liveness.errors import DatasetError, LivenessError
from liveness.processes import set_up_logging

if TYPE_CHECKING:
    from liveness.data.crops_folder import DatasetFolder, Tally
    from liveness.faces.detector import FaceDetector

REPLAY = "replay"  # what the fakes among the videos are

logger = logging.getLogger("liveness.gather_sites")


def build_parser() -> argparse.ArgumentParser:
    """Arguments of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="DATA",
        help="folder with frames.csv, videos/ or both, see above",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="dataset"
    )
    parser.add_argument(
        "--per-video",
        type=positive_int,
        default=60,
        metavar="N",
        help="frames of each video that are examined, at least (if it has so many) "
        "and at most twice as many; all where the file does not say how many it has",
    )
    add_detector_arguments(parser)
    return parser


def gather(arguments: argparse.Namespace) -> "Tally":
    """Collect the best face of every picture and of frames of every video.

    Raises:
        DatasetError: If the input is no folder or has neither frames.csv nor videos.
    """
    from liveness.data.crops_folder import DatasetFolder, Tally
    from liveness.faces.detector import FaceDetector
    from liveness.io.files import make_output_folder
    from liveness.io.locks import lock_folder
    from liveness.progress import Progress

    if not arguments.input.is_dir():
        raise DatasetError(f"no folder '{arguments.input}' to gather from")
    work = [*_pictures(arguments.input), *_videos(arguments.input)]
    if not work:
        raise DatasetError(
            f"nothing to gather in '{arguments.input}': expected frames.csv with "
            "pictures, or videos/SITE_real.* and videos/SITE_fake.*"
        )
    detector = FaceDetector(arguments.detector, confidence=arguments.confidence)
    make_output_folder(arguments.output)
    tally = Tally()
    work.sort(key=_folder_of)  # so that each folder is opened once
    with lock_folder(arguments.output), Progress("inputs", total=len(work)) as progress:
        for where, inputs in itertools.groupby(work, key=_folder_of):
            with DatasetFolder(arguments.output / where) as folder:
                for path, _, is_video in inputs:
                    tally.inputs += 1
                    progress.show(tally.inputs)
                    try:
                        _take(path, is_video, folder, detector, arguments, tally)
                    except (LivenessError, OSError) as error:
                        tally.failed += 1
                        logger.warning("warning: %s", error)
    return tally


def _folder_of(item: tuple[Path, Path, bool]) -> Path:
    """Where the crops of an input go."""
    return item[1]


def _take(
    path: Path,
    is_video: bool,
    folder: "DatasetFolder",
    detector: "FaceDetector",
    arguments: argparse.Namespace,
    tally: "Tally",
) -> None:
    """Collect from one picture or video, unless the folder has it already."""
    from liveness.data.crops_folder import source_of
    from liveness.data.extraction import examine_image, examine_video
    from liveness.sources.frames import VideoFile

    source = source_of(path)
    if folder.has(source):
        tally.known += 1
        return
    with tempfile.TemporaryDirectory() as spool:
        if is_video:
            with VideoFile(path) as video:
                step = max(1, video.frame_count // arguments.per_video)
            examined = examine_video(
                path, detector, every_n_frames=step, spool=Path(spool)
            )
        else:
            examined = examine_image(path, detector)
        saved = folder.add(source, examined.crops)
    tally.count(path, examined, saved=saved)


def main(argv: list[str] | None = None) -> int:
    """Gather and print a summary."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    tally = gather(arguments)
    print(tally.summary("frames"))
    return tally.exit_code()


def _pictures(data: Path) -> Iterator[tuple[Path, Path, bool]]:
    """Pictures of frames.csv and the folder for the crops of each."""
    from liveness.data.dataset import read_list

    table = data / "frames.csv"
    rows = read_list(table)
    if rows is None and table.is_file():
        raise DatasetError(f"'{table}' lacks the column 'path'")
    for row in rows or ():
        where = Path(row["site"], row["group"], row["label"], row["attack"])
        yield data / row["path"], where, False


def _videos(data: Path) -> Iterator[tuple[Path, Path, bool]]:
    """Videos named SITE_real.* or SITE_fake.* and the folder for their crops."""
    from liveness.io.files import VIDEO_SUFFIXES
    from liveness.model.labels import FAKE, LABELS

    for path in sorted((data / "videos").glob("*")):
        site, _, label = path.stem.rpartition("_")
        if path.suffix.lower() in VIDEO_SUFFIXES and site and label in LABELS:
            attack = REPLAY if label == FAKE else ""
            yield path, Path(site, label, attack), True
        else:
            logger.warning(
                "warning: '%s' is passed over: expected SITE_real or SITE_fake and an "
                "ending of videos",
                path,
            )


if __name__ == "__main__":
    sys.exit(run(main))
