from pathlib import Path

import numpy as np
import pytest

from emocli.errors import RecipeError
from emocli.table import PredictionTable
from emocli.training.data import (
    Split,
    Utterance,
    by_speaker,
    check_speakers,
    cross_validation,
    draw_weights,
    final_split,
    fit_to_tables,
    leave_corpus_out,
    read_utterances,
)
from emocli.training.recipe import parse_recipe


def recipe(**changes):
    return parse_recipe(
        {
            "name": "mine",
            "labels": ["angry", "sad"],
            "data": [{"name": "own", "table": "deep/labels.csv"}],
            "members": [{"kind": "perceptron"}],
        }
        | changes,
        "r.toml",
    )


def utterance(speaker, corpus="a", label="angry"):
    return Utterance(f"{speaker}.wav", Path(f"{speaker}.wav"), corpus, label, speaker)


PEOPLE = [utterance(s, c) for c, s in [*(("a", f"a{i}") for i in range(5)), ("b", "b0")]] + [
    utterance("b1", "b", "sad")
]


def table(**columns):
    default = {
        "file": ["x.wav", "y.wav", "z.wav"],
        "emotion": ["anger", "surprise", "Sad"],
        "speaker": ["1", "1", "2"],
    }
    return PredictionTable.from_columns(default | columns, folder="/data/deep")


def test_rows_with_a_label_of_the_recipe_are_read():
    found = read_utterances(table(), recipe().data[0], recipe())
    assert [(u.file, u.path, u.label, u.speaker) for u in found] == [
        ("deep/x.wav", Path("/data/deep/x.wav"), "angry", "1"),
        ("deep/z.wav", Path("/data/deep/z.wav"), "sad", "2"),
    ]


def test_a_table_without_the_recipes_labels():
    columns = table(emotion=["joy", "fear", "calm"])
    with pytest.raises(RecipeError) as caught:
        read_utterances(columns, recipe().data[0], recipe())
    assert str(caught.value) == (
        "deep/labels.csv: no row with a label of the recipe (angry, sad), expected some. "
        "Check label_column and labels."
    )


def test_a_table_without_labels():
    bare = PredictionTable.from_columns({"file": ["x.wav"], "speaker": ["1"]})
    with pytest.raises(RecipeError) as caught:
        read_utterances(bare, recipe().data[0], recipe())
    assert str(caught.value) == (
        "deep/labels.csv: no column emotion among file, speaker, expected labels. Name their "
        "column with label_column in the recipe's data."
    )


def test_recordings_whose_speakers_nobody_names_are_units_by_themselves():
    bare = PredictionTable.from_columns(
        {"file": ["x.wav", "y.wav", "z.wav"], "emotion": ["sad", "angry", "sad"]}
    )
    found = read_utterances(bare, recipe().data[0], recipe())
    assert [one.speaker for one in found] == ["", "", ""]
    folds = cross_validation(found, recipe(split={"folds": 3}))
    assert sorted(fold.held_out for fold in folds) == [(0,), (1,), (2,)]
    half = read_utterances(table(speaker=["1", "Unknown", "nan"]), recipe().data[0], recipe())
    assert [one.speaker for one in half] == ["1", ""]


def test_folds_hold_everybody_out_once_and_nobody_twice():
    splits = cross_validation(PEOPLE, recipe(split={"folds": 2}))
    held = [index for split in splits for index in split.held_out]
    assert sorted(held) == list(range(len(PEOPLE)))
    for split in splits:
        check_speakers(split, PEOPLE)
        assert {"a", "b"} == {PEOPLE[index].corpus for index in split.held_out}
    again = cross_validation(PEOPLE, recipe(split={"folds": 2}))
    assert splits == again
    assert splits != cross_validation(PEOPLE, recipe(split={"folds": 2}, seed=5))


def test_more_folds_than_speakers():
    with pytest.raises(RecipeError) as caught:
        cross_validation(PEOPLE, recipe(split={"folds": 8}))
    assert str(caught.value) == (
        "split.folds is 8, expected between 2 and the 7 speakers. Change the recipe."
    )


def test_each_corpus_is_left_out():
    first, second = leave_corpus_out(PEOPLE)
    assert first == Split("without-a", (5, 6), (0, 1, 2, 3, 4))
    assert second == Split("without-b", (0, 1, 2, 3, 4), (5, 6))


def test_one_corpus_cannot_be_left_out():
    with pytest.raises(RecipeError) as caught:
        leave_corpus_out(PEOPLE[:5])
    assert str(caught.value) == (
        "The data are one corpus (a), expected two or more to leave one out. Add a table under "
        "data, or use --cross-validate."
    )


def test_a_speaker_of_two_corpora_is_an_error():
    with pytest.raises(RecipeError) as caught:
        leave_corpus_out([utterance("x", "a"), utterance("y", "b"), utterance("x", "b")])
    assert str(caught.value) == (
        "without-a: x (x.wav, x.wav) would be both in training and in testing. Give different "
        "people different names, or drop one of the tables."
    )


