"""What an evaluation found, as plain data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.metrics import classification
from emocli.metrics.intervals import McNemar
from emocli.metrics.scores import Difference


@dataclass(frozen=True)
class Balanced:
    """Figures of balanced samples.

    Attributes:
        n_draws: number of samples.
        n_per_label: utterances of each label in a sample.
        mean: of each figure over the samples.
        sd: of each figure over the samples, with n - 1.
    """

    n_draws: int
    n_per_label: int
    mean: Mapping[str, float]
    sd: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Another system on the same utterances.

    Attributes:
        other: name of the other table.
        model: identifier of the other model.
        differences: this system's figures minus the other's.
        mcnemar: test of the accuracies; None without emotions.
        units: what varies and is exchanged, such as ``24 speakers``.
        n_units: how many these are.
    """

    other: str
    model: str
    differences: Mapping[str, Difference]
    mcnemar: McNemar | None
    units: str = ""
    n_units: int = 0


@dataclass(frozen=True)
class Evaluation:
    """How good the predictions of one model are.

    Attributes:
        table: name of the table of predictions.
        model: identifier of the model, ``""`` if unknown.
        n: utterances evaluated.
        n_missing: of these without a prediction, counted as wrong.
        n_left_out: utterances of the truth left out for their label.
        n_extra: predictions left out for want of a truth.
        n_abstained: utterances left out because the model abstained from a label.
        labels: rows of ``counts``.
        counts: shape (n_labels, n_labels + 1), truth by prediction, the last column for missing
            and other predictions.
        figures: values by common short name.
        intervals: 95 % intervals by the same names, of figures that have one; empty if none were
            made.
        class_intervals: of ``recall``, ``precision`` and ``f1``, one for each label.
        units: what varies in them, such as ``24 speakers``.
        groups: for each grouping column, for each group its ``n`` and figures.
        balanced: figures of balanced samples.
        comparison: with another system.
        warnings: what to doubt, in sentences.
    """

    table: str
    model: str
    n: int
    n_missing: int
    n_left_out: int
    n_extra: int
    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    class_intervals: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    units: str = ""
    groups: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    balanced: Balanced | None = None
    comparison: Comparison | None = None
    warnings: tuple[str, ...] = ()
    n_abstained: int = 0

    @property
    def per_class(self) -> dict[str, dict[str, float]]:
        """Recall, precision, F1 and support of each label."""
        views = (
            classification.recall(self.counts),
            classification.precision(self.counts),
            classification.f1(self.counts),
            classification.support(self.counts),
        )
        names = ("recall", "precision", "f1", "support")
        return {
            label: {name: view[row].item() for name, view in zip(names, views, strict=True)}
            for row, label in enumerate(self.labels)
        }

    def _class_intervals(self, label: int) -> dict[str, list[float]]:
        return {
            f"{name}_interval": list(ends[label]) for name, ends in self.class_intervals.items()
        }

    @property
    def method(self) -> str:
        """What the intervals are and take for granted, in plain words; ``""`` without any."""
        if not self.intervals:
            return ""
        told = (
            f"Intervals: jackknife over {self.units}, Student's t; they take the "
            f"{self.units.partition(' ')[2]} as independent of one another."
        )
        if math.isnan(bias := self.figures.get("ece_bias", math.nan)):
            return told
        return (
            f"{told} Noise only adds to ECE: of {self.n} utterances it is about {bias:.3f} too "
            f"large, and its interval is that of the ECE without noise."
        )

    @property
    def _coverage(self) -> dict[str, float]:
        """How many utterances have an answer, where some were abstained from."""
        if not self.n_abstained:
            return {}
        return {
            "n_abstained": self.n_abstained,
            "coverage": self.n / (self.n + self.n_abstained),
        }

    @property
    def spread(self) -> dict[str, dict[str, dict[str, float]]]:
        """For each grouping column and figure: mean, sd, least and largest value over groups."""
        return {
            column: _spread_over(list(groups.values())) for column, groups in self.groups.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as plain data: every figure a key of its own; undefined ones are None."""
        found: dict[str, Any] = {
            "table": self.table,
            "model": self.model,
            "n": self.n,
            "n_missing": self.n_missing,
            "n_left_out": self.n_left_out,
            "n_extra": self.n_extra,
            **self._coverage,
            **self.figures,
        }
        if self.labels:
            found["per_class"] = {
                label: {**row, **self._class_intervals(turn)}
                for turn, (label, row) in enumerate(self.per_class.items())
            }
            found["confusion"] = {
                "labels": list(self.labels),
                "counts": self.counts[:, :-1].tolist(),
                "none": self.counts[:, -1].tolist(),
            }
        found["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        found["interval_units"] = self.units
        found["groups"], found["spread"] = self.groups, self.spread
        if self.balanced is not None:
            found["balanced_draws"] = vars(self.balanced)
        if self.comparison is not None:
            found["comparison"] = _plain_comparison(self.comparison)
        found["warnings"] = list(self.warnings)
        plain: dict[str, Any] = without_nan(found)
        return plain


def _plain_comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "table": comparison.other,
        "model": comparison.model,
        "differences": {name: vars(value) for name, value in comparison.differences.items()},
        "units": comparison.units,
        "mcnemar": vars(comparison.mcnemar) if comparison.mcnemar else None,
    }


def without_nan(value: Any) -> Any:
    """Nested plain data with None in the place of NaN, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _spread_over(groups: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, sd (n - 1), least and largest value of each figure; groups without it do not count."""
    names = dict.fromkeys(name for group in groups for name in group if name != "n")
    found = {}
    for name in names:
        values = np.array([group[name] for group in groups if not math.isnan(group[name])])
        if len(values):
            found[name] = {
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
                "min": float(values.min()),
                "max": float(values.max()),
            }
    return found
