"""Ways to average posteriors of several models; none of them is trained, none prefers a model.

All take posteriors of shape (n_tables, n_utterances, n_labels) over the same labels. A row that
is NaN means that the model has no say on that utterance: the others speak. Where no model has a
say the result is NaN. Fusing equal posteriors gives that posterior back.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emocli import posteriors

_SMALLEST = float(np.finfo(np.float64).tiny)
"""What a probability of 0 counts as in a product: ln 2.2e-308 = -708.4.

One model's 0 still overrules nearly everything, but two models that rule out each other's label
end in a tie and not in 0/0.
"""


def mean(probs: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Arithmetic mean, ``sum_i w_i p_i`` with weights that sum to 1 (linear pool).

    Args:
        probs: shape (n_tables, n_utterances, n_labels), rows sum to 1 or are NaN.
        weights: shape (n_tables,), all above 0; equal by default.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1.
    """
    values = np.asarray(probs, dtype=np.float64)
    return _pool(values, _shares(values, weights))


def product(probs: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Normalised geometric mean, proportional to ``prod_i p_i ** w_i`` (log-linear pool).

    Args:
        probs: shape (n_tables, n_utterances, n_labels), rows sum to 1 or are NaN.
        weights: shape (n_tables,), all above 0; equal by default.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1.
    """
    values = np.asarray(probs, dtype=np.float64)
    logs = np.log(np.maximum(values, _SMALLEST))
    return posteriors.softmax(_pool(logs, _shares(values, weights)))


def entropy_weighted(probs: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Mean in which each utterance weighs a model by how sure it is.

    The weight is ``w_i (1 - H_i / ln K)``: a uniform posterior counts nothing, a certain one in
    full. Where all models are uniform the plain weights hold.

    Args:
        probs: shape (n_tables, n_utterances, n_labels), rows sum to 1 or are NaN.
        weights: shape (n_tables,), all above 0; equal by default.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1.
    """
    values = np.asarray(probs, dtype=np.float64)
    plain = _shares(values, weights)
    sureness = np.nan_to_num(np.maximum(1.0 - posteriors.normalized_entropy(values), 0.0))
    weighed = plain * sureness  # (n_tables, n_utterances)
    undecided = weighed.sum(axis=0) <= 0
    return _pool(values, _normalised(np.where(undecided, plain, weighed)))


def max_confidence(probs: ArrayLike) -> NDArray[np.float64]:
    """The posterior of the model whose top probability is the largest.

    Models that tie exactly are averaged, so that their order does not matter.

    Args:
        probs: shape (n_tables, n_utterances, n_labels), rows sum to 1 or are NaN.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1.
    """
    values = np.asarray(probs, dtype=np.float64)
    return _pool(values, _normalised(most_confident(values).astype(np.float64)))


def most_confident(probs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which models have the largest top probability; shape (n_tables, n_utterances).

    More than one only where they tie exactly, none where no model has a say.

    Args:
        probs: shape (n_tables, n_utterances, n_labels), rows sum to 1 or are NaN.
    """
    confidence = np.max(np.nan_to_num(probs, nan=-1.0), axis=2, initial=-1.0)
    largest = confidence.max(axis=0)
    return np.asarray((confidence == largest) & (largest >= 0))


Average = Callable[[ArrayLike, ArrayLike | None], NDArray[np.float64]]
WEIGHTED: Mapping[str, Average] = {
    "mean": mean,
    "product": product,
    "entropy-weighted": entropy_weighted,
}


def _shares(values: NDArray[np.float64], weights: ArrayLike | None) -> NDArray[np.float64]:
    """Weight of each model for each utterance, (n_tables, n_utterances); columns sum to 1 or 0."""
    plain = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    has_say = ~np.isnan(values).any(axis=2)
    return _normalised(np.where(has_say, plain[:, np.newaxis], 0.0))


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum(axis=0)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)


def _pool(values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted sum over models; NaN for utterances that no model weighs on."""
    pooled = np.einsum("tn,tnk->nk", shares, np.nan_to_num(values))
    return np.where((shares.sum(axis=0) > 0)[:, np.newaxis], pooled, np.nan)
