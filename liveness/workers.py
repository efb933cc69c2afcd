"""What a process that works for another one does first."""

import multiprocessing
import os
import signal
import threading


def obey_parent() -> None:
    """Leave Ctrl-C to the parent process, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End a worker whose parent was killed, which no signal tells it."""
    multiprocessing.parent_process().join()
    os._exit(1)
