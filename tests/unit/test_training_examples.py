import numpy as np
import pytest

from emocli.errors import RecipeError
from emocli.table import PredictionTable
from emocli.training.examples import read_examples
from emocli.training.tuning import parse_tuning_recipe

BASE = {"recipe": "fine-tuning", "name": "r", "modality": "speech", "encoder": "e"}
CATEGORICAL = {**BASE, "loss": "focal"}
DIMENSIONAL = {**BASE, "loss": "concordance", "select": "ccc", "micro_batch": 16}


def recipe(content=CATEGORICAL, **changes):
    return parse_tuning_recipe({**content, **changes}, "r.toml")


def table(**columns):
    n = len(next(iter(columns.values())))
    return PredictionTable.from_columns(
        {"file": [f"{i}.wav" for i in range(n)], **columns}, folder="corpus"
    )


def read(columns, content=CATEGORICAL, **changes):
    return read_examples(table(**columns), "labels.csv", recipe(content, **changes))


def fails(columns, content=CATEGORICAL, **changes):
    with pytest.raises(RecipeError) as caught:
        read(columns, content, **changes)
    return str(caught.value)


FOUR = {
    "emotion": ["anger", "sad", "Happiness", "sad"],
    "speaker": ["a", "a", "b", "b"],
    "split": ["Train", "train", "Development", "dev"],
}


def test_rows_become_utterances():
    found = read(
        {**FOUR, "emotion": ["anger", "sad", "sad", "anger"], "text": ["x", "", None, "y"]}
    )
    assert found.files == ("0.wav", "1.wav", "2.wav", "3.wav")
    assert [path.as_posix() for path in found.paths[:1]] == ["corpus/0.wav"]
    assert found.names == ("anger", "sad")
    assert found.targets.tolist() == [0, 1, 1, 0]
    assert found.texts == ("x", "", "", "y")
    assert [found.parts[part].tolist() for part in ("train", "dev", "test")] == [[0, 1], [2, 3], []]
    assert np.isnan(found.starts).all()
    assert found.n_speakers("train") == 1
    assert found.counts("dev").tolist() == [1, 1]
    assert (len(found), found.left_out) == (4, {})


def test_labels_go_by_the_order_of_the_challenge_and_then_by_the_alphabet():
    labels = ["neutral", "awe", "calm", "happy", "contempt", "angry", "happy"]
    parts = ["train"] * 5 + ["dev"] * 2
    found = read({"emotion": labels, "speaker": list("aaaaabb"), "split": parts})
    assert found.names == ("happy", "contempt", "neutral", "awe", "calm")
    assert found.left_out == {"no such label in train": 1}


def test_the_recipe_may_name_labels_and_leave_others_out():
    columns = {
        "emotion": ["angry", "sad", "joy", "other", "", "sad", "angry"],
        "speaker": ["a"] * 5 + ["b"] * 2,
        "split": ["train"] * 5 + ["dev"] * 2,
    }
    found = read(columns, labels=["sad", "anger"])
    assert found.names == ("sad", "anger")
    assert found.left_out == {"emotion happy": 1, "emotion other": 1, "no emotion": 1}
    assert found.files == ("0.wav", "1.wav", "5.wav", "6.wav")
    assert read(columns).left_out == {"emotion other": 1, "no emotion": 1}


def test_rows_whose_emotion_is_written_as_missing_are_left_out_and_counted():
    written = ["angry", "sad", "nan", "None", "<NA>", "N/A", "angry", "sad"]
    found = read(
        {
            "file": [f"{n}.wav" for n in range(8)],
            "emotion": written,
            "speaker": ["a", "a", "a", "b", "b", "b", "b", "b"],
            "split": ["train"] * 3 + ["dev"] * 5,
        }
    )
    assert found.names == ("angry", "sad")
    assert found.left_out == {"no emotion": 4}


def test_a_label_that_only_development_has_moves_nobody_else():
    columns = {
        "emotion": ["angry", "awe", "sad", "angry", "sad"],
        "speaker": list("abaac"),
        "split": ["train", "dev", "train", "train", "dev"],
    }
    found = read(columns)
    assert found.files == ("0.wav", "2.wav", "3.wav", "4.wav")
    assert (found.parts["train"].tolist(), found.parts["dev"].tolist()) == ([0, 1, 2], [3])


def test_dimensions_are_scaled_to_run_from_0_to_1():
    columns = {
        "arousal": [1.0, 4.0, np.nan, 7.0], "dominance": [2.5] * 4, "valence": [7, 7, 7, 1],
        "speaker": list("aabb"), "split": ["train", "train", "dev", "dev"],
    }  # fmt: skip
    found = read(columns, DIMENSIONAL)
    assert found.names == ("arousal", "dominance", "valence")
    np.testing.assert_allclose(found.targets, [[0, 0.25, 1], [0.5, 0.25, 1], [1, 0.25, 0]])
    assert found.left_out == {"no value": 1}
    one = read(columns, DIMENSIONAL, dimensions=["valence"], dimension_range=[0, 10])
    np.testing.assert_allclose(one.targets[:, 0], [0.7, 0.7, 0.7, 0.1])


