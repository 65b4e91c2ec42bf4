"""Adaptation without labels: what it corrects, and where it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.calibration.adaptation import (
    Adaptation,
    GroupFigures,
    TraitDirections,
    adapt,
    contrasts,
    fit_group_figures,
    fit_trait_directions,
    spread_share,
)
from emocli.posteriors import log_softmax

BASIS = contrasts(4)
MEANS = 3.0 * np.eye(4) @ BASIS  # each label's own log posterior stands out by 3 nats
FIGURES = GroupFigures(MEANS, np.eye(3), 4.0 * np.eye(3), np.array(0.4))


def recordings(rng, labels, shift=(0.0, 0.0, 0.0), scale=1.0):
    """Log posteriors and traits of recordings with these labels, shifted alike."""
    labels = np.asarray(labels)
    values = MEANS[labels] + np.asarray(shift) + scale * rng.standard_normal((len(labels), 3))
    return log_softmax(values @ BASIS.T), scale * rng.standard_normal((len(labels), 20))


def recall(found, labels):
    return np.mean(found.argmax(axis=1) == labels)


def test_contrasts_are_orthonormal_and_blind_to_what_labels_share():
    np.testing.assert_allclose(BASIS.T @ BASIS, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(BASIS.sum(axis=0), 0, atol=1e-12)


def test_a_shift_of_a_mixed_group_is_taken_out(rng):
    labels = np.arange(200) % 4
    log_probs, traits = recordings(rng, labels, shift=(4.0, -2.0, 1.0))
    found = adapt(log_probs, traits, ["all"] * 200, FIGURES)
    assert recall(log_probs, labels) < 0.7
    assert recall(found.log_probs, labels) > 0.9
    assert found.share > 0.95
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=1), 1)


def test_one_recording_is_left_as_it_is(rng):
    log_probs, traits = recordings(rng, [0], shift=(4.0, 0.0, 0.0))
    found = adapt(log_probs, traits, ["a"], FIGURES)
    np.testing.assert_allclose(found.log_probs, log_probs, atol=1e-12)
    assert (found.share, found.sizes.tolist()) == (0.0, [1])


def test_a_recording_alone_in_its_group_is_left_as_it_is_among_others(rng):
    log_probs, traits = recordings(rng, np.arange(41) % 4, shift=(4.0, -2.0, 1.0))
    found = adapt(log_probs, traits, ["b", *["a"] * 40], FIGURES)
    np.testing.assert_allclose(found.log_probs[0], log_probs[0], atol=1e-12)
    assert not np.allclose(found.log_probs[1:], log_probs[1:], atol=0.1)
    assert found.sizes.tolist() == [1, *[40] * 40]


def test_a_recording_is_corrected_by_the_others_alone(rng):
    """Its own value does not move its own correction but through the others' labels."""
    log_probs, traits = recordings(rng, np.arange(40) % 4, shift=(2.0, 0.0, 0.0))
    moved = log_probs.copy()
    moved[0] = log_softmax((MEANS[0] + 0.3) @ BASIS.T)
    first, second = (adapt(one, traits, ["a"] * 40, FIGURES) for one in (log_probs, moved))
    change = (first.log_probs - second.log_probs) @ BASIS - (log_probs - moved) @ BASIS
    assert np.abs(change[0]).max() < 0.2  # of a correction of about 2
    assert np.abs(change[1:]).max() > 0


