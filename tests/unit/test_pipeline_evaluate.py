"""Predictions meet the truth: joining, what counts as missing, and what to doubt."""

import json

import numpy as np
import pytest

from emocli.errors import TableError
from emocli.pipeline.doubts import speakers_in_names
from emocli.pipeline.evaluate import EvalOptions, evaluate
from emocli.pipeline.pairing import Pairing
from emocli.table import PredictionTable

LABELS = ("angry", "happy", "sad")
FILES = [f"{row}.wav" for row in range(6)]
EMOTIONS = ["angry", "angry", "happy", "happy", "sad", "sad"]
PREDICTED = ["angry", "happy", "happy", "happy", "sad", "angry"]
NO_DRAWS = EvalOptions(n_draws=0)


def predictions(labels=PREDICTED, files=FILES, top=0.8, **columns):
    probs = {
        f"p_{name}": [
            top if name == label else (1 - top) / 2 if label else None for label in labels
        ]
        for name in LABELS
    }
    return PredictionTable.from_columns({"file": files, **probs, **columns})


def truth(emotions=EMOTIONS, files=FILES, **columns):
    return PredictionTable.from_columns({"file": files, "emotion": emotions, **columns})


def one(table, true, options=NO_DRAWS, **more):
    (found,) = evaluate([("p.csv", table)], true, options, truth_name="t.csv", **more)
    return found


def paired(**how):
    return EvalOptions(pairing=Pairing(**how), n_draws=0)


def error(table, true, options=NO_DRAWS, **more):
    with pytest.raises(TableError) as caught:
        one(table, true, options, **more)
    return str(caught.value)


def test_figures_of_a_small_table_by_hand():
    found = one(predictions(), truth())
    assert found.n == 6
    assert found.labels == LABELS
    assert found.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0]]
    assert found.figures["uar"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found.figures["accuracy"] == pytest.approx(4 / 6)
    assert found.figures["macro_f1"] == pytest.approx((1 / 2 + 4 / 5 + 2 / 3) / 3)
    assert found.figures["ece"] == pytest.approx(abs(0.8 - 4 / 6))
    assert found.figures["nll"] == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)
    assert found.figures["brier"] == pytest.approx((4 * 0.06 + 2 * (0.64 + 0.81 + 0.01)) / 6)
    assert found.per_class["happy"] == {
        "recall": 1.0,
        "precision": pytest.approx(2 / 3),
        "f1": pytest.approx(4 / 5),
        "support": 2,
    }


def test_the_order_of_rows_does_not_matter():
    shuffled = predictions().select(np.array([3, 1, 5, 0, 2, 4]))
    assert one(shuffled, truth()).figures == pytest.approx(one(predictions(), truth()).figures)


def test_names_of_true_emotions_are_made_canonical():
    names = ["Anger", "ang", "JOY", "happiness", "sadness", "Sad"]
    assert (
        one(predictions(), truth(names)).counts.tolist()
        == one(predictions(), truth()).counts.tolist()
    )


def test_an_utterance_without_a_prediction_is_an_error():
    assert error(predictions(PREDICTED[:4], FILES[:4]), truth()) == (
        "p.csv: 2 of 6 utterances of t.csv have no prediction: 4.wav, 5.wav. Predict them, or "
        "count them as wrong with --allow-missing."
    )


def test_a_missing_prediction_counts_as_wrong_if_allowed():
    found = one(predictions(PREDICTED[:4], FILES[:4]), truth(), paired(allow_missing=True))
    assert (found.n, found.n_missing) == (6, 2)
    assert found.counts[2].tolist() == [0, 0, 0, 2]
    assert found.figures["accuracy"] == pytest.approx(3 / 6)
    assert found.figures["ece"] == pytest.approx(abs(0.8 - 3 / 4))  # of those with a confidence


def test_a_row_with_an_error_is_a_missing_prediction():
    table = predictions([*PREDICTED[:5], ""], error=[""] * 5 + ["cannot be read"])
    assert error(table, truth()).startswith("p.csv: 1 of 6 utterances of t.csv have no prediction")


def test_a_posterior_without_a_label_is_no_missing_prediction():
    columns = {name: values.tolist() for name, values in predictions().columns.items()}
    columns["label"][2] = ""
    table = PredictionTable.from_columns(columns)
    found = one(table, truth())
    assert (found.n, found.n_abstained, found.n_missing) == (5, 1, 0)