def test_without_a_split_some_speakers_are_chosen_by_seed():
    columns = {"emotion": ["angry", "sad"] * 20, "speaker": [f"s{i // 4}" for i in range(40)]}
    found = read(columns)
    assert (found.n_speakers("train"), found.n_speakers("dev")) == (8, 2)
    speakers = [{found.speakers[i] for i in found.parts[part]} for part in ("train", "dev")]
    assert not speakers[0] & speakers[1]
    assert read(columns).identity == found.identity
    others = {tuple(read(columns, seed=seed).parts["dev"]) for seed in range(5)}
    assert len(others) > 1
    half = read(columns, dev_share=0.5)
    assert half.n_speakers("dev") == 5
    assert half.identity != found.identity


def test_unknown_speakers_are_an_error_unless_they_are_allowed():
    columns = {"emotion": ["angry", "sad"] * 10}
    assert fails(columns) == (
        "labels.csv: no speaker for 0.wav, 1.wav, 2.wav, 3.wav, 4.wav, 5.wav, 6.wav, 7.wav, 8.wav, "
        "9.wav and 10 more, expected one for each row, for nobody may be both in training and in "
        "testing. Fill the column speaker, or add --set allow_unknown_speakers=true."
    )
    found = read(columns, allow_unknown_speakers=True)
    assert (len(found.parts["dev"]), found.n_speakers("dev")) == (4, 0)
    assert "no speaker for 1.wav," in fails({"emotion": ["angry", "sad"], "speaker": ["a", ""]})


def test_a_speaker_in_two_parts_is_an_error():
    columns = {
        "emotion": ["angry", "sad"] * 12,
        "speaker": [f"s{i:02}" for i in range(12)] * 2,
        "split": ["train"] * 12 + ["dev"] * 12,
    }
    assert fails(columns) == (
        "labels.csv: s00 (0.wav, 12.wav), s01 (1.wav, 13.wav), s02 (2.wav, 14.wav), "
        "s03 (3.wav, 15.wav), s04 (4.wav, 16.wav), s05 (5.wav, 17.wav), s06 (6.wav, 18.wav), "
        "s07 (7.wav, 19.wav), s08 (8.wav, 20.wav), s09 (9.wav, 21.wav) and 2 more would be both in "
        "train and in dev. Give different people different names, or correct the column split."
    )
    columns = {**FOUR, "emotion": ["sad", "angry"] * 2, "split": ["train", "train", "dev", "test1"]}
    assert fails(columns).startswith(
        "labels.csv: b (2.wav, 3.wav) would be both in dev and in test."
    )


def test_splits_of_other_names_are_an_error():
    columns = {**FOUR, "split": ["train", "train", "dev", "fold1"]}
    assert fails(columns) == (
        "labels.csv: split is 'fold1', expected train, dev or test. Correct the column, or leave "
        "it out for a split by speakers."
    )


def test_parts_without_rows_are_an_error():
    columns = {**FOUR, "split": ["train"] * 4}
    assert fails(columns) == (
        "labels.csv: no row to use in dev, expected some. Correct the column split."
    )
    assert fails({"emotion": ["angry", "sad"], "speaker": ["a", "a"]}) == (
        "labels.csv: only one speaker, expected two or more so that development has one of its "
        "own. Add a column split, or more speakers."
    )
    assert fails({"emotion": ["", "other"], "speaker": ["a", "a"]}) == (
        "labels.csv: no row that the recipe can use, expected some. Check its columns and labels."
    )


def test_labels_that_nobody_can_learn_are_an_error():
    columns = {**FOUR, "emotion": ["sad", "sad", "sad", "sad"]}
    assert fails(columns) == (
        "labels.csv: train has only sad, expected two labels or more. Add recordings."
    )
    assert fails(columns, labels=["sad", "angry", "contempt"]) == (
        "labels.csv: train has no angry, contempt, expected every label of the recipe. Leave it "
        "out with --set labels, or add recordings."
    )


def test_columns_that_are_missing_are_an_error():
    assert fails({"speaker": ["a", "b"]}) == (
        "labels.csv: no column emotion, expected file, emotion, speaker. `emocli data` writes such "
        "tables for known corpora."
    )
    assert fails({"speaker": ["a", "b"]}, modality="text").startswith(
        "labels.csv: no column emotion and text, expected file, emotion, text, speaker."
    )
    assert fails({"arousal": [1.0, 2.0]}, DIMENSIONAL).startswith(
        "labels.csv: no column dominance and valence, expected file, arousal, dominance, valence, "
    )


