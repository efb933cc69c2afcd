"""Files as users name them, and files written as a whole or not at all."""

import contextlib
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from liveness.errors import LivenessError, OutputError

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
# Files that are at home beside others: the table of crops, what Windows leaves.
_COMPANIONS = ("crops.csv", "desktop.ini", "readme.md", "thumbs.db")

logger = logging.getLogger(__name__)


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


def check_any_exists(
    paths: Iterable[Path], *, kind: str, error: type[LivenessError]
) -> None:
    """Refuse, before anything is loaded, files and folders none of which is there.

    Args:
        paths: As the user gave them.
        kind: What one of them is called in a message: "image".
        error: What is raised.

    Raises:
        LivenessError: The given one.
    """
    paths = list(paths)
    if not any(path.exists() for path in paths):
        names = ", ".join(f"'{path}'" for path in paths)
        raise error(f"cannot read {kind} {names}: no such file or directory")


def make_output_folder(folder: Path) -> None:
    """Create a folder, before long work, or see that it can be written.

    Raises:
        OutputError: If it cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError as error:
        raise OutputError(
            f"cannot write to output folder '{folder}': it is a file"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write to output folder '{folder}': "
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
        with contextlib.suppress(OSError):  # a read-only disk says so here, too
            part.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # the name users know
        raise


def move_new(source: Path, path: Path) -> None:
    """Give a file a name that must not exist yet, whole or not at all.

    Args:
        source: The file, on the same disk.
        path: Its new name; the folder must exist.

    Raises:
        FileExistsError: If there is such a file; both stay as they are.
        OSError: If the folder cannot be written.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as a memory card's
        path.open("xb").close()
        os.replace(source, path)
    else:
        source.unlink()


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
    the suffixes in it and below it, in natural order (2.jpg before 10.jpg), as
    ``walk`` finds them. No file is listed twice; what else was there is counted in
    one line.

    Args:
        paths: Files and folders.
        suffixes: Lower-case endings of the files in a folder.
        kind: What the files are called in a message: "pictures".
        error: What is raised.

    Raises:
        LivenessError: The given one, if a folder holds no such file.
    """
    listed: dict[Path, None] = {}
    seen: set[str] = set()
    others: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            listed.setdefault(path)
            seen.add(os.path.realpath(path))
            continue
        inside = dict(walk(path))
        wanted = {one for one in inside if one.suffix.lower() in suffixes}
        rest = inside.keys() - wanted
        if not wanted:
            there = f"; in it: {_describe(rest)}" if _describe(rest) else ""
            raise error(
                f"no {kind} in folder '{path}': expected files ending in "
                f"{', '.join(suffixes)}{there}"
            )
        others += rest
        own: dict[str, Path] = {}  # a file goes by its own name rather than a link's
        for file in sorted(
            wanted, key=lambda one: (one.is_symlink(), natural_key(one))
        ):
            own.setdefault(inside[file], file)
        new = own.keys() - seen
        seen |= new
        listed |= dict.fromkeys(sorted((own[real] for real in new), key=natural_key))
    tell_of_others(others, kind=kind)
    return list(listed)


def tell_of_others(paths: Iterable[Path], *, kind: str) -> None:
    """Count in one line the files of other kinds that lay beside those listed."""
    if described := _describe(paths):
        logger.info("only %s are read; passed over: %s", kind, described)


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files in a folder and below it, hidden ones left out.

    Links to folders and files are followed, under the name that the link has. A
    folder with two names is walked once, if it can be under its own; a link that
    leads back to where it lies is not followed.

    Args:
        folder: Must exist; it may be hidden or a link itself.

    Yields:
        Each file under the name that the user sees, and its real path.
    """
    root = os.path.realpath(folder)
    walked: set[str] = set()
    waiting = [(folder, root)]
    while waiting:
        links: list[Path] = []
        for start, real in waiting:
            yield from _walk_one(start, real, walked, links)
        waiting = [(link, os.path.realpath(link)) for link in sorted(links)]
        waiting = [one for one in waiting if not _loops(*one, root)]


def _walk_one(
    folder: Path, real: str, walked: set[str], links: list[Path]
) -> Iterator[tuple[Path, str]]:
    """The files in a folder that was not walked yet; adds the links to folders."""
    if real in walked:
        return
    walked.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        logger.warning("warning: cannot look into folder '%s': %s", folder, reason)
        return
    for entry in entries:
        path, inside = folder / entry.name, os.path.join(real, entry.name)
        if entry.name.startswith("."):
            continue
        if not entry.is_symlink():
            if entry.is_dir():
                # In Windows a junction is no link and may lead back all the same.
                yield from _walk_one(path, os.path.realpath(path), walked, links)
            elif entry.is_file():
                yield path, inside
        elif path.is_dir():
            links.append(path)
        elif path.is_file():
            yield path, os.path.realpath(path)
        elif not path.exists():
            logger.warning("warning: link '%s' leads nowhere; passed over", path)


def _loops(link: Path, target: str, root: str) -> bool:
    """Whether a link leads to a folder that it lies in."""
    places = (root, os.path.realpath(link.parent))
    return any(Path(place).is_relative_to(target) for place in places)


def _describe(paths: Iterable[Path]) -> str:
    """Files by their endings, most first: ``12 .txt, 1 .json``; companions left out."""
    counted = (path for path in paths if path.name.lower() not in _COMPANIONS)
    endings = Counter(path.suffix.lower() or "without an ending" for path in counted)
    ordered = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {ending}" for ending, count in ordered)


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
