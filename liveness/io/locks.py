"""Lock a folder so that only one process at a time writes to it.

The operating system holds the lock and releases it when the process ends, however it
ends, so a killed run leaves no stale lock behind.
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

WINDOWS_NAME = ".lock"  # Windows only, where a folder itself cannot be locked


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder for the duration of the ``with`` block.

    On a file system without locks, such as some network drives, this does nothing.

    Args:
        folder: An existing folder.

    Raises:
        OutputError: If another process, or another block of this process, holds the
            lock.
    """
    if fcntl is None:
        descriptor = os.open(folder / WINDOWS_NAME, os.O_RDWR | os.O_CREAT)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _lock(descriptor):
            raise OutputError(
                f"another run is writing to '{folder}': wait for it to finish or "
                "choose another folder"
            )
        yield
    finally:
        os.close(descriptor)
        if fcntl is None:
            with contextlib.suppress(OSError):  # another process has it open
                (folder / WINDOWS_NAME).unlink()


def _lock(descriptor: int) -> bool:
    """Lock an open folder (on Windows, a file); False if it is locked already."""
    try:
        if fcntl is None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # EACCES is what Windows reports. Any other error: no locks on this file system.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
