"""What goes into a fusion: tables of the same utterances, brought into one order.

A side is one model's rows. It has a say on an utterance if it has a posterior there: rows with an
error, and texts without words, leave the word to the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.abstention import about_recording
from emocli.errors import LabelMismatch, TableError
from emocli.fusion.entropy_selection import Answers
from emocli.labels import (
    SENTIMENTS,
    canonical_label,
    canonical_labels,
    select_labels,
    sentiment_to_emotions,
    stated_label,
)
from emocli.table import DIMENSIONS, Join, PredictionTable, join, join_advice, listing

NO_WORDS = "no words"
"""The note of a text model on a transcript that has none."""
NO_ROW = "no row"
"""How the error of a row begins that stands for an utterance which a side lacks."""

Match = Callable[..., Join]
"""Matches two tables' rows: ``match(left, right, names=(str, str))``."""


@dataclass(frozen=True)
class Side:
    """One model's predictions.

    Attributes:
        name: what to call it in notes and in the fused ``model`` column.
        table: its rows.
    """

    name: str
    table: PredictionTable

    @cached_property
    def model(self) -> str:
        """The identifier in the ``model`` column, ``""`` where there is none."""
        given = [model for model in dict.fromkeys(self.table.column("model").tolist()) if model]
        return given[0] if given else ""

    @cached_property
    def is_top_only(self) -> bool:
        """Whether it gives a top sentiment and its score instead of all probabilities."""
        return not self._own_labels and {"label", "score"} <= set(self.table.columns)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Canonical labels in column order; the three sentiments for a top sentiment."""
        if self.is_top_only:
            return SENTIMENTS
        return canonical_labels(self._own_labels)

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions that some row has a figure for."""
        return tuple(
            name
            for name in DIMENSIONS
            if name in self.table and not np.isnan(self.table[name]).all()
        )

    @cached_property
    def is_sentiment(self) -> bool:
        """Whether it speaks of the three sentiments."""
        return set(self.labels) == set(SENTIMENTS)

    @cached_property
    def probs(self) -> NDArray[np.float64]:
        """Posteriors of shape (n_utterances, n_labels); NaN where it has no say.

        A top sentiment's score leaves the rest to the two others in equal parts.
        """
        if not self.labels:
            return np.empty((len(self.table), 0))
        if self.is_top_only:
            values = _spread_score(self.answers)
        else:
            columns = [f"p_{label}" for label in self._own_labels]
            values = np.stack([self.table[name] for name in columns], axis=1)
        return np.where(_is_silent(self.table)[:, np.newaxis], np.nan, values)

    @cached_property
    def has_say(self) -> NDArray[np.bool_]:
        """On which utterances it has a posterior, or else dimensions; shape (n_utterances,)."""
        values = self.probs
        if not self.labels:
            values = np.stack(
                [self.table[name] for name in self.dimensions]
                or [np.full(len(self.table), np.nan)],
                axis=1,
            )
        return np.asarray(~np.isnan(values).any(axis=1) & ~self.table.failed, dtype=bool)

    @cached_property
    def answers(self) -> Answers:
        """Top sentiment and its probability.

        Raises:
            TableError: a label that is no sentiment, or a score that is no probability.
        """
        if self.is_top_only:
            return _read_answers(self.table, self.name)
        probs = self.probs[:, [self.labels.index(name) for name in SENTIMENTS]]
        top = np.where(self.has_say, np.argmax(np.nan_to_num(probs), axis=1), -1)
        return Answers(top, np.where(self.has_say, np.nan_to_num(probs).max(axis=1), np.nan))

    @cached_property
    def _own_labels(self) -> tuple[str, ...]:
        """Labels as the table spells them, without those that no row has a figure for."""
        return tuple(
            label
            for label in self.table.labels
            if not len(self.table) or not np.isnan(self.table[f"p_{label}"]).all()
        )

    @cached_property
    def remarks(self) -> list[str]:
        """Error, else what the note says of the recording, of each row."""
        pairs = zip(self.table.column("error"), self.table.column("note"), strict=True)
        return [str(error) or about_recording(str(note)) for error, note in pairs]


