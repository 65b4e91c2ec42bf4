"""Fused tables: several sides in, one prediction table out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.errors import FuserError, TableError
from emocli.fusion import averages
from emocli.fusion.entropy_selection import (
    Answers,
    EntropySelection,
    Selection,
    Tally,
    Transition,
    fit,
    tally_transitions,
)
from emocli.fusion.sides import Side, check_predictions, common_posteriors, find_speech_and_text
from emocli.table import (
    MEASURES,
    PROBABILITY_PREFIX,
    REMARK_COLUMNS,
    SCORE_PREFIXES,
    Column,
    PredictionTable,
)

ENTROPY_SELECTION = "entropy-selection"
ARROW = "->"
"""Between the label of the voice and the one that the text put in its place."""
NO_FIGURES = "no probabilities"
"""Why a side has no say where its table does not tell."""
AVERAGES = (*averages.WEIGHTED, "max-confidence")
METHODS = (*AVERAGES, ENTROPY_SELECTION)
SPOKE_COLUMNS = ("source", "consulted", "changed", "speech_label", "text_label")
CONFIDENCE_COLUMNS = (
    "label_set",
    "set_size",
    "abstained",
    "disagreement",
    "clash",
    "movement",
    "expected_entropy",
    "mutual_information",
)
_OF_ONE_MODEL = frozenset(
    ("model", "label", "score", *MEASURES, *REMARK_COLUMNS, *SPOKE_COLUMNS, *CONFIDENCE_COLUMNS)
)
"""Columns that describe one input's prediction and say nothing about the fused one."""


@dataclass(frozen=True)
class Summary:
    """What entropy selection did to a table.

    Attributes:
        n: rows.
        consulted: rows where the voice was doubtful and the text was asked.
        changed: rows whose label the text replaced.
        alone: rows where only the text had a say.
        failed: rows without any prediction.
        transitions: how often each exchange of labels was made, the most frequent first.
        tallies: what the exchanges did, where the truth is known.
    """

    n: int
    consulted: int
    changed: int
    alone: int
    failed: int
    transitions: Mapping[Transition, int]
    tallies: Mapping[Transition, Tally] | None = None

    @property
    def corrected(self) -> int:
        """Rows that the text set right; 0 where the truth is not known."""
        return sum(tally.corrected for tally in (self.tallies or {}).values())

    @property
    def broken(self) -> int:
        """Rows that were right before the text spoke; 0 where the truth is not known."""
        return sum(tally.broken for tally in (self.tallies or {}).values())


@dataclass(frozen=True)
class FitReport:
    """Which rows a fuser was fitted on.

    Attributes:
        n_used: rows that took part.
        n_silent: rows on which one of the sides has no say.
        foreign: count of each true label that the models do not know.
    """

    n_used: int
    n_silent: int
    foreign: Mapping[str, int]


def average(
    sides: Sequence[Side], method: str, *, weights: Sequence[float] | None = None
) -> PredictionTable:
    """The table of averaged posteriors.

    Args:
        sides: two or more aligned sides.
        method: one of `AVERAGES`.
        weights: one for each side, above 0; equal by default.

    Returns:
        One row for each utterance; for max-confidence ``source`` names the side that spoke.

    Raises:
        TableError: a side without probabilities, or weights that do not fit.
        LabelMismatch: label sets that differ and have no map between them.
    """
    for side in sides:
        check_predictions(side)
    _check_weights(weights, len(sides), method)
    labels, probs = common_posteriors(sides)
    if method in averages.WEIGHTED:
        fused = averages.WEIGHTED[method](probs, weights)
        return assemble(sides, method, labels, fused)
    spoke = averages.most_confident(probs)  # (n_sides, n_utterances)
    names = np.array([side.name for side in sides], dtype=object)
    source = ["+".join(names[heard]) for heard in spoke.T]
    return assemble(sides, method, labels, averages.max_confidence(probs), {"source": source})