def test_development_speakers_are_held_out():
    split = final_split(PEOPLE, recipe(split={"dev_speakers": ["a1", "b0"]}))
    assert (split.name, split.held_out) == ("final", (1, 5))
    assert final_split(PEOPLE, recipe()).held_out == ()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["who"], "split.dev_speakers names who, who is in no table. Correct the name."),
        (["a0", "a1", "a2", "a3", "a4", "b0", "b1"],
         "split.dev_speakers names everybody, expected someone left to train on. "
         "Name fewer speakers."),
    ],
)  # fmt: skip
def test_development_speakers_that_cannot_be(names, sentence):
    with pytest.raises(RecipeError) as caught:
        final_split(PEOPLE, recipe(split={"dev_speakers": names}))
    assert str(caught.value) == sentence


def test_by_speaker_keeps_the_order():
    assert by_speaker("s", PEOPLE, {"a0", "b1"}) == Split("s", (1, 2, 3, 4, 5), (0, 6))


def test_draws_are_balanced_over_corpora_and_labels():
    people = [utterance("1")] * 6 + [utterance("2", label="sad")] * 2 + [utterance("3", "b")]
    people += [utterance("4", label="calm")] * 4
    weights = draw_weights(people, ("angry", "sad"), 0.5)
    shares = [weights[:6].sum(), weights[6:8].sum(), weights[8], weights[9:].sum()]
    assert shares == pytest.approx([0.2, 0.2, 0.5, 0.1])
    assert draw_weights(people, ("angry", "sad"), 0.0)[9:].sum() == 0
    assert np.isclose(weights.sum(), 1)


OWN = {
    "name": "builtin",
    "labels": ["angry", "sad"],
    "split": {"folds": 6},
    "licence": "theirs",
    "members": [{"kind": "perceptron", "utterances_per_epoch": 7680, "batch_size": 128}],
}


def own(**columns):
    columns = {"file": [f"{n}.wav" for n in range(len(columns["emotion"]))], **columns}
    return {"deep/my.csv": PredictionTable.from_columns(columns, folder="deep")}


def test_a_recipe_of_the_package_takes_the_words_of_somebodys_table():
    emotions = ["Relaxed", "joy", "relaxed", "Joy", "nan", "joy"]
    tables = own(emotion=emotions, speaker=["a", "a", "b", "b", "b", "Unknown"])
    found, remarks = fit_to_tables(OWN, tables, ())
    assert found["labels"] == ["joy", "relaxed"]
    assert found["data"] == [{"name": "my", "table": "deep/my.csv"}]
    assert (found["name"], found["licence"], found["notes"]) == ("builtin-my", "", "")
    assert (found["temperature"], found["split"]) == ("held-out", {"folds": 3})
    assert found["members"][0]["utterances_per_epoch"] == 1024
    assert remarks == [
        "1 rows without an emotion to train on are left out.",
        "No speaker is named for 1 of 5 recordings: each of these is held out by itself, so "
        "figures flatter where somebody speaks in several.",
    ]
    parsed = parse_recipe(found, "r")
    read = read_utterances(tables["deep/my.csv"], parsed.data[0], parsed)
    assert [one.label for one in read] == ["relaxed", "joy", "relaxed", "joy", "joy"]
    kept, _ = fit_to_tables({**OWN, "labels": ["joy", "relaxed"]}, tables, ("labels",))
    assert kept["labels"] == ["joy", "relaxed"]


def test_a_table_of_one_speaker_is_trained_on_and_not_measured():
    found, remarks = fit_to_tables(OWN, own(emotion=["a", "b"] * 2, speaker=["x"] * 4), ())
    assert (found["temperature"], found["split"]) == (1.0, {"folds": 0})
    assert remarks == [
        "All recordings are of one speaker, so nobody can be held out: the model is not measured "
        "and its probabilities are not calibrated."
    ]


@pytest.mark.parametrize(
    ("emotions", "sentence"),
    [
        (["joy"] * 3, "all 3 rows are joy, expected two emotions or more. Add recordings."),
        (["", "nan"], "no row names one, expected two emotions or more. Add recordings."),
        (["joy", "joy", "sad"], "one recording of sad, expected two or more of each emotion. Add "
         "recordings, or name the labels to train on with --set 'labels=[...]'."),
    ],
)  # fmt: skip
def test_tables_of_ones_own_that_cannot_be_trained_on(emotions, sentence):
    with pytest.raises(RecipeError) as caught:
        fit_to_tables(OWN, own(emotion=emotions), ())
    assert str(caught.value) == f"deep/my.csv: {sentence}"


def test_a_table_of_ones_own_without_emotions():
    table = PredictionTable.from_columns({"file": ["a"], "mood": ["sad"]})
    with pytest.raises(RecipeError) as caught:
        fit_to_tables(OWN, {"my.csv": table}, ())
    assert str(caught.value) == (
        "my.csv: no column emotion among file, mood, expected file, emotion and maybe speaker. "
        "Rename the column."
    )
