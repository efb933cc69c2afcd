"""How good a model is on scored faces: the report by ISO/IEC 30107-3."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liveness.constants import UNCHANGED
from liveness.errors import DatasetError, reason_of
from liveness.evaluation.advice import advice
from liveness.evaluation.metrics import (
    ErrorRates,
    draws_of_sources,
    error_rates,
    interval,
)
from liveness.io.files import write_atomically
from liveness.io.tables import as_written, number_in, read_rows
from liveness.model.labels import FAKE, REAL

NO_BOUND = "no draw differs: no bound"  # of an interval without width

SCORES_COLUMNS = ("path", "label", "attack", "source", "score")


@dataclass(frozen=True)
class ScoredFaces:
    """Faces with their scores, row by row.

    Attributes:
        paths: Picture or clip of each face.
        attacks: Kind of attack, empty for bona fide.
        sources: What is drawn as a whole for the intervals.
        scores: (N,) probability of bona fide.
        sites: Site of each face, empty for a clip; nothing where it is not known.
    """

    paths: Sequence[str]
    attacks: Sequence[str]
    sources: Sequence[str]
    scores: np.ndarray
    sites: Sequence[str] = ()


@dataclass(frozen=True)
class Evaluation:
    """Rates and the 95 % interval of each, by the names of the report.

    ``changed`` has the rates of the same faces after each change, if they were scored.
    """

    rates: ErrorRates
    intervals: dict[str, tuple[float, float]]
    bona_fide: int
    attacks: int
    sources: int
    changed: dict[str, ErrorRates]

    @property
    def figures(self) -> dict[str, float]:
        """Every figure of the report by the name that it has there."""
        return _figures(self.rates)

    @property
    def advice(self) -> list[str]:
        """What would help the model on these faces, the most useful first."""
        return advice(self.rates, bona_fide=self.bona_fide, attacks=self.attacks)

    def as_json(self) -> dict:
        """Return all figures as JSON values; an interval that cannot be had is null."""
        figures = {
            **self.rates.as_json(),
            "intervals_95": {
                name: None if np.isnan(ends).any() else ends
                for name, ends in self.intervals.items()
            },
            "bona_fide": self.bona_fide,
            "attacks": self.attacks,
            "sources": self.sources,
        }
        if self.changed:
            figures["changed"] = {
                name: rates.as_json() for name, rates in self.changed.items()
            }
        return figures

    def as_text(self) -> str:
        """Return the report, one figure a line."""
        lines = [
            f"{self.bona_fide} bona fide faces, {self.attacks} attacks, "
            f"{self.sources} sources, threshold {self.rates.threshold:.3f}",
            f"{'figure':<28}{'value':>8}   95 % interval over sources",
        ]
        for name, value in _figures(self.rates).items():
            low, high = self.intervals[name]
            ends = "too few sources" if np.isnan(low) else f"{low:7.1%} to {high:.1%}"
            if low == high:
                ends += f" ({NO_BOUND})"
            lines.append(f"{name:<28}{value:>8.1%}   {ends}")
        return "\n".join(lines + self._lines_of_changes())

    def _lines_of_changes(self) -> list[str]:
        if not self.changed:
            return []
        rates = {UNCHANGED: self.rates, **self.changed}
        figures = {
            name: (one.apcer, one.bpcer, one.acer, one.eer)
            for name, one in rates.items()
        }
        return lines_of_changes("the same faces", figures, width=16)


def lines_of_changes(
    title: str, figures: Mapping[str, Sequence[float]], *, width: int
) -> list[str]:
    """Return a table of APCER, BPCER, ACER and EER by what was changed.

    Args:
        title: Above the names.
        figures: The four rates of each name.
        width: Of the column of names.
    """
    lines = [f"{title:<{width}}   APCER   BPCER    ACER     EER"]
    for name, rates in figures.items():
        lines.append(f"{name:<{width}}" + "".join(f"{rate:>8.1%}" for rate in rates))
    return lines


def evaluate(
    faces: ScoredFaces,
    *,
    threshold: float,
    changed: Mapping[str, np.ndarray] | None = None,
) -> Evaluation:
    """Return all error rates with their intervals.

    Args:
        faces: As they are.
        threshold: Least score that counts as bona fide.
        changed: (N,) scores of the same faces after each of some changes.

    Raises:
        ValueError: If there is no attack or no bona fide face.
    """
    attacks = np.asarray(faces.attacks, str)
    rates = error_rates(faces.scores, attacks, threshold=threshold)
    drawn: dict[str, list[float]] = {name: [] for name in _figures(rates)}
    kinds, kind_of = np.unique(attacks, return_inverse=True)
    for rows in draws_of_sources(faces.sources):
        # Without one kind another would be the worst.
        if len(np.unique(kind_of[rows])) == len(kinds):
            found = error_rates(faces.scores[rows], attacks[rows], threshold=threshold)
            for name, value in _figures(found).items():
                drawn[name].append(value)
    for name in drawn:
        if _on_one_source(name, rates, attacks, faces.sources):
            drawn[name] = []  # draws of one source are alike and would look exact
    return Evaluation(
        rates,
        {name: interval(values) for name, values in drawn.items()},
        bona_fide=int((attacks == "").sum()),
        attacks=int((attacks != "").sum()),
        sources=len(set(faces.sources)),
        changed={
            name: error_rates(scores, attacks, threshold=threshold)
            for name, scores in (changed or {}).items()
        },
    )


def write_scores(path: Path, faces: ScoredFaces) -> None:
    """One CSV row for each face: path, label, attack, source, score."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(SCORES_COLUMNS)
    for where, attack, source, score in zip(
        faces.paths, faces.attacks, faces.sources, faces.scores, strict=True
    ):
        label = FAKE if attack else REAL
        writer.writerow((where, label, attack, source, f"{score:.6f}"))
    write_atomically(path, as_written(text.getvalue()).encode())


