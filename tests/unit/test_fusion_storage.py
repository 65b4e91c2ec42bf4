"""Fusers as JSON: what is written, and that every damaged field is refused by name."""

import json
from importlib.metadata import version

import numpy as np
import pytest

from emocli.errors import FuserError
from emocli.fusion import stacking
from emocli.fusion.entropy_selection import (
    NEVER,
    ClassRule,
    EntropySelection,
    SentimentRule,
    Tally,
)
from emocli.fusion.sides import Side
from emocli.fusion.storage import dump_fuser, load_fuser
from emocli.fusion.trained import FitOptions, apply_fuser, fit_dimensions, fit_labels
from emocli.table import PredictionTable

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
    assert text.endswith(b"}\n")


def test_what_is_written_comes_back(fuser):
    assert load_fuser(dump_fuser(fuser), "f.json") == fuser


def refusal(text):
    with pytest.raises(FuserError) as caught:
        load_fuser(text.encode(), "f.json")
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
    (
        ("method",),
        "mean",
        'method is "mean", expected entropy-selection or bayes or blend or logistic or ridge or '
        "stacking",
    ),
    (("emocli",), 1, "emocli is 1, expected a text"),
    (("inputs",), [], "inputs is [], expected an object"),
    (("inputs",), {"speech": "a"}, "inputs is speech, expected an object with speech, text"),
    (("inputs", "text"), None, "inputs.text is null, expected a text"),
    (
        ("labels",),
        ["angry", "sad"],
        'labels is ["angry", "sad"], expected a list of different names with '
        "angry, happy, neutral, sad among them",
    ),
    (
        ("labels",),
        [*LABELS, "sad"],
        'labels is ["angry", "happy", "neutral", "sad", "sad"], expected a list of different '
        "names with angry, happy, neutral, sad among them",
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
        ("method", "entropy-selection or bayes or blend or logistic or ridge or stacking"),
        ("emocli", "a text"),
        ("inputs", "an object"),
        ("labels", "a list of different names with angry, happy, neutral, sad among them"),
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


def trained_fuser(method, monkeypatch):
    """A small fuser of each kind, fitted on noise."""
    monkeypatch.setattr(stacking, "N_TREES", 3)
    rng = np.random.default_rng(3)
    truth = np.arange(60) % 4
    files = [f"{index}.wav" for index in range(60)]
    probs = rng.dirichlet(np.ones(4), 60)
    voice = {f"p_{name}": probs[:, index] for index, name in enumerate(LABELS)}
    said = {"label": ["negative", "neutral", "positive"] * 20, "score": rng.uniform(0.4, 1, 60)}
    felt = {"arousal": rng.uniform(0, 1, 60), "valence": rng.uniform(0, 1, 60)}
    tables = [
        PredictionTable.from_columns({"file": files, **columns}) for columns in (voice, said, felt)
    ]
    sides = [Side("x", tables[0]), Side("y", tables[1])]
    if method == "ridge":
        return [Side("z", tables[2])], fit_dimensions([Side("z", tables[2])], tables[2], None).fuser
    named = [LABELS[index] for index in truth]
    return sides, fit_labels(sides, named, None, method, FitOptions(temper=0.5)).fuser


METHODS = ["bayes", "blend", "logistic", "ridge", "stacking"]


@pytest.mark.parametrize("method", METHODS)
def test_fitted_fusers_come_back(method, monkeypatch):
    sides, fuser = trained_fuser(method, monkeypatch)
    data = dump_fuser(fuser)
    again = load_fuser(data, "f")
    assert type(again) is type(fuser)
    assert dump_fuser(again) == data
    np.testing.assert_array_equal(apply_fuser(sides, again), apply_fuser(sides, fuser))
    assert again.inputs == fuser.inputs


def test_a_matrix_is_readable(monkeypatch):
    _, fuser = trained_fuser("bayes", monkeypatch)
    lines = dump_fuser(fuser).decode().splitlines()
    assert '  "labels": [ "angry", "happy", "neutral", "sad" ],' in lines
    assert '  "temper": 0.5,' in lines


@pytest.mark.parametrize(
    ("method", "path", "value", "sentence"),
    [
        ("bayes", ("temper",), -1, "temper is -1, expected a number from 0 on"),
        ("bayes", ("voice", "bias", "sad"), "0", 'voice.bias.sad is "0", expected a number'),
        (
            "bayes",
            ("answers", "neutral", "score_edges"),
            [0.1],
            "answers.neutral.score_edges is [0.1], expected 3 numbers",
        ),
        (
            "bayes",
            ("labels",),
            ["a", "b"],
            "inputs is ___, expected a voice with the fuser's labels and a text with sentiments",
        ),
        ("logistic", ("inputs",), [], "inputs is [], expected a list of objects"),
        (
            "logistic",
            ("inputs", 0, "kind"),
            "odds",
            'inputs[0].kind is "odds", expected posteriors or logits or top sentiment or '
            "dimensions",
        ),
        ("logistic", ("inputs", 1, "extra"), 1, "inputs[1].extra is 1, expected no such field"),
        ("logistic", ("mean",), [0, 1], "mean is [0, 1], expected 7 numbers"),
        ("logistic", ("scale",), [1, 1, 1, 1, 1, 1, 0], "scale is [1, 1, 1, 1, 1, 1, 0], "
         "expected numbers above 0"),
        ("logistic", ("prior", "sad"), 2, "prior.sad is 2, expected a number from 0 to 1"),
        ("logistic", ("labels",), [], "labels is [], expected a list of different names"),
        ("blend", ("discount",), 1.5, "discount is 1.5, expected a number from 0 to 1"),
        ("blend", ("bayes", "temper"), -1, "bayes.temper is -1, expected a number from 0 on"),
        ("blend", ("logistic", "mean"), [0], "logistic.mean is [0], expected 7 numbers"),
        ("blend", ("logistic", "labels"), [], "logistic.labels is [], expected no such field"),
        (
            "blend",
            ("labels",),
            ["a", "b"],
            "inputs is ___, expected a voice with the fuser's labels and a text with sentiments",
        ),
        ("ridge", ("limits",), [0], "limits is [0], expected 2 numbers"),
        (
            "ridge",
            ("method",),
            "stacking",
            'method is "stacking", expected stacking as safetensors, and other methods as JSON',
        ),
    ],
)  # fmt: skip
def test_a_damaged_field_of_a_fitted_fuser_is_named(method, path, value, sentence, monkeypatch):
    content = json.loads(dump_fuser(trained_fuser(method, monkeypatch)[1]))
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    found = refusal(json.dumps(content))
    head, _, tail = sentence.partition("___")
    assert found.startswith(f"f.json: {head}")
    assert found.endswith(f"{tail}. {REMEDY}")


def test_damaged_forests(monkeypatch):
    from safetensors.numpy import load, save

    data = dump_fuser(trained_fuser("stacking", monkeypatch)[1])
    with pytest.raises(FuserError) as caught:
        load_fuser(data[:-10], "f")
    assert str(caught.value).startswith("f: damaged safetensors (")
    assert str(caught.value).endswith(
        "), expected a fuser that emocli fuse --save wrote. Check the path, or fit it again."
    )
    text = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["fuser"]
    tensors = load(data)
    wrong = {
        "left": {**tensors, "left": tensors["left"] + 10_000},
        "feature": {**tensors, "feature": np.full_like(tensors["feature"], -1)},
        "value": {**tensors, "value": tensors["value"][:, :2].copy()},
        "threshold": {**tensors, "threshold": tensors["threshold"].astype(np.float32)},
        "roots": {key: value for key, value in tensors.items() if key != "roots"},
    }
    for key, arrays in wrong.items():
        with pytest.raises(FuserError) as caught:
            load_fuser(save(arrays, metadata={"fuser": text}), "f")
        assert str(caught.value) == (
            f"f: the forests' {key} do not fit 7 features and 4 labels, expected trees that "
            f"emocli fuse --save wrote. Fit the fuser again."
        )
    with pytest.raises(FuserError) as caught:
        load_fuser(save(tensors), "f")
    assert str(caught.value) == (
        'f: format is missing, expected "emocli-fuser". Fit the fuser again, or correct the field.'
    )


def test_content_that_is_neither_json_nor_safetensors():
    with pytest.raises(FuserError) as caught:
        load_fuser(b"\xff\xfe\x00", "f")
    assert str(caught.value) == (
        "f: neither JSON nor safetensors, expected a fuser that emocli fuse --save wrote. "
        "Check the path, or fit it again."
    )
