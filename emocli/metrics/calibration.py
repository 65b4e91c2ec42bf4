"""Whether probabilities mean what they say.

The confidence of a prediction is the probability of the label that was predicted. Bins have equal
width, the first ``[0, 1/M]``, the others ``((m - 1)/M, m/M]``. A bin is three sums over its
utterances: how many there are, their confidences, and how many are right.

Source: Guo et al. 2017 (ECE, MCE); Nixon et al. 2019 (class-wise); Stephenson et al. 2008 (the
Brier score's decomposition with bins).
"""

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.ratios import mean_defined, ratio
from emocli.metrics.soft import SMALLEST

N_BINS = 15

Bins = NDArray[np.float64]
"""Shape (..., n_bins, 3): count, sum of confidences, number right."""


def bin_index(confidence: NDArray[np.float64], n_bins: int = N_BINS) -> NDArray[np.intp]:
    """The equal-width bin that each confidence falls in, of the same shape."""
    upper = np.ceil(confidence * n_bins).astype(np.intp) - 1
    return np.clip(upper, 0, n_bins - 1)


def bins(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    *,
    n_bins: int = N_BINS,
    units: NDArray[np.intp] | None = None,
    n_units: int = 1,
) -> Bins:
    """Count, confidence and correctness of each bin: the reliability diagram as sums.

    Args:
        confidence: shape (n_utterances,), probabilities.
        right: shape (n_utterances,), whether what the confidence speaks of is true.
        n_bins: number of bins.
        units: shape (n_utterances,), index of each utterance's unit, such as its speaker.
        n_units: number of units.

    Returns:
        Shape (n_bins, 3), or (n_units, n_bins, 3) if units are given.
    """
    cell = bin_index(confidence, n_bins)
    if units is not None:
        cell = units * n_bins + cell
    sums = [
        np.bincount(cell, weights=weights, minlength=n_units * n_bins)
        for weights in (None, confidence, right)
    ]
    shape = (n_bins, 3) if units is None else (n_units, n_bins, 3)
    return np.stack(sums, axis=-1).astype(np.float64).reshape(shape)


def gaps(sums: Bins) -> NDArray[np.float64]:
    """How far confidence and correctness differ in each bin, over all utterances.

    Returns:
        Shape (..., n_bins, 2): the signed gap ``n_b/n (conf_b - acc_b)``, and the variance that
        the correctness of as many independent utterances gives it at least. There ``acc_b`` is
        ``(k + 1/2) / (n_b + 1)`` for k right ones (Jeffreys), which is not 1 where none was
        wrong by luck. NaN without utterances.
    """
    n = sums[..., 0].sum(axis=-1, keepdims=True)
    share = (sums[..., 2] + 0.5) / (sums[..., 0] + 1.0)
    least_variance = ratio(sums[..., 0] * share * (1.0 - share), np.square(n))
    return np.stack([ratio(sums[..., 1] - sums[..., 2], n), least_variance], axis=-1)


def expected_calibration_error(sums: Bins) -> NDArray[np.float64]:
    """Mean gap of confidence and accuracy over utterances, ``sum n_b/n |conf_b - acc_b|``.

    Returns:
        Shape (...), from 0 to 1; NaN without utterances.
    """
    return np.asarray(np.abs(gaps(sums)[..., 0]).sum(axis=-1))


def maximum_calibration_error(sums: Bins) -> NDArray[np.float64]:
    """Largest gap of confidence and accuracy over the bins that are not empty, shape (...)."""
    apart = ratio(np.abs(sums[..., 1] - sums[..., 2]), sums[..., 0])
    worst = np.max(np.nan_to_num(apart, nan=-1.0), axis=-1)
    return np.where(worst < 0, np.nan, worst)


