"""Adapt a trained network to one camera with a few faces of it.

The convolutions stay as they are. What changes is how the features in front of each
view's last layer are weighed: a logistic regression on top of the old logit, pulled
towards no change. So the fit is convex, takes seconds and gives the same result every
time. Second moments of the features of the faces that trained (``moments``) hold the
logit of such faces where it was: what the films do not show stays as it was known.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from scipy.optimize import minimize

from liveness.data.dataset import Sample
from liveness.errors import ModelError
from liveness.model.labels import FAKE, LABELS, REAL
from liveness.training.fit import drawing_weights
from liveness.training.moments import MOMENT_FACES, second_moments
from liveness.training.pixels import Pixels, load_pixels
from liveness.training.recipe import TrainingOptions

STRENGTH = 0.001  # of the pull towards no change; docs/tried.md
HOLD = 0.01  # of the pull of the faces that trained towards their old logit
MOVING = 0.03  # error rate that a move of the threshold by 1 of the logit must save
PARTS = 5  # of the faces, each scored by a fit on the others
BATCH = 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """The features and logits of a network for some pictures.

    Attributes:
        values: (N, F) float64, features of all views, weighed as the views are.
        logits: (N,) float64, the network's own logit of bona fide.
    """

    values: np.ndarray
    logits: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Features":
        """Return the features of some of the pictures."""
        return Features(self.values[chosen], self.logits[chosen])

    @property
    def scores(self) -> np.ndarray:
        """(N,) float64 probability of bona fide by the network as it is."""
        return _sigmoid(self.logits)


@dataclass(frozen=True)
class Correction:
    """What is added to a network's logit: ``features @ weights + bias``."""

    weights: np.ndarray
    bias: float

    def scores(self, features: Features) -> np.ndarray:
        """Return (N,) float64 probability of bona fide after the correction."""
        return _sigmoid(features.logits + features.values @ self.weights + self.bias)


class FeatureReader:
    """Reads the features of pictures.

    Args:
        model: Of ``architecture``, trained.
        architecture: LivenessNet, or what has its ``view_features``.

    Raises:
        ModelError: If the network was made otherwise, as by an older version.
    """

    def __init__(self, model: keras.Model, architecture: type) -> None:
        try:
            self._network = architecture.view_features(model)
        except ValueError as error:
            raise ModelError(
                "cannot adapt this model: it is an average of several networks or was "
                "made by another tool; start from one that train_model.py wrote"
            ) from error

    def read(self, pixels: Pixels) -> Features:
        """Return the features of all pictures.

        Args:
            pixels: Of the network's size and views; read batch by batch.
        """
        values, probabilities = [], []
        for start in range(0, len(pixels.samples), BATCH):
            batch = pixels.read(slice(start, start + BATCH))
            inputs = batch.astype(np.float32) / 255
            value, probability = self._network(inputs, training=False)
            values.append(np.asarray(value, np.float64))
            probabilities.append(np.asarray(probability, np.float64))
        chance = np.concatenate(probabilities).clip(1e-7, 1)
        logits = np.log(chance[:, LABELS.index(REAL)] / chance[:, LABELS.index(FAKE)])
        return Features(np.concatenate(values), logits)


