"""Measure how training holds on sites that it never saw.

python leave_sites_out.py -d DATA gathered --simulate-attacks --json table.json

The sites are dealt into folds. For each fold a network is trained on the other
sites, its threshold is chosen on some of those, and the sites of the fold are
scored. Crops with and without surroundings are reported apart.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
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
class SiteResult:
    """Rates on one site that was left out, at its fold's threshold."""

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
) -> "tuple[list[Sample], np.ndarray, float]":
    """Train without some sites and score them.

    Returns:
        The samples of the sites, (N,) scores, and the fold's threshold.
    """
    from liveness.dataset import require_both_labels, split_samples
    from liveness.metrics import equal_error
    from liveness.training import SIMULATED, score, train
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
    _, threshold = equal_error(score(model, validation), validation.attacks)
    return left_out.samples, score(model, left_out), threshold


def rates_by_site(
    samples: "Sequence[Sample]", scores: "np.ndarray", threshold: float
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
        rates = error_rates(np.asarray(scores)[rows], attacks, threshold=threshold)
        results.append(
            SiteResult(
                site,
                kind,
                "+".join(sorted(set(attacks) - {""})),
                len(rows),
                threshold,
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
        f"{'site':<10}{'kind':<13}{'attack':<10}{'faces':>6}{'EER':>8}{'AUC':>7}"
        f"{'APCER':>8}{'BPCER':>8}{'ACER':>8}"
    ]
    for one in sorted(results, key=lambda one: (one.kind, one.site)):
        lines.append(
            f"{one.site:<10}{one.kind:<13}{one.attack:<10}{one.faces:>6}"
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
    from liveness.model_files import import_keras

    samples = read_dataset(arguments.dataset)
    folds = deal_sites(samples, arguments.folds, arguments.seed)
    import_keras()  # first, and without TensorFlow's start-up notes
    from liveness.training import TrainingOptions, load_pixels

    options = TrainingOptions(epochs=arguments.epochs, seed=arguments.seed)
    pixels = load_pixels(
        samples,
        options,
        simulate_attacks=arguments.simulate_attacks,
        progress="faces",
    )
    results: list[SiteResult] = []
    scored: list[tuple[Sample, float]] = []
    for number, held_out in enumerate(folds, 1):
        logger.info("fold %d leaves out %s", number, ", ".join(sorted(held_out)))
        faces, scores, threshold = measure_fold(pixels, held_out, options)
        results += rates_by_site(faces, scores, threshold)
        scored += zip(faces, scores, strict=True)
        logger.info("%s", table(results))
    print(table(results))
    if arguments.json:
        content = {"sites": list(map(asdict, results)), "means": means(results)}
        write_atomically(arguments.json, json.dumps(content, indent=2).encode())
    if arguments.scores:
        import numpy as np

        rows = [(str(s.path), s.attack, s.site) for s, _ in scored]
        paths, attacks, sources = zip(*rows, strict=True)
        values = np.array([value for _, value in scored])
        faces = ScoredFaces(paths, attacks, sources, values)
        write_scores(arguments.scores, faces)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(run(main))
