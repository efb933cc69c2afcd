"""A dataset folder as samples: where each crop is, what it shows, whose it is.

Two forms are read. The one that the collectors write: label folders ``real`` and
``fake`` anywhere below the dataset folder, with ``crops.csv`` beside the crops.
And one with a single list: ``crops.csv`` in the dataset folder with the columns
``path, site, label, attack, group``.
"""

import csv
import itertools
import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from liveness.data.crops_table import CSV_NAME
from liveness.errors import DatasetError, ImageError
from liveness.faces.boxes import box_area
from liveness.faces.crops import CROP_SCALE, crop_face, whole_box
from liveness.io.files import natural_key, walk
from liveness.io.images import IMAGE_SUFFIXES, list_images, read_image
from liveness.io.tables import number_in, read_rows
from liveness.model.labels import FAKE, LABELS, REAL

MIN_CROP_SIDE_PX = 16  # smaller crops hold no texture to learn from
SIMULATED = "simulated "  # start of the name of a simulated kind of attack
UNNAMED_ATTACK = "attack"  # of fakes directly in the folder fake/
SCALE_TOLERANCE = 0.01  # relative; scales are written with few digits
MIN_ROOM_SCALE = 2.0  # of a crop that shows what is around the face
TIME_GAP = 0.1  # share of a single source that neither trains nor validates

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """One picture of a face.

    Attributes:
        path: The picture.
        label: ``real`` or ``fake``.
        attack: Kind of attack; empty for a bona fide face.
        site: Folder above the label folder, "." in a plain dataset: one
            collection of one or a few people, cameras and places, and after a
            slash a group in it, such as one person.
        source: The video, picture or folder that the sample comes from.
        frame: Its number in the source.
        crop_scale: Side of the picture over the face's longer side; None where the
            picture is the detected box itself.
        background: Site of the picture that a simulated attack was put before.
    """

    path: Path
    label: str
    attack: str
    site: str
    source: str
    frame: int = 0
    crop_scale: float | None = None
    background: str = ""

    @property
    def is_bona_fide(self) -> bool:
        """Whether the face is a living one."""
        return self.label == REAL

    @property
    def is_simulated(self) -> bool:
        """Whether it is an attack that was simulated, not filmed."""
        return self.attack.startswith(SIMULATED)

    @property
    def collection(self) -> str:
        """The site without the groups (people, sessions) in it."""
        return self.site.split("/")[0]

    @property
    def has_surroundings(self) -> bool:
        """Whether the picture shows enough around the face to learn from it."""
        return (self.crop_scale or 0) > MIN_ROOM_SCALE


def read_dataset(folders: Sequence[Path]) -> list[Sample]:
    """Read all samples of one or several dataset folders.

    Raises:
        DatasetError: If a folder is missing, holds no labelled picture, lies in
            another one, or its crops.csv is not one.
    """
    samples: list[Sample] = []
    _refuse_overlap(folders)
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError(
                f"no dataset folder '{folder}': expected a folder with "
                f"{' and '.join(LABELS)} in it; collect_dataset.py makes one"
            )
        listed = _samples_of_list(folder)
        samples += _read_tree(folder) if listed is None else listed
    _refuse_shared(samples)
    _warn_of_copies(samples)
    return samples


