"""Timelines as people see them on a terminal: a coloured strip for each recording."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from emocli.cli.console import printable
from emocli.cli.progress import clock
from emocli.label_tracks import Mark, marks_of
from emocli.table import PredictionTable

STRIP_CELLS = 48
"""Leaves room for a name of 19 letters on a terminal of 80 columns."""
COLOURS = {
    "angry": "red",
    "happy": "yellow",
    "neutral": "white",
    "sad": "blue",
    "calm": "green",
    "fearful": "magenta",
    "disgust": "bright_green",
    "surprised": "cyan",
    "contempt": "bright_red",
    "negative": "red",
    "positive": "green",
}
OTHER_COLOUR = "bright_black"
SILENCE = "·"


def timeline_strips(table: PredictionTable) -> Table | None:
    """A strip for each recording and model of several rows, None if there is no such recording."""
    view = Table.grid(padding=(0, 2))
    view.add_column(overflow="fold")
    view.add_column(no_wrap=True)
    several = len(set(table.column("model").tolist())) > 1
    for (file, model), marks in _recordings(table):
        if len(marks) < 2:
            continue
        first, last = min(one.start for one in marks), max(one.end for one in marks)
        name = f"{file} {model}" if several else file
        times = Text(f"{clock(first)}-{clock(last)}", style="dim")
        view.add_row(Text(printable(name)), strip(marks), times)
    return view if view.row_count else None


def _recordings(table: PredictionTable) -> Iterator[tuple[tuple[str, str], list[Mark]]]:
    for file, marks in marks_of(table).items():
        for model in dict.fromkeys(one.model for one in marks):
            yield (file, model), [one for one in marks if one.model == model]


def strip(marks: Sequence[Mark], cells: int = STRIP_CELLS) -> Text:
    """Labels over time, each cell the label at its middle; dots where there is none.

    A label is written where it begins, as far as there is room, so that the strip can be read
    without colour.

    Args:
        marks: of one recording; of those that overlap the first counts.
        cells: width.

    Example:
        >>> strip([Mark(0, 6, "sad"), Mark(8, 10, "happy")], 10).plain
        '▏sad  ··▏h'
    """
    starts = np.array([one.start for one in marks])
    ends = np.array([one.end for one in marks])
    middles = starts.min() + (np.arange(cells) + 0.5) * (ends.max() - starts.min()) / cells
    inside = (starts <= middles[:, np.newaxis]) & (middles[:, np.newaxis] < ends)
    labels = [marks[int(row.argmax())].label if row.any() else "" for row in inside]
    drawn = Text()
    for label, run in groupby(labels):
        width = len(list(run))
        if label:
            colour = COLOURS.get(label, OTHER_COLOUR)
            # A bar tells neighbours apart where there is no colour.
            name = printable(label)[0] if width == 1 else f"▏{printable(label)}"
            drawn.append(name[:width].ljust(width), style=f"reverse {colour}")
        else:
            drawn.append(SILENCE * width, style="dim")
    return drawn


def movement_summary(table: PredictionTable) -> RenderableType | None:
    """How much the emotion moves from window to window, None if no recording has several.

    Args:
        table: windows with their column ``movement``.
    """
    moved = table.column("movement")
    lines = []
    for model in dict.fromkeys(table.column("model").tolist()):
        rows = np.flatnonzero((table.column("model") == model) & ~np.isnan(moved))
        files = {table["file"][row]: float(moved[row]) for row in rows}
        if not files:
            continue
        most = max(files, key=lambda file: files[file])
        which = f", most in {printable(most)} ({files[most]:.3f})" if len(files) > 1 else ""
        mean = float(np.mean(list(files.values())))
        lines.append(
            Text.assemble(
                (printable(model), "bold"),
                f"  emotion moves by {mean:.3f} nats from window to window{which}",
            )
        )
    return Group(*lines) if lines else None
