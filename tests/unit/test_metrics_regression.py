"""Figures of dimensions; expected values by hand or from the formula."""

import numpy as np
import pytest

from emocli.metrics import regression as reg

X, Y = np.array([1.0, 2.0, 4.0, 5.0]), np.array([2.0, 2.0, 5.0, 3.0])


def figure_of(of_sums, x, y):
    return float(of_sums(reg.regression_terms(x, y).sum(axis=0)))


def lin(x, y):
    """CCC as Lin writes it, with population moments."""
    covariance = np.mean((x - np.mean(x)) * (y - np.mean(y)))
    return 2 * covariance / (np.var(x) + np.var(y) + (np.mean(x) - np.mean(y)) ** 2)


def test_ccc_is_lins():
    assert reg.concordance_cc(X, Y) == pytest.approx(lin(X, Y), abs=1e-15)
    assert lin(X, Y) == pytest.approx(2 * 1.25 / (2.5 + 1.5))


def test_ccc_where_torchmetrics_differs():
    found = reg.concordance_cc([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0])
    assert found == pytest.approx(0.9768, abs=5e-5)


def test_other_figures_by_hand():
    assert figure_of(reg.pearson_of_sums, X, Y) == pytest.approx(1.25 / np.sqrt(2.5 * 1.5))
    assert figure_of(reg.rmse_of_sums, X, Y) == pytest.approx(np.sqrt(6 / 4))
    assert figure_of(reg.mae_of_sums, X, Y) == pytest.approx(4 / 4)
    assert figure_of(reg.bias_of_sums, X, Y) == 0.0


def test_a_constant_prediction_has_ccc_0_and_no_correlation():
    constant = np.full(4, 0.1)
    assert reg.concordance_cc(X, constant) == 0.0
    assert np.isnan(figure_of(reg.pearson_of_sums, X, constant))


def test_two_equal_constants_have_no_ccc():
    assert np.isnan(reg.concordance_cc([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]))


def test_two_different_constants_have_ccc_0():
    assert reg.concordance_cc([0.1, 0.1, 0.1], [0.3, 0.3, 0.3]) == 0.0


def test_small_variance_around_a_large_mean_is_kept():
    shift = 1e6
    assert reg.concordance_cc(X + shift, Y + shift) == pytest.approx(lin(X, Y), abs=1e-9)


def test_no_utterances_no_figures():
    for of_sums in (reg.ccc_of_sums, reg.pearson_of_sums, reg.rmse_of_sums, reg.bias_of_sums):
        assert np.isnan(figure_of(of_sums, [], []))


def test_figures_of_a_resampled_table_are_those_of_its_rows(rng):
    terms = reg.regression_terms(X, Y)
    weights = np.array([[1.0, 0.0, 2.0, 1.0], [3.0, 1.0, 0.0, 0.0]])
    for of_sums in (
        reg.ccc_of_sums,
        reg.pearson_of_sums,
        reg.rmse_of_sums,
        reg.mae_of_sums,
        reg.bias_of_sums,
    ):
        expected = [
            figure_of(of_sums, np.repeat(X, row.astype(int)), np.repeat(Y, row.astype(int)))
            for row in weights
        ]
        np.testing.assert_allclose(of_sums(weights @ terms), expected, atol=1e-12)