def sum_up(
    reader: FeatureReader,
    samples: Sequence[Sample],
    options: TrainingOptions,
    *,
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """Return the second moments of a network's features on its training faces.

    Args:
        reader: Reads the network.
        samples: Filmed faces that trained; at most ``MOMENT_FACES`` of them are drawn.
        options: Their views and input size, and the seed of the draw.
        shares: (N,) probability of drawing each; None for all alike.

    Returns:
        ``second_moments`` of the features.
    """
    rng = np.random.default_rng(options.seed)
    count = min(MOMENT_FACES, len(samples))
    rows = np.sort(rng.choice(len(samples), count, replace=False, p=shares))
    pixels = load_pixels([samples[row] for row in rows], options)
    return second_moments(reader.read(pixels).values)


def fit_correction(
    features: Features,
    samples: Sequence[Sample],
    *,
    threshold: float,
    moments: np.ndarray | None = None,
) -> Correction:
    """Fit a correction on faces of one camera.

    Both labels weigh the same, and films as in ``drawing_weights``.

    Args:
        features: Of the faces.
        samples: What each face shows.
        threshold: Score that the labels are to be told apart at, between 0 and 1.
        moments: Of the faces that trained, from ``second_moments``; None where they
            are not known, and other cameras may get worse.
    """
    is_real = np.array([sample.is_bona_fide for sample in samples])
    shares = drawing_weights(samples)
    # One scale for all features, so that the pull means the same for every network.
    scale = np.sqrt((features.values**2).sum(axis=1).mean())
    values = np.hstack([features.values / scale, np.ones((len(is_real), 1))])
    signs = np.where(is_real, 1.0, -1.0)
    pull = STRENGTH * np.eye(values.shape[1])
    if moments is not None:
        units = np.append(np.full(len(moments) - 1, 1 / scale), 1)
        pull += HOLD * moments * np.outer(units, units)
    logits = features.logits - logit(threshold)

    def loss(changes: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (logits + values @ changes)
        slope = -signs * shares * _sigmoid(-margins)
        pulled = pull @ changes
        value = shares @ np.logaddexp(0, -margins) + 0.5 * changes @ pulled
        return value, values.T @ slope + pulled

    result = minimize(loss, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B")
    return Correction(result.x[:-1] / scale, float(result.x[-1]))


def parts_of(samples: Sequence[Sample]) -> np.ndarray:
    """Split faces into ``PARTS`` that share no source, or no time of one.

    Args:
        samples: What each picture shows.

    Returns:
        (N,) number of each face's part.
    """
    parts = np.zeros(len(samples), int)
    for label in LABELS:
        rows = [row for row, sample in enumerate(samples) if sample.label == label]
        rows.sort(key=lambda row: (samples[row].source, samples[row].frame))
        sources = {samples[row].source for row in rows}
        for place, row in enumerate(rows):
            parts[row] = place * PARTS // len(rows)
        if len(sources) >= PARTS:  # whole films or pictures
            numbers = {source: n for n, source in enumerate(sorted(sources))}
            for row in rows:
                parts[row] = numbers[samples[row].source] * PARTS // len(sources)
    return parts


def scores_elsewhere(
    features: Features,
    samples: Sequence[Sample],
    *,
    threshold: float,
    moments: np.ndarray | None = None,
) -> np.ndarray:
    """Score each face by a correction that was fitted on the other parts.

    Args:
        features: Of the faces.
        samples: What each face shows.
        threshold: The same as for ``fit_correction``.
        moments: The same as for ``fit_correction``.

    Returns:
        (N,) float64 probability of bona fide.
    """
    parts = parts_of(samples)
    scores = np.empty(len(samples))
    for part in range(PARTS):
        inside = parts == part
        others = [samples[row] for row in np.flatnonzero(~inside)]
        correction = fit_correction(
            features.rows(~inside), others, threshold=threshold, moments=moments
        )
        scores[inside] = correction.scores(features.rows(inside))
    return scores


def choose_threshold(
    scores: np.ndarray, is_real: np.ndarray, threshold: float
) -> float:
    """Choose a threshold close to the old one, unless the faces clearly need another.

    Args:
        scores: (N,) of faces that the corrections were not fitted on.
        is_real: (N,) bool, whether each is bona fide.
        threshold: The old one, between 0 and 1.

    Returns:
        The threshold with the least mean of the error rates of both classes, plus
        ``MOVING`` for each unit of the logit that it moves.
    """
    values = logit(scores)
    edges = np.unique(values)
    places = np.concatenate([[logit(threshold)], (edges[1:] + edges[:-1]) / 2])
    errors = [mean_error(values, is_real, place) for place in places]
    costs = np.array(errors) + MOVING * np.abs(places - logit(threshold))
    return float(_sigmoid(places[np.argmin(costs)]))


def mean_error(scores: np.ndarray, is_real: np.ndarray, threshold: float) -> float:
    """Return the mean of the error rates of both classes, 0 to 1.

    Args:
        scores: (N,) scores, or logits with a threshold among them.
        is_real: (N,) bool, whether each is bona fide.
        threshold: Least score that counts as bona fide.
    """
    refused, passed = scores[is_real] < threshold, scores[~is_real] >= threshold
    return float(refused.mean() / 2 + passed.mean() / 2)


def logit(chance: np.ndarray | float) -> np.ndarray:
    """Logit of a probability, finite also at 0 and 1."""
    chance = np.clip(chance, 1e-9, 1 - 1e-9)
    return np.log(chance / (1 - chance))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
