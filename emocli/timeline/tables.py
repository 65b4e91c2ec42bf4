"""Timelines of tables: windows of each recording smoothed, and put together to segments.

Windows follow one another in *chains*: rows of one file and model whose other columns (speaker,
truth, ...) agree too, in order of time. What happens in one chain never touches another.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.fusion.fused import CONFIDENCE_COLUMNS
from emocli.table import (
    DIMENSIONS,
    MEASURES,
    PROBABILITY_PREFIX,
    REMARK_COLUMNS,
    TRANSCRIPT_COLUMNS,
    PredictionTable,
    is_figure,
)
from emocli.timeline.segments import (
    PAUSE_SECONDS,
    TOUCH_SECONDS,
    Span,
    absorb_short,
    meet_in_the_middle,
)
from emocli.timeline.smoothing import Smoothing, running_median, smooth_by_median, viterbi_path

_OF_A_WINDOW = frozenset(
    ("start", "end", "label", *REMARK_COLUMNS, *TRANSCRIPT_COLUMNS, "words", "dropped_text")
) | frozenset(CONFIDENCE_COLUMNS)
"""Columns that may differ from window to window of a chain."""


@dataclass(frozen=True)
class TimelineOptions:
    """What to make of windows.

    Attributes:
        smoothing: how to smooth them, None for not at all.
        segments: put windows of one label together.
        min_seconds: shortest segment, where it touches another.
        max_gap_seconds: smoothing looks across no longer gap; as long as the hop.
    """

    smoothing: Smoothing | None = None
    segments: bool = False
    min_seconds: float = 0.0
    max_gap_seconds: float = 12.0


def shape_timeline(table: PredictionTable, options: TimelineOptions) -> PredictionTable:
    """Windows smoothed and put together as the options say."""
    if options.smoothing:
        table = smooth(table, options.smoothing, options.max_gap_seconds)
    return segmented(table, options.min_seconds) if options.segments else table


def chains(table: PredictionTable, max_gap_seconds: float) -> list[NDArray[np.intp]]:
    """Rows that follow one another in time.

    A chain ends where the gap to the next window is longer than ``max_gap_seconds``, and where a
    window ends no later than the one before it. Rows without a posterior, dimensions or times are
    in no chain.

    Args:
        table: windows of recordings, in any order.
        max_gap_seconds: from the end of a window to the start of the next.

    Returns:
        Indices of rows in order of time, for each chain; chains in order of their first rows.
    """
    starts, ends = table.column("start"), table.column("end")
    names = [name for name in table.columns if name not in _OF_A_WINDOW and not is_figure(name)]
    attributes = list(zip(*(table[name].tolist() for name in names), strict=True))
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in np.flatnonzero(_scored(table) & np.isfinite(starts) & np.isfinite(ends)):
        groups.setdefault(attributes[row], []).append(int(row))
    found = []
    for rows in groups.values():
        ordered = np.array(sorted(rows, key=lambda row: (starts[row], row)), dtype=np.intp)
        gaps = starts[ordered[1:]] - ends[ordered[:-1]] > max_gap_seconds + TOUCH_SECONDS
        inside = ends[ordered[1:]] <= ends[ordered[:-1]]
        found += np.split(ordered, np.flatnonzero(gaps | inside) + 1)
    return found


def _scored(table: PredictionTable) -> NDArray[np.bool_]:
    """Which rows have a posterior with a label, or dimensions, shape (n_rows,)."""
    figures = [table.probs, *(table[name][:, np.newaxis] for name in DIMENSIONS if name in table)]
    known = ~np.isnan(np.concatenate(figures, axis=1)).all(axis=1)
    unlabelled = ~np.isnan(table.probs).all(axis=1) & (table.column("label") == "")
    return np.asarray(known & ~unlabelled)


def smooth(table: PredictionTable, smoothing: Smoothing, max_gap_seconds: float) -> PredictionTable:
    """Windows with smoothed posteriors (median) or smoothed labels (Viterbi).

    The median also smooths arousal, dominance and valence; Viterbi needs posteriors and leaves
    rows without them alone. Under Viterbi posteriors stay as they are, and ``label`` may be
    another than the most probable one.

    Args:
        table: windows of recordings, in any order.
        smoothing: the rule.
        max_gap_seconds: neither rule looks across a longer gap between two windows.

    Returns:
        The same rows; only posteriors and what follows from them, or only labels, have changed.
    """
    by_median = smoothing.method == "median"
    labels = np.array([*table.labels, ""], dtype=object)
    probs, names = table.probs, table.column("label").copy()
    figures = {name: table[name].copy() for name in DIMENSIONS if name in table}
    for rows in chains(table, max_gap_seconds):
        for values in figures.values() if by_median else ():
            values[rows] = running_median(values[rows, np.newaxis], int(smoothing.amount))[:, 0]
        given = np.flatnonzero(~np.isnan(probs[rows]).all(axis=0))
        if not len(given):
            continue
        cells = np.ix_(rows, given)
        if by_median:
            probs[cells] = smooth_by_median(probs[cells], int(smoothing.amount))
            names[rows] = labels[posteriors.top(probs[rows])]
        else:
            names[rows] = labels[given[viterbi_path(probs[cells], smoothing.amount)]]
    columns = {PROBABILITY_PREFIX + name: probs[:, i] for i, name in enumerate(table.labels)}
    if table.labels:
        columns["label"] = names
    return table.with_columns({**columns, **figures})


def meet(table: PredictionTable) -> PredictionTable:
    """Windows that overlap, cut to where they meet: each reaches to the middle of the overlap."""
    starts, ends = table.column("start").copy(), table.column("end").copy()
    for rows in chains(table, 0.0):
        starts[rows], ends[rows] = meet_in_the_middle(starts[rows], ends[rows])
    return table.with_columns({"start": starts, "end": ends})


def segmented(table: PredictionTable, min_seconds: float = 0.0) -> PredictionTable:
    """Windows of one label in a row as one row.

    A segment has the label of its windows and their mean posterior (and dimensions), weighted by
    duration; notes and texts are put together, and other columns stay where all its windows
    agree. Windows come together that touch, overlap, or lie no further apart than a pause within
    speech (`PAUSE_SECONDS`). Rows without a label stay as they are.

    Args:
        table: windows of recordings, in any order.
        min_seconds: shorter segments become part of a neighbour, see `absorb_short`.

    Returns:
        Segments of each chain where its first window was.
    """
    labels = list(table.labels)
    probs = table.probs
    starts, ends = table.column("start").copy(), table.column("end").copy()
    names = table.column("label")
    rows = list(table.without_columns(CONFIDENCE_COLUMNS).rows())
    made: dict[int, list[dict[str, Any]]] = {}
    taken: set[int] = set()
    for chain in chains(table, PAUSE_SECONDS):
        starts[chain], ends[chain] = meet_in_the_middle(starts[chain], ends[chain])
        spans = [
            Span(starts[row], ends[row], labels.index(names[row]), probs[row], (int(row),))
            for row in chain
            if names[row] in labels
        ]
        for span in absorb_short(spans, min_seconds):
            made.setdefault(span.windows[0], []).append(
                _segment_row(span, labels, rows, ends - starts)
            )
            taken.update(span.windows)
    ordered = [
        row
        for index, window in enumerate(rows)
        for row in made.get(index, [] if index in taken else [window])
    ]
    return PredictionTable.from_rows(ordered, folder=table.folder)


def _segment_row(
    span: Span,
    labels: Sequence[str],
    rows: Sequence[dict[str, Any]],
    seconds: NDArray[np.float64],
) -> dict[str, Any]:
    """The row of a segment, from those of its windows."""
    members = [rows[index] for index in span.windows]
    weights = seconds[list(span.windows)]
    row = {name: _agreed(name, [one[name] for one in members], weights) for name in members[0]}
    given = dict(zip(labels, span.probs.tolist(), strict=True))
    return {
        # What follows from a window's posterior does not follow from the segment's.
        **{
            name: value
            for name, value in row.items()
            if name not in (*MEASURES, *CONFIDENCE_COLUMNS)
        },
        "start": round(float(span.start), 3),
        "end": round(float(span.end), 3),
        "label": labels[span.label],
        **{PROBABILITY_PREFIX + label: p for label, p in given.items()},
    }


def _agreed(name: str, values: Sequence[Any], weights: NDArray[np.float64]) -> Any:
    """What windows together have in a column."""
    if is_figure(name):
        figures = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(figures)
        return np.average(figures[known], weights=weights[known]) if known.any() else np.nan
    if name == "note":
        return "; ".join(_distinct(phrase for note in values for phrase in note.split("; ")))
    if name == "text":
        return " ".join(_distinct(values))
    return values[0] if len(set(values)) == 1 else ""


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    """Texts that are not empty, each once."""
    yield from dict.fromkeys(text for text in texts if text)
