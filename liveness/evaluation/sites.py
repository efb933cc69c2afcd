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
    """What is left out together with this sample: its site, or its group."""
    return sample.site if sample.collection == within else sample.collection


def parts_shown(sample: Sample, within: str | None) -> set[str]:
    """The parts whose pictures it holds: that of the face, and of its background."""
    parts = {part_of(sample, within)}
    if sample.background:
        parts.add(part_of(replace(sample, site=sample.background), within))
    return parts


def deal_parts(
    samples: Sequence[Sample],
    folds: int,
    seed: int,
    *,
    within: str | None = None,
    together: Sequence[set[str]] = (),
) -> list[set[str]]:
    """The sites that have attacks, dealt into folds at random.

    Args:
        samples: Of all sites.
        folds: 2 or more.
        seed: Of the dealing.
        within: Deal the groups of this site instead.
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
            f"{len(parts)} {what} with attacks cannot be dealt into {folds} folds: "
            f"expected 2 folds or more, and as many {what} at least; a site is a "
            f"folder with {' and '.join(LABELS)} inside a dataset folder"
        )
    if absent := sorted(set().union(*together) - {part_of(s, within) for s in samples}):
        raise DatasetError(
            f"no {', '.join(absent)} in the dataset to keep together with others"
        )
    dealt = np.random.default_rng(seed).permutation(sorted(parts))
    return _dealt_together(list(map(str, dealt)), folds, together)


def _dealt_together(
    parts: Sequence[str], folds: int, together: Sequence[set[str]]
) -> list[set[str]]:
    """Parts in an order, dealt in turn; related ones follow the first of them."""
    dealt: list[set[str]] = [set() for _ in range(folds)]
    for part in parts:
        if any(part in fold for fold in dealt):
            continue
        related = next((group for group in together if part in group), {part})
        smallest = min(dealt, key=len)
        smallest.update(related & set(parts))
    return dealt


def check_folds(
    samples: Sequence[Sample], dealt: Sequence[set[str]], *, within: str | None = None
) -> None:
    """Refuse, before long training, folds that would leave no threshold.

    Raises:
        DatasetError: If the parts of the other folds lack a label.
    """
    every = set().union(*dealt)
    for held_out in dealt:
        left = every - held_out
        names = ", ".join(sorted(left))
        require_both_labels(
            [s for s in samples if part_of(s, within) in left],
            f"{names}, which the threshold of another fold would come from,",
        )


def threshold_without(folds: Sequence[Fold], number: int) -> float:
    """Equal error on the folds but this one; each part counts alike."""
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


def results_of(folds: Sequence[Fold]) -> dict[str, list[SiteResult]]:
    """Of all folds, by change: first as the faces are, then after each change."""
    results: dict[str, list[SiteResult]] = {}
    for number, fold in enumerate(folds):
        threshold = threshold_without(folds, number)
        for name, scores in {UNCHANGED: fold.scores, **fold.changed}.items():
            seen = replace(fold, scores=scores)
            results.setdefault(name, []).extend(rates_by_part(seen, threshold))
    return results


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
    values = np.array(list(by_site.values()))
    ends = None
    if len(values) > 1:
        draws = draws_of_sources(list(by_site))
        ends = interval([float(values[rows].mean()) for rows in draws])
    return Mean(float(values.mean()), ends, len(values))