def select(sides: Sequence[Side], fuser: EntropySelection) -> tuple[PredictionTable, Selection]:
    """The table after entropy selection.

    Where the text took over, the speech posterior stays and the probabilities of the two labels
    are exchanged: the row's top label is the text's, and its entropy and varentropy are those
    that called for it. A row on which only one side has a say takes that side's word; a voice of
    which all labels are equally likely, such as silence, has none.

    Args:
        sides: a side of emotions and one of sentiments, aligned.
        fuser: calibrated or hand-set thresholds.

    Returns:
        The table, with ``source`` (speech or text: whose label it is), ``consulted``,
        ``changed`` (as ``angry->sad``), ``speech_label`` and ``text_label``; and the selection.

    Raises:
        TableError: not one side of each kind.
        FuserError: the fuser was made for other models or labels.
    """
    speech, text = find_speech_and_text(sides)
    check_fits(fuser, speech, text)
    probs = speech.probs[:, [speech.labels.index(label) for label in fuser.labels]]
    says_nothing = posteriors.undecided(probs)
    heard = np.where(says_nothing[:, np.newaxis], np.nan, probs)
    selection = fuser.select(heard, text.answers)
    alone = (selection.speech < 0) & text.has_say
    fused = np.where(alone[:, np.newaxis], _text_alone(sides, text, fuser.labels), probs)
    fused = exchange(fused, selection.speech, selection.label)
    names = np.array([*fuser.labels, ""], dtype=object)
    label = np.where(alone, posteriors.top(fused), selection.label)
    columns: dict[str, Sequence[str] | Column] = {
        "label": names[label],
        "source": np.where(alone | selection.changed, "text", np.where(label < 0, "", "speech")),
        "consulted": np.where(label < 0, "", np.where(alone | selection.consulted, "yes", "no")),
        "changed": _spelled(selection, names),
        "speech_label": names[selection.speech],
        "text_label": np.where(alone, names[label], names[selection.text]),
    }
    return assemble((speech, text), ENTROPY_SELECTION, fuser.labels, fused, columns), selection


def fit_selection(
    sides: Sequence[Side], truth: Sequence[str]
) -> tuple[EntropySelection, FitReport]:
    """Entropy selection calibrated on aligned sides.

    Rows on which a side has no say, and rows whose true label the speech model does not know,
    take no part.

    Args:
        sides: a side of emotions and one of sentiments, aligned.
        truth: canonical label of each row.

    Raises:
        TableError: not one side of each kind, or no row is left.
        LabelMismatch: the speech model lacks an emotion that sentiments stand for.
    """
    speech, text = find_speech_and_text(sides)
    known = np.array([name in speech.labels for name in truth], dtype=bool)
    heard = speech.has_say & text.has_say & ~posteriors.undecided(speech.probs)
    rows = np.flatnonzero(heard & known)
    if not len(rows):
        raise TableError(
            f"No row can be used to fit: of {len(truth)}, {int((~heard).sum())} lack a prediction "
            f"and {int((~known).sum())} have a true label other than {', '.join(speech.labels)}. "
            f"Check the tables and --truth-column."
        )
    answers = Answers(text.answers.sentiment[rows], text.answers.score[rows])
    true = np.array([speech.labels.index(truth[row]) for row in rows.tolist()], dtype=np.intp)
    fuser = fit(speech.probs[rows], answers, true, speech.labels, inputs=(speech.model, text.model))
    foreign = Counter(name for name in truth if name not in speech.labels)
    return fuser, FitReport(len(rows), int((~heard).sum()), foreign)


def summarise(
    selection: Selection,
    text: Side,
    labels: Sequence[str],
    truth: Sequence[str] | None = None,
) -> Summary:
    """What entropy selection did, and with the truth what that was worth.

    Args:
        selection: outcome of the selection.
        text: the side of sentiments.
        labels: names of the selection's indices.
        truth: canonical label of each row.
    """
    changed = selection.changed
    before, after = (index[changed].tolist() for index in (selection.speech, selection.label))
    made = Counter((labels[old], labels[new]) for old, new in zip(before, after, strict=True))
    silent = selection.speech < 0
    tallies = None
    if truth is not None:
        known = [labels.index(name) if name in labels else -2 for name in truth]
        tallies = tally_transitions(selection, np.array(known, dtype=np.intp), labels)
    return Summary(
        n=len(silent),
        consulted=int(selection.consulted.sum()),
        changed=int(changed.sum()),
        alone=int((silent & text.has_say).sum()),
        failed=int((silent & ~text.has_say).sum()),
        transitions=dict(sorted(made.items(), key=lambda item: (-item[1], item[0]))),
        tallies=tallies,
    )


def check_fits(fuser: EntropySelection, speech: Side, text: Side) -> None:
    """Make sure that a fuser was made for these models and labels.

    Raises:
        FuserError: it was not.
    """
    if set(speech.labels) != set(fuser.labels):
        raise FuserError(
            f"{speech.name} has the labels {', '.join(speech.labels)}, the fuser was made for "
            f"{', '.join(fuser.labels)}. Restrict them with --labels, or fit another fuser."
        )
    for side, wanted, role in zip((speech, text), fuser.inputs, ("speech", "text"), strict=True):
        if side.model != wanted:
            raise FuserError(
                f"The {role} table {side.name} comes from model {side.model or '(not named)'}, "
                f"the fuser was made for {wanted or '(not named)'}. "
                f"Predict with that model, or fit another fuser."
            )


