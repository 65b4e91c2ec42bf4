"""Calibration figures against formulas written out bin by bin."""

import numpy as np
import pytest

from emocli.metrics import calibration as cal
from emocli.metrics.scores import Sample, figures_of


def bins_by_hand(confidence, right, n_bins):
    """Members of each bin, one utterance at a time; the first bin takes 0 as well."""
    members = [[] for _ in range(n_bins)]
    for p, hit in zip(confidence, right, strict=True):
        index = next(m for m in range(n_bins) if p <= (m + 1) / n_bins or m == n_bins - 1)
        members[index].append((p, hit))
    return [np.array(bin_, dtype=float).reshape(-1, 2) for bin_ in members]


def ece_by_hand(confidence, right, n_bins=15):
    parts = [b for b in bins_by_hand(confidence, right, n_bins) if len(b)]
    return sum(len(b) / len(right) * abs(b[:, 0].mean() - b[:, 1].mean()) for b in parts)


@pytest.fixture
def posteriors(rng):
    truth = rng.integers(0, 4, size=150)
    logits = rng.normal(size=(150, 4))
    logits[np.arange(150), truth] += 1.0
    probs = np.exp(2 * logits)
    return truth, probs / probs.sum(axis=1, keepdims=True)


@pytest.fixture
def figures(posteriors):
    truth, probs = posteriors
    return figures_of(Sample(truth, probs.argmax(axis=1), 4, probs, probs.max(axis=1)))


def test_borders_belong_to_the_lower_bin():
    assert cal.bin_index(np.array([0.0, 0.2, 0.21, 0.4, 1.0]), 5).tolist() == [0, 0, 1, 1, 4]


def test_every_border_of_fifteen_bins_belongs_to_the_lower_one():
    borders = np.arange(1, 16) / 15
    assert cal.bin_index(borders).tolist() == list(range(15))


def test_bins_hold_counts_confidence_and_hits():
    sums = cal.bins(np.array([0.3, 0.4, 0.9]), np.array([True, False, True]), n_bins=2)
    np.testing.assert_allclose(sums, [[2, 0.7, 1], [1, 0.9, 1]])


def test_bins_by_unit_add_up(rng):
    confidence, right = rng.random(50), rng.random(50) < 0.5
    parts = cal.bins(confidence, right, units=np.arange(50) % 4, n_units=4)
    np.testing.assert_allclose(parts.sum(axis=0), cal.bins(confidence, right))


def test_ece_and_mce_bin_by_bin(posteriors, figures):
    truth, probs = posteriors
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == truth
    assert figures["ece"] == pytest.approx(ece_by_hand(confidence, right), abs=1e-12)
    gaps = [
        abs(b[:, 0].mean() - b[:, 1].mean()) for b in bins_by_hand(confidence, right, 15) if len(b)
    ]
    assert figures["mce"] == pytest.approx(max(gaps), abs=1e-12)


def test_classwise_ece_is_the_mean_over_labels(posteriors, figures):
    truth, probs = posteriors
    expected = np.mean([ece_by_hand(probs[:, k], truth == k) for k in range(4)])
    assert figures["classwise_ece"] == pytest.approx(expected, abs=1e-12)


def test_a_label_without_truth_or_probability_does_not_thin_the_classwise_ece(posteriors, figures):
    truth, probs = posteriors
    padded = np.pad(probs, ((0, 0), (0, 1)))
    wider = figures_of(Sample(truth, probs.argmax(axis=1), 5, padded, probs.max(axis=1)))
    assert wider["classwise_ece"] == pytest.approx(figures["classwise_ece"], abs=1e-12)


def test_no_utterances_no_figures():
    empty = np.zeros((15, 3))
    assert np.isnan(cal.expected_calibration_error(empty))
    assert np.isnan(cal.maximum_calibration_error(empty))


def test_brier_and_nll_by_hand():
    probs, truth = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]]), np.array([0, 0])
    np.testing.assert_allclose(
        cal.brier_score(probs, truth), [0.3**2 + 0.2**2 + 0.1**2, 1 + 0.5**2 + 0.5**2]
    )
    np.testing.assert_allclose(
        cal.negative_log_likelihood(probs, truth), [-np.log(0.7), 52 * np.log(2)]
    )


def test_truth_without_a_column_was_given_nothing():
    probs, truth = np.array([[0.5, 0.5]]), np.array([-1])
    np.testing.assert_allclose(cal.brier_score(probs, truth), [1.5])
    np.testing.assert_allclose(cal.negative_log_likelihood(probs, truth), [36.04365338911715])


def test_a_model_without_labels_gave_nothing_to_anyone():
    probs, truth = np.empty((2, 0)), np.array([-1, -1])
    np.testing.assert_allclose(cal.brier_score(probs, truth), [1.0, 1.0])
    np.testing.assert_allclose(cal.negative_log_likelihood(probs, truth), [36.04365338911715] * 2)


def test_brier_decomposition_by_hand(posteriors, figures):
    truth, probs = posteriors
    reliability = resolution = uncertainty = 0.0
    for k in range(4):
        base = np.mean(truth == k)
        uncertainty += base * (1 - base)
        for b in bins_by_hand(probs[:, k], truth == k, 15):
            if len(b):
                share, said, happened = len(b) / len(truth), b[:, 0].mean(), b[:, 1].mean()
                reliability += share * (said - happened) ** 2
                resolution += share * (happened - base) ** 2
    assert figures["brier_reliability"] == pytest.approx(reliability, abs=1e-12)
    assert figures["brier_resolution"] == pytest.approx(resolution, abs=1e-12)
    assert figures["brier_uncertainty"] == pytest.approx(uncertainty, abs=1e-12)


def test_brier_decomposition_is_exact_if_bins_hold_one_probability_each():
    probs = np.array([[0.8, 0.2]] * 5 + [[0.4, 0.6]] * 5)
    truth = np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1])
    found = figures_of(Sample(truth, probs.argmax(axis=1), 2, probs, probs.max(axis=1)))
    assert found["brier_within_bin"] == pytest.approx(0.0, abs=1e-12)
    assert found["brier_reliability"] == pytest.approx(2 * (0.5 * 0.2**2), abs=1e-12)
    assert found["brier_uncertainty"] == pytest.approx(0.5, abs=1e-12)
