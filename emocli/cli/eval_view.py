"""Evaluations as people read them: figures with intervals, and a matrix shaded by recall."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from emocli.cli.console import printable
from emocli.metrics.evaluation import Balanced, Comparison, Evaluation
from emocli.metrics.intervals import FEW_UNITS, NO_INTERVAL, Interval
from emocli.metrics.registry import LEADING, falls, title

_SHADES = ("", "white on grey19", "white on dark_green", "white on green4", "black on green3")


def figures_view(found: Sequence[Evaluation]) -> RenderableType:
    """One evaluation in full, or several as a ranking, and what was asked for of each."""
    if len(found) == 1:
        return Group(*_parts(found[0]))
    parts: list[RenderableType] = [leaderboard(found)]
    for one in found:
        if more := _asked_for(one):
            parts += ["", _heading(one), "", *more[:-1]]
    return Group(*parts)


def leaderboard(found: Sequence[Evaluation]) -> RenderableType:
    """One line an evaluation, the best first."""
    names = [name for name in LEADING if any(name in one.figures for one in found)]
    table = _table("table", "model")
    for name in ("n", *names):
        table.add_column(title(name), justify="right")
    for one in sorted(found, key=lambda one: _rank(one, names)):
        values = (_with_interval(one, name) for name in names)
        table.add_row(printable(one.table), printable(one.model), str(one.n), *values)
    return table


def _rank(found: Evaluation, names: Sequence[str]) -> float:
    """Lower is better; evaluations without the deciding figure come last."""
    value = found.figures.get(names[0], math.nan) if names else math.nan
    if math.isnan(value):
        return math.inf
    return value if falls(names[0]) else -value


def number(value: float | None) -> str:
    """A figure with four decimals; a dash for an undefined one."""
    return "–" if value is None or math.isnan(value) else f"{value:.4f}"


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _parts(found: Evaluation) -> list[RenderableType]:
    parts: list[RenderableType] = [_heading(found), "", _figures(found), ""]
    if found.intervals:
        parts += [Text(found.method, style="dim"), ""]
    if found.labels:
        parts += [_classes(found), "", *_confusion(found), ""]
    return [*parts, *_asked_for(found)][:-1]


def _heading(found: Evaluation) -> Text:
    who = f"{found.table} · {found.model}" if found.model else found.table
    return Text(f"{printable(who)} · {found.n} utterances", "bold")


def _asked_for(found: Evaluation) -> list[RenderableType]:
    """Groups, balanced samples and the comparison, an empty line after each."""
    parts: list[RenderableType] = []
    for column, groups in found.groups.items():
        parts += [_groups(column, groups, found.spread[column]), ""]
    if found.balanced is not None:
        parts += [_balanced(found.balanced), ""]
    if found.comparison is not None:
        parts += [*_comparison(found.comparison), ""]
    return parts


def _figures(found: Evaluation) -> Table:
    table = _table("figure")
    table.add_column("value", justify="right")
    if found.intervals:
        table.add_column(f"95 % interval ({found.units})", justify="right")
    for name, value in found.figures.items():
        cells = [title(name), number(value)]
        if found.intervals:
            cells.append(_ends(found.intervals.get(name, NO_INTERVAL)))
        table.add_row(*cells)
    return table


def _ends(interval: Interval) -> str:
    low, high = interval
    return "–" if math.isnan(low) else f"{number(low)} to {number(high)}"


def _with_interval(found: Evaluation, name: str) -> str:
    value = number(found.figures.get(name))
    low, high = found.intervals.get(name, NO_INTERVAL)
    return value if math.isnan(low) else f"{value} [{low:.3f}, {high:.3f}]"


def _classes(found: Evaluation) -> Table:
    table = _table("label")
    ends = found.class_intervals.get("recall", ())
    for heading in ("recall", *(("95 % interval",) if ends else ()), "precision", "F1", "support"):
        table.add_column(heading, justify="right")
    for turn, (label, row) in enumerate(found.per_class.items()):
        recall, precision, f1 = (number(row[name]) for name in ("recall", "precision", "f1"))
        interval = (_ends(ends[turn]),) if ends else ()
        table.add_row(printable(label), recall, *interval, precision, f1, str(row["support"]))
    return table


def _confusion(found: Evaluation) -> list[RenderableType]:
    """The matrix of counts; cells are shaded by their share of the row."""
    none = bool(found.counts[:, -1].any())
    table = _table("truth ↓  predicted →")
    for label in (*found.labels, "none") if none else found.labels:
        table.add_column(printable(label), justify="right")
    for label, counts in zip(found.labels, found.counts, strict=True):
        total = counts.sum()
        if not total:
            continue
        shown = counts if none else counts[:-1]
        table.add_row(printable(label), *(_shaded(count, count / total) for count in shown))
    return [table]


def _shaded(count: np.int64, share: float) -> Text:
    shade = _SHADES[min(math.ceil(share * (len(_SHADES) - 1)), len(_SHADES) - 1)]
    return Text(f" {count} ", style=shade)


def _groups(
    column: str,
    groups: Mapping[str, Mapping[str, float]],
    spread: Mapping[str, Mapping[str, float]],
) -> Table:
    """One line a group, then mean, sd and range over the groups."""
    names = [name for name in LEADING if name in spread]
    table = _table(printable(column))
    for name in ("n", *names):
        table.add_column(title(name), justify="right")
    for group, row in groups.items():
        table.add_row(
            printable(group) or "(empty)", str(row["n"]), *(number(row.get(name)) for name in names)
        )
    table.add_section()
    for measure in ("mean", "sd", "min", "max"):
        values = (number(spread[name][measure]) for name in names)
        table.add_row(Text(measure, "italic"), "", *values)
    return table


def _balanced(found: Balanced) -> Table:
    table = _table(f"{found.n_draws} samples of {found.n_per_label} a label")
    for heading in ("mean", "sd"):
        table.add_column(heading, justify="right")
    for name, mean in found.mean.items():
        table.add_row(title(name), number(mean), number(found.sd[name]))
    return table


_MCNEMAR = "McNemar's test takes utterances as independent."


def _comparison(found: Comparison) -> list[RenderableType]:
    who = f"{found.other} · {found.model}" if found.model else found.other
    table = _table(f"difference from {printable(who)}")
    for heading in ("difference", "95 % interval", "p"):
        table.add_column(heading, justify="right")
    for name, one in found.differences.items():
        ends = f"{one.low:+.4f} to {one.high:+.4f}" if not math.isnan(one.low) else "–"
        shown = "–" if math.isnan(one.difference) else f"{one.difference:+.4f}"
        table.add_row(title(name), shown, ends, number(one.p_value))
    how = (
        f"p: Student's t, for with fewer than {FEW_UNITS} there are too few ways to exchange the "
        f"systems"
        if found.n_units < FEW_UNITS
        else "p: how often as large a difference comes from exchanging the systems"
    )
    mcnemar = "" if found.mcnemar is None else f" {_MCNEMAR}"
    parts: list[RenderableType] = [table, Text(f"{how} ({found.units}).{mcnemar}", style="dim")]
    if found.mcnemar is not None:
        test = found.mcnemar
        parts.append(
            Text(
                f"McNemar: {test.only_first} only here right, {test.only_second} only there, "
                f"p = {test.p_value:.4g}"
            )
        )
    return parts
