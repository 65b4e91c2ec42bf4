"""Evaluations: every figure of tables of predictions against the truth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from emocli.errors import TableError
from emocli.metrics import classification
from emocli.metrics.evaluation import Balanced, Comparison, Evaluation
from emocli.metrics.intervals import Units, mcnemar
from emocli.metrics.registry import Needs, computed, in_order
from emocli.metrics.scores import (
    Figures,
    Intervals,
    Sample,
    differences,
    figures_by_group,
    figures_of,
    intervals_of,
)
from emocli.pipeline.doubts import interval_warnings, label_warnings, leakage_warnings
from emocli.pipeline.pairing import (
    Paired,
    Pairing,
    evaluated_labels,
    pair,
    probability_columns,
    sample_of,
)
from emocli.table import PredictionTable, listing

LARGE = 100_000
"""Utterances above which intervals are made only on request."""
N_DRAWS = 1_000
N_PER_LABEL = 200
CLUSTER = "speaker"
NO_CLUSTER = "none"


@dataclass(frozen=True)
class EvalOptions:
    """What to evaluate, beside the figures themselves.

    Attributes:
        pairing: how tables meet.
        by: columns whose groups are evaluated apart.
        cluster: column of what intervals take as a whole, ``"none"`` for utterances; None for
            ``speaker``, or utterances where no table has it.
        n_draws: exchanges of two systems in a comparison, 1,000 for None; 0 for no intervals,
            which is also what None means above 100,000 utterances.
        n_balanced: balanced samples to draw; 0 for none.
        n_per_label: utterances of each label in a balanced sample.
        seed: of all chance.
    """

    pairing: Pairing = field(default_factory=Pairing)
    by: tuple[str, ...] = ()
    cluster: str | None = None
    n_draws: int | None = None
    n_balanced: int = 0
    n_per_label: int = N_PER_LABEL
    seed: int = 0


def evaluate(
    tables: Sequence[tuple[str, PredictionTable]],
    truth: PredictionTable,
    options: EvalOptions | None = None,
    *,
    truth_name: str = "truth",
    train: PredictionTable | None = None,
    compare: tuple[str, PredictionTable] | None = None,
) -> list[Evaluation]:
    """Evaluations of each model in each table, in the order of the tables.

    Args:
        tables: names and predictions.
        truth: true emotions, dimensions or references; one row for each utterance.
        options: what to evaluate.
        truth_name: what to call the truth in an error.
        train: what the models were trained on, to be warned of speakers and sentences in both.
        compare: name and table of another system, to be compared with the one in ``tables``.

    Raises:
        TableError: the tables do not join (see `emocli.pipeline.pairing.pair`), a column of
            ``options`` is in no table, a comparison of other than two models, or a label that
            is too rare for a balanced sample.
    """
    asked = options or EvalOptions()
    pairs = [
        found
        for name, table in tables
        for found in pair(table, truth, asked.pairing, names=(name, truth_name))
    ]
    evaluations = [_evaluate_one(found, asked, truth_name, train) for found in pairs]
    if compare is None:
        return evaluations
    others = pair(compare[1], truth, asked.pairing, names=(compare[0], truth_name))
    if len(pairs) != 1 or len(others) != 1:
        raise TableError(
            f"A comparison is of one model with one other, found {len(pairs)} and {len(others)}. "
            f"Give tables with one model each."
        )
    if pairs[0].n_abstained or others[0].n_abstained:
        raise TableError(
            "A comparison is of the same utterances, and some have an answer without a label. "
            "Give the tables from before --abstain-above and --abstain-below."
        )
    comparison = _compare(pairs[0], others[0], asked)
    return [replace(evaluations[0], comparison=comparison)]


def _evaluate_one(
    found: Paired, asked: EvalOptions, truth_name: str, train: PredictionTable | None
) -> Evaluation:
    labels = evaluated_labels([found], asked.pairing)
    sample = sample_of(found, labels, probability_columns([found], labels), asked.pairing)
    n = int(_compared(found, sample).sum())
    counts = _counts(sample)
    units = _units(found, asked)
    n_draws = _n_draws(asked, n)
    trust = Intervals({}, {}, {})
    if n_draws and units.n > 1:
        trust = intervals_of(sample, units)
    return Evaluation(
        table=found.name,
        model=found.model,
        n=n,
        n_missing=int(found.missing.sum()),
        n_left_out=found.n_left_out,
        n_extra=found.n_extra,
        n_abstained=found.n_abstained,
        labels=labels if found.has_emotions else (),
        counts=counts,
        figures=in_order({**figures_of(sample), **trust.further}),
        intervals=trust.figures,
        class_intervals=trust.labels,
        units=_units_named(units, asked) if trust.figures else "",
        groups={column: _groups(found, sample, column) for column in asked.by},
        balanced=_balanced(counts, labels, asked) if asked.n_balanced else None,
        warnings=tuple(
            [
                *label_warnings(found, sample, labels, asked.pairing, truth_name),
                *interval_warnings(
                    found, units, _cluster(asked), n_draws, by_default=asked.cluster is None
                ),
                *(leakage_warnings(found, train) if train is not None else ()),
            ]
        ),
    )


def _compared(found: Paired, sample: Sample) -> NDArray[np.bool_]:
    """Utterances with a true emotion; without any emotions all with anything to compare."""
    if found.has_emotions:
        return np.asarray(sample.truth >= 0)
    known = np.full(len(found.row), found.has_transcripts)
    for truth, predicted in sample.dimensions.values():
        known |= ~(np.isnan(truth) | np.isnan(predicted))
    return known


def _counts(sample: Sample) -> NDArray[np.int64]:
    rows = sample.truth >= 0
    return classification.confusion(sample.truth[rows], sample.predicted[rows], sample.n_labels)


def _units(found: Paired, asked: EvalOptions) -> Units:
    names = found.attribute(_cluster(asked))
    if names is None and asked.cluster not in (None, NO_CLUSTER):
        raise _no_column(asked.cluster, "group by", "--cluster", found)
    return Units.of(None if names is None else names.tolist(), len(found.row), asked.seed)


def _cluster(asked: EvalOptions) -> str:
    return asked.cluster or CLUSTER


def _units_named(units: Units, asked: EvalOptions) -> str:
    return f"{units.n} {_cluster(asked)}s" if units.clustered else f"{units.n} utterances"


def _n_draws(asked: EvalOptions, n: int) -> int:
    if asked.n_draws is not None:
        return asked.n_draws
    return N_DRAWS if n <= LARGE else 0


def _groups(found: Paired, sample: Sample, column: str) -> dict[str, dict[str, float]]:
    """Figures of each group of a column, in natural order; empty cells are a group ``""``."""
    names = found.attribute(column)
    if names is None:
        raise _no_column(column, "group by", "--by", found)
    texts = [str(name) for name in names.tolist()]
    index = {name: row for row, name in enumerate(sorted(set(texts)))}
    groups = np.array([index[text] for text in texts], dtype=np.intp)
    values = figures_by_group(sample, groups, len(index))
    sizes = np.bincount(groups[_compared(found, sample)], minlength=len(index))
    return {
        name: {"n": int(sizes[row]), **_row(values, row)}
        for name, row in index.items()
        if sizes[row]
    }


def _no_column(column: str, purpose: str, option: str, found: Paired) -> TableError:
    return TableError(
        f"No column {column} to {purpose}, neither in the truth "
        f"({listing(found.truth.columns)}) nor in {found.name} "
        f"({listing(found.predictions.columns)}). Correct {option}."
    )


def _row(values: Figures, row: int) -> dict[str, float]:
    return {name: float(figures[row]) for name, figures in values.items()}


def _balanced(
    counts: NDArray[np.int64], labels: Sequence[str], asked: EvalOptions
) -> Balanced | None:
    """Mean and sd over balanced samples; None without emotions."""
    sizes = classification.support(counts)
    present = np.flatnonzero(sizes)
    if len(present) == 0:
        return None
    rarest = present[sizes[present].argmin()]
    if sizes[rarest] < asked.n_per_label:
        raise TableError(
            f"A balanced sample needs {asked.n_per_label} utterances of each label, and "
            f"{labels[rarest]} has {sizes[rarest]}. Ask for fewer with --per-label."
        )
    rng = np.random.default_rng(asked.seed)
    drawn = classification.balanced_draws(counts, asked.n_balanced, asked.n_per_label, rng)
    figures = {
        name: values
        for name, values in computed(Needs.COUNTS, drawn).items()
        if name != "weighted_f1"
    }
    return Balanced(
        asked.n_balanced,
        asked.n_per_label,
        {name: float(values.mean()) for name, values in figures.items()},
        {
            name: float(values.std(ddof=1)) if asked.n_balanced > 1 else math.nan
            for name, values in figures.items()
        },
    )


def _compare(first: Paired, second: Paired, asked: EvalOptions) -> Comparison:
    """Figures of the first model minus those of the second on the same utterances."""
    labels = evaluated_labels([first, second], asked.pairing)
    columns = probability_columns([first, second], labels)
    ours, theirs = (sample_of(found, labels, columns, asked.pairing) for found in (first, second))
    rows = (ours.truth >= 0) & (theirs.truth >= 0)
    units = _units(first, asked)
    return Comparison(
        second.name,
        second.model,
        differences(theirs, ours, units, asked.n_draws or N_DRAWS, asked.seed),
        mcnemar(*(side.predicted[rows] == side.truth[rows] for side in (ours, theirs)))
        if rows.any()
        else None,
        _units_named(units, asked),
        units.n,
    )
