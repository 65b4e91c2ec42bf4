"""Fusers as readable JSON, forests as safetensors; never as a pickle, which could run code.

A fuser decides labels, and people edit such files by hand: nothing is guessed, filled in or
ignored on reading.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import FuserError
from emocli.fusion.bayes import N_BINS, Bayes
from emocli.fusion.blend import LARGEST, Blend
from emocli.fusion.entropy_selection import (
    NEVER,
    REFER,
    REQUIRED,
    ClassRule,
    EntropySelection,
    SentimentRule,
    Tally,
    Transition,
)
from emocli.fusion.features import KINDS, Input
from emocli.fusion.fused import ARROW, ENTROPY_SELECTION
from emocli.fusion.logistic import Logistic
from emocli.fusion.ridge import Ridge
from emocli.fusion.scaling import Scaler
from emocli.fusion.stacking import Stacking, Trees
from emocli.labels import SENTIMENTS
from emocli.schema import Fields
from emocli.tensors import dump_tensors

FORMAT = "emocli-fuser"
VERSION = 1
_IN_METADATA = "fuser"

AnyFuser = EntropySelection | Bayes | Blend | Logistic | Ridge | Stacking
Shared = tuple[tuple[str, ...], tuple[Input, ...], int]
"""Labels, inputs and the number of rows."""
_METHODS: Mapping[type, str] = {
    EntropySelection: ENTROPY_SELECTION,
    Bayes: "bayes",
    Blend: "blend",
    Logistic: "logistic",
    Ridge: "ridge",
    Stacking: "stacking",
}
_TENSORS = {
    "feature": np.int32,
    "threshold": np.float64,
    "left": np.int32,
    "right": np.int32,
    "value": np.float32,
    "roots": np.int32,
    "forest": np.int32,
}


def method_of(fuser: AnyFuser) -> str:
    """The name of the method that a fuser belongs to."""
    return _METHODS[type(fuser)]


def dump_fuser(fuser: AnyFuser) -> bytes:
    """A fuser as the content of a file: JSON text, or safetensors for forests."""
    text = _as_text(fuser)
    if not isinstance(fuser, Stacking):
        return text.encode()
    tensors = {name: getattr(fuser.trees, name) for name in _TENSORS}
    return dump_tensors(tensors, {_IN_METADATA: text})


def load_fuser(data: bytes, name: str) -> AnyFuser:
    """The fuser that `dump_fuser` wrote.

    Args:
        data: content of a file.
        name: what to call it in an error.

    Raises:
        FuserError: anything about it is not as it was written; the sentence names the field.
    """
    tensors, text = _split(data, name)
    fields = Fields.parse(text, name)
    fields.constant("format", FORMAT)
    fields.constant("version", VERSION)
    method = fields.choice("method", list(_METHODS.values()))
    if (method == "stacking") != (tensors is not None):
        fields.refuse("method", "stacking as safetensors, and other methods as JSON")
    fields.text("emocli")
    fuser: AnyFuser
    if method == ENTROPY_SELECTION:
        fuser = _load_selection(fields)
    elif method == "bayes":
        fuser = _load_bayes(fields)
    elif method == "blend":
        fuser = _load_blend(fields)
    elif method == "logistic":
        fuser = _load_logistic(fields)
    elif method == "ridge":
        fuser = _load_ridge(fields)
    else:
        fuser = _load_stacking(fields, tensors or {})
    fields.nothing_else()
    return fuser


def _as_text(fuser: AnyFuser) -> str:
    if isinstance(fuser, EntropySelection):
        own = _dump_selection(fuser)
    elif isinstance(fuser, Bayes):
        own = _dump_bayes(fuser)
    elif isinstance(fuser, Blend):
        own = _dump_blend(fuser)
    elif isinstance(fuser, Stacking):
        own = _dump_stacking(fuser)
    else:
        own = _dump_linear(fuser)
    method = method_of(fuser)
    from importlib.metadata import version

    content = {"format": FORMAT, "version": VERSION, "method": method, "emocli": version("emocli")}
    text = json.dumps({**content, **own}, indent=2, ensure_ascii=False)
    # Lists of plain values on one line: a matrix then looks like one.
    flat = re.compile(r"\[[^\[\]{}]*\]")
    return flat.sub(lambda found: re.sub(r"\s*\n\s*", " ", found.group()), text) + "\n"


def _split(data: bytes, name: str) -> tuple[dict[str, NDArray[Any]] | None, str]:
    """Tensors, or None for JSON, and the text."""
    if data[8:9] != b"{" or int.from_bytes(data[:8], "little") > len(data):
        try:
            return None, data.decode()
        except UnicodeDecodeError:
            raise FuserError(
                f"{name}: neither JSON nor safetensors, expected a fuser that emocli fuse --save "
                f"wrote. Check the path, or fit it again."
            ) from None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except (SafetensorError, ValueError) as error:
        raise FuserError(
            f"{name}: damaged safetensors ({error}), expected a fuser that emocli fuse --save "
            f"wrote. Check the path, or fit it again."
        ) from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, str(header.get("__metadata__", {}).get(_IN_METADATA, "{}"))


def _dump_selection(fuser: EntropySelection) -> dict[str, Any]:
    return {
        "inputs": {"speech": fuser.inputs[0], "text": fuser.inputs[1]},
        "labels": list(fuser.labels),
        "n_calibration": fuser.n_calibration,
        "classes": {label: _dump_rule(fuser.rules[label]) for label in fuser.labels},
        "excluded": [ARROW.join(pair) for pair in fuser.excluded],
        "transitions": {
            ARROW.join(pair): {"corrected": tally.corrected, "broken": tally.broken}
            for pair, tally in fuser.transitions.items()
        },
    }


def _load_selection(fields: Fields) -> EntropySelection:
    inputs = fields.members("inputs", ("speech", "text"))
    labels = fields.names("labels", REQUIRED)
    classes = fields.members("classes", labels)
    return EntropySelection(
        labels=labels,
        rules={label: _load_rule(classes, label) for label in labels},
        excluded=tuple(
            _load_pair(fields, "excluded", pair, labels) for pair in fields.items("excluded")
        ),
        transitions=_load_tallies(fields, labels),
        inputs=(inputs.text("speech"), inputs.text("text")),
        n_calibration=fields.count("n_calibration"),
    )


def _dump_rule(rule: ClassRule) -> dict[str, Any] | None:
    """A label's rule; nothing for one that never asks the text."""
    if rule == NEVER:
        return None
    sentiment = rule.sentiment
    negative: dict[str, Any] = {"rule": "refer"}
    if sentiment != REFER:
        negative = {"rule": "simple", "threshold": sentiment.threshold, "flip": sentiment.flip}
    return {"entropy": rule.entropy, "varentropy": rule.varentropy, "negative": negative}


