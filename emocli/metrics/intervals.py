"""How far a figure may be trusted: resampling of speakers, intervals, and tests of a difference.

What is resampled is a *unit*: a speaker where speakers are known, for utterances of one speaker
are alike, else an utterance. A resampled table is given as weights, how often each unit occurs.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from statistics import NormalDist

LEVEL = 0.95
MAX_UNITS = 5_000
"""Utterances beyond this many are resampled in random groups of equal size.

The variance of a mean of independent groups is that of the mean of their members, so the interval
stays the same to within 1 / sqrt(2 * 5,000) = 1 % of its width, and the work stays bounded.
"""
MAX_LEFT_OUT = 400
"""Jackknife groups. Skewness over groups, like that of the mean, does not depend on their size."""


class Dice:
    """Whole numbers by chance, the same for the same seed.

    They are the standard library's: numpy's take longer to load than a small table to evaluate.

    Args:
        seed: source of chance.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integers(self, n: int, shape: tuple[int, int]) -> NDArray[np.intp]:
        """Numbers from 0 to n - 1, each as likely to within n / 2^32; ``n`` is at most 2^31."""
        bits = np.frombuffer(self._random.randbytes(4 * math.prod(shape)), dtype="<u4")
        return (bits.astype(np.uint64) * n >> 32).astype(np.intp).reshape(shape)


@dataclass(frozen=True)
class Units:
    """The unit of every utterance.

    Attributes:
        n: number of units.
        clustered: whether they are speakers rather than utterances.
        index: of each utterance's unit, shape (n_utterances,), from 0 to n - 1.
    """

    n: int
    clustered: bool
    index: NDArray[np.intp]

    @classmethod
    def of(cls, names: Sequence[str] | None, n_utterances: int, seed: int = 0) -> "Units":
        """Units of utterances: one for each name, or each utterance its own.

        Args:
            names: the speaker of each utterance; None where speakers are not known. An utterance
                with an empty name is a unit of its own.
            n_utterances: number of utterances.
            seed: for the random groups of many utterances.
        """
        if names is None or not any(names):
            if n_utterances <= MAX_UNITS:
                return cls(n_utterances, False, np.arange(n_utterances))
            shuffled = np.random.default_rng(seed).permutation(n_utterances)
            return cls(MAX_UNITS, False, shuffled % MAX_UNITS)
        known = {name: index for index, name in enumerate(dict.fromkeys(filter(None, names)))}
        index = np.array([known.get(name, -1) for name in names], dtype=np.intp)
        lonely = index < 0
        index[lonely] = len(known) + np.arange(lonely.sum())
        return cls(len(known) + int(lonely.sum()), True, index)


def bootstrap_weights(
    n_units: int, n_draws: int, dice: Dice, block: int
) -> Iterator[NDArray[np.float64]]:
    """Weights of resampled units, in blocks of draws.

    Args:
        n_units: number of units, each drawn ``n_units`` times with replacement.
        n_draws: number of resampled tables.
        dice: source of chance.
        block: draws in one block, at least 1.

    Yields:
        Shape (n_block, n_units), rows sum to ``n_units``.
    """
    for start in range(0, n_draws, block):
        n = min(block, n_draws - start)
        drawn = dice.integers(n_units, (n, n_units)) + n_units * np.arange(n)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=n * n_units)
        yield counts.reshape(n, n_units).astype(np.float64)


def jackknife_weights(n_units: int, block: int) -> Iterator[NDArray[np.float64]]:
    """Weights with one unit left out, or one of at most 400 groups of units, in blocks.

    Yields:
        Shape (n_block, n_units), 0 or 1.
    """
    n_groups = min(n_units, MAX_LEFT_OUT)
    group = np.arange(n_units) % max(n_groups, 1)
    for start in range(0, n_groups, block):
        left_out = np.arange(start, min(start + block, n_groups))
        yield (group != left_out[:, np.newaxis]).astype(np.float64)


def coin_weights(
    n_units: int, n_draws: int, dice: Dice, block: int
) -> Iterator[NDArray[np.float64]]:
    """A fair coin for each unit, in blocks of draws.

    Yields:
        Shape (n_block, n_units), 0 or 1.
    """
    for start in range(0, n_draws, block):
        n = min(block, n_draws - start)
        yield dice.integers(2, (n, n_units)).astype(np.float64)


