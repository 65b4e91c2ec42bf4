"""Pictures of predictions alone: what was predicted, how surely, and when."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.report import palette
from emocli.report.svg import (
    WIDTH,
    Drawing,
    Panel,
    axes,
    dots,
    element,
    joined,
    label,
    legend,
    line,
    name_width,
    path,
    shortened,
    spelled,
    title,
)

LEFT, RIGHT = 44.0, WIDTH - 18.0
ROW = 30.0
N_GUIDE = 200
N_LARGE = 1_000
"""Dots from which they are drawn smaller."""
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def label_counts(
    labels: Sequence[str], predicted: Sequence[int], true: Sequence[int] | None = None
) -> Drawing:
    """Bars of how often each label was predicted, with marks for how often it is true.

    Args:
        labels: names.
        predicted: counts.
        true: counts, if the truth is known.
    """
    most = max([1, *predicted, *(true or ())])
    total = max(sum(predicted), 1)
    left = name_width(labels)
    scale = (RIGHT - 78 - left) / most
    parts = []
    for row, (name, slot) in enumerate(zip(labels, palette.slots(labels), strict=True)):
        top = 6 + row * ROW
        counts = (predicted[row], true[row] if true is not None else 0)
        parts.append(label(left - 10, top + 16, shortened(name), "end"))
        parts.append(_count_bar((left, top), counts[0] * scale, slot))
        if true is not None:
            at = left + counts[1] * scale
            parts.append(line(at, top, at, top + 24, "rings"))
        told = f"{counts[0]:,} · {counts[0] / total:.0%}"
        parts.append(label(left + max(counts) * scale + 8, top + 16, told, "start", "small"))
    pairs = zip(labels, predicted, strict=True)
    summary = "Predicted: " + ", ".join(f"{name} {count}" for name, count in pairs)
    return Drawing(WIDTH, 12 + ROW * max(len(labels), 1), "".join(parts), summary)


def _count_bar(place: tuple[float, float], length: float, slot: int) -> str:
    x, y = place
    width = max(length, 1.0)
    return element("rect", x=x, y=y + 3, width=width, height=18, rx=3, class_=f"fill c{slot}")


def entropy_scatter(
    entropy: NDArray[np.float64],
    varentropy: NDArray[np.float64],
    names: Sequence[str],
    labels: Sequence[str],
    *,
    thresholds: Mapping[str, tuple[float, float]] | None = None,
    ringed: NDArray[np.bool_] | None = None,
) -> Drawing:
    """Entropy against varentropy, a dot an utterance, coloured by label.

    The broken line is the posterior in which one label stands against equal others.

    Args:
        entropy: nats, shape (n_utterances,), without NaN.
        varentropy: nats squared, shape (n_utterances,).
        names: label of each utterance, which decides its colour.
        labels: those that have probabilities; their number bounds the entropy.
        thresholds: for each label the least entropy and the largest varentropy of the
            utterances whose text is asked.
        ringed: which utterances to ring, shape (n_utterances,).
    """
    guide = _one_against_others(max(len(labels), 2))
    largest = max([float(guide[1].max()), *varentropy.tolist()])
    top_entropy = max([float(np.log(max(len(labels), 2))), *entropy.tolist()])
    panel = Panel.of(LEFT, 34, RIGHT, 300, (0.0, top_entropy), (0.0, largest * 1.04))
    x, y = panel.x(entropy), panel.y(varentropy)
    found = np.array(names, dtype=object)
    size = "dots" if len(entropy) <= N_LARGE else "dots fine"
    shown = [*labels, *sorted(set(names) - {*labels, ""})]
    parts = [axes(panel, ("entropy, nats", "varentropy, nats²"))]
    parts.append(element("path", d=joined(panel.x(guide[0]), panel.y(guide[1])), class_="guide"))
    colours = dict(zip(shown, palette.slots(shown), strict=True))
    for name in shown:
        rows = found == name
        if rows.any():
            d = dots(x[rows], y[rows])
            parts.append(element("path", d=d, class_=f"{size} c{colours[name]}"))
    for name, (least, most) in (thresholds or {}).items():
        if name in colours and least < panel.x.high:
            parts.append(_corner(panel, least, most, f"c{colours[name]}", name))
    if ringed is not None:
        parts += [
            _ring(*place) for place in zip(x[ringed].tolist(), y[ringed].tolist(), strict=True)
        ]
    entries = [(f"c{colours[name]}", name) for name in shown]
    key, bottom = legend(entries, LEFT, 346, RIGHT)
    return Drawing(
        WIDTH,
        bottom + 4,
        "".join(parts) + key,
        f"Entropy against varentropy of {len(entropy)} predictions.",
        _scales("scatter", panel),
    )


def _scales(kind: str, panel: Panel) -> tuple[tuple[str, str], ...]:
    """What a page needs to know to find the utterance under the pointer."""
    written = {
        "data-kind": kind,
        "data-x": f"{panel.x.low!r} {panel.x.high!r} {panel.x.start} {panel.x.stop}",
        "data-y": f"{panel.y.low!r} {panel.y.high!r} {panel.y.start} {panel.y.stop}",
    }
    return tuple(written.items())


def _one_against_others(n_labels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Entropy and varentropy where one label has p and the others share the rest."""
    p = 1.0 - np.linspace(0.0, 1.0, N_GUIDE) ** 2 * (1.0 - 1.0 / n_labels)
    rest = np.repeat(((1.0 - p) / (n_labels - 1))[:, np.newaxis], n_labels - 1, axis=1)
    probs = np.concatenate([p[:, np.newaxis], rest], axis=1)
    return posteriors.entropy(probs), posteriors.varentropy(probs)


