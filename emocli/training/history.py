"""What a training was worth from evaluation to evaluation."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """The state of a training at one evaluation.

    Attributes:
        step: steps of the optimiser that were done.
        epoch: the same in epochs.
        loss: mean over the steps since the evaluation before.
        learning_rate: highest of the last step.
        figures: of the development set, by name.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """All evaluations of a training.

    Attributes:
        evaluations: in their order.
        best: place of the best one; -1 before the first.
        steps_per_epoch: steps of the optimiser.
        n_steps: of the whole training as it was planned.
        stopped_early: whether it ended for want of progress.
    """

    evaluations: tuple[Evaluation, ...] = ()
    best: int = -1
    steps_per_epoch: int = 1
    n_steps: int = 0
    stopped_early: bool = False

    def with_evaluation(self, evaluation: Evaluation, select: str, patience: int) -> "History":
        """The history with one evaluation more.

        Args:
            evaluation: the next one.
            select: the figure to compare; the best has to be beaten, NaN beats nothing.
            patience: evaluations without a better one that end a training; 0 for no end.
        """
        place, best = len(self.evaluations), self.best
        if best < 0 or _beats(evaluation, self.evaluations[best], select):
            best = place
        return replace(
            self,
            evaluations=(*self.evaluations, evaluation),
            best=best,
            stopped_early=bool(patience) and place - best >= patience,
        )

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "History":
        """The history that `dataclasses.asdict` was given."""
        evaluations = tuple(Evaluation(**item) for item in content["evaluations"])
        return cls(**{**content, "evaluations": evaluations})


def _beats(new: Evaluation, old: Evaluation, select: str) -> bool:
    value, before = new.figures[select], old.figures[select]
    return value > before or (math.isnan(before) and not math.isnan(value))


def write_history(path: Path, history: History) -> None:
    """Write a row per evaluation as CSV, all digits kept; the file is there whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(history.evaluations[0].figures) if history.evaluations else []
    writer.writerow(["step", "epoch", "loss", "learning_rate", *names, "best"])
    for place, item in enumerate(history.evaluations):
        figures = [item.figures[name] for name in names]
        row = [item.step, item.epoch, item.loss, item.learning_rate, *figures]
        writer.writerow([*row, int(place == history.best)])
    partial = path.with_suffix(".tmp")
    partial.write_text(text.getvalue(), "utf-8")
    partial.replace(path)
