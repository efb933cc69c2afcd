"""Measure cases in turn, and say what came of it."""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the folder of the scripts


@dataclass(frozen=True)
class Aim:
    """A ratio or figure that was measured, and what it should be."""

    text: str
    value: float
    bound: float
    at_least: bool = False  # otherwise at most

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the bound."""
        if self.at_least:
            return self.value >= self.bound
        return self.value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "met" if self.met else "NOT MET"
        return f"{self.text} {self.value:.3g} (aim {sign} {self.bound:g}): {verdict}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was measured.
        unit: Of the figures.
        usual: Of the usual way, one figure per repetition; empty if there is none.
        ours: Of the project.
        limit: Of what neither can do without; empty if there is none.
        aims: What should come of it.
        notes: What the rest of the time is, and other remarks.
    """

    what: str
    unit: str
    usual: Sequence[float]
    ours: Sequence[float]
    limit: Sequence[float]
    aims: Sequence[Aim]
    notes: Sequence[str] = field(default_factory=tuple)

    def cells(self) -> list[str]:
        """What, usual, ours, limit and aims as texts."""
        figures = [self._figure(x) for x in (self.usual, self.ours, self.limit)]
        return [self.what, *figures, "; ".join(map(str, self.aims))]

    def _figure(self, values: Sequence[float]) -> str:
        return f"{statistics.median(values):.3g} {self.unit}" if values else "-"


def alternate(
    cases: Mapping[str, Callable[[], float]],
    repetitions: int,
    *,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Measure all cases once, then all again: a slow minute hits each of them.

    Args:
        cases: Gives a figure when called, by name.
        repetitions: How often.
        warm_up: Throw one more round before them away, so that files are in the
            system's cache. Cases that time themselves after a start need none.

    Returns:
        The figures of each case.
    """
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for repetition in range(repetitions + warm_up):
        for name, case in cases.items():
            value = case()
            if repetition >= warm_up:
                figures[name].append(value)
            print(f"  {name}: {value:.4g}", file=sys.stderr, flush=True)
    return figures


def process_seconds(command: Sequence[str | Path]) -> float:
    """Time from the start of a process to its end.

    Raises:
        RuntimeError: If it fails; the message ends with what it wrote.
    """
    start = time.perf_counter()
    run_process(command)
    return time.perf_counter() - start


def process_figure(command: Sequence[str | Path], key: str) -> float:
    """A figure that a process prints as JSON on its last line."""
    return json.loads(run_process(command).splitlines()[-1])[key]


def run_process(command: Sequence[str | Path]) -> str:
    """Standard output of a process; see ``process_seconds``."""
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def script(name: str, *arguments: str | Path) -> list[str | Path]:
    """Command that runs a script of the project."""
    return [sys.executable, ROOT / name, *arguments]


def module(name: str, *arguments: str | Path) -> list[str | Path]:
    """Command that runs a module of the benchmarks."""
    return [sys.executable, "-m", f"benchmarks.{name}", *arguments]


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Of the medians."""
    return statistics.median(one) / statistics.median(other)


def show(row: Row) -> None:
    """Print a row with all that belongs to it."""
    what, usual, ours, limit, aims = row.cells()
    print(f"{what}: usual {usual}, ours {ours}, limit {limit}\n  {aims}")
    for note in row.notes:
        print(f"  {note}")


def main(measure: Callable[[int], list[Row]], *, repetitions: int) -> None:
    """Command line of one row's script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=repetitions, metavar="N")
    for row in measure(parser.parse_args().repetitions):
        show(row)