def classwise_gaps(sums: Bins) -> NDArray[np.float64]:
    """The gaps that `classwise_calibration_error` is the sum of absolute values of.

    Args:
        sums: shape (..., n_labels, n_bins, 3).

    Returns:
        Shape (..., n_labels * n_bins, 2), as `gaps`; 0 for a label that takes no part.
    """
    takes_part = _takes_part(sums)
    count = takes_part.sum(axis=-1)[..., np.newaxis, np.newaxis]
    found = gaps(sums) / np.stack([count, np.square(count)], axis=-1)
    found = np.where(takes_part[..., np.newaxis, np.newaxis], found, 0.0)
    return found.reshape(*found.shape[:-3], -1, 2)


def _takes_part(sums: Bins) -> NDArray[np.bool_]:
    """Which labels are ever true or given any probability, shape (..., n_labels)."""
    return np.asarray((sums[..., 1:] > 0).any(axis=(-1, -2)))


def classwise_calibration_error(sums: Bins) -> NDArray[np.float64]:
    """Mean over labels of the calibration error of each label's own probability.

    A label that is never true and never given any probability is left out.

    Args:
        sums: shape (..., n_labels, n_bins, 3), for each label the bins of its probability and
            whether the label is true.

    Returns:
        Shape (...), from 0 to 1.
    """
    return mean_defined(np.where(_takes_part(sums), expected_calibration_error(sums), np.nan))


def brier_score(probs: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    """Squared distance of posterior and truth, ``sum_k (p_k - y_k)²``.

    Args:
        probs: shape (n_utterances, n_labels).
        truth: shape (n_utterances,), label indices; -1 for a label that has no column, which
            was thereby given probability 0.

    Returns:
        Shape (n_utterances,), from 0 to 2 (the sum over labels of Brier 1950; scikit-learn's
        ``scale_by_half`` halves it).
    """
    own = _own(probs, truth)
    return np.square(probs).sum(axis=1) - 2.0 * own + 1.0


def negative_log_likelihood(
    probs: NDArray[np.float64], truth: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Surprisal of the truth in nats, ``-ln p_truth``; p below 2.2e-16 counts as that.

    Args:
        probs: shape (n_utterances, n_labels).
        truth: shape (n_utterances,), label indices; -1 for a label without a column.

    Returns:
        Shape (n_utterances,), from 0 to 36.04.
    """
    return np.abs(np.log(np.clip(_own(probs, truth), SMALLEST, 1.0)))


def _own(probs: NDArray[np.float64], truth: NDArray[np.intp]) -> NDArray[np.float64]:
    """The probability of the truth, shape (n_utterances,)."""
    if probs.shape[1] == 0:
        return np.zeros(len(probs))
    found = np.take_along_axis(probs, np.maximum(truth, 0)[:, np.newaxis], axis=1)[:, 0]
    return np.where(truth >= 0, found, 0.0)


def brier_decomposition(sums: Bins, brier: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The Brier score as reliability - resolution + uncertainty + what the bins hide.

    Reliability is how far probabilities are from what happened (best 0), resolution how far what
    happened differs between bins (best large), uncertainty what the labels' frequencies alone
    leave open. The remainder is the variation of probabilities inside bins, 0 if every bin holds
    one probability.

    Args:
        sums: shape (..., n_labels, n_bins, 3), as for `classwise_calibration_error`.
        brier: shape (...), the mean Brier score of the same utterances, whose truth all have a
            column.

    Returns:
        ``reliability``, ``resolution``, ``uncertainty`` and ``within_bin``, shape (...) each.
    """
    count, confidence, right = sums[..., 0], sums[..., 1], sums[..., 2]
    n = count.sum(axis=-1)  # (..., n_labels)
    base = ratio(right.sum(axis=-1), n)  # (..., n_labels)
    said, happened = ratio(confidence, count), ratio(right, count)  # (..., n_labels, n_bins)
    share = ratio(count, n[..., np.newaxis])
    reliability = np.nansum(share * (said - happened) ** 2, axis=(-1, -2))
    resolution = np.nansum(share * (happened - base[..., np.newaxis]) ** 2, axis=(-1, -2))
    uncertainty = np.sum(base * (1.0 - base), axis=-1)
    return {
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bin": brier - reliability + resolution - uncertainty,
    }
