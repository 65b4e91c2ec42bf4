"""What holds for every fusion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emocli import posteriors
from emocli.fusion import averages
from emocli.fusion.entropy_selection import Answers, ClassRule, SentimentRule, fit, manual
from emocli.fusion.fused import exchange
from emocli.fusion.storage import dump_fuser, load_fuser

CALM = settings(deadline=None, max_examples=25)
"""No time limit for one example: a busy machine is no finding."""
LABELS = ("angry", "happy", "neutral", "sad")
AVERAGES = [
    averages.mean,
    averages.product,
    averages.entropy_weighted,
    averages.max_confidence,
]
several = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(2, 6)),
    elements=st.floats(-20, 20, width=32),
).map(posteriors.softmax)
utterances = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 30), st.just(4)),
    elements=st.floats(-3, 3, width=32),
).map(posteriors.softmax)
rules = st.builds(
    ClassRule,
    st.floats(0, 1.4),
    st.floats(0, 1),
    st.builds(SentimentRule, st.none() | st.floats(0, 1), st.booleans()),
)
seeds = st.integers(0, 2**31)


def answers_and_truth(n, seed):
    rng = np.random.default_rng(seed)
    said = Answers(rng.integers(-1, 3, n), rng.uniform(1 / 3, 1, n))
    return said, rng.integers(0, 4, n)


@pytest.mark.parametrize("average", AVERAGES)
@CALM
@given(several)
def test_fused_posteriors_sum_to_one(average, probs):
    np.testing.assert_allclose(average(probs).sum(axis=1), 1.0, atol=1e-9)


@pytest.mark.parametrize("average", AVERAGES)
@CALM
@given(several)
def test_fusing_equal_posteriors_is_identity(average, probs):
    same = np.repeat(probs[:1], 3, axis=0)
    np.testing.assert_allclose(average(same), probs[0], atol=1e-12)


@pytest.mark.parametrize("average", AVERAGES)
@CALM
@given(several, st.randoms(use_true_random=False))
def test_the_order_of_models_and_of_labels_does_not_matter(average, probs, random):
    models, labels = list(range(probs.shape[0])), list(range(probs.shape[2]))
    random.shuffle(models)
    random.shuffle(labels)
    np.testing.assert_allclose(
        average(probs[models][:, :, labels]), average(probs)[:, labels], atol=1e-12
    )


@pytest.mark.parametrize("average", AVERAGES)
@CALM
@given(several)
def test_a_model_without_a_say_changes_nothing(average, probs):
    silent = np.full((1, *probs.shape[1:]), np.nan)
    np.testing.assert_allclose(average(np.concatenate([probs, silent])), average(probs), atol=1e-12)


@CALM
@given(utterances, rules, seeds)
def test_selection_consults_exactly_the_doubtful(probs, rule, seed):
    said, _ = answers_and_truth(len(probs), seed)
    chosen = manual(LABELS, rule).select(probs, said)
    doubtful = (posteriors.entropy(probs) >= rule.entropy) & (
        posteriors.varentropy(probs) <= rule.varentropy
    )
    np.testing.assert_array_equal(chosen.consulted, doubtful & (said.sentiment >= 0))
    np.testing.assert_array_equal(chosen.label[~chosen.consulted], chosen.speech[~chosen.consulted])


@CALM
@given(utterances, seeds)
def test_what_was_learned_never_lowers_accuracy_where_it_was_learned(probs, seed):
    said, truth = answers_and_truth(len(probs), seed)
    chosen = fit(probs, said, truth, LABELS).select(probs, said)
    assert (chosen.label == truth).sum() >= (chosen.speech == truth).sum()


@CALM
@given(utterances, seeds)
def test_what_was_learned_survives_being_kept(probs, seed):
    said, truth = answers_and_truth(len(probs), seed)
    fuser = fit(probs, said, truth, LABELS, inputs=("voix", "mots é"))
    assert load_fuser(dump_fuser(fuser), "f.json") == fuser


@CALM
@given(utterances, seeds)
def test_an_exchange_leaves_entropy_and_varentropy_alone(probs, seed):
    rng = np.random.default_rng(seed)
    before, after = rng.integers(0, 4, (2, len(probs)))
    found = exchange(probs, before, after)
    np.testing.assert_allclose(posteriors.entropy(found), posteriors.entropy(probs), atol=1e-12)
    np.testing.assert_allclose(
        posteriors.varentropy(found), posteriors.varentropy(probs), atol=1e-12
    )
