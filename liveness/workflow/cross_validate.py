"""Leave-one-fold-out cross-validation over sites."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from liveness.cluster import Cluster
from liveness.constants import UNCHANGED
from liveness.data.dataset import Sample, read_dataset, require_sites
from liveness.evaluation.cluster_folds import measure_folds_on_cluster
from liveness.evaluation.cross_validation import checkpoint_of_fold, measure_folds
from liveness.evaluation.report import ScoredFaces, write_scores
from liveness.evaluation.sites import (
    Fold,
    SiteResult,
    check_folds,
    means,
    results_of,
    split_parts,
)
from liveness.model.keras_files import import_keras
from liveness.training.recipe import TrainingOptions, recipe_file, write_recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """How sites are split into folds.

    Attributes:
        folds: How many, 2 or more.
        within: Split the groups (people) of this one site instead; the other sites
            train in every fold.
        together: Sites that belong in one fold, as two of one room or person.
    """

    folds: int = 5
    within: str | None = None
    together: Sequence[set[str]] = ()


@dataclass(frozen=True)
class CrossValidation:
    """The results of every site, by what was changed in its pictures.

    Attributes:
        results: Under ``UNCHANGED`` those of the pictures as they are.
    """

    results: dict[str, list[SiteResult]] = field(repr=False)

    @property
    def sites(self) -> list[SiteResult]:
        """Of the pictures as they are."""
        return self.results[UNCHANGED]

    def as_json(self) -> dict[str, Any]:
        """Return rows and means as JSON values, and the means after each change."""
        means_of = {
            change: {
                kind: {name: asdict(mean) for name, mean in rates.items()}
                for kind, rates in means(rows).items()
            }
            for change, rows in self.results.items()
        }
        rows = list(map(asdict, self.sites))
        content = {"sites": rows, "means": means_of[UNCHANGED]}
        return content | ({"changed": means_of} if len(means_of) > 1 else {})


def cross_validate(
    dataset: Sequence[Path],
    options: TrainingOptions,
    architecture: type,
    split: Split,
    *,
    never_train: Sequence[str] = (),
    changes: bool = False,
    scores: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    cluster: str | None = None,
) -> CrossValidation:
    """Train a network for each fold on the other folds, and measure it on the fold.

    Args:
        dataset: Dataset folders that hold the sites.
        options: The recipe.
        architecture: ``LivenessNet``; importing its module must not load TensorFlow.
        split: How sites are split into folds.
        never_train: Sites that train nothing and are measured all the same.
        changes: Whether to measure the faces in other light, colours and focus, too.
        scores: CSV file for the score of each face; the recipe goes beside it. None for
            neither.
        resume: Continue after the last epoch of the same run that was interrupted;
            needs ``scores``.
        jobs: Folds at a time, each in a process on this machine.
        cluster: Dask scheduler whose workers train them, as ``Cluster`` takes it; None
            for this machine.

    Returns:
        The error rates of every site at a threshold from the other folds.

    Raises:
        DatasetError: If the sites cannot be split so.
        OutputError: If a process was killed, as for want of memory.
        OSError: If the scores cannot be written.
    """
    samples = read_dataset(dataset)
    require_sites(samples, never_train)
    folds = _trained_folds(
        samples,
        _split(samples, split, options.seed),
        jobs=jobs,
        cluster=cluster,
        architecture=architecture,
        options=options,
        within=split.within,
        changes=changes,
        never_train=frozenset(never_train),
        checkpoint=scores and scores.with_suffix(".npz"),
        resume=resume,
    )
    if scores:  # first: whatever fails after it, the trainings are kept
        _write_scores(scores, folds)
        write_recipe(recipe_file(scores), options, never_train)
        _remove_checkpoints(scores.with_suffix(".npz"), len(folds), options.networks)
    return CrossValidation(results_of(folds))


def _split(samples: Sequence[Sample], split: Split, seed: int) -> list[set[str]]:
    """Return the parts of each fold."""
    parts = split_parts(
        samples, split.folds, seed, within=split.within, together=split.together
    )
    check_folds(samples, parts, within=split.within)
    return parts


def _trained_folds(
    samples: Sequence[Sample],
    parts: Sequence[set[str]],
    *,
    jobs: int,
    cluster: str | None,
    **how: Any,
) -> list[Fold]:
    """Train without each fold and score it."""
    if cluster is not None:
        with Cluster(cluster) as workers:
            return list(measure_folds_on_cluster(samples, parts, workers, **how))
    import_keras()  # first, and without TensorFlow's start-up notes
    return list(measure_folds(samples, parts, jobs=jobs, **how))


def _remove_checkpoints(checkpoint: Path, folds: int, networks: int) -> None:
    """Delete what was kept to resume from."""
    from liveness.training.fit import remove_checkpoints

    for number in range(1, folds + 1):
        remove_checkpoints(checkpoint_of_fold(checkpoint, number), networks)


def _write_scores(path: Path, folds: Sequence[Fold]) -> None:
    """Write the scores of all folds, for train_model.py to read."""
    samples = [sample for fold in folds for sample in fold.samples]
    faces = ScoredFaces(
        [str(sample.path) for sample in samples],
        [sample.attack for sample in samples],
        [part for fold in folds for part in fold.parts],
        np.concatenate([fold.scores for fold in folds]),
    )
    write_scores(path, faces)
