"""Which pictures there are of a system, under which names, and what they say in words."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.registry import METRICS
from emocli.report import figures, truth_figures
from emocli.report.content import System
from emocli.report.svg import Drawing, counted
from emocli.table import DIMENSIONS, PredictionTable

N_TIMELINES = 24
"""Recordings whose course is drawn; the others are in the list."""
N_GROUPS = 40
"""Groups that are drawn, those with the lowest recall first."""
N_RINGS = 2_000
"""Changed predictions that are ringed; more would hide one another."""

_GROUP_FIGURES = tuple((METRICS[name].title, name) for name in ("uar", "accuracy"))


@dataclass(frozen=True)
class Picture:
    """A drawing with its words.

    Attributes:
        kind: name for ``--figure``.
        heading: what it shows.
        caption: how to read it.
        drawing: the picture.
        file: the recording that it is of, ``""`` for the whole table.
    """

    kind: str
    heading: str
    caption: str
    drawing: Drawing
    file: str = ""


def pictures(system: System) -> list[Picture]:
    """Every picture that a system has the data for, in the order of a page."""
    return [picture for kind in KINDS for picture in KINDS[kind](system)]


def label_pictures(system: System) -> Iterator[Picture]:
    """How often each label was predicted."""
    counts = Counter(label for label in system.rows.column("label").tolist() if label)
    if not counts:
        return
    names = [*system.labels, *sorted(counts.keys() - set(system.labels))]
    caption, true = "", None
    if system.verdict is not None and system.verdict.evaluation.labels:
        known = Counter(label for label in system.verdict.truth.tolist() if label)
        names += sorted(known.keys() - set(names))
        true = [known[name] for name in names]
        caption = "Bars: predicted. Upright marks: how often it is true."
    drawing = figures.label_counts(names, [counts[name] for name in names], true)
    yield Picture("labels", "Labels", caption, drawing)


def scatter_pictures(system: System) -> Iterator[Picture]:
    """Entropy against varentropy, or valence against arousal."""
    known = ~np.isnan(system.rows.column("entropy"))
    if known.any():
        yield _entropy_picture(system, system.rows.select(known))
    given = [name for name in reversed(DIMENSIONS) if name in system.rows]
    if len(given) < 2:
        return
    names = (given[0], given[-1])
    x, y = system.rows[names[0]], system.rows[names[1]]
    both = ~(np.isnan(x) | np.isnan(y))
    if both.any():
        drawing = figures.dimension_scatter(x[both], y[both], names)
        heading = f"{names[0].capitalize()} and {names[1]}"
        yield Picture("scatter", heading, "A dot for each prediction.", drawing)


def _entropy_picture(system: System, rows: PredictionTable) -> Picture:
    caption = "A dot for each prediction; select one to see it in the list. "
    spoken = rows.column("speech_label")
    by_voice = bool((spoken != "").any())
    names = np.where(spoken != "", spoken, rows.column("label")) if by_voice else rows["label"]
    changed = np.asarray(rows.column("changed") != "", dtype=bool)
    if by_voice:
        caption += "Colours are what the voice says. "
    if 0 < changed.sum() <= N_RINGS:
        caption += "Rings: the text changed the label. "
    else:
        changed = np.zeros(len(rows), dtype=bool)
    if system.thresholds:
        caption += "Shaded corners: where the text is asked. "
    caption += "Broken line: one label against equal others."
    drawing = figures.entropy_scatter(
        rows["entropy"],
        rows["varentropy"],
        names.tolist(),
        system.labels,
        thresholds=system.thresholds,
        ringed=changed,
    )
    return Picture("scatter", "Entropy and varentropy", caption, drawing)


def confusion_pictures(system: System) -> Iterator[Picture]:
    """What is taken for what."""
    if system.verdict is None or not system.verdict.evaluation.labels:
        return
    found = system.verdict.evaluation
    drawing = truth_figures.confusion(found.labels, found.counts)
    caption = "Each row is a true label; cells are shares of the row."
    yield Picture("confusion", "Confusion", caption, drawing)


def reliability_pictures(system: System) -> Iterator[Picture]:
    """Whether probabilities mean what they say."""
    if system.verdict is None or not len(system.verdict.right):
        return
    confidence = next(iter(system.verdict.measures.values()))
    drawing = truth_figures.reliability(confidence, system.verdict.right)
    error = system.verdict.evaluation.figures.get("ece", float("nan"))
    caption = (
        f"Honest probabilities reach the broken line: of predictions with confidence 0.8, 80% "
        f"are right. The mean gap (ECE) is {error:.3f}."
    )
    yield Picture("reliability", "Reliability", caption, drawing)


def risk_pictures(system: System) -> Iterator[Picture]:
    """What is gained by keeping only sure predictions."""
    if system.verdict is None or not len(system.verdict.right):
        return
    drawing = truth_figures.risk_curves(system.verdict.measures, system.verdict.right)
    found = system.verdict.evaluation.figures
    caption = (
        f"Accuracy is {found['accuracy']:.1%} on all and {found['accuracy_at_50']:.1%} on the "
        f"surer half. Broken curve: the best order there could be."
    )
    yield Picture("risk-coverage", "Risk and coverage", caption, drawing)


def group_pictures(system: System) -> Iterator[Picture]:
    """How figures spread over speakers."""
    if system.verdict is None:
        return
    for column, found in system.verdict.evaluation.groups.items():
        order = sorted(found, key=lambda name: (_recall(found[name]), name))[:N_GROUPS]
        values = {
            title: [found[name].get(figure, float("nan")) for name in order]
            for title, figure in _GROUP_FIGURES
        }
        if len(found) < 2 or all(np.isnan(values["UAR"])):
            continue
        spread = system.verdict.evaluation.spread[column]
        means = {
            title: spread[figure]["mean"] for title, figure in _GROUP_FIGURES if figure in spread
        }
        sizes = [int(found[name]["n"]) for name in order]
        caption = (
            f"Each {column} with its number of recordings, the lowest UAR first. Broken lines: "
            f"means."
        )
        if len(found) > N_GROUPS:
            caption += f" The lowest {N_GROUPS} of {len(found)}."
        drawing = truth_figures.groups(order, sizes, values, means)
        yield Picture("speakers", f"By {column}", caption, drawing)


def _recall(figures_of_group: Mapping[str, float]) -> float:
    value = figures_of_group.get("uar", float("nan"))
    return 2.0 if np.isnan(value) else value


def transition_pictures(system: System) -> Iterator[Picture]:
    """What fusion changed."""
    if not system.exchanges:
        return
    total = sum(one.n for one in system.exchanges)
    caption = f"{counted(total, 'label')} changed."
    if system.exchanges[0].corrected is not None:
        corrected = sum(one.corrected or 0 for one in system.exchanges)
        broken = sum(one.broken or 0 for one in system.exchanges)
        caption = f"{counted(total, 'label')} changed: {corrected:,} corrected, {broken:,} broken."
    drawing = truth_figures.transitions(system.exchanges)
    yield Picture("transitions", "What the text changed", caption, drawing)


def timeline_pictures(system: System) -> Iterator[Picture]:
    """The course of recordings that have several windows, the longest first."""
    for file, rows in _windows(system)[:N_TIMELINES]:
        windows = system.rows.select(rows)
        probs = np.stack([windows[f"p_{label}"] for label in system.labels], axis=1)
        drawing = figures.timeline(
            windows["start"], windows["end"], probs, system.labels, windows["label"].tolist()
        )
        yield Picture("timeline", file, "", drawing, file)


def n_courses(system: System) -> int:
    """How many recordings have several windows."""
    return len(_windows(system))


def _windows(system: System) -> list[tuple[str, NDArray[np.intp]]]:
    """Files with two or more windows and their rows in the order of time."""
    starts, ends = system.rows.column("start"), system.rows.column("end")
    timed = ~(np.isnan(starts) | np.isnan(ends) | system.rows.failed)
    if not system.labels or not timed.any():
        return []
    by_file: dict[str, list[int]] = {}
    for row in np.flatnonzero(timed).tolist():
        by_file.setdefault(system.rows["file"][row], []).append(row)
    found = [
        (file, np.array(sorted(rows, key=lambda row: starts[row]), dtype=np.intp))
        for file, rows in by_file.items()
        if len(rows) > 1
    ]
    return sorted(found, key=lambda one: -len(one[1]))


KINDS: Mapping[str, Callable[[System], Iterator[Picture]]] = {
    "labels": label_pictures,
    "scatter": scatter_pictures,
    "confusion": confusion_pictures,
    "reliability": reliability_pictures,
    "risk-coverage": risk_pictures,
    "speakers": group_pictures,
    "transitions": transition_pictures,
    "timeline": timeline_pictures,
}
"""Pictures by the name that ``--figure`` takes."""