def _load_rule(classes: Fields, label: str) -> ClassRule:
    if classes.values[label] is None:
        return NEVER
    rule = classes.members(label, ("entropy", "varentropy", "negative"))
    negative = rule.inner("negative")
    sentiment = REFER
    if negative.choice("rule", ("simple", "refer")) == "simple":
        sentiment = SentimentRule(negative.figure("threshold", 1.0), negative.flag("flip"))
    negative.nothing_else()
    return ClassRule(rule.figure("entropy"), rule.figure("varentropy"), sentiment)


def _load_tallies(fields: Fields, labels: Sequence[str]) -> dict[Transition, Tally]:
    transitions = fields.inner("transitions")
    tallies = {}
    for key in transitions.values:
        tally = transitions.members(key, ("corrected", "broken"))
        pair = _load_pair(transitions, key, key, labels)
        tallies[pair] = Tally(tally.count("corrected"), tally.count("broken"))
    return tallies


def _load_pair(fields: Fields, key: str, text: object, labels: Sequence[str]) -> Transition:
    """An exchange of two labels, written ``from->to``."""
    before, _, after = str(text).partition(ARROW)
    if before == after or not {before, after} <= set(labels):
        fields.refuse(key, f"exchanges of labels as {labels[0]}{ARROW}{labels[1]}", str(text))
    return before, after


