"""Figures as PNG files; no window is opened."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from liveness.evaluation.metrics import equal_error, rate_curves
from liveness.io.files import write_atomically
from liveness.model.labels import FAKE, LABELS, REAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
COLOURS = {REAL: "tab:green", FAKE: "tab:red"}


def save_history(
    path: Path, histories: Sequence[Mapping[str, Sequence[float]]]
) -> None:
    """Loss and accuracy of training and validation, epoch by epoch.

    Args:
        path: PNG file to write.
        histories: Of each network, the values of each epoch by Keras' names
            (``loss``, ``val_loss``, ``accuracy``, ``val_accuracy``); those of
            validation may be missing.
    """
    figure = _figure(10, 4)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for number, history in enumerate(histories, 1):
            which = f", network {number}" if len(histories) > 1 else ""
            epochs = range(1, len(history[name]) + 1)
            label = f"training (augmented){which}"
            axes.plot(epochs, history[name], ".-", label=label)
            if f"val_{name}" in history:  # not where everything trained
                values = history[f"val_{name}"]
                axes.plot(epochs, values, ".-", label=f"validation{which}")
        axes.set(xlabel="epoch", ylabel=name, title=name.capitalize())
        axes.xaxis.get_major_locator().set_params(integer=True)  # no half epochs
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def save_confusion_matrix(
    path: Path, is_bona_fide: np.ndarray, accepted: np.ndarray
) -> None:
    """Counts of verdicts against the truth.

    Args:
        path: PNG file to write.
        is_bona_fide: (N,) bool, the truth.
        accepted: (N,) bool, whether the verdict was ``real``.
    """
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    figure = _figure(5, 4.4)
    axes = figure.subplots()
    counts = confusion_matrix(is_bona_fide, accepted, labels=[False, True])
    display = ConfusionMatrixDisplay(counts, display_labels=LABELS)
    display.plot(ax=axes, cmap="Blues", colorbar=False, values_format="d")
    axes.set(xlabel="verdict", ylabel="truth", title="Faces that did not train")
    _save(figure, path)


def save_evaluation(
    path: Path, scores: np.ndarray, attacks: Sequence[str], *, threshold: float
) -> None:
    """DET curve, ROC curve and score histograms with the threshold in each.

    Args:
        path: PNG file to write.
        scores: (N,) probabilities of bona fide.
        attacks: Kind of attack of each face, empty for bona fide.
        threshold: Of the verdict.
    """
    thresholds, apcer, bpcer = rate_curves(scores, attacks)
    here = int(np.searchsorted(-thresholds, -threshold, side="right")) - 1
    at_threshold = (apcer[max(here, 0)], bpcer[max(here, 0)])
    figure = _figure(14, 4.4)
    det, roc, histogram = figure.subplots(1, 3)
    _draw_det(det, apcer, bpcer, at_threshold, eer=equal_error(scores, attacks)[0])
    _draw_roc(roc, apcer, bpcer, at_threshold)
    is_attack = np.asarray(attacks, str) != ""
    bins = np.linspace(0, 1, 41)
    for label, chosen in ((REAL, ~is_attack), (FAKE, is_attack)):
        histogram.hist(
            np.asarray(scores)[chosen],
            bins,
            weights=np.full(chosen.sum(), 100 / max(1, chosen.sum())),
            alpha=0.6,
            label=f"{label} ({chosen.sum()})",
            color=COLOURS[label],
        )
    histogram.axvline(threshold, color="black", label=f"threshold {threshold:.2f}")
    histogram.set(
        xlabel="score (probability of bona fide)", ylabel="% of faces", title="Scores"
    )
    histogram.legend()
    _save(figure, path)


def save_match_rates(
    path: Path, same: np.ndarray, different: np.ndarray, *, tolerance: float
) -> None:
    """False match and false non-match rate of face encodings against the tolerance.

    Args:
        path: PNG file to write.
        same: (N,) distances of pictures of one person, at least one.
        different: (M,) distances of pictures of two people, at least one.
        tolerance: The one in use, which is marked.
    """
    figure = _figure(7, 4.4)
    axes = figure.subplots()
    tolerances = np.linspace(0, 1, 501)[:, np.newaxis]
    rates = {
        f"FMR: others accepted ({different.size} pairs)": different <= tolerances,
        f"FNMR: owner rejected ({same.size} pairs)": same > tolerances,
    }
    for (label, wrong), colour in zip(
        rates.items(), ("tab:red", "tab:blue"), strict=True
    ):
        axes.plot(tolerances[:, 0], 100 * wrong.mean(axis=1), label=label, color=colour)
    label = f"tolerance {tolerance:g}"
    axes.axvline(tolerance, color="black", linestyle=":", label=label)
    axes.set(
        xlabel="tolerance (largest distance of a match)",
        ylabel="% of pairs",
        title="Face verification errors of the enrolled pictures",
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    _save(figure, path)


def _draw_det(
    axes: "Axes",
    apcer: np.ndarray,
    bpcer: np.ndarray,
    at_threshold: tuple[float, float],
    *,
    eer: float,
) -> None:
    """Draw the DET curve on normal deviate scales."""
    from sklearn.metrics import DetCurveDisplay

    DetCurveDisplay(fpr=apcer, fnr=bpcer).plot(ax=axes)
    normal, ends = NormalDist(), axes.get_xlim()
    # A rate of 0 or 1 is infinitely far away: its mark sits on the edge.
    seen = np.clip(at_threshold, *map(normal.cdf, ends))
    mark = [[normal.inv_cdf(rate)] for rate in seen]
    axes.plot(*mark, "ko", label="threshold", clip_on=False)
    axes.plot(ends, ends, ":", c="grey", label=f"EER {eer:.1%}")
    axes.set(xlabel="APCER", ylabel="BPCER", title="Detection error trade-off")
    axes.set(aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")


def _draw_roc(
    axes: "Axes",
    apcer: np.ndarray,
    bpcer: np.ndarray,
    at_threshold: tuple[float, float],
) -> None:
    """Draw the ROC curve: accepted bona fide faces against accepted attacks."""
    from sklearn.metrics import RocCurveDisplay, auc

    accepted = 1 - bpcer
    RocCurveDisplay(fpr=apcer, tpr=accepted, roc_auc=auc(apcer, accepted)).plot(axes)
    axes.plot(at_threshold[0], 1 - at_threshold[1], "ko", label="threshold")
    axes.set(xlabel="APCER", ylabel="1 - BPCER", title="ROC")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure that needs no screen."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    """Write the figure, whole or not at all."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    write_atomically(path, png.getvalue())