def split_models(name: str, table: PredictionTable) -> list[Side]:
    """The sides of a table that holds the rows of one or several models.

    Args:
        name: what to call the side of a table that does not name its model.
        table: predictions.
    """
    models = table.column("model")
    named = [model for model in dict.fromkeys(models.tolist()) if model]
    if len(named) < 2:
        return [Side(named[0] if named else name, table)]
    return [
        Side(model or name, table.select(models == model))
        for model in dict.fromkeys(models.tolist())
    ]


def align(sides: Sequence[Side], match: Match | None = None) -> list[Side]:
    """Sides whose rows are in the order of the first one's.

    Args:
        sides: at least one.
        match: finds the partners of rows; by file, start and end as written by default.

    Raises:
        TableError: a side lacks an utterance of another, or has one twice; the first ten are named.
    """
    first, *others = sides
    return [first, *(_aligned(first, other, match or _match_written) for other in others)]


def align_union(sides: Sequence[Side], match: Match | None = None) -> list[Side]:
    """Sides over all utterances that any of them has, those of the first one first.

    Where a side lacks an utterance it gets a row without a say, whose error tells so.

    Args:
        sides: at least one.
        match: finds the partners of rows; by file, start and end as written by default.

    Raises:
        TableError: a side has an utterance twice.
    """
    match = match or _match_written
    union = sides[0].table
    for side in sides[1:]:
        found = match(union, side.table, names=(sides[0].name, side.name))
        union = _with_utterances(union, side.table, found.right_only, sides[0].name)
    return [_over_all(union, side, match) for side in sides]


def _over_all(union: PredictionTable, side: Side, match: Match) -> Side:
    """A side in the order of a table that has all of its utterances, and others."""
    found = match(union, side.table, names=("all tables", side.name))
    order = found.right.copy()
    order[found.left_only] = len(side.table) + np.arange(len(found.left_only))
    table = _with_utterances(side.table, union, found.left_only, side.name)
    return replace(side, table=table.select(order))


def _with_utterances(
    table: PredictionTable, other: PredictionTable, rows: NDArray[np.intp], name: str
) -> PredictionTable:
    """A table with rows below for utterances that only another one has."""
    if not len(rows):
        return table
    lacking = other.select(rows)
    keys = {key: lacking[key] for key in ("file", "start", "end") if key in lacking}
    errors = {"error": [f"{NO_ROW} in {name}"] * len(rows)}
    added = PredictionTable.from_columns({**keys, **errors})
    columns = {
        key: np.concatenate([table.column(key), added.column(key)])
        for key in dict.fromkeys([*table.columns, *added.columns])
    }
    return PredictionTable(columns, table.folder)


def restrict(side: Side, labels: Sequence[str]) -> Side:
    """A side over some of its emotions, scaled to sum to 1; sentiments stay as they are.

    Raises:
        LabelMismatch: a label that it does not have, or fewer than two labels.
    """
    wanted = canonical_labels(labels)
    if len(wanted) < 2:
        raise LabelMismatch(
            f"--labels names {', '.join(wanted) or 'no label'}, expected at least two labels. "
            f"Name all that should be told apart."
        )
    if side.is_sentiment or not side.labels:
        return side
    probs = np.where(
        side.has_say[:, np.newaxis], select_labels(side.probs, side.labels, wanted), np.nan
    )
    others = side.table.without_columns(["label", *(f"p_{label}" for label in side.table.labels)])
    columns = {f"p_{label}": probs[:, index] for index, label in enumerate(wanted)}
    return replace(side, table=others.with_columns(columns))


