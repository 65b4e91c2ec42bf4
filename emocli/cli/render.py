"""Predictions as people read them: a table with bars, and what the run as a whole looks like."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from rich import box
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from emocli import posteriors
from emocli.cli.console import printable
from emocli.table import CHANNEL_COLUMN, DIMENSIONS, PredictionTable

BAR_CELLS = 10
SHORT_BAR_CELLS = 4
DOUBTFUL_ENTROPY = 0.8
"""Normalised entropy above which a row is marked as doubtful: 1.11 nats of four labels, where the
top label of a posterior has about half of the mass at best."""
DOUBTFUL_MARGIN = 0.1
"""Lead of the top label below which a row is marked as doubtful."""
LEAST_CERTAIN = 3
TEXT_CELLS = 32
"""Cells of a transcript beside a prediction."""
TRANSCRIPT_CELLS = 240
"""Cells of a transcript where it is what the table is about."""
NAME_CELLS = 32
"""Cells that a file's name has before bars are shortened for it."""
LEAST_ELASTIC = 12
"""Cells that a column keeps whose cells can be shortened."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
HISTOGRAM_BINS = 14
GAP = 2
"""Cells between two columns."""
_TEXT, _BAR, _END, _VARENTROPY, _ENTROPY = range(5)
"""The order in which columns go where there is no room."""


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """A horizontal bar for a share from 0 to 1, an eighth of a cell exact."""
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)


def histogram(values: np.ndarray, highest: float, bins: int = HISTOGRAM_BINS) -> str:
    """How often values from 0 to ``highest`` occur, one character for each bin; blank for none.

    Example:
        >>> histogram(np.array([0.1, 0.1, 0.9]), 1.0, bins=4)
        '█  ▄'
    """
    counts, _ = np.histogram(values[~np.isnan(values)], bins=bins, range=(0.0, highest))
    most = max(int(counts.max()), 1)
    return "".join(
        _HEIGHTS[-(-int(count) * len(_HEIGHTS) // most) - 1] if count else " " for count in counts
    )


def _colour(normalized: float) -> str:
    if np.isnan(normalized) or normalized > DOUBTFUL_ENTROPY:
        return "red"
    return "yellow" if normalized > DOUBTFUL_ENTROPY / 2 else "green"


def doubtful(table: PredictionTable) -> np.ndarray:
    """Which rows to doubt: high entropy or a narrow lead, shape (n_rows,)."""
    normalized = posteriors.normalized_entropy(table.probs)
    with np.errstate(invalid="ignore"):
        return (normalized > DOUBTFUL_ENTROPY) | (table.column("margin") < DOUBTFUL_MARGIN)


@dataclass(frozen=True)
class _PredictionView:
    """Rows of a prediction table, drawn for the width at hand."""

    table: PredictionTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield _grid(_shortened(_fitting(list(_columns(self.table)), width), width))


@dataclass(frozen=True)
class _ViewColumn:
    """A column of the readable table.

    Attributes:
        heading: over it.
        cells: one for each row.
        is_figure: right-justified.
        folds: cells may go over several lines.
        cut: where a cell that is too long is shortened; None for a column that keeps its cells.
        goes: when it goes where there is no room, the lowest first; None for never.
        narrow: what stays instead of it.
        wished: cells of an elastic column for which bars and transcripts make room.
    """

    heading: str
    cells: Sequence[Text | str]
    is_figure: bool = False
    folds: bool = False
    cut: Literal["middle", "end"] | None = None
    goes: int | None = None
    narrow: "_ViewColumn | None" = None
    wished: int = LEAST_ELASTIC

    @cached_property
    def widest(self) -> int:
        """Cells of its widest line."""
        return max(cell_len(str(one)) for one in (self.heading, *self.cells))

    def room(self, goes: int) -> int:
        """The cells that it needs, so that something goes that goes as early as this."""
        least = self.wished if goes <= _BAR else LEAST_ELASTIC
        return min(self.widest, least) if self.is_elastic else self.widest

    @property
    def is_elastic(self) -> bool:
        """Whether it can do with fewer cells than its widest line has."""
        return self.folds or self.cut is not None

    def shortened(self, width: int) -> "_ViewColumn":
        """The same column, with no cell wider than ``width``."""
        if self.cut is None or self.widest <= width:
            return self
        shorten = shorten_middle if self.cut == "middle" else _shorten_end
        cells = [Text(shorten(str(one), width), getattr(one, "style", "")) for one in self.cells]
        return replace(self, cells=cells)


def _fitting(columns: list[_ViewColumn], width: int) -> list[_ViewColumn]:
    """The columns that there is room for; those that say least go first, and no digit is cut."""
    while going := [(one.goes, at) for at, one in enumerate(columns) if one.goes is not None]:
        goes, at = min(going)
        if sum(one.room(goes) + GAP for one in columns) - GAP <= width:
            break
        narrow = columns[at].narrow
        columns[at : at + 1] = [narrow] if narrow else []
    return columns


def _shortened(columns: Sequence[_ViewColumn], width: int) -> list[_ViewColumn]:
    """The columns with their cells shortened to the width, so that a row is a line.

    What the other columns leave is shared evenly among the elastic ones; what one of them does
    not need goes to the others.
    """
    elastic = sorted((one for one in columns if one.is_elastic), key=lambda one: one.widest)
    left = width - GAP * (len(columns) - 1)
    left -= sum(one.widest for one in columns if not one.is_elastic)
    widths = {}
    for n_before, column in enumerate(elastic):
        share = max(left // (len(elastic) - n_before), 1)
        widths[id(column)] = min(column.widest, share)
        left -= widths[id(column)]
    return [one.shortened(widths.get(id(one), one.widest)) for one in columns]


def shorten_middle(text: str, cells: int) -> str:
    """A text with its middle replaced by an ellipsis where it is wider than ``cells``.

    Example:
        >>> shorten_middle("recordings/session1/Ses01F_impro01_F000.wav", 24)
        'recordi…impro01_F000.wav'
    """
    if cell_len(text) <= cells:
        return text
    n_head = (cells - 1) // 3
    head = chop_cells(text, n_head)[0] if n_head else ""
    tail = chop_cells(text[::-1], max(cells - 1 - n_head, 1))[0][::-1]
    return f"{head}…{tail}"


def _shorten_end(text: str, cells: int) -> str:
    shortened = Text(text)
    shortened.truncate(cells, overflow="ellipsis")
    return shortened.plain


def prediction_table(table: PredictionTable) -> RenderableType:
    """The rows of a prediction table with a bar for the top probability and marks for doubt.

    An error is a mark here; its sentence is on standard error. Beside a prediction, transcripts
    are shown by their first words. What says least is left out where the terminal is narrow.
    """
    return _PredictionView(table)


def _grid(columns: Sequence[_ViewColumn]) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        grid.add_column(
            column.heading,
            justify="right" if column.is_figure else "left",
            overflow="fold",
            no_wrap=not column.folds,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        grid.add_row(*cells)
    return grid


def _columns(table: PredictionTable) -> Iterator[_ViewColumn]:
    """What is worth a person's look, in the order of the table."""
    yield _ViewColumn("file", _texts(table["file"]), cut="middle", wished=NAME_CELLS)
    for name, goes in (("start", None), ("end", _END)) if _has_windows(table) else ():
        times = [_seconds(value) for value in table[name]]
        yield _ViewColumn(name, times, is_figure=True, goes=goes)
    if len(set(table.column(CHANNEL_COLUMN).tolist())) > 1:
        yield _ViewColumn(CHANNEL_COLUMN, _texts(table.column(CHANNEL_COLUMN)))
    if len(set(table.column("model").tolist())) > 1:
        yield _ViewColumn("model", _texts(table["model"]), cut="middle")
    if table.labels:
        yield from _posterior_columns(table)
    for name in DIMENSIONS:
        if name in table:
            yield _ViewColumn(name, [_figure(value) for value in table[name]], is_figure=True)
    if "text" in table:
        yield _transcripts(table)
    remarks = _remarks(table)
    if any(remarks):
        yield _ViewColumn("remarks", remarks, cut="end")


