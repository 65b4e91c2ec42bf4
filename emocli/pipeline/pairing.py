"""Predictions meet the truth: which rows are compared, and as what.

Nothing is dropped in silence. An utterance without a prediction and a prediction without a truth
are errors unless the caller asks otherwise, and then they are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import TableError
from emocli.labels import canonical_label, match_label, plain_label
from emocli.metrics import text as transcripts
from emocli.metrics.scores import Sample
from emocli.table import DIMENSIONS, PredictionTable, figure_of, join_advice, listing
from emocli.table_io import match_tables

VOTES = "votes_*"
"""Columns of a truth table that count the annotators who chose a label."""
DEFAULT_COLUMN = "emotion"


@dataclass(frozen=True)
class Pairing:
    """How tables meet.

    Attributes:
        truth_column: column of the truth that holds the emotion; ``p_*``, or another prefix and a
            star, for columns that hold annotators' votes.
        labels: evaluate only utterances whose truth is one of these; empty for all.
        allow_missing: count utterances without a prediction as wrong.
        ignore_extra: leave out predictions without a truth.
        match: ``"path"`` or ``"stem"``.
        root: folder that relative paths start from.
        normalize: compare transcripts without case and punctuation.
    """

    truth_column: str = DEFAULT_COLUMN
    labels: tuple[str, ...] = ()
    allow_missing: bool = False
    ignore_extra: bool = False
    match: str = "path"
    root: str | None = None
    normalize: bool = True


@dataclass(frozen=True)
class Paired:
    """The predictions of one model beside the truth; one entry for each evaluated utterance.

    Attributes:
        name: of the table of predictions.
        model: identifier of the model; ``""`` where the table has none.
        truth: rows of the truth table.
        predictions: rows of the table of predictions.
        row: for each row of ``truth`` that of ``predictions``, -1 for none; shape (n,).
        emotions: canonical true emotions, ``""`` where there is none; shape (n,).
        votes: labels, and the share of annotators that chose each; no labels without votes.
        n_left_out: rows of the truth table that ``labels`` leaves out.
        n_extra: predictions without a truth, left out.
        n_abstained: rows of the truth table with an answer but no label.
    """

    name: str
    model: str
    truth: PredictionTable
    predictions: PredictionTable
    row: NDArray[np.intp]
    emotions: NDArray[Any]
    votes: tuple[tuple[str, ...], NDArray[np.float64]]
    n_left_out: int = 0
    n_extra: int = 0
    n_abstained: int = 0

    def predicted(self, column: str) -> NDArray[Any]:
        """A column of the predictions in the order of the truth; missing where there is none."""
        values = self.predictions.column(column)
        missing = np.nan if values.dtype.kind == "f" else ""
        return np.append(values, np.array([missing], dtype=values.dtype))[self.row]

    def attribute(self, column: str) -> NDArray[Any] | None:
        """A column of the truth, else of the predictions, as text; None where neither has it."""
        if column in self.truth:
            return self.truth[column]
        return self.predicted(column) if column in self.predictions else None

    @cached_property
    def has_emotions(self) -> bool:
        """Whether emotions can be compared."""
        return bool((self.emotions != "").any()) and _predicts_labels(self.predictions)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions that both sides have figures for; a model's own are no truth."""
        if holds_predictions(self.truth):
            return ()
        return tuple(
            name
            for name in DIMENSIONS
            if not np.isnan(self.truth.column(name)).all()
            and not np.isnan(self.predictions.column(name)).all()
        )

    @property
    def has_transcripts(self) -> bool:
        """Whether what was recognised can be compared with what was said."""
        return "reference" in self.truth and "text" in self.predictions

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which utterances that can be compared have no prediction, shape (n,)."""
        missing = np.full(len(self.row), self.has_transcripts) & (self.row < 0)
        for name in self.dimensions:
            missing |= ~np.isnan(self.truth.column(name)) & np.isnan(self.predicted(name))
        if self.has_emotions:
            missing |= (self.emotions != "") & (self.predicted("label") == "")
        return np.asarray(missing)

    @property
    def model_labels(self) -> tuple[str, ...]:
        """The labels that the model gives probabilities to."""
        known = np.asarray(~np.isnan(self.predictions.probs).all(axis=0))
        return tuple(
            label for label, has in zip(self.predictions.labels, known, strict=True) if has
        )


def _predicts_labels(predictions: PredictionTable) -> bool:
    """Whether a table predicts emotions; an empty one is taken to have failed at it."""
    return len(predictions) == 0 or bool((predictions.column("label") != "").any())


def split_models(table: PredictionTable) -> list[tuple[str, PredictionTable]]:
    """The predictions of each model in a table; rows with an error are no predictions."""
    usable = table.select(~table.failed)
    models = usable.column("model")
    found = [(name, usable.select(models == name)) for name in dict.fromkeys(models.tolist())]
    return found or [("", usable)]


def pair(
    table: PredictionTable,
    truth: PredictionTable,
    how: Pairing,
    *,
    names: tuple[str, str] = ("predictions", "truth"),
) -> list[Paired]:
    """Predictions of each model of a table beside the truth.

    Args:
        table: predictions of one or several models.
        truth: true emotions, dimensions or references.
        how: how the tables meet.
        names: what to call the two tables in an error.

    Raises:
        TableError: a truth that is a table of predictions or lacks the column that was asked for,
            utterances without a prediction or predictions without a truth that nobody
            allowed, nothing that both tables speak of, or keys that repeat.
    """
    _check_truth(truth, how, names[1], its_own=table is truth)
    return [
        _pair_model(model, predictions, truth, how, names)
        for model, predictions in split_models(table)
    ]


def _pair_model(
    model: str,
    predictions: PredictionTable,
    truth: PredictionTable,
    how: Pairing,
    names: tuple[str, str],
) -> Paired:
    met = match_tables(
        truth, predictions, match=how.match, root=how.root, names=(names[1], names[0])
    )
    shown = f"{names[0]} ({model})" if model else names[0]
    _check_acquaintance(predictions, truth, met.right, (shown, names[1]))
    _check_extra(predictions, met.right_only, how, (shown, names[1]))
    emotions = true_emotions(truth, how.truth_column, _labels_of(predictions))
    voted, shares = soft_truth(truth, how.truth_column)
    wanted = [match_label(label, _labels_of(predictions)) for label in how.labels]
    chosen = np.isin(emotions, wanted) if wanted else np.ones(len(truth), dtype=bool)
    abstained = chosen & _abstained(predictions, met.right)
    n_left_out = int(np.sum(~chosen))
    if not (abstained == chosen).all():  # where all were, there is something else to be told
        chosen = chosen & ~abstained
    found = Paired(
        names[0],
        model,
        truth.select(chosen),
        predictions,
        met.right[chosen],
        emotions[chosen],
        (voted, shares[chosen]),
        n_left_out,
        len(met.right_only),
        int(abstained.sum()),
    )
    _check_something(found, how, (shown, names[1]))
    _check_missing(found, how, (shown, names[1]))
    return found


def _abstained(predictions: PredictionTable, row: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each row of the truth has an answer without a label, shape (n,).

    It was left out on purpose, or there was nothing to hear, or no label stood out.
    """
    answered = ~np.isnan(predictions.probs).all(axis=1) if predictions.labels else False
    answered |= predictions.column("abstained") == "yes"
    return np.append(answered & (predictions.column("label") == ""), False)[row]


