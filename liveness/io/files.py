"""List input files, check output files and write files atomically."""

import contextlib
import logging
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from liveness.errors import LivenessError, OutputError, reason_of

VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
)
# Files that belong beside the data: the table of crops, and what Windows creates.
_COMPANIONS = ("crops.csv", "desktop.ini", "readme.md", "thumbs.db")

logger = logging.getLogger(__name__)


def check_output_files(paths: Iterable[Path], *, inputs: Iterable[Path] = ()) -> None:
    """Check, before a long run, that its output files can be written.

    Args:
        paths: Files that will be written.
        inputs: Files that are read and must not be overwritten.

    Raises:
        OutputError: If a folder is missing or not writable, a path is a folder, two
            paths are the same file, or a path is an input.
    """
    paths = list(paths)
    # Listing the inputs may walk a whole dataset, so it is done only when needed.
    candidates = inputs if any(path.exists() for path in paths) else ()
    protected = {_identity(path) for path in candidates if path.exists()}
    targets = set()
    for path in paths:
        folder = path.absolute().parent
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"no folder for '{path}': '{path.parent}' is a file")
        if not folder.is_dir():
            raise OutputError(f"no folder for '{path}': create '{path.parent}' first")
        if path.is_dir():
            raise OutputError(f"'{path}' is a folder: expected a file name")
        if path.resolve() in targets:
            raise OutputError(
                f"two files would be written to '{path}': choose different names"
            )
        if path.exists() and _identity(path) in protected:
            raise OutputError(
                f"'{path}' is an input and would be overwritten: choose another name"
            )
        targets.add(path.resolve())
    for folder in {path.resolve().parent for path in paths if not _is_device(path)}:
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OutputError(
                f"cannot create a file in folder '{folder}': {reason_of(error)}"
            ) from error


def check_any_exists(
    paths: Iterable[Path], *, kind: str, error: type[LivenessError]
) -> None:
    """Check, before anything is loaded, that at least one input exists.

    Args:
        paths: Files and folders as the user gave them.
        kind: What messages call one of them, such as "image".
        error: Type of the error to raise.

    Raises:
        LivenessError: If none of the paths exists; its type is ``error``.
    """
    paths = list(paths)
    if not any(path.exists() for path in paths):
        names = ", ".join(f"'{path}'" for path in paths)
        raise error(f"cannot read {kind} {names}: no such file or directory")


def make_output_folder(folder: Path) -> None:
    """Create an output folder, or check that an existing one is writable.

    Raises:
        OutputError: If the folder cannot be created or written.
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
            f"cannot write to output folder '{folder}': {reason_of(error)}"
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically: it has either its old content or all of the new.

    The bytes go to a hidden ``.part`` file in the same folder, which is then renamed.
    A full disk or a killed process leaves an existing file unchanged. A symbolic link
    is followed, and its target is replaced. A device or pipe is written directly.

    Args:
        path: File to create or replace; its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder is not writable or the disk is full.
    """
    if _is_device(path):
        path.write_bytes(data)
        return
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except BaseException as error:  # Ctrl-C as well: the part never stays behind
        with contextlib.suppress(OSError):  # a read-only disk fails here as well
            part.unlink()
        if isinstance(error, OSError):
            error.filename, error.filename2 = (
                str(path),
                None,
            )  # the name users know
        raise


