"""Predictions against soft truth: the share of annotators that chose each label.

All functions take posteriors of shape (n_utterances, n_labels) whose rows sum to 1, columns in the
same order, and give one figure an utterance.
"""

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.ratios import ratio
from emocli.posteriors import entropy, surprisal

SMALLEST = float(np.finfo(np.float64).eps)
"""Stands for a probability of 0 inside a logarithm: 36.04 nats, as in scikit-learn's log loss."""


def kl_divergence(truth: NDArray[np.float64], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kullback-Leibler divergence in nats of the prediction from the truth, ``sum t ln(t / p)``.

    A label that annotators chose and the model gave probability 0 counts as 2.2e-16.

    Returns:
        Shape (n_utterances,), at least 0.
    """
    cross = -(truth * np.log(np.clip(probs, SMALLEST, 1.0))).sum(axis=1)
    return np.maximum(cross - entropy(truth), 0.0)


def jensen_shannon(truth: NDArray[np.float64], probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in nats, ``H((t + p) / 2) - (H(t) + H(p)) / 2``.

    Returns:
        Shape (n_utterances,), from 0 to ln 2. Its square root is what scipy calls the distance.
    """
    middle = (truth + probs) / 2.0
    own = (truth * surprisal(truth) + probs * surprisal(probs)).sum(axis=1)
    return np.clip((middle * surprisal(middle)).sum(axis=1) - own / 2.0, 0.0, np.log(2.0))


def cosine_similarity(
    truth: NDArray[np.float64], probs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosine of the angle between truth and prediction, shape (n_utterances,), from 0 to 1."""
    lengths = np.linalg.norm(truth, axis=1) * np.linalg.norm(probs, axis=1)
    return ratio((truth * probs).sum(axis=1), lengths)
