"""What a report is made of, as plain data: no files are read and no model is asked from here on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.evaluation import Evaluation
from emocli.report.truth_figures import Exchange
from emocli.table import PredictionTable


@dataclass(frozen=True)
class Verdict:
    """Predictions beside the truth.

    Attributes:
        evaluation: every figure.
        truth: canonical true label of each row of the system, ``""`` where there is none; shape
            (n_rows,).
        right: whether each compared prediction is right, shape (n_compared,).
        measures: what ranks compared predictions by trust, rising with it, by name; the first is
            the probability of the predicted label. Shape (n_compared,) each.
        truth_name: what the table of truths is called.
    """

    evaluation: Evaluation
    truth: NDArray[Any]
    right: NDArray[np.bool_]
    measures: Mapping[str, NDArray[np.float64]]
    truth_name: str


@dataclass(frozen=True)
class System:
    """One model's predictions in one table.

    Attributes:
        table: name of the table.
        model: identifier of the model, ``""`` if unknown.
        rows: its predictions, and rows that failed.
        unsure: which rows to doubt, shape (n_rows,).
        labels: those that it gives probabilities to.
        verdict: None without the truth.
        thresholds: for each label the least entropy and the largest varentropy from which fusion
            asks the text; empty without a fuser.
        exchanges: what fusion changed, the most frequent first.
    """

    table: str
    model: str
    rows: PredictionTable
    unsure: NDArray[np.bool_]
    labels: tuple[str, ...]
    verdict: Verdict | None = None
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    exchanges: tuple[Exchange, ...] = ()

    @property
    def name(self) -> str:
        """What to call it: its model, or the table where that is not known."""
        return self.model or self.table


@dataclass(frozen=True)
class Card:
    """What is known of a model: fields with values, and the card that comes with its weights."""

    name: str
    facts: tuple[tuple[str, str], ...]
    text: str = ""


@dataclass(frozen=True)
class Report:
    """Everything on a page.

    Attributes:
        heading: of the page.
        systems: at least one.
        audio: address of the recording of each file that can be played: relative to the page, or
            the recording itself as a ``data:`` address.
        cards: of the models that are known.
        warnings: what to doubt, in sentences.
        commands: lines that a shell takes: what made this page, and what gives its figures.
        made: with what and when.
    """

    heading: str
    systems: tuple[System, ...]
    audio: Mapping[str, str] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()
    warnings: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    made: str = ""
