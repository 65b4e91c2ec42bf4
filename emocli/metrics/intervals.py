"""How far a figure may be trusted: intervals, and tests of a difference.

What varies is a *unit*: a speaker where speakers are known, for utterances of one speaker are
alike, else an utterance. The variance of a figure is the jackknife's, from the figure without each
unit in turn, and the interval is a score interval with Student's t and one degree of freedom less
than there are units.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
MAX_UNITS = 5_000
"""Utterances beyond this many are taken in random groups of equal size.

The variance of a mean of independent groups is that of the mean of their members, so the interval
stays the same to within 1 / sqrt(2 * 5,000) = 1 % of its width, and the work stays bounded.
"""
MAX_LEFT_OUT = 400
"""Jackknife groups. The variance from 400 groups is known to 1 / sqrt(2 * 400) = 4 %."""
FEW_UNITS = 8
"""Units below which an interval is weak, and an exchange of two systems too coarse to be a test:
with 5 speakers there are 32 exchanges, so its smallest two-sided p-value is 2 / 32 = 0.06."""

Interval = tuple[float, float]
"""Lower and upper end; NaN where there is none."""
NO_INTERVAL: Interval = (math.nan, math.nan)


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
        bits = self._bits(shape).astype(np.uint64)
        return (bits * n >> 32).astype(np.intp)

    def normal(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Standard normal numbers, by the transformation of Box and Muller 1958."""
        radius, angle = ((self._bits(shape) + 0.5) / 2.0**32 for _ in range(2))
        return np.asarray(np.sqrt(-2.0 * np.log(radius)) * np.cos(2.0 * np.pi * angle))

    def _bits(self, shape: tuple[int, int]) -> NDArray[np.uint32]:
        drawn = self._random.randbytes(4 * math.prod(shape))
        return np.frombuffer(drawn, dtype="<u4").reshape(shape)


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


def all_coin_weights(n_units: int, block: int) -> Iterator[NDArray[np.float64]]:
    """Every outcome of a coin for each unit once, the first all 0, in blocks.

    Yields:
        Shape (n_block, n_units), 0 or 1.
    """
    for start in range(0, 2**n_units, block):
        outcome = np.arange(start, min(start + block, 2**n_units))
        yield (outcome[:, np.newaxis] >> np.arange(n_units) & 1).astype(np.float64)


def jackknife_covariance(left_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of figures, from their values without each unit.

    Args:
        left_out: shape (n_left_out, n_figures).

    Returns:
        Shape (n_figures, n_figures).

    Source: Efron and Stein 1981; the estimate for clustered samples is Wolter 2007, section 4.
    """
    n = len(left_out)
    apart = left_out - left_out.mean(axis=0)
    return np.asarray((n - 1) / n * apart.T @ apart)


def score_interval(
    estimate: float,
    left_out: NDArray[np.float64],
    bounds: tuple[float, float],
    n_utterances: float,
    *,
    least_variance: float = 0.0,
    level: float = LEVEL,
) -> Interval:
    """The values of a figure that its estimate does not speak against.

    They are all values v for which ``(estimate - v)² <= t² variance(v)``. The variance is taken
    to rise and fall over the figure's range as that of a share does, ``(v - low) (high - v)``,
    and is the jackknife's at the estimate. So the interval stays within the range; for the
    accuracy of single utterances it is Wilson's, with speakers it is Wilson's for the number of
    independent utterances that would vary as much, and for a figure without bounds it is
    ``estimate ± t s``. Where no unit differs from another, as at an accuracy of 1, the utterances
    count as independent, so it never has no width.

    Args:
        estimate: the figure itself.
        left_out: the figure with each unit left out, shape (n_left_out,); NaN is left out.
        bounds: least and largest value that the figure can have; may be infinite.
        n_utterances: utterances that the figure rests on.
        least_variance: of the figure, where its own shows too little by luck.
        level: coverage, above 0 and below 1.

    Returns:
        Lower and upper end; NaN where the figure is undefined or no two units have it.

    Source: Wilson 1927; with speakers Korn and Graubard 1998, Dean and Pagano 2015.
    """
    left_out = left_out[~np.isnan(left_out)]
    if math.isnan(estimate) or len(left_out) < 2:
        return NO_INTERVAL
    low, high = bounds
    t = student_quantile(level, len(left_out) - 1)
    variance = max(float(jackknife_covariance(left_out[:, np.newaxis])[0, 0]), least_variance)
    if math.isinf(low):
        return estimate - t * math.sqrt(variance), estimate + t * math.sqrt(variance)
    room = (estimate - low) * (1.0 if math.isinf(high) else high - estimate)
    if room > 0 and variance > _ROUNDING * max(estimate * estimate, room):
        spread = t * t * variance / room
    else:
        spread = t * t / n_utterances
    # (estimate - v)² = spread (v - low) (high - v), or spread (v - low) without an upper bound
    curved = 1.0 if math.isinf(high) else 1.0 + spread
    middle = estimate + spread / 2.0 * (1.0 if math.isinf(high) else low + high)
    rest = estimate * estimate + spread * low * (1.0 if math.isinf(high) else high)
    half = math.sqrt(max(middle * middle - curved * rest, 0.0))
    return max((middle - half) / curved, low), min((middle + half) / curved, high)


_ROUNDING = 1e-20
"""A variance this small beside the square of a figure is what rounding leaves of none."""


def mean_interval(
    values: NDArray[np.float64], intervals: Sequence[Interval], left_out: NDArray[np.float64]
) -> Interval:
    """Interval of a mean of figures, such as UAR, from the intervals of its parts.

    Each part lends the distance of its own lower end to the mean's lower end, and so above, so
    that a label whose recall is 1 has its share in the doubt though it does not vary.

    Args:
        values: the parts, shape (n_parts,); NaN is left out.
        intervals: of each part.
        left_out: the parts with each unit left out, shape (n_left_out, n_parts).

    Source: Zou and Donner 2008 (MOVER), with the jackknife's correlations of the parts.
    """
    there = np.flatnonzero(~np.isnan(values))
    ends = np.array([intervals[int(part)] for part in there]).reshape(-1, 2)
    if len(there) == 0 or np.isnan(ends).any():
        return NO_INTERVAL
    covariance = jackknife_covariance(_filled(left_out[:, there]))
    deviation = np.sqrt(np.diag(covariance))
    scale = np.outer(deviation, deviation)
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(correlation, 1.0)
    mean = float(values[there].mean())
    below, above = values[there] - ends[:, 0], ends[:, 1] - values[there]
    down, up = (
        math.sqrt(max(float(part @ correlation @ part), 0.0)) / len(there)
        for part in (below, above)
    )
    return mean - down, mean + up


def _filled(left_out: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean in place of NaN, where leaving a unit out leaves a label without utterances."""
    known = ~np.isnan(left_out)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, left_out, 0.0).sum(axis=0) / count
    return np.where(known, left_out, means)


