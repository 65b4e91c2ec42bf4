"""Turns of speakers: who speaks from when to when, as RTTM files and tables have it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emocli.errors import TableError

_RTTM_FIELDS = 8
"""Fields of an RTTM line up to the speaker's name; confidence and lookahead may be missing."""


@dataclass(frozen=True)
class Turn:
    """A stretch of time in which one person speaks.

    Attributes:
        file: the recording as the source of the turn names it; empty if it names none.
        start: seconds.
        end: seconds, after the start.
        speaker: name of the speaker.
    """

    file: str
    start: float
    end: float
    speaker: str


def is_rttm(text: str) -> bool:
    """Whether a text is RTTM rather than a table: its first line that is no comment tells.

    Example:
        >>> is_rttm("SPEAKER a 1 0.0 1.5 <NA> <NA> anna <NA> <NA>"), is_rttm("speaker,start,end")
        (True, False)
    """
    first = next((line for line in _lines(text) if line[1]), (0, []))
    return len(first[1]) > 1 and first[1][0].isupper()


def parse_rttm(text: str, name: str) -> list[Turn]:
    """Turns of an RTTM file; lines of other types than SPEAKER are passed over.

    Args:
        text: the content.
        name: what to call it in an error.

    Raises:
        TableError: a line is damaged, or there is no turn at all.

    Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan",
        appendix A.
    """
    turns = []
    for number, fields in _lines(text):
        if not fields or fields[0] != "SPEAKER":
            continue
        if len(fields) < _RTTM_FIELDS:
            raise TableError(
                f"{name}: line {number} has {len(fields)} fields, expected SPEAKER, file, channel, "
                f"start, duration, <NA>, <NA> and the speaker. Correct the line."
            )
        start, duration = (_number(field, name, f"line {number}") for field in fields[3:5])
        turns.append(
            _checked(Turn(fields[1], start, start + duration, fields[7]), name, f"line {number}")
        )
    return _some(turns, name)


def _lines(text: str) -> Iterable[tuple[int, list[str]]]:
    """Number and fields of each line; comments have no fields."""
    for number, line in enumerate(text.splitlines(), start=1):
        yield number, [] if line.startswith(";;") else line.split()


def turns_of_columns(columns: Mapping[str, Sequence[Any]], name: str) -> list[Turn]:
    """Turns of a table with ``speaker``, ``start`` and ``end``, and perhaps ``file``.

    Args:
        columns: values by column name.
        name: what to call the table in an error.

    Raises:
        TableError: a column is missing, a value is no time, or there is no turn at all.
    """
    needed = ("speaker", "start", "end")
    missing = [key for key in needed if key not in columns]
    if missing:
        raise TableError(
            f"{name}: no column {' or '.join(missing)}, expected speaker, start, end and perhaps "
            f"file. Name the columns so, or give an RTTM file."
        )
    files = columns.get("file", [""] * len(columns["speaker"]))
    cells = zip(files, *(columns[key] for key in needed), strict=True)
    turns = []
    for number, (file, speaker, start, end) in enumerate(cells, start=1):
        where = f"row {number}"
        times = _number(start, name, where), _number(end, name, where)
        turn = Turn(str(file or "").replace("\\", "/"), *times, str(speaker or ""))
        turns.append(_checked(turn, name, where))
    return _some(turns, name)


def _number(value: Any, name: str, where: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise TableError(
            f"{name}: {where} has the time {value!r}, expected seconds. Correct it."
        ) from None
    return found


def _checked(turn: Turn, name: str, where: str) -> Turn:
    if not 0 <= turn.start < turn.end:
        raise TableError(
            f"{name}: {where} is a turn from {turn.start:g} to {turn.end:g} s, expected a start of "
            f"at least 0 and an end after it. Correct the times."
        )
    if not turn.speaker:
        raise TableError(f"{name}: {where} has no speaker, expected a name. Fill it in.")
    return turn


def _some(turns: list[Turn], name: str) -> list[Turn]:
    if not turns:
        raise TableError(
            f"{name}: no turn of a speaker in it, expected at least one. "
            f"Check that it is RTTM or a table with speaker, start and end."
        )
    return turns


def same_time_once(turns: Sequence[Turn]) -> list[Turn]:
    """Turns in order of time; those of exactly the same time, to a millisecond, are one.

    A table has one row for each stretch of a recording, so several speakers share it: their names
    are joined by ``+``.
    """
    speakers: dict[tuple[int, int], list[str]] = {}
    for turn in turns:
        times = (round(turn.start * 1000), round(turn.end * 1000))
        names = speakers.setdefault(times, [])
        if turn.speaker not in names:
            names.append(turn.speaker)
    file = turns[0].file if turns else ""
    return [
        Turn(file, start / 1000, end / 1000, "+".join(names))
        for (start, end), names in sorted(speakers.items())
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
