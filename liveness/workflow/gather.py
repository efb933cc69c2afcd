"""Turn full frames of many sites into a dataset of wide face crops."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

from liveness.constants import DEFAULT_CONFIDENCE, DEFAULT_DETECTOR
from liveness.data.crops_folder import DatasetFolder, spool_in
from liveness.data.dataset import read_list
from liveness.data.extraction import Extraction, Input, extract_faces
from liveness.data.tally import Tally
from liveness.errors import DatasetError
from liveness.faces.detector import ensure_detector_files
from liveness.io.files import VIDEO_SUFFIXES, make_output_folder
from liveness.io.locks import lock_folder
from liveness.model.labels import FAKE, LABELS
from liveness.progress import Progress

REPLAY = "replay"  # what the fakes among the videos are

logger = logging.getLogger(__name__)


def gather_sites(
    data: Path,
    output: Path,
    *,
    per_video: int = 60,
    detector: Path = DEFAULT_DETECTOR,
    confidence: float = DEFAULT_CONFIDENCE,
    jobs: int = 1,
    cluster: str | None = None,
) -> Tally:
    """Collect the best face of every picture and of frames of every video.

    Args:
        data: Folder with ``frames.csv`` (path, site, label, attack, group) and the
            pictures that it names, and ``videos/SITE_real.*`` and ``SITE_fake.*``.
        output: Crops go to ``output/SITE/GROUP/real`` and ``.../fake/ATTACK``.
        per_video: Frames examined per video, at least, and at most twice as many.
        detector: Folder of the face detector.
        confidence: Minimum detector confidence of a face, 0 to 1.
        jobs: Files examined at a time, on this machine.
        cluster: As in ``collect_faces``.

    Returns:
        Figures of the run.

    Raises:
        DatasetError: If the input is no folder or has neither pictures nor videos.
        LivenessError: If the detector or the output folder cannot be used.
    """
    if not data.is_dir():
        raise DatasetError(f"no folder '{data}' to gather from")
    work = [*_pictures(data), *_videos(data)]
    if not work:
        raise DatasetError(
            f"nothing to gather in '{data}': expected frames.csv with "
            "pictures, or videos/SITE_real.* and videos/SITE_fake.*"
        )
    ensure_detector_files(detector)
    make_output_folder(output)
    tally = Tally()
    how = Extraction(detector, confidence, per_video=per_video)
    with lock_folder(output), Progress("frames read") as progress:
        chosen = _choose(work, output, tally)
        inputs = [item for _, item, _ in chosen]
        with spool_in(output) as spool:
            results = extract_faces(
                *(inputs, how),
                spool=spool,
                jobs=jobs,
                cluster=cluster,
                on_progress=progress.show,
            )
            pairs = zip(chosen, results, strict=True)
            for folder, pairs_of_folder in itertools.groupby(
                pairs, key=lambda pair: pair[0][0]
            ):
                with DatasetFolder(folder) as dataset:
                    for (_, item, source), result in pairs_of_folder:
                        saved = dataset.add(source, result.crops)
                        tally.count(item.path, result, saved=saved)
    return tally


def _choose(
    work: list[tuple[Path, Input]], output: Path, tally: Tally
) -> list[tuple[Path, Input, str]]:
    """Folder, input and source of what no folder has yet, folder by folder."""
    chosen = []
    ordered = sorted(work, key=lambda pair: pair[0])
    for place, pairs in itertools.groupby(ordered, key=lambda pair: pair[0]):
        folder = output / place
        inputs = {item.path: item for _, item in pairs}
        sources = tally.choose(inputs, DatasetFolder(folder), level=logging.DEBUG)
        for path, source in sources.items():
            chosen.append((folder, inputs[path], source))
    return chosen


def _pictures(data: Path) -> Iterator[tuple[Path, Input]]:
    """Yield the folder for the crop of each picture of frames.csv, and the picture."""
    table = data / "frames.csv"
    rows = read_list(table)
    if rows is None and table.is_file():
        raise DatasetError(f"'{table}' lacks the column 'path'")
    for row in rows or ():
        place = Path(row["site"], row["group"], row["label"], row["attack"])
        yield place, Input(data / row["path"], is_video=False)


def _videos(data: Path) -> Iterator[tuple[Path, Input]]:
    """Yield the folder for the crops of each video, and the video."""
    for path in sorted((data / "videos").glob("*")):
        site, _, label = path.stem.rpartition("_")
        if path.suffix.lower() in VIDEO_SUFFIXES and site and label in LABELS:
            attack = REPLAY if label == FAKE else ""
            yield Path(site, label, attack), Input(path, is_video=True)
        else:
            logger.warning(
                "'%s' is skipped: expected SITE_real or SITE_fake and an "
                "ending of videos",
                path,
            )
