"""Figures of classification: one matrix of counts, and ratios that are views of it.

The matrix has a row for each true label and a column for each predicted label, in the same order,
and one column more at the end for utterances whose prediction is none of them: it is missing, or
is a label that does not take part. Such an utterance is wrong whatever its truth.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.ratios import mean_defined, ratio

Counts = NDArray[np.float64] | NDArray[np.int64]
"""Shape (..., n_labels, n_labels + 1): truth by prediction, the last column for none of them."""


def confusion(
    truth: NDArray[np.intp],
    predicted: NDArray[np.intp],
    n_labels: int,
    *,
    units: NDArray[np.intp] | None = None,
    n_units: int = 1,
) -> NDArray[np.int64]:
    """Counts of truth by prediction.

    Args:
        truth: shape (n_utterances,), label indices.
        predicted: shape (n_utterances,), label indices; -1 for a missing or other prediction.
        n_labels: number of labels.
        units: shape (n_utterances,), index of each utterance's unit, such as its speaker.
        n_units: number of units.

    Returns:
        Shape (n_labels, n_labels + 1), or (n_units, n_labels, n_labels + 1) if units are given.
    """
    column = np.where(predicted < 0, n_labels, predicted)
    cell = truth * (n_labels + 1) + column
    size = n_labels * (n_labels + 1)
    if units is None:
        return np.bincount(cell, minlength=size).reshape(n_labels, n_labels + 1)
    counts = np.bincount(units * size + cell, minlength=n_units * size)
    return counts.reshape(n_units, n_labels, n_labels + 1)


def support(counts: Counts) -> NDArray[Any]:
    """Utterances that have each label in truth, shape (..., n_labels)."""
    return counts.sum(axis=-1)


def correct(counts: Counts) -> NDArray[Any]:
    """Right predictions of each label, shape (..., n_labels)."""
    return np.diagonal(counts, axis1=-2, axis2=-1)


def predictions(counts: Counts) -> NDArray[Any]:
    """Utterances that were given each label, shape (..., n_labels)."""
    return counts[..., :-1].sum(axis=-2)


def recall(counts: Counts) -> NDArray[np.float64]:
    """Share of each true label that was found, shape (..., n_labels); NaN without truth."""
    return ratio(correct(counts), support(counts))


def precision(counts: Counts) -> NDArray[np.float64]:
    """Share of each predicted label that was right, shape (..., n_labels).

    NaN for a label that was never predicted, where scikit-learn writes 0 and warns.
    """
    return ratio(correct(counts), predictions(counts))


def f1(counts: Counts) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall, ``2 TP / (support + predictions)``.

    Returns:
        Shape (..., n_labels), from 0 to 1; NaN for a label in neither truth nor prediction.
    """
    return ratio(2.0 * correct(counts), support(counts) + predictions(counts))


def accuracy(counts: Counts) -> NDArray[np.float64]:
    """Right predictions over all utterances, what papers on speech emotion call WA; shape (...)."""
    return ratio(correct(counts).sum(axis=-1), support(counts).sum(axis=-1))


def unweighted_average_recall(counts: Counts) -> NDArray[np.float64]:
    """Mean recall over the labels that occur in the truth, shape (...), from 0 to 1.

    Source: as ``balanced_accuracy_score`` of scikit-learn. audmetric also averages over labels
    that only occur in predictions, with recall 0: for truth (0, 0) and prediction (0, 1) it gives
    0.25 where this gives 0.5.
    """
    return mean_defined(recall(counts))


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean F1 over the labels that occur in truth or prediction, shape (...), from 0 to 1.

    Source: as ``f1_score(average="macro")`` of scikit-learn without a list of labels.
    """
    return mean_defined(f1(counts))


def weighted_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean F1 weighted by the support of each label, shape (...), from 0 to 1."""
    weight = support(counts)
    return ratio((weight * np.nan_to_num(f1(counts))).sum(axis=-1), weight.sum(axis=-1))


def cohens_kappa(counts: Counts) -> NDArray[np.float64]:
    """Agreement of truth and prediction beyond chance, ``(p_o - p_e) / (1 - p_e)``.

    A missing or other prediction counts as a category of its own, which the truth never has.

    Returns:
        Shape (...), from -1 to 1; NaN where both are one and the same constant.

    Source: Cohen 1960.
    """
    n = support(counts).sum(axis=-1)
    observed = ratio(correct(counts).sum(axis=-1), n)
    expected = ratio((support(counts) * predictions(counts)).sum(axis=-1), np.square(n))
    return ratio(observed - expected, 1.0 - expected)


def top_k_hits(
    probs: NDArray[np.float64], truth: NDArray[np.intp], k: int = 2
) -> NDArray[np.bool_]:
    """Whether the true label is among the k most probable ones; of equals the earlier counts first.

    Args:
        probs: shape (n_utterances, n_labels).
        truth: shape (n_utterances,), label indices.
        k: how many labels may be named.

    Returns:
        Shape (n_utterances,).
    """
    own = np.take_along_axis(probs, truth[:, np.newaxis], axis=1)  # (n_utterances, 1)
    earlier = np.arange(probs.shape[1]) < truth[:, np.newaxis]
    ahead = (probs > own) | ((probs == own) & earlier)
    return np.asarray(ahead.sum(axis=1) < k)


def balanced_draws(
    counts: NDArray[np.int64], n_draws: int, n_per_label: int, rng: "np.random.Generator"
) -> NDArray[np.int64]:
    """Matrices of counts of balanced samples, drawn without replacement.

    For a figure of the matrix, drawing utterances of one label is drawing from the counts in its
    row, so no utterance need be touched.

    Args:
        counts: shape (n_labels, n_labels + 1).
        n_draws: number of samples.
        n_per_label: utterances of each label that occurs in the truth; at most the rarest one's.
        rng: source of chance.

    Returns:
        Shape (n_draws, n_labels, n_labels + 1).
    """
    drawn = np.zeros((n_draws, *counts.shape), dtype=np.int64)
    for label in np.flatnonzero(support(counts)):
        drawn[:, label] = rng.multivariate_hypergeometric(
            counts[label], n_per_label, size=n_draws, method="marginals"
        )
    return drawn