def read_scores(path: Path) -> ScoredFaces:
    """Read what ``write_scores`` wrote.

    Raises:
        DatasetError: If it is no such file, or holds one class only.
    """
    expected = (
        "expected a file of --scores, as leave_sites_out.py writes it, with "
        f"{', '.join(SCORES_COLUMNS)}"
    )
    try:
        columns, rows = read_rows(path)
        if missing := set(SCORES_COLUMNS).difference(columns):
            raise KeyError(*missing)
        scores = np.array([number_in(row["score"] or "") for row in rows])
        paths, labels, attacks, sources = (
            [row[name] for row in rows] for name in SCORES_COLUMNS[:-1]
        )
    except OSError as error:
        reason = reason_of(error)
        raise DatasetError(f"cannot read '{path}': {reason}; {expected}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DatasetError(f"'{path}' holds no scores: {expected}") from error
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DatasetError(f"'{path}' has a score that is not from 0 to 1: {expected}")
    for label, attack in zip(labels, attacks, strict=True):
        if label != (FAKE if attack else REAL):
            raise DatasetError(
                f"'{path}' has a face of label '{label}' and attack '{attack}': "
                f"{expected}; of real faces alone the attack is empty"
            )
    if len({attack == "" for attack in attacks}) < 2:
        raise DatasetError(f"'{path}' lacks real or fake faces: {expected}")
    return ScoredFaces(paths, attacks, sources, scores)


def _on_one_source(
    name: str, rates: ErrorRates, attacks: np.ndarray, sources: Sequence[str]
) -> bool:
    """Return whether a figure rests on a single source of a class or kind of attack."""
    owners = np.asarray(sources, str)
    by_attack = rates.apcer_by_attack
    bona_fide = attacks == ""
    worst = attacks == max(by_attack, key=by_attack.__getitem__)
    rests_on = {
        **{f"APCER {kind}": [attacks == kind] for kind in by_attack},
        "APCER (worst attack)": [worst],
        "BPCER": [bona_fide],
        "EER": [bona_fide, ~bona_fide],
        "AUC": [bona_fide, ~bona_fide],
    }
    groups = rests_on.get(name, [bona_fide, worst])  # ACER, BPCER at some APCER
    return any(len(set(owners[group])) == 1 for group in groups)


def _figures(rates: ErrorRates) -> dict[str, float]:
    """Return every figure of the report by the name that it has there."""
    return {
        **{f"APCER {kind}": rate for kind, rate in rates.apcer_by_attack.items()},
        "APCER (worst attack)": rates.apcer,
        "BPCER": rates.bpcer,
        "ACER": rates.acer,
        "EER": rates.eer,
        "AUC": rates.auc,
        **{
            f"BPCER at APCER {limit}": rate
            for limit, rate in rates.bpcer_at_apcer.items()
        },
    }
