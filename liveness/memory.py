"""How the process treats memory that it has freed."""

import ctypes

# Options of glibc's mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT_BYTES = 2**31 - 1  # as much as an option can say
_STEP_BYTES = 2**26


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
