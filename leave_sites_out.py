"""Measure how training holds on sites that it never saw.

python leave_sites_out.py -d DATA gathered --simulate-attacks --scores scores.csv

The sites are dealt into folds. For each fold a network is trained on the other
sites, and scores the sites of the fold. The threshold that a site is measured at
comes from the scores of the other folds: none of its own has a say in it. "calibr." is
the ACER with a threshold of the site's own: each half of its faces is measured at
that of the other half. Crops with and without surroundings are reported apart.
--within SITE leaves out the groups (people) of that one site instead. --jobs 2
trains two folds at a time.
"""

import argparse
import json
import logging
import multiprocessing
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveness.cli import (
    EXIT_OK,
    make_parser,
    positive_int,
    run,
    seed_number,
    set_up_logging,
)
from liveness.errors import DatasetError, OutputError
from liveness.labels import LABELS

if TYPE_CHECKING:
    import numpy as np

    from liveness.dataset import Sample
    from liveness.training import Pixels, TrainingOptions

WIDE, TIGHT = "full frames", "crops"
FIGURES = {  # of a result that have a mean over sites, and how they are called
    "eer": "EER",
    "apcer": "APCER",
    "bpcer": "BPCER",
    "acer": "ACER",
    "acer_calibrated": "ACER calibrated",
}

logger = logging.getLogger("liveness.leave_sites_out")

_worker: dict[str, Any] = {}  # what a process for folds keeps from one to the next


@dataclass(frozen=True)
class Fold:
    """Samples that were left out, the part (site, person) of each, and the scores.

    ``changed`` has the scores after each change of light, colours or focus.
    """

    samples: "list[Sample]"
    parts: list[str]
    scores: "np.ndarray"
    changed: "dict[str, np.ndarray]" = field(default_factory=dict)


@dataclass(frozen=True)
class SiteResult:
    """Rates on one part that was left out, real faces and one kind of attack.

    The threshold is its fold's.
    ``acer_calibrated`` is at thresholds of its own, see ``rates_calibrated``.
    """

    site: str
    kind: str  # crops or full frames
    attack: str
    faces: int
    threshold: float
    eer: float
    auc: float
    apcer: float
    bpcer: float
    acer: float
    acer_calibrated: float | None


@dataclass(frozen=True)
class Mean:
    """Of a figure over so many sites, with its 95 % interval; one site has none."""

    value: float
    interval: tuple[float, float] | None
    sites: int

    def __str__(self) -> str:
        """In percent."""
        if self.interval is None:
            return f"{self.value:.1%}"
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"


