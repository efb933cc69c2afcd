"""Run the commands of the documentation and compare or renew what they print.

    python -m docs.console README.md docs/live.md

A ``console`` block holds lines ``$ command`` with what the command prints on stdout.
A line ``...`` stands for any number of lines. The commands of a page run one after
another in one copy of the checkout. This script writes what they print now into the
pages, except where a ``...`` is; a test compares it.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from liveness.constants import EXIT_OK, ROOT

COPIED = ("liveness", "dataset", "images", "videos", "models", "face_detector")
SKIPPED = "..."
TIMEOUT_S = 240  # of one command

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_BOX = re.compile(r'box"?:? \[?[\d, ]+')  # of a face; another processor moves its edges
_VARYING = re.compile(r"(?<=threshold of )[\d.]+")  # of a training
_BOX_TOLERANCE_PX = 2
_TOLERANCE = 0.02  # of numbers with a decimal point


@dataclass(frozen=True)
class Command:
    """A command of a page, and the lines that it is said to print."""

    line: str
    expected: tuple[str, ...]


def commands_of(text: str) -> list[Command]:
    """The commands in the console blocks of a page, in order."""
    commands = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *expected = part.rstrip("\n").split("\n")
            commands.append(Command(line, tuple(expected)))
    return commands


def copy_checkout(to: Path) -> Path:
    """Copy what the scripts need, so that commands change nothing in the repository."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    for path in ROOT.glob("*.py"):
        shutil.copy(path, to)
    return to


def run_command(line: str, folder: Path) -> list[str]:
    """What a command prints on stdout, as lines; ``python`` is this one."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONPATH")
    }
    done = subprocess.run(
        ["sh", "-c", f'python() {{ "$THIS_PYTHON" "$@"; }}\n{line}'],
        cwd=folder,
        env={**environment, "THIS_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if "Traceback" in done.stderr:
        raise RuntimeError(f"{line}\n{done.stderr}")
    return done.stdout.splitlines()


def is_same(expected: Sequence[str], received: Sequence[str]) -> bool:
    """Whether lines say the same, but for what another machine computes otherwise."""
    if not expected:
        return not received
    first, *rest = expected
    if first == SKIPPED:
        return any(is_same(rest, received[n:]) for n in range(len(received) + 1))
    return (
        bool(received)
        and is_same_line(first, received[0])
        and is_same(rest, received[1:])
    )


def is_same_line(expected: str, received: str) -> bool:
    """Whether two lines differ at most in the last digits of measured numbers."""
    texts = [_VARYING.sub("N", line) for line in (expected, received)]
    skeletons = [" ".join(_NUMBER.sub("#", text).split()) for text in texts]
    if skeletons[0] != skeletons[1]:
        return False
    boxes = [match.span() for match in _BOX.finditer(texts[0])]
    pairs = zip(_NUMBER.finditer(texts[0]), _NUMBER.finditer(texts[1]), strict=True)
    for number, other in pairs:
        in_box = any(start <= number.start() < end for start, end in boxes)
        tolerance = _BOX_TOLERANCE_PX if in_box else 0
        if "." in number[0]:
            tolerance = _TOLERANCE
        if abs(float(number[0]) - float(other[0])) > tolerance + 1e-9:
            return False
    return True


def renew(text: str, folder: Path) -> str:
    """The page with the output of now, but for commands whose output is cut short."""
    for command in commands_of(text):
        received = run_command(command.line, folder)
        if SKIPPED in command.expected:
            if not is_same(command.expected, received):
                print(f"renew by hand: {command.line}", *received, sep="\n")
            continue
        head = f"$ {command.line}\n"
        old = head + "".join(f"{line}\n" for line in command.expected)
        text = text.replace(old, head + "".join(f"{line}\n" for line in received))
    return text


def main() -> int:
    """Renew the pages that are named."""
    for name in sys.argv[1:]:
        page = Path(name)
        if not commands_of(page.read_text(encoding="utf-8")):
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = renew(page.read_text(encoding="utf-8"), copy_checkout(Path(folder)))
        page.write_text(text, encoding="utf-8")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
