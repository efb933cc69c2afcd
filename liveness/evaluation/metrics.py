"""Error rates of presentation attack detection, by ISO/IEC 30107-3.

``scores`` are probabilities of bona fide; a score at the threshold or above is
accepted as bona fide. APCER is the share of attacks that are accepted, BPCER the
share of bona fide presentations that are refused, ACER their mean. The reported
APCER is that of the worst attack type. All rates lie between 0 and 1.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95  # of the intervals
FEW_FACES = 20  # of a class: with fewer each one is more than 5 % of a rate
APCER_POINTS = (0.10, 0.05, 0.01)  # BPCER10, BPCER20 and BPCER100 of the standard


@dataclass(frozen=True)
class ErrorRates:
    """Rates at one threshold, and rates that do not depend on one.

    EER and AUC are of all attacks together, ``bpcer_at_apcer`` of the attack type
    that is the worst at each threshold.
    """

    threshold: float
    apcer_by_attack: dict[str, float]
    bpcer: float
    eer: float
    auc: float
    bpcer_at_apcer: dict[str, float]

    @property
    def apcer(self) -> float:
        """Of the worst attack type."""
        return max(self.apcer_by_attack.values())

    @property
    def acer(self) -> float:
        """Mean of the worst APCER and BPCER."""
        return (self.apcer + self.bpcer) / 2

    def as_json(self) -> dict:
        """Return all rates as JSON values."""
        return {
            "threshold": self.threshold,
            "apcer_by_attack": self.apcer_by_attack,
            "apcer": self.apcer,
            "bpcer": self.bpcer,
            "acer": self.acer,
            "eer": self.eer,
            "auc": self.auc,
            "bpcer_at_apcer": self.bpcer_at_apcer,
        }


def error_rates(
    scores: np.ndarray, attacks: Sequence[str], *, threshold: float
) -> ErrorRates:
    """Return all rates of a set of scored faces.

    Args:
        scores: (N,) probabilities of bona fide.
        attacks: Kind of attack of each face, empty for bona fide.
        threshold: Least score that counts as bona fide.

    Raises:
        ValueError: If there is no attack, no bona fide face, or a score that is
            no probability.
    """
    from sklearn.metrics import auc

    scores, kinds = _checked(scores, attacks)
    thresholds, apcer, bpcer = curves = rate_curves(scores, attacks)
    bona_fide = kinds == ""
    accepted = scores >= threshold
    by_attack = {
        str(kind): float(accepted[kinds == kind].mean())
        for kind in np.unique(kinds[~bona_fide])
    }
    worst = np.max(
        [_share_accepted(scores[kinds == kind], thresholds) for kind in by_attack], 0
    )
    return ErrorRates(
        threshold=float(threshold),
        apcer_by_attack=by_attack,
        bpcer=float((~accepted[bona_fide]).mean()),
        eer=_equal_error(scores, *curves)[0],
        auc=float(auc(apcer, 1 - bpcer)),
        bpcer_at_apcer={
            f"{limit:.0%}": float(bpcer[worst <= limit].min()) for limit in APCER_POINTS
        },
    )


def equal_error(
    scores: np.ndarray,
    attacks: Sequence[str],
    *,
    weights: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return the equal error rate over all attacks together, and its threshold.

    Where no threshold makes both rates equal, the rate is the mean of the two at
    the (highest) threshold where they are closest; the threshold is the middle
    between the scores around it.

    Args:
        scores: (N,) probabilities of bona fide.
        attacks: Kind of attack of each face, empty for bona fide.
        weights: (N,) how much each face counts; None counts all alike.
    """
    curves = rate_curves(scores, attacks, weights=weights)
    return _equal_error(np.asarray(scores), *curves)


def weights_of_sources(sources: Sequence[str], attacks: Sequence[str]) -> np.ndarray:
    """Return (N,) weights with which each source counts once in APCER and BPCER.

    Args:
        sources: Source of each face.
        attacks: Kind of attack of each face, empty for bona fide.
    """
    parts = [
        (source, attack == "") for source, attack in zip(sources, attacks, strict=True)
    ]
    sizes = Counter(parts)
    return np.array([1 / sizes[part] for part in parts])