def holds_predictions(table: PredictionTable) -> bool:
    """Whether a model wrote what a table says, which is no truth."""
    said = any(name in table for name in ("label", "text", *DIMENSIONS)) or bool(table.labels)
    return said and bool((table.column("model") != "").any())


def _check_truth(truth: PredictionTable, how: Pairing, name: str, *, its_own: bool) -> None:
    """A truth must have the column that was asked for, and not be what a model said.

    Args:
        truth: the table.
        how: names the column.
        name: what to call the table in an error.
        its_own: whether it is the table of predictions itself.

    Raises:
        TableError: it has not, or it is.
    """
    column = how.truth_column
    if column not in (DEFAULT_COLUMN, VOTES) and not _columns(truth, column):
        raise TableError(
            f"{name}: no column {column}, found {listing(truth.columns)}. Correct --truth-column."
        )
    known = (column in truth and column != "label") or _columns(truth, VOTES)
    if (its_own or holds_predictions(truth)) and not (known or "reference" in truth):
        models = dict.fromkeys(filter(None, truth.column("model").tolist()))
        whose = f" of {listing(models)}" if models else ""
        raise TableError(
            f"{name} holds predictions{whose}, expected what is true. Give the table of the "
            f"labels, or name its column of true emotions with --truth-column; "
            f"`emocli eval --compare` takes the predictions of another model."
        )


def _labels_of(predictions: PredictionTable) -> tuple[str, ...]:
    """The labels that a table has posteriors of, else those that it names."""
    named = dict.fromkeys(predictions.column("label").tolist())
    return predictions.labels or tuple(label for label in named if label)