def test_texts_that_are_empty_are_left_out():
    columns = {**FOUR, "emotion": ["angry", "sad", "sad", "sad"], "text": ["a", "b", " ", "c"]}
    found = read(columns, modality="text")
    assert (found.texts, found.left_out) == (("a", "b", "c"), {"no text": 1})


def test_values_beyond_the_range_are_an_error():
    columns = {name: [0.1, 0.9] for name in ("arousal", "dominance", "valence")}
    columns = {**columns, "speaker": ["a", "b"]}
    assert fails(columns, DIMENSIONAL) == (
        "labels.csv: arousal runs from 0.1 to 0.9, expected 1 to 7. Give the range with --set "
        "'dimension_range=[LOW, HIGH]'."
    )
    nothing = {name: [np.nan, np.nan] for name in ("arousal", "dominance", "valence")}
    assert "no row that the recipe can use" in fails(
        {**nothing, "speaker": ["a", "b"]}, DIMENSIONAL
    )


def test_segments_keep_their_times():
    found = read(
        {**FOUR, "emotion": ["sad", "angry"] * 2, "start": [0, 1, 2, 3], "end": [1, 2, 3, 4]}
    )
    assert (found.starts.tolist(), found.ends.tolist()) == ([0, 1, 2, 3], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "hinge"},
         "loss is 'hinge', expected weighted-cross-entropy or focal or concordance"),
        ({"modality": "video"}, "modality is 'video', expected speech or text"),
        ({"frozen": "head"}, "frozen is 'head', expected nothing or front-end or encoder"),
        ({"schedule": "stairs"},
         "schedule is 'stairs', expected constant or linear or cosine or cosine-by-epoch"),
        ({"precision": "fp8"}, "precision is 'fp8', expected fp32 or mixed"),
        ({"select": "ccc"}, "select is 'ccc', expected macro_f1 or uar or accuracy"),
        ({"sampling": "best"},
         "sampling is 'best', expected shuffle or class-balanced or neutral-expressive"),
        ({"recipe": "other"}, "recipe is 'other', expected fine-tuning"),
        ({"labels": ["sad"]}, "labels is ('sad',), expected two or more, or none for all"),
        ({"loss": "concordance", "select": "ccc", "dimensions": ["joy"]},
         "dimensions is joy, expected some of arousal, dominance, valence"),
        ({"loss": "concordance", "select": "ccc", "dimension_range": [7, 1]},
         "dimension_range is [7.0, 1.0], expected a low and a higher number"),
        ({"loss_over": "epoch"}, "loss_over is 'epoch', expected step or micro-batch"),
        ({"class_weights": "all"}, "class_weights is 'all', expected True or False or drawn"),
        ({"epochs": 0}, "epochs is 0, expected 1 or more"),
        ({"micro_batch": 0}, "micro_batch is 0, expected 1 or more"),
        ({"accumulation": 0}, "accumulation is 0, expected 1 or more"),
        ({"loss": "concordance", "select": "ccc", "micro_batch": 4, "accumulation": 2},
         "micro_batch is 4 and accumulation 2, expected a product of 16 or more for CCC"),
        ({"hidden": 0}, "hidden is 0, expected 1 or more"),
        ({"residual_blocks": -1}, "residual_blocks is -1, expected 0 or more"),
        ({"dropout": 1.0}, "dropout is 1.0, expected from 0 to below 1"),
        ({"warm_up": 1.0}, "warm_up is 1.0, expected from 0 to below 1"),
        ({"final_rate": 2.0}, "final_rate is 2.0, expected from 0 to 1"),
        ({"dev_share": 0.0}, "dev_share is 0.0, expected above 0 and below 1"),
        ({"max_tokens": 2}, "max_tokens is 2, expected 3 or more"),
        ({"focal_gamma": -1.0}, "focal_gamma is -1.0, expected 0 or more"),
        ({"patience": -1}, "a number is negative, expected 0 or more"),
        ({"learning_rate": -1.0}, "a learning rate is negative, expected 0 or more"),
    ],
)  # fmt: skip
def test_a_recipe_without_sense_is_an_error(changes, sentence):
    with pytest.raises(RecipeError) as caught:
        recipe(**changes)
    assert str(caught.value) == f"r.toml: {sentence}. Change the recipe."


def test_labels_that_are_there_twice_are_an_error():
    with pytest.raises(RecipeError, match=r"^r\.toml: labels has angry more than once"):
        recipe(labels=["Angry", "angry", "sad"])


def test_the_words_of_the_table_stay():
    words = ["Relaxed", "calm", "Joy", "relaxed", "calm", "joy"]
    columns = {"emotion": words, "speaker": list("aaabbb"), "split": ["train"] * 3 + ["dev"] * 3}
    found = read(columns)
    assert found.names == ("joy", "calm", "relaxed")
    assert found.targets.tolist() == [2, 1, 0, 2, 1, 0]
    named = read(columns, labels=["happy", "calm"])
    assert (named.names, named.targets.tolist()) == (("happy", "calm"), [1, 1, 0, 1, 1, 0])
