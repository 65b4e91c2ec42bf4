"""Fusers as readable JSON.

A fuser decides labels, and people edit such files by hand: nothing is guessed, filled in or
ignored on reading.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from emocli.fusion.checked_json import Fields
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

FORMAT = "emocli-fuser"
VERSION = 1
ENTROPY_SELECTION = "entropy-selection"
ARROW = "->"


def dump_fuser(fuser: EntropySelection) -> str:
    """A fuser as JSON text.

    Args:
        fuser: calibrated entropy selection.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "method": ENTROPY_SELECTION,
        "emocli": version("emocli"),
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
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def load_fuser(text: str, name: str) -> EntropySelection:
    """The fuser that `dump_fuser` wrote.

    Args:
        text: JSON.
        name: what to call it in an error.

    Raises:
        FuserError: anything about it is not as it was written; the sentence names the field.
    """
    fields = Fields.parse(text, name)
    fields.constant("format", FORMAT)
    fields.constant("version", VERSION)
    fields.constant("method", ENTROPY_SELECTION)
    fields.text("emocli")
    inputs = fields.members("inputs", ("speech", "text"))
    labels = fields.names("labels", REQUIRED)
    classes = fields.members("classes", labels)
    fuser = EntropySelection(
        labels=labels,
        rules={label: _load_rule(classes, label) for label in labels},
        excluded=tuple(
            _load_pair(fields, "excluded", pair, labels) for pair in fields.items("excluded")
        ),
        transitions=_load_tallies(fields, labels),
        inputs=(inputs.text("speech"), inputs.text("text")),
        n_calibration=fields.count("n_calibration"),
    )
    fields.nothing_else()
    return fuser


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
