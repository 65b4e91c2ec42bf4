"""Soft truth, by hand."""

import numpy as np
import pytest

from emocli.metrics import soft

VOTES = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
PROBS = np.array([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])


def test_kl_divergence_by_hand():
    np.testing.assert_allclose(
        soft.kl_divergence(VOTES, PROBS), [0.5 * np.log(2), 52 * np.log(2)], atol=1e-12
    )


def test_jensen_shannon_by_hand():
    middle = np.array([0.375, 0.5, 0.125])
    expected = 0.5 * (0.5 * np.log(0.5 / 0.375) + 0.5 * np.log(0.5 / 0.5)) + 0.5 * np.sum(
        PROBS[0] * np.log(PROBS[0] / middle)
    )
    np.testing.assert_allclose(soft.jensen_shannon(VOTES, PROBS), [expected, np.log(2)])


def test_cosine_by_hand():
    expected = 0.375 / (np.sqrt(0.5) * np.sqrt(0.375))
    np.testing.assert_allclose(soft.cosine_similarity(VOTES, PROBS), [expected, 0.0])


def test_equal_posteriors_do_not_diverge():
    assert soft.kl_divergence(VOTES, VOTES) == pytest.approx(0.0)
    assert soft.jensen_shannon(PROBS, PROBS) == pytest.approx(0.0)
    assert soft.cosine_similarity(PROBS, PROBS) == pytest.approx(1.0)
