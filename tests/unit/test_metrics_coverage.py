"""Whether intervals hold the truth and tests keep their level, where earlier ones did not.

`tests/benchmarks/coverage.py` prints the whole table.
"""

import numpy as np
import pytest
from scipy.stats import binom

from emocli.calibration.conformal import LabelSets, SetRule, coverage_of
from emocli.metrics import calibration
from emocli.metrics.intervals import (
    all_coin_weights,
    difference_p_value,
    gap_norm,
    mean_interval,
    permutation_p_value,
    score_interval,
)

SHARE = (0.0, 1.0)


def without_each(sums):
    """Means without each speaker, of sums and sizes of shape (n_speakers, 2)."""
    return (sums[:, 0].sum() - sums[:, 0]) / (sums[:, 1].sum() - sums[:, 1])


@pytest.mark.parametrize(("n", "p"), [(30, 0.7), (100, 0.7), (500, 0.7), (100, 0.99), (300, 0.99)])
def test_accuracy_of_rows_is_covered(n, p):
    """Over all outcomes, so there is no chance in it."""
    kept = 0.0
    for n_right in range(n + 1):
        if binom.pmf(n_right, n, p) < 1e-9:
            continue
        left_out = (n_right - (np.arange(n) < n_right)) / (n - 1)
        low, high = score_interval(n_right / n, left_out, SHARE, n)
        assert low < high
        kept += binom.pmf(n_right, n, p) * (low <= p <= high)
    assert 0.90 <= kept <= 0.98


@pytest.mark.parametrize("n_speakers", [5, 8, 24])
def test_accuracy_of_speakers_is_covered(n_speakers):
    rng = np.random.default_rng(1)
    rates = 1 / (1 + np.exp(-1.0 - 0.6 * rng.normal(size=(1_000, n_speakers))))
    true = (1 / (1 + np.exp(-1.0 - 0.6 * rng.normal(size=1_000_000)))).mean()
    kept = 0
    for right in rng.binomial(40, rates):
        sums = np.stack([right, np.full(n_speakers, 40)], axis=1)
        low, high = score_interval(right.mean() / 40, without_each(sums), SHARE, right.sum())
        kept += low <= true <= high
    assert 0.93 <= kept / 1_000 <= 0.97


def test_uar_with_a_rare_label_that_is_always_found_is_covered():
    """Of 5 utterances of one label all are right in 77 of 100 tables, and tell no variance."""
    rng = np.random.default_rng(2)
    sizes, recalls = np.array([75, 20, 5]), np.array([0.9, 0.8, 0.95])
    kept = 0
    for right in rng.binomial(sizes, recalls, size=(300, 3)):
        found = right / sizes
        left_out = np.repeat(found[np.newaxis], 100, axis=0)
        start = 0
        for label, (n_right, size) in enumerate(zip(right, sizes, strict=True)):
            hit = np.arange(size) < n_right
            left_out[start : start + size, label] = (n_right - hit) / (size - 1)
            start += size
        ends = [
            score_interval(found[label], left_out[:, label], SHARE, sizes[label])
            for label in range(3)
        ]
        low, high = mean_interval(found, ends, left_out)
        kept += low <= recalls.mean() <= high
    assert 0.90 <= kept / 300 <= 0.98


def predictions(rng, n_speakers, n_each, gap):
    """Bins of each speaker; the accuracy is below the confidence by ``gap`` on average."""
    shape = (n_speakers, n_each)
    confidence = 0.3 + 0.7 * rng.random(shape)
    own = 0.1 * rng.normal(size=(n_speakers, 1)) * (n_each > 1)
    right = rng.random(shape) < np.clip(confidence - gap - own, 0.0, 1.0)
    units = np.repeat(np.arange(n_speakers), n_each)
    return calibration.bins(confidence.ravel(), right.ravel(), units=units, n_units=n_speakers)


