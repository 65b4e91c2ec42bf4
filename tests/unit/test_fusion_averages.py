"""Averages of posteriors, by hand arithmetic."""

import numpy as np
import pytest

from emocli.fusion import averages

A = [0.8, 0.1, 0.1]
B = [0.2, 0.6, 0.2]
NOBODY = [np.nan, np.nan, np.nan]


def fused(average, *rows, **options):
    """One utterance, one row for each model."""
    return average(np.array(rows)[:, np.newaxis], **options)[0]


def test_mean():
    np.testing.assert_allclose(fused(averages.mean, A, B), [0.5, 0.35, 0.15])
    np.testing.assert_allclose(fused(averages.mean, A, B, weights=[3, 1]), [0.65, 0.225, 0.125])


def test_product():
    roots = np.sqrt([0.16, 0.06, 0.02])
    np.testing.assert_allclose(fused(averages.product, A, B), roots / roots.sum())
    thirds = np.cbrt([0.8**2 * 0.2, 0.1**2 * 0.6, 0.1**2 * 0.2])
    np.testing.assert_allclose(fused(averages.product, A, B, weights=[2, 1]), thirds / thirds.sum())


def test_in_a_product_a_zero_overrules_and_two_that_clash_tie():
    np.testing.assert_allclose(
        fused(averages.product, [0.9, 0.1, 0.0], [0.0, 0.1, 0.9]), [0, 1, 0], atol=1e-150
    )
    np.testing.assert_allclose(fused(averages.product, [1, 0], [0, 1]), [0.5, 0.5])


def test_entropy_weighted():
    # H(B) / ln 3 = 0.864974, H(A) / ln 3 = 0.581672
    sure_a, sure_b = 1 - 0.581671866, 1 - 0.864973521
    expected = (np.array(A) * sure_a + np.array(B) * sure_b) / (sure_a + sure_b)
    np.testing.assert_allclose(fused(averages.entropy_weighted, A, B), expected, atol=1e-8)


def test_a_uniform_posterior_weighs_nothing_unless_all_are_uniform():
    uniform = [1 / 3, 1 / 3, 1 / 3]
    np.testing.assert_allclose(fused(averages.entropy_weighted, uniform, B), B, atol=1e-12)
    np.testing.assert_allclose(fused(averages.entropy_weighted, uniform, uniform), uniform)


def test_max_confidence():
    np.testing.assert_allclose(fused(averages.max_confidence, A, B), A)
    np.testing.assert_allclose(
        fused(averages.max_confidence, [0.6, 0.4], [0.4, 0.6], [0.5, 0.5]), [0.5, 0.5]
    )


@pytest.mark.parametrize(
    "average",
    [averages.mean, averages.product, averages.entropy_weighted, averages.max_confidence],
)
def test_a_model_without_a_say_leaves_it_to_the_others(average):
    np.testing.assert_allclose(fused(average, NOBODY, B), B, atol=1e-12)
    assert np.isnan(fused(average, NOBODY, NOBODY)).all()


def test_who_is_most_confident():
    probs = np.array([[A, A, NOBODY], [B, A, NOBODY]])
    assert averages.most_confident(probs).tolist() == [[True, True, False], [False, True, False]]
