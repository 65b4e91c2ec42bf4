"""Abstention, disagreement, movement and the parts of uncertainty, by hand."""

import numpy as np
import pytest

from emocli.calibration.abstention import abstain, keep_labels, label_probability
from emocli.calibration.disagreement import (
    disagreement,
    labels_clash,
    movement,
    with_disagreement,
    with_movement,
)
from emocli.calibration.uncertainty import mean_posterior, uncertainty, with_uncertainty
from emocli.errors import LabelMismatch
from emocli.table import PredictionTable

NAN = float("nan")


@pytest.fixture
def table():
    return PredictionTable.from_rows([
        {"file": "sure.wav", "p_happy": 0.9, "p_sad": 0.1, "note": "short"},
        {"file": "unsure.wav", "p_happy": 0.45, "p_sad": 0.55},
        {"file": "broken.wav", "error": "no audio"},
    ])  # fmt: skip


def test_labels_are_left_out_above_an_entropy(table):
    found = abstain(table, above=0.5)
    assert found["label"].tolist() == ["happy", "", ""]
    assert found["note"].tolist() == ["short", "no label: entropy 0.688 above 0.5 nats", ""]
    assert found["abstained"].tolist() == ["no", "yes", ""]
    np.testing.assert_array_equal(found.probs, table.probs)


def test_labels_are_left_out_below_a_probability(table):
    found = abstain(table, below=0.95)
    assert found["note"].tolist() == [
        "short; no label: probability 0.900 below 0.95",
        "no label: probability 0.550 below 0.95",
        "",
    ]


def test_both_reasons_are_told(table):
    assert abstain(table, above=0.5, below=0.6)["note"][1] == (
        "no label: entropy 0.688 above 0.5 nats and probability 0.550 below 0.6"
    )


def test_limits_themselves_are_kept(table):
    found = abstain(table, above=float(table["entropy"][1]), below=0.55)
    assert found["abstained"].tolist() == ["no", "no", ""]


def test_the_probability_is_that_of_the_label_and_not_the_highest():
    judged = PredictionTable.from_rows(
        [{"file": "a", "label": "sad", "p_happy": 0.9, "p_sad": 0.1}, {"file": "b", "label": "x"}]
    )
    np.testing.assert_array_equal(label_probability(judged), [0.1, NAN])
    unknown = PredictionTable.from_rows([{"file": "a", "label": "sad"}])
    np.testing.assert_array_equal(label_probability(unknown), [NAN])


def test_disagreement_from_none_to_full():
    first = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    second = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = disagreement(np.stack([first, second]))
    # H(3/4, 1/4) - ln 2 / 2
    np.testing.assert_allclose(found, [0.0, np.log(2), 0.562335 - 0.346574], atol=1e-6)
    assert labels_clash(np.stack([first, second])).tolist() == [False, True, False]


def test_three_sure_opinions_of_three_labels():
    probs = np.eye(3)[:, np.newaxis, :]
    np.testing.assert_allclose(disagreement(probs), np.log(3))


def test_a_missing_opinion_is_left_out():
    probs = np.array([[[1.0, 0.0]] * 2, [[0.0, 1.0], [NAN, NAN]], [[NAN, NAN]] * 2])
    np.testing.assert_allclose(disagreement(probs), [np.log(2), NAN])
    assert labels_clash(probs).tolist() == [True, False]


def test_columns_of_a_fused_table(table):
    probs = np.array([[[0.9, 0.1], [0.4, 0.6], [NAN] * 2], [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]])
    found = with_disagreement(table, probs)
    np.testing.assert_allclose(found["disagreement"], [0, 0.0201355136, np.nan], atol=1e-9)
    assert found["clash"].tolist() == ["no", "yes", ""]


def test_movement_of_windows():
    rows = [
        ("a", 0, 1.0),
        ("a", 10, 1.0),
        ("a", 5, 0.0),
        ("b", 0, 0.3),
        ("c", 0, 0.3),
        ("c", 5, 0.3),
    ]
    table = PredictionTable.from_rows(
        [{"file": f, "start": s, "end": s + 5, "p_happy": p, "p_sad": 1 - p} for f, s, p in rows]
    )
    np.testing.assert_allclose(movement(table), [np.log(2)] * 3 + [NAN, 0.0, 0.0], atol=1e-12)
    moved = with_movement(table)["movement"]
    np.testing.assert_allclose(moved, [0.693147181] * 3 + [np.nan, 0, 0], atol=1e-9)


