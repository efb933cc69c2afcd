"""Keep what libraries in C write off the terminal: it names no file."""

import contextlib
import os
import threading
from collections.abc import Iterator

_lock = threading.Lock()  # two threads would each restore what the other has put there


@contextlib.contextmanager
def silent_libraries() -> Iterator[None]:
    """Drop what is written to the process's stderr past Python; errors still raise."""
    with _lock:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
