"""Fusers as JSON: what is written, and that every damaged field is refused by name."""

import json
from importlib.metadata import version

import pytest

from emocli.errors import FuserError
from emocli.fusion.entropy_selection import (
    NEVER,
    ClassRule,
    EntropySelection,
    SentimentRule,
    Tally,
)
from emocli.fusion.storage import dump_fuser, load_fuser

LABELS = ("angry", "happy", "neutral", "sad")
REMEDY = "Fit the fuser again, or correct the field."


@pytest.fixture
def fuser():
    return EntropySelection(
        labels=LABELS,
        rules={
            "angry": ClassRule(1.084150648315476, 0.41629, SentimentRule(0.35, flip=True)),
            "happy": ClassRule(0.9375, 0.4),
            "neutral": NEVER,
            "sad": NEVER,
        },
        excluded=(("happy", "angry"),),
        transitions={("angry", "sad"): Tally(3, 1), ("happy", "angry"): Tally(4, 10)},
        inputs=("builtin", "builtin-sentiment"),
        n_calibration=5003,
    )


def test_what_is_written(fuser):
    text = dump_fuser(fuser)
    assert json.loads(text) == {
        "format": "emocli-fuser",
        "version": 1,
        "method": "entropy-selection",
        "emocli": version("emocli"),
        "inputs": {"speech": "builtin", "text": "builtin-sentiment"},
        "labels": list(LABELS),
        "n_calibration": 5003,
        "classes": {
            "angry": {
                "entropy": 1.084150648315476,
                "varentropy": 0.41629,
                "negative": {"rule": "simple", "threshold": 0.35, "flip": True},
            },
            "happy": {"entropy": 0.9375, "varentropy": 0.4, "negative": {"rule": "refer"}},
            "neutral": None,
            "sad": None,
        },
        "excluded": ["happy->angry"],
        "transitions": {
            "angry->sad": {"corrected": 3, "broken": 1},
            "happy->angry": {"corrected": 4, "broken": 10},
        },
    }
    assert text.endswith("}\n")


def test_what_is_written_comes_back(fuser):
    assert load_fuser(dump_fuser(fuser), "f.json") == fuser


def refusal(text):
    with pytest.raises(FuserError) as caught:
        load_fuser(text, "f.json")
    return str(caught.value)


def test_texts_that_are_no_fuser():
    assert refusal("{") == (
        "f.json: not JSON (line 1: Expecting property name enclosed in double quotes), expected "
        "a fuser that emocli fuse --save wrote. Check the path, or fit it again."
    )
    assert refusal("[1]") == (
        "f.json: JSON without fields, expected a fuser that emocli fuse --save wrote. "
        "Check the path, or fit it again."
    )


WRONG = [
    (("format",), "other", 'format is "other", expected "emocli-fuser"'),
    (("version",), 2, "version is 2, expected 1"),
    (("version",), True, "version is true, expected 1"),
    (("method",), "mean", 'method is "mean", expected "entropy-selection"'),
    (("emocli",), 1, "emocli is 1, expected a text"),
    (("inputs",), [], "inputs is [], expected an object"),
    (("inputs",), {"speech": "a"}, "inputs is speech, expected an object with speech, text"),
    (("inputs", "text"), None, "inputs.text is null, expected a text"),
    (
        ("labels",),
        ["angry", "sad"],
        'labels is ["angry", "sad"], expected different labels with angry, happy, neutral, sad '
        "among them",
    ),
    (
        ("labels",),
        [*LABELS, "sad"],
        'labels is ["angry", "happy", "neutral", "sad", "sad"], expected different labels with '
        "angry, happy, neutral, sad among them",
    ),
    (("n_calibration",), -1, "n_calibration is -1, expected a whole number from 0 on"),
    (("n_calibration",), True, "n_calibration is true, expected a whole number from 0 on"),
    (
        ("classes",),
        {"angry": None},
        "classes is angry, expected an object with angry, happy, neutral, sad",
    ),
    (("classes", "sad"), 3, "classes.sad is 3, expected an object"),
    (
        ("classes", "happy", "entropy"),
        "1",
        'classes.happy.entropy is "1", expected a number from 0 on',
    ),
    (
        ("classes", "happy", "varentropy"),
        float("nan"),
        "classes.happy.varentropy is NaN, expected a number from 0 on",
    ),
    (
        ("classes", "angry", "negative", "rule"),
        "guess",
        'classes.angry.negative.rule is "guess", expected simple or refer',
    ),
    (
        ("classes", "angry", "negative", "threshold"),
        1.5,
        "classes.angry.negative.threshold is 1.5, expected a number from 0 to 1",
    ),
    (
        ("classes", "angry", "negative", "flip"),
        0,
        "classes.angry.negative.flip is 0, expected true or false",
    ),
    (
        ("classes", "happy", "negative", "flip"),
        True,
        "classes.happy.negative.flip is true, expected no such field",
    ),
    (("excluded",), "happy->angry", 'excluded is "happy->angry", expected a list'),
    (
        ("excluded",),
        ["sad->sad"],
        "excluded is sad->sad, expected exchanges of labels as angry->happy",
    ),
    (("excluded",), [3], "excluded is 3, expected exchanges of labels as angry->happy"),
    (
        ("transitions", "angry->awe"),
        {"corrected": 1, "broken": 1},
        "transitions.angry->awe is angry->awe, expected exchanges of labels as angry->happy",
    ),
    (
        ("transitions", "angry->sad", "corrected"),
        1.5,
        "transitions.angry->sad.corrected is 1.5, expected a whole number from 0 on",
    ),
    (("extra",), 1, "extra is 1, expected no such field"),
    (
        ("extra",),
        "x" * 80,
        f'extra is "{"x" * 56}..., expected no such field',
    ),
]


@pytest.mark.parametrize(("path", "value", "sentence"), WRONG, ids=lambda v: None)
def test_a_damaged_field_is_named(fuser, path, value, sentence):
    content = json.loads(dump_fuser(fuser))
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert refusal(json.dumps(content)) == f"f.json: {sentence}. {REMEDY}"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("format", '"emocli-fuser"'),
        ("version", "1"),
        ("method", '"entropy-selection"'),
        ("emocli", "a text"),
        ("inputs", "an object"),
        ("labels", "different labels with angry, happy, neutral, sad among them"),
        ("n_calibration", "a whole number from 0 on"),
        ("classes", "an object"),
        ("excluded", "a list"),
        ("transitions", "an object"),
    ],
)
def test_a_missing_field_is_named(fuser, key, expected):
    content = json.loads(dump_fuser(fuser))
    del content[key]
    assert (
        refusal(json.dumps(content)) == f"f.json: {key} is missing, expected {expected}. {REMEDY}"
    )
