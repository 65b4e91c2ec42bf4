"""Timelines of emotions for other programs: RTTM, Audacity, Praat, ELAN and subtitles."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from pathlib import PurePosixPath
from urllib.parse import quote_from_bytes
from xml.sax.saxutils import escape, quoteattr

from emocli.subtitles import clock
from emocli.table import PROBABILITY_PREFIX, PredictionTable
from emocli.timeline.tables import meet

FORMATS = ("rttm", "audacity", "textgrid", "eaf", "srt")
SUFFIXES = {
    **{"rttm": ".rttm", "audacity": ".txt", "textgrid": ".TextGrid", "eaf": ".eaf"},
    "srt": ".srt",
}
"""The ending that each program looks for."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording and its emotion.

    Attributes:
        start: seconds.
        end: seconds.
        label: its emotion; empty for none, which only Praat gets to see.
        probability: of the label, NaN where it is not known.
        speaker: who speaks; empty if that is not known.
        text: what is said; empty if that is not known.
        model: who says that it is this emotion.
    """

    start: float
    end: float
    label: str
    probability: float = nan
    speaker: str = ""
    text: str = ""
    model: str = ""


def marks_of(table: PredictionTable) -> dict[str, list[Mark]]:
    """The marks of each recording in a table, with one row a window, segment, turn or file.

    Windows that overlap are cut to where they meet. Rows with an error or without times have no
    mark; a recording that has no other rows is left out.
    """
    probs = {name: table[PROBABILITY_PREFIX + name] for name in table.labels}
    marks: dict[str, list[Mark]] = {}
    for index, row in enumerate(meet(table).rows()):
        start, end = row.get("start", nan), row.get("end", nan)
        if row.get("error") or isnan(start) or isnan(end):
            continue
        label = row.get("label", "")
        one = Mark(
            start,
            end,
            label,
            float(probs[label][index]) if label in probs else nan,
            *(row.get(name, "") for name in ("speaker", "text", "model")),
        )
        marks.setdefault(row["file"], []).append(one)
    return marks


def label_track(marks: Sequence[Mark], form: str, file: str, seconds: float = 0.0) -> str:
    r"""The marks of one recording as the content of a file.

    Args:
        marks: in any order.
        form: one of `FORMATS`.
        file: the recording, which RTTM names without folder and ending.
        seconds: where it ends, which Praat compares; where the last mark ends if that is later.

    Example:
        >>> label_track([Mark(0, 2.5, "sad", 0.8, "anna")], "rttm", "b/a.wav")
        'SPEAKER a 1 0.000 2.500 <NA> <NA> anna/sad 0.8000 <NA>\n'
    """
    ordered = sorted(marks, key=lambda one: (one.start, one.end))
    if form == "textgrid":
        return _textgrid(ordered, seconds)
    if form == "eaf":
        return _eaf(ordered, file)
    return _WRITERS[form]([one for one in ordered if one.label], file)


def _rttm(marks: Sequence[Mark], file: str) -> str:
    """RTTM with the emotion, after the speaker if there is one, where RTTM has the speaker."""
    name = rttm_name(PurePosixPath(file).stem)
    return "".join(
        f"SPEAKER {name} 1 {one.start:.3f} {one.end - one.start:.3f} <NA> <NA> "
        f"{rttm_name('/'.join(filter(None, (one.speaker, one.label))))} {_probability(one)} <NA>\n"
        for one in marks
    )


def rttm_name(text: str) -> str:
    """A text as a field of RTTM, which blanks would end.

    Example:
        >>> rttm_name("my call (2)")
        'my_call_(2)'
    """
    return re.sub(r"\s+", "_", text)


def _probability(mark: Mark) -> str:
    return "<NA>" if isnan(mark.probability) else f"{mark.probability:.4f}"


def _audacity(marks: Sequence[Mark], file: str) -> str:
    """Audacity's label track: start, end and label between tabs."""
    return "".join(f"{one.start:.3f}\t{one.end:.3f}\t{_said(one)}\n" for one in marks)


def _srt(marks: Sequence[Mark], file: str) -> str:
    return "".join(
        f"{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{_subtitle(one)}\n\n"
        for number, one in enumerate(marks, start=1)
    )


def _subtitle(mark: Mark) -> str:
    """The emotion in brackets before what is said, or alone."""
    # An arrow of its own would end a cue's line of times.
    text = " ".join(mark.text.split()).replace("-->", "->")
    return f"[{_said(mark)}] {text}" if text else _said(mark)


def _said(mark: Mark) -> str:
    """Speaker, emotion and its probability in words."""
    who = f"{' '.join(mark.speaker.split())}: " if mark.speaker.strip() else ""
    known = not isnan(mark.probability)
    return f"{who}{mark.label}" + (f" {mark.probability:.0%}" if known else "")


def _textgrid(marks: Sequence[Mark], seconds: float) -> str:
    """Praat's TextGrid: a tier for each speaker and model, and more where marks overlap."""
    tiers = _tiers([one for one in marks if one.label]) or [("emotion", [])]
    last = max([seconds, *(one.end for one in marks)])
    head = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0 \nxmax = {last:.3f} \ntiers? <exists> \nsize = {len(tiers)} \nitem []: \n"
    )
    return head + "".join(
        _tier(number, name, _filled(tier, last))
        for number, (name, tier) in enumerate(tiers, start=1)
    )


