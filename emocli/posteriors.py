"""From logits to posteriors, and how sure a posterior is.

The only softmax of emocli. All arithmetic is float64. Information is measured in nats, never in
bits: entropy in nats, varentropy in nats squared (a figure in bits squared would be 2.081 times
as large). A column that is NaN does not belong to the label set of its row and is left out.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIE_TOLERANCE = 1e-12
"""Probabilities that differ by less differ by rounding only."""


def log_softmax(logits: ArrayLike) -> NDArray[np.float64]:
    """Log posteriors of logits, ``l - ln sum exp l`` over the last axis.

    Args:
        logits: shape (n_utterances, n_labels); NaN where a label is not in the row's set.

    Returns:
        The same shape, rows log-sum to 0; NaN stays NaN.
    """
    values = np.asarray(logits, dtype=np.float64)
    absent = np.isnan(values)
    shifted = values - np.max(
        np.where(absent, -np.inf, values), axis=-1, keepdims=True, initial=-np.inf
    )
    total = np.sum(np.where(absent, 0.0, np.exp(shifted)), axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):  # a row without labels sums to 0 and is NaN throughout
        return np.asarray(shifted - np.log(total))


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Posteriors of logits, ``exp(l / T) / sum exp(l / T)`` over the last axis.

    Args:
        logits: shape (n_utterances, n_labels).
        temperature: above 0; above 1 makes posteriors flatter.

    Returns:
        The same shape, rows sum to 1.
    """
    return np.asarray(np.exp(log_softmax(np.asarray(logits, dtype=np.float64) / temperature)))


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """Probability of each label by itself, ``1 / (1 + exp(-l))``, as multi-label models give it.

    Args:
        logits: of any shape.

    Returns:
        The same shape, each value from 0 to 1.
    """
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(logits, dtype=np.float64))))


def shares(values: ArrayLike) -> NDArray[np.float64]:
    """Values divided by their sum over the last axis.

    A multi-label model scores each label alone, so its sigmoids sum to anything. Their shares can
    be compared with the posterior of a model that chooses one label.

    Args:
        values: shape (n_utterances, n_labels), at least 0.

    Returns:
        The same shape, rows sum to 1; a row of zeros is uniform.
    """
    given = np.asarray(values, dtype=np.float64)
    total = given.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total == 0, 1.0 / given.shape[-1], given / total)


def surprisal(probs: ArrayLike) -> NDArray[np.float64]:
    """Information content ``-ln p`` in nats; 0 where p is 0 or NaN, for it is then weighed by 0."""
    values = np.asarray(probs, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, -np.log(values), 0.0)


def entropy(probs: ArrayLike) -> NDArray[np.float64]:
    """Shannon entropy in nats, ``H = -sum p ln p`` over the last axis; p = 0 contributes 0.

    Args:
        probs: shape (n_utterances, n_labels), rows sum to 1.

    Returns:
        Shape (n_utterances,), from 0 (certain) to ln n_labels (uniform); NaN for a row without
        a posterior.

    Example:
        >>> entropy([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]]).round(4).tolist()
        [1.3863, 0.0]
    """
    values = np.asarray(probs, dtype=np.float64)
    total = np.nansum(values * surprisal(values), axis=-1)
    return np.where(np.isnan(values).all(axis=-1), np.nan, np.maximum(total, 0.0))


def varentropy(probs: ArrayLike) -> NDArray[np.float64]:
    """Variance of the information content in nats squared, ``V = sum p (ln p + H)^2``.

    It is 0 for a certain and for a uniform posterior, and largest when one label stands out from
    a crowd of unlikely ones.

    Args:
        probs: shape (n_utterances, n_labels), rows sum to 1.

    Returns:
        Shape (n_utterances,), at least 0; NaN for a row without a posterior.
    """
    values = np.asarray(probs, dtype=np.float64)
    deviation = surprisal(values) - entropy(values)[..., np.newaxis]
    total = np.nansum(values * deviation**2, axis=-1)
    return np.where(np.isnan(values).all(axis=-1), np.nan, total)


def normalized_entropy(probs: ArrayLike) -> NDArray[np.float64]:
    """Entropy as a share of its largest value, ``H / ln n_labels``, from 0 to 1.

    The number of labels is that of the row's own set. It is 0 for a set of one label.
    """
    values = np.asarray(probs, dtype=np.float64)
    n_labels = np.sum(~np.isnan(values), axis=-1)
    largest = np.log(np.maximum(n_labels, 2))
    return np.asarray(entropy(values) / largest)


def margin(probs: ArrayLike) -> NDArray[np.float64]:
    """Top minus second probability, from 0 (a tie) to 1; the top itself for a set of one label.

    Args:
        probs: shape (n_utterances, n_labels), rows sum to 1.

    Returns:
        Shape (n_utterances,); NaN for a row without a posterior.
    """
    values = np.asarray(probs, dtype=np.float64)
    absent = np.isnan(values).all(axis=-1)
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(np.nan_to_num(values, nan=0.0), axis=-1)
    second = ordered[..., -2] if values.shape[-1] > 1 else 0.0
    return np.where(absent, np.nan, ordered[..., -1] - second)


def undecided(probs: ArrayLike) -> NDArray[np.bool_]:
    """Whether all labels of a row are equally likely, so that none is the top one.

    Args:
        probs: shape (n_utterances, n_labels).

    Returns:
        Shape (n_utterances,); False for a row without a posterior, or with one label only.
    """
    values = np.asarray(probs, dtype=np.float64)
    known = ~np.isnan(values)
    lowest = np.min(np.where(known, values, np.inf), axis=-1, initial=np.inf)
    highest = np.max(np.where(known, values, -np.inf), axis=-1, initial=-np.inf)
    # A softmax of equal logits rounds in the last digit.
    return np.asarray((known.sum(axis=-1) > 1) & (highest - lowest <= TIE_TOLERANCE))


def top(probs: ArrayLike) -> NDArray[np.intp]:
    """Index of the largest probability, the earlier one on a tie; -1 for a row without a posterior.

    Args:
        probs: shape (n_utterances, n_labels).

    Returns:
        Shape (n_utterances,).
    """
    values = np.asarray(probs, dtype=np.float64)
    absent = np.isnan(values).all(axis=-1)
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], -1, dtype=np.intp)
    return np.where(absent, -1, np.argmax(np.where(np.isnan(values), -1.0, values), axis=-1))
