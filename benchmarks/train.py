"""Rows: images per second and memory of training.

python -m benchmarks.train
"""

import json
import tempfile
from pathlib import Path

from benchmarks.inputs import write_crops
from benchmarks.timing import (
    Aim,
    Row,
    alternate,
    main,
    module,
    process_figure,
    ratio,
    run_process,
)

CROPS = 200  # different pictures; the rows use them over and over
BATCH, USUAL_BATCH = 64, 4
FEW, MANY = 10_000, 100_000  # crops whose training must take the same memory
MAX_MIB = 1536


def measure(repetitions: int) -> list[Row]:
    """Speed, then memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_crops(Path(folder), count=CROPS)
        return [_speed(Path(folder), repetitions), _memory(Path(folder))]


def _speed(folder: Path, repetitions: int) -> Row:
    runs = {
        "usual": ("usual", USUAL_BATCH),
        "ours": ("ours", BATCH),
        "limit": ("limit", BATCH),
        "usual, same batch": ("usual", BATCH),
    }
    cases = {
        name: lambda way=way, batch=batch: process_figure(
            module("train_run", way, folder, str(batch)), "images_per_s"
        )
        for name, (way, batch) in runs.items()
    }
    found = alternate(cases, repetitions, warm_up=False)
    opened = process_figure(
        module("train_run", "ours", folder, str(BATCH)), "pictures_opened"
    )
    usual, ours, limit = (found[name] for name in ("usual", "ours", "limit"))
    aims = [
        Aim("times the images per second", ratio(ours, usual), 10, True),
        Aim("pictures read after the first epoch", opened, 0),
    ]
    notes = [
        f"Ours reaches {ratio(ours, limit):.0%} of the network's own step on one batch "
        f"in memory; the rest is augmentation and validation. That step is "
        f"{ratio(limit, usual):.1f} times the usual way, which learns from one "
        f"view of a picture; ours learns from two. With the same batch of {BATCH} the "
        f"usual way is {ratio(found['usual, same batch'], limit):.1f} times the step."
    ]
    what = f"train_model.py, batch {BATCH} (usual way: {USUAL_BATCH})"
    return Row(what, "images/s", usual, ours, limit, aims, notes)


def _memory(folder: Path) -> Row:
    def run(way: str, count: int) -> dict[str, float]:
        output = run_process(module("train_run", way, folder, str(count)))
        return json.loads(output.splitlines()[-1])

    few, many = run("our-memory", FEW), run("our-memory", MANY)
    usual = run("usual-memory", MANY)
    aims = [Aim("MiB above TensorFlow", many["mib"], MAX_MIB)]
    notes = [
        f"TensorFlow itself, imported: {many['tensorflow_mib']:.0f} MiB. With "
        f"{FEW:,} crops: {few['mib']:.0f} MiB more. The usual way's figure is "
        "extrapolated from 2,000 crops.",
        f"Reading, cutting and resizing {MANY:,} crops: {many['read_s']:.0f} s.",
    ]
    what = f"train_model.py, most memory with {MANY:,} crops, above TensorFlow"
    return Row(what, "MiB", [usual["mib"]], [many["mib"]], [], aims, notes)


if __name__ == "__main__":
    main(measure, repetitions=3)
