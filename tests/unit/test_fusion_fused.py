"""Fused tables: columns, notes, and what entropy selection tells about each row."""

import numpy as np
import pytest

from emocli.errors import FuserError, TableError
from emocli.fusion.entropy_selection import ClassRule, Tally, manual
from emocli.fusion.fused import average, exchange, fit_selection, select, summarise
from emocli.fusion.sides import Side
from emocli.table import PredictionTable

LABELS = ("angry", "happy", "neutral", "sad")
FILES = ["sure", "doubtful", "agreeing", "mute", "wordless", "nothing"]
ALWAYS = ClassRule(1.2, 9.0)
"""Asks the text about every flat posterior."""


def side(name, **columns):
    return Side(name, PredictionTable.from_columns({"file": FILES, **columns}))


@pytest.fixture
def speech():
    nan = None
    return side(
        "voice",
        p_angry=[0.97, 0.28, 0.28, nan, 0.28, nan],
        p_happy=[0.01, 0.22, 0.22, nan, 0.22, nan],
        p_neutral=[0.01, 0.24, 0.24, nan, 0.24, nan],
        p_sad=[0.01, 0.26, 0.26, nan, 0.26, nan],
        note=["clipping", "", "", "", "", ""],
        error=["", "", "", "0 bytes", "", "0 bytes"],
        speaker=["x", "x", "y", "y", "z", "z"],
    )


@pytest.fixture
def text():
    return side(
        "words",
        label=["positive", "positive", "negative", "negative", "", ""],
        score=["0.9", "0.9", "0.9", "0.7", "", ""],
        text=["yes", "yes", "no", "no", "", ""],
        note=["", "", "", "", "no words", "no words"],
        speaker=["?"] * 6,
    )


