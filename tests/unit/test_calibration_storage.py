"""Calibrations in files: what is written comes back, and nothing else is let in."""

import json
import math

import numpy as np
import pytest

from emocli.calibration.conformal import LabelSets, SetRule
from emocli.calibration.fitting import MAPS
from emocli.calibration.storage import dump_calibration, load_calibration
from emocli.calibration.tables import Calibration
from emocli.calibration.temperature import Temperature
from emocli.errors import CalibrationError
from emocli.posteriors import log_softmax

LABELS = ("angry", "sad")
SETS = LabelSets(SetRule(0.9, True, 0.01, True), (0.75, math.inf))


def calibration(method, sets=None):
    rng = np.random.default_rng(3)
    log_probs = log_softmax(rng.normal(size=(40, 2)))
    fitted = MAPS[method].fit(log_probs, rng.integers(0, 2, 40))
    return Calibration(LABELS, "builtin@abc", fitted, sets, 40)


def test_what_is_written():
    text = dump_calibration(Calibration(LABELS, "m", Temperature(1.5), SETS, 7))
    written = json.loads(text)
    assert written.pop("emocli")
    assert written == {
        "format": "emocli-calibration",
        "version": 1,
        "method": "temperature",
        "model": "m",
        "labels": ["angry", "sad"],
        "n_fitted": 7,
        "map": {"temperature": 1.5},
        "sets": {
            "coverage": 0.9,
            "adaptive": True,
            "penalty": 0.01,
            "per_class": True,
            "thresholds": {"angry": 0.75, "sad": None},
        },
    }


@pytest.mark.parametrize("method", MAPS)
@pytest.mark.parametrize("sets", [None, SETS])
def test_what_is_written_comes_back(method, sets):
    given = calibration(method, sets)
    assert load_calibration(dump_calibration(given), "cal.json") == given


def refusal(text):
    with pytest.raises(CalibrationError) as caught:
        load_calibration(text, "cal.json")
    return str(caught.value)


def test_texts_that_are_no_calibration():
    assert refusal("{") == (
        "cal.json: not JSON (line 1: Expecting property name enclosed in double quotes), expected "
        "a calibration that emocli calibrate -o wrote. Check the path, or fit it again."
    )
    assert refusal("[]") == (
        "cal.json: JSON without fields, expected a calibration that emocli calibrate -o wrote. "
        "Check the path, or fit it again."
    )


REMEDY = " Fit the calibration again, or correct the field."


@pytest.mark.parametrize(("method", "path", "value", "sentence"), [
    ("temperature", ["format"], "x", 'format is "x", expected "emocli-calibration".'),
    ("temperature", ["version"], 2, "version is 2, expected 1."),
    ("temperature", ["method"], "x",
     'method is "x", expected temperature or vector or isotonic or beta or mean.'),
    ("temperature", ["labels"], ["a"], 'labels is ["a"], expected two or more labels.'),
    ("temperature", ["more"], 1, "more is 1, expected no such field."),
    ("temperature", ["map", "more"], 1, "map.more is 1, expected no such field."),
    ("temperature", ["map", "temperature"], 0,
     "map.temperature is 0, expected a number above 0."),
    ("temperature", ["map", "temperature"], True,
     "map.temperature is true, expected a number above 0."),
    ("vector", ["map", "scales"], {"angry": 1},
     "map.scales is angry, expected an object with angry, sad."),
    ("vector", ["map", "scales", "sad"], -1, "map.scales.sad is -1, expected a number above 0."),
    ("vector", ["map", "biases", "sad"], "x", 'map.biases.sad is "x", expected a number.'),
    ("vector", ["map", "biases", "sad"], float("nan"),
     "map.biases.sad is NaN, expected a number."),
    ("vector", ["map", "more"], 1, "map.more is 1, expected no such field."),
    ("beta", ["map", "sad", "a"], -0.5, "map.sad.a is -0.5, expected a number from 0 on."),
    ("beta", ["map", "more"], 1, "map.more is 1, expected no such field."),
    ("isotonic", ["map", "sad", "x"], [0.5, 0.2],
     "map.sad.x is [0.5, 0.2], expected rising probabilities."),
    ("isotonic", ["map", "sad", "x"], [], "map.sad.x is [], expected rising probabilities."),
    ("isotonic", ["map", "sad", "x"], [0.5, 2],
     "map.sad.x is [0.5, 2], expected rising probabilities."),
    ("isotonic", ["map", "sad", "y"], [0.5, 0.2],
     "map.sad.y is [0.5, 0.2], expected probabilities above 0 that do not fall."),
    ("isotonic", ["map", "sad", "y"], [0, 0.2],
     "map.sad.y is [0, 0.2], expected probabilities above 0 that do not fall."),
    ("isotonic", ["map", "sad", "y"], [0.2], None),
    ("isotonic", ["map", "more"], 1, "map.more is 1, expected no such field."),
    ("mean", ["map", "beta", "sad", "c"], None, "map.beta.sad.c is null, expected a number."),
    ("mean", ["map", "more"], 1, "map.more is 1, expected no such field."),
    ("temperature", ["sets"], 1, "sets is 1, expected an object or null."),
    ("temperature", ["sets", "coverage"], 1,
     "sets.coverage is 1, expected a number above 0 and below 1."),
    ("temperature", ["sets", "penalty"], -1,
     "sets.penalty is -1, expected a number from 0 on."),
    ("temperature", ["sets", "adaptive"], 1, "sets.adaptive is 1, expected true or false."),
    ("temperature", ["sets", "thresholds", "sad"], -1,
     "sets.thresholds.sad is -1, expected a number from 0 on or null."),
    ("temperature", ["sets", "more"], 1, "sets.more is 1, expected no such field."),
])  # fmt: skip
def test_a_damaged_field_is_named(method, path, value, sentence):
    content = json.loads(dump_calibration(calibration(method, SETS)))
    if sentence is None:
        n = len(content["map"]["sad"]["x"])
        sentence = f"map.sad.y is 1 numbers, expected as many numbers as x, {n}."
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert refusal(json.dumps(content)) == f"cal.json: {sentence}{REMEDY}"


@pytest.mark.parametrize(("key", "expected"), [
    ("emocli", "a text"), ("model", "a text"), ("map", "an object"),
    ("sets", "an object or null"), ("n_fitted", "a whole number from 0 on"),
])  # fmt: skip
def test_a_missing_field_is_named(key, expected):
    content = json.loads(dump_calibration(calibration("temperature")))
    del content[key]
    assert refusal(json.dumps(content)) == (
        f"cal.json: {key} is missing, expected {expected}.{REMEDY}"
    )