def test_the_more_recordings_the_more_of_a_shift_goes(rng):
    shift = np.array([2.0, 1.0, 0.0])
    left = []
    for n in (2, 8, 64):
        labels = np.arange(n * 40) % 4
        log_probs, traits = recordings(rng, labels, shift=shift)
        groups = (np.arange(n * 40) // n).tolist()
        found = adapt(log_probs, traits, groups, FIGURES)
        corrected = (found.log_probs @ BASIS - MEANS[labels]).mean(axis=0)
        left.append(float(np.linalg.norm(corrected)))
    assert np.linalg.norm(shift) > left[0] > left[1] > left[2]


def test_a_group_of_one_emotion_is_not_taken_for_a_shifted_one(rng):
    labels = np.zeros(100, dtype=int)
    log_probs, traits = recordings(rng, labels)
    found = adapt(log_probs, traits, ["all"] * 100, FIGURES)
    assert found.share < 0.05
    assert recall(found.log_probs, labels) >= recall(log_probs, labels) - 0.01


def test_the_share_rises_with_the_spread_and_not_with_the_scale(rng):
    group = np.zeros(400, dtype=int)

    def share(labels, scale=1.0):
        log_probs, traits = recordings(rng, labels, scale=scale)
        return spread_share(log_probs @ BASIS, traits, group, FIGURES)

    assert share(np.arange(400) % 4) > 0.9 > 0.1 > share(np.zeros(400, dtype=int))
    assert share(np.zeros(400, dtype=int), scale=3.0) < 0.1  # louder noise is no mix


def test_recordings_that_do_not_differ_are_left_alone():
    log_probs = np.tile(log_softmax([[1.0, 0.0, 0.0, 0.0]]), (3, 1))
    found = adapt(log_probs, np.zeros((3, 20)), ["a"] * 3, FIGURES)
    np.testing.assert_allclose(found.log_probs, log_probs)
    assert found.share == 0.0


def test_nothing_is_adapted_to_nothing():
    found = adapt(np.empty((0, 4)), np.empty((0, 20)), [], FIGURES)
    assert found.log_probs.shape == (0, 4)
    assert found.sizes.shape == (0,)


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 4))
def test_adapted_posteriors_are_posteriors_and_order_does_not_matter(seed, n, n_groups):
    rng = np.random.default_rng(seed)
    log_probs, traits = recordings(rng, rng.integers(0, 4, n), shift=rng.normal(0, 3, 3))
    groups = rng.integers(0, n_groups, n).tolist()
    found = adapt(log_probs, traits, groups, FIGURES)
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=1), 1)
    order = rng.permutation(n)
    turned = adapt(log_probs[order], traits[order], [groups[i] for i in order], FIGURES)
    np.testing.assert_allclose(turned.log_probs, found.log_probs[order], atol=1e-9)


def test_figures_are_found_again(rng):
    """Moments of 60 speakers of 40 recordings are near those that made them."""
    n = 60 * 40
    labels, speaker = np.arange(n) % 4, np.arange(n) // 40
    shifts = rng.normal(0, 1.5, (60, 3))
    values = MEANS[labels] + shifts[speaker] + rng.standard_normal((n, 3))
    traits = 2.0 * rng.standard_normal((n, 5))
    found = fit_group_figures(
        log_softmax(values @ BASIS.T), traits, labels, speaker, speaker // 20, np.ones(n)
    )
    np.testing.assert_allclose(found.within, np.eye(3), atol=0.1)
    np.testing.assert_allclose(np.diag(found.offsets), 2.25, rtol=0.5)
    mixed, alone = 1 + np.linalg.eigvalsh(np.cov(MEANS.T, bias=True))[1:].mean(), 1.0
    midway = (np.log(mixed) + np.log(alone)) / 2 - np.log(4.0)  # traits have variance 4
    assert found.threshold == pytest.approx(midway, abs=0.1)
    centred = found.means - found.means.mean(axis=0)
    np.testing.assert_allclose(centred, MEANS - MEANS.mean(axis=0), atol=0.15)


def test_evenness_keeps_the_trace_of_the_shifts(rng):
    labels, corpus = np.arange(300) % 4, np.arange(300) // 100
    log_probs, traits = recordings(rng, labels)
    plain, even = (
        fit_group_figures(log_probs, traits, labels, corpus, corpus, np.ones(300), evenness=share)
        for share in (0.0, 1.0)
    )
    assert np.trace(even.offsets) == pytest.approx(np.trace(plain.offsets))
    np.testing.assert_allclose(even.offsets, even.offsets[0, 0] * np.eye(3), atol=1e-12)


def test_traits_keep_the_mean_variance_of_standardised_features(rng):
    features = rng.standard_normal((400, 1000)) * np.arange(1, 1001) + 5
    directions = fit_trait_directions(features)
    traits = directions.traits(features)
    assert traits.shape == (400, 32)
    assert traits.var(axis=0).mean() == pytest.approx(1000, rel=0.1)


def test_far_features_count_as_six_deviations():
    directions = TraitDirections(np.zeros(2), np.ones(2), np.eye(2))
    assert directions.traits(np.array([[100.0, -1.0]])).tolist() == [[6.0, -1.0]]


def stored():
    traits = TraitDirections(np.zeros(7), np.ones(7), np.ones((7, 20)))
    return Adaptation(traits, FIGURES, FIGURES)


def test_arrays_give_the_adaptation_back():
    again = Adaptation.from_arrays(stored().arrays(), 4)
    for name, value in stored().arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], value)


@pytest.mark.parametrize("name", sorted(stored().arrays()))
def test_arrays_that_are_missing_misshapen_or_no_numbers_are_named(name):
    arrays = stored().arrays()
    for wrong in (None, np.zeros((1, 1, 1)), np.full_like(arrays[name], np.nan)):
        changed = {**arrays, name: wrong}
        if wrong is None:
            del changed[name]
        with pytest.raises(ValueError, match=r"^(directions|run|speaker)\.\w+$"):
            Adaptation.from_arrays(changed, 4)
