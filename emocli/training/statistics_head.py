"""A linear head on statistics of an encoder, trained on several corpora at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.adaptation import MOST_DEVIATIONS
from emocli.fusion.softmax_regression import fit_softmax
from emocli.training.adaptation import balanced_weights
from emocli.training.data import Utterance

PENALTY = 2000.0
"""Strength of the ridge; rows have a mean weight of 1."""


@dataclass(frozen=True)
class StatisticsHead:
    """Standardisation and a linear classifier.

    Attributes:
        mean: of the statistics, shape (n_features,).
        deviation: of the statistics, shape (n_features,).
        weight: shape (n_labels, n_features).
        bias: shape (n_labels,).
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, statistics: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits of shape (n_utterances, n_labels); statistics beyond 6 deviations count as 6."""
        scaled = _standardized(statistics, self.mean, self.deviation)
        return np.asarray(scaled @ self.weight.T + self.bias)

    def cooled(self, temperature: float) -> "StatisticsHead":
        """The same head, whose logits are divided by a temperature."""
        return StatisticsHead(
            self.mean, self.deviation, self.weight / temperature, self.bias / temperature
        )


def fit_head(
    statistics: NDArray[np.floating],
    truth: NDArray[np.intp],
    utterances: Sequence[Utterance],
    n_labels: int,
) -> StatisticsHead:
    """A head by logistic regression with a ridge.

    Corpora weigh as the root of their size, and the labels of a corpus alike.

    Args:
        statistics: shape (n_utterances, n_features).
        truth: index of the true label, shape (n_utterances,).
        utterances: name the corpora.
        n_labels: outputs.
    """
    mean = statistics.mean(axis=0, dtype=np.float64)
    deviation = statistics.std(axis=0, dtype=np.float64) + 1e-6
    scaled = _standardized(statistics, mean, deviation)
    # With fewer rows than features, rows say all in as many directions; the ridge does not mind.
    directions = np.linalg.qr(scaled.T)[0] if len(scaled) < scaled.shape[1] else None
    inputs = scaled if directions is None else scaled @ directions
    weights = balanced_weights(utterances, truth)
    penalty = np.append(np.full(inputs.shape[1], PENALTY), 1e-3)
    ones = np.ones((len(inputs), 1))
    found = fit_softmax(
        np.hstack([inputs, ones]),
        truth,
        n_labels,
        penalty=penalty,
        weights=weights / weights.mean(),
    )
    weight = found[:-1] if directions is None else directions @ found[:-1]
    return StatisticsHead(mean, deviation, weight.T, found[-1])


def _standardized(
    statistics: NDArray[np.floating], mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    scaled = (np.asarray(statistics, dtype=np.float64) - mean) / deviation
    return scaled.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