def test_a_table_in_which_everything_failed_has_no_right_prediction():
    table = PredictionTable.from_columns({"file": FILES, "error": ["cannot be read"] * 6})
    assert "6 of 6 utterances" in error(table, truth())
    assert one(table, truth(), paired(allow_missing=True)).figures["uar"] == 0.0


def test_a_prediction_without_truth_is_an_error():
    assert error(predictions(), truth(EMOTIONS[:4], FILES[:4])) == (
        "p.csv: 2 of 6 predictions have no truth in t.csv: 4.wav, 5.wav. Complete the truth, or "
        "leave them out with --ignore-extra."
    )


def test_a_prediction_without_truth_is_left_out_if_allowed():
    found = one(predictions(), truth(EMOTIONS[:4], FILES[:4]), paired(ignore_extra=True))
    assert (found.n, found.n_extra) == (4, 2)


def test_tables_without_a_common_utterance():
    assert error(predictions(), truth(files=[f"x/{name}" for name in FILES])) == (
        "p.csv and t.csv have no utterance in common: the first begins with 0.wav, the second "
        "with x/0.wav. Name the folder that both start from with --root, or compare names alone "
        "with --match stem."
    )


def test_a_truth_without_rows():
    assert error(predictions(), truth([], [])) == (
        "t.csv: no rows, expected one for each utterance. Check how it was made."
    )


def test_names_alone_can_be_compared():
    found = one(
        predictions(), truth(files=[f"x/{row}.flac" for row in range(6)]), paired(match="stem")
    )
    assert found.n == 6


def test_tables_with_nothing_to_compare():
    true = PredictionTable.from_columns({"file": FILES, "feeling": EMOTIONS})
    table = PredictionTable.from_columns({"file": FILES, "label": PREDICTED})
    assert error(table, true) == (
        "p.csv and t.csv have nothing to compare: expected emotion, votes, arousal, dominance, "
        "valence or reference in the truth, found file, feeling, and label, the same dimensions "
        "or text in the predictions, found file, label. Name the column with --truth-column."
    )
    assert one(table, true, paired(truth_column="feeling")).n == 6


def test_predictions_whose_labels_were_all_left_out():
    table = PredictionTable.from_columns({"file": FILES, "label": [""] * len(FILES)})
    assert error(table, truth()) == (
        "p.csv: none of its 6 rows has a label, expected some. See the columns note and error for "
        "why; labels in doubt are left out by the --abstain options."
    )


def test_only_some_labels_can_be_evaluated():
    found = one(predictions(), truth(), paired(labels=("angry", "happy")))
    assert (found.n, found.n_left_out, found.labels) == (4, 2, ("angry", "happy"))
    assert found.counts.tolist() == [[1, 1, 0], [0, 2, 0]]


def test_a_prediction_outside_the_asked_labels_is_wrong():
    found = one(predictions(), truth(), paired(labels=("sad", "happy")))
    assert found.counts.tolist() == [[1, 0, 1], [0, 2, 0]]
    assert found.figures["accuracy"] == pytest.approx(3 / 4)


def test_labels_left_out_need_no_prediction():
    found = one(predictions(PREDICTED[:4], FILES[:4]), truth(), paired(labels=("angry", "happy")))
    assert found.n_missing == 0


def test_labels_that_nothing_has():
    assert error(predictions(), truth(), paired(labels=("calm", "bored"))) == (
        "t.csv: none of 6 utterances is calm or bored, expected some. Correct --labels or "
        "--truth-column."
    )


def test_emotions_that_the_model_cannot_predict_count_as_wrong_and_are_named():
    found = one(predictions(), truth(["calm", *EMOTIONS[1:5], "fearful"]))
    assert found.labels == (*LABELS, "calm", "fearful")
    assert found.figures["accuracy"] == pytest.approx(3 / 6)
    assert found.warnings[0] == (
        "t.csv: 2 of 6 utterances are calm, fearful, which p.csv cannot predict; they count as "
        "wrong. Leave them out with --labels angry,happy,sad."
    )


def test_rows_of_the_truth_without_an_emotion_are_left_out():
    found = one(predictions(), truth([*EMOTIONS[:5], ""]))
    assert found.n == 5
    assert found.warnings[0] == "t.csv: 1 of 6 utterances have no emotion and are not evaluated."


def test_rare_labels_are_named():
    assert one(predictions(), truth()).warnings == (
        "Under 20 utterances of angry (2), happy (2), sad (2): one of them moves the recall by "
        "more than 0.05.",
    )