def message(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_what_selection_says_of_each_row(speech, text):
    fused, selection = select([text, speech], manual(LABELS, ALWAYS))
    shown = {
        row["file"]: [
            row[name]
            for name in ("label", "source", "consulted", "changed", "speech_label", "text_label")
        ]
        for row in fused
    }
    assert shown == {
        "sure": ["angry", "speech", "no", "", "angry", "happy"],
        "doubtful": ["happy", "text", "yes", "angry->happy", "angry", "happy"],
        "agreeing": ["angry", "speech", "yes", "", "angry", "angry"],
        "mute": ["angry", "text", "yes", "", "", "angry"],
        "wordless": ["angry", "speech", "no", "", "angry", ""],
        "nothing": ["", "", "", "", "", ""],
    }
    assert selection.changed.tolist() == [False, True, False, False, False, False]
    assert fused["model"].tolist() == ["entropy-selection(voice,words)"] * 6


def test_where_the_text_took_over_two_probabilities_are_exchanged(speech, text):
    fused, _ = select([speech, text], manual(LABELS, ALWAYS))
    np.testing.assert_allclose(fused.probs[1], [0.22, 0.28, 0.24, 0.26])
    np.testing.assert_allclose(fused["entropy"][1], fused["entropy"][2])
    np.testing.assert_allclose(fused["varentropy"][1], fused["varentropy"][2])
    np.testing.assert_allclose(fused.probs[3], [0.35, 0.15, 0.15, 0.35])  # only the text spoke
    assert np.isnan(fused.probs[5]).all()


def test_a_voice_that_says_nothing_leaves_it_to_the_words(speech, text):
    even = {name: [0.25] * 6 for name in speech.table.columns if name.startswith("p_")}
    silent = speech.table.with_columns({**even, "note": ["no label: nothing to hear"] * 6})
    fused, _ = select([Side("voice", silent), text], manual(LABELS, ALWAYS))
    assert fused["speech_label"].tolist() == [""] * 6
    assert fused["label"].tolist() == ["happy", "happy", "angry", "angry", "", ""]
    assert fused["note"].tolist()[:3] == [""] * 3
    np.testing.assert_allclose(fused.probs[4], [0.25] * 4)


def test_notes_errors_and_carried_columns(speech, text):
    fused, _ = select([speech, text], manual(LABELS, ALWAYS))
    assert fused["note"].tolist() == [
        "clipping", "", "", "voice has no say (0 bytes)", "words has no say (no words)", "",
    ]  # fmt: skip
    assert fused["error"].tolist() == ["", "", "", "", "", "voice: 0 bytes; words: no words"]
    assert fused["speaker"].tolist() == ["x", "x", "y", "y", "z", "z"]
    assert fused["text"].tolist() == ["yes", "yes", "no", "no", "", ""]
    assert "score" not in fused


def test_sigmoids_are_of_one_model(speech):
    table = speech.table.with_columns({"sigmoid_angry": [0.5] * 6})
    fused = average([Side("one", table), Side("two", table)], "mean")
    assert "sigmoid_angry" not in fused


def test_an_error_that_all_sides_share_is_said_once(speech):
    fused = average([speech, Side("again", speech.table)], "mean")
    assert fused["error"].tolist() == ["", "", "", "0 bytes", "", "0 bytes"]


def test_a_side_that_does_not_say_why_it_is_silent(speech):
    other = side("other", **{f"p_{name}": [0.25, None] * 3 for name in LABELS})
    fused = average([speech, other], "mean")
    assert fused["note"][1] == "other has no say (no probabilities)"


def test_averages_carry_the_others_where_one_is_silent(speech, text):
    fused = average([speech, text], "mean")
    assert fused["model"][0] == "mean(voice,words)"
    np.testing.assert_allclose(fused.probs[4], speech.probs[4])
    np.testing.assert_allclose(fused.probs[3], [0.35, 0.15, 0.15, 0.35])
    np.testing.assert_allclose(
        fused.probs[1], [0.14 + 0.025 * 28 / 54, 0.56, 0.145, 0.13 + 0.025 * 26 / 54]
    )
    assert fused.failed.tolist() == [False] * 5 + [True]


def test_max_confidence_says_who_spoke(speech, text):
    fused = average([speech, text], "max-confidence")
    assert fused["source"].tolist() == ["voice", "words", "words", "words", "voice", ""]
    tied = average([speech, Side("again", speech.table)], "max-confidence")
    assert tied["source"][0] == "voice+again"


def test_weights(speech, text):
    fused = average([speech, text], "mean", weights=[3, 1])
    assert fused["p_happy"][1] == pytest.approx(0.75 * 0.22 + 0.25 * 0.9)
    for weights in ([1], [1, 0], [1, -1], [1, float("inf")], [1, float("nan")]):
        shown = ", ".join(f"{weight:g}" for weight in weights)
        assert message(TableError, average, [speech, text], "mean", weights=weights) == (
            f"--weights are {shown}, expected 2 numbers above 0, one for each model. "
            f"Leave a table out to give it no weight."
        )
    assert message(TableError, average, [speech, text], "max-confidence", weights=[1, 1]) == (
        "--weights has no meaning for --method max-confidence, expected one of mean, product, "
        "entropy-weighted. Leave the weights out."
    )


def test_summary(speech, text):
    sides = [speech, text]
    fuser = manual(LABELS, ALWAYS)
    _, selection = select(sides, fuser)
    summary = summarise(selection, text, LABELS)
    assert (summary.n, summary.consulted, summary.changed) == (6, 2, 1)
    assert (summary.alone, summary.failed) == (1, 1)
    assert summary.transitions == {("angry", "happy"): 1}
    assert (summary.tallies, summary.corrected, summary.broken) == (None, 0, 0)
    known = summarise(selection, text, LABELS, ["angry"] * 6)
    assert known.tallies == {("angry", "happy"): Tally(0, 1)}
    assert (known.corrected, known.broken) == (0, 1)
    foreign = summarise(selection, text, LABELS, ["fearful"] * 6)
    assert foreign.tallies == {("angry", "happy"): Tally(0, 0)}


def test_rows_that_take_part_in_a_fit(speech, text):
    truth = ["angry", "happy", "calm", "sad", "sad", "sad"]
    fuser, report = fit_selection([speech, text], truth)
    assert (report.n_used, report.n_silent, report.foreign) == (2, 3, {"calm": 1})
    assert fuser.n_calibration == 2
    assert fuser.rules["angry"].entropy == pytest.approx(speech.table["entropy"][1])


def test_nothing_to_fit_on(speech, text):
    assert message(TableError, fit_selection, [speech, text], ["calm"] * 6) == (
        "No row can be used to fit: of 6, 3 lack a prediction and 6 have a true label other than "
        "angry, happy, neutral, sad. Check the tables and --truth-column."
    )


def test_a_fuser_made_for_other_models_or_labels(speech, text):
    other = manual(LABELS, ALWAYS, inputs=("builtin", ""))
    assert message(FuserError, select, [speech, text], other) == (
        "The speech table voice comes from model (not named), the fuser was made for builtin. "
        "Predict with that model, or fit another fuser."
    )
    named = Side("voice", speech.table.with_columns({"model": ["builtin"] * 6}))
    assert message(FuserError, select, [named, text], manual(LABELS, ALWAYS)) == (
        "The speech table voice comes from model builtin, the fuser was made for (not named). "
        "Predict with that model, or fit another fuser."
    )
    wider = manual((*LABELS, "fearful"), ALWAYS)
    assert message(FuserError, select, [speech, text], wider) == (
        "voice has the labels angry, happy, neutral, sad, the fuser was made for angry, happy, "
        "neutral, sad, fearful. Restrict them with --labels, or fit another fuser."
    )


def test_the_order_of_the_fuser_s_labels_counts(speech, text):
    fused, _ = select([speech, text], manual(LABELS[::-1], ALWAYS))
    assert fused.labels == LABELS[::-1]
    assert fused["label"].tolist()[:3] == ["angry", "happy", "angry"]


def test_exchange_leaves_rows_without_two_labels_alone():
    probs = np.array([[0.7, 0.3], [0.7, 0.3], [0.7, 0.3]])
    found = exchange(probs, np.array([0, 1, -1]), np.array([1, 1, 0]))
    np.testing.assert_array_equal(found, [[0.3, 0.7], [0.7, 0.3], [0.7, 0.3]])


def test_what_was_said_of_one_input_s_confidence_is_not_carried():
    columns = {"p_happy": 0.7, "p_sad": 0.3, "label_set": "happy", "set_size": "1", "speaker": "s"}
    sides = [Side(name, PredictionTable.from_rows([{"file": "a", **columns}])) for name in "xy"]
    fused = average(sides, "mean")
    assert {"label_set", "set_size"} & set(fused.columns) == set()
    assert fused["speaker"].tolist() == ["s"]