def build_parser() -> argparse.ArgumentParser:
    """Arguments of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-d",
        "--dataset",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="dataset folders that hold the sites: DIR/site/real, DIR/site/fake",
    )
    parser.add_argument(
        "--within",
        metavar="SITE",
        help="leave out groups of this site, and train on the rest and all others",
    )
    parser.add_argument(
        "--folds",
        type=folds_number,
        default=5,
        metavar="N",
        help="parts that the sites are dealt into, 2 or more",
    )
    parser.add_argument(
        "--epochs",
        type=positive_int,
        default=30,
        metavar="N",
        help="of each training",
    )
    parser.add_argument(
        "--networks",
        type=positive_int,
        default=1,
        metavar="N",
        help="as in train_model.py",
    )
    parser.add_argument(
        "--seed",
        type=seed_number,
        default=7,
        metavar="N",
        help="of the dealing and of the trainings",
    )
    parser.add_argument(
        "--simulate-attacks", action="store_true", help="as in train_model.py"
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=1,
        metavar="N",
        help="folds at a time, each in a process with its share of the processors, "
        "2.5 GB of memory or more, and all faces in the folder for temporary files",
    )
    parser.add_argument(
        "--changes",
        action="store_true",
        help="also measure the faces left out in other light, colours and focus",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--scores", type=Path, metavar="CSV", help="write the score of each face"
    )
    return parser


def folds_number(text: str) -> int:
    """argparse type: parts of which one is left out and the others train."""
    count = positive_int(text)
    if count < 2:
        raise argparse.ArgumentTypeError(f"expected 2 or more, received {text!r}")
    return count


def part_of(sample: "Sample", within: str | None) -> str:
    """What is left out together with this sample: its site, or its group."""
    return sample.site if sample.collection == within else sample.collection


def parts_shown(sample: "Sample", within: str | None) -> set[str]:
    """The parts whose pictures it holds: that of the face, and of its background."""
    parts = {part_of(sample, within)}
    if sample.background:
        parts.add(part_of(replace(sample, site=sample.background), within))
    return parts


def deal_parts(
    samples: "Sequence[Sample]", folds: int, seed: int, *, within: str | None = None
) -> list[set[str]]:
    """The sites that have attacks, dealt into folds at random.

    Args:
        samples: Of all sites.
        folds: 2 or more.
        seed: Of the dealing.
        within: Deal the groups of this site instead.

    Raises:
        DatasetError: If there are fewer such sites or groups than folds.
    """
    import numpy as np

    parts = {
        part_of(s, within)
        for s in samples
        if not s.is_bona_fide and within in (None, s.collection)
    }
    if within and not parts:
        there = sorted({s.collection for s in samples if not s.is_bona_fide})
        raise DatasetError(
            f"no site '{within}' with attacks in the dataset: expected one of "
            f"{', '.join(there)}"
        )
    what = f"groups of {within}" if within else "sites"
    if len(parts) < folds or folds < 2:
        raise DatasetError(
            f"{len(parts)} {what} with attacks cannot be dealt into {folds} folds: "
            "expected at least two folds and one for each; a site is a folder with "
            f"{' and '.join(LABELS)} inside a dataset folder"
        )
    dealt = np.random.default_rng(seed).permutation(sorted(parts))
    return [set(map(str, dealt[number::folds])) for number in range(folds)]


def check_folds(
    samples: "Sequence[Sample]", dealt: Sequence[set[str]], *, within: str | None = None
) -> None:
    """Refuse, before long training, folds that would leave no threshold.

    Raises:
        DatasetError: If the parts of the other folds lack a label.
    """
    from liveness.dataset import require_both_labels

    every = set().union(*dealt)
    for held_out in dealt:
        left = every - held_out
        names = ", ".join(sorted(left))
        require_both_labels(
            [s for s in samples if part_of(s, within) in left],
            f"{names}, which the threshold of another fold would come from,",
        )


def measure_fold(
    to_train: "Pixels",
    filmed: "Pixels",
    held_out: set[str],
    options: "TrainingOptions",
    *,
    within: str | None = None,
    changes: bool = False,
) -> Fold:
    """Train without some parts and score them.

    Args:
        to_train: All samples as training reads them, with simulated attacks.
        filmed: The same samples as the apps feed them, without simulated attacks.
        held_out: Names of the parts that neither train nor choose anything.
        options: How to train.
        within: As in ``deal_parts``.
        changes: Score them after each of ``CHANGES``, too.
    """
    from liveness.changes import CHANGES
    from liveness.dataset import require_both_labels
    from liveness.training import load_pixels, score, train_average
    from livenessnet import LivenessNet

    training = to_train.only(lambda s: not held_out & parts_shown(s, within))
    names = ", ".join(sorted(held_out))
    require_both_labels(training.samples, f"what is left without {names}")
    left_out = filmed.only(lambda s: part_of(s, within) in held_out)
    model, _ = train_average(training, None, LivenessNet, options)
    changed = {
        name: score(model, load_pixels(left_out.samples, options, change=change))
        for name, change in (CHANGES if changes else {}).items()
    }
    parts = [part_of(sample, within) for sample in left_out.samples]
    return Fold(left_out.samples, parts, score(model, left_out), changed)


def measure_folds(
    samples: "Sequence[Sample]",
    dealt: Sequence[set[str]],
    options: "TrainingOptions",
    *,
    within: str | None = None,
    changes: bool = False,
    jobs: int = 1,
) -> Iterator[Fold]:
    """``measure_fold`` for each part, ``jobs`` at a time.

    Args:
        samples: Of all sites.
        dealt: Of ``deal_parts``.
        options: How to train, and whether attacks are simulated.
        within: As in ``deal_parts``.
        changes: As in ``measure_fold``.
        jobs: Processes. One trains in this one.

    Yields:
        The folds, in order.

    Raises:
        OutputError: If a process was killed, as for want of memory.
    """
    workers = min(jobs, len(dealt))
    if workers > 1:
        yield from _measure_in_processes(
            samples, dealt, options, within, changes, workers
        )
        return
    pixels = _read_pixels(samples, options, show_progress=True)
    for number, held_out in enumerate(dealt, 1):
        _log_start(number, held_out)
        yield measure_fold(*pixels, held_out, options, within=within, changes=changes)


def _measure_in_processes(
    samples: "Sequence[Sample]",
    dealt: Sequence[set[str]],
    options: "TrainingOptions",
    within: str | None,
    changes: bool,
    workers: int,
) -> Iterator[Fold]:
    """``measure_folds`` where each of several processes reads everything by itself.

    One network on all processors uses them worse than a network on each.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    is_verbose = logging.getLogger("liveness").isEnabledFor(logging.DEBUG)
    context = multiprocessing.get_context("spawn")  # TensorFlow survives no fork
    settings = (threads, is_verbose, samples, asdict(options), within, changes)
    with ProcessPoolExecutor(workers, context, _start_worker, settings) as pool:
        try:
            futures = [
                pool.submit(_measure_in_worker, number, held_out)
                for number, held_out in enumerate(dealt, 1)
            ]
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise OutputError(
                "the process of a fold ended unexpectedly: too little memory? "
                "Try --jobs 1"
            ) from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # else we wait for trainings that nobody needs
            raise


