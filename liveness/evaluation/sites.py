"""Sites left out: how they are dealt into folds, and the rates on them.

A part is what is left out as a whole: a site, or with ``within`` a group (such as
one person) of that site.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from liveness.constants import UNCHANGED
from liveness.data.dataset import Sample, require_both_labels
from liveness.errors import DatasetError
from liveness.evaluation.metrics import (
    draws_of_sources,
    equal_error,
    error_rates,
    interval,
    rates_calibrated,
    weights_of_sources,
)
from liveness.evaluation.report import NO_BOUND
from liveness.model.labels import LABELS

WIDE, TIGHT = "full frames", "crops"
FIGURES = {  # of a result that have a mean over sites, and how they are called
    "eer": "EER",
    "apcer": "APCER",
    "bpcer": "BPCER",
    "acer": "ACER",
    "acer_calibrated": "ACER calibrated",
}


@dataclass(frozen=True)
class Fold:
    """Samples that were left out, the part (site, person) of each, and the scores.

    ``changed`` has the scores after each change of light, colours or focus.
    """

    samples: list[Sample]
    parts: list[str]
    scores: np.ndarray
    changed: dict[str, np.ndarray] = field(default_factory=dict)


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
        if low == high:
            return f"{self.value:.1%} ({NO_BOUND})"
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"


def part_of(sample: Sample, within: str | None) -> str:
    """Return what is left out together with this sample: its site or its group."""
    return sample.site if sample.collection == within else sample.collection


def parts_shown(sample: Sample, within: str | None) -> set[str]:
    """Return the parts that a sample shows: of the face and of its background."""
    parts = {part_of(sample, within)}
    if sample.background:
        parts.add(part_of(replace(sample, site=sample.background), within))
    return parts


def split_parts(
    samples: Sequence[Sample],
    folds: int,
    seed: int,
    *,
    within: str | None = None,
    together: Sequence[set[str]] = (),
) -> list[set[str]]:
    """Split the sites that have attacks into folds at random.

    Args:
        samples: Of all sites.
        folds: 2 or more.
        seed: Seed of the split.
        within: Split the groups of this site instead.
        together: Sites that belong in one fold, such as two of one room or person; no
            site is in two of these sets.

    Raises:
        DatasetError: If there are fewer such sites or groups than folds, or one that
            belongs together with others is not there.
    """
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
            f"cannot split {len(parts)} {what} with attacks into {folds} folds: "
            f"expected 2 folds or more, and at least as many {what}; a site is a "
            f"folder with {' and '.join(LABELS)} inside a dataset folder"
        )
    if absent := sorted(set().union(*together) - {part_of(s, within) for s in samples}):
        raise DatasetError(
            f"no {', '.join(absent)} in the dataset to keep together with others"
        )
    order = np.random.default_rng(seed).permutation(sorted(parts))
    return _split_together(list(map(str, order)), folds, together)


def _split_together(
    parts: Sequence[str], folds: int, together: Sequence[set[str]]
) -> list[set[str]]:
    """Give each part in turn to the smallest fold; related parts go together."""
    split: list[set[str]] = [set() for _ in range(folds)]
    for part in parts:
        if any(part in fold for fold in split):
            continue
        related = next((group for group in together if part in group), {part})
        smallest = min(split, key=len)
        smallest.update(related & set(parts))
    return split


def check_folds(
    samples: Sequence[Sample], split: Sequence[set[str]], *, within: str | None = None
) -> None:
    """Refuse, before long training, folds that would leave no threshold.

    Raises:
        DatasetError: If the parts of the other folds lack a label.
    """
    parts = set().union(*split)
    for held_out in split:
        others = parts - held_out
        names = ", ".join(sorted(others))
        require_both_labels(
            [s for s in samples if part_of(s, within) in others],
            f"{names}, which the threshold of another fold would come from,",
        )


def threshold_without(folds: Sequence[Fold], number: int) -> float:
    """Return the threshold of equal error on all other folds, parts weighed alike."""
    others = [fold for other, fold in enumerate(folds) if other != number]
    attacks = [sample.attack for fold in others for sample in fold.samples]
    parts = [part for fold in others for part in fold.parts]
    weights = weights_of_sources(parts, attacks)
    scores = np.concatenate([fold.scores for fold in others])
    return equal_error(scores, attacks, weights=weights)[1]


def rates_by_part(fold: Fold, threshold: float) -> list[SiteResult]:
    """Return the rates of each part by kind of crop and attack.

    A part with a single class has none.
    """
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
        calibrated = rates_calibrated(scores, attacks)
        results.append(
            SiteResult(
                site=site,
                kind=kind,
                attack=attack,
                faces=len(rows),
                threshold=threshold,
                eer=rates.eer,
                auc=rates.auc,
                apcer=rates.apcer,
                bpcer=rates.bpcer,
                acer=rates.acer,
                acer_calibrated=calibrated and sum(calibrated) / 2,
            )
        )
    return results


def results_of(folds: Sequence[Fold]) -> dict[str, list[SiteResult]]:
    """Collect the results of all folds, by change; ``UNCHANGED`` comes first."""
    results: dict[str, list[SiteResult]] = {}
    for number, fold in enumerate(folds):
        threshold = threshold_without(folds, number)
        for name, scores in {UNCHANGED: fold.scores, **fold.changed}.items():
            changed = replace(fold, scores=scores)
            results.setdefault(name, []).extend(rates_by_part(changed, threshold))
    return results


def means(results: Sequence[SiteResult]) -> dict[str, dict[str, Mean]]:
    """Average each figure over sites, by kind of crop and attack.

    A site that lacks a figure does not count in it.
    """
    averages: dict[str, dict[str, Mean]] = {}
    groups = {(result.kind, result.attack) for result in results}
    for kind, attack in sorted(groups):
        rows = [row for row in results if (row.kind, row.attack) == (kind, attack)]
        count = f"{len(rows)} {'site' if len(rows) == 1 else 'sites'}"
        figures = averages[f"{kind}, {attack}, {count}"] = {}
        for figure, name in FIGURES.items():
            values = {row.site: getattr(row, figure) for row in rows}
            known = {site: value for site, value in values.items() if value is not None}
            if known:
                figures[name] = _mean(known)
    return averages


def _mean(by_site: dict[str, float]) -> Mean:
    """Average over sites; the interval is bootstrapped over them."""
    values = np.array(list(by_site.values()))
    ends = None
    if len(values) > 1:
        draws = draws_of_sources(list(by_site))
        ends = interval([float(values[rows].mean()) for rows in draws])
    return Mean(float(values.mean()), ends, len(values))
