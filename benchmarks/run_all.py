"""Run every benchmark, print the table and write it to RESULTS.md.

python -m benchmarks.run_all
"""

import argparse
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import collect, help, live, picture, train
from benchmarks.timing import Row

RESULTS = Path(__file__).with_name("RESULTS.md")
PARTS = {help: 2, picture: 4, live: 3, collect: 3, train: 2}  # and repetitions
PACKAGES = ("opencv-python", "numpy", "tensorflow", "keras")
HEADER = ("what", "usual way", "ours", "limit", "aims")


def report(rows: list[Row], minutes: float) -> str:
    """RESULTS.md as text."""
    lines = [
        "# How fast",
        "",
        "Nobody who uses the project needs this page: it is for developers.",
        "",
        "Made by `make bench`. Each figure is the median of several repetitions in "
        "which the cases took turns. The usual way is our own plain version of how "
        "such scripts are mostly written (`usual_*.py`); the limit is what neither "
        "can do without.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {minutes:.0f} minutes, {_machine()}.",
        "",
        _line(HEADER),
        _line(["---"] * len(HEADER)),
        *(_line(row.cells()) for row in rows),
        "",
        "## Notes",
        "",
    ]
    for row in rows:
        lines += [f"- {row.what}: {note}" for note in row.notes]
    return "\n".join(lines) + "\n"


def _line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()}, Python "
        f"{platform.python_version()}, {versions}"
    )


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except FileNotFoundError:
        pass
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--repetitions", type=int, metavar="N", help="of each case, for a quick look"
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, metavar="FILE")
    arguments = parser.parse_args()
    start = time.perf_counter()
    rows: list[Row] = []
    for part, repetitions in PARTS.items():
        print(f"{part.__name__} ...", file=sys.stderr)
        rows += part.measure(arguments.repetitions or repetitions)
    text = report(rows, (time.perf_counter() - start) / 60)
    arguments.output.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
