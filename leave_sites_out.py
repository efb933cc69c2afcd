"""Measure how training holds on sites that it never saw.

python leave_sites_out.py -d DATA gathered --simulate-attacks --json table.json

The sites are dealt into folds. For each fold a network is trained on the other
sites, its threshold is chosen on some of those, and the sites of the fold are
scored. Crops with and without surroundings are reported apart, and for those with
surroundings also what each view of the network tells by itself.
"""

import argparse
import contextlib
import functools
import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from liveness.cli import (
    EXIT_OK,
    make_parser,
    positive_int,
    run,
    seed_number,
    set_up_logging,
)
from liveness.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np

    from liveness.dataset import Sample
    from liveness.training import Pixels, TrainingOptions

VALIDATION_SHARE = 0.15  # of the training sites; they choose epoch and threshold
WIDE, TIGHT = "full frames", "crops"

logger = logging.getLogger("liveness.leave_sites_out")


@dataclass(frozen=True)
class Scored:
    """(N,) probabilities of bona fide, and the threshold of their network."""

    scores: "np.ndarray"
    threshold: float


@dataclass(frozen=True)
class SiteResult:
    """Rates on one site that was left out, at its fold's threshold."""

    site: str
    kind: str  # crops or full frames, and which view where it is one alone
    attack: str
    faces: int
    threshold: float
    eer: float
    auc: float
    apcer: float
    bpcer: float
    acer: float


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
        help="dataset folders with several sites",
    )
    parser.add_argument("--folds", type=positive_int, default=5, metavar="N")
    parser.add_argument("--epochs", type=positive_int, default=12, metavar="N")
    parser.add_argument("--seed", type=seed_number, default=7, metavar="N")
    parser.add_argument(
        "--simulate-attacks", action="store_true", help="as in train_model.py"
    )
    parser.add_argument(
        "--jobs",
        type=positive_int,
        default=1,
        metavar="N",
        help="folds trained at the same time, each with its share of the cores",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    parser.add_argument(
        "--scores", type=Path, metavar="CSV", help="write the score of each face"
    )
    return parser


def deal_sites(samples: "Sequence[Sample]", folds: int, seed: int) -> list[set[str]]:
    """The sites that have attacks, dealt into folds at random.

    Raises:
        DatasetError: If there are fewer such sites than folds.
    """
    import numpy as np

    sites = sorted({s.collection for s in samples if not s.is_bona_fide})
    if len(sites) < folds or folds < 2:
        raise DatasetError(
            f"{len(sites)} sites with attacks cannot be dealt into {folds} folds: "
            "expected at least two folds and a site for each"
        )
    dealt = np.random.default_rng(seed).permutation(sites)
    return [set(map(str, dealt[number::folds])) for number in range(folds)]


def measure_fold(
    pixels: "Pixels", held_out: set[str], options: "TrainingOptions"
) -> tuple[list["Sample"], dict[str, "Scored"]]:
    """Train without some sites and score them.

    Returns:
        The samples of the sites, and what all views together (named "") and each
        view alone make of them.
    """
    import keras

    from liveness.dataset import require_both_labels, split_samples
    from liveness.metrics import equal_error
    from liveness.training import SIMULATED, outputs_of, score, train, view_names
    from livenessnet import LivenessNet

    filmed = pixels.only(lambda s: not s.attack.startswith(SIMULATED))
    others = [s for s in filmed.samples if s.collection not in held_out]
    require_both_labels(others, f"what is left without {', '.join(sorted(held_out))}")
    kept, chosen, _ = split_samples(
        others, validation_share=VALIDATION_SHARE, seed=options.seed
    )
    # By path: a simulated attack goes where the face that it shows goes.
    kept_paths, chosen_paths = {s.path for s in kept}, {s.path for s in chosen}
    training = pixels.only(lambda s: s.path in kept_paths)
    validation = filmed.only(lambda s: s.path in chosen_paths)
    left_out = filmed.only(lambda s: s.collection in held_out)
    model, _ = train(training, validation, LivenessNet.build, options)
    models = {"": model}
    for name in view_names(model):
        models[name] = keras.Model(model.inputs, outputs_of(model, name))
    scored = {}
    for name, one in models.items():
        _, threshold = equal_error(score(one, validation), validation.attacks)
        scored[name] = Scored(score(one, left_out), threshold)
    return left_out.samples, scored


def run_fold(
    arguments: argparse.Namespace, number: int
) -> tuple[list["Sample"], dict[str, "Scored"]]:
    """Load the data and measure one fold; a process of its own may call it."""
    set_up_logging(verbose=arguments.verbose)
    from liveness.dataset import read_dataset
    from liveness.model_files import import_keras

    import_keras()  # first, and without TensorFlow's start-up notes
    import tensorflow as tf

    from liveness.training import TrainingOptions, load_pixels

    if arguments.jobs > 1:
        cores = max(1, (os.cpu_count() or 1) // arguments.jobs)
        tf.config.threading.set_intra_op_parallelism_threads(cores)
    samples = read_dataset(arguments.dataset)
    held_out = deal_sites(samples, arguments.folds, arguments.seed)[number]
    logger.info("fold %d leaves out %s", number + 1, ", ".join(sorted(held_out)))
    options = TrainingOptions(epochs=arguments.epochs, seed=arguments.seed)
    pixels = load_pixels(
        samples,
        options,
        simulate_attacks=arguments.simulate_attacks,
        progress=f"faces for fold {number + 1}",
    )
    return measure_fold(pixels, held_out, options)


def rates_by_site(
    samples: "Sequence[Sample]", scored: "dict[str, Scored]"
) -> list[SiteResult]:
    """Rates of each site, crops and full frames apart; one class only is left out."""
    import numpy as np

    from liveness.metrics import error_rates

    results = []
    keys = [(s.collection, WIDE if s.crop_scale else TIGHT) for s in samples]
    for site, kind in sorted(set(keys)):
        rows = [number for number, key in enumerate(keys) if key == (site, kind)]
        attacks = [samples[row].attack for row in rows]
        if len({attack == "" for attack in attacks}) < 2:
            continue
        for view, one in scored.items():
            if view and kind == TIGHT:
                continue
            rates = error_rates(
                np.asarray(one.scores)[rows], attacks, threshold=one.threshold
            )
            results.append(
                SiteResult(
                    site,
                    f"{kind} {view}".strip(),
                    "+".join(sorted(set(attacks) - {""})),
                    len(rows),
                    one.threshold,
                    rates.eer,
                    rates.auc,
                    rates.apcer,
                    rates.bpcer,
                    rates.acer,
                )
            )
    return results


def table(results: Sequence[SiteResult]) -> str:
    """One line for each site and the means over sites of each kind."""
    lines = [
        f"{'site':<10}{'kind':<20}{'attack':<10}{'faces':>6}{'EER':>8}{'AUC':>7}"
        f"{'APCER':>8}{'BPCER':>8}{'ACER':>8}"
    ]
    for one in sorted(results, key=lambda one: (one.kind, one.site)):
        lines.append(
            f"{one.site:<10}{one.kind:<20}{one.attack:<10}{one.faces:>6}"
            f"{one.eer:>8.1%}{one.auc:>7.3f}{one.apcer:>8.1%}{one.bpcer:>8.1%}"
            f"{one.acer:>8.1%}"
        )
    for name, figures in means(results).items():
        values = "  ".join(
            f"{figure} {value:.1%}"
            + (f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else "")
            for figure, (value, ends) in figures.items()
        )
        lines.append(f"mean over sites, {name}: {values}")
    return "\n".join(lines)


def means(
    results: Sequence[SiteResult],
) -> dict[str, dict[str, tuple[float, tuple[float, float] | None]]]:
    """Mean over sites with its 95 % interval, by drawing sites, for each kind.

    One site alone has no interval.
    """
    import numpy as np

    from liveness.metrics import draws_of_sources, interval

    found: dict[str, dict[str, tuple[float, tuple[float, float] | None]]] = {}
    for kind, attack in sorted({(one.kind, one.attack) for one in results}):
        chosen = [one for one in results if (one.kind, one.attack) == (kind, attack)]
        draws = list(draws_of_sources([one.site for one in chosen]))
        figures = {}
        for figure in ("eer", "apcer", "bpcer", "acer"):
            values = np.array([getattr(one, figure) for one in chosen])
            ends = None
            if len(chosen) > 1:
                ends = interval([float(values[rows].mean()) for rows in draws])
            figures[figure.upper()] = (float(values.mean()), ends)
        found[f"{kind}, {attack}, {len(chosen)} sites"] = figures
    return found


def main(argv: list[str] | None = None) -> int:
    """Train and score every fold, and print the table."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    from liveness.dataset import read_dataset
    from liveness.evaluation import ScoredFaces, write_scores
    from liveness.files import write_atomically

    # Bad input ends here, before anything long.
    deal_sites(read_dataset(arguments.dataset), arguments.folds, arguments.seed)
    measure = functools.partial(run_fold, arguments)
    results: list[SiteResult] = []
    faces: list[tuple[Sample, float]] = []
    with contextlib.ExitStack() as stack:
        in_turn: Callable = map
        if arguments.jobs > 1:
            # Started afresh: TensorFlow does not survive a fork.
            context = multiprocessing.get_context("spawn")
            workers = ProcessPoolExecutor(arguments.jobs, mp_context=context)
            in_turn = stack.enter_context(workers).map
        for samples, scored in in_turn(measure, range(arguments.folds)):
            results += rates_by_site(samples, scored)
            faces += zip(samples, scored[""].scores, strict=True)
            logger.info("%s", table(results))
    print(table(results))
    if arguments.json:
        content = {"sites": list(map(asdict, results)), "means": means(results)}
        write_atomically(arguments.json, json.dumps(content, indent=2).encode())
    if arguments.scores:
        import numpy as np

        rows = [(str(s.path), s.attack, s.site) for s, _ in faces]
        paths, attacks, sources = zip(*rows, strict=True)
        values = np.array([value for _, value in faces])
        write_scores(arguments.scores, ScoredFaces(paths, attacks, sources, values))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