def test_nearly_constant_predictions_are_named():
    files = [f"{row}.wav" for row in range(60)]
    found = one(predictions(["happy"] * 60, files), truth(EMOTIONS * 10, files))
    assert found.warnings == (
        "p.csv: 100% of the predictions are happy; they are nearly constant.",
    )


def test_predictions_without_probabilities_are_named():
    columns = {name: values.tolist() for name, values in predictions().columns.items()}
    for name in LABELS:
        columns[f"p_{name}"][0] = None
    found = one(PredictionTable.from_columns(columns), truth())
    assert (
        "p.csv: 1 predictions without probabilities are left out of the figures that need them."
        in found.warnings
    )


def test_a_table_of_labels_and_scores_has_confidence():
    table = PredictionTable.from_columns(
        {"file": FILES, "label": PREDICTED, "score": ["0.8"] * 4 + ["", "high"]}
    )
    found = one(table, truth())
    assert found.figures["ece"] == pytest.approx(abs(0.8 - 3 / 4))
    assert "nll" not in found.figures


def test_a_table_of_labels_alone_has_no_figures_of_confidence():
    table = PredictionTable.from_columns({"file": FILES, "label": PREDICTED})
    assert set(one(table, truth()).figures) == {
        "uar",
        "accuracy",
        "macro_f1",
        "weighted_f1",
        "kappa",
    }


def test_each_model_of_a_table_is_evaluated():
    both = PredictionTable.concat(
        [predictions(model=["one"] * 6), predictions(EMOTIONS, model=["two"] * 6)]
    )
    first, second = evaluate([("p.csv", both)], truth(), NO_DRAWS)
    assert (first.model, second.model) == ("one", "two")
    assert second.figures["uar"] == 1.0


def test_dimensions_by_name_and_their_mean():
    x, y = np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 2, 3, 5, 5, 5])
    table = PredictionTable.from_columns({"file": FILES, "arousal": x, "valence": y[::-1]})
    true = PredictionTable.from_columns({"file": FILES, "arousal": y, "valence": x[::-1]})
    found = one(table, true)
    ccc = 2 * np.mean((x - 3.5) * (y - 3.5)) / (np.var(x) + np.var(y))
    assert found.n == 6
    assert found.figures["ccc_arousal"] == pytest.approx(ccc)
    assert found.figures["ccc"] == pytest.approx(ccc)
    assert found.figures["bias_valence"] == pytest.approx(0.0)
    assert found.labels == ()
    assert "per_class" not in found.to_dict()


def test_a_missing_dimension_is_left_out():
    table = PredictionTable.from_columns({"file": FILES[:5], "valence": [1.0, 2, 3, 4, 5]})
    true = PredictionTable.from_columns({"file": FILES, "valence": [1.0, 2, 3, 4, 5, 9]})
    assert "1 of 6 utterances" in error(table, true)
    found = one(table, true, paired(allow_missing=True))
    assert (found.n, found.n_missing, found.figures["ccc"]) == (5, 1, pytest.approx(1.0))


def test_transcripts_against_references():
    table = PredictionTable.from_columns({"file": FILES[:2], "text": ["One, two!", "three"]})
    true = PredictionTable.from_columns({"file": FILES[:2], "reference": ["one two", "three four"]})
    assert one(table, true).figures["wer"] == pytest.approx(1 / 4)
    assert one(table, true, paired(normalize=False)).figures["wer"] == pytest.approx(3 / 4)


def test_a_missing_transcript_loses_all_its_words():
    table = PredictionTable.from_columns({"file": FILES[:1], "text": ["one two"]})
    true = PredictionTable.from_columns({"file": FILES[:2], "reference": ["one two", "three four"]})
    found = one(table, true, paired(allow_missing=True))
    assert found.figures["wer"] == pytest.approx(2 / 4)


def test_votes_are_soft_truth_and_their_majority_the_emotion():
    votes = {
        "votes_angry": ["2", "3", "", "0", "0", "1"],
        "votes_happy": ["1", "", "3", "3", "0", "0"],
    }
    true = PredictionTable.from_columns(
        {"file": FILES, **votes, "votes_sad": ["0", "0", "0", "0", "5", "3"]}
    )
    found = one(predictions(), true)
    assert found.counts.tolist() == one(predictions(), truth()).counts.tolist()
    # Row 0: votes (2, 1, 0) / 3 against (0.8, 0.1, 0.1).
    cosines = [
        (2 * 0.8 + 0.1) / np.sqrt(5 * 0.66),
        0.1 / np.sqrt(0.66),
        *(0.8 / np.sqrt(0.66),) * 3,
        (0.8 + 3 * 0.1) / np.sqrt(10 * 0.66),
    ]
    assert found.figures["cosine"] == pytest.approx(np.mean(cosines))
    assert found.figures["kl"] > found.figures["js"] > 0