def move_new(source: Path, path: Path) -> None:
    """Move a file to a name that must not exist yet; nothing is ever half there.

    Args:
        source: The file, on the same disk.
        path: Its new name; the folder must exist.

    Raises:
        FileExistsError: If the name is taken; both files stay unchanged.
        OSError: If the folder is not writable.
    """
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system, e.g. a memory card's
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
    """List the files that the given files and folders stand for.

    A file is listed whatever its name, even if it is missing: the error then comes
    from reading it. A folder stands for the files with one of the suffixes in it and
    below it, as ``walk`` yields them, in natural order (2.jpg before 10.jpg). No file
    is listed twice. One log line counts the files that were skipped.

    Args:
        paths: Files and folders.
        suffixes: Lower-case suffixes of the files to list in a folder.
        kind: What messages call the files, such as "pictures".
        error: Type of the error to raise.

    Raises:
        LivenessError: If a folder holds no such file; its type is ``error``.
    """
    files: dict[Path, None] = {}
    real_paths: set[str] = set()
    others: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.setdefault(path)
            real_paths.add(os.path.realpath(path))
            continue
        content = dict(walk(path))
        matches = {file for file in content if file.suffix.lower() in suffixes}
        rest = content.keys() - matches
        if not matches:
            summary = f"; it holds {_describe(rest)}" if _describe(rest) else ""
            raise error(
                f"no {kind} in folder '{path}': expected files ending in "
                f"{', '.join(suffixes)}{summary}"
            )
        others += rest
        names: dict[str, Path] = {}  # a file's own name wins over that of a link to it
        for file in sorted(
            matches, key=lambda file: (file.is_symlink(), natural_key(file))
        ):
            names.setdefault(content[file], file)
        new = names.keys() - real_paths
        real_paths |= new
        files |= dict.fromkeys(sorted((names[real] for real in new), key=natural_key))
    tell_of_others(others, kind=kind)
    return list(files)


def tell_of_others(paths: Iterable[Path], *, kind: str) -> None:
    """Log how many files of other kinds were skipped; ``kind`` names those read."""
    if summary := _describe(paths):
        logger.info("only %s are read; skipped: %s", kind, summary)


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Walk the files in a folder and below it; hidden files are skipped.

    Symbolic links to folders and files are followed and keep the link's name. A
    folder that is reachable under two names is walked once, under its own name if
    possible. A link to a folder that contains it is not followed.

    Args:
        folder: An existing folder; it may be hidden or a symbolic link itself.

    Yields:
        The path of each file as the user sees it, and its real path.
    """
    root = os.path.realpath(folder)
    visits: set[str] = set()
    queue = [(folder, root)]
    while queue:
        links: list[Path] = []
        for start, real in queue:
            yield from _walk_folder(start, real, visits, links)
        targets = [(link, os.path.realpath(link)) for link in sorted(links)]
        queue = [(link, real) for link, real in targets if not _loops(link, real, root)]


def _walk_folder(
    folder: Path, real: str, visits: set[str], links: list[Path]
) -> Iterator[tuple[Path, str]]:
    """Walk a folder unless it was visited; links to folders are added to ``links``."""
    if real in visits:
        return
    visits.add(real)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = reason_of(error)
        logger.warning("cannot read folder '%s': %s", folder, reason)
        return
    for entry in entries:
        path, real_path = folder / entry.name, os.path.join(real, entry.name)
        if entry.name.startswith("."):
            continue
        if not entry.is_symlink():
            if entry.is_dir():
                # A Windows junction is not a symbolic link, and yet may form a loop.
                yield from _walk_folder(path, os.path.realpath(path), visits, links)
            elif entry.is_file():
                yield path, real_path
        elif path.is_dir():
            links.append(path)
        elif path.is_file():
            yield path, os.path.realpath(path)
        elif not path.exists():
            logger.warning("skipped the broken link '%s'", path)


def _loops(link: Path, target: str, root: str) -> bool:
    """Tell whether a link leads to a folder that contains it."""
    parents = (root, os.path.realpath(link.parent))
    return any(Path(parent).is_relative_to(target) for parent in parents)


def _describe(paths: Iterable[Path]) -> str:
    """Count files by suffix, except _COMPANIONS: ``12 .txt, 1 .json``."""
    names = (path for path in paths if path.name.lower() not in _COMPANIONS)
    counts = Counter(path.suffix.lower() or "without a suffix" for path in names)
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {suffix}" for suffix, count in ranking)


def _is_device(path: Path) -> bool:
    """Tell whether a path is a device or pipe, which cannot be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _identity(path: Path) -> tuple[int, int]:
    """Return a key that is equal for all names of one file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers by value: 2.jpg before 10.jpg."""
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(int(p), "") if p.isdecimal() else (-1, p.lower()) for p in pieces]
