"""Pictures of predictions beside the truth: what is mistaken for what, and whether doubt helps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.metrics import calibration, classification
from emocli.metrics.ratios import ratio
from emocli.metrics.risk_coverage import aurc, risk_coverage
from emocli.report import palette
from emocli.report.figures import LEFT, RIGHT, ROW
from emocli.report.svg import (
    LETTER,
    WIDTH,
    Drawing,
    Panel,
    axes,
    counted,
    element,
    joined,
    label,
    legend,
    line,
    name_width,
    shortened,
    ticks,
    title,
)

N_CURVE = 400
"""Points of a curve: more than a drawing has pixels across."""
HALVES = (0.0, 0.5, 1.0)
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Exchange:
    """How often fusion exchanged one label for another, and what that was worth.

    Attributes:
        before: label of the voice.
        after: label after fusion.
        n: how often.
        corrected: of these from wrong to right; None without the truth.
        broken: of these from right to wrong; None without the truth.
    """

    before: str
    after: str
    n: int
    corrected: int | None = None
    broken: int | None = None


def percent(share: float) -> str:
    """A share as a whole percentage."""
    return f"{share:.0%}"


def confusion(labels: Sequence[str], counts: NDArray[np.int64]) -> Drawing:
    """The matrix of counts; a cell is as dark as its share of the row.

    Args:
        labels: rows, and columns but the last.
        counts: shape (n_labels, n_labels + 1); the last column counts missing predictions and
            is drawn where it holds any. Rows without truth are not drawn.
    """
    names = [*labels, "none"] if counts[:, -1].any() else list(labels)
    rows = np.flatnonzero(classification.support(counts))
    left, right = name_width([*labels, "truth"]), RIGHT
    longest = max(len(shortened(name)) for name in names) * LETTER
    slanted = longest > (right - left) / len(names) - 4
    top = 40.0
    if slanted:  # headings rise to the right, by 38 degrees
        top += longest * 0.62
        right -= max(longest * 0.79 - (right - left) / len(names) / 2, 0.0)
    side = (right - left) / len(names)
    height = min(side, 46.0)
    parts = [
        label(left - 10, top - 10, "truth", "end", "name"),
        label(left, 14, "predicted", class_="name"),
    ]
    for column, name in enumerate(names):
        parts.append(_heading(left + (column + 0.5) * side, top - 10, name, slanted))
    for at, row in enumerate(rows.tolist()):
        y = top + at * height
        parts.append(label(left - 10, y + height / 2 + 4, shortened(labels[row]), "end"))
        total = int(counts[row].sum())
        for column, name in enumerate(names):
            place = (left + column * side, y, side, height)
            parts.append(_cell(place, int(counts[row, column]), total, (labels[row], name)))
    summary = f"{len(rows)} true labels by {len(names)} predicted ones."
    return Drawing(WIDTH, top + len(rows) * height + 8, "".join(parts), summary)


def _heading(x: float, y: float, name: str, slanted: bool) -> str:
    if not slanted:
        return label(x, y, name, "middle", "small")
    return element(
        "g",
        label(0, 0, shortened(name), class_="small"),
        transform=f"translate({x:.1f} {y:.1f}) rotate(-38)",
    )


def _cell(
    place: tuple[float, float, float, float], count: int, total: int, names: tuple[str, str]
) -> str:
    x, y, width, height = place
    share = count / total
    inside = [
        title(f"{names[0]} predicted as {names[1]}: {count} of {total}, {share:.0%}"),
        element(
            "rect",
            x=x + 1,
            y=y + 1,
            width=width - 2,
            height=height - 2,
            rx=4,
            class_=palette.shade(share),
        ),
    ]
    ink = "on-dark" if share >= 0.5 else "on-light"
    if count:
        two_lines = height >= 40 and width >= 34
        middle = y + height / 2 + (-1 if two_lines else 4)
        inside.append(label(x + width / 2, middle, percent(share), "middle", f"{ink} strong"))
        if two_lines:
            inside.append(label(x + width / 2, middle + 15, f"{count:,}", "middle", f"{ink} small"))
    return element("g", *inside)


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Drawing:
    """Accuracy in bins of confidence, with the gap to the diagonal and the size of each bin.

    Args:
        confidence: probability of the predicted label, shape (n_utterances,).
        right: shape (n_utterances,).
    """
    sums = calibration.bins(confidence, right)  # (n_bins, 3)
    n_bins = len(sums)
    said, happened = ratio(sums[:, 1], sums[:, 0]), ratio(sums[:, 2], sums[:, 0])
    share = sums[:, 0] / max(sums[:, 0].sum(), 1)
    panel = Panel.of(LEFT, 34, RIGHT, 252, (0.0, 1.0), (0.0, 1.0))
    sizes = Panel.of(LEFT, 322, RIGHT, 362, (0.0, 1.0), (0.0, max(float(share.max()), 0.01)))
    parts = [axes(panel, ("confidence", "accuracy"), x_ticks=QUARTERS, y_ticks=QUARTERS)]
    parts.append(line(LEFT, panel.y.start, RIGHT, panel.y.stop, "guide"))
    for row in np.flatnonzero(sums[:, 0]).tolist():
        x0, x1 = panel.x.at(row / n_bins) + 1.5, panel.x.at((row + 1) / n_bins) - 1.5
        told = (
            f"confidence {said[row]:.2f}, accuracy {happened[row]:.2f}, {int(sums[row, 0])} "
            f"predictions"
        )
        parts.append(_bin(panel, (x0, x1), (float(said[row]), float(happened[row])), told))
        parts.append(_bar(sizes, (x0, x1), (0.0, float(share[row])), "fill so-so"))
    parts.append(line(LEFT, 362, RIGHT, 362, "axis"))
    parts.append(
        label(
            LEFT, 314, f"share of predictions, up to {percent(float(share.max()))}", class_="name"
        )
    )
    key, _ = legend([("good", "accuracy"), ("bad", "mean confidence")], LEFT, 368, RIGHT)
    error = float(calibration.expected_calibration_error(sums))
    return Drawing(
        WIDTH,
        394,
        "".join(parts) + key,
        f"Expected calibration error {error:.4f} in {n_bins} bins.",
    )


def _bin(panel: Panel, x: tuple[float, float], levels: tuple[float, float], told: str) -> str:
    """Accuracy as a bar, the mean confidence as a line, and in pale what it claims too much."""
    said, happened = levels
    return element(
        "g",
        title(told),
        _bar(panel, x, (0.0, happened), "fill good"),
        _bar(panel, x, (happened, said), "fill bad pale") if said > happened else "",
        line(x[0], panel.y.at(said), x[1], panel.y.at(said), "line bad"),
    )


def _bar(panel: Panel, x: tuple[float, float], y: tuple[float, float], class_: str) -> str:
    low, high = panel.y.at(y[0]), panel.y.at(y[1])
    return element("rect", x=x[0], y=high, width=x[1] - x[0], height=low - high, class_=class_)


def risk_curves(measures: Mapping[str, NDArray[np.float64]], right: NDArray[np.bool_]) -> Drawing:
    """Error rate of the surest predictions, by how many of them are kept.

    The broken line is the best order there could be: all right predictions first.

    Args:
        measures: what ranks predictions, rising with trust; shape (n_utterances,) each.
        right: shape (n_utterances,).
    """
    curves = {name: risk_coverage(values, right) for name, values in measures.items()}
    wrong = 1.0 - float(right.mean())
    highest = max([wrong, 0.05, *(_highest(*curve) for curve in curves.values())])
    panel = Panel.of(LEFT, 34, RIGHT, 270, (0.0, 1.0), (0.0, min(highest * 1.1, 1.0)))
    parts = [
        axes(
            panel,
            ("share of predictions kept, surest first", "error rate"),
            x_ticks=QUARTERS,
            spell_x=percent,
            spell_y=percent,
        )
    ]
    share = np.linspace(1e-3, 1.0, N_CURVE)
    best = np.maximum(share - (1.0 - wrong), 0.0) / share
    parts.append(element("path", d=joined(panel.x(share), panel.y(best)), class_="guide"))
    parts.append(line(LEFT, panel.y.at(wrong), RIGHT, panel.y.at(wrong), "guide"))
    entries = []
    for turn, (name, (coverage, risk)) in enumerate(curves.items()):
        rows = np.unique(np.linspace(0, len(risk) - 1, N_CURVE).astype(np.intp))
        level = panel.y(np.minimum(risk[rows], panel.y.high))
        d = joined(panel.x(coverage[rows]), level)
        parts.append(element("path", d=d, class_=f"line m{turn % 2}"))
        entries.append((f"m{turn % 2}", f"{name}, AURC {aurc(measures[name], right):.4f}"))
    key, bottom = legend(entries, LEFT, 314, RIGHT)
    summary = f"Error rate {wrong:.1%} of all; lower where only sure predictions are kept."
    return Drawing(WIDTH, bottom + 4, "".join(parts) + key, summary)


def _highest(coverage: NDArray[np.float64], risk: NDArray[np.float64]) -> float:
    """The highest risk past the first few predictions, which say little and swing widely."""
    return float(risk[coverage >= min(0.05, float(coverage[-1]))].max())


def groups(
    names: Sequence[str],
    sizes: Sequence[int],
    figures: Mapping[str, Sequence[float]],
    means: Mapping[str, float],
) -> Drawing:
    """Figures of each group, such as each speaker, on a line of its own.

    Args:
        names: of the groups.
        sizes: utterances of each.
        figures: one or two figures from 0 to 1 by title, a value for each group.
        means: of the same figures, also over groups that are not drawn.
    """
    shown = [
        f"{shortened(name or '(empty)', 16)} {size:,}"
        for name, size in zip(names, sizes, strict=True)
    ]
    left = name_width(shown)
    bottom = 34 + len(names) * 22.0
    panel = Panel.of(
        left, 34, RIGHT - 6, bottom, _span([*figures.values(), list(means.values())]), (0.0, 1.0)
    )
    parts = []
    for value in ticks(panel.x.low, panel.x.high):
        at = panel.x.at(value)
        parts.append(line(at, 26, at, bottom, "grid"))
        parts.append(label(at, 18, percent(value), "middle", "tick"))
    for turn, (figure, values) in enumerate(figures.items()):
        at = panel.x.at(means[figure])
        parts.append(line(at, 26, at, bottom, f"mean m{turn}"))
        for row, value in enumerate(values):
            if value == value:
                parts.append(
                    _mark(panel.x.at(value), 45 + row * 22.0, turn, f"{names[row]}: {value:.3f}")
                )
    for row, told in enumerate(shown):
        parts.append(label(left - 10, 49 + row * 22.0, told, "end", "key"))
    entries = [(f"m{turn}", name) for turn, name in enumerate(figures)]
    key, end = legend(entries, 16, bottom + 10, RIGHT)
    return Drawing(WIDTH, end + 4, "".join(parts) + key, f"{len(names)} groups.")


def _span(figures: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The tenths that hold all values with some room."""
    known = [value for values in figures for value in values if value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    return max(np.floor(low * 10 - 0.5) / 10, 0.0), min(np.ceil(high * 10 + 0.5) / 10, 1.0)


def _mark(x: float, y: float, turn: int, told: str) -> str:
    return element("circle", title(told), cx=x, cy=y, r=5.0, class_=f"fill m{turn}")


def transitions(exchanges: Sequence[Exchange]) -> Drawing:
    """What exchanges of labels were made, and how many corrected or broke a prediction.

    Args:
        exchanges: the most frequent first.
    """
    names = [f"{one.before} → {one.after}" for one in exchanges]
    left = name_width(names)
    scale = (RIGHT - 40 - left) / max((one.n for one in exchanges), default=1)
    parts = [
        _exchange((left, 6 + row * ROW), scale, name, one)
        for row, (name, one) in enumerate(zip(names, exchanges, strict=True))
    ]
    bottom = 12 + ROW * len(exchanges)
    key, end = "", bottom
    if any(one.corrected is not None for one in exchanges):
        entries = [("good", "corrected"), ("so-so", "wrong before and after"), ("bad", "broken")]
        key, end = legend(entries, 16, bottom, RIGHT)
    total = sum(one.n for one in exchanges)
    summary = f"{counted(total, 'label')} exchanged by fusion."
    return Drawing(WIDTH, end + 4, "".join(parts) + key, summary)


def _exchange(place: tuple[float, float], scale: float, name: str, one: Exchange) -> str:
    """One line: name, what the exchange was worth, and how often it was made."""
    x, top = place
    parts = [label(x - 10, top + 16, shortened(name), "end")]
    for class_, count in _worth(one):
        told = title(f"{name}: {count} {_WORTH[class_]}")
        size = {"y": top + 3, "width": count * scale, "height": 18}
        if count:
            parts.append(element("rect", told, x=x, **size, class_=f"fill {class_}"))
        x += count * scale
    return "".join([*parts, label(x + 8, top + 16, str(one.n), class_="small")])


_WORTH = {
    "good": "corrected",
    "so-so": "without effect on the score",
    "bad": "broken",
    "m0": "made",
}


def _worth(one: Exchange) -> tuple[tuple[str, int], ...]:
    if one.corrected is None or one.broken is None:
        return (("m0", one.n),)
    neither = one.n - one.corrected - one.broken
    return ("good", one.corrected), ("so-so", neither), ("bad", one.broken)