@dataclass(frozen=True)
class GapNorm:
    """The sum of absolute gaps, as an estimate of what it is without noise.

    Attributes:
        debiased: the value whose estimates are as large as this one on average; 0 where noise
            alone makes as much.
        noise: what the sum is on average if all gaps are 0.
        interval: of the value without noise.
    """

    debiased: float
    noise: float
    interval: Interval


def gap_norm(
    gaps: NDArray[np.float64],
    left_out: NDArray[np.float64],
    least_variance: NDArray[np.float64],
    *,
    n_draws: int = 1_000,
    level: float = LEVEL,
) -> GapNorm:
    """What a sum of absolute values, such as ECE, is without the noise that only adds to it.

    An absolute value cannot err downwards at 0, so every bin adds noise to the sum, and resampling
    adds it once more: bootstrap intervals of ECE hold its true value in few of a hundred tables.
    Here the estimated gaps are taken as normal around the true ones, with the jackknife's
    covariance and Student's t, and the interval holds the true sums with which the one at hand
    is not unusual. Along the way from 0 all bins have gaps of the same number of standard errors,
    of one sign but for those that surely have the other: signs that are chance would let what
    speakers do to all bins cancel.
    Where gaps of 0 would make as large a sum in 5 of 100 tables, the interval begins at 0
    and its upper end leaves out 5 %; else both ends leave out 2.5 %.

    Args:
        gaps: shape (n_gaps,).
        left_out: the gaps with each unit left out, shape (n_left_out, n_gaps).
        least_variance: of each gap, for bins that show none by luck; shape (n_gaps,).
        n_draws: normal numbers for each gap.
        level: coverage, above 0 and below 1.

    A sum that is smaller than honest probabilities make it in 84 of 100 tables is luck, and
    does not shorten the interval further.

    Source: test inversion is Carpenter 1999; not to gain by luck is Cowan et al. 2011; that the
    mean of estimates is matched is MacKinnon and Smith 1998; the bias is Bröcker 2012 and Roelofs
    et al. 2022.
    """
    covariance = jackknife_covariance(left_out)
    variance = np.diag(covariance)
    inside = variance + least_variance > 0
    if not inside.any() or len(left_out) < 2:
        return GapNorm(float(np.abs(gaps).sum()), 0.0, NO_INTERVAL)
    covariance = covariance + np.diag(np.maximum(least_variance - variance, 0.0))
    covariance, gaps = covariance[np.ix_(inside, inside)], gaps[inside]
    deviation = np.sqrt(np.diag(covariance))
    found = float(np.abs(gaps).sum())
    sign = np.where(np.abs(gaps) > _CERTAIN * deviation, np.sign(gaps), np.sign(gaps.sum()) or 1.0)
    way = sign * deviation / deviation.sum()
    noise = _noise(covariance, len(left_out) - 1, n_draws)

    def mean(value: float) -> float:
        return float(_mean_absolute(value * way, deviation).sum())

    def share_above(value: float, least: float = found) -> float:
        return float(np.mean(np.abs(value * way + noise).sum(axis=1) >= least))

    sums = np.sort(np.abs(noise).sum(axis=1))
    top = found + 2.0 * float(sums[-1])
    tail = (1.0 - level) / 2.0
    calibrated = share_above(0.0) >= 2.0 * tail
    low = 0.0 if calibrated else _crossing(share_above, tail, 0.0, top)
    lucky = max(found, float(sums[int(_LUCK * n_draws)]))
    share = 1.0 - (2.0 * tail if calibrated else tail)
    high = _crossing(lambda value: share_above(value, lucky), share, 0.0, top)
    return GapNorm(_crossing(mean, found, 0.0, found, steps=24), mean(0.0), (low, high))