def common_posteriors(sides: Sequence[Side]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Posteriors of aligned sides over one label set.

    Sets may differ in their order. Beside a side that knows emotions, three-way sentiments become
    emotions by `labels.sentiment_to_emotions`; the ratio of angry to sad comes from the mean of
    the sides that know emotions.

    Args:
        sides: aligned sides.

    Returns:
        The labels in the order of the first side that knows emotions, and posteriors of shape
        (n_sides, n_utterances, n_labels), NaN where a side has no say.

    Raises:
        LabelMismatch: the sets differ and there is no map between them.
    """
    speaking = [side for side in sides if side.labels]
    emotional = [side for side in speaking if not side.is_sentiment] or speaking
    if not emotional:
        return (), np.empty((len(sides), len(sides[0].table), 0))
    labels = emotional[0].labels
    if any(set(side.labels) != set(labels) for side in emotional):
        raise LabelMismatch(_difference(emotional))
    voices = np.nan_to_num([_in_order(side, labels) for side in emotional])
    reference = voices.sum(axis=0)  # the ratio of two labels is the same in sum and mean
    probs = [_over(side, labels, reference) for side in sides]
    return labels, np.stack(probs)


def find_speech_and_text(sides: Sequence[Side]) -> tuple[Side, Side]:
    """The side that knows emotions and the one that knows sentiments.

    Raises:
        TableError: there are not two sides, or not one of each kind.
    """
    speech = [side for side in sides if side.labels and not side.is_sentiment]
    text = [side for side in sides if side.is_sentiment]
    if len(sides) == 2 and len(speech) == len(text) == 1:
        return speech[0], text[0]
    found = "; ".join(f"{side.name} ({', '.join(side.labels) or 'no labels'})" for side in sides)
    raise TableError(
        f"This method takes one table of emotions and one of sentiments "
        f"({', '.join(SENTIMENTS)}), found {found}. "
        f"Give a speech model's table and a sentiment model's table."
    )


def check_predictions(side: Side) -> None:
    """Make sure that a side predicts labels at all.

    Raises:
        TableError: it has rows without an error and no probabilities.
    """
    if side.labels or _is_silent(side.table).all():
        return
    if side.dimensions:
        raise TableError(
            f"{side.name}: {', '.join(side.dimensions)} and no labels, expected probabilities of "
            f"labels. Fuse dimensions with --method ridge --fit TRUTH."
        )
    raise TableError(
        f"{side.name}: no probabilities among columns {listing(side.table.columns)}, expected p_ "
        f"columns, or label and score of sentiments. Give tables that emocli predict wrote."
    )


def align_truth(
    first: PredictionTable, truth: PredictionTable, column: str, match: Match | None = None
) -> list[str]:
    """The true label of each row of a table.

    Args:
        first: predictions.
        truth: a table with the same utterances.
        column: the column of the truth that holds the label.
        match: finds the partners of rows; by file, start and end as written by default.

    Returns:
        Canonical labels in the order of the predictions.

    Raises:
        TableError: no such column, an utterance that one of them lacks, or an empty label.
    """
    return true_labels(align_rows(first, truth, match), column)


def align_rows(
    first: PredictionTable, truth: PredictionTable, match: Match | None = None
) -> PredictionTable:
    """A table of truth in the order of the predictions.

    Args:
        first: predictions.
        truth: a table with the same utterances.
        match: finds the partners of rows; by file, start and end as written by default.

    Raises:
        TableError: an utterance that one of them lacks.
    """
    names = ("the predictions", "the truth")
    found = (match or _match_written)(first, truth, names=names)
    check_complete(found, first, truth, names)
    return truth.select(found.right)


def true_labels(truth: PredictionTable, column: str, *, needs_all: bool = True) -> list[str]:
    """The canonical label of each row of a table of truth, ``""`` where it has none.

    Args:
        truth: a table with the column.
        column: holds the labels.
        needs_all: whether a row without a label is an error; if not, a table without any is.

    Raises:
        TableError: no such column, or a label is lacking.
    """
    if column not in truth:
        raise TableError(
            f"The truth has no column {column} among {listing(truth.columns)}. "
            f"Name the one that holds the label with --truth-column."
        )
    labels = [stated_label(value) for value in truth[column].tolist()]
    empty = [file for file, label in zip(truth["file"], labels, strict=True) if not label]
    if empty and (needs_all or len(empty) == len(labels)):
        raise TableError(
            f"The truth has no {column} for {listing(empty)}, expected a label for every row. "
            f"Fill it in, or leave the row out of all tables."
        )
    return labels


def _match_written(
    left: PredictionTable, right: PredictionTable, *, names: tuple[str, str]
) -> Join:
    return join(left.keys(), right.keys(), names=names)


def _aligned(first: Side, other: Side, match: Match) -> Side:
    found = match(first.table, other.table, names=(first.name, other.name))
    names = (first.name, other.name)
    check_complete(
        found, first.table, other.table, names, "add --allow-missing to fuse what is there"
    )
    return replace(other, table=other.table.select(found.right))


def check_complete(
    found: Join,
    left: PredictionTable,
    right: PredictionTable,
    names: tuple[str, str],
    remedy: str = "give tables of the same recordings",
) -> None:
    """Make sure that every row found its partner.

    Args:
        found: what matching gave.
        left: first table.
        right: second table.
        names: what to call them.
        remedy: what else than matching by name may help.

    Raises:
        TableError: one did not; the first ten of each table are named.
    """
    lonely = [
        f"{len(files)} of {name} are missing from {other}: {listing(files)}"
        for files, name, other in (
            (left["file"][found.left_only], names[0], names[1]),
            (right["file"][found.right_only], names[1], names[0]),
        )
        if len(files)
    ]
    if lonely:
        advice = ", or ".join(filter(None, (join_advice(left, right, whole=True), remedy)))
        raise TableError(
            f"{names[0]} and {names[1]} speak of different utterances, expected the same in both; "
            f"{'; '.join(lonely)}. {advice[0].upper()}{advice[1:]}."
        )


def _in_order(side: Side, labels: Sequence[str]) -> NDArray[np.float64]:
    return side.probs[:, [side.labels.index(label) for label in labels]]


def _over(
    side: Side, labels: tuple[str, ...], reference: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A side's posteriors over the common labels, shape (n_utterances, n_labels)."""
    if not side.labels:
        return np.full(reference.shape, np.nan)
    if set(side.labels) == set(labels):
        return _in_order(side, labels)
    spread = sentiment_to_emotions(_in_order(side, SENTIMENTS), reference, labels)
    return np.where(side.has_say[:, np.newaxis], spread, np.nan)


def _difference(sides: Sequence[Side]) -> str:
    """The sentences about label sets that differ."""
    shared = [label for label in sides[0].labels if all(label in side.labels for side in sides[1:])]
    found = "; ".join(f"{side.name} has {', '.join(side.labels)}" for side in sides)
    remedy = (
        f"Restrict them to the labels they share with --labels {','.join(shared)}."
        if len(shared) > 1
        else "Use models that know the same emotions."
    )
    return f"The tables' labels differ, expected the same in all: {found}. {remedy}"


def _is_silent(table: PredictionTable) -> NDArray[np.bool_]:
    """Which rows have an error, or a note that there were no words to judge."""
    wordless = [NO_WORDS in note.split("; ") for note in table.column("note").tolist()]
    return np.asarray(table.failed | np.array(wordless, dtype=bool), dtype=bool)


def _spread_score(answers: Answers) -> NDArray[np.float64]:
    """Three-way posteriors from a top sentiment's score, shape (n_utterances, 3)."""
    rest = (1.0 - answers.score) / (len(SENTIMENTS) - 1)
    is_top = answers.sentiment[:, np.newaxis] == np.arange(len(SENTIMENTS))
    probs = np.where(is_top, answers.score[:, np.newaxis], rest[:, np.newaxis])
    return np.where((answers.sentiment >= 0)[:, np.newaxis], probs, np.nan)


def _read_answers(table: PredictionTable, name: str) -> Answers:
    """Answers from ``label`` and ``score``; a row without a label has no say."""
    codes = np.full(len(table), -1, dtype=np.intp)
    scores = np.full(len(table), np.nan)
    for row in np.flatnonzero(~_is_silent(table) & (table["label"] != "")):
        sentiment = canonical_label(table["label"][row])
        if sentiment not in SENTIMENTS:
            raise TableError(
                f"{name}: {table['file'][row]} has label {table['label'][row]} and a score but no "
                f"p_ columns, expected {', '.join(SENTIMENTS)}. "
                f"Give the probabilities of all labels."
            )
        codes[row] = SENTIMENTS.index(sentiment)
        scores[row] = _read_score(table["score"][row], table["file"][row], name)
    return Answers(codes, scores)


def _read_score(value: str, file: str, name: str) -> float:
    try:
        score = float(value)
    except ValueError:
        score = float("nan")
    if not 0 <= score <= 1:
        raise TableError(
            f"{name}: the score of {file} is {value or 'empty'}, expected a probability from 0 "
            f"to 1. Correct it or empty the row's label."
        )
    return score
