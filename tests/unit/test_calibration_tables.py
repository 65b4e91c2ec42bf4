"""Calibrations meet tables."""

import numpy as np
import pytest

from emocli.calibration.conformal import LabelSets, SetRule
from emocli.calibration.tables import Calibration, apply_calibration, draws_of, log_posteriors
from emocli.calibration.temperature import Temperature
from emocli.calibration.vector import VectorScaling
from emocli.errors import CalibrationError
from emocli.table import PredictionTable

LABELS = ("sad", "happy")  # not the order of the table's columns
FLATTER = Calibration(LABELS, "m", Temperature(2.0))


@pytest.fixture
def table():
    return PredictionTable.from_rows([
        {"file": "a.wav", "model": "m", "p_happy": 0.9, "p_sad": 0.1, "speaker": "Ann"},
        {"file": "b.wav", "model": "m", "p_happy": 0.2, "p_sad": 0.8, "speaker": "Bob"},
        {"file": "c.wav", "model": "m", "error": "no audio"},
    ])  # fmt: skip


def test_posteriors_are_calibrated_and_the_rest_follows(table):
    found = apply_calibration(table, FLATTER)
    np.testing.assert_allclose(found["p_happy"], [0.75, 1 / 3, np.nan], atol=1e-12)
    assert found["label"].tolist() == ["happy", "sad", ""]
    assert found["model"].tolist() == ["temperature(m)", "temperature(m)", "m"]
    assert found["entropy"][0] == pytest.approx(0.562335, abs=1e-6)
    assert found["speaker"].tolist() == ["Ann", "Bob", ""]
    assert list(found.columns) == list(table.columns)


def test_a_new_top_label_is_the_label_unless_something_else_had_chosen(table):
    judged = table.with_columns({"label": ["happy", "happy", ""]})
    to_sad = Calibration(LABELS, "m", VectorScaling((1.0, 1.0), (9.0, 0.0)))
    assert apply_calibration(table, to_sad)["label"].tolist() == ["sad", "sad", ""]
    assert apply_calibration(judged, to_sad)["label"].tolist() == ["sad", "happy", ""]


def test_an_abstained_label_stays_out(table):
    silent = table.with_columns({"label": ["", "sad", ""]})
    assert apply_calibration(silent, FLATTER)["label"].tolist() == ["", "sad", ""]


def test_a_table_of_failures_passes_through():
    broken = PredictionTable.from_rows([{"file": "a.wav", "error": "no audio"}])
    assert apply_calibration(broken, FLATTER) is broken


def test_label_sets_become_columns(table):
    sets = LabelSets(SetRule(0.9), (0.7, 0.7))
    found = apply_calibration(table, Calibration(LABELS, "m", Temperature(2.0), sets))
    assert found["label_set"].tolist() == ["happy", "sad|happy", ""]
    assert found["set_size"].tolist() == ["1", "2", ""]


def test_other_labels_are_refused(table):
    with pytest.raises(CalibrationError) as caught:
        apply_calibration(table, Calibration(("sad", "calm"), "m", Temperature(2.0)), "t.csv")
    assert str(caught.value) == (
        "t.csv has the labels happy, sad, the calibration was fitted on sad, calm. "
        "Fit another calibration on such a table."
    )
    with pytest.raises(CalibrationError) as caught:
        apply_calibration(PredictionTable.from_rows([{"file": "a"}]), FLATTER, "t.csv")
    assert str(caught.value) == (
        "t.csv has the labels (none), the calibration was fitted on sad, happy. "
        "Fit another calibration on such a table."
    )


def test_another_model_and_a_second_time_are_refused(table):
    with pytest.raises(CalibrationError) as caught:
        apply_calibration(apply_calibration(table, FLATTER), FLATTER, "t.csv")
    assert str(caught.value) == (
        "t.csv comes from model temperature(m), the calibration was fitted on m. "
        "Predict with that model, or fit another calibration."
    )
    with pytest.raises(CalibrationError) as caught:
        apply_calibration(table.without_columns(["model"]), FLATTER, "t.csv")
    assert str(caught.value) == (
        "t.csv comes from model (not named), the calibration was fitted on m. "
        "Predict with that model, or fit another calibration."
    )


def test_rows_with_a_smaller_label_set_are_refused(table):
    part = PredictionTable.from_rows([{"file": "x.wav", "model": "n", "p_sad": 1.0}])
    with pytest.raises(CalibrationError) as caught:
        apply_calibration(PredictionTable.concat([table, part]), FLATTER, "t.csv")
    assert str(caught.value) == (
        "t.csv: x.wav has no probability of happy, expected all of sad, happy. "
        "Calibrate the rows of one model at a time."
    )


def test_log_posteriors_are_bounded_and_in_the_order_asked_for():
    table = PredictionTable.from_rows([{"file": "a", "p_happy": 1.0, "p_sad": 0.0}])
    np.testing.assert_allclose(log_posteriors(table, LABELS), [[-36.0436534, 0.0]])


def test_draws_follow_from_the_utterance_alone():
    keys = [("a.wav", 0, 1000), ("a.wav", 1000, 2000), ("b.wav", -1, -1)]
    found = draws_of(keys)
    assert found.tolist() == draws_of(keys[::-1])[::-1].tolist()
    many = draws_of([(f"{i}.wav", -1, -1) for i in range(4000)])
    assert 0 <= many.min() < many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.02)
