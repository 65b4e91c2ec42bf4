"""Label names and maps between label sets."""

import numpy as np
import pytest

from emocli import labels
from emocli.errors import LabelMismatch


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("Angry", "angry"),
        ("ang", "angry"),
        ("ANGER", "angry"),
        ("生气/angry", "angry"),
        ("fear", "fearful"),
        ("Pleasant_Surprise", "surprised"),
        ("joy", "happy"),
        ("<unk>", "unknown"),
        ("Neg", "negative"),
        ("Awe ", "awe"),
        ("mixed feelings", "mixed_feelings"),
    ],
)
def test_canonical_label(name, canonical):
    assert labels.canonical_label(name) == canonical


@pytest.mark.parametrize(
    "written",
    [None, float("nan"), np.nan, "", "  ", "nan", "NaN", "None", "null", "NULL", "N/A", "n/a", "NA",
     "<NA>", " <na> ", "NaT", "#N/A"],
)  # fmt: skip
def test_what_programs_write_for_a_missing_value_states_no_label(written):
    assert labels.is_missing(written)
    assert labels.stated_label(written) == ""


@pytest.mark.parametrize(
    ("written", "label"), [("Anger", "angry"), ("nano", "nano"), ("0", "0"), (0, "0"), ("no", "no")]
)
def test_other_cells_state_their_label(written, label):
    assert not labels.is_missing(written)
    assert labels.stated_label(written) == label


def test_canonical_labels_keep_their_order():
    assert labels.canonical_labels(["neu", "hap", "ang", "sad"]) == (
        "neutral",
        "happy",
        "angry",
        "sad",
    )


def test_two_names_for_one_label_are_refused():
    with pytest.raises(LabelMismatch) as caught:
        labels.canonical_labels(["joy", "sad", "Happy"])
    assert str(caught.value) == (
        "Labels joy, Happy mean the same (happy), expected one name for each emotion. "
        "Rename one of them in the model's configuration."
    )


def test_sentiment_is_told_by_its_names():
    assert labels.is_sentiment(("positive", "neutral", "negative"))
    assert not labels.is_sentiment(("neutral", "happy"))


def test_select_labels_scales_what_is_left():
    probs = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    kept = labels.select_labels(probs, ("a", "b", "c"), ("c", "a"))
    np.testing.assert_allclose(kept, [[1 / 3, 2 / 3], [0.5, 0.5]])


def test_select_labels_names_what_is_missing():
    with pytest.raises(LabelMismatch) as caught:
        labels.select_labels(np.ones((1, 2)) / 2, ("happy", "sad"), ("sad", "calm"))
    assert str(caught.value) == (
        "Labels calm are not among happy, sad. Choose labels that the model has."
    )


def test_negative_sentiment_is_shared_in_the_ratio_of_speech():
    speech = np.array([[0.3, 0.2, 0.4, 0.1], [0.0, 0.5, 0.5, 0.0]])
    sentiment = np.array([[0.8, 0.15, 0.05], [0.6, 0.2, 0.2]])
    spread = labels.sentiment_to_emotions(sentiment, speech, ("angry", "happy", "neutral", "sad"))
    np.testing.assert_allclose(spread, [[0.6, 0.05, 0.15, 0.2], [0.3, 0.2, 0.2, 0.3]])


def test_a_sentiment_is_shared_by_all_emotions_that_it_can_stand_for():
    names = ("angry", "happy", "neutral", "sad", "fearful", "calm", "surprised")
    speech = np.array([[0.1, 0.2, 0.1, 0.0, 0.3, 0.1, 0.2], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]])
    sentiment = np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2]])
    spread = labels.sentiment_to_emotions(sentiment, speech, names)
    negative, neutral, positive = 0.6 / 0.6, 0.3 / 0.4, 0.1 / 0.4  # surprise may be any of them
    shared = [
        [
            *(0.1 * negative, 0.2 * positive, 0.1 * neutral, 0.0),
            *(0.3 * negative, 0.1 * neutral, 0.2 * (negative + neutral + positive)),
        ],
        [0.5 / 3, 0.2, 0.0, 0.5 / 3, 0.5 / 3, 0.3, 0.0],
    ]
    np.testing.assert_allclose(spread, shared, atol=1e-15)
    np.testing.assert_allclose(spread.sum(axis=1), 1.0)


def test_the_sentiment_map_needs_four_emotions():
    with pytest.raises(LabelMismatch) as caught:
        labels.sentiment_to_emotions(np.ones((1, 3)) / 3, np.ones((1, 2)) / 2, ("angry", "happy"))
    assert str(caught.value) == (
        "The sentiment map needs the emotions angry, happy, neutral and sad, and neutral, sad is "
        "missing from angry, happy. Use a speech model that has all four."
    )


def test_a_word_means_the_label_of_a_set_that_is_the_same_emotion():
    assert labels.match_label("relaxed", ("calm", "sad")) == "calm"
    assert labels.match_label("relaxed", ("calm", "relaxed")) == "relaxed"
    assert labels.match_label("calm", ("sad", "relaxed")) == "relaxed"
    assert labels.match_label("joy", ("sad", "angry")) == "happy"
    assert labels.match_label("", ("sad",)) == ""


def test_a_label_in_one_form_keeps_its_word():
    assert [labels.spelled_label(name) for name in ("Ang", "joy", "Relaxed", "生气/angry")] == [
        "angry", "joy", "relaxed", "angry",
    ]  # fmt: skip