def bca_interval(
    estimate: float,
    draws: NDArray[np.float64],
    left_out: NDArray[np.float64],
    level: float = LEVEL,
) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval.

    Figures such as ECE grow when noise is added, so nearly all of their draws may lie above the
    figure itself, and the correction then asks for draws beyond the last one. Where the corrected
    interval would not hold its own figure, the draws are centred on the figure instead.

    Args:
        estimate: the figure itself.
        draws: the figure of each resampled table, shape (n_draws,); NaN is left out.
        left_out: the figure with each unit left out, shape (n_units,); NaN is left out.
        level: coverage, above 0 and below 1.

    Returns:
        Lower and upper end; NaN where the figure is undefined or nothing could be drawn.

    Source: Efron 1987; Efron and Tibshirani 1993, equations 14.9 to 14.15.
    """
    draws = np.sort(draws[~np.isnan(draws)])
    if math.isnan(estimate) or len(draws) == 0:
        return math.nan, math.nan
    from statistics import NormalDist

    tails = ((1 - level) / 2, (1 + level) / 2)
    normal = NormalDist()
    below = float(np.sum(draws < estimate) + np.sum(draws <= estimate)) / (2 * len(draws))
    if 0 < below < 1:
        bias = normal.inv_cdf(below)
        skew = _acceleration(left_out[~np.isnan(left_out)])
        low, high = _quantiles(draws, [_corrected(normal, bias, skew, tail) for tail in tails])
        if low <= estimate <= high:
            return float(low), float(high)
    low, high = _quantiles(draws - _quantiles(draws, [0.5]), tails) + estimate
    return float(low), float(high)


def _quantiles(ordered: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles as `numpy.quantile` has them, which loads masked arrays and sorts each time."""
    return np.interp(np.array(shares) * (len(ordered) - 1), np.arange(len(ordered)), ordered)


def _acceleration(left_out: NDArray[np.float64]) -> float:
    """A sixth of the skewness of the figure's dependence on single units."""
    if len(left_out) == 0:
        return 0.0
    influence = left_out.mean() - left_out
    spread = float(np.sum(influence**2))
    return float(np.sum(influence**3)) / (6 * spread**1.5) if spread > 0 else 0.0


def _corrected(normal: "NormalDist", bias: float, skew: float, tail: float) -> float:
    """The share of draws below which an end of the interval lies."""
    score = bias + normal.inv_cdf(tail)
    slack = 1 - skew * score
    return normal.cdf(bias + score / slack) if slack > 0 else normal.cdf(math.copysign(9, score))


def permutation_p_value(observed: float, permuted: NDArray[np.float64]) -> float:
    """Two-sided p-value of a difference: how often chance alone makes one as large.

    Args:
        observed: the difference.
        permuted: differences after exchanging the two systems in random units, shape (n_draws,).

    Returns:
        ``(1 + #{|permuted| >= |observed|}) / (1 + n_draws)``; NaN if the difference is undefined.
    """
    permuted = permuted[~np.isnan(permuted)]
    if math.isnan(observed):
        return math.nan
    as_large = np.sum(np.abs(permuted) >= abs(observed) - 1e-12)  # 1e-12: equal but for rounding
    return float((1 + as_large) / (1 + len(permuted)))


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two systems on the same utterances.

    Attributes:
        only_first: utterances that only the first system has right.
        only_second: utterances that only the second system has right.
        p_value: two-sided, exact binomial.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test: whether one system is right where the other is wrong more often.

    Args:
        first: whether the first system is right, shape (n_utterances,).
        second: whether the second system is right, shape (n_utterances,).

    Source: McNemar 1947, with the binomial distribution in place of its approximation.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(~first & second))
    n, fewer = only_first + only_second, min(only_first, only_second)
    log_choose = np.array([_log_choose(n, k) for k in range(fewer + 1)])
    tail = float(np.exp(log_choose - n * math.log(2)).sum())
    return McNemar(only_first, only_second, min(1.0, 2 * tail))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
