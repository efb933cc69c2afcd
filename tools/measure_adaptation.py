"""Measure how adapting to one camera changes a model, on sites that it never saw.

    python -m tools.measure_adaptation -d DATA gathered -m model.h5 --sites office lab

Each site stands for a camera of one's own. The model is adapted to faces of the first
half of its films, as by train_model.py --start-from, and judges the second half, and
the other sites named. Beside it: the model as it is, and calibrated on the same faces.
A base without a site comes from train_model.py --never-train SITE.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from liveness.cli.arguments import make_parser, positive_int
from liveness.cli.run import run
from liveness.constants import EXIT_OK
from liveness.data.dataset import Sample, read_dataset, require_sites
from liveness.evaluation.metrics import equal_error
from liveness.model.card import ModelCard, read_card
from liveness.model.keras_files import import_keras, load_keras_model
from liveness.model.labels import LABELS
from liveness.model.paths import find_model
from liveness.processes import set_up_logging
from liveness.training.moments import read_moments
from liveness.training.pixels import load_pixels
from liveness.training.recipe import TrainingOptions

if TYPE_CHECKING:
    from liveness.training.adaptation import Features

SCRATCH_EPOCHS = 10  # of a network that is trained from nothing
LEAST_HALF = 15  # faces of each class in the second half of a site that is measured


@dataclass(frozen=True)
class Camera:
    """A site and kind of crop, and the halves of its films: rows of all samples."""

    name: str
    first: dict[str, list[int]]  # by label
    second: list[int]


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of this script."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "-d", "--dataset", type=Path, nargs="+", required=True, metavar="DIR"
    )
    parser.add_argument(
        "-m", "--model", type=Path, required=True, help="never trained on the sites"
    )
    parser.add_argument("--sites", nargs="+", required=True, metavar="SITE")
    parser.add_argument(
        "--faces",
        type=positive_int,
        nargs="+",
        default=[30, 60, 120],
        metavar="N",
        help="faces of each class to adapt to",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--real-alone",
        action="store_true",
        help="adapt to the real faces and simulated attacks of them",
    )
    how.add_argument(
        "--scratch",
        action="store_true",
        help="instead of adapting, train a new small network on the same faces",
    )
    return parser


def cameras(samples: Sequence[Sample]) -> Iterator[Camera]:
    """Yield the sites with both labels, else the collections; by kind of crop."""
    both: dict[str, set[str]] = {}
    for sample in samples:
        both.setdefault(sample.site, set()).add(sample.label)
    groups: dict[str, list[int]] = {}
    for row, sample in enumerate(samples):
        is_whole = len(both[sample.site]) == len(LABELS)
        name = sample.site if is_whole else sample.collection
        kind = "full frames" if sample.has_surroundings else "crops"
        groups.setdefault(f"{name} {kind}", []).append(row)
    for name, rows in sorted(groups.items()):
        first: dict[str, list[int]] = {}
        second: list[int] = []
        for label in LABELS:
            ordered = [row for row in rows if samples[row].label == label]
            ordered.sort(key=lambda row: (samples[row].site, samples[row].frame, row))
            first[label] = ordered[: len(ordered) // 2]
            second += ordered[len(ordered) // 2 :]
        labels = [samples[row].label for row in second]
        if min(labels.count(label) for label in LABELS) >= LEAST_HALF:
            yield Camera(name, first, second)


def spread(rows: Sequence[int], count: int) -> list[int]:
    """So many rows over all of them, in order; all if there are fewer."""
    count = min(count, len(rows))
    return [rows[place] for place in np.linspace(0, len(rows) - 1, count).astype(int)]


class Study:
    """Adapts one model to cameras and measures it on faces.

    Args:
        samples: Of the sites, which the model never saw.
        model: Keras file.
    """

    def __init__(self, samples: Sequence[Sample], model: Path) -> None:
        from liveness.training.adaptation import FeatureReader
        from livenessnet import LivenessNet

        paths = find_model(model, None)
        self.card: ModelCard = read_card(paths.card)
        self._options = TrainingOptions(
            input_size_px=self.card.input_size_px, view_scales=self.card.view_scales
        )
        self._reader = FeatureReader(load_keras_model(paths.model), LivenessNet)
        pixels = load_pixels(samples, self._options, progress="faces")
        self.samples = pixels.samples
        self.is_real = np.array([sample.is_bona_fide for sample in self.samples])
        self._features = self._reader.read(pixels)
        self._moments = read_moments(paths.moments, self.card.model_sha256)
        self.scores = self._features.scores

    def adapt(self, rows: Sequence[int]) -> tuple[np.ndarray, float]:
        """Adapt to these faces; scores of all faces, and the threshold."""
        shown = [self.samples[row] for row in rows]
        features = self._features.rows(np.array(rows))
        return self._adapted(features, shown)

    def _adapted(
        self, features: "Features", shown: Sequence[Sample]
    ) -> tuple[np.ndarray, float]:
        """Fit to these faces; scores of all faces, and the threshold."""
        from liveness.training import adaptation

        threshold = self.card.threshold
        how = {"threshold": threshold, "moments": self._moments}
        elsewhere = adaptation.scores_elsewhere(features, shown, **how)
        correction = adaptation.fit_correction(features, shown, **how)
        is_real = np.array([sample.is_bona_fide for sample in shown])
        chosen = adaptation.choose_threshold(elsewhere, is_real, threshold)
        return correction.scores(self._features), chosen

    def adapt_to_real(self, rows: Sequence[int]) -> tuple[np.ndarray, float]:
        """Adapt to the bona fide ones of these faces and simulated attacks of them."""
        real = [self.samples[row] for row in rows if self.is_real[row]]
        pixels = load_pixels(real, self._options, simulate_attacks=True)
        features = self._reader.read(pixels)
        return self._adapted(features, pixels.samples)

    def train(self, rows: Sequence[int]) -> tuple[np.ndarray, float]:
        """Train a new network on three quarters of these faces; the rest validate."""
        from liveness.training.fit import score, train
        from livenessnet import LivenessNet

        options = TrainingOptions(epochs=SCRATCH_EPOCHS, batch_size=32)
        shown = [self.samples[row] for row in rows]
        first = [sample for place, sample in enumerate(shown) if place % 4]
        last = load_pixels(shown[::4], options)
        training = load_pixels(first, options, to_train=True)
        model, _ = train(training, None, LivenessNet, options)
        threshold = equal_error(score(model, last), last.attacks)[1]
        return score(model, load_pixels(self.samples, options)), threshold

    def acer(self, scores: np.ndarray, rows: Sequence[int], threshold: float) -> float:
        """ACER of some faces, 0 to 1."""
        from liveness.training.adaptation import mean_error

        rows = list(rows)
        return mean_error(scores[rows], self.is_real[rows], threshold)

    def calibrated(self, rows: Sequence[int]) -> float:
        """Return the threshold of equal error on these faces."""
        attacks = [self.samples[row].attack for row in rows]
        return equal_error(self.scores[list(rows)], attacks)[1]


def measure(
    study: Study, faces: int, change: Callable
) -> list[tuple[str, list[float]]]:
    """Measure every camera.

    Args:
        study: The model and the faces.
        faces: Of each class.
        change: ``Study.adapt`` or what takes its place.

    Returns:
        Name and ACER of each camera: as it is, calibrated, changed; and of the others
        before and after.
    """
    results = []
    places = list(cameras(study.samples))
    for camera in places:
        rows = [row for label in LABELS for row in spread(camera.first[label], faces)]
        scores, threshold = change(rows)
        name = study.samples[camera.second[0]].collection
        others = [
            row
            for other in places
            for row in other.second
            if study.samples[row].collection != name
        ]
        base = study.card.threshold
        rates = [
            study.acer(study.scores, camera.second, base),
            study.acer(study.scores, camera.second, study.calibrated(rows)),
            study.acer(scores, camera.second, threshold),
        ]
        if others:
            rates += [
                study.acer(study.scores, others, base),
                study.acer(scores, others, threshold),
            ]
        results.append((camera.name, rates))
    return results


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table."""
    arguments = build_parser().parse_args(argv)
    set_up_logging(verbose=arguments.verbose)
    samples = read_dataset(arguments.dataset)
    require_sites(samples, arguments.sites)
    import_keras()
    chosen = [sample for sample in samples if sample.collection in arguments.sites]
    study = Study(chosen, arguments.model)
    change = study.adapt
    if arguments.real_alone:
        change = study.adapt_to_real
    elif arguments.scratch:
        change = study.train
    for faces in arguments.faces:
        start = time.monotonic()
        results = measure(study, faces, change)
        print(f"\n{faces} faces of each class, ACER")
        print(f"{'camera':<32}{'base':>8}{'calibr.':>9}{'adapted':>9}{'others':>17}")
        for name, rates in [*results, ("mean", _means(results))]:
            own = "".join(f"{rate:>9.1%}" for rate in rates[:3])
            rest = " -> ".join(f"{rate:.1%}" for rate in rates[3:])
            print(f"{name:<31}{own}{rest:>17}")
        worse = sum(rates[2] > rates[0] for _, rates in results)
        seconds = (time.monotonic() - start) / len(results)
        print(f"worse than the base: {worse} of {len(results)}; {seconds:.0f} s each")
    return EXIT_OK


def _means(results: Sequence[tuple[str, list[float]]]) -> list[float]:
    """Return mean of each column over the cameras that have it."""
    columns = max(len(rates) for _, rates in results)
    return [
        float(np.mean([rates[column] for _, rates in results if column < len(rates)]))
        for column in range(columns)
    ]


if __name__ == "__main__":
    sys.exit(run(main))