_CERTAIN = 1.64
"""Standard errors that one gap of twenty exceeds by chance on either side."""
_LUCK = 0.16
"""Where the normal distribution has its mean less one deviation."""


def _noise(covariance: NDArray[np.float64], df: int, n_draws: int) -> NDArray[np.float64]:
    """Draws of Student's t with a covariance at infinite degrees of freedom.

    Returns:
        Shape (n_draws, n_gaps).
    """
    dice = Dice(0)  # the same for every table: an interval does not depend on a seed
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    drawn = dice.normal((n_draws, len(root))) @ root.T
    # Wilson and Hilferty 1931: the cube root of chi² is nearly normal
    part = 2.0 / (9.0 * df)
    ratio = np.maximum(1.0 - part + math.sqrt(part) * dice.normal((n_draws, 1)), 1e-3) ** 3
    return np.asarray(drawn / np.sqrt(ratio))


def _mean_absolute(
    mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of the absolute value of normal numbers, as of the folded normal distribution."""
    ratio = mean / deviation
    above = np.array([math.erf(one / math.sqrt(2.0)) for one in ratio])
    density = np.exp(-(ratio**2) / 2.0) * math.sqrt(2.0 / math.pi)
    return np.asarray(deviation * density + mean * above)


def _crossing(
    rising: Callable[[float], float], level: float, low: float, high: float, steps: int = 14
) -> float:
    """Where a rising function reaches a level; ``low`` where it begins above it."""
    if rising(low) >= level:
        return low
    for _ in range(steps):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < level else (low, middle)
    return high


def student_within(t: float, df: int) -> float:
    """The share of Student's distribution between -t and t.

    Args:
        t: from 0.
        df: degrees of freedom, at least 1.

    Source: Abramowitz and Stegun 1964, equations 26.7.3 and 26.7.4.

    Example:
        >>> round(student_within(2.776, 4), 4)
        0.95
    """
    angle = math.atan(t / math.sqrt(df))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = df % 2
    term = math.cos(angle) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(3 if odd else 2, df - 1, 2):
        term *= square * (k - 1) / k
        total += term
    if not odd:
        return sine * total
    return 2.0 / math.pi * (angle + sine * total)


@cache
def student_quantile(level: float, df: int) -> float:
    """The t between whose negative and itself a share of Student's distribution lies.

    Example:
        >>> [round(student_quantile(0.95, df), 3) for df in (1, 4, 23, 399)]
        [12.706, 2.776, 2.069, 1.966]
    """
    high = 1.0
    while student_within(high, df) < level:
        high *= 2.0
    return _crossing(lambda t: student_within(t, df), level, 0.0, high, steps=40)


def difference_p_value(difference: float, left_out: NDArray[np.float64]) -> float:
    """Two-sided p-value of a difference beside its jackknife deviation, by Student's t.

    Args:
        difference: of a figure between two systems.
        left_out: the same with each unit left out, shape (n_left_out,); NaN is left out.

    Returns:
        From 0 to 1; NaN if the difference is undefined.
    """
    left_out = left_out[~np.isnan(left_out)]
    if math.isnan(difference) or len(left_out) < 2:
        return math.nan
    variance = float(jackknife_covariance(left_out[:, np.newaxis])[0, 0])
    if variance <= _ROUNDING * max(difference * difference, _ROUNDING):
        return 0.0 if difference else 1.0
    return 1.0 - student_within(abs(difference) / math.sqrt(variance), len(left_out) - 1)


def permutation_p_value(observed: float, permuted: NDArray[np.float64], *, all_: bool) -> float:
    """Two-sided p-value of a difference: how often chance alone makes one as large.

    Args:
        observed: the difference.
        permuted: differences after exchanging the two systems in some units, shape (n_draws,).
        all_: whether these are all exchanges there are, the observed one among them.

    Returns:
        The share of exchanges with a difference as large, the observed one being one of them;
        NaN if the difference is undefined.
    """
    permuted = permuted[~np.isnan(permuted)]
    if math.isnan(observed):
        return math.nan
    as_large = np.sum(np.abs(permuted) >= abs(observed) - 1e-12)  # 1e-12: equal but for rounding
    own = 0 if all_ else 1
    return float((own + as_large) / (own + len(permuted)))


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
