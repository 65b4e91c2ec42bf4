"""Folds, halves and held-out figures."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from emocli.calibration.conformal import SetRule
from emocli.calibration.fitting import (
    MAPS,
    Outcome,
    Sample,
    choose,
    figures,
    fit,
    held_out,
    outcome,
)
from emocli.calibration.temperature import Temperature
from emocli.errors import CalibrationError
from emocli.posteriors import log_softmax
from emocli.splits import even_folds, random_folds


@pytest.fixture
def sample(rng):
    honest = rng.normal(scale=1.5, size=(400, 3))
    truth = np.array([rng.choice(3, p=row) for row in np.exp(log_softmax(honest))])
    return Sample(log_softmax(2 * honest), truth, rng.random(400))


def test_no_speaker_is_in_two_folds_and_folds_are_even():
    groups = [name for name, n in zip("abcdefghijklm", range(1, 14), strict=True) for _ in range(n)]
    folds = even_folds(groups)
    assert len(set(folds.tolist())) == 10
    for name in set(groups):
        assert len({fold for fold, group in zip(folds, groups, strict=True) if group == name}) == 1
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 9
    assert even_folds(["x", "y", "x"]).tolist() == [0, 1, 0]


def test_random_folds_are_even():
    assert sorted(np.bincount(random_folds(25)).tolist()) == [2] * 5 + [3] * 5
    assert sorted(random_folds(3).tolist()) == [0, 1, 2]


def test_held_out_rows_never_fit_their_own_map(sample):
    folds = random_folds(len(sample))
    found = held_out(sample, folds, "isotonic")
    own = folds == 4
    fitted = fit(sample.select(~own), "isotonic")
    np.testing.assert_array_equal(
        found.log_probs[own], outcome(fitted, sample.select(own)).log_probs
    )
    assert found.members is None


def test_label_sets_come_from_another_half_than_the_map(sample):
    fitted = fit(sample, "temperature", SetRule(0.9))
    shuffled = np.random.default_rng(0).permutation(len(sample))
    half = sample.select(shuffled[:200])
    assert fitted.map == Temperature.fit(half.log_probs, half.truth)
    assert fitted.sets is not None
    assert fitted.sets.thresholds[0] == fitted.sets.thresholds[2]


def test_held_out_sets_cover_what_was_promised(sample):
    found = held_out(sample, random_folds(len(sample)), "temperature", SetRule(0.9, adaptive=True))
    values = figures(found, sample.truth)
    assert values["coverage"] == pytest.approx(0.9, abs=0.04)
    assert 1 <= values["set_size"] <= 3


def test_the_methods_in_order_of_their_held_out_surprisal(sample):
    losses = choose(sample, random_folds(len(sample)))
    assert set(losses) == set(MAPS)
    assert list(losses.values()) == sorted(losses.values())
    found = held_out(sample, random_folds(len(sample)), "beta")
    assert losses["beta"] == figures(found, sample.truth)["nll"]


def test_figures_are_scikit_learn_s(sample):
    values = figures(Outcome(sample.log_probs), sample.truth)
    probs = np.exp(sample.log_probs)
    assert values["nll"] == pytest.approx(log_loss(sample.truth, probs))
    brier = sum(brier_score_loss(sample.truth == k, probs[:, k]) for k in range(3))
    assert values["brier"] == pytest.approx(brier)
    assert set(values) == {"accuracy", "ece", "nll", "brier", "aurc"}


@pytest.mark.parametrize(("n", "rule", "least"), [(1, None, 2), (3, SetRule(0.9), 4)])
def test_too_few_rows_are_refused(sample, n, rule, least):
    with pytest.raises(CalibrationError) as caught:
        fit(sample.select(np.arange(n)), "temperature", rule)
    assert str(caught.value) == (
        f"{n} predictions have a known truth, expected {least} or more to fit a calibration. "
        f"Give more recordings that are labelled."
    )
