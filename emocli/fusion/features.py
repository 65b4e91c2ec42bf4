"""What a trained fuser sees of its inputs, in an order that is recorded with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from emocli.errors import FuserError
from emocli.fusion.sides import Side
from emocli.labels import SENTIMENTS

POSTERIORS = "posteriors"
LOGITS = "logits"
TOP_SENTIMENT = "top sentiment"
DIMENSIONS = "dimensions"
KINDS = (POSTERIORS, LOGITS, TOP_SENTIMENT, DIMENSIONS)
SMALLEST = 1e-6
"""Probabilities below it count as it: ln 1e-6 = -13.8. Models' own zeros are rounding."""


@dataclass(frozen=True)
class Input:
    """One table that a trained fuser takes.

    Attributes:
        model: identifier in its ``model`` column, ``""`` for a table without one.
        kind: what it gives, one of `KINDS`.
        outputs: labels, or dimensions, in the order of the features.
    """

    model: str
    kind: str
    outputs: tuple[str, ...]


def input_of(side: Side, *, dimensional: bool = False) -> Input:
    """What a side is to a fuser: its dimensions, if these are wanted and there, or its labels."""
    if dimensional and side.dimensions:
        return Input(side.model, DIMENSIONS, side.dimensions)
    if side.is_top_only:
        return Input(side.model, TOP_SENTIMENT, SENTIMENTS)
    return Input(side.model, POSTERIORS, side.labels)


def block(side: Side, given: Input) -> NDArray[np.float64]:
    """A side's features, shape (n_utterances, n_outputs); NaN rows where it has no say.

    Posteriors become log posteriors. A top sentiment has its score in its own column and 0 in the
    two others: its logarithm would say nothing about them.
    """
    if given.kind == DIMENSIONS:
        values = np.stack([side.table[name] for name in given.outputs], axis=1)
        return np.where(side.table.failed[:, np.newaxis], np.nan, values)
    if given.kind == TOP_SENTIMENT:
        placed = side.answers.sentiment[:, np.newaxis] == np.arange(len(SENTIMENTS))
        scores = np.where(placed, side.answers.score[:, np.newaxis], 0.0)
        return np.where(side.has_say[:, np.newaxis], scores, np.nan)
    ordered = side.probs[:, [side.labels.index(label) for label in given.outputs]]
    return np.log(np.maximum(ordered, SMALLEST))


def arrange(sides: Sequence[Side], inputs: Sequence[Input]) -> list[Side]:
    """Sides in the order of the inputs that a fuser was fitted on.

    Raises:
        FuserError: a side that it was not fitted on, or one that is lacking.
    """
    left = list(sides)
    found = []
    for wanted in inputs:
        match = next((side for side in left if _is_the_same(side, wanted)), None)
        if match is None:
            _refuse(sides, inputs)
        left = [side for side in left if side is not match]
        found.append(match)
    if left:
        _refuse(sides, inputs)
    return found


def only_order_tells(inputs: Sequence[Input]) -> bool:
    """Whether some inputs without a name are alike, so that only their order tells them apart."""
    unnamed = [(one.kind, frozenset(one.outputs)) for one in inputs if not one.model]
    return len(set(unnamed)) < len(unnamed)


def _is_the_same(side: Side, wanted: Input) -> bool:
    given = input_of(side, dimensional=wanted.kind == DIMENSIONS)
    same = (given.model, given.kind) == (wanted.model, wanted.kind)
    return same and set(given.outputs) == set(wanted.outputs)


def _refuse(sides: Sequence[Side], inputs: Sequence[Input]) -> NoReturn:
    def told(model: str, outputs: Sequence[str]) -> str:
        return f"{model or '(not named)'} with {', '.join(outputs) or 'no labels'}"

    dimensional = any(given.kind == DIMENSIONS for given in inputs)
    found = [input_of(side, dimensional=dimensional) for side in sides]
    raise FuserError(
        f"The fuser was fitted on {'; '.join(told(one.model, one.outputs) for one in inputs)}, "
        f"found {'; '.join(told(one.model, one.outputs) for one in found)}. "
        f"Predict with those models, or fit another fuser."
    )