def _transcripts(table: PredictionTable) -> _ViewColumn:
    """Transcripts: all that a table may be about, or a help to recognise a row."""
    alone = not (table.labels or any(name in table for name in DIMENSIONS))
    cells = TRANSCRIPT_CELLS if alone else TEXT_CELLS
    openings = [textwrap.shorten(text, cells, placeholder=" …") for text in table["text"]]
    return _ViewColumn("text", _texts(openings), folds=alone, goes=None if alone else _TEXT)


def _posterior_columns(table: PredictionTable) -> Iterator[_ViewColumn]:
    """Label, bar, entropy and varentropy, coloured by how sure the posterior is."""
    styles = [_colour(float(value)) for value in posteriors.normalized_entropy(table.probs)]
    top = np.nan_to_num(table.probs, nan=0.0).max(axis=1)
    known = ~np.isnan(table["entropy"])
    labels = [
        Text(printable(label), style=f"bold {style}")
        for label, style in zip(table["label"], styles, strict=True)
    ]
    rows = list(zip(top.tolist(), known, styles, strict=True))
    long, short = (
        [
            Text(f"{bar(share, n)} {share:4.0%}" if there else "", style=style)
            for share, there, style in rows
        ]
        for n in (BAR_CELLS, SHORT_BAR_CELLS)
    )
    shares = [Text(f"{share:.0%}" if there else "", style=style) for share, there, style in rows]
    yield _ViewColumn("label", labels)
    bare = _ViewColumn("prob.", shares, is_figure=True)
    narrow = _ViewColumn("prob.", short, goes=_BAR, narrow=bare)
    yield _ViewColumn("probability", long, goes=_BAR, narrow=narrow)
    for name, goes in (("entropy", _ENTROPY), ("varentropy", _VARENTROPY)):
        figures = [_figure(value) for value in table[name]]
        yield _ViewColumn(name, figures, is_figure=True, goes=goes)


