"""The course of a training as a picture."""

from pathlib import Path

import numpy as np

from emocli.metrics.registry import title
from emocli.report.svg import WIDTH, Drawing, Panel, as_file, axes, element, joined, label
from emocli.training.history import History

LEFT, RIGHT = 52.0, WIDTH - 16.0


def curves(history: History, select: str) -> Drawing:
    """Loss and one figure of the development set over epochs, one above the other.

    Args:
        history: with one evaluation or more.
        select: the figure; its best evaluation is marked.
    """
    epochs = np.array([item.epoch for item in history.evaluations])
    losses = np.array([item.loss for item in history.evaluations])
    values = np.nan_to_num([item.figures[select] for item in history.evaluations])
    span = (0.0, float(epochs[-1]))
    upper = Panel.of(LEFT, 34, RIGHT, 150, span, _range(losses))
    lower = Panel.of(LEFT, 216, RIGHT, 332, span, _range(values))
    name = title(select)
    best = history.evaluations[history.best]
    place = (lower.x.at(best.epoch), lower.y.at(float(values[history.best])))
    body = [
        axes(upper, ("", "loss in training")),
        axes(lower, ("epochs", f"{name} on the development set")),
        element("path", d=joined(upper.x(epochs), upper.y(losses)), class_="line m1"),
        element("path", d=joined(lower.x(epochs), lower.y(values)), class_="line m0"),
        element("circle", cx=place[0], cy=place[1], r=5, class_="rings"),
        label(RIGHT, 204, f"best {values[history.best]:.3f} after epoch {best.epoch:g}", "end",
              "tick"),
    ]  # fmt: skip
    summary = (
        f"Loss from {losses[0]:.3g} to {losses[-1]:.3g} over {epochs[-1]:g} epochs; best {name} "
        f"{values[history.best]:.3f} after epoch {best.epoch:g}."
    )
    return Drawing(WIDTH, 374, "".join(body), summary)


def write_curves(path: Path, history: History, name: str, select: str) -> None:
    """Write the picture as an SVG file.

    Args:
        path: of the file.
        history: with one evaluation or more.
        name: of the model, for the heading.
        select: the figure to draw.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_file(curves(history, select), name), "utf-8")


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = (high - low or 1.0) * 0.08
    return low - room, high + room
