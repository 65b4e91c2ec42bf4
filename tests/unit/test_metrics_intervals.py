"""Resampling, intervals and tests of a difference."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import chisquare

from emocli.metrics import intervals
from emocli.metrics.intervals import Dice, Units, bca_interval, mcnemar, permutation_p_value
from emocli.metrics.scores import Sample, differences, figures_by_group, figures_of, spread_of


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


def test_bootstrap_weights_draw_as_many_as_there_are():
    blocks = list(intervals.bootstrap_weights(6, 25, Dice(0), 10))
    assert [len(block) for block in blocks] == [10, 10, 5]
    assert (np.concatenate(blocks).sum(axis=1) == 6).all()


def test_jackknife_leaves_each_unit_out_once():
    weights = np.concatenate(list(intervals.jackknife_weights(5, 2)))
    assert (weights == 1 - np.eye(5)).all()


def test_jackknife_of_many_units_leaves_groups_out():
    weights = np.concatenate(list(intervals.jackknife_weights(1_000, 64)))
    assert weights.shape == (400, 1_000)
    assert ((1 - weights).sum(axis=0) == 1).all()


def test_bca_without_bias_and_skew_is_the_percentile_interval():
    draws = np.linspace(-1.0, 1.0, 2_001)
    low, high = bca_interval(0.0, draws, np.array([-1.0, 1.0]))
    assert (low, high) == pytest.approx((-0.95, 0.95), abs=1e-12)


def test_bca_by_the_formula(rng):
    values = rng.exponential(size=30)
    draws = np.array([rng.choice(values, size=30).mean() for _ in range(800)])
    left_out = np.array([np.delete(values, row).mean() for row in range(30)])
    z0 = ndtri(np.mean(np.sign(values.mean() - draws) / 2 + 0.5))
    d = left_out.mean() - left_out
    a = np.sum(d**3) / (6 * np.sum(d**2) ** 1.5)
    ends = [ndtr(z0 + (z0 + z) / (1 - a * (z0 + z))) for z in ndtri([0.025, 0.975])]
    found = bca_interval(values.mean(), draws, left_out)
    assert found == pytest.approx(tuple(np.quantile(draws, ends)), abs=1e-9)


def test_an_interval_holds_its_figure_even_if_all_draws_are_above_it():
    draws = np.linspace(0.2, 0.4, 1_001)
    assert bca_interval(0.1, draws, np.array([0.1, 0.1])) == pytest.approx((0.005, 0.195))


def test_figures_that_never_vary_have_an_interval_of_no_width():
    assert bca_interval(0.5, np.full(10, 0.5), np.full(3, 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize(("estimate", "draws"), [(np.nan, [0.1, 0.2]), (0.5, [np.nan])])
def test_undefined_figures_have_no_interval(estimate, draws):
    assert np.isnan(bca_interval(estimate, np.array(draws), np.array([0.1, 0.2]))).all()


def test_permutation_p_value_counts_the_observed_one():
    assert permutation_p_value(0.3, np.array([0.1, -0.3, 0.4, 0.0])) == pytest.approx(3 / 5)
    assert np.isnan(permutation_p_value(np.nan, np.array([0.1])))


@pytest.mark.parametrize(("only_first", "only_second"), [(1, 6), (5, 5), (0, 0), (9, 2)])
def test_mcnemar_by_the_binomial_distribution(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, False])
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


def test_every_figure_of_a_resampled_table_is_that_of_its_rows(rng):
    whole = sample(rng)
    units = Units.of(list("abcdef" * 20), 120)
    spread = spread_of(whole, units, 6, seed=3)
    weights = np.concatenate(list(intervals.bootstrap_weights(6, 6, Dice(3), block=6)))
    for draw in range(6):
        rows = np.repeat(np.arange(120), weights[draw, units.index].astype(int))
        expected = figures_of(rows_of(whole, rows))
        found = {name: values[draw] for name, values in spread.draws.items()}
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_every_figure_of_a_group_is_that_of_its_rows(rng):
    whole = sample(rng)
    groups = rng.integers(0, 4, size=120)
    values = figures_by_group(whole, groups, 4)
    for group in range(4):
        expected = figures_of(rows_of(whole, np.flatnonzero(groups == group)))
        found = {name: figures[group] for name, figures in values.items()}
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_interval_of_accuracy_covers_the_truth_in_95_of_100_samples():
    hits = 0
    for seed in range(200):
        right = np.random.default_rng(seed).random(80) < 0.7
        truth = np.zeros(80, dtype=np.intp)
        predicted = np.where(right, 0, 1)
        table = Sample(truth, predicted, 2, np.empty((80, 0)), np.full(80, np.nan))
        low, high = spread_of(table, Units.of(None, 80), 400, seed).interval("accuracy")
        hits += low <= 0.7 <= high
    assert 180 <= hits <= 198


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
    assert found == pytest.approx(exact, abs=0.03)
