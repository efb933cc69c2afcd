"""Run a script: signals, failures as one line, exit codes."""

import io
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec

from liveness.constants import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from liveness.errors import LivenessError

OWN_MODULES = ("liveness", "livenessnet")


def run(main: Callable[[], int]) -> int:
    """Run a script's main and turn what a user can cause into one line on stderr.

    Returns:
        main's own code; 1 after a LivenessError or OSError, or where a package is not
        installed; 130 after Ctrl-C and 143 after SIGTERM, both with everything
        released. Any other exception is a fault of the program and keeps its traceback.
    """
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    _escape_what_cannot_be_shown()
    try:
        return main()
    except _Terminated:
        print("terminated", file=sys.stderr)
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (LivenessError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in OWN_MODULES or find_spec(package):
            raise  # it is there, and something in it is not as we expect
        print(
            f"error: no module named '{package}': activate the environment, see "
            "README.md",
            file=sys.stderr,
        )
        return EXIT_FAILED


def _escape_what_cannot_be_shown() -> None:
    """Print what a console's encoding lacks, as in names of files, as \\u escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None without a console
            stream.reconfigure(errors="backslashreplace")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a script the way Ctrl-C does."""


def _terminate(*_: object) -> None:
    """Signal handler; a second SIGTERM, as of timeout(1), lets the first finish."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Terminated


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, LivenessError):
        where = f" {str(error.filename)!r}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    return " ".join(str(error).split())
