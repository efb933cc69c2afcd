"""Remove crops from a dataset, or move them to another label, with their rows."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from liveness.data.crops_folder import DatasetFolder
from liveness.errors import DatasetError


def delete_crops(crops: Sequence[Path]) -> int:
    """Delete crops and their rows in ``crops.csv``.

    Args:
        crops: Files ``N.png`` that the collectors saved.

    Returns:
        How many were deleted.

    Raises:
        DatasetError: If one is missing or has no row; then nothing is deleted.
        OutputError: If a folder cannot be written, or another run writes to it.
    """
    _require_rows(crops)
    for folder, names in _by_folder(crops):
        with DatasetFolder(folder) as dataset:
            dataset.remove(names)
    return len(crops)


def move_crops(crops: Sequence[Path], folder: Path) -> int:
    """Move crops with their rows to another folder, under its next numbers.

    Args:
        crops: Files ``N.png`` that the collectors saved.
        folder: Such as ``dataset/fake/print``; created if missing.

    Returns:
        How many were moved.

    Raises:
        DatasetError: If one is missing, has no row or is in that folder already; then
            nothing is moved.
        OutputError: If a folder cannot be written, or another run writes to it.
    """
    _require_rows(crops)
    for crop in crops:
        if crop.parent.resolve() == folder.resolve():
            raise DatasetError(f"'{crop}' is in '{folder}' already")
    with DatasetFolder(folder) as target:
        for place, names in _by_folder(crops):
            with DatasetFolder(place) as source:
                for name in names:
                    target.adopt(source.row(name), source.folder / name)
                source.remove(names)
    return len(crops)


def _by_folder(crops: Sequence[Path]) -> list[tuple[Path, list[str]]]:
    """Return the names in each folder."""
    ordered = sorted(dict.fromkeys(crops), key=lambda crop: crop.parent)
    return [
        (folder, [crop.name for crop in group])
        for folder, group in groupby(ordered, key=lambda crop: crop.parent)
    ]


def _require_rows(crops: Sequence[Path]) -> None:
    """Raise a DatasetError unless every crop is there and has a row."""
    for crop in crops:
        if not crop.is_file():
            raise DatasetError(f"no crop '{crop}': expected a file such as real/12.png")
    for folder, names in _by_folder(crops):
        dataset = DatasetFolder(folder)
        for name in names:
            dataset.row(name)
