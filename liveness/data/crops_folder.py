"""The dataset folder: numbered face crops and crops.csv beside them.

A source goes in as a whole or not at all: its crops are written first, then all
its rows at once, and a failure takes back what was written of it. One process at a
time writes to a folder, and no crop ever takes the place of another file.
"""

import contextlib
import csv
import errno
import hashlib
import io
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from liveness.data.crops_table import COLUMNS, CSV_NAME, FaceCrop, row_of
from liveness.errors import DatasetError, OutputError, reason_of
from liveness.io.files import make_output_folder, move_new, write_atomically
from liveness.io.locks import lock_folder
from liveness.io.tables import ENCODING, as_written, delimiter_of

SPOOL_PREFIX = ".collecting-"  # hidden: readers of datasets skip it
SAMPLE_BYTES = 1 << 20  # of a file's start and of its end; tells videos apart
DIGEST_DIGITS = 12  # 48 bits: no two files of one dataset share them by chance

logger = logging.getLogger(__name__)


def source_of(path: Path) -> str:
    """Return the name of an input file in crops.csv: ``real_1.mp4#4ee80f01bca1``.

    The part after the last ``#`` comes from the content (SHA-256 of the size, the
    first and the last MiB), so a file is known again after it was moved or
    renamed, and files of one name in different folders are told apart.

    Raises:
        OSError: If the file cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(SAMPLE_BYTES))
        file.seek(max(SAMPLE_BYTES, size - SAMPLE_BYTES))
        digest.update(file.read(SAMPLE_BYTES))
    name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    return f"{name}#{digest.hexdigest()[:DIGEST_DIGITS]}"


@contextlib.contextmanager
def spool_in(folder: Path) -> Iterator[Path]:
    """A hidden folder for crops until they are saved, so that each is written once.

    It goes with the block, and those that killed runs left go, too: the caller has
    locked the folder.

    Args:
        folder: The output folder; it must exist.

    Raises:
        OutputError: If it cannot be written.
    """
    for left in folder.glob(f"{SPOOL_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
    try:
        spool = tempfile.TemporaryDirectory(dir=folder, prefix=SPOOL_PREFIX)
    except OSError as error:
        raise OutputError(
            f"cannot write to output folder '{folder}': {reason_of(error)}"
        ) from error
    with spool as name:
        yield Path(name)


class DatasetFolder:
    """A folder of crops that grows; a context manager that keeps others out of it.

    Args:
        folder: Created if missing.

    Raises:
        OutputError: If it cannot be created or written, or another process collects
            into it.
        DatasetError: If its crops.csv is not one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._csv = folder / CSV_NAME
        self._delimiter = ","  # as the table that is there has it
        self._whole: bytes | None = None  # the table without a torn last line
        self._lacks_line_end = False
        make_output_folder(folder)
        self._read()
        self.saved: list[Path] = []  # crops that were added here, in order

    def __enter__(self) -> Self:
        self._stack.enter_context(lock_folder(self.folder))
        self._read()  # others may have written before
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def has(self, source: str) -> bool:
        """Return whether the folder has crops of this file, even under another name."""
        return content_of(source) in self._contents

    def add(self, source: str, crops: Iterable[FaceCrop]) -> int:
        """Save all crops of a source, or none of them.

        Returns:
            How many were saved.

        Raises:
            OutputError: If the folder cannot be written or the disk is full.
        """
        last_number = self._last_number
        written: list[Path] = []
        rows: list[tuple] = []
        try:
            for crop in crops:
                written.append(self._save(crop.png))
                rows.append(row_of(written[-1].name, source, crop))
            self._append(rows)
        except BaseException as error:  # also Ctrl-C: no crop without its row
            for path in written:
                path.unlink(missing_ok=True)
            self._last_number = last_number
            if isinstance(error, OSError):
                raise OutputError(
                    f"cannot save crops in '{self.folder}': "
                    f"{reason_of(error)}; none of "
                    f"{source.rpartition('#')[0]!r} was saved"
                ) from error
            raise
        if rows:
            self._contents.add(content_of(source))
        self.saved += written
        return len(rows)

    def row(self, name: str) -> tuple[str, ...]:
        """Return the fields of a crop in crops.csv.

        Raises:
            DatasetError: If there is no such row.
        """
        row = next((row for row in self._rows if row[0] == name), None)
        if row is None:
            raise DatasetError(f"'{self.folder / name}' has no row in '{self._csv}'")
        return tuple(row)

    def adopt(self, row: Sequence[str], crop: Path) -> Path:
        """Take over a crop of another folder, which keeps its own until it removes it.

        Args:
            row: Its row there.
            crop: The file.

        Returns:
            The crop here.

        Raises:
            OutputError: If the folder cannot be written or the disk is full.
        """
        copy = crop.with_name(f".{crop.name}.{os.getpid()}.part")
        path = None
        try:
            shutil.copyfile(crop, copy)
            path = self._save(copy)
            self._append([(path.name, *row[1:])])
        except OSError as error:
            if path is not None:
                path.unlink(missing_ok=True)
            raise OutputError(
                f"cannot save '{crop}' in '{self.folder}': {reason_of(error)}"
            ) from error
        finally:
            copy.unlink(missing_ok=True)
        return path

    def remove(self, names: Iterable[str]) -> None:
        """Delete crops with their rows: the rows first, so that none lacks its file.

        Raises:
            OutputError: If the folder cannot be written.
        """
        names = set(names)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", delimiter=self._delimiter)
        writer.writerow(COLUMNS)
        writer.writerows(row for row in self._rows if row[0] not in names)
        try:
            write_atomically(self._csv, as_written(text.getvalue()).encode())
            for name in names:
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot change '{self._csv}': {reason_of(error)}"
            ) from error
        self._read()

    def _save(self, png: Path) -> Path:
        """Move a crop to the next number that is free."""
        while True:
            self._last_number += 1
            path = self.folder / f"{self._last_number}.png"
            try:
                move_new(png, path)
            except FileExistsError:  # by somebody who heeds no lock
                self._last_number = max(self._last_number, self._highest_number())
            else:
                return path

    def _append(self, rows: list[tuple]) -> None:
        """Add rows to crops.csv in one write; a failed one is taken back."""
        if not rows:
            return
        if self._whole is not None:
            logger.warning("%s: removed a torn last line", self._csv)
            write_atomically(self._csv, self._whole)
            self._whole = None
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n", delimiter=self._delimiter)
        with self._csv.open("ab", buffering=0) as file:
            before = file.tell()
            if before == 0:
                writer.writerow(COLUMNS)
            elif self._lacks_line_end:
                text.write("\n")
            writer.writerows(rows)
            data = as_written(text.getvalue()).encode()
            try:
                if file.write(data) != len(data):  # what a nearly full disk does
                    raise OSError(errno.ENOSPC, "No space left on device")
            except BaseException:
                file.truncate(before)
                raise
        self._lacks_line_end = False
        self._rows += [[str(field) for field in row] for row in rows]

    def _read(self) -> None:
        """Read what is in the folder: the rows of crops.csv and the last number."""
        self._rows = [row for row in self._read_table() if len(row) == len(COLUMNS)]
        self._contents = {content_of(row[1]) for row in self._rows}
        self._last_number = self._highest_number()

    def _read_table(self) -> list[list[str]]:
        """Read the rows of crops.csv; note a torn last line, as of a killed run."""
        self._whole, self._lacks_line_end = None, False
        try:
            data = self._csv.read_bytes()
            whole = data[: max(data.rfind(b"\n"), data.rfind(b"\r")) + 1]
            rows = self._parse(whole.decode(ENCODING))
            rest = data[len(whole) :].decode(errors="replace")  # may end in a letter
            last = list(csv.reader([rest], delimiter=self._delimiter)) if rest else []
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DatasetError(f"cannot read '{self._csv}': {error}") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(
                f"cannot read '{self._csv}': it is no CSV table in UTF-8 ({error}); "
                "save it as one, or move it away"
            ) from error
        if rows and tuple(rows[0]) != COLUMNS:
            raise DatasetError(
                f"'{self._csv}' is not a list of crops: expected the columns "
                f"{', '.join(COLUMNS)}; move it away"
            )
        self._lacks_line_end = _is_whole_row(last, like=rows[-1:])
        is_torn = len(whole) < len(data) and not self._lacks_line_end
        self._whole = whole if is_torn else None
        rows += last if self._lacks_line_end else []
        return rows[1:]

    def _parse(self, text: str) -> list[list[str]]:
        """Parse the rows of a table; note what separates its columns."""
        file = io.StringIO(text, newline="")
        self._delimiter = delimiter_of(file.readline())
        file.seek(0)
        return list(csv.reader(file, delimiter=self._delimiter))

    def _highest_number(self) -> int:
        """Return the highest N of an N.png in the folder, 0 if there is none."""
        names = (path.name for path in self.folder.iterdir())
        numbered = (re.fullmatch(r"([0-9]{1,18})\.png", name) for name in names)
        return max((int(match[1]) for match in numbered if match), default=0)


def content_of(source: str) -> str:
    """Return the part of a source that comes from the content."""
    return source.rpartition("#")[2]


def _is_whole_row(last: list[list[str]], *, like: list[list[str]]) -> bool:
    """Return whether a last row without a newline is complete, as some editors save it.

    A torn one lacks fields or a part of the scale, the last field, which is hardly
    ever another one than in the row before.
    """
    return (
        bool(last and like)
        and len(last[0]) == len(like[0]) == len(COLUMNS)
        and last[0][-1] == like[0][-1]
    )
