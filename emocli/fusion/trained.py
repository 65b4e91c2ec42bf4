"""Fusers that are fitted on utterances whose emotion is known, behind one pair of functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.errors import TableError
from emocli.fusion.bayes import Bayes, fit_bayes
from emocli.fusion.blend import Blend, fit_blend
from emocli.fusion.features import Input, arrange, block, input_of
from emocli.fusion.fused import FitReport, assemble
from emocli.fusion.logistic import Logistic, fit_logistic
from emocli.fusion.ridge import Ridge, fit_ridge
from emocli.fusion.sides import Side, check_predictions, find_speech_and_text
from emocli.fusion.stacking import Stacking, fit_stacking
from emocli.fusion.storage import method_of
from emocli.splits import stratified_folds, units
from emocli.table import DIMENSIONS as DIMENSION_COLUMNS
from emocli.table import PredictionTable, listing

LOGISTIC, RIDGE, STACKING = "logistic", "ridge", "stacking"
BAYES, BLEND, AUTO = "bayes", "blend", "auto"
TRAINED = (AUTO, BAYES, BLEND, LOGISTIC, RIDGE, STACKING)

Fuser = Bayes | Blend | Logistic | Stacking
"""A fuser that gives posteriors."""


@dataclass(frozen=True)
class FitOptions:
    """Choices that some of the fusers leave open.

    Attributes:
        criterion: what decides between strengths of a penalty, ``uar`` or ``macro-f1``.
        balanced: for logistic regression, give every label the same mass; a blend always does.
        temper: for Bayes' rule, also in a blend, the exponent of the text's likelihood.
    """

    criterion: str = "uar"
    balanced: bool = False
    temper: float = 1.0


@dataclass(frozen=True)
class Fitted:
    """A fuser and what it says of the tables that it was fitted on.

    Attributes:
        fuser: fitted on all rows that could be used.
        figures: posteriors, or dimensions, of every row of the tables. Rows that took part have
            them from a fuser that was fitted without their fold. Shape (n_utterances, n_outputs).
        report: which rows took part.
    """

    fuser: Fuser | Ridge
    figures: NDArray[np.float64]
    report: FitReport


@dataclass(frozen=True)
class _Examples:
    """Rows to fit on."""

    inputs: tuple[Input, ...]
    blocks: list[NDArray[np.float64]]  # of all rows
    rows: NDArray[np.intp]
    speakers: list[str] | None = field(default=None)

    @property
    def used(self) -> list[NDArray[np.float64]]:
        return [given[self.rows] for given in self.blocks]


def choose_method(sides: Sequence[Side]) -> str:
    """What ``auto`` means for these sides.

    A blend for one voice and one sentiment, chosen on validation speakers (see
    tests/benchmarks/fusers.py); logistic regression for any other labels, be they of two voices
    or of three tables; ridge where there are only dimensions. Whether speakers are known changes
    how it is fitted and not which it is.
    """
    if all(not side.labels and side.dimensions for side in sides):
        return RIDGE
    n_sentiments = sum(side.is_sentiment for side in sides)
    return BLEND if (len(sides), n_sentiments) == (2, 1) else LOGISTIC


def fit_labels(
    sides: Sequence[Side],
    truth: Sequence[str],
    speakers: Sequence[str] | None,
    method: str,
    options: FitOptions,
) -> Fitted:
    """A fuser of labels.

    Rows on which a side has no say, and rows whose true label the models do not know, take no
    part. Folds keep speakers apart where they are known.

    Args:
        sides: aligned sides.
        truth: canonical label of each row.
        speakers: who speaks in each row, ``""`` where nobody is named; None where nobody is in any.
        method: ``bayes``, ``blend``, ``logistic`` or ``stacking``.
        options: choices of the method.

    Raises:
        TableError: too few rows, or for Bayes' rule or a blend not one side of each kind.
        MissingDependency: stacking without scikit-learn.
    """
    for side in sides:
        check_predictions(side)
    ordered = list(find_speech_and_text(sides)) if method in (BAYES, BLEND) else list(sides)
    labels = _labels_of(ordered, truth)
    known = np.array([name in labels for name in truth], dtype=bool)
    examples = _gather(ordered, known, speakers, dimensional=False)
    indices = np.array([labels.index(truth[row]) for row in examples.rows.tolist()], dtype=np.intp)
    _check_counts(indices, labels)
    folds = stratified_folds(indices, examples.speakers)
    people = None if examples.speakers is None else units(examples.speakers)
    common = (examples.used, indices, labels, examples.inputs, folds)
    fuser: Fuser
    if method == BAYES:
        fuser, held = fit_bayes(*common, speakers=people, temper=options.temper)
    elif method == BLEND:
        fuser, held = fit_blend(
            *common,
            speakers=people,
            criterion=options.criterion,
            temper=options.temper,
        )
    elif method == STACKING:
        fuser, held = fit_stacking(*common)
    else:
        fuser, held = fit_logistic(*common, criterion=options.criterion, balanced=options.balanced)
    figures = fuser.probs(examples.blocks)
    figures[examples.rows] = held
    foreign = Counter(name for name in truth if name not in labels)
    return Fitted(fuser, figures, FitReport(len(indices), _n_silent(ordered), foreign))


def fit_dimensions(
    sides: Sequence[Side],
    truth: PredictionTable,
    speakers: Sequence[str] | None,
) -> Fitted:
    """A fuser of arousal, dominance and valence: ridge regression.

    Args:
        sides: aligned sides, of dimensions or of labels.
        truth: a table in the order of the sides with columns for the dimensions.
        speakers: who speaks in each row; None where unknown.

    Raises:
        TableError: the truth has no dimension, or there are too few rows.
    """
    names = [name for name in DIMENSION_COLUMNS if name in truth]
    if not names:
        raise TableError(
            f"The truth has none of {', '.join(DIMENSION_COLUMNS)} among "
            f"{listing(truth.columns)}. Ridge fuses dimensions; for labels use another method."
        )
    values = np.stack([truth[name] for name in names], axis=1)
    examples = _gather(sides, ~np.isnan(values).any(axis=1), speakers, dimensional=True)
    target = values[examples.rows]
    folds = stratified_folds(np.zeros(len(target), dtype=np.intp), examples.speakers)
    fuser, held = fit_ridge(examples.used, target, names, examples.inputs, folds)
    figures = fuser.values(examples.blocks)
    figures[examples.rows] = held
    return Fitted(fuser, figures, FitReport(len(target), _n_silent(sides), {}))


def apply_fuser(sides: Sequence[Side], fuser: Fuser | Ridge) -> NDArray[np.float64]:
    """Posteriors, or dimensions, of every row; shape (n_utterances, n_outputs).

    Raises:
        FuserError: the sides are not those that it was fitted on.
    """
    ordered = arrange(sides, fuser.inputs)
    blocks = [block(side, given) for side, given in zip(ordered, fuser.inputs, strict=True)]
    return fuser.values(blocks) if isinstance(fuser, Ridge) else fuser.probs(blocks)


def trained_table(
    sides: Sequence[Side], fuser: Fuser | Ridge, figures: NDArray[np.float64]
) -> PredictionTable:
    """The table of fused figures; a row on which no side has a say has none.

    Args:
        sides: aligned sides.
        fuser: what fused them.
        figures: posteriors or dimensions, shape (n_utterances, n_outputs).
    """
    ordered = arrange(sides, fuser.inputs)
    heard = np.any([side.has_say for side in sides], axis=0)
    shown = np.where(heard[:, np.newaxis], figures, np.nan)
    if isinstance(fuser, Ridge):
        columns = {name: shown[:, index] for index, name in enumerate(fuser.dimensions)}
        others = [name for name in DIMENSION_COLUMNS if name not in columns]
        return assemble(ordered, RIDGE, (), shown, columns).without_columns(others)
    return assemble(ordered, method_of(fuser), fuser.labels, shown)


def reweight(
    probs: NDArray[np.float64], made_for: NDArray[np.float64], expected: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Posteriors for another class mix, proportional to ``p * expected / made_for``.

    Args:
        probs: shape (n_utterances, n_labels), rows sum to 1.
        made_for: class mix that they stand for, shape (n_labels,), sums to 1.
        expected: class mix to expect instead, shape (n_labels,), sums to 1.

    Returns:
        The same shape, rows sum to 1.
    """
    with np.errstate(divide="ignore"):
        return posteriors.softmax(np.log(probs) + np.log(expected) - np.log(made_for))