def _texts(values: Iterable[str]) -> list[Text]:
    return [Text(printable(value)) for value in values]


def _has_windows(table: PredictionTable) -> bool:
    """Whether a file occurs with several times, so that times tell rows apart."""
    keys = {(key, model) for key, model in zip(table.keys(), table.column("model"), strict=True)}
    files = {(key[0], *key[3:], model) for key, model in keys}
    return len(keys) > len(files)


def _seconds(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _figure(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _remarks(table: PredictionTable) -> list[Text]:
    """Doubt and note of each row, or that it failed."""
    doubt = doubtful(table) if table.labels else np.zeros(len(table), dtype=bool)
    rows = zip(doubt.tolist(), table.column("note"), table.column("error"), strict=True)
    return [
        Text("failed", style="bold red")
        if error
        else Text("; ".join(filter(None, ("unsure" if unsure else "", printable(note)))))
        for unsure, note, error in rows
    ]


def summary(table: PredictionTable) -> RenderableType:
    """Label counts, mean entropy and the least certain files of a run."""
    lines: list[RenderableType] = []
    for model, rows in _predictions(table):
        lines += [Text(), *_model_summary(model, rows)]
    n_failed, n_noted = int(table.failed.sum()), int((table.column("note") != "").sum())
    if n_failed:
        lines.append(Text(f"{n_failed} of {len(table)} rows have no prediction.", style="red"))
    if n_noted:
        lines.append(Text(f"Doubtful recordings: {n_noted}, see the remarks."))
    return Group(*lines)


def _predictions(table: PredictionTable) -> Iterator[tuple[str, PredictionTable]]:
    """Each model with the rows in which it gave a posterior or dimensions."""
    figures = [table.probs, *(table[name][:, np.newaxis] for name in DIMENSIONS if name in table)]
    given = ~np.isnan(np.concatenate(figures, axis=1)).all(axis=1)
    for model in dict.fromkeys(table.column("model").tolist()):
        rows = table.select((table.column("model") == model) & given)
        if len(rows):
            yield model, rows


def _is_categorical(rows: PredictionTable) -> bool:
    return not np.isnan(rows.probs).all()


def _model_summary(model: str, rows: PredictionTable) -> list[RenderableType]:
    heading = Text.assemble((printable(model), "bold"), f"  {len(rows)} predictions")
    if not _is_categorical(rows):
        means = [f"mean {name} {np.nanmean(rows[name]):.3f}" for name in DIMENSIONS if name in rows]
        return [heading, Text("  " + "  ".join(means))]
    counts = Counter(label for label in rows["label"].tolist() if label)
    grid = Table.grid(padding=(0, 2))
    for label, count in counts.most_common():
        share = count / max(len(rows), 1)
        grid.add_row(f"  {printable(label)}", str(count), bar(share), f"{share:4.0%}")
    entropy = rows["entropy"]
    least = [
        index for index in np.argsort(-entropy)[:LEAST_CERTAIN] if not np.isnan(entropy[index])
    ]
    highest = math.log(max(int((~np.isnan(rows.probs)).sum(axis=1).max()), 2))
    spread = f"0 ▕{histogram(entropy, highest)}▏ {highest:.2f}"
    mean = Text(f"  mean entropy {np.nanmean(entropy):.3f} nats  {spread}")
    names = ", ".join(f"{printable(rows['file'][i])} ({entropy[i]:.2f})" for i in least)
    return [heading, grid, mean, Text(f"  least certain: {names}")]
