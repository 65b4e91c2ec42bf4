"""How something is said, as numbers with a word: low, medium or high beside others of its kind."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emocli.errors import JudgeError
from emocli.schema import Fields

FORMAT = "emocli sound terciles"
VERSION = 1
FEWEST = 3
"""Utterances from which on thirds mean anything."""


@dataclass(frozen=True)
class Measure:
    """Something that is measured of an utterance.

    Attributes:
        name: what the judge is told that it is.
        unit: behind the number, with a blank where one belongs.
        digits: after the point.
    """

    name: str
    unit: str
    digits: int


MEASURES: Mapping[str, Measure] = {
    "duration_seconds": Measure("duration", " s", 2),
    "peak": Measure("peak amplitude", " of full scale", 3),
    "rms": Measure("RMS amplitude", " of full scale", 4),
    "loudness_dbfs": Measure("loudness", " dBFS", 1),
    "pitch_median_hz": Measure("median pitch", " Hz", 0),
    "pitch_range_hz": Measure("pitch range, 5th to 95th percentile", " Hz", 0),
    "words_per_second": Measure("speaking rate", " words per second", 2),
}
"""What the judge is told of the sound, by its name in `emocli.audio.prosody`."""

Measured = Mapping[str, float]
"""Values by the names in `MEASURES`; NaN where there is nothing to measure."""


@dataclass(frozen=True)
class Terciles:
    """Where the lower and the upper third of each measure end.

    Attributes:
        ends: two values by measure; measures of fewer than three utterances have none.
    """

    ends: Mapping[str, tuple[float, float]]

    def word(self, name: str, value: float) -> str:
        """low, medium or high; ``""`` where that is not known."""
        if name not in self.ends or math.isnan(value):
            return ""
        low, high = self.ends[name]
        return "low" if value < low else "high" if value > high else "medium"


def terciles_of(measured: Sequence[Measured]) -> Terciles:
    """Terciles of utterances, each measure from those that have it."""
    ends = {}
    for name in MEASURES:
        values = [one[name] for one in measured if math.isfinite(one.get(name, math.nan))]
        if len(values) >= FEWEST:
            low, high = np.quantile(values, (1 / 3, 2 / 3)).tolist()
            ends[name] = (low, high)
    return Terciles(ends)


def describe(measured: Measured | None, terciles: Terciles) -> dict[str, str] | str:
    """The sound of an utterance in words.

    Args:
        measured: values by measure; None where the recording could not be read.
        terciles: what low and high mean.

    Returns:
        A number with its unit and a word by measure, or a sentence that there is none.

    Example:
        >>> describe({"peak": 0.5, "rms": float("nan")}, Terciles({"peak": (0.1, 0.3)}))
        {'peak amplitude': '0.500 of full scale (high)'}
    """
    told = dict(_told(measured or {}, terciles))
    return told or "not measured"


def _told(measured: Measured, terciles: Terciles) -> Iterable[tuple[str, str]]:
    for name, measure in MEASURES.items():
        value = measured.get(name, math.nan)
        if math.isfinite(value):
            word = terciles.word(name, value)
            figure = f"{value:.{measure.digits}f}{measure.unit}"
            yield measure.name, f"{figure} ({word})" if word else figure


class _TercileFields(Fields):
    """A saved reference, read field by field."""

    error: ClassVar[type[JudgeError]] = JudgeError
    kind: ClassVar[str] = "reference"
    writer: ClassVar[str] = "emocli judge --save-reference"


def dump_terciles(terciles: Terciles) -> str:
    """Terciles as JSON."""
    ends = {name: {"low": low, "high": high} for name, (low, high) in terciles.ends.items()}
    return json.dumps({"format": FORMAT, "version": VERSION, "measures": ends}, indent=2) + "\n"


def parse_terciles(text: str, name: str) -> Terciles:
    """Terciles from what `dump_terciles` made.

    Args:
        text: JSON.
        name: what to call it in an error.

    Raises:
        JudgeError: it is something else.
    """
    fields = _TercileFields.parse(text, name)
    fields.constant("format", FORMAT)
    fields.constant("version", VERSION)
    found = fields.values.get("measures")
    if not isinstance(found, dict):
        raise JudgeError(_damaged(name))
    return Terciles({key: _ends(key, value, name) for key, value in found.items()})


def _ends(key: str, value: object, name: str) -> tuple[float, float]:
    ends = [value.get(end) for end in ("low", "high")] if isinstance(value, dict) else []
    numbers = [float(end) for end in ends if isinstance(end, (int, float)) and math.isfinite(end)]
    if key not in MEASURES or len(numbers) != 2 or numbers[0] > numbers[1]:
        raise JudgeError(_damaged(name))
    return numbers[0], numbers[1]


def _damaged(name: str) -> str:
    return (
        f"{name}: not the ends of the lower and the upper third of {', '.join(MEASURES)}, expected "
        f"what emocli judge --save-reference wrote. Save the reference again."
    )
