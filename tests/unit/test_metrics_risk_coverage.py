"""Risk-coverage figures against their definitions, ties by going through all orders."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from emocli.metrics.risk_coverage import Ranking, aurc, risk_coverage


def curve_of(confidence, right, weights=None):
    ranking = Ranking.of(np.asarray(confidence, float), np.asarray(right, bool))
    weights = np.ones(len(right)) if weights is None else np.asarray(weights, float)
    return ranking.curve(weights[ranking.order][np.newaxis])


def aurc_of_order(right):
    """Mean over k of the error rate of the first k."""
    errors = np.cumsum(~np.asarray(right, bool))
    return np.mean(errors / np.arange(1, len(right) + 1))


def over_orders(confidence, right, figure):
    """Mean of a figure of an ordered list over all orders that confidence allows."""
    rows = range(len(right))
    ordered = [
        order
        for order in permutations(rows)
        if all(confidence[a] >= confidence[b] for a, b in pairwise(order))
    ]
    return np.mean([figure([right[row] for row in order]) for order in ordered])


CONFIDENCE = [0.9, 0.8, 0.8, 0.8, 0.6, 0.5, 0.5]
RIGHT = [True, False, True, True, False, True, False]


def test_aurc_without_ties():
    assert aurc(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])) == pytest.approx(
        (0 + 1 / 2 + 1 / 3) / 3
    )


def test_aurc_with_ties_is_the_mean_over_their_orders():
    expected = over_orders(CONFIDENCE, RIGHT, aurc_of_order)
    assert curve_of(CONFIDENCE, RIGHT).aurc()[0] == pytest.approx(expected, abs=1e-12)


def test_aurc_of_equal_confidences_is_the_error_rate():
    assert aurc(np.full(6, 0.5), np.array([True] * 4 + [False] * 2)) == pytest.approx(2 / 6)


def test_aurc_of_nothing_is_undefined():
    assert np.isnan(aurc(np.array([]), np.array([], dtype=bool)))


def test_weights_mean_copies():
    weights = [2, 0, 1, 3, 1, 0, 2]
    copies = np.repeat(np.arange(7), weights)
    twice = curve_of(np.array(CONFIDENCE)[copies], np.array(RIGHT)[copies])
    weighted = curve_of(CONFIDENCE, RIGHT, weights)
    for figure in ("aurc", "least_aurc", "error_auroc", "adaptive_calibration_error"):
        np.testing.assert_allclose(getattr(weighted, figure)(), getattr(twice, figure)())
    np.testing.assert_allclose(weighted.accuracy_at(0.4), twice.accuracy_at(0.4))


def test_least_aurc_ranks_right_before_wrong():
    expected = aurc_of_order(sorted(RIGHT, reverse=True))
    assert curve_of(CONFIDENCE, RIGHT).least_aurc()[0] == pytest.approx(expected, abs=1e-12)


def test_accuracy_at_coverage_without_ties():
    curve = curve_of([0.9, 0.8, 0.7, 0.6], [True, False, True, True])
    assert curve.accuracy_at(0.5)[0] == pytest.approx(1 / 2)
    assert curve.accuracy_at(0.75)[0] == pytest.approx(2 / 3)
    assert curve.accuracy_at(1.0)[0] == pytest.approx(3 / 4)


def test_accuracy_at_coverage_shares_ties_and_the_last_one():
    curve = curve_of([0.9, 0.8, 0.8, 0.8], [True, False, True, True])
    assert curve.accuracy_at(0.5)[0] == pytest.approx((1 + 2 / 3) / 2)
    assert curve.accuracy_at(0.3)[0] == pytest.approx((1 + 0.2 * 2 / 3) / 1.2)


def test_error_auroc_by_pairs():
    pairs = [
        1.0 if CONFIDENCE[w] < CONFIDENCE[r] else 0.5 if CONFIDENCE[w] == CONFIDENCE[r] else 0.0
        for w in range(7)
        for r in range(7)
        if RIGHT[r] and not RIGHT[w]
    ]
    assert curve_of(CONFIDENCE, RIGHT).error_auroc()[0] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("right", [[True, True], [False, False]])
def test_error_auroc_needs_right_and_wrong_ones(right):
    assert np.isnan(curve_of([0.6, 0.4], right).error_auroc()[0])


def test_adaptive_error_in_bins_of_equal_mass(rng):
    confidence, right = rng.random(60), rng.random(60) < 0.5
    order = np.argsort(confidence)
    expected = sum(
        abs(confidence[part].mean() - right[part].mean()) * len(part) / 60
        for part in np.split(order, 15)
    )
    found = curve_of(confidence, right).adaptive_calibration_error(15)[0]
    assert found == pytest.approx(expected, abs=1e-12)


def test_adaptive_error_shares_the_utterance_on_a_border():
    found = curve_of([0.9, 0.6, 0.5], [True, False, True]).adaptive_calibration_error(2)[0]
    upper = abs((0.9 - 1.0) + 0.5 * (0.6 - 0.0))
    lower = abs(0.5 * (0.6 - 0.0) + (0.5 - 1.0))
    assert found == pytest.approx((upper + lower) / 3)


def test_risk_coverage_has_a_point_for_each_confidence():
    coverage, risk = risk_coverage(np.array(CONFIDENCE), np.array(RIGHT))
    np.testing.assert_allclose(coverage, np.array([1, 4, 5, 7]) / 7)
    np.testing.assert_allclose(risk, [0, 1 / 4, 2 / 5, 3 / 7])
