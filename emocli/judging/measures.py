"""How something is said, as numbers with a word: low, medium or high beside others of its kind."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from emocli.errors import JudgeError
from emocli.schema import Fields

FORMAT = "emocli sound terciles"
VERSION = 2
FEWEST = 3
"""Utterances from which on thirds mean anything."""
FEWEST_OF_A_SPEAKER = 12
"""Utterances from which on a speaker is compared with nobody else: four in each third."""
_SEXES = {
    **dict.fromkeys(("f", "female", "woman", "w"), "female"),
    **dict.fromkeys(("m", "male", "man"), "male"),
}


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


@dataclass(frozen=True)
class Reference:
    """What low and high mean: beside everyone, beside one sex, and beside a speaker's own.

    Attributes:
        everyone: of all utterances.
        by_sex: of those whose speaker's sex is known, see `sex_of`.
        by_speaker: of speakers with enough utterances; not part of what is saved.
    """

    everyone: Terciles
    by_sex: Mapping[str, Terciles] = field(default_factory=dict)
    by_speaker: Mapping[str, Terciles] = field(default_factory=dict)

    def beside(self, speaker: str, sex: str) -> tuple[Terciles, str]:
        """The terciles for an utterance, and in words whose they are.

        Args:
            speaker: who speaks; empty where that is not known.
            sex: as `sex_of` gives it.
        """
        if speaker in self.by_speaker:
            return self.by_speaker[speaker], "this speaker's other utterances"
        if sex in self.by_sex:
            return self.by_sex[sex], f"{sex} speakers"
        return self.everyone, "all speakers" if self.everyone.ends else ""


def sex_of(text: str) -> str:
    """``female`` or ``male`` as tables write it in one way or another; else the text itself.

    Example:
        >>> sex_of("F"), sex_of("Man"), sex_of(""), sex_of("Diverse")
        ('female', 'male', '', 'diverse')
    """
    known = text.strip().casefold()
    return _SEXES.get(known, known)


def reference_of(
    measured: Sequence[Measured], speakers: Sequence[str], sexes: Sequence[str]
) -> Reference:
    """The terciles of utterances.

    Args:
        measured: of each utterance.
        speakers: of each; empty where that is not known.
        sexes: of each, as `sex_of` gives it.
    """
    return Reference(
        terciles_of(measured),
        _by_group(measured, sexes, FEWEST),
        _by_group(measured, speakers, FEWEST_OF_A_SPEAKER),
    )


def _by_group(
    measured: Sequence[Measured], groups: Sequence[str], fewest: int
) -> dict[str, Terciles]:
    members: dict[str, list[Measured]] = {}
    for one, group in zip(measured, groups, strict=True):
        if group:
            members.setdefault(group, []).append(one)
    return {group: terciles_of(own) for group, own in members.items() if len(own) >= fewest}


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


def dump_reference(reference: Reference) -> str:
    """A reference as JSON, without what is known of single speakers."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "measures": _plain(reference.everyone),
        "by_sex": {sex: _plain(terciles) for sex, terciles in reference.by_sex.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def _plain(terciles: Terciles) -> dict[str, dict[str, float]]:
    return {name: {"low": low, "high": high} for name, (low, high) in terciles.ends.items()}


def parse_reference(text: str, name: str) -> Reference:
    """A reference from what `dump_reference` made.

    Args:
        text: JSON.
        name: what to call it in an error.

    Raises:
        JudgeError: it is something else.
    """
    fields = _TercileFields.parse(text, name)
    fields.constant("format", FORMAT)
    fields.constant("version", VERSION)
    by_sex = fields.values.get("by_sex")
    if not isinstance(by_sex, dict):
        raise JudgeError(_damaged(name))
    return Reference(
        _terciles(fields.values.get("measures"), name),
        {sex: _terciles(found, name) for sex, found in by_sex.items()},
    )


def _terciles(found: object, name: str) -> Terciles:
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