def _start_worker(
    threads: int,
    is_verbose: bool,
    samples: "Sequence[Sample]",
    options: dict[str, Any],
    within: str | None,
    changes: bool,
) -> None:
    """Prepare a process for folds."""
    from liveness.workers import obey_parent

    obey_parent()
    import cv2
    from tqdm import tqdm

    from liveness.model_files import import_keras

    tqdm.set_lock(threading.RLock())  # its own is left behind if we are terminated
    cv2.setNumThreads(threads)
    for kind in ("INTRAOP", "INTEROP"):
        os.environ.setdefault(f"TF_NUM_{kind}_THREADS", str(threads))
    import_keras()
    from liveness.training import TrainingOptions

    _worker["is_verbose"] = is_verbose
    _worker["how"] = {"within": within, "changes": changes}
    _worker["samples"], _worker["options"] = samples, TrainingOptions(**options)


def _measure_in_worker(number: int, held_out: set[str]) -> Fold:
    """One fold in a process for folds, whose every line says which."""
    options = _worker["options"]
    set_up_logging(verbose=_worker["is_verbose"])
    _log_start(number, held_out)
    set_up_logging(verbose=_worker["is_verbose"], prefix=f"fold {number}: ")
    if "pixels" not in _worker:
        _worker["pixels"] = _read_pixels(
            _worker["samples"], options, show_progress=number == 1
        )
    return measure_fold(*_worker["pixels"], held_out, options, **_worker["how"])


def _log_start(number: int, held_out: set[str]) -> None:
    logger.info("fold %d leaves out %s", number, ", ".join(sorted(held_out)))


def _read_pixels(
    samples: "Sequence[Sample]", options: "TrainingOptions", *, show_progress: bool
) -> "tuple[Pixels, Pixels]":
    """All samples as training reads them, and as the apps feed them."""
    from liveness.training import load_pixels

    to_train = load_pixels(
        samples,
        options,
        to_train=True,
        simulate_attacks=options.simulate_attacks,
        progress="training faces" if show_progress else None,
    )
    progress = "faces to score" if show_progress else None
    filmed = load_pixels(samples, options, progress=progress)
    if show_progress:  # once, not in each process
        for reason in sorted({*to_train.skipped, *filmed.skipped}):
            logger.warning("skipped: %s", reason)
    return to_train, filmed


