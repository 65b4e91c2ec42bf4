"""Turns of speakers: who speaks from when to when, as RTTM files and tables have it."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emocli.errors import TableError
from emocli.labels import EMOTIONS, SENTIMENTS, canonical_label
from emocli.table import FIRST, figure_of

_ALL_FIELDS = 10
_SPACED = re.compile(
    r"(SPEAKER)\s+(.+?)\s+(\d+)\s+([\d.]+)\s+([\d.]+)\s+(<NA>)\s+(<NA>)\s+(.+?)\s+(\S+)\s+(\S+)"
)
_RTTM_FIELDS = 8
"""Fields of an RTTM line up to the speaker's name; confidence and lookahead may be missing."""


@dataclass(frozen=True)
class Turn:
    """A stretch of time in which one person speaks.

    Attributes:
        file: the recording as the source of the turn names it; empty if it names none.
        start: seconds.
        end: seconds, after the start.
        speaker: name of the speaker; empty if the source has no room for one.
        text: what is said; empty if the source does not tell.
    """

    file: str
    start: float
    end: float
    speaker: str
    text: str = ""


class TurnReader:
    """Turns as they are read: a line that cannot be used costs that line and a remark.

    Args:
        name: what to call the source in an error.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._turns: list[Turn] = []
        self._faults: list[tuple[str, str]] = []

    def take(
        self,
        where: str,
        start: object,
        end: object,
        speaker: str,
        *,
        may_lack_speaker: bool = False,
        text: str = "",
        file: str = "",
    ) -> None:
        """Add a turn, or note why it is none.

        Args:
            where: of the line, for the remark.
            start: seconds, as the source has them.
            end: seconds, as the source has them.
            speaker: who speaks.
            may_lack_speaker: the source need not say who speaks.
            text: what is said.
            file: the recording, where the source names it.
        """
        times = []
        for given in (start, end):
            number = _seconds(given)
            if number is None:
                self.miss(f"{where} has the time {given!r}, expected seconds", "Correct it.")
                return
            times.append(number)
        if not 0 <= times[0] < times[1]:
            self.miss(
                f"{where} is a turn from {times[0]:g} to {times[1]:g} s, expected a start of at "
                f"least 0 and an end after it",
                "Correct the times.",
            )
        elif not speaker and not may_lack_speaker:
            self.miss(f"{where} has no speaker, expected a name", "Fill it in.")
        else:
            self._turns.append(Turn(file, times[0], times[1], speaker, text))

    def miss(self, fault: str, remedy: str) -> None:
        """Note why a line is no turn."""
        self._faults.append((fault, remedy))

    def turns(self) -> list[Turn]:
        """The turns that were found, at least one.

        Raises:
            TableError: there is none; says why the first line is none.
        """
        if self._turns:
            return self._turns
        if self._faults:
            fault, remedy = self._faults[0]
            raise TableError(f"{self._name}: {fault}. {remedy}")
        raise TableError(
            f"{self._name}: no turn of a speaker in it, expected at least one. "
            f"Check that it is RTTM or a table with speaker, start and end."
        )

    def remarks(self) -> list[str]:
        """Sentences on the lines that were left out, the first ten one by one."""
        told = [f"{self._name}: {fault}; left out." for fault, _ in self._faults[:FIRST]]
        if n_more := len(self._faults) - len(told):
            told.append(f"{self._name}: {n_more} more lines like these are left out.")
        return told


def _seconds(value: object) -> float | None:
    """A time as a number; None where it is none."""
    try:
        found = figure_of(value)
    except ValueError:
        return None
    return None if math.isnan(found) else found


def is_rttm(text: str) -> bool:
    """Whether a text is RTTM rather than a table: its first line that is no comment tells.

    Example:
        >>> is_rttm("SPEAKER a 1 0.0 1.5 <NA> <NA> anna <NA> <NA>"), is_rttm("speaker,start,end")
        (True, False)
    """
    first = next((line for line in _lines(text) if line[1]), (0, []))
    return len(first[1]) > 1 and first[1][0].isupper()


def parse_rttm(text: str, name: str) -> TurnReader:
    """Turns of an RTTM file; lines of other types than SPEAKER are passed over.

    In the place of the speaker emocli writes an emotion, after the speaker where there is one; the
    probability is in the place of the confidence then.

    Args:
        text: the content.
        name: what to call it in an error.

    Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan",
        appendix A.
    """
    found = TurnReader(name)
    for number, fields in _lines(text):
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            found.miss(
                f"line {number} has {len(fields)} fields, expected SPEAKER, file, channel, "
                f"start, duration, <NA>, <NA> and the speaker",
                "Correct the line.",
            )
            continue
        start, duration = (_seconds(one) for one in fields[3:5])
        given = fields[3] if start is None else fields[4]
        known = start is not None and duration is not None
        who, is_emotion = _speaker_of_field(fields[7], fields[8:9])
        found.take(
            f"line {number}",
            start if known else given,
            (start or 0) + (duration or 0),
            who,
            may_lack_speaker=is_emotion,
            file=fields[1],
        )
    return found


def _speaker_of_field(field: str, confidence: Sequence[str]) -> tuple[str, bool]:
    """The speaker in a field, and whether there is an emotion in it."""
    who, _, last = field.rpartition("/")
    scored = [one for one in confidence if one != "<NA>"]
    if scored and canonical_label(last) in (*EMOTIONS, *SENTIMENTS):
        return who, True
    return field, False


def _lines(text: str) -> Iterable[tuple[int, list[str]]]:
    """Number and fields of each line; comments have no fields, and names may have blanks."""
    for number, line in enumerate(text.splitlines(), start=1):
        fields = [] if line.startswith(";;") else line.split()
        if len(fields) > _ALL_FIELDS and (found := _SPACED.fullmatch(line.strip())):
            fields = list(found.groups())
        yield number, fields


def turns_of_columns(columns: Mapping[str, Sequence[Any]], name: str) -> TurnReader:
    """Turns of a table with ``speaker``, ``start`` and ``end``, and perhaps ``file``.

    Args:
        columns: values by column name.
        name: what to call the table in an error.

    Raises:
        TableError: a column is missing.
    """
    needed = ("speaker", "start", "end")
    missing = [key for key in needed if key not in columns]
    if missing:
        raise TableError(
            f"{name}: no column {' or '.join(missing)}, expected speaker, start, end and perhaps "
            f"file. Name the columns so, or give an RTTM file."
        )
    found = TurnReader(name)
    files = columns.get("file", [""] * len(columns["speaker"]))
    cells = zip(files, *(columns[key] for key in needed), strict=True)
    for number, (file, speaker, start, end) in enumerate(cells, start=1):
        found.take(f"row {number}", start, end, str(speaker or ""), file=str(file or ""))
    return found


def same_time_once(turns: Sequence[Turn]) -> list[Turn]:
    """Turns in order of time; those of exactly the same time, to a millisecond, are one.

    A table has one row for each stretch of a recording, so several speakers share it: their names
    are joined by ``+``.
    """
    together: dict[tuple[int, int], list[Turn]] = {}
    for turn in turns:
        together.setdefault((round(turn.start * 1000), round(turn.end * 1000)), []).append(turn)
    return [
        Turn(
            turns[0].file,
            start / 1000,
            end / 1000,
            "+".join(dict.fromkeys(one.speaker for one in same if one.speaker)),
            " ".join(dict.fromkeys(one.text for one in same if one.text)),
        )
        for (start, end), same in sorted(together.items())
    ]


def overlap_notes(turns: Sequence[Turn]) -> list[str]:
    """For each turn of one recording with whom and how long it overlaps, or nothing.

    Example:
        >>> overlap_notes([Turn("a", 0, 4, "anna"), Turn("a", 3, 6, "bob"), Turn("a", 6, 7, "eve")])
        ['overlaps bob (1.00 s)', 'overlaps anna (1.00 s)', '']
    """
    met: list[dict[str, float]] = [{} for _ in turns]
    order = sorted(range(len(turns)), key=lambda index: turns[index].start)
    for position, index in enumerate(order):
        for other in order[position + 1 :]:
            seconds = min(turns[index].end, turns[other].end) - turns[other].start
            if turns[other].start >= turns[index].end:
                break
            for one, two in ((index, other), (other, index)):
                name = turns[two].speaker
                met[one][name] = met[one].get(name, 0.0) + seconds
    return [
        f"overlaps {', '.join(f'{name} ({seconds:.2f} s)' for name, seconds in one.items())}"
        if one
        else ""
        for one in met
    ]