@pytest.mark.parametrize(("n_speakers", "n_each"), [(100, 1), (500, 1), (24, 20), (5, 40)])
@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_ece_is_covered_and_its_bias_taken_away(n_speakers, n_each, gap):
    rng = np.random.default_rng(3)
    true = calibration.expected_calibration_error(
        predictions(rng, 100_000, 1 if n_each == 1 else 2, gap).sum(axis=0)
    )
    kept, plain, debiased = 0, [], []
    for _ in range(100):
        bins = predictions(rng, n_speakers, n_each, gap)
        whole = calibration.gaps(bins.sum(axis=0))
        left_out = calibration.gaps(bins.sum(axis=0) - bins)[..., 0]
        found = gap_norm(whole[:, 0], left_out, whole[:, 1], n_draws=200)
        kept += found.interval[0] <= true <= found.interval[1]
        plain.append(np.abs(whole[:, 0]).sum())
        debiased.append(found.debiased)
    assert kept >= 85  # of 100, whose standard error is 2 to 3
    bias = max(np.mean(plain) - true, 0.0)
    assert abs(np.mean(debiased) - true) < 0.6 * bias + 0.012
    assert gap > 0 or bias > 0.02  # honest probabilities look worst


def changes(rng, n_speakers, better):
    """Right predictions of each speaker more than another system has, and how many there are."""
    apart = better + 0.08 * rng.normal(size=n_speakers)
    first = rng.binomial(20, np.clip(0.6, 0, 1), size=n_speakers)
    second = rng.binomial(20, np.clip(0.6 + apart, 0, 1))
    return np.stack([second - first, np.full(n_speakers, 20)], axis=1).astype(float)


def test_students_t_of_five_speakers_keeps_its_level_and_has_power():
    rng = np.random.default_rng(4)
    rejected = {}
    for better in (0.0, 0.25):
        tables = [changes(rng, 5, better) for _ in range(1_500)]
        values = [
            difference_p_value(one[:, 0].sum() / one[:, 1].sum(), without_each(one))
            for one in tables
        ]
        rejected[better] = np.mean(np.array(values) < 0.05)
    assert 0.035 <= rejected[0.0] <= 0.065
    assert rejected[0.25] > 0.7


def test_exchanging_ten_speakers_keeps_its_level_and_has_power():
    rng = np.random.default_rng(5)
    signs = 2.0 * np.concatenate(list(all_coin_weights(10, 1024))) - 1.0
    rejected = {}
    for better in (0.0, 0.15):
        tables = [changes(rng, 10, better)[:, 0] for _ in range(1_500)]
        values = [permutation_p_value(one.sum(), signs @ one, all_=True) for one in tables]
        rejected[better] = np.mean(np.array(values) < 0.05)
    assert 0.035 <= rejected[0.0] <= 0.065
    assert rejected[0.15] > 0.6


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("per_class", [False, True])
def test_label_sets_keep_their_promise_over_a_thousand_splits(adaptive, per_class):
    rng = np.random.default_rng(6)
    rule = SetRule(0.9, adaptive=adaptive, per_class=per_class)
    truth = rng.choice(3, size=9_000, p=(0.5, 0.3, 0.2))
    logits = rng.normal(size=(9_000, 3)) + 1.2 * np.eye(3)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    draws = rng.random(9_000)
    kept, each = [], []
    for _ in range(1_000):
        rows = rng.integers(9_000, size=500)
        fitted, new = rows[:200], rows[200:]
        sets = LabelSets.fit(probs[fitted], truth[fitted], draws[fitted], rule)
        inside = coverage_of(sets.members(probs[new], draws[new]), truth[new])
        kept.append(inside.mean())
        each.append([inside[truth[new] == label].mean() for label in range(3)])
    by_label = np.mean(each, axis=0)
    if per_class:  # ceil(0.9 (n + 1)) of n + 1, which is 0.93 at most for the 40 of the rarest
        assert (by_label > 0.895).all()
        assert (by_label < 0.93).all()
    else:
        assert np.mean(kept) == pytest.approx(0.9, abs=0.01)