def threshold_without(folds: Sequence[Fold], number: int) -> float:
    """Equal error on the folds but this one; each part counts alike."""
    import numpy as np

    from liveness.metrics import equal_error, weights_of_sources

    others = [fold for other, fold in enumerate(folds) if other != number]
    attacks = [sample.attack for fold in others for sample in fold.samples]
    parts = [part for fold in others for part in fold.parts]
    weights = weights_of_sources(parts, attacks)
    scores = np.concatenate([fold.scores for fold in others])
    return equal_error(scores, attacks, weights=weights)[1]


def rates_by_part(fold: Fold, threshold: float) -> list[SiteResult]:
    """Rates of each part and kind of attack, crops and full frames apart.

    A part with one class only is left out.
    """
    import numpy as np

    from liveness.metrics import error_rates, rates_calibrated

    results = []
    kinds = [WIDE if sample.has_surroundings else TIGHT for sample in fold.samples]
    keys = [
        (part, kind, sample.attack)
        for part, kind, sample in zip(fold.parts, kinds, fold.samples, strict=True)
    ]
    for site, kind, attack in sorted(set(keys)):
        wanted = {(site, kind, ""), (site, kind, attack)}
        if not attack or not wanted <= set(keys):
            continue
        rows = [number for number, key in enumerate(keys) if key in wanted]
        attacks = [keys[row][2] for row in rows]
        scores = np.asarray(fold.scores)[rows]
        rates = error_rates(scores, attacks, threshold=threshold)
        own = rates_calibrated(scores, attacks)
        results.append(
            SiteResult(
                site,
                kind,
                attack,
                len(rows),
                threshold,
                rates.eer,
                rates.auc,
                rates.apcer,
                rates.bpcer,
                rates.acer,
                own and sum(own) / 2,
            )
        )
    return results


def table(results: Sequence[SiteResult]) -> str:
    """One line for each site and the means over sites of each kind."""
    lines = [
        f"{'site':<18}{'kind':<13}{'attack':<10}{'faces':>6}{'EER':>8}{'AUC':>7}"
        f"{'APCER':>8}{'BPCER':>8}{'ACER':>8}{'calibr.':>9}"
    ]
    for one in sorted(results, key=lambda one: (one.kind, one.site, one.attack)):
        calibrated = one.acer_calibrated
        lines.append(
            f"{one.site:<18}{one.kind:<13}{one.attack:<10}{one.faces:>6}"
            f"{one.eer:>8.1%}{one.auc:>7.3f}{one.apcer:>8.1%}{one.bpcer:>8.1%}"
            f"{one.acer:>8.1%}" + ("" if calibrated is None else f"{calibrated:>9.1%}")
        )
    for name, figures in means(results).items():
        most = max(mean.sites for mean in figures.values())
        values = "  ".join(
            f"{figure} {mean}"
            + (f" over {mean.sites} of the sites" if mean.sites < most else "")
            for figure, mean in figures.items()
        )
        lines.append(f"mean over sites, {name}: {values}")
    return "\n".join(lines)


def means(results: Sequence[SiteResult]) -> dict[str, dict[str, Mean]]:
    """Mean of each figure over sites, for each kind of faces and attacks.

    A site without a figure does not count in it.
    """
    found: dict[str, dict[str, Mean]] = {}
    for kind, attack in sorted({(one.kind, one.attack) for one in results}):
        chosen = [one for one in results if (one.kind, one.attack) == (kind, attack)]
        count = f"{len(chosen)} {'site' if len(chosen) == 1 else 'sites'}"
        figures = found[f"{kind}, {attack}, {count}"] = {}
        for figure, name in FIGURES.items():
            values = {one.site: getattr(one, figure) for one in chosen}
            there = {site: one for site, one in values.items() if one is not None}
            if there:
                figures[name] = _mean(there)
    return found


def _mean(by_site: dict[str, float]) -> Mean:
    """Mean over sites; the interval comes from drawing sites."""
    import numpy as np

    from liveness.metrics import draws_of_sources, interval

    values = np.array(list(by_site.values()))
    ends = None
    if len(values) > 1:
        draws = draws_of_sources(list(by_site))
        ends = interval([float(values[rows].mean()) for rows in draws])
    return Mean(float(values.mean()), ends, len(values))