def _tiers(marks: Sequence[Mark]) -> list[tuple[str, list[Mark]]]:
    """Marks that follow one another, by the name of a tier; Praat allows no overlap in it."""
    models = {one.model for one in marks}
    tiers: dict[str, list[list[Mark]]] = {}
    for one in marks:
        parts = (one.speaker, one.model if len(models) > 1 else "")
        lanes = tiers.setdefault(" ".join(filter(None, parts)) or "emotion", [])
        free = next((lane for lane in lanes if round(lane[-1].end - one.start, 3) <= 0), None)
        if free is None:
            lanes.append([one])
        else:
            free.append(one)
    return [
        (f"{name} {number}" if number > 1 else name, lane)
        for name, lanes in tiers.items()
        for number, lane in enumerate(lanes, start=1)
    ]


def _filled(marks: Sequence[Mark], last: float) -> list[Mark]:
    """Marks that tile the time from 0 to the end, with empty ones in between."""
    filled: list[Mark] = []
    at = 0.0
    for one in marks:
        if round(one.start - at, 3) > 0:
            filled.append(Mark(at, one.start, ""))
        filled.append(replace(one, start=at if round(one.start - at, 3) <= 0 else one.start))
        at = one.end
    if round(last - at, 3) > 0:
        filled.append(Mark(at, last, ""))
    return filled


def _tier(number: int, name: str, marks: Sequence[Mark]) -> str:
    last = marks[-1].end
    head = (
        f'    item [{number}]:\n        class = "IntervalTier" \n        name = {_quoted(name)} \n'
        f"        xmin = 0 \n        xmax = {last:.3f} \n"
        f"        intervals: size = {len(marks)} \n"
    )
    return head + "".join(
        f"        intervals [{index}]:\n            xmin = {one.start:.3f} \n"
        f"            xmax = {one.end:.3f} \n            text = {_quoted(one.label)} \n"
        for index, one in enumerate(marks, start=1)
    )


def _quoted(text: str) -> str:
    """A text as Praat writes it, with quotes doubled."""
    return '"' + " ".join(text.split()).replace('"', '""') + '"'


_EAF_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="emocli" DATE="1970-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE={mime} RELATIVE_MEDIA_URL={relative}/>
  </HEADER>
"""
# The date is required; one that does not change lets the same predictions give the same bytes.

_EAF_TAIL = """  <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="emotion" \
TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""


def _eaf(marks: Sequence[Mark], file: str) -> str:
    """ELAN's annotations: a tier for each speaker and model, and more where marks overlap.

    Source: H. Sloetjes and A. Somasundaram, "ELAN Annotation Format", EAF 3.0.
    """
    name = PurePosixPath(file).name
    mime = "audio/x-wav" if name.lower().endswith(".wav") else "unknown"
    quoted = (quoteattr(_xml(one)) for one in (_url(name), mime, f"./{_url(name)}"))
    head = _EAF_HEAD.format(**dict(zip(("url", "mime", "relative"), quoted, strict=True)))
    slots, tiers, n_marks = [], [], 0
    for tier, lane in _tiers([one for one in marks if one.label]) or [("emotion", [])]:
        speaker = lane[0].speaker if lane else ""
        who = f" PARTICIPANT={quoteattr(_xml(speaker))}" if speaker else ""
        identity = f"{who} TIER_ID={quoteattr(_xml(tier))}"
        tiers.append(f'  <TIER LINGUISTIC_TYPE_REF="emotion"{identity}>\n')
        for one in lane:
            n_marks += 1
            ends = (f"ts{2 * n_marks - 1}", f"ts{2 * n_marks}")
            slots += [
                f'    <TIME_SLOT TIME_SLOT_ID="{slot}" TIME_VALUE="{round(seconds * 1000)}"/>\n'
                for slot, seconds in zip(ends, (one.start, one.end), strict=True)
            ]
            tiers.append(
                f'    <ANNOTATION>\n      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n_marks}" '
                f'TIME_SLOT_REF1="{ends[0]}" TIME_SLOT_REF2="{ends[1]}">\n'
                f"        <ANNOTATION_VALUE>{escape(_xml(one.label))}</ANNOTATION_VALUE>\n"
                f"      </ALIGNABLE_ANNOTATION>\n    </ANNOTATION>\n"
            )
        tiers.append("  </TIER>\n")
    order = f"  <TIME_ORDER>\n{''.join(slots)}  </TIME_ORDER>\n"
    return f"{head}{order}{''.join(tiers)}{_EAF_TAIL}"


def _url(name: str) -> str:
    return quote_from_bytes(name.encode("utf-8", "surrogateescape"))


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    """A text in one line without the characters that XML has no way to write."""
    return _NOT_XML.sub("\ufffd", " ".join(text.split()))


_WRITERS = {"rttm": _rttm, "audacity": _audacity, "srt": _srt}
