"""Figures of emotional dimensions, from sums over utterances.

CCC uses population variances as Lin does; torchmetrics divides by n - 1, which gives 0.9777 in
its own example where this definition gives 0.9768.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emocli.metrics.ratios import ratio

_ROUNDING = 1e-14
"""A variance this small beside the mean square is what rounding leaves of a constant series."""


def regression_terms(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """What each utterance adds to the sums that all figures are made of.

    Both series are centred first, which keeps small variances around large means exact; what the
    centring takes away is kept in the difference d.

    Args:
        truth: shape (n_utterances,).
        predicted: shape (n_utterances,).

    Returns:
        Shape (n_utterances, 9): 1, x, y, x², y², xy, d, d², |d| with x the centred truth, y the
        centred prediction and d prediction minus truth.
    """
    x, y = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    d = y - x
    x, y = _centred(x), _centred(y)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, d, d * d, np.abs(d)], axis=-1)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values minus their mean; a constant series is exactly 0."""
    if len(values) == 0 or np.ptp(values) == 0:
        return np.zeros_like(values)
    return values - values.mean()


def _moments(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Both population variances and the covariance."""
    x, y, xx, yy, xy = (ratio(sums[..., column], sums[..., 0]) for column in range(1, 6))
    return _variance(xx, x), _variance(yy, y), xy - x * y


def _variance(square: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = square - mean * mean
    return np.where(variance > _ROUNDING * square, variance, 0.0)


def ccc_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """CCC of sums of `regression_terms` over their first axis, shape (...)."""
    var_x, var_y, covariance = _moments(sums)
    return ratio(2.0 * covariance, var_x + var_y + bias_of_sums(sums) ** 2)


def pearson_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of sums of `regression_terms`, shape (...)."""
    var_x, var_y, covariance = _moments(sums)
    return np.clip(ratio(covariance, np.sqrt(var_x * var_y)), -1.0, 1.0)


def rmse_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean square error of sums of `regression_terms`, shape (...)."""
    return np.sqrt(ratio(sums[..., 7], sums[..., 0]))


def mae_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute error of sums of `regression_terms`, shape (...)."""
    return ratio(sums[..., 8], sums[..., 0])


def bias_of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of prediction minus truth of sums of `regression_terms`, shape (...)."""
    return ratio(sums[..., 6], sums[..., 0])


def concordance_cc(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Concordance correlation coefficient, ``2 s_xy / (s_x² + s_y² + (m_x - m_y)²)``.

    Args:
        truth: shape (n_utterances,).
        predicted: shape (n_utterances,).

    Returns:
        From -1 to 1; 0 if one series is constant, NaN if both are constant and equal.

    Source: Lin 1989, with population variances.

    Example:
        >>> round(concordance_cc([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]), 4)
        0.9768
    """
    return float(ccc_of_sums(regression_terms(truth, predicted).sum(axis=0)))
