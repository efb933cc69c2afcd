"""Files as users name them, and files written as a whole or not at all."""

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from liveness.errors import LivenessError, OutputError

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"),
)


def check_output_files(paths: Iterable[Path], *, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before long work, files that could not be written after it.

    Args:
        paths: What will be written.
        inputs: Files that are read and have to stay.

    Raises:
        OutputError: If the folder of one is missing or cannot be written, one is a
            folder, two have the same name, or one is an input.
    """
    paths = list(paths)
    # Finding the inputs may walk through a dataset: once, and only if need be.
    found = inputs if any(path.exists() for path in paths) else ()
    kept = {_identity(path) for path in found if path.exists()}
    seen = set()
    for path in paths:
        folder = path.absolute().parent
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"no folder for '{path}': '{path.parent}' is a file")
        if not folder.is_dir():
            raise OutputError(f"no folder for '{path}': create '{path.parent}' first")
        if path.is_dir():
            raise OutputError(f"'{path}' is a folder: expected the name of a file")
        if path.resolve() in seen:
            raise OutputError(
                f"two files would be written to '{path}': choose two names"
            )
        if path.exists() and _identity(path) in kept:
            raise OutputError(
                f"'{path}' is read and would be overwritten: choose another name"
            )
        seen.add(path.resolve())
    for folder in {path.resolve().parent for path in paths if not _is_device(path)}:
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OutputError(
                f"cannot create a file in folder '{folder}': "
                f"{(error.strerror or str(error)).lower()}"
            ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that its name only ever shows the whole content.

    The bytes go to a hidden ``.part`` file in the same folder, which then takes
    the name. A full disk or a killed process leaves an older file as it was. Behind a
    link the file that it leads to is replaced; into a device or pipe is written.

    Args:
        path: File to create or replace; its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder cannot be written or the disk is full.
    """
    if _is_device(path):
        path.write_bytes(data)
        return
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except BaseException as error:  # also Ctrl-C: never leave the part behind
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # the name users know
        raise


def list_files(
    paths: Iterable[Path],
    suffixes: tuple[str, ...],
    *,
    kind: str,
    error: type[LivenessError],
) -> list[Path]:
    """The files that a user means by files and folders.

    A file is taken as it is, whatever its name and even when it is missing, so
    that reading it tells what is wrong. A folder stands for the files with one of
    the suffixes in it and below it, in natural order (2.jpg before 10.jpg).
    Hidden files are left out, and no file is listed twice.

    Args:
        paths: Files and folders.
        suffixes: Lower-case endings of the files in a folder.
        kind: What the files are called in a message: "pictures".
        error: What is raised.

    Raises:
        LivenessError: The given one, if a folder holds no such file.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [file for file in path.rglob("*") if _is_wanted(file, path, suffixes)]
        if not inside:
            raise error(
                f"no {kind} in folder '{path}': expected files ending in "
                f"{', '.join(suffixes)}"
            )
        found += sorted(inside, key=natural_key)
    return list(dict.fromkeys(found))


def require_some(paths: Sequence[Path], *, kind: str, error: type[LivenessError]):
    """Refuse, before any work, names of files of which none is there.

    Args:
        paths: Files.
        kind: What one of them is called in the message: "image".
        error: What is raised.

    Raises:
        LivenessError: The given one.
    """
    if paths and not any(path.exists() for path in paths):
        others = f", nor the other {len(paths) - 1}" if len(paths) > 1 else ""
        raise error(
            f"cannot read {kind} '{paths[0]}': no such file or directory{others}"
        )


def check_output_folder(folder: Path, *, kind: str) -> None:
    """Create the folder that results will go to, and see that it can be written.

    Args:
        folder: Created if missing.
        kind: What goes into it, in the message: "snapshots".

    Raises:
        OutputError: If it is a file, or cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is a file, or lies below one; expected a folder"
        raise OutputError(f"no {kind} into '{folder}': {reason}") from error


def _is_device(path: Path) -> bool:
    """Whether a name is of something that is written to and cannot be replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _identity(path: Path) -> tuple[int, int]:
    """What two names of one file have in common."""
    status = path.stat()
    return status.st_dev, status.st_ino


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sort key that orders numbers in names by value: 2.jpg before 10.jpg."""
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(int(p), "") if p.isdecimal() else (-1, p.lower()) for p in pieces]


def _is_wanted(file: Path, folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a file below a folder is visible and has one of the suffixes."""
    parts = file.relative_to(folder).parts
    is_hidden = any(part.startswith(".") for part in parts)
    return file.suffix.lower() in suffixes and not is_hidden and file.is_file()