def threshold_for_bpcer(
    scores: np.ndarray, attacks: Sequence[str], *, bpcer: float
) -> float:
    """Return the highest threshold that rejects at most this share of real faces."""
    scores, kinds = _checked(scores, attacks)
    ordered = np.sort(scores[kinds == ""])
    refused = int(bpcer * len(ordered) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    return float(ordered[min(refused, len(ordered) - 1)])


def calibrated_threshold(
    scores: np.ndarray, attacks: Sequence[str], *, bpcer: float | None
) -> float:
    """Return the threshold for a given BPCER, or of equal error if none is given."""
    if bpcer is None:
        return equal_error(scores, attacks)[1]
    return threshold_for_bpcer(scores, attacks, bpcer=bpcer)


def rates_calibrated(
    scores: np.ndarray, attacks: Sequence[str], *, bpcer: float | None = None
) -> tuple[float, float] | None:
    """APCER and BPCER at thresholds chosen on other faces of the same set.

    Either half of the faces is measured at the threshold of the other half; the mean
    of both. The halves are in the order of the faces, kind by kind: of a film the
    earlier and the later half, of several films or people other ones.

    Args:
        scores: (N,) probabilities of bona fide.
        attacks: Kind of attack of each face, empty for bona fide.
        bpcer: As in ``calibrated_threshold``.

    Returns:
        The rates, or None where a class has too few faces to be in both halves.

    Raises:
        ValueError: As ``error_rates``.
    """
    scores, kinds = _checked(scores, attacks)
    is_late = np.zeros(len(kinds), bool)
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        is_late[rows[len(rows) // 2 :]] = True
    if any(is_late[of_class].all() for of_class in (kinds == "", kinds != "")):
        return None
    found = []
    for chosen in (is_late, ~is_late):
        threshold = calibrated_threshold(scores[chosen], kinds[chosen], bpcer=bpcer)
        rest = error_rates(scores[~chosen], kinds[~chosen], threshold=threshold)
        found.append((rest.apcer, rest.bpcer))
    apcer, refused = np.mean(found, axis=0)
    return float(apcer), float(refused)


def rate_curves(
    scores: np.ndarray,
    attacks: Sequence[str],
    *,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """APCER (all attacks together) and BPCER at every threshold that matters.

    Args:
        scores: (N,) probabilities of bona fide.
        attacks: Kind of attack of each face, empty for bona fide.
        weights: (N,) how much each face counts; None counts all alike.

    Returns:
        Thresholds, falling, the first above every score; APCER and BPCER at each.
    """
    from sklearn.metrics import roc_curve

    scores, kinds = _checked(scores, attacks)
    accepted_attacks, accepted_bona_fide, thresholds = roc_curve(
        kinds == "", scores, sample_weight=weights, drop_intermediate=False
    )
    return thresholds, accepted_attacks, 1 - accepted_bona_fide


def draws_of_sources(
    sources: Sequence[str], *, seed: int = 0, draws: int = 500
) -> Iterator[np.ndarray]:
    """Yield rows of bootstrap draws of whole sources with replacement.

    Frames of one video are alike, so that drawing frames would promise too much.

    Args:
        sources: Source of each face.

    Yields:
        Indexes of the faces in one draw; a draw may lack a class.

    Source: bootstrap over clusters; Davison and Hinkley, Bootstrap Methods and
        their Application (1997), section 3.8.
    """
    rng = np.random.default_rng(seed)
    names, owner = np.unique(np.asarray(sources, str), return_inverse=True)
    members = [np.flatnonzero(owner == number) for number in range(len(names))]
    for _ in range(draws):
        drawn = rng.integers(len(members), size=len(members))
        yield np.concatenate([members[i] for i in drawn])


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the middle 95 % of bootstrap values; (nan, nan) of fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _equal_error(
    scores: np.ndarray, thresholds: np.ndarray, apcer: np.ndarray, bpcer: np.ndarray
) -> tuple[float, float]:
    """``equal_error`` from the curves of these scores."""
    # Rounded: the last bits of a difference would choose among equal ones.
    best = int(np.argmin(np.round(np.abs(apcer - bpcer), 12)))
    below = scores[scores < thresholds[best]]
    low = below.max() if below.size else 0.0
    high = min(float(thresholds[best]), 1.0)
    return float((apcer[best] + bpcer[best]) / 2), float((low + high) / 2)


def _share_accepted(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of the scores that are accepted at each threshold."""
    refused = np.searchsorted(np.sort(scores), thresholds, side="left")
    return (len(scores) - refused) / len(scores)


def _checked(
    scores: np.ndarray, attacks: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and attacks as arrays, both classes present."""
    scores = np.asarray(scores, np.float64)
    kinds = np.asarray(attacks, dtype=str)
    if scores.ndim != 1 or scores.shape != kinds.shape:
        raise ValueError(
            f"Expected as many scores as attacks. Received: {scores.shape} and "
            f"{kinds.shape}"
        )
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("Expected scores from 0 to 1")
    for missing, there in (("bona fide", kinds == ""), ("attack", kinds != "")):
        if not there.any():
            raise ValueError(f"Expected at least one {missing} face. Received: none")
    return scores, kinds
