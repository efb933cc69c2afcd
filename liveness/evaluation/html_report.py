"""The report on a model as a folder that opens in a browser, without a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from liveness.errors import OutputError
from liveness.evaluation.gallery import Gallery, ScoredCrop, encoded
from liveness.evaluation.metrics import equal_error, threshold_for_bpcer
from liveness.evaluation.plots import save_evaluation
from liveness.evaluation.report import Evaluation, ScoredFaces
from liveness.io.files import make_output_folder, write_atomically
from liveness.model.classifier import LivenessClassifier
from liveness.model.explanation import draw_heat, explain
from liveness.model.labels import LABELS, REAL

PAGE = "index.html"
CURVES = "curves.png"
FACES = "faces"  # folder of the pictures
TEMPLATE = "report.html.j2"
BPCER_POINTS = (0.01, 0.02, 0.05, 0.10, 0.20)  # of the threshold's trade-off
EXPLAINED = 6  # faces of each gallery: each takes most of a second
MOST_ROWS = 60  # of the table of films


@dataclass(frozen=True)
class Share:
    """How many of some faces were judged wrongly.

    Attributes:
        name: Attack, site or film.
        label: ``real`` or the kind of attack.
        wrong: Faces on the wrong side of the threshold.
        faces: All of them.
    """

    name: str
    label: str
    wrong: int
    faces: int

    @property
    def rate(self) -> float:
        """Share of the faces that were judged wrongly, 0 to 1."""
        return self.wrong / self.faces

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, which treats every frame as independent."""
        from scipy.stats import binomtest

        ends = binomtest(self.wrong, self.faces).proportion_ci(method="wilson")
        return ends.low, ends.high


def check_report_folder(folder: Path) -> None:
    """Refuse a folder that holds other files, before any long work begins.

    Raises:
        OutputError: If it does, or cannot be created or written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(
            f"the report folder '{folder}' is not empty, and nothing in it is "
            "replaced: give a new folder"
        )
    make_output_folder(folder)


def write_report(
    folder: Path,
    faces: ScoredFaces,
    evaluation: Evaluation,
    gallery: Gallery,
    *,
    classifier: LivenessClassifier,
) -> Path:
    """Write the page, its figure and the pictures of the worst faces.

    Args:
        folder: Of ``check_report_folder``.
        faces: All faces that were scored.
        evaluation: The report on them.
        gallery: The worst of them.
        classifier: The model that scored them; it explains the worst faces.

    Returns:
        The page.

    Raises:
        OSError: If a file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    threshold = evaluation.rates.threshold
    save_evaluation(folder / CURVES, faces.scores, faces.attacks, threshold=threshold)
    (folder / FACES).mkdir()
    galleries = {
        name: _pictures(folder, name, gallery.worst(is_real=name == REAL), classifier)
        for name in LABELS
    }
    environment = Environment(
        loader=PackageLoader("liveness.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["score"] = "{:.3f}".format
    page = environment.get_template(TEMPLATE).render(
        folder=str(folder.resolve()),
        model=classifier.name.strip("'"),
        threshold=threshold,
        evaluation=evaluation,
        rates=evaluation.rates,
        advice=evaluation.advice,
        figures=_figures(evaluation),
        trade_off=_trade_off(faces, threshold),
        by_attack=_shares([a or "none" for a in faces.attacks], faces, threshold),
        by_site=_shares(faces.sites, faces, threshold) if any(faces.sites) else [],
        by_film=_shares(faces.sources, faces, threshold)[:MOST_ROWS],
        films=len(set(faces.sources)),
        most_rows=MOST_ROWS,
        galleries=galleries,
        shown=sum(map(len, galleries.values())),
        curves=CURVES,
    )
    write_atomically(folder / PAGE, page.encode())
    return folder / PAGE


@dataclass(frozen=True)
class Entry:
    """A face of a gallery on the page.

    Attributes:
        face: The face.
        picture: Link to it.
        heat: Link to the map of where its score comes from; empty for none.
        why: The same in words; empty for none.
    """

    face: ScoredCrop
    picture: str
    heat: str = ""
    why: str = ""


def _pictures(
    folder: Path,
    name: str,
    faces: Sequence[ScoredCrop],
    classifier: LivenessClassifier,
) -> list[Entry]:
    """Write the pictures of a gallery, and explain the first."""
    entries = []
    for number, face in enumerate(faces, 1):
        link = f"{FACES}/{name}-{number:02}.jpg"
        write_atomically(folder / link, encoded(face.crop))
        if number > EXPLAINED:
            entries.append(Entry(face, link))
            continue
        explanation = explain(classifier, face.crop)
        heat = f"{FACES}/{name}-{number:02}-why.jpg"
        write_atomically(folder / heat, encoded(draw_heat(face.crop, explanation)))
        entries.append(Entry(face, link, heat, explanation.sentence))
    return entries


def _figures(evaluation: Evaluation) -> list[tuple[str, float, str]]:
    """Return name, value and interval in words of each figure of the report."""
    rows = []
    for name, value in evaluation.figures.items():
        low, high = evaluation.intervals[name]
        text = "too few films" if np.isnan(low) else f"{low:.1%} to {high:.1%}"
        rows.append((name, value, text))
    return rows


def _trade_off(
    faces: ScoredFaces, threshold: float
) -> list[tuple[str, float, float, float]]:
    """Return name, threshold, APCER of all attacks and BPCER at some thresholds."""
    is_real = np.asarray(faces.attacks, str) == ""
    places = [("in use", threshold)]
    places.append(("equal error", equal_error(faces.scores, faces.attacks)[1]))
    for share in BPCER_POINTS:
        place = threshold_for_bpcer(faces.scores, faces.attacks, bpcer=share)
        places.append((f"BPCER at most {share:.0%}", place))
    return [
        (
            name,
            place,
            float(np.mean(faces.scores[~is_real] >= place)),
            float(np.mean(faces.scores[is_real] < place)),
        )
        for name, place in sorted(places, key=lambda item: item[1])
    ]


def _shares(
    names: Sequence[str],
    faces: ScoredFaces,
    threshold: float,
) -> list[Share]:
    """Wrong verdicts by name and attack, the largest number first."""
    counts: dict[tuple[str, str], list[int]] = {}
    for name, attack, score in zip(names, faces.attacks, faces.scores, strict=True):
        count = counts.setdefault((name, attack), [0, 0])
        count[0] += (score < threshold) if attack == "" else (score >= threshold)
        count[1] += 1
    shares = [
        Share(name, attack or "real", int(wrong), total)
        for (name, attack), (wrong, total) in counts.items()
    ]
    return sorted(shares, key=lambda share: (-share.rate, -share.faces, share.name))