def test_votes_say_nothing_of_labels_without_posteriors():
    labels = PredictionTable.from_columns({"file": FILES, "label": PREDICTED})
    votes = {f"votes_{name}": [str(int(name == one)) for one in EMOTIONS] for name in LABELS}
    found = one(labels, PredictionTable.from_columns({"file": FILES, **votes}))
    assert found.figures["accuracy"] == pytest.approx(4 / 6)
    assert not {"kl", "js", "cosine"} & set(found.figures)


def test_dimensions_have_no_balanced_sample():
    values, true = (
        PredictionTable.from_columns({"file": FILES, "valence": [1, 2, 3, 4, 5, 6]})
        for _ in range(2)
    )
    found = one(values, true, EvalOptions(n_draws=0, n_balanced=20, n_per_label=2))
    assert (found.figures["ccc"], found.balanced) == (pytest.approx(1.0), None)


def test_posteriors_of_the_truth_are_votes_only_if_asked_for():
    shares = predictions(top=0.7)
    assert error(predictions(top=0.7), shares).startswith(
        "p.csv and t.csv have nothing to compare: expected emotion, votes,"
    )
    found = one(predictions(top=0.7), shares, paired(truth_column="p_*"))
    assert found.figures["kl"] == pytest.approx(0.0, abs=1e-12)
    assert found.figures["cosine"] == pytest.approx(1.0)
    assert found.figures["accuracy"] == 1.0


def test_a_vote_that_is_no_number():
    true = PredictionTable.from_columns({"file": FILES, "votes_sad": ["1"] * 5 + ["two"]})
    assert error(predictions(), true) == (
        "votes_sad of 5.wav is 'two', expected a number of votes. Correct it or leave it empty."
    )


def test_predictions_are_no_truth():
    said = predictions(model=["m"] * 6, valence=[0.1] * 6)
    told = (
        "t.csv holds predictions of m, expected what is true. Give the table of the labels, or "
        "name its column of true emotions with --truth-column; `emocli eval --compare` takes the "
        "predictions of another model."
    )
    assert error(predictions(), said) == told
    assert error(predictions(), said, paired(truth_column="label")) == told
    itself = predictions(valence=[0.1] * 6)
    assert error(itself, itself) == told.replace(" of m,", ",")


def test_a_table_of_predictions_may_carry_its_truth():
    carried = predictions(model=["m"] * 6, emotion=EMOTIONS, valence=[0.1, 0.2] * 3)
    found = one(carried, carried)
    assert found.figures["accuracy"] == pytest.approx(4 / 6)
    assert "ccc" not in found.figures  # its valence is a prediction, too


def test_a_column_of_truth_that_is_not_there():
    assert error(predictions(), truth(votes_sad=["1"] * 6), paired(truth_column="emotoin")) == (
        "t.csv: no column emotoin, found file, emotion, votes_sad. Correct --truth-column."
    )
    assert error(predictions(), truth(), paired(truth_column="share_*")) == (
        "t.csv: no column share_*, found file, emotion. Correct --truth-column."
    )


def test_a_dimension_without_a_figure_is_missing():
    table = PredictionTable.from_columns(
        {"file": FILES, "arousal": [0.1, 0.2, 0.3, 0.5, 0.4, None]}
    )
    true = PredictionTable.from_columns(
        {"file": FILES, "arousal": [None, *[0.2, 0.4, 0.3, 0.5, 0.9]]}
    )
    assert error(table, true) == (
        "p.csv: 1 of 6 utterances of t.csv have no prediction: 5.wav. Predict them, or count them "
        "as wrong with --allow-missing."
    )
    found = one(table, true, paired(allow_missing=True))
    assert (found.n, found.n_missing) == (4, 1)


def test_a_label_beside_a_missing_dimension():
    table = predictions(valence=[0.5] * 5 + [None])
    assert one(table, truth()).n_missing == 0
    assert "1 of 6 utterances" in error(table, truth(valence=[0.5] * 6))