def class_mix(truth: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """How frequent each label is, shape (n_labels,), sums to 1.

    Raises:
        TableError: none of the labels occurs.
    """
    counts = np.array([list(truth).count(label) for label in labels], dtype=np.float64)
    if not counts.any():
        raise TableError(
            f"The table for --prior has none of the labels {', '.join(labels)}, expected a column "
            f"of labels in the mix to expect. Check --truth-column."
        )
    return np.asarray(counts / counts.sum())


def _labels_of(sides: Sequence[Side], truth: Sequence[str]) -> tuple[str, ...]:
    """Labels of the first side that knows emotions, else those of the truth."""
    emotional = [side for side in sides if side.labels and not side.is_sentiment]
    return emotional[0].labels if emotional else tuple(sorted(set(truth) - {""}))


def _gather(
    sides: Sequence[Side],
    known: NDArray[np.bool_],
    speakers: Sequence[str] | None,
    *,
    dimensional: bool,
) -> _Examples:
    inputs = tuple(input_of(side, dimensional=dimensional) for side in sides)
    blocks = [block(side, given) for side, given in zip(sides, inputs, strict=True)]
    complete = np.all([~np.isnan(given).any(axis=1) for given in blocks], axis=0)
    rows = np.flatnonzero(complete & known)
    if not len(rows):
        raise TableError(
            f"No row can be used to fit: of {len(known)}, {int((~complete).sum())} lack a "
            f"prediction and {int((~known).sum())} have no truth that the models know. "
            f"Check the tables and --truth-column."
        )
    people = None if speakers is None else [speakers[row] for row in rows.tolist()]
    return _Examples(inputs, blocks, rows, people)


def _check_counts(truth: NDArray[np.intp], labels: Sequence[str]) -> None:
    counts = np.bincount(truth, minlength=len(labels)).tolist()
    rare = [f"{label} {count}" for label, count in zip(labels, counts, strict=True) if count < 2]
    if rare:
        raise TableError(
            f"The truth has too few rows of some labels ({', '.join(rare)}), expected two of each "
            f"at least. Restrict the tables with --labels, or fit on more recordings."
        )


def _n_silent(sides: Sequence[Side]) -> int:
    return int((~np.all([side.has_say for side in sides], axis=0)).sum())