def _corner(panel: Panel, least: float, most: float, colour: str, name: str) -> str:
    """The corner of a panel in which the text is asked."""
    left, top = panel.x.at(least), panel.y.at(min(most, panel.y.high))
    right, bottom = panel.x.stop, panel.y.start
    told = f"{name}: the text is asked from entropy {least:.3f} and up to varentropy {most:.3f}"
    size = {"width": right - left, "height": bottom - top}
    edge = path([(left, bottom), (left, top), (right, top)])
    return element(
        "g",
        title(told),
        element("rect", x=left, y=top, **size, class_=f"fill faint {colour}"),
        element("path", d=edge, class_=f"threshold {colour}"),
    )


def _ring(x: float, y: float) -> str:
    return element("circle", cx=x, cy=y, r=4.0, class_="rings")


def dimension_scatter(
    x: NDArray[np.float64], y: NDArray[np.float64], names: tuple[str, str]
) -> Drawing:
    """Two dimensions against each other, such as valence and arousal.

    Args:
        x: shape (n_utterances,), without NaN.
        y: shape (n_utterances,).
        names: of the dimensions.
    """
    panel = Panel.of(LEFT, 34, RIGHT, 320, _range(x), _range(y))
    body = axes(panel, names) + element("path", d=dots(panel.x(x), panel.y(y)), class_="dots m0")
    summary = f"{names[0]} against {names[1]} of {len(x)} predictions."
    return Drawing(WIDTH, 362, body, summary, _scales("dimensions", panel))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The range of an axis: 0 to 1 where that holds all values, else theirs with some room."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    room = (high - low or 1.0) * 0.05
    return low - room, high + room


def timeline(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    probs: NDArray[np.float64],
    labels: Sequence[str],
    top: Sequence[str],
) -> Drawing:
    """Posteriors over time, stacked, under a strip of the labels.

    Where windows overlap, each is drawn from the middle of the overlap on.

    Args:
        starts: seconds, rising, shape (n_windows,).
        ends: seconds, shape (n_windows,).
        probs: shape (n_windows, n_labels); NaN counts as 0.
        labels: names of the columns.
        top: label of each window, ``""`` for none.
    """
    left, right = _edges(starts, ends)
    panel = Panel.of(LEFT, 44, RIGHT, 176, (float(left[0]), float(right.max())), (0.0, 1.0))
    x0, x1 = panel.x(left), panel.x(right)
    colours = palette.slots(labels)
    parts = [
        axes(
            panel,
            ("time", ""),
            x_ticks=time_ticks(panel.x.low, panel.x.high),
            y_ticks=(0.0, 0.5, 1.0),
            spell_x=clock,
        ),
        label(LEFT, 16, "label, and probabilities below", class_="name"),
    ]
    parts += _stack(panel, x0, x1, np.nan_to_num(probs), colours)
    for name, slot in zip(labels, colours, strict=True):
        rows = np.array([one == name for one in top], dtype=bool)
        level = np.ones(int(rows.sum()))
        d = _boxes(x0[rows], x1[rows], 27.0 * level, 36.0 * level)
        parts.append(element("path", d=d, class_=f"fill c{slot}") if d else "")
    shown = [
        (f"c{slot}", name)
        for column, (name, slot) in enumerate(zip(labels, colours, strict=True))
        if np.nansum(probs[:, column]) > 0.005 * len(probs)
    ]
    key, bottom = legend(shown, LEFT, 222, RIGHT)
    return Drawing(
        WIDTH,
        bottom + 4,
        "".join(parts) + key,
        f"Emotion over {len(starts)} windows.",
        _scales("timeline", panel),
    )


def _stack(
    panel: Panel,
    x0: NDArray[np.float64],
    x1: NDArray[np.float64],
    probs: NDArray[np.float64],
    colours: Sequence[int],
) -> list[str]:
    """One path for each label, on top of those before it."""
    upper = np.cumsum(probs, axis=1)
    tops, bottoms = panel.y(upper), panel.y(upper - probs)
    return [
        element(
            "path",
            d=_boxes(x0, x1, tops[:, column], bottoms[:, column]),
            class_=f"fill c{slot}",
        )
        for column, slot in enumerate(colours)
    ]


def _edges(
    starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windows cut down to what belongs to one alone."""
    left, right = starts.copy(), ends.copy()
    overlap = ends[:-1] > starts[1:]
    middle = (ends[:-1] + starts[1:]) / 2
    right[:-1] = np.where(overlap, middle, right[:-1])
    left[1:] = np.where(overlap, middle, left[1:])
    return left, right


def _boxes(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
) -> str:
    """One path of many rectangles."""
    corners = zip(left.tolist(), right.tolist(), top.tolist(), bottom.tolist(), strict=True)
    return "".join(
        f"M{spelled(x0)} {spelled(y0)}H{spelled(x1)}V{spelled(y1)}H{spelled(x0)}z"
        for x0, x1, y0, y1 in corners
        if y1 - y0 >= 0.05
    )


def time_ticks(low: float, high: float, n: int = 6) -> list[float]:
    """About ``n`` times in seconds that a clock would show.

    Example:
        >>> time_ticks(0.0, 300.0)
        [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
    """
    wanted = (high - low) / n
    step = next((step for step in _TIME_STEPS if step >= wanted), _TIME_STEPS[-1])
    first = int(np.ceil(low / step))
    return [float(index * step) for index in range(first, int(high // step) + 1)]


def clock(seconds: float) -> str:
    """Seconds as a clock shows them.

    Example:
        >>> clock(75.0), clock(3675.0)
        ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