def test_movement_passes_over_windows_without_a_posterior_and_between_models():
    table = PredictionTable.from_rows([
        {"file": "a", "start": 0, "model": "x", "p_happy": 1.0, "p_sad": 0.0},
        {"file": "a", "start": 5, "model": "x", "error": "silence"},
        {"file": "a", "start": 9, "model": "x", "p_happy": 0.0, "p_sad": 1.0},
        {"file": "a", "start": 0, "model": "y", "p_happy": 1.0, "p_sad": 0.0},
    ])  # fmt: skip
    np.testing.assert_allclose(movement(table), [np.log(2), NAN, np.log(2), NAN])


def test_speakers_who_take_turns_move_nobody():
    table = PredictionTable.from_rows([
        {"file": "a", "start": n, "speaker": "xy"[n % 2], "p_happy": n % 2, "p_sad": 1 - n % 2}
        for n in range(6)
    ])  # fmt: skip
    np.testing.assert_allclose(movement(table), 0.0, atol=1e-12)


def test_what_the_model_does_not_know_and_what_nobody_can_know():
    ambiguous = [[0.5, 0.5], [0.5, 0.5]]
    ignorant = [[1.0, 0.0], [0.0, 1.0]]
    found = uncertainty(np.array([ambiguous, ignorant]).transpose(1, 0, 2))
    np.testing.assert_allclose(found.predictive, np.log(2))
    np.testing.assert_allclose(found.expected, [np.log(2), 0.0])
    np.testing.assert_allclose(found.mutual_information, [0.0, np.log(2)])


def test_draws_without_a_posterior_do_not_count():
    probs = np.array([[[1.0, 0.0], [NAN, NAN]], [[NAN, NAN], [NAN, NAN]]])
    np.testing.assert_array_equal(mean_posterior(probs), [[1.0, 0.0], [NAN, NAN]])
    np.testing.assert_array_equal(uncertainty(probs).predictive, [0.0, NAN])
    np.testing.assert_array_equal(uncertainty(probs).mutual_information, [0.0, NAN])


def test_columns_of_a_table_of_means():
    probs = np.array([[[1.0, 0.0], [NAN, NAN]], [[0.5, 0.5], [NAN, NAN]]])
    mean = mean_posterior(probs)
    table = PredictionTable.from_columns(
        {"file": ["a", "b"], "p_happy": mean[:, 0], "p_sad": mean[:, 1]}
    )
    found = with_uncertainty(table, probs)
    np.testing.assert_allclose(found["expected_entropy"], [0.34657359, np.nan], atol=1e-9)
    np.testing.assert_allclose(found["mutual_information"], [0.215761554, np.nan], atol=1e-9)
    assert found["entropy"][0] == uncertainty(probs).predictive[0]


def emotions():
    return PredictionTable.from_columns(
        {
            "file": ["a", "b", "c", "d"],
            "model": ["voice", "voice", "voice", "words"],
            "p_angry": [0.2, 0.0, np.nan, np.nan],
            "p_happy": [0.5, 0.5, np.nan, np.nan],
            "p_sad": [0.3, 0.5, np.nan, np.nan],
            "p_negative": [np.nan, np.nan, np.nan, 0.25],
            "p_positive": [np.nan, np.nan, np.nan, 0.75],
            "note": ["clipped", "", "", ""],
            "error": ["", "", "gone", ""],
        }
    )


def test_labels_that_are_kept_sum_to_one_and_the_note_says_so():
    kept = keep_labels(emotions(), ["Sadness", "angry"])
    assert kept.labels == ("angry", "sad", "negative", "positive")
    np.testing.assert_allclose(kept["p_sad"][:2], [0.6, 1.0])
    np.testing.assert_allclose(kept["p_angry"][:2], [0.4, 0.0])
    assert kept["label"].tolist() == ["sad", "sad", "", "positive"]
    assert kept["entropy"][0] == pytest.approx(-0.6 * np.log(0.6) - 0.4 * np.log(0.4))
    assert kept["note"].tolist() == [
        "clipped; labels sad, angry only, 50% of the posterior",
        "labels sad, angry only, 50% of the posterior",
        "",
        "",
    ]
    np.testing.assert_allclose(kept.probs[3, 2:], [0.25, 0.75])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            ["angry", "bored"],
            "--labels names angry, bored, expected two or more of angry, happy, sad, negative, "
            "positive. Choose labels that the model has.",
        ),
        (
            ["angry"],
            "--labels names angry, expected two or more of angry, happy, sad, negative, positive. "
            "Choose labels that the model has.",
        ),
        (
            ["angry", "negative"],
            "voice has some of angry, negative and not all, expected all or none. Choose labels "
            "that each model has.",
        ),
    ],
)
def test_labels_that_cannot_be_kept(labels, message):
    with pytest.raises(LabelMismatch) as caught:
        keep_labels(emotions(), labels)
    assert str(caught.value) == message
