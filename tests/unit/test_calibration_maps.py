"""Calibration maps against scikit-learn, closed forms and hand arithmetic."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from emocli.calibration import vector
from emocli.calibration.average import Average
from emocli.calibration.beta import Beta
from emocli.calibration.isotonic import Curve, Isotonic
from emocli.calibration.numerics import LEAST_LOG, log_loss
from emocli.calibration.temperature import RANGE, Temperature
from emocli.calibration.vector import VectorScaling
from emocli.posteriors import log_softmax


@pytest.fixture
def overconfident(rng):
    """800 posteriors of three labels that are twice as sharp as they should be."""
    honest = rng.normal(scale=1.5, size=(800, 3))
    truth = np.array([rng.choice(3, p=row) for row in np.exp(log_softmax(honest))])
    return log_softmax(2.0 * honest), truth


def surprisal(log_probs, truth):
    return -log_probs[np.arange(len(truth)), truth].mean()


def test_the_loss_and_its_gradient(rng):
    logits, truth = rng.normal(size=(6, 3)), np.array([0, 1, 2, 2, 1, 0])
    loss, gradient = log_loss(logits, truth)
    assert loss == pytest.approx(surprisal(log_softmax(logits), truth))
    numeric = approx_fprime(logits.ravel(), lambda x: log_loss(x.reshape(6, 3), truth)[0], 1e-7)
    np.testing.assert_allclose(gradient.ravel(), numeric, atol=1e-6)


def test_two_labels_have_a_temperature_in_closed_form():
    # Three of four predictions with odds 9 to 1 are right: the best odds are 3 to 1, and
    # 9 ** (1 / T) = 3 for T = 2.
    log_probs = np.log([[0.9, 0.1]] * 4)
    fitted = Temperature.fit(log_probs, np.array([0, 0, 0, 1]))
    assert fitted.temperature == pytest.approx(2.0, abs=1e-6)
    np.testing.assert_allclose(np.exp(fitted.apply(log_probs[:1])), [[0.75, 0.25]], atol=1e-6)


def test_the_temperature_that_the_posteriors_were_made_with(overconfident):
    assert Temperature.fit(*overconfident).temperature == pytest.approx(2.0, abs=0.2)


def test_the_temperature_is_that_of_a_fine_grid(overconfident):
    log_probs, truth = overconfident
    grid = np.linspace(1.0, 3.0, 2001)
    losses = [surprisal(Temperature(each).apply(log_probs), truth) for each in grid]
    assert Temperature.fit(log_probs, truth).temperature == pytest.approx(
        grid[np.argmin(losses)], abs=0.001
    )


def test_predictions_that_are_all_right_end_sharp_and_all_wrong_ones_flat():
    log_probs = np.log([[0.6, 0.4], [0.4, 0.6]])
    assert RANGE[0] <= Temperature.fit(log_probs, np.array([0, 1])).temperature < 0.03
    assert Temperature.fit(log_probs, np.array([1, 0])).temperature == pytest.approx(RANGE[1])


def test_vector_scaling_of_two_labels_is_scikit_learn_s_logistic_regression(rng):
    honest = log_softmax(rng.normal(scale=1.5, size=(2000, 2)))
    truth = (rng.random(2000) > np.exp(honest[:, 0])).astype(int)
    skewed = log_softmax(honest * [1.5, 0.7] + [0.3, 0.0])
    fitted = VectorScaling.fit(skewed, truth, ridge=0.0)
    # The log odds of the first label are s_0 ln p_0 - s_1 ln p_1 + b_0 - b_1.
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(skewed, truth == 0)
    np.testing.assert_allclose(np.multiply(fitted.scales, [1, -1]), theirs.coef_[0], atol=2e-3)
    assert fitted.biases[0] - fitted.biases[1] == pytest.approx(theirs.intercept_[0], abs=2e-3)


def test_vector_scaling_finds_scales_and_biases(rng):
    honest = log_softmax(rng.normal(scale=2.0, size=(20_000, 3)))
    truth = np.array([rng.choice(3, p=row) for row in np.exp(honest)])
    skewed = log_softmax((honest - [0.5, 0.0, -0.5]) / 1.25)
    fitted = VectorScaling.fit(skewed, truth, ridge=0.0)
    after = fitted.apply(skewed)
    assert surprisal(after, truth) == pytest.approx(surprisal(honest, truth), abs=0.002)
    np.testing.assert_allclose(fitted.scales, 1.25, atol=0.08)
    np.testing.assert_allclose(
        np.subtract(fitted.biases, fitted.biases[1]), [0.5, 0, -0.5], atol=0.1
    )


def test_an_endless_ridge_makes_vector_scaling_a_temperature(overconfident):
    log_probs, truth = overconfident
    fitted = VectorScaling.fit(log_probs, truth, ridge=1e9)
    temperature = Temperature.fit(log_probs, truth).temperature
    np.testing.assert_allclose(fitted.scales, 1.0 / temperature, rtol=1e-4)
    np.testing.assert_allclose(fitted.biases, 0.0, atol=1e-4)


def test_vector_scaling_stops_where_the_gradient_vanishes(overconfident):
    log_probs, truth = overconfident
    fitted = VectorScaling.fit(log_probs, truth)
    scales, biases = np.array(fitted.scales), np.array(fitted.biases)
    _, gradient = log_loss(log_probs * scales + biases, truth)
    pull = vector.RIDGE / len(truth) * biases
    np.testing.assert_allclose(gradient.sum(axis=0) + pull, 0.0, atol=1e-5)


def test_isotonic_curves_are_scikit_learn_s(rng):
    log_probs, truth = log_softmax(rng.normal(size=(200, 3))), rng.integers(0, 3, 200)
    fitted = Isotonic.fit(log_probs, truth)
    grid = np.linspace(0, 1, 101)
    for label, curve in enumerate(fitted.curves):
        theirs = IsotonicRegression(out_of_bounds="clip")
        theirs.fit(np.exp(log_probs[:, label]), truth == label)
        clipped = np.clip(theirs.predict(grid), 1 / 202, 201 / 202)
        inside = clipped == theirs.predict(grid)  # away from the bounds of succession
        np.testing.assert_allclose(
            np.interp(grid, curve.x, curve.y)[inside], clipped[inside], atol=0.01
        )
        known = np.exp(log_probs[:, label])
        np.testing.assert_allclose(
            np.interp(known, curve.x, curve.y),
            np.clip(theirs.predict(known), 1 / 202, 201 / 202),
            atol=1e-12,
        )


def test_isotonic_by_hand():
    # p_0 = 0.2, 0.4, 0.6, 0.8 with label 0 in the second and fourth row: the middle two pool to
    # 1/2; nothing and everything become 1/6 and 5/6 of four rows and two more.
    probs = np.array([[0.2, 0.8], [0.4, 0.6], [0.6, 0.4], [0.8, 0.2]])
    fitted = Isotonic.fit(np.log(probs), np.array([1, 0, 1, 0]))
    assert fitted.curves[0] == Curve(
        tuple(np.exp(np.log(probs[:, 0])).tolist()), pytest.approx((1 / 6, 0.5, 0.5, 5 / 6))
    )
    np.testing.assert_allclose(
        np.exp(fitted.apply(np.log([[0.3, 0.7]]))),
        [[1 / 3, 2 / 3]],  # halfway from 1/6 to 1/2, and from 1/2 to 5/6
    )


def test_equal_probabilities_are_one_point():
    log_probs = np.log([[0.5, 0.5]] * 4)
    fitted = Isotonic.fit(log_probs, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(np.exp(fitted.apply(log_probs[:1])), [[0.75, 0.25]])


def test_beta_curves_are_scikit_learn_s_logistic_regression(overconfident):
    log_probs, truth = overconfident
    probs = np.exp(log_probs)
    for label, curve in enumerate(Beta.fit(log_probs, truth).curves):
        happened = truth == label
        n, m = happened.sum(), (~happened).sum()
        features = np.stack([log_probs[:, label], -np.log1p(-probs[:, label])], axis=1)
        # Platt's targets as weights of either answer.
        target = np.where(happened, (n + 1) / (n + 2), 1 / (m + 2))
        theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
            np.concatenate([features, features]),
            np.repeat([1, 0], len(truth)),
            sample_weight=np.concatenate([target, 1 - target]),
        )
        assert min(curve[:2]) > 0
        np.testing.assert_allclose(curve, [*theirs.coef_[0], theirs.intercept_[0]], atol=2e-3)


def test_beta_does_not_fall_where_the_data_do():
    log_probs = np.log([[0.9, 0.1], [0.1, 0.9]] * 20)
    fitted = Beta.fit(log_probs, np.array([1, 0] * 20))
    assert [curve[:2] for curve in fitted.curves] == [(0.0, 0.0)] * 2


def test_the_mean_is_the_mean(overconfident):
    log_probs, truth = overconfident
    fitted = Average.fit(log_probs, truth)
    parts = (fitted.temperature, fitted.vector, fitted.isotonic, fitted.beta)
    expected = np.mean([np.exp(part.apply(log_probs)) for part in parts], axis=0)
    np.testing.assert_allclose(np.exp(fitted.apply(log_probs)), expected, atol=1e-12)
    losses = [surprisal(part.apply(log_probs), truth) for part in parts]
    assert surprisal(fitted.apply(log_probs), truth) <= np.mean(losses)


@pytest.mark.parametrize("kind", [Temperature, VectorScaling, Isotonic, Beta, Average])
def test_every_map_lowers_the_surprisal_of_what_it_was_fitted_on(kind, overconfident):
    log_probs, truth = overconfident
    fitted = kind.fit(log_probs, truth)
    assert surprisal(fitted.apply(log_probs), truth) < surprisal(log_probs, truth) - 0.05


@pytest.mark.parametrize("kind", [Temperature, VectorScaling, Isotonic, Beta, Average])
def test_certainty_impossibility_and_nothing_pass_through_every_map(kind):
    edges = np.array([[0.0, LEAST_LOG, -np.inf], [np.nan] * 3, np.log([0.5, 0.3, 0.2])])
    truth = np.array([0, 1, 0])
    after = kind.fit(np.nan_to_num(edges[[0, 2, 2]], neginf=LEAST_LOG), truth).apply(edges)
    assert np.isnan(after[1]).all()
    np.testing.assert_allclose(np.exp(after[[0, 2]]).sum(axis=1), 1.0)
    assert np.isfinite(after[[0, 2]]).all()


@pytest.mark.parametrize("kind", [Temperature, VectorScaling, Isotonic, Beta, Average])
def test_a_label_that_is_never_true_stays_possible(kind, rng):
    log_probs = log_softmax(rng.normal(size=(50, 3)))
    after = kind.fit(log_probs, rng.integers(0, 2, 50)).apply(log_probs)
    assert np.exp(after[:, 2]).min() > 1e-9


@pytest.mark.parametrize("kind", [Temperature, VectorScaling, Isotonic, Beta, Average])
def test_fitting_twice_gives_the_same(kind, overconfident):
    assert kind.fit(*overconfident) == kind.fit(*overconfident)
