"""Conformal label sets by hand."""

import math

import numpy as np
import pytest

from emocli.calibration.conformal import (
    LabelSets,
    SetRule,
    coverage_of,
    finite_sample_quantile,
    scores,
)

PROBS = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
HALF = np.full(2, 0.5)


def test_the_quantile_counts_the_new_one():
    values = np.arange(1.0, 20.0)  # 19 of them: 20 * 0.9 = 18th
    assert finite_sample_quantile(values, 0.9) == 18.0
    assert finite_sample_quantile(values, 0.91) == 19.0
    assert finite_sample_quantile(values, 0.96) == math.inf
    assert finite_sample_quantile(np.empty(0), 0.5) == math.inf


def test_plain_scores():
    np.testing.assert_allclose(scores(PROBS, HALF, SetRule(0.9)), 1 - PROBS)


def test_adaptive_scores_add_what_is_likelier_and_a_random_part():
    found = scores(PROBS, np.array([0.5, 0.0]), SetRule(0.9, adaptive=True))
    np.testing.assert_allclose(found, [[0.25, 0.65, 0.9], [0.8, 0.9, 0.0]])


def test_a_penalty_for_every_label_after_the_first():
    found = scores(PROBS[:1], HALF[:1], SetRule(0.9, adaptive=True, penalty=0.1))
    np.testing.assert_allclose(found, [[0.25, 0.75, 1.1]])


def test_sets_hold_what_is_no_stranger_than_the_threshold():
    sets = LabelSets(SetRule(0.9), (0.7, 0.7, 0.7))
    assert sets.members(PROBS, HALF).tolist() == [[True, True, False], [False, False, True]]


def test_the_likeliest_label_is_always_in_and_nothing_is_in_for_nothing():
    sets = LabelSets(SetRule(0.9), (0.1, 0.1, 0.1))
    rows = np.vstack([PROBS, [[np.nan] * 3]])
    assert sets.members(rows, np.full(3, 0.5)).tolist() == [
        [True, False, False],
        [False, False, True],
        [False, False, False],
    ]


def test_thresholds_for_all_and_per_class():
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    truth = np.array([0, 0, 1, 1])
    draws = np.zeros(4)
    together = LabelSets.fit(probs, truth, draws, SetRule(0.5))  # 5 * 0.5 -> third of four
    assert together.thresholds == pytest.approx((0.3, 0.3))
    apart = LabelSets.fit(probs, truth, draws, SetRule(0.5, per_class=True))  # second of two
    assert apart.thresholds == pytest.approx((0.4, 0.3))


def test_too_few_of_a_class_put_it_in_every_set():
    truth = np.array([0] * 30 + [1])
    probs = np.tile([0.9, 0.1], (31, 1))
    sets = LabelSets.fit(probs, truth, np.zeros(31), SetRule(0.9, per_class=True))
    assert sets.thresholds == (pytest.approx(0.1), math.inf)
    assert sets.members(probs[:1], np.zeros(1)).tolist() == [[True, True]]


def test_coverage():
    members = np.array([[True, False], [True, True], [False, True]])
    assert coverage_of(members, np.array([1, 1, 1])).tolist() == [False, True, True]


@pytest.mark.parametrize("rule", [
    SetRule(0.8),
    SetRule(0.8, adaptive=True),
    SetRule(0.8, adaptive=True, penalty=0.05),
    SetRule(0.8, per_class=True),
    SetRule(0.8, adaptive=True, per_class=True),
])  # fmt: skip
def test_new_utterances_are_covered_as_promised(rule, rng):
    # Posteriors that are nonsense on purpose: the promise does not depend on the model.
    covered, per_label = [], []
    for _ in range(100):
        truth = rng.choice(3, p=[0.5, 0.3, 0.2], size=200)
        probs = rng.dirichlet([1, 1, 1], size=200) ** 3
        probs[np.arange(200), truth] += 0.1
        probs /= probs.sum(axis=1, keepdims=True)
        draws = rng.random(200)
        sets = LabelSets.fit(probs[:100], truth[:100], draws[:100], rule)
        hits = coverage_of(sets.members(probs[100:], draws[100:]), truth[100:])
        covered.append(hits.mean())
        per_label.append([hits[truth[100:] == label].mean() for label in range(3)])
    # 100 tables of 100: the standard error of the mean is below 0.006.
    assert np.mean(covered) > 0.8 - 0.018
    if rule.per_class:
        assert np.min(np.mean(per_label, axis=0)) > 0.8 - 0.03
