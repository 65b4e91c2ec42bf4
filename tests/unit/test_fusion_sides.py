"""Tables that go into a fusion: who has a say, in which order, over which labels."""

import numpy as np
import pytest

from emocli.errors import LabelMismatch, TableError
from emocli.fusion.sides import (
    Side,
    align,
    align_truth,
    check_predictions,
    common_posteriors,
    find_speech_and_text,
    restrict,
    split_models,
    true_labels,
)
from emocli.table import PredictionTable


def side(name="voice", files=("a.wav", "b.wav"), **columns):
    return Side(name, PredictionTable.from_columns({"file": list(files), **columns}))


def speech(name="voice", **columns):
    rows = {"p_angry": [0.6, 0.1], "p_happy": [0.1, 0.2], "p_neutral": [0.1, 0.4]}
    return side(name, **{**rows, "p_sad": [0.2, 0.3], **columns})


def words(name="words", **columns):
    rows = {"p_negative": [0.8, 0.1], "p_neutral": [0.1, 0.2], "p_positive": [0.1, 0.7]}
    return side(name, **{**rows, **columns})


def message(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_side_has_a_say_where_it_has_a_posterior():
    found = side(
        files=["a", "b", "c", "d"],
        p_sad=[0.5, None, 0.5, 0.5],
        p_happy=[0.5, None, 0.5, 0.5],
        error=["", "", "broken", ""],
        note=["", "near silence", "", "short; no words"],
    )
    assert found.has_say.tolist() == [True, False, False, False]
    assert found.remarks == ["", "near silence", "broken", "short; no words"]


def test_a_top_sentiment_and_its_score_are_a_posterior():
    found = side(label=["Positive", ""], score=["0.6", ""])
    assert found.is_sentiment
    np.testing.assert_allclose(found.probs[0], [0.2, 0.2, 0.6])
    assert found.has_say.tolist() == [True, False]
    assert found.answers.sentiment.tolist() == [2, -1]


def test_answers_of_full_posteriors():
    found = words(p_negative=[0.8, None], p_neutral=[0.1, None], p_positive=[0.1, None])
    assert found.answers.sentiment.tolist() == [0, -1]
    np.testing.assert_allclose(found.answers.score, [0.8, np.nan])


def test_a_label_that_is_no_sentiment_needs_all_probabilities():
    found = side(label=["positive", "joy"], score=[0.9, 0.8])
    assert message(TableError, lambda: found.answers) == (
        "voice: b.wav has label joy and a score but no p_ columns, expected negative, neutral, "
        "positive. Give the probabilities of all labels."
    )


@pytest.mark.parametrize("score", ["1.5", "-0.1", "nan", "high", ""])
def test_a_score_that_is_no_probability(score):
    found = side(label=["positive", "negative"], score=["0.9", score])
    assert message(TableError, lambda: found.answers) == (
        f"voice: the score of b.wav is {score or 'empty'}, expected a probability from 0 to 1. "
        f"Correct it or empty the row's label."
    )


def test_a_table_without_probabilities():
    assert message(TableError, check_predictions, side(text=["so", "what"])) == (
        "voice: no probabilities among columns file, text, expected p_ columns, or label and "
        "score of sentiments. Give tables that emocli predict wrote."
    )
    check_predictions(side(error=["broken", "broken"]))


def test_a_table_of_several_models_is_several_sides():
    table = PredictionTable.from_rows(
        [
            {"file": "a", "model": "x", "p_sad": 1, "p_happy": 0},
            {"file": "a", "model": "y", "p_negative": 1, "p_positive": 0, "p_neutral": 0},
        ]
    )
    first, second = split_models("table", table)
    assert (first.name, first.model, first.labels) == ("x", "x", ("sad", "happy"))
    assert (second.name, second.labels) == ("y", ("negative", "positive", "neutral"))


def test_a_failed_row_without_a_model_belongs_to_the_only_one():
    table = PredictionTable.from_rows(
        [{"file": "a", "model": "x", "p_sad": 1}, {"file": "b", "error": "broken"}]
    )
    (found,) = split_models("table", table)
    assert (found.name, len(found.table)) == ("x", 2)
    (unnamed,) = split_models("table", speech().table)
    assert (unnamed.name, unnamed.model) == ("table", "")


def test_rows_are_brought_into_the_order_of_the_first():
    other = side("words", files=["b.wav", "a.wav"], p_sad=[1, 0], p_happy=[0, 1])
    _, found = align([speech(), other])
    assert found.table["file"].tolist() == ["a.wav", "b.wav"]
    np.testing.assert_array_equal(found.probs, [[0, 1], [1, 0]])


def test_utterances_that_one_table_lacks_are_named():
    other = side("words", files=["b.wav", "c.wav"], p_sad=[1, 0], p_happy=[0, 1])
    assert message(TableError, align, [speech(), other]) == (
        "voice and words speak of different utterances, expected the same in both; 1 of voice are "
        "missing from words: a.wav; 1 of words are missing from voice: c.wav. Add --allow-missing "
        "to fuse what is there."
    )


def test_label_sets_may_differ_in_order():
    other = side("other", p_sad=[1, 0], p_neutral=[0, 0], p_happy=[0, 0], p_angry=[0, 1])
    labels, probs = common_posteriors([speech(), other])
    assert labels == ("angry", "happy", "neutral", "sad")
    np.testing.assert_array_equal(probs[1], [[0, 0, 0, 1], [1, 0, 0, 0]])


def test_sentiments_become_emotions_in_the_ratio_of_the_voice():
    labels, probs = common_posteriors([words(), speech()])
    assert labels == ("angry", "happy", "neutral", "sad")
    np.testing.assert_allclose(probs[0], [[0.6, 0.1, 0.1, 0.2], [0.025, 0.7, 0.2, 0.075]])


def test_of_several_voices_the_mean_gives_the_ratio():
    other = side("other", p_angry=[0, 0], p_happy=[0.4, 0], p_neutral=[0, 0.9], p_sad=[0.6, 0.1])
    _, probs = common_posteriors([speech(), words(), other])
    np.testing.assert_allclose(probs[1][0], [0.8 * 0.6 / 1.4, 0.1, 0.1, 0.8 * 0.8 / 1.4])


def test_where_no_voice_is_heard_the_ratio_is_one_to_one():
    silent = speech(error=["broken", ""])
    _, probs = common_posteriors([silent, words()])
    assert np.isnan(probs[0][0]).all()
    np.testing.assert_allclose(probs[1][0], [0.4, 0.1, 0.1, 0.4])


def test_sentiments_alone_stay_sentiments():
    labels, probs = common_posteriors([words(), side("top", label=["negative"] * 2, score=[1, 1])])
    assert labels == ("negative", "neutral", "positive")
    np.testing.assert_array_equal(probs[1], [[1, 0, 0], [1, 0, 0]])


def test_a_side_that_failed_throughout_has_no_labels_and_no_say():
    labels, probs = common_posteriors([side("dead", error=["x", "x"]), speech()])
    assert labels == ("angry", "happy", "neutral", "sad")
    assert np.isnan(probs[0]).all()
    assert common_posteriors([side("dead", error=["x", "x"])])[0] == ()


def test_label_sets_that_differ_name_the_shared_labels():
    other = side("other", p_sad=[1, 0], p_fearful=[0, 1], p_angry=[0, 0])
    assert message(LabelMismatch, common_posteriors, [speech(), other]) == (
        "The tables' labels differ, expected the same in all: voice has angry, happy, neutral, "
        "sad; other has sad, fearful, angry. Restrict them to the labels they share with --labels "
        "angry,sad."
    )
    foreign = side("foreign", p_awe=[1, 0], p_sad=[0, 1])
    assert message(LabelMismatch, common_posteriors, [speech(), foreign]).endswith(
        "foreign has awe, sad. Use models that know the same emotions."
    )


def test_restriction_scales_what_is_left():
    found = restrict(speech(label=["angry", "neutral"]), ["sad", "Anger"])
    assert found.labels == ("sad", "angry")
    np.testing.assert_allclose(found.probs, [[0.25, 0.75], [0.75, 0.25]])
    assert found.table["label"].tolist() == ["angry", "sad"]
    unheard = words()
    assert restrict(unheard, ["sad", "angry"]) is unheard


def test_restriction_to_what_a_model_does_not_have():
    assert message(LabelMismatch, restrict, speech(), ["sad", "awe"]) == (
        "Labels awe are not among angry, happy, neutral, sad. Choose labels that the model has."
    )
    assert message(LabelMismatch, restrict, speech(), ["sad"]) == (
        "--labels names sad, expected at least two labels. Name all that should be told apart."
    )


def test_which_side_is_the_voice_and_which_the_words():
    voice, text = speech(), words()
    assert find_speech_and_text([text, voice]) == (voice, text)
    assert message(TableError, find_speech_and_text, [voice, side("mute", error=["x", "x"])]) == (
        "This method takes one table of emotions and one of sentiments (negative, neutral, "
        "positive), found voice (angry, happy, neutral, sad); mute (no labels). Give a speech "
        "model's table and a sentiment model's table."
    )


def test_truth_in_the_order_of_the_predictions():
    truth = PredictionTable.from_columns({"file": ["b.wav", "a.wav"], "emotion": ["Joy", "SAD"]})
    table = speech().table
    assert align_truth(table, truth, "emotion") == ["sad", "happy"]
    short = truth.select(np.array([0]))
    assert message(TableError, align_truth, table, short, "emotion") == (
        "the predictions and the truth speak of different utterances, expected the same in both; "
        "1 of the predictions are missing from the truth: a.wav. Give tables of the same "
        "recordings."
    )
    assert message(TableError, true_labels, truth, "label") == (
        "The truth has no column label among file, emotion. "
        "Name the one that holds the label with --truth-column."
    )
    assert message(
        TableError, true_labels, truth.with_columns({"emotion": ["", "x"]}), "emotion"
    ) == (
        "The truth has no emotion for b.wav, expected a label for every row. "
        "Fill it in, or leave the row out of all tables."
    )


def test_a_side_of_dimensions_has_a_say_where_all_of_them_are_there():
    found = side(arousal=[0.5, None], valence=[0.1, 0.2])
    assert found.dimensions == ("arousal", "valence")
    assert found.has_say.tolist() == [True, False]
    assert not side(text=["a", "b"]).has_say.any()
