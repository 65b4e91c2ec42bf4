"""Resampling, intervals and tests of a difference."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import chisquare, kstest, ttest_1samp
from scipy.stats import t as student

from emocli.metrics import intervals
from emocli.metrics.intervals import Dice, Units, mcnemar, permutation_p_value, score_interval
from emocli.metrics.scores import Sample, differences, figures_by_group, figures_of, score_of


def sample(rng, n=120, skill=1.5, n_labels=3):
    truth = rng.integers(0, n_labels, size=n)
    logits = rng.normal(size=(n, n_labels))
    logits[np.arange(n), truth] += skill
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    valence = rng.normal(size=n)
    return Sample(
        truth,
        probs.argmax(axis=1),
        n_labels,
        probs,
        probs.max(axis=1),
        votes=np.eye(n_labels)[truth],
        dimensions={"valence": (valence, valence + rng.normal(size=n))},
        words=np.stack([rng.integers(0, 3, size=n), rng.integers(3, 9, size=n)], axis=1),
        characters=np.stack([rng.integers(0, 9, size=n), rng.integers(9, 40, size=n)], axis=1),
    )


def rows_of(whole, rows):
    """Some utterances of a sample, with repetition."""
    return Sample(
        whole.truth[rows],
        whole.predicted[rows],
        whole.n_labels,
        whole.probs[rows],
        whole.confidence[rows],
        whole.votes[rows],
        {name: (x[rows], y[rows]) for name, (x, y) in whole.dimensions.items()},
        whole.words[rows],
        whole.characters[rows],
    )


def test_units_are_speakers_where_they_are_known():
    units = Units.of(["a", "b", "", "a", ""], 5)
    assert units.index.tolist() == [0, 1, 2, 0, 3]
    assert (units.n, units.clustered) == (4, True)


def test_units_are_utterances_otherwise():
    units = Units.of(None, 7)
    assert sorted(units.index.tolist()) == list(range(7))
    assert (units.n, units.clustered) == (7, False)


def test_many_utterances_are_resampled_in_equal_groups():
    units = Units.of(None, 12_000)
    assert units.n == intervals.MAX_UNITS
    assert set(np.bincount(units.index).tolist()) == {2, 3}


def test_dice_fall_evenly_and_the_same_for_a_seed():
    fallen = Dice(7).integers(6, (600, 100))
    assert fallen.shape == (600, 100)
    counts = np.bincount(fallen.ravel(), minlength=6)
    assert chisquare(counts).pvalue > 0.01
    assert (fallen == Dice(7).integers(6, (600, 100))).all()
    assert Dice(0).integers(2**31, (1, 1000)).max() < 2**31


def test_normal_numbers_are_normal():
    drawn = Dice(1).normal((500, 200)).ravel()
    assert kstest(drawn, "norm").pvalue > 0.01


def test_jackknife_leaves_each_unit_out_once():
    weights = np.concatenate(list(intervals.jackknife_weights(5, 2)))
    assert (weights == 1 - np.eye(5)).all()


def test_jackknife_of_many_units_leaves_groups_out():
    weights = np.concatenate(list(intervals.jackknife_weights(1_000, 64)))
    assert weights.shape == (400, 1_000)
    assert ((1 - weights).sum(axis=0) == 1).all()


def without_each(values):
    """The mean of values with each of them left out."""
    return (values.sum() - values) / (len(values) - 1)


def test_students_distribution_is_scipys():
    for df in (1, 2, 3, 4, 9, 23, 60, 399):
        assert intervals.student_quantile(0.95, df) == pytest.approx(student.ppf(0.975, df))
        for t in (0.0, 0.3, 2.5):
            assert intervals.student_within(t, df) == pytest.approx(1 - 2 * student.sf(t, df))


def test_jackknife_covariance_of_means_is_that_of_the_sample(rng):
    values = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3))
    found = intervals.jackknife_covariance(np.apply_along_axis(without_each, 0, values))
    np.testing.assert_allclose(found, np.cov(values.T) / 40, rtol=1e-9)


def test_interval_without_bounds_is_students(rng):
    values = rng.normal(size=12)
    found = score_interval(values.mean(), without_each(values), (-np.inf, np.inf), 12)
    half = student.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert found == pytest.approx((values.mean() - half, values.mean() + half))


@pytest.mark.parametrize("n_right", [0, 1, 35, 69, 70])
def test_interval_of_accuracy_is_wilsons(n_right):
    right = (np.arange(70) < n_right).astype(float)
    low, high = score_interval(right.mean(), without_each(right), (0.0, 1.0), 70)
    z = student.ppf(0.975, 69)
    n = 70 if n_right in (0, 70) else 69  # the jackknife divides by n - 1
    p = right.mean()
    middle, half = p + z * z / 2 / n, z * np.sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    assert (low, high) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)), abs=1e-12
    )
    assert low < high


def test_interval_of_a_count_is_that_of_poisson():
    """All v with (x - v)² <= t² s² v / x."""
    values = np.array([0.0, 1.0, 3.0, 0.0, 2.0, 1.0])
    low, high = score_interval(values.mean(), without_each(values), (0.0, np.inf), 6)
    spread = student.ppf(0.975, 5) ** 2 * values.var(ddof=1) / 6 / values.mean()
    for end in (low, high):
        assert (values.mean() - end) ** 2 == pytest.approx(spread * end)
    assert 0 < low < values.mean() < high


def test_nothing_wrong_has_an_interval_with_a_width():
    assert score_interval(0.0, np.zeros(20), (0.0, np.inf), 20) == pytest.approx(
        (0.0, student.ppf(0.975, 19) ** 2 / 20)
    )


def test_a_mean_of_independent_parts_varies_less_than_they_do():
    left_out = np.stack([np.tile([0.8, 0.9], 20), np.repeat([0.8, 0.9], 20)], axis=1)
    ends = [(0.7, 0.9), (0.6, 1.0)]
    found = intervals.mean_interval(np.array([0.8, 0.8]), ends, left_out)
    half = np.hypot(0.1, 0.2) / 2
    assert found == pytest.approx((0.8 - half, 0.8 + half))
    same = np.stack([left_out[:, 0]] * 2, axis=1)
    found = intervals.mean_interval(np.array([0.8, 0.8]), ends, same)
    assert found == pytest.approx((0.8 - 0.15, 0.8 + 0.15))


def test_a_label_that_is_never_true_has_no_part_in_the_mean():
    left_out = np.stack([np.tile([0.8, 0.9], 20), np.full(40, np.nan)], axis=1)
    ends = [(0.7, 0.9), (np.nan, np.nan)]
    found = intervals.mean_interval(np.array([0.8, np.nan]), ends, left_out)
    assert found == pytest.approx((0.7, 0.9))


@pytest.mark.parametrize(("estimate", "left_out"), [(np.nan, [0.1, 0.2]), (0.5, [np.nan, 0.5])])
def test_undefined_figures_have_no_interval(estimate, left_out):
    assert np.isnan(score_interval(estimate, np.array(left_out), (0.0, 1.0), 2)).all()


def test_a_sum_of_gaps_that_noise_alone_makes_is_0():
    rng = np.random.default_rng(1)
    gaps = 0.01 * rng.normal(size=(60, 15))
    whole = gaps.mean(axis=0)
    left_out = np.apply_along_axis(without_each, 0, gaps)
    found = intervals.gap_norm(whole, left_out, np.zeros(15))
    deviation = gaps.std(axis=0, ddof=1) / np.sqrt(60)
    assert found.noise == pytest.approx(np.sqrt(2 / np.pi) * deviation.sum())
    assert found.interval[0] == 0.0 < found.interval[1] < 2 * np.abs(whole).sum()
    assert 0.0 <= found.debiased < 0.7 * np.abs(whole).sum()
    less = intervals.gap_norm(0.8 * whole, left_out, np.zeros(15))
    assert less.debiased == 0.0  # below what noise makes on average


def test_a_sum_of_large_gaps_has_hardly_any_bias():
    rng = np.random.default_rng(2)
    gaps = 0.2 + 0.01 * rng.normal(size=(60, 5))
    whole = gaps.mean(axis=0)
    found = intervals.gap_norm(
        whole, np.apply_along_axis(without_each, 0, gaps), np.zeros(5), n_draws=20_000
    )
    assert found.debiased == pytest.approx(np.abs(whole).sum(), abs=1e-6)
    half = student.ppf(0.975, 59) * gaps.sum(axis=1).std(ddof=1) / np.sqrt(60)
    assert found.interval == pytest.approx((whole.sum() - half, whole.sum() + half), abs=5e-4)


def test_gaps_without_any_noise_have_no_interval():
    found = intervals.gap_norm(np.array([0.1, -0.2]), np.zeros((9, 2)), np.zeros(2))
    assert (found.debiased, found.noise) == (pytest.approx(0.3), 0.0)
    assert np.isnan(found.interval).all()


def test_permutation_p_value_counts_the_observed_one():
    some = np.array([0.1, -0.3, 0.4, 0.0])
    assert permutation_p_value(0.3, some, all_=False) == pytest.approx(3 / 5)
    assert permutation_p_value(0.3, some, all_=True) == pytest.approx(2 / 4)
    assert np.isnan(permutation_p_value(np.nan, np.array([0.1]), all_=False))


def test_every_outcome_of_coins_comes_once():
    coins = np.concatenate(list(intervals.all_coin_weights(4, 5)))
    assert len(np.unique(coins, axis=0)) == len(coins) == 16


def test_p_value_of_a_mean_difference_is_students(rng):
    values = rng.normal(0.5, size=6)
    found = intervals.difference_p_value(values.mean(), without_each(values))
    assert found == pytest.approx(ttest_1samp(values, 0.0).pvalue)
    assert intervals.difference_p_value(0.0, np.zeros(6)) == 1.0
    assert intervals.difference_p_value(0.1, np.full(6, 0.1)) == 0.0
    assert np.isnan(intervals.difference_p_value(np.nan, np.zeros(6)))


@pytest.mark.parametrize(("only_first", "only_second"), [(1, 6), (5, 5), (0, 0), (9, 2)])
def test_mcnemar_by_the_binomial_distribution(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, False])
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


def test_every_figure_of_a_weighted_table_is_that_of_its_rows(rng):
    whole = sample(rng)
    units = Units.of(list("abcdef" * 20), 120)
    weights = rng.integers(0, 4, size=(6, 6)).astype(float)
    found = score_of(whole, units.index, 6)(weights).figures
    for draw in range(6):
        rows = np.repeat(np.arange(120), weights[draw, units.index].astype(int))
        expected = figures_of(rows_of(whole, rows))
        each = {name: values[draw] for name, values in found.items()}
        assert each == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_parts_of_a_figure_make_it(rng):
    whole = sample(rng)
    found = score_of(whole, np.arange(120), 120)(np.ones((1, 120)))
    for name in ("ece", "adaptive_ece", "classwise_ece"):
        total = np.abs(found.parts[name][0, :, 0]).sum()
        assert total == pytest.approx(found.figures[name][0])
    assert found.parts["recall"][0, :, 0].mean() == pytest.approx(found.figures["uar"][0])
    assert found.parts["f1"][0, :, 0].mean() == pytest.approx(found.figures["macro_f1"][0])


def test_every_figure_of_a_group_is_that_of_its_rows(rng):
    whole = sample(rng)
    groups = rng.integers(0, 4, size=120)
    values = figures_by_group(whole, groups, 4)
    for group in range(4):
        expected = figures_of(rows_of(whole, np.flatnonzero(groups == group)))
        found = {name: figures[group] for name, figures in values.items()}
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_difference_is_that_of_the_figures(rng):
    first = sample(rng, skill=0.5)
    second = Sample(
        first.truth,
        first.truth.copy(),
        first.n_labels,
        first.probs[::-1],
        first.confidence[::-1],
    )
    found = differences(first, second, Units.of(None, 120), 50)
    one, other = figures_of(first), figures_of(second)
    for name in ("uar", "macro_f1", "ece", "aurc", "nll"):
        assert found[name].difference == pytest.approx(other[name] - one[name], abs=1e-12)
    assert found["uar"].low > 0
    assert found["uar"].p_value == pytest.approx(1 / 51)


def test_equal_systems_do_not_differ(rng):
    one = sample(rng)
    for value in differences(one, one, Units.of(None, 120), 20).values():
        assert (value.difference, value.low, value.high, value.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_permutation_test_agrees_with_going_through_all_exchanges():
    rng = np.random.default_rng(5)
    n = 8
    truth = np.zeros(n, dtype=np.intp)
    first, second = (np.where(rng.random(n) < rate, 0, 1) for rate in (0.4, 0.95))
    none = np.empty((n, 0)), np.full(n, np.nan)
    samples = [Sample(truth, predicted, 2, *none) for predicted in (first, second)]
    change = (second == 0).astype(float) - (first == 0)
    exact = np.mean(
        [
            abs(np.dot(signs, change)) >= abs(change.sum()) - 1e-9
            for signs in product((-1, 1), repeat=n)
        ]
    )
    found = differences(*samples, Units.of(None, n), 4_000)["accuracy"].p_value
    assert found == pytest.approx(exact, abs=1e-12)  # all 256 exchanges are fewer than 4,000
    some = differences(*samples, Units.of(None, n), 200)["accuracy"].p_value
    assert some == pytest.approx(exact, abs=0.1)


def test_few_units_are_compared_by_students_t(rng):
    """Five speakers have 32 exchanges, of which no two-sided test reaches 0.05."""
    first, second = sample(rng, n=50, skill=0.3), sample(rng, n=50, skill=6.0)
    second = Sample(
        first.truth, first.truth, 3, second.probs, second.confidence, first.votes,
        first.dimensions, first.words, first.characters,
    )  # fmt: skip
    found = differences(first, second, Units.of(list("abcde" * 10), 50), 500)["accuracy"]
    change = 1.0 - (first.predicted == first.truth)
    by_speaker = np.array([change[start::5].mean() for start in range(5)])
    assert found.p_value == pytest.approx(ttest_1samp(by_speaker, 0.0).pvalue)
    assert found.p_value < 0.05 < 2 / 32
