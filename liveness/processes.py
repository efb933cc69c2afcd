"""What a process of this project sets up for itself.

Where its log goes, when it ends, what libraries in C may write to the terminal, and
what happens to memory that it has freed.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator

# Options of glibc's mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT_BYTES = 2**31 - 1  # as much as an option can say
_STEP_BYTES = 2**26

_stderr = threading.Lock()  # two threads would each restore what the other has put


class _Lines(logging.Formatter):
    """Says of a warning or an error that it is one, and of other lines nothing."""

    def format(self, record: logging.LogRecord) -> str:
        record.kind = ""
        if record.levelno >= logging.WARNING:
            record.kind = f"{record.levelname.lower()}: "
        return super().format(record)


def set_up_logging(*, verbose: bool = False, prefix: str = "") -> None:
    """Send the project's log to stderr: plain INFO, or DEBUG with module names.

    Args:
        verbose: Whether DEBUG lines are shown.
        prefix: Text before each line, as of a process among several.
    """
    form = "%(levelname)s %(name)s: %(message)s" if verbose else "%(kind)s%(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(prefix + form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("liveness").setLevel(logging.DEBUG if verbose else logging.INFO)


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Drop what is written to the process's stderr past Python; errors still raise."""
    with _stderr:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def obey_parent() -> None:
    """Leave Ctrl-C to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def keep_freed_memory() -> None:
    """Keep freed memory for the next use instead of giving it back to the system.

    Each training step frees and takes the same hundreds of megabytes. By default
    glibc returns large pieces at once, and the system clears every page again: half
    of the time of a step. The process holds what it needed at most until it ends.
    Pieces above 64 MiB of threads other than the main one still come and go. Does
    nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, _STEP_BYTES)


def _end_with_parent() -> None:
    """End a worker whose parent was killed, which no signal tells it."""
    multiprocessing.parent_process().join()
    os._exit(1)
