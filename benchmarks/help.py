"""Row: --help of every script.

python -m benchmarks.help
"""

import statistics
import sys

from benchmarks.timing import ROOT, Aim, Row, alternate, main, process_seconds, script

USUAL = "import argparse, cv2, tensorflow, sklearn.preprocessing, matplotlib.pyplot"
BARE = "import argparse; argparse.ArgumentParser().parse_args(['--help'])"


def measure(repetitions: int) -> list[Row]:
    """The row; ours is the slowest script's median."""
    names = sorted(
        path.name for path in ROOT.glob("*.py") if "__main__" in path.read_text()
    )
    commands = {name: script(name, "--help") for name in names}
    commands["usual"] = [sys.executable, "-c", USUAL]
    commands["limit"] = [sys.executable, "-c", BARE]
    cases = {
        name: lambda command=command: process_seconds(command)
        for name, command in commands.items()
    }
    found = alternate(cases, repetitions)
    medians = {name: statistics.median(found[name]) for name in names}
    slowest = max(medians, key=medians.get)
    each = ", ".join(f"{name} {value:.2f} s" for name, value in medians.items())
    return [
        Row(
            "--help of every script (ours: the slowest)",
            "s",
            found["usual"],
            found[slowest],
            found["limit"],
            [Aim("seconds", medians[slowest], 0.3)],
            [f"Each: {each}."],
        )
    ]


if __name__ == "__main__":
    main(measure, repetitions=3)