def files_of(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield pictures and tables of dataset folders; results must not overwrite them."""
    for folder in filter(Path.is_dir, folders):
        for path, _ in walk(folder):
            if path.name == CSV_NAME or path.suffix.lower() in IMAGE_SUFFIXES:
                yield path


def require_both_labels(samples: Sequence[Sample], what: str) -> None:
    """Raise a DatasetError that says what to do unless both labels are there."""
    present = {sample.label for sample in samples}
    for missing in sorted(set(LABELS) - present):
        raise DatasetError(
            f"{what} has no {missing} faces: both {' and '.join(LABELS)} are needed; "
            f"collect some with collect_dataset.py -o .../{missing}"
        )


def without_sites(samples: Sequence[Sample], sites: Sequence[str]) -> list[Sample]:
    """Return the samples that are not of these sites.

    Raises:
        DatasetError: If there is no such site.
    """
    require_sites(samples, sites)
    return [sample for sample in samples if sample.collection not in sites]


def require_sites(samples: Sequence[Sample], sites: Iterable[str]) -> None:
    """Raise a DatasetError for a site that has no samples.

    Raises:
        DatasetError: If there is no such site.
    """
    there = {sample.collection for sample in samples}
    if absent := sorted(set(sites) - there):
        raise DatasetError(
            f"no site {', '.join(absent)} in the dataset: expected names among "
            f"{', '.join(sorted(there))}"
        )


def read_crop(sample: Sample) -> np.ndarray:
    """Read the crop of a sample, in the geometry of ``crops.crop_face``.

    A picture that is the detected box itself becomes a crop without surroundings.

    Returns:
        (side, side, 3) uint8, BGR.

    Raises:
        ImageError: If the picture cannot be read or is too small.
    """
    image = read_image(sample.path)
    if min(image.shape[:2]) < MIN_CROP_SIDE_PX:
        raise ImageError(
            f"'{sample.path}' is {image.shape[1]}x{image.shape[0]} pixels, "
            f"expected {MIN_CROP_SIDE_PX} or more"
        )
    if sample.crop_scale is None:
        return crop_face(image, whole_box(image))
    return image


def crop_at_scale(sample: Sample, scale: float) -> np.ndarray:
    """Read the crop of a sample at the crop scale of a model.

    Raises:
        ImageError: If the picture cannot be read or is too small.
        DatasetError: If the crop shows less than the model needs.
    """
    crop = read_crop(sample)
    own = sample.crop_scale or CROP_SCALE
    if own < scale * (1 - SCALE_TOLERANCE):
        raise DatasetError(
            f"'{sample.path}' was cropped at scale {own:g}, the model needs {scale:g}: "
            "collect that folder again"
        )
    side = max(1, round(crop.shape[0] * scale / own))
    start = (crop.shape[0] - side) // 2
    return crop if start <= 0 else crop[start : start + side, start : start + side]


def split_samples(
    samples: Sequence[Sample], *, validation_share: float, seed: int
) -> tuple[list[Sample], list[Sample], list[str]]:
    """Split samples for training and validation; no site or source is in both.

    Whole sites validate where there are at least three with both labels. Else
    whole sources do, label by label; a label with a single source is split by
    time: its last part validates, with a gap before it.

    Args:
        samples: At least one; of one label only where attacks get simulated.
        validation_share: Wished share of the sites or sources, whatever their size,
            or of the time of a single source; between 0 and 1.
        seed: Of the choice of sites or sources.

    Returns:
        Training samples, validation samples, and warnings for the user.

    Raises:
        DatasetError: If a label has a single picture.
    """
    rng = np.random.default_rng(seed)
    sites = {sample.collection for sample in samples}
    complete = sorted(
        site
        for site in sites
        if {s.label for s in samples if s.collection == site} == set(LABELS)
    )
    if len(complete) >= 3:
        count = max(1, round(validation_share * len(complete)))
        chosen = set(rng.choice(complete, min(count, len(complete) - 1), replace=False))
        kept = [s for s in samples if s.collection in chosen]
        rest = [s for s in samples if s.collection not in chosen]
        return rest, kept, []
    training: list[Sample] = []
    validation: list[Sample] = []
    warnings: list[str] = []
    for label in sorted({sample.label for sample in samples}):
        of_label = [sample for sample in samples if sample.label == label]
        if len(of_label) < 2:
            raise DatasetError(
                f"only one {label} picture, '{of_label[0].path}': expected at least "
                "one to train on and one to validate on; collect more"
            )
        sources = sorted({sample.source for sample in of_label})
        if len(sources) == 1:
            first, last = _split_by_time(of_label, validation_share)
            warnings.append(
                f"all {label} faces come from one source, {sources[0]!r}: its last "
                "part validates, so the validation figures are optimistic"
            )
        else:
            count = max(1, round(validation_share * len(sources)))
            chosen = set(rng.choice(sources, min(count, len(sources) - 1), False))
            first = [s for s in of_label if s.source not in chosen]
            last = [s for s in of_label if s.source in chosen]
        training += first
        validation += last
    return training, validation, warnings


def describe(samples: Sequence[Sample]) -> str:
    """Count by label and attack, such as ``3 real, 2 fake (2 print)``."""
    attacks = Counter(s.attack for s in samples if not s.is_bona_fide)
    kinds = ", ".join(f"{count} {name}" for name, count in sorted(attacks.items()))
    fakes = sum(attacks.values())
    text = f"{len(samples) - fakes} {REAL}, {fakes} {FAKE}"
    return f"{text} ({kinds})" if kinds else text


def _split_by_time(samples: list[Sample], share: float) -> tuple[list, list]:
    """Split one source into its first and last part, with a gap between them."""
    ordered = sorted(samples, key=lambda one: (one.frame, natural_key(one.path)))
    start = max(1, len(ordered) - max(1, round(share * len(ordered))))
    gap = round(TIME_GAP * len(ordered))
    return ordered[: max(1, start - gap)], ordered[start:]


def _read_tree(folder: Path) -> list[Sample]:
    """Read samples from label folders, with what crops.csv beside the pictures says."""
    try:
        paths = list_images([folder])
    except ImageError as error:
        raise DatasetError(f"{error}; collect_dataset.py makes some") from error
    rows: dict[Path, dict[str, dict[str, str]]] = {}
    samples = []
    unlisted = []
    for path in paths:
        parts = path.relative_to(folder).parts[:-1]
        depth = max((i for i, part in enumerate(parts) if part in LABELS), default=None)
        if depth is None:
            raise DatasetError(
                f"'{path}' is in no folder named {' or '.join(LABELS)}: expected "
                f"'{folder}/.../{REAL}/' and '{folder}/.../{FAKE}/[attack]/'"
            )
        if path.parent not in rows:
            rows[path.parent] = _read_rows(path.parent / CSV_NAME)
        label = parts[depth]
        attack = "/".join(parts[depth + 1 :]) or UNNAMED_ATTACK
        sample = Sample(
            path=path,
            label=label,
            attack="" if label == REAL else attack,
            site="/".join(parts[:depth]) or ".",
            source=str(path.parent.relative_to(folder)),
        )
        row = rows[path.parent].get(path.name)
        if row is None:
            unlisted.append(path)
        samples.append(_with_row(sample, row) if row else sample)
    if unlisted:
        logger.warning(
            "%d of the pictures, such as '%s', have no row in a %s beside "
            "them: taken as showing nothing but the face",
            len(unlisted),
            unlisted[0],
            CSV_NAME,
        )
    return samples


def _warn_of_copies(samples: Sequence[Sample]) -> None:
    """Warn if the same film, by content, appears under two labels or sites."""
    for what in ("label", "collection"):
        found: dict[str, str] = {}
        for sample in samples:
            checksum = re.search("#([0-9a-f]{12})$", sample.source)
            if not checksum:  # not of collect_dataset.py
                continue
            content = checksum[1]
            here = getattr(sample, what)
            first = found.setdefault(content, here)
            if first != here:
                logger.warning(
                    "'%s' is in the %ss %s and %s: no figure that keeps them "
                    "apart is honest",
                    *(sample.source, what, *sorted((first, here))),
                )
                break


def _with_row(sample: Sample, row: dict[str, str]) -> Sample:
    """Return the sample with source, frame and scale of its row in crops.csv."""
    try:
        if None in row.values():
            raise ValueError("too few fields")
        box = tuple(int(row[name]) for name in ("x_min", "y_min", "x_max", "y_max"))
        scale = number_in(row["scale"])
        if not (0 < scale < math.inf and box_area(box)):
            raise ValueError(f"scale {scale}, box {box}")
        return replace(
            sample, source=row["source"], frame=int(row["frame"]), crop_scale=scale
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"'{sample.path.parent / CSV_NAME}' has a damaged row for "
            f"{sample.path.name}: {error}; collect that folder again"
        ) from error


def _refuse_overlap(folders: Sequence[Path]) -> None:
    """Raise a DatasetError if a picture would be read twice, as of two sites."""
    for outer, inner in itertools.permutations(folders, 2):
        if inner.resolve() == outer.resolve():
            raise DatasetError(f"'{inner}' is given twice: name it once")
        if inner.resolve().is_relative_to(outer.resolve()):
            raise DatasetError(
                f"'{inner}' lies in '{outer}', so its pictures would be read "
                "twice: name only one of the two"
            )


def _refuse_shared(samples: Sequence[Sample]) -> None:
    """Raise a DatasetError if links lead to one picture from two places."""
    real: dict[Path, Path] = {}
    found: dict[tuple[Path, str], Path] = {}
    for sample in samples:
        folder = sample.path.parent
        if folder not in real:
            real[folder] = folder.resolve()
        other = found.setdefault((real[folder], sample.path.name), sample.path)
        if other != sample.path:
            raise DatasetError(
                f"'{other}' and '{sample.path}' are one picture, which would be read "
                "twice: name only one of the two folders"
            )


def read_list(table: Path) -> list[dict[str, str]] | None:
    """Read rows of a CSV file with ``path, site, label, attack, group``.

    Returns:
        The rows, each with all fields and names that folders can have; None where
        there is no file or it has no column of paths.

    Raises:
        DatasetError: If it has such a column but is not such a list.
    """
    columns, rows = read_table(table)
    if "path" not in columns:
        return None
    missing = {"site", "label", "attack", "group"} - set(columns)
    if missing:
        raise DatasetError(f"'{table}' lacks the columns {sorted(missing)}")
    if not rows:
        raise DatasetError(f"'{table}' lists no pictures")
    for number, row in enumerate(rows, 2):  # the header is line 1
        if None in row.values():
            raise DatasetError(f"'{table}' has too few fields in row {number}")
    wrong = [row["label"] for row in rows if row["label"] not in LABELS]
    if wrong:
        raise DatasetError(f"'{table}' has the label {wrong[0]!r}, expected {LABELS}")
    for row in rows:
        _check_names(row, table)
    return rows


def _samples_of_list(folder: Path) -> list[Sample] | None:
    """Read the samples of a crops.csv with paths; None if it has no such column."""
    rows = read_list(folder / CSV_NAME)
    if rows is None:
        return None
    return [
        Sample(
            path=folder / row["path"],
            label=row["label"],
            attack="" if row["label"] == REAL else row["attack"] or UNNAMED_ATTACK,
            site="/".join(dict.fromkeys((row["site"], row["group"] or row["site"]))),
            source=f"{row['site']}/{row['group']}/{row['label']}",
            frame=number,
        )
        for number, row in enumerate(rows)
    ]


def _check_names(row: Mapping[str, str], table: Path) -> None:
    """Refuse names of sites, groups or attacks that cannot be folder names.

    Group and attack may be empty, and only an attack may have parts: print/glossy.
    """
    for column in ("site", "group", "attack"):
        name = row[column]
        parts = name.split("/") if name or column == "site" else []
        misleads = any(part in ("", ".", "..", *LABELS) for part in parts)
        misleads |= any(sign in name for sign in "\\:")  # paths of Windows
        if misleads or (column != "attack" and len(parts) > 1):
            raise DatasetError(
                f"'{table}' has the {column} {name!r}: expected the name of a folder, "
                f"and none of {LABELS}"
            )


def _read_rows(table: Path) -> dict[str, dict[str, str]]:
    """Read the rows of a crops.csv by file name; empty if there is no such table."""
    columns, rows = read_table(table)
    if table.is_file() and "file" not in columns:
        raise DatasetError(
            f"'{table}' lacks the column 'file': it is not a list of the crops beside "
            "it; move it away"
        )
    return {row["file"]: row for row in rows}


def read_table(table: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Read columns and rows of a CSV file; empty if there is no such file.

    Raises:
        DatasetError: If it is not one.
    """
    if not table.is_file():
        return (), []
    try:
        return read_rows(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"'{table}' is not a CSV file, or is no table in UTF-8: {error}"
        ) from error