NAMES = {
    "RAVDESS": [f"03-01-0{emotion}-01-01-01-{actor:02}.wav" for actor in range(1, 5)
                for emotion in range(1, 6)],
    "CREMA-D": [f"clips/{actor}_IEO_{emotion}_HI.wav" for actor in (1001, 1002, 1003)
                for emotion in ("ANG", "SAD", "HAP")],
    "EmoDB": [f"wav/{speaker}a0{text}Wa.wav" for speaker in ("03", "08", "09")
              for text in (1, 2, 4)],
    "IEMOCAP": [f"Ses0{session}F_impro01_{sex}00{turn}.wav" for session in (1, 2) for sex in "FM"
                for turn in range(3)],
    "nEMO": [f"{speaker}_anger_{n}.wav" for speaker in ("SF1", "SM2") for n in range(4)],
    "folders": [f"corpus/Actor_{actor:02}/take{n}.wav" for actor in range(4) for n in range(3)],
    "numbers": [f"{speaker}/Angry/x{n}.flac" for speaker in ("0011", "0012") for n in range(3)],
    "windows": [f"D:\\voices\\spk{speaker}\\{n}.wav" for speaker in range(3) for n in range(3)],
}  # fmt: skip


@pytest.mark.parametrize("scheme", NAMES)
def test_speakers_in_names_are_told(scheme):
    found = speakers_in_names(NAMES[scheme])
    assert found is not None
    n = {"RAVDESS": 4, "CREMA-D": 3, "EmoDB": 3, "IEMOCAP": 4, "nEMO": 2, "folders": 4,
         "numbers": 2, "windows": 3}  # fmt: skip
    assert found.n == n[scheme]
    folders = scheme in ("folders", "numbers", "windows")
    assert found.place.startswith("their folders" if folders else "their names")


@pytest.mark.parametrize(
    "files",
    [
        FILES,
        [f"{split}/{row}.wav" for split in ("train", "test") for row in range(9)],
        [f"{emotion}/{row}.wav" for emotion in EMOTIONS for row in range(9)],
        [f"Actor_01/{row}.wav" for row in range(9)],  # one speaker
        [f"{row:04}/a.wav" for row in range(9)],  # a folder each
        [],
    ],
)
def test_names_without_speakers(files):
    assert speakers_in_names(files) is None


def test_intervals_over_rows_are_doubted_where_names_tell_speakers():
    files = [f"Actor_{actor:02}/{row}.wav" for actor in (1, 2) for row in range(3)]
    table = predictions(files=files)
    told = (
        "Intervals take 6 utterances as independent, for no table has a column speaker, but their "
        "folders tell 2 speakers, such as Actor_01. Utterances of one speaker are alike, so the "
        "intervals are too narrow. Add the column, or say --cluster none."
    )
    assert one(table, truth(files=files), EvalOptions()).warnings[-1] == told
    for options in (EvalOptions(cluster="none"), NO_DRAWS):
        assert told not in one(table, truth(files=files), options).warnings


def test_rows_without_a_speaker_are_counted():
    found = one(predictions(), truth(speaker=["a", "a", "b", "b", "", ""]), EvalOptions())
    assert found.units == "4 speakers"
    assert found.warnings[-1] == (
        "2 of 6 utterances have no speaker and count as one of their own in intervals."
    )


def test_what_noise_adds_to_ece_is_told():
    found = one(predictions(), truth(), EvalOptions())
    figures = found.figures
    assert figures["ece"] == pytest.approx(figures["ece_debiased"] + figures["ece_bias"])
    assert list(figures).index("ece_debiased") == list(figures).index("ece") + 1
    assert found.intervals["ece"] == found.intervals["ece_debiased"]
    assert not {"mce", "brier_reliability"} & set(found.intervals)
    assert not {"ece_debiased", "ece_bias"} & set(one(predictions(), truth()).figures)
    low, high = found.to_dict()["per_class"]["happy"]["recall_interval"]
    assert 0 < low < high == 1.0  # both found: a label that is right has an interval all the same


def test_intervals_rest_on_speakers():
    speakers = ["a", "a", "b", "b", "c", "c"]
    found = one(predictions(), truth(speaker=speakers), EvalOptions(n_draws=200))
    assert found.units == "3 speakers"
    low, high = found.intervals["accuracy"]
    assert low <= 4 / 6 <= high
    assert found.warnings[-1] == (
        "Intervals rest on 3 speakers only: they are wide, and weak because they take the "
        "speakers' differences as normal."
    )


def test_one_speaker_has_no_interval():
    found = one(predictions(), truth(speaker=["a"] * 6), EvalOptions(n_draws=200))
    assert found.intervals == {}
    assert found.warnings[-1] == (
        "No intervals: only one speaker. `emocli eval --cluster none` takes single recordings as "
        "independent."
    )


