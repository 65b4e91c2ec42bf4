"""Figures for --adapt from corpora that were left out."""

from pathlib import Path

import numpy as np

from emocli.calibration.adaptation import N_TRAITS
from emocli.training.adaptation import fit_adaptation
from emocli.training.data import Utterance


def people(corpora):
    return [
        Utterance(f"{c}{s}{k}.wav", Path(f"{c}{s}{k}.wav"), c, "abcd"[k % 4], f"{c}{s}")
        for c in corpora
        for s in range(5)
        for k in range(8)
    ]


def given(corpora, rng):
    utterances = people(corpora)
    n = len(utterances)
    truth = np.array(["abcd".index(one.label) for one in utterances])
    logits = 2.0 * np.eye(4)[truth] + rng.standard_normal((n, 4))
    return logits, rng.standard_normal((n, 60)).astype(np.float32), truth, utterances


def test_figures_are_of_corpora_and_of_speakers(rng):
    logits, functionals, truth, utterances = given("pqr", rng)
    logits += 3.0 * np.eye(4)[["pqr".index(one.corpus) for one in utterances]]
    found = fit_adaptation(logits, functionals, truth, utterances)
    assert found is not None
    assert found.directions.directions.shape == (60, N_TRAITS)
    assert np.trace(found.run.offsets) > 3 * np.trace(found.run.within) / 3
    assert found.run.means.argmax(axis=0).shape == (3,)
    np.testing.assert_allclose(found.speaker.within, found.speaker.within.T)


def test_two_corpora_are_too_few(rng):
    assert fit_adaptation(*given("pq", rng)) is None