def exchange(
    probs: NDArray[np.float64], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Posteriors with the probabilities of two labels exchanged in each row.

    Args:
        probs: shape (n_utterances, n_labels).
        first: label index, shape (n_utterances,).
        second: the other label's index; the same one, or a negative one, leaves the row alone.
    """
    exchanged = probs.copy()
    rows = np.flatnonzero((first >= 0) & (second >= 0))
    exchanged[rows, first[rows]] = probs[rows, second[rows]]
    exchanged[rows, second[rows]] = probs[rows, first[rows]]
    return exchanged


def _check_weights(weights: Sequence[float] | None, n_sides: int, method: str) -> None:
    if weights is None:
        return
    if method not in averages.WEIGHTED:
        raise TableError(
            f"--weights has no meaning for --method {method}, expected one of "
            f"{', '.join(averages.WEIGHTED)}. Leave the weights out."
        )
    if len(weights) != n_sides or not all(0 < weight < float("inf") for weight in weights):
        raise TableError(
            f"--weights are {', '.join(f'{weight:g}' for weight in weights)}, expected "
            f"{n_sides} numbers above 0, one for each model. "
            f"Leave a table out to give it no weight."
        )


def _text_alone(sides: Sequence[Side], text: Side, labels: Sequence[str]) -> NDArray[np.float64]:
    """The text's posteriors over the emotions, for rows where the voice has no say."""
    names, probs = common_posteriors(sides)
    own = next(index for index, side in enumerate(sides) if side is text)
    return probs[own][:, [names.index(label) for label in labels]]


def _spelled(selection: Selection, names: Column) -> list[str]:
    return [
        f"{names[before]}{ARROW}{names[after]}" if before != after else ""
        for before, after in zip(selection.speech, selection.label, strict=True)
    ]


def assemble(
    sides: Sequence[Side],
    method: str,
    labels: Sequence[str],
    probs: NDArray[np.float64],
    columns: Mapping[str, Sequence[str] | Column] | None = None,
) -> PredictionTable:
    """A table of fused predictions with what the inputs carried.

    Args:
        sides: the inputs, aligned; the first one's columns come first.
        method: what made the predictions.
        labels: names of the columns of ``probs``.
        probs: shape (n_utterances, n_labels), NaN in rows without a prediction.
        columns: more columns, which take the place of those that the inputs carried.
    """
    predicted = np.asarray(~np.isnan(probs).all(axis=1), dtype=bool)
    fused: dict[str, Sequence[str] | Column] = _carried(sides)
    fused["model"] = [f"{method}({','.join(side.name for side in sides)})"] * len(predicted)
    fused.update({f"{PROBABILITY_PREFIX}{name}": probs[:, i] for i, name in enumerate(labels)})
    fused["note"], fused["error"] = _remarks(sides, predicted)
    fused.update(columns or {})
    return PredictionTable.from_columns(
        {name: values for name, values in fused.items() if _worth_writing(name, values)},
        folder=sides[0].table.folder,
        name="fused table",
    )


def _worth_writing(name: str, values: Iterable[object]) -> bool:
    return name not in REMARK_COLUMNS or any(value != "" for value in values)


def _carried(sides: Sequence[Side]) -> dict[str, Sequence[str] | Column]:
    """Columns that describe the recordings; of several tables' the first one's."""
    carried: dict[str, Sequence[str] | Column] = {}
    for side in sides:
        for name, values in side.table.columns.items():
            if name not in _OF_ONE_MODEL and not name.startswith(SCORE_PREFIXES):
                carried.setdefault(name, values)
    return carried


def _remarks(sides: Sequence[Side], predicted: NDArray[np.bool_]) -> tuple[list[str], list[str]]:
    """Note and error of each row: what the inputs noted, and who has no say."""
    notes, errors = [], []
    for row, is_predicted in enumerate(predicted):
        silent = [(side.name, side.remarks[row]) for side in sides if not side.has_say[row]]
        remarks = [side.remarks[row] for side in sides if side.has_say[row]]
        if is_predicted:
            remarks += [f"{name} has no say ({reason or NO_FIGURES})" for name, reason in silent]
        notes.append("; ".join(dict.fromkeys(filter(None, remarks))))
        errors.append("" if is_predicted else _why_nobody(silent))
    return notes, errors


def _why_nobody(silent: Sequence[tuple[str, str]]) -> str:
    reasons = dict.fromkeys(reason or NO_FIGURES for _, reason in silent)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "; ".join(f"{name}: {reason or NO_FIGURES}" for name, reason in silent)
