"""A folder kept to one process while it writes there.

The lock is the operating system's: it ends with the process, however that ends, so a
killed run leaves none that holds.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from liveness.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

WINDOWS_NAME = ".lock"  # Windows locks no folders; elsewhere there is no such file


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep a folder to this process until the block is left.

    Where the file system has no locks, as some network drives, nothing is kept.

    Args:
        folder: It must exist.

    Raises:
        OutputError: If another process, or another block of this one, has it.
    """
    if fcntl is None:
        descriptor = os.open(folder / WINDOWS_NAME, os.O_RDWR | os.O_CREAT)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _lock(descriptor):
            raise OutputError(
                f"another run is writing to '{folder}': wait until it has ended, or "
                "choose another folder"
            )
        yield
    finally:
        os.close(descriptor)
        if fcntl is None:
            with contextlib.suppress(OSError):  # somebody else has it open by now
                (folder / WINDOWS_NAME).unlink()


def _lock(descriptor: int) -> bool:
    """Lock an open folder (a file on Windows); False if somebody else has it."""
    try:
        if fcntl is None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Windows says the latter; anything else: there are no locks here.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
