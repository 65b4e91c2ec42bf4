"""Calibrations as readable JSON.

Every number of a map stands beside the label that it belongs to. Nothing is guessed, filled in or
ignored on reading.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from emocli.calibration.average import Average
from emocli.calibration.beta import Beta
from emocli.calibration.conformal import LabelSets, SetRule
from emocli.calibration.fitting import MAPS, Map
from emocli.calibration.isotonic import Curve, Isotonic
from emocli.calibration.tables import Calibration
from emocli.calibration.temperature import Temperature
from emocli.calibration.vector import VectorScaling
from emocli.errors import CalibrationError
from emocli.schema import Fields, is_number

FORMAT = "emocli-calibration"
VERSION = 1
_MEMBERS: Mapping[str, type[Map]] = {
    "temperature": Temperature,
    "vector": VectorScaling,
    "isotonic": Isotonic,
    "beta": Beta,
}


class CalibrationFields(Fields):
    """A JSON object of a calibration that is read field by field."""

    error = CalibrationError
    kind = "calibration"
    writer = "emocli calibrate -o"

    def share(self, key: str) -> float:
        """A number above 0 and below 1."""

        def is_right(value: Any) -> bool:
            return is_number(value) and 0 < value < 1

        return float(self._checked(key, is_right, "a number above 0 and below 1"))

    def rising(self, key: str, *, strictly: bool) -> tuple[float, ...]:
        """A list of probabilities in rising order."""

        def is_right(values: Any) -> bool:
            if not isinstance(values, list) or not values or not all(map(_is_share, values)):
                return False
            if not strictly and values[0] <= 0:
                return False
            return all(a < b if strictly else a <= b for a, b in pairwise(values))

        kind = "rising probabilities" if strictly else "probabilities above 0 that do not fall"
        return tuple(map(float, self._checked(key, is_right, kind)))

    def inner_or_null(self, key: str) -> "CalibrationFields | None":
        """An object, or nothing."""
        found = self._checked(key, lambda v: isinstance(v, dict | None), "an object or null")
        return None if found is None else self.inner(key)

    def threshold(self, key: str) -> float:
        """A number from 0 on, or null for infinity."""

        def is_right(value: Any) -> bool:
            return value is None or (is_number(value) and value >= 0)

        value = self._checked(key, is_right, "a number from 0 on or null")
        return math.inf if value is None else float(value)


def dump_calibration(calibration: Calibration) -> str:
    """A calibration as JSON text."""
    from importlib.metadata import version

    content = {
        "format": FORMAT,
        "version": VERSION,
        "emocli": version("emocli"),
        "method": calibration.method,
        "model": calibration.model,
        "labels": list(calibration.labels),
        "n_fitted": calibration.n_fitted,
        "map": _dump_map(calibration.map, calibration.labels),
        "sets": _dump_sets(calibration.sets, calibration.labels),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load_calibration(text: str, name: str) -> Calibration:
    """The calibration that `dump_calibration` wrote.

    Args:
        text: JSON.
        name: what to call it in an error.

    Raises:
        CalibrationError: anything about it is not as it was written; the sentence names the field.
    """
    fields = CalibrationFields.parse(text, name)
    fields.constant("format", FORMAT)
    fields.constant("version", VERSION)
    fields.text("emocli")
    method = fields.choice("method", tuple(MAPS))
    labels = fields.names("labels", ())
    if len(labels) < 2:
        fields.refuse("labels", "two or more labels")
    found = Calibration(
        labels=labels,
        model=fields.text("model"),
        map=_LOADERS[method](fields.inner("map"), labels),
        sets=_load_sets(fields, labels),
        n_fitted=fields.count("n_fitted"),
    )
    fields.nothing_else()
    return found


def _dump_map(given: Map, labels: Sequence[str]) -> dict[str, Any]:
    if isinstance(given, Temperature):
        return {"temperature": given.temperature}
    if isinstance(given, VectorScaling):
        return {
            "scales": dict(zip(labels, given.scales, strict=True)),
            "biases": dict(zip(labels, given.biases, strict=True)),
        }
    if isinstance(given, Isotonic):
        return {
            label: {"x": list(curve.x), "y": list(curve.y)}
            for label, curve in zip(labels, given.curves, strict=True)
        }
    if isinstance(given, Beta):
        return {
            label: dict(zip("abc", curve, strict=True))
            for label, curve in zip(labels, given.curves, strict=True)
        }
    return {name: _dump_map(getattr(given, name), labels) for name in _MEMBERS}


def _load_temperature(fields: CalibrationFields, labels: Sequence[str]) -> Temperature:
    found = Temperature(fields.number("temperature", 0.0, open_=True))
    fields.nothing_else()
    return found


def _load_vector(fields: CalibrationFields, labels: Sequence[str]) -> VectorScaling:
    scales, biases = fields.members("scales", labels), fields.members("biases", labels)
    fields.nothing_else()
    return VectorScaling(
        tuple(scales.number(label, 0.0, open_=True) for label in labels),
        tuple(biases.number(label) for label in labels),
    )


def _load_isotonic(fields: CalibrationFields, labels: Sequence[str]) -> Isotonic:
    curves = []
    for label in labels:
        points = fields.members(label, ("x", "y"))
        x, y = points.rising("x", strictly=True), points.rising("y", strictly=False)
        if len(x) != len(y):
            points.refuse("y", f"as many numbers as x, {len(x)}", f"{len(y)} numbers")
        curves.append(Curve(x, y))
    fields.nothing_else()
    return Isotonic(tuple(curves))


def _load_beta(fields: CalibrationFields, labels: Sequence[str]) -> Beta:
    curves = []
    for label in labels:
        curve = fields.members(label, ("a", "b", "c"))
        curves.append((curve.number("a", 0.0), curve.number("b", 0.0), curve.number("c")))
    fields.nothing_else()
    return Beta(tuple(curves))


def _load_average(fields: CalibrationFields, labels: Sequence[str]) -> Average:
    found = Average(
        _load_temperature(fields.inner("temperature"), labels),
        _load_vector(fields.inner("vector"), labels),
        _load_isotonic(fields.inner("isotonic"), labels),
        _load_beta(fields.inner("beta"), labels),
    )
    fields.nothing_else()
    return found


_LOADERS: Mapping[str, Callable[[CalibrationFields, Sequence[str]], Map]] = {
    "temperature": _load_temperature,
    "vector": _load_vector,
    "isotonic": _load_isotonic,
    "beta": _load_beta,
    "mean": _load_average,
}


def _dump_sets(sets: LabelSets | None, labels: Sequence[str]) -> dict[str, Any] | None:
    if sets is None:
        return None
    return {
        "coverage": sets.rule.coverage,
        "adaptive": sets.rule.adaptive,
        "penalty": sets.rule.penalty,
        "per_class": sets.rule.per_class,
        "thresholds": {
            label: threshold if math.isfinite(threshold) else None
            for label, threshold in zip(labels, sets.thresholds, strict=True)
        },
    }


def _load_sets(fields: CalibrationFields, labels: Sequence[str]) -> LabelSets | None:
    sets = fields.inner_or_null("sets")
    if sets is None:
        return None
    rule = SetRule(
        coverage=sets.share("coverage"),
        adaptive=sets.flag("adaptive"),
        penalty=sets.number("penalty", 0.0),
        per_class=sets.flag("per_class"),
    )
    thresholds = sets.members("thresholds", labels)
    sets.nothing_else()
    return LabelSets(rule, tuple(thresholds.threshold(label) for label in labels))


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1
