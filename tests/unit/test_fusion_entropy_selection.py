"""Entropy-aware score selection on small cases that can be followed by hand."""

import itertools

import numpy as np
import pytest

from emocli import posteriors
from emocli.errors import LabelMismatch
from emocli.fusion import entropy_selection
from emocli.fusion.entropy_selection import (
    NEVER,
    REFER,
    RULES,
    Answers,
    ClassRule,
    EntropySelection,
    Selection,
    SentimentRule,
    Tally,
    best_thresholds,
    fit,
    manual,
    mapped_emotions,
    tally_transitions,
)

LABELS = ("angry", "happy", "neutral", "sad")
ANGRY, HAPPY, NEUTRAL, SAD = range(4)
NEGATIVE, MIDDLE, POSITIVE = range(3)


def answers(sentiments, scores=None):
    given = np.full(len(sentiments), 0.5) if scores is None else np.array(scores, dtype=float)
    return Answers(np.array(sentiments, dtype=np.intp), given)


def test_the_order_of_the_search():
    assert len(RULES) == 31
    assert RULES[0] == SentimentRule(0.0, flip=True)
    assert [rule.threshold for rule in RULES[:15]] == pytest.approx(np.arange(15) * 0.05)
    assert all(rule.flip for rule in RULES[:15])
    assert not any(rule.flip for rule in RULES[15:])
    assert RULES[-1] == REFER


def test_sentiments_stand_for_emotions():
    probs = np.array([[0.3, 0.2, 0.2, 0.3], [0.1, 0.2, 0.4, 0.3]])
    for sentiment, emotion in ((MIDDLE, NEUTRAL), (POSITIVE, HAPPY), (-1, -1)):
        given = answers([sentiment, sentiment])
        assert mapped_emotions(REFER, given, probs, LABELS).tolist() == [emotion, emotion]


def test_the_refer_rule_takes_the_likelier_and_angry_on_a_tie():
    probs = np.array([[0.3, 0.2, 0.2, 0.3], [0.1, 0.2, 0.4, 0.3], [0.3, 0.2, 0.4, 0.1]])
    found = mapped_emotions(REFER, answers([NEGATIVE] * 3), probs, LABELS)
    assert found.tolist() == [ANGRY, SAD, ANGRY]


def test_a_model_of_more_emotions_keeps_those_that_a_sentiment_can_stand_for():
    names = (*LABELS, "fearful", "excited", "calm", "surprised")
    probs = np.array([[0.1, 0.1, 0.1, 0.1, 0.2, 0.15, 0.05, 0.2]] * 3)
    found = mapped_emotions(REFER, answers([NEGATIVE, MIDDLE, POSITIVE]), probs, names)
    assert [names[index] for index in found] == ["fearful", "neutral", "excited"]


def test_the_simple_rule_goes_by_the_score():
    probs = np.full((3, 4), 0.25)
    given = answers([NEGATIVE] * 3, [0.5, 0.6, 0.7])
    plain = mapped_emotions(SentimentRule(0.6), given, probs, LABELS)
    flipped = mapped_emotions(SentimentRule(0.6, flip=True), given, probs, LABELS)
    assert plain.tolist() == [ANGRY, ANGRY, SAD]
    assert flipped.tolist() == [SAD, SAD, ANGRY]


def test_thresholds_of_one_wrong_prediction_are_its_own():
    entropy, varentropy = np.array([0.2, 0.9, 1.2]), np.array([0.9, 0.4, 0.5])
    assert best_thresholds(entropy, varentropy, np.array([False, True, False])) == (0.9, 0.4)


def test_no_thresholds_without_a_wrong_prediction_or_without_a_row_to_consult():
    entropy, varentropy = np.array([0.2, 0.9]), np.array([0.9, 0.4])
    assert best_thresholds(entropy, varentropy, np.zeros(2, dtype=bool)) is None
    # The flatter of two wrong rows has the larger varentropy: no pair reaches either of them.
    assert best_thresholds(np.array([0.2, 0.9]), np.array([0.1, 0.9]), np.ones(2, bool)) is None


SMALL_GRID = 15


def naive_thresholds(entropy, varentropy, wrong):
    """Every pair in turn, as the definition reads."""
    low, high = np.quantile(entropy[wrong], [0.65, 0.85])
    floors = np.linspace(low, high, SMALL_GRID)
    low, high = np.quantile(varentropy[wrong], [0.15, 0.35])
    ceilings = np.linspace(low, high, SMALL_GRID)
    best, found = -1.0, None
    for floor, ceiling in itertools.product(floors, ceilings):
        consulted = (entropy >= floor) & (varentropy <= ceiling)
        if consulted.any() and wrong[consulted].mean() > best:
            best, found = wrong[consulted].mean(), (floor, ceiling)
    return found


