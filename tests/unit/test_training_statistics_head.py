"""A linear head on statistics: the optimum, with fewer rows than features and with more."""

from pathlib import Path

import numpy as np
import pytest

from emocli.training.adaptation import balanced_weights
from emocli.training.data import Utterance
from emocli.training.statistics_head import PENALTY, fit_head


def given(rng, n, n_features):
    truth = np.arange(n) % 3
    utterances = [
        Utterance(f"{i}.wav", Path(f"{i}.wav"), "p" if i < n // 3 else "q", "abc"[truth[i]], "s")
        for i in range(n)
    ]
    means = 4.0 * rng.standard_normal((3, n_features))
    return means[truth] + rng.standard_normal((n, n_features)), truth, utterances


@pytest.mark.parametrize("n", [30, 300])
def test_the_gradient_is_zero_and_labels_are_found(rng, n):
    statistics, truth, utterances = given(rng, n, 100)
    head = fit_head(statistics, truth, utterances, 3)
    logits = head.logits(statistics)
    assert (logits.argmax(axis=1) == truth).mean() > 0.9
    probs = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
    weights = balanced_weights(utterances, truth)
    scaled = (statistics - head.mean) / head.deviation
    pull = (probs - np.eye(3)[truth]) * (weights / weights.mean())[:, None]
    np.testing.assert_allclose(pull.T @ scaled + PENALTY * head.weight, 0, atol=0.05 * n)


def test_a_temperature_divides_the_logits(rng):
    statistics, truth, utterances = given(rng, 30, 5)
    head = fit_head(statistics, truth, utterances, 3)
    np.testing.assert_allclose(head.cooled(2.0).logits(statistics), head.logits(statistics) / 2)


def test_corpora_weigh_as_the_root_of_their_size_and_labels_alike(rng):
    _, truth, utterances = given(rng, 90, 5)
    weights = balanced_weights(utterances, truth)
    mass = [weights[[one.corpus == name for one in utterances]].sum() for name in "pq"]
    assert mass[1] / mass[0] == pytest.approx(np.sqrt(2))
    by_label = np.bincount(truth[:30], weights=weights[:30])
    np.testing.assert_allclose(by_label, by_label[0])