def table_of_changes(changed: dict[str, Sequence[SiteResult]]) -> str:
    """Means over sites, one line for each change, for each kind.

    Args:
        changed: The results by what was changed; the first are of the unchanged.
    """
    from liveness.evaluation import lines_of_changes

    means_of = {name: means(results) for name, results in changed.items()}
    lines = []
    for kind in next(iter(means_of.values())):
        figures = {
            name: [
                found[kind][rate].value for rate in ("APCER", "BPCER", "ACER", "EER")
            ]
            for name, found in means_of.items()
        }
        lines += ["", *lines_of_changes(kind, figures, width=34)]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Train and score every fold, and print the table."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.dataset import files_of, read_dataset
    from liveness.evaluation import UNCHANGED
    from liveness.files import check_output_files
    from liveness.model_files import import_keras

    outputs = [path for path in (arguments.scores, arguments.json) if path]
    check_output_files(outputs, inputs=files_of(arguments.dataset))
    samples = read_dataset(arguments.dataset)
    within = arguments.within
    dealt = deal_parts(samples, arguments.folds, arguments.seed, within=within)
    check_folds(samples, dealt, within=within)
    import_keras()  # first, and without TensorFlow's start-up notes
    from liveness.training import TrainingOptions

    options = TrainingOptions(
        epochs=arguments.epochs,
        seed=arguments.seed,
        simulate_attacks=arguments.simulate_attacks,
        networks=arguments.networks,
    )
    folds = []
    for fold in measure_folds(
        samples,
        dealt,
        options,
        within=within,
        changes=arguments.changes,
        jobs=arguments.jobs,
    ):
        folds.append(fold)
    results = _results(folds)
    print(table(results[UNCHANGED]))
    if arguments.changes:
        print(table_of_changes(results))
    if arguments.json:
        _write_table(arguments.json, results)
    if arguments.scores:
        _write_scores(arguments.scores, folds)
        if not within:
            logger.info("to train on all of it alike: %s", training_command(arguments))
    return EXIT_OK


def training_command(arguments: argparse.Namespace) -> str:
    """The command line of the same recipe on all sites, with these scores."""
    words = ["python", "train_model.py", "-d", *map(str, arguments.dataset)]
    words += ["--epochs", str(arguments.epochs), "--networks", str(arguments.networks)]
    words += ["--simulate-attacks"] * arguments.simulate_attacks
    return shlex.join([*words, "--threshold-from", str(arguments.scores)])


def _results(folds: Sequence[Fold]) -> dict[str, list[SiteResult]]:
    """Of all folds, as the faces are and after each change."""
    from liveness.evaluation import UNCHANGED

    results: dict[str, list[SiteResult]] = {}
    for number, fold in enumerate(folds):
        threshold = threshold_without(folds, number)
        for name, scores in {UNCHANGED: fold.scores, **fold.changed}.items():
            seen = replace(fold, scores=scores)
            results.setdefault(name, []).extend(rates_by_part(seen, threshold))
    return results


def _write_table(path: Path, results: dict[str, list[SiteResult]]) -> None:
    """The rows and means of the unchanged faces, and the means after each change."""
    from liveness.evaluation import UNCHANGED
    from liveness.files import write_atomically

    figures = {
        change: {
            kind: {name: asdict(mean) for name, mean in each.items()}
            for kind, each in means(rows).items()
        }
        for change, rows in results.items()
    }
    rows = list(map(asdict, results[UNCHANGED]))
    content = {"sites": rows, "means": figures[UNCHANGED]}
    if len(figures) > 1:
        content["changed"] = figures
    write_atomically(path, json.dumps(content, indent=2).encode())


def _write_scores(path: Path, folds: Sequence[Fold]) -> None:
    """The scores of all folds; train_model.py reads them."""
    import numpy as np

    from liveness.evaluation import ScoredFaces, write_scores

    samples = [sample for fold in folds for sample in fold.samples]
    faces = ScoredFaces(
        [str(sample.path) for sample in samples],
        [sample.attack for sample in samples],
        [part for fold in folds for part in fold.parts],
        np.concatenate([fold.scores for fold in folds]),
    )
    write_scores(path, faces)


if __name__ == "__main__":
    sys.exit(run(main))
