"""Collect faces from videos and pictures into a dataset folder."""

import logging
from collections.abc import Iterable
from pathlib import Path

from liveness.constants import DEFAULT_CONFIDENCE, DEFAULT_DETECTOR
from liveness.data.crops_folder import DatasetFolder, spool_in
from liveness.data.extraction import Extraction, Input, extract_faces
from liveness.data.sheet import write_sheet
from liveness.data.tally import Tally
from liveness.errors import ImageError, SourceError
from liveness.faces.detector import ensure_detector_files
from liveness.io.files import check_any_exists, check_output_files
from liveness.io.images import check_writable
from liveness.progress import Progress

VIDEO, PICTURE = "video", "picture"

logger = logging.getLogger(__name__)


def collect_faces(
    paths: Iterable[Path | str],
    output: Path | str,
    *,
    kind: str | None = None,
    every_n_frames: int = 16,
    detector: Path = DEFAULT_DETECTOR,
    confidence: float = DEFAULT_CONFIDENCE,
    jobs: int = 1,
    cluster: str | None = None,
    sheet: Path | None = None,
) -> Tally:
    """Save the best face of each picture and of every n-th frame of each video.

    A file that the folder has crops of is skipped, under whatever name it comes. One
    that cannot be read is counted, and a warning is logged.

    Args:
        paths: Video and picture files.
        output: Dataset folder, such as ``dataset/real``; created if missing.
        kind: ``video`` or ``picture``, what all files are; None tells by the names.
        every_n_frames: 16 examines the 16th, the 32nd ... frame of a video.
        detector: Folder of the face detector.
        confidence: Minimum detector confidence of a face, 0 to 1.
        jobs: Files examined at a time, on this machine.
        cluster: Dask scheduler whose workers examine them, as ``Cluster`` takes it;
            None for this machine.
        sheet: Picture to write with all crops of this run; None for none.

    Returns:
        Figures of the run.

    Raises:
        LivenessError: If the detector or the output folder cannot be used, or none of
            the files is there.
    """
    paths = [Path(path) for path in paths]
    if sheet:
        check_writable(sheet)
        check_output_files([sheet], inputs=paths)
    ensure_detector_files(detector)
    tally = Tally()
    how = Extraction(detector, confidence, every_n_frames)
    name, error = ("image", ImageError) if kind == PICTURE else ("video", SourceError)
    unit = "pictures" if kind == PICTURE else "frames read"
    with DatasetFolder(Path(output)) as dataset, Progress(unit) as progress:
        check_any_exists(paths, kind=name, error=error)
        sources = tally.choose(paths, dataset)
        inputs = [
            Input.by_name(path) if kind is None else Input(path, kind == VIDEO)
            for path in sources
        ]
        with spool_in(dataset.folder) as spool:
            results = extract_faces(
                *(inputs, how),
                spool=spool,
                jobs=jobs,
                cluster=cluster,
                on_progress=progress.show,
            )
            for (path, source), result in zip(sources.items(), results, strict=True):
                tally.count(path, result, saved=dataset.add(source, result.crops))
    if sheet and dataset.saved:
        count = write_sheet(sheet, dataset.saved)
        logger.info("wrote %s with %d of %d crops", sheet, count, len(dataset.saved))
    return tally