def true_emotions(truth: PredictionTable, column: str, labels: Sequence[str] = ()) -> NDArray[Any]:
    """Emotions of a truth table, shape (n_rows,); ``""`` where it names none.

    They are in the words of ``labels`` where these mean the same, and canonical elsewhere.
    Without the column, the label that most annotators chose, where the truth has their votes.
    """
    emotions = np.full(len(truth), "", dtype=object)
    if column in truth:
        known = {name: match_label(plain_label(name), labels) for name in {*truth[column].tolist()}}
        emotions[:] = [known[name] for name in truth[column].tolist()]
        return emotions
    names, votes = soft_truth(truth, column)
    voted = ~np.isnan(votes).any(axis=1)
    if names:
        emotions[voted] = np.array(names, dtype=object)[votes[voted].argmax(axis=1)]
    return emotions


def _columns(table: PredictionTable, name: str) -> list[str]:
    """The column of a name, or all that begin with what stands before a star."""
    if name.endswith("*"):
        return [column for column in table.columns if column.startswith(name[:-1])]
    return [name] if name in table else []


def soft_truth(
    truth: PredictionTable, column: str = DEFAULT_COLUMN
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The share of annotators that chose each label, from counts or shares in ``votes_*``.

    Args:
        truth: with columns of votes, or without.
        column: another prefix and a star, such as ``p_*``, for other columns of votes.

    Returns:
        The labels, and shares of shape (n_rows, n_labels) that sum to 1; NaN rows without votes.

    Raises:
        TableError: a count of votes is not a number from 0 on.
    """
    pattern = column if column.endswith("*") else VOTES
    names = _columns(truth, pattern)
    if not names:
        return (), np.empty((len(truth), 0))
    votes = np.stack([_numbers(truth, name) for name in names], axis=1)
    total = votes.sum(axis=1, keepdims=True)
    shares = np.divide(votes, total, out=np.full_like(votes, np.nan), where=total > 0)
    return tuple(canonical_label(name[len(pattern) - 1 :]) for name in names), shares


def _numbers(table: PredictionTable, name: str) -> NDArray[np.float64]:
    """A column of counts or shares; an empty cell is 0."""
    numbers = np.zeros(len(table))
    for row, cell in enumerate(table[name].tolist()):
        try:
            numbers[row] = np.nan_to_num(figure_of(cell))
        except ValueError:
            numbers[row] = -1.0
        if not 0 <= numbers[row] < np.inf:
            raise TableError(
                f"{name} of {table['file'][row]} is {cell!r}, expected a number of votes. "
                f"Correct it or leave it empty."
            )
    return numbers


def _check_acquaintance(
    predictions: PredictionTable,
    truth: PredictionTable,
    partners: NDArray[np.intp],
    names: tuple[str, str],
) -> None:
    """Tables that share no utterance at all were most likely joined from the wrong folder."""
    if len(predictions) == 0 or (partners >= 0).any():
        return
    if len(truth) == 0:
        raise TableError(
            f"{names[1]}: no rows, expected one for each utterance. Check how it was made."
        )
    advice = join_advice(predictions, truth, whole=False) or "give tables of the same recordings"
    raise TableError(
        f"{names[0]} and {names[1]} have no utterance in common: the first begins with "
        f"{predictions['file'][0]}, the second with {truth['file'][0]}. "
        f"{advice[0].upper()}{advice[1:]}."
    )


def _check_extra(
    predictions: PredictionTable, rows: NDArray[np.intp], how: Pairing, names: tuple[str, str]
) -> None:
    if len(rows) and not how.ignore_extra:
        raise TableError(
            f"{names[0]}: {len(rows)} of {len(predictions)} predictions have no truth in "
            f"{names[1]}: {listing(predictions['file'][rows])}. Complete the truth, or leave them "
            f"out with --ignore-extra."
        )


def _check_something(found: Paired, how: Pairing, names: tuple[str, str]) -> None:
    """There must be rows, and something in them that both tables speak of."""
    if how.labels and len(found.truth) == 0:
        raise TableError(
            f"{names[1]}: none of {found.n_left_out} utterances is {' or '.join(how.labels)}, "
            f"expected some. Correct --labels or --truth-column."
        )
    if found.has_emotions or found.dimensions or found.has_transcripts:
        return
    if (found.emotions != "").any() and "label" in found.predictions:
        raise TableError(
            f"{names[0]}: none of its {len(found.predictions)} rows has a label, expected some. "
            f"See the columns note and error for why; labels in doubt are left out by the "
            f"--abstain options."
        )
    raise TableError(
        f"{names[0]} and {names[1]} have nothing to compare: expected {how.truth_column}, votes, "
        f"{', '.join(DIMENSIONS)} or reference in the truth, found {listing(found.truth.columns)}, "
        f"and label, the same dimensions or text in the predictions, found "
        f"{listing(found.predictions.columns)}. Name the column with --truth-column."
    )


def _check_missing(found: Paired, how: Pairing, names: tuple[str, str]) -> None:
    rows = np.flatnonzero(found.missing)
    if len(rows) and not how.allow_missing:
        raise TableError(
            f"{names[0]}: {len(rows)} of {len(found.row)} utterances of {names[1]} have no "
            f"prediction: {listing(found.truth['file'][rows])}. Predict them, or count them as "
            f"wrong with --allow-missing."
        )


def evaluated_labels(pairs: Sequence[Paired], how: Pairing) -> tuple[str, ...]:
    """The labels of the matrix of counts: those asked for, else the models', then the others.

    Args:
        pairs: predictions that are to be compared.
        how: names the labels if they were asked for.
    """
    if how.labels:
        return how.labels
    emotional = [found for found in pairs if found.has_emotions]
    models = dict.fromkeys(label for found in emotional for label in found.model_labels)
    others = {
        label
        for found in emotional
        for label in {*found.emotions.tolist(), *found.predicted("label").tolist()}
    }
    return (*models, *sorted(others - set(models) - {""}))


def probability_columns(pairs: Sequence[Paired], labels: Sequence[str]) -> tuple[str, ...]:
    """Labels of the posteriors' columns: the evaluated ones, then what else has probability."""
    others = [label for found in pairs for label in (*found.model_labels, *found.votes[0])]
    return tuple(dict.fromkeys((*labels, *others)))


def sample_of(found: Paired, labels: Sequence[str], columns: Sequence[str], how: Pairing) -> Sample:
    """Paired rows as the arrays that all figures are computed from.

    Args:
        found: predictions beside the truth.
        labels: rows of the matrix of counts, from `evaluated_labels`.
        columns: labels of the posteriors' columns, from `probability_columns`.
        how: how transcripts are compared.
    """
    index = {label: row for row, label in enumerate(labels)}
    predicted = found.predicted("label").tolist()
    truth = np.full(len(found.row), -1, dtype=np.intp)
    if found.has_emotions:
        truth[:] = [index.get(label, -1) for label in found.emotions.tolist()]
    probs = _probabilities(found, columns)
    words, characters = _transcript_errors(found, how)
    return Sample(
        truth=truth,
        predicted=np.array([index.get(label, -1) for label in predicted], dtype=np.intp),
        n_labels=len(labels),
        probs=probs,
        confidence=_confidence(found, predicted, columns, probs),
        votes=_votes(found, columns),
        dimensions={
            name: (found.truth.column(name), found.predicted(name)) for name in found.dimensions
        },
        words=words,
        characters=characters,
    )


def _probabilities(found: Paired, columns: Sequence[str]) -> NDArray[np.float64]:
    """Posteriors by column; 0 where a row's set lacks the label, NaN for rows without any."""
    if not columns:
        return np.empty((len(found.row), 0))
    probs = np.stack([found.predicted(f"p_{label}") for label in columns], axis=1)
    empty = np.isnan(probs).all(axis=1, keepdims=True)
    return np.where(empty, np.nan, np.nan_to_num(probs))


def _confidence(
    found: Paired, predicted: Sequence[str], columns: Sequence[str], probs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability of the predicted label, shape (n,), from the posterior or a column ``score``."""
    if not found.model_labels:
        return _scores(found)
    position = {label: column for column, label in enumerate(columns)}
    column = np.array([position.get(label, -1) for label in predicted], dtype=np.intp)
    own = np.take_along_axis(probs, np.maximum(column, 0)[:, np.newaxis], axis=1)[:, 0]
    return np.where(column >= 0, own, np.nan)


def _scores(found: Paired) -> NDArray[np.float64]:
    confidence = np.full(len(found.row), np.nan)
    for row, cell in enumerate(found.predicted("score").tolist()):
        try:
            confidence[row] = figure_of(cell)
        except ValueError:
            continue  # a column of that name that holds something else
    outside = ~((confidence >= 0) & (confidence <= 1))
    return np.where(outside, np.nan, confidence)


def _votes(found: Paired, columns: Sequence[str]) -> NDArray[np.float64] | None:
    """Soft truth in the order of the posteriors' columns; None where it cannot be compared."""
    labels, votes = found.votes
    if not labels:
        return None
    position = {label: column for column, label in enumerate(labels)}
    return np.stack(
        [
            votes[:, position[label]] if label in position else np.zeros(len(votes))
            for label in columns
        ],
        axis=1,
    )


def _transcript_errors(
    found: Paired, how: Pairing
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Word and character errors; a missing transcript is an empty one."""
    if not found.has_transcripts:
        return None, None
    said, heard = found.truth["reference"].tolist(), found.predicted("text").tolist()
    if how.normalize:
        said, heard = (
            [transcripts.normalize_text(line) for line in side] for side in (said, heard)
        )
    return transcripts.word_errors(said, heard), transcripts.character_errors(said, heard)