@pytest.mark.parametrize("n", [12, 60, 400])
def test_all_pairs_at_once_give_what_each_pair_in_turn_gives(rng, n, monkeypatch):
    monkeypatch.setattr(entropy_selection, "N_GRID", SMALL_GRID)
    probs = rng.dirichlet(np.full(4, 0.8), n)
    entropy, varentropy = posteriors.entropy(probs), posteriors.varentropy(probs)
    wrong = rng.random(n) < 0.4
    assert best_thresholds(entropy, varentropy, wrong) == naive_thresholds(
        entropy, varentropy, wrong
    )


FLAT = [0.26, 0.24, 0.25, 0.25]
"""Predicted angry with next to no confidence."""
SURE = [0.97, 0.01, 0.01, 0.01]


def test_what_is_learned_from_a_handful_of_rows():
    probs = np.array([FLAT, FLAT, SURE, SURE])
    truth = np.array([HAPPY, ANGRY, ANGRY, ANGRY])
    said = answers([POSITIVE, NEGATIVE, POSITIVE, POSITIVE])
    fuser = fit(probs, said, truth, LABELS, inputs=("voice", "words"))
    rule = fuser.rules["angry"]
    assert rule.entropy == pytest.approx(posteriors.entropy(FLAT))
    assert rule.varentropy == pytest.approx(posteriors.varentropy(FLAT))
    # A score of 0.5 is above 0: flip reads it as angry, which is right; the first best wins.
    assert rule.sentiment == SentimentRule(0.0, flip=True)
    assert [fuser.rules[name] for name in LABELS[1:]] == [NEVER] * 3
    assert fuser.transitions == {("angry", "happy"): Tally(corrected=1, broken=0)}
    assert (fuser.excluded, fuser.inputs, fuser.n_calibration) == ((), ("voice", "words"), 4)

    chosen = fuser.select(probs, said)
    assert chosen.consulted.tolist() == [True, True, False, False]
    assert chosen.label.tolist() == [HAPPY, ANGRY, ANGRY, ANGRY]
    assert chosen.changed.tolist() == [True, False, False, False]


def test_an_exchange_that_broke_more_than_it_corrected_is_excluded():
    probs = np.array([FLAT] * 4)
    said = answers([POSITIVE, POSITIVE, POSITIVE, MIDDLE])
    fuser = fit(probs, said, np.array([HAPPY, ANGRY, ANGRY, NEUTRAL]), LABELS)
    assert fuser.transitions == {
        ("angry", "happy"): Tally(corrected=1, broken=2),
        ("angry", "neutral"): Tally(corrected=1, broken=0),
    }
    assert fuser.excluded == (("angry", "happy"),)
    chosen = fuser.select(probs, said)
    assert chosen.consulted.all()
    assert chosen.label.tolist() == [ANGRY, ANGRY, ANGRY, NEUTRAL]


def test_an_exchange_that_broke_as_many_as_it_corrected_stays():
    fuser = fit(np.array([FLAT] * 2), answers([POSITIVE] * 2), np.array([HAPPY, ANGRY]), LABELS)
    assert fuser.transitions == {("angry", "happy"): Tally(corrected=1, broken=1)}
    assert fuser.excluded == ()


def test_thresholds_set_by_hand():
    fuser = manual(LABELS, ClassRule(1.0, 0.5))
    assert fuser == EntropySelection(LABELS, dict.fromkeys(LABELS, ClassRule(1.0, 0.5, REFER)))
    chosen = fuser.select(np.array([FLAT, SURE, FLAT]), answers([MIDDLE, MIDDLE, -1]))
    assert chosen.consulted.tolist() == [True, False, False]
    assert chosen.label.tolist() == [NEUTRAL, ANGRY, ANGRY]
    assert chosen.text.tolist() == [NEUTRAL, NEUTRAL, -1]


def test_without_a_posterior_nothing_is_consulted():
    chosen = manual(LABELS, ClassRule(0.0, 9.0)).select(np.full((1, 4), np.nan), answers([MIDDLE]))
    assert (chosen.speech.tolist(), chosen.label.tolist()) == ([-1], [-1])
    assert not chosen.consulted.any()


def test_transitions_are_counted():
    selection = Selection(
        speech=np.array([ANGRY, ANGRY, ANGRY, SAD]),
        text=np.array([SAD, SAD, SAD, SAD]),
        consulted=np.array([True, True, True, True]),
        label=np.array([SAD, SAD, SAD, SAD]),
    )
    truth = np.array([SAD, ANGRY, -2, SAD])
    assert tally_transitions(selection, truth, LABELS) == {("angry", "sad"): Tally(1, 1)}


def test_labels_without_an_emotion_that_sentiments_stand_for():
    with pytest.raises(LabelMismatch) as caught:
        manual(("angry", "happy", "fearful"), ClassRule(1.0, 0.5))
    assert str(caught.value) == (
        "Entropy selection needs the emotions angry, happy, neutral, sad, and neutral, sad is "
        "missing from angry, happy, fearful. Use a speech model that has all four."
    )