def test_without_speakers_utterances_are_units():
    assert one(predictions(), truth(), EvalOptions(n_draws=50)).units == "6 utterances"


def test_groups_by_any_column_of_either_table():
    options = EvalOptions(by=("gender", "room"), n_draws=0)
    found = one(predictions(room=["x"] * 6), truth(gender=["f", "m"] * 3), options)
    assert list(found.groups) == ["gender", "room"]
    assert found.groups["gender"]["f"]["n"] == 3
    assert found.groups["gender"]["f"]["uar"] == 1.0
    assert found.groups["gender"]["m"]["accuracy"] == pytest.approx(1 / 3)
    assert found.groups["room"]["x"]["uar"] == found.figures["uar"]
    assert found.spread["gender"]["accuracy"] == {
        "mean": pytest.approx(2 / 3),
        "sd": pytest.approx(np.sqrt(2) / 3),
        "min": pytest.approx(1 / 3),
        "max": 1.0,
    }


def test_a_column_to_group_by_must_be_there():
    assert error(predictions(), truth(), EvalOptions(by=("gender",), n_draws=0)) == (
        "No column gender to group by, neither in the truth (file, emotion) nor in p.csv (file, "
        "label, p_angry, p_happy, p_sad, entropy, varentropy, margin, "
        "normalized_entropy). Correct --by."
    )


def test_balanced_samples():
    options = EvalOptions(n_draws=0, n_balanced=20, n_per_label=2)
    found = one(predictions(), truth(), options).balanced
    assert (found.n_draws, found.n_per_label) == (20, 2)
    assert found.mean["uar"] == pytest.approx(4 / 6)  # two of each label are all there are
    assert found.sd["uar"] == pytest.approx(0.0)


def test_a_label_too_rare_for_a_balanced_sample():
    options = EvalOptions(n_draws=0, n_balanced=20, n_per_label=3)
    assert error(predictions(), truth(), options) == (
        "A balanced sample needs 3 utterances of each label, and angry has 2. Ask for fewer with "
        "--per-label."
    )


def test_what_also_occurs_in_training_is_named():
    here = truth(speaker=["a", "a", "b", "b", "c", "c"], text=["hello", "bye"] * 3)
    train = truth(
        files=["0.wav", *"vwxyz"], speaker=["b", "c", "d", "d", "d", "d"], text=["hello"] * 6
    )
    assert one(predictions(), here, train=train).warnings[-3:] == (
        "1 of 6 recordings also occur in training: 0.wav.",
        "2 of 3 speakers also occur in training: b, c.",
        "1 of 2 sentences also occur in training: hello.",
    )


def test_comparison_with_another_system():
    found = one(
        predictions(EMOTIONS), truth(), EvalOptions(n_draws=50), compare=("q.csv", predictions())
    ).comparison
    assert (found.other, found.model) == ("q.csv", "")
    assert found.differences["accuracy"].difference == pytest.approx(2 / 6)
    assert (found.mcnemar.only_first, found.mcnemar.only_second) == (2, 0)
    assert found.mcnemar.p_value == pytest.approx(0.5)


def test_comparison_with_a_model_of_other_labels():
    fewer = PredictionTable.from_columns({"file": FILES, "label": ["angry"] * 6})
    found = one(predictions(), truth(), compare=("q.csv", fewer)).comparison
    assert found.differences["uar"].difference == pytest.approx(2 / 3 - 1 / 3)


def test_a_comparison_is_of_two_models():
    both = PredictionTable.concat([predictions(model=["one"] * 6), predictions(model=["two"] * 6)])
    assert error(predictions(), truth(), compare=("q.csv", both)) == (
        "A comparison is of one model with one other, found 1 and 2. Give tables with one model "
        "each."
    )


def test_plain_data_is_json_without_nan():
    options = EvalOptions(n_draws=20, n_balanced=1, n_per_label=1, by=("file",))
    found = one(predictions(), truth(), options, compare=("q.csv", predictions())).to_dict()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again["confusion"] == {
        "labels": list(LABELS),
        "counts": [[1, 1, 0], [0, 2, 0], [1, 0, 1]],
        "none": [0, 0, 0],
    }
    assert again["groups"]["file"]["0.wav"]["error_auroc"] is None
    assert again["balanced_draws"]["sd"]["uar"] is None
    assert len(again["intervals"]["uar"]) == 2
    assert again["comparison"]["mcnemar"]["p_value"] == 1.0