def _dump_inputs(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    return [{"model": one.model, "kind": one.kind, "outputs": list(one.outputs)} for one in inputs]


def _load_inputs(fields: Fields) -> tuple[Input, ...]:
    found = []
    for one in fields.objects("inputs"):
        found.append(Input(one.text("model"), one.choice("kind", KINDS), one.names("outputs")))
        one.nothing_else()
    return tuple(found)


def _n_features(inputs: Sequence[Input]) -> int:
    return sum(len(one.outputs) for one in inputs)


def _dump_bayes(fuser: Bayes) -> dict[str, Any]:
    by_sentiment = zip(SENTIMENTS, fuser.edges, fuser.log_likelihood, strict=True)
    return {
        "inputs": _dump_inputs(fuser.inputs),
        "labels": list(fuser.labels),
        "n_fit": fuser.n_fit,
        "temper": fuser.temper,
        "answers": {
            sentiment: {
                "score_edges": edges.tolist(),
                "log_likelihood": _by_name(fuser.labels, table),
            }
            for sentiment, edges, table in by_sentiment
        },
        "voice": {
            "matrix": _by_name(fuser.labels, fuser.matrix),
            "bias": _by_name(fuser.labels, fuser.bias),
        },
    }


def _load_bayes(fields: Fields) -> Bayes:
    return _bayes_of(fields, *_load_voice_and_text(fields))


def _load_shared(fields: Fields) -> Shared:
    labels, inputs = fields.names("labels"), _load_inputs(fields)
    return labels, inputs, fields.count("n_fit")


def _load_voice_and_text(fields: Fields) -> Shared:
    labels, inputs, n_fit = _load_shared(fields)
    if len(inputs) != 2 or inputs[0].outputs != labels or inputs[1].outputs != SENTIMENTS:
        fields.refuse("inputs", "a voice with the fuser's labels and a text with sentiments")
    return labels, inputs, n_fit


def _bayes_of(
    fields: Fields, labels: tuple[str, ...], inputs: tuple[Input, ...], n_fit: int
) -> Bayes:
    answers = fields.members("answers", SENTIMENTS)
    edges, tables = [], []
    for sentiment in SENTIMENTS:
        one = answers.members(sentiment, ("score_edges", "log_likelihood"))
        edges.append(one.numbers("score_edges", N_BINS - 1))
        tables.append(_columns(one, "log_likelihood", labels, N_BINS))
    voice = fields.members("voice", ("matrix", "bias"))
    bias = voice.members("bias", labels)
    return Bayes(
        labels=labels,
        inputs=inputs,
        n_fit=n_fit,
        edges=np.array(edges),
        log_likelihood=np.stack(tables),
        matrix=_columns(voice, "matrix", labels, len(labels)),
        bias=np.array([bias.number(label) for label in labels]),
        temper=fields.figure("temper"),
    )


def _dump_blend(fuser: Blend) -> dict[str, Any]:
    """Its own fields, and the members' without what they share with it."""
    members = {"bayes": _dump_bayes(fuser.bayes), "logistic": _dump_linear(fuser.logistic)}
    shared = {"inputs": _dump_inputs(fuser.inputs), "labels": list(fuser.labels)}
    shared |= {"n_fit": fuser.n_fit}
    own = {
        name: {key: value for key, value in member.items() if key not in shared}
        for name, member in members.items()
    }
    return {**shared, "discount": fuser.discount, **own}


def _load_blend(fields: Fields) -> Blend:
    shared = _load_voice_and_text(fields)
    discount = fields.figure("discount", LARGEST)
    first, second = fields.inner("bayes"), fields.inner("logistic")
    bayes, logistic = _bayes_of(first, *shared), _logistic_of(second, *shared)
    first.nothing_else()
    second.nothing_else()
    return Blend(*shared, bayes, logistic, discount)


def _dump_linear(fuser: Logistic | Ridge) -> dict[str, Any]:
    shared = {
        "inputs": _dump_inputs(fuser.inputs),
        "n_fit": fuser.n_fit,
        "mean": fuser.scaler.mean.tolist(),
        "scale": fuser.scaler.scale.tolist(),
    }
    if isinstance(fuser, Logistic):
        return {
            **shared,
            "labels": list(fuser.labels),
            "prior": _by_name(fuser.labels, fuser.prior),
            "strength": fuser.strength,
            "coefficients": _by_name(fuser.labels, fuser.coefficients),
        }
    return {
        **shared,
        "dimensions": list(fuser.dimensions),
        "limits": list(fuser.limits),
        "strengths": _by_name(fuser.dimensions, np.array(fuser.strengths)),
        "coefficients": _by_name(fuser.dimensions, fuser.coefficients),
    }


def _load_scaler(fields: Fields, n_features: int) -> Scaler:
    mean, scale = fields.numbers("mean", n_features), fields.numbers("scale", n_features)
    if min(scale) <= 0:
        fields.refuse("scale", "numbers above 0")
    return Scaler(np.array(mean), np.array(scale))


def _load_logistic(fields: Fields) -> Logistic:
    return _logistic_of(fields, *_load_shared(fields))


def _logistic_of(
    fields: Fields, labels: tuple[str, ...], inputs: tuple[Input, ...], n_fit: int
) -> Logistic:
    n_features = _n_features(inputs)
    prior = fields.members("prior", labels)
    return Logistic(
        labels=labels,
        inputs=inputs,
        prior=np.array([prior.figure(label, 1.0) for label in labels]),
        n_fit=n_fit,
        scaler=_load_scaler(fields, n_features),
        coefficients=_columns(fields, "coefficients", labels, n_features + 1),
        strength=fields.figure("strength"),
    )


def _load_ridge(fields: Fields) -> Ridge:
    dimensions, inputs = fields.names("dimensions"), _load_inputs(fields)
    n_features = _n_features(inputs)
    strengths = fields.members("strengths", dimensions)
    low, high = fields.numbers("limits", 2)
    return Ridge(
        dimensions=dimensions,
        inputs=inputs,
        n_fit=fields.count("n_fit"),
        scaler=_load_scaler(fields, n_features),
        coefficients=_columns(fields, "coefficients", dimensions, n_features + 1),
        strengths=tuple(strengths.figure(name) for name in dimensions),
        limits=(low, high),
    )


def _dump_stacking(fuser: Stacking) -> dict[str, Any]:
    return {
        "inputs": _dump_inputs(fuser.inputs),
        "labels": list(fuser.labels),
        "n_fit": fuser.n_fit,
        "missing": fuser.missing.tolist(),
    }


def _load_stacking(fields: Fields, tensors: Mapping[str, NDArray[Any]]) -> Stacking:
    labels, inputs = fields.names("labels"), _load_inputs(fields)
    n_features = _n_features(inputs)
    _check_trees(tensors, n_features, len(labels), fields.name)
    return Stacking(
        labels=labels,
        inputs=inputs,
        n_fit=fields.count("n_fit"),
        missing=np.array(fields.numbers("missing", n_features)),
        trees=Trees(**tensors),
    )


def _check_trees(
    tensors: Mapping[str, NDArray[Any]], n_features: int, n_labels: int, name: str
) -> None:
    """Make sure that the arrays are trees over these features and labels."""
    wrong = {*tensors} ^ {*_TENSORS}
    wrong |= {key for key in {*tensors} - wrong if tensors[key].dtype != _TENSORS[key]}
    if not wrong:
        n_nodes, n_trees = len(tensors["feature"]), len(tensors["roots"])
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_TENSORS, (n_nodes,))
        shapes |= {"roots": (n_trees,), "forest": (n_trees,), "value": (n_nodes, n_labels)}
        wrong = {key for key, shape in shapes.items() if tensors[key].shape != shape}
    if not wrong:
        limits = {"feature": n_features, "left": n_nodes, "right": n_nodes, "roots": n_nodes}
        wrong = {key for key, limit in limits.items() if not _are_below(tensors[key], limit)}
    if wrong:
        raise FuserError(
            f"{name}: the forests' {', '.join(sorted(wrong))} do not fit {n_features} features "
            f"and {n_labels} labels, expected trees that emocli fuse --save wrote. "
            f"Fit the fuser again."
        )


def _are_below(indices: NDArray[Any], limit: int) -> bool:
    return bool(len(indices) and indices.min() >= 0 and indices.max() < limit)


def _by_name(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, Any]:
    """Columns of a matrix, or elements of a vector, by what they belong to."""
    return {name: values[..., index].tolist() for index, name in enumerate(names)}


def _columns(fields: Fields, key: str, names: Sequence[str], length: int) -> NDArray[np.float64]:
    """The matrix that `_by_name` took apart, shape (length, n_names)."""
    found = fields.members(key, names)
    return np.stack([np.array(found.numbers(name, length)) for name in names], axis=1)
