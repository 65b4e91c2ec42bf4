"""Turns of speakers in the files of other programs: Praat, ELAN, Audacity and subtitles.

They name no recording: whoever reads them knows which one they belong to.
"""

import html
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from emocli.errors import TableError
from emocli.labels import EMOTIONS, SENTIMENTS, canonical_label
from emocli.timeline.turns import TurnReader

_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_PRAAT_TOKENS = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_CLOCK = r"(?:\d+:)?\d{1,3}:\d{2}[,.]\d{1,3}"
_CUE = re.compile(rf"({_CLOCK})\s+-->\s+({_CLOCK})", re.ASCII)
_AUDACITY = re.compile(r"[\d.,]+\t[\d.,]+(\t|\r?\n|$)", re.ASCII)
_TAG = re.compile(r"\[([^\[\]]*)\]\s*(.*)", re.DOTALL)
_VOICE = re.compile(r"<v(?:\.\S*)?\s+([^>]+)>")
_NAME_BEFORE = re.compile(r"([^\W\d_][\w .'-]{0,40}):\s+(.+)", re.DOTALL)
_SAID = re.compile(r"(?:(?P<who>.+): )?(?P<label>.+?)(?P<share> \d{1,3}%)?", re.DOTALL)
_LANE = re.compile(r"(.+) \d+")


def form_of_annotation(text: str) -> str | None:
    r"""Which program's annotation a text is, a key of `PARSERS`; None where it is another's.

    Example:
        >>> form_of_annotation("0.000\t1.500\tsad\n"), form_of_annotation("file,start,end\n")
        ('audacity', None)
    """
    start = text[:4096].lstrip()
    if "ooTextFile" in start[:200]:
        return "textgrid"
    if "<ANNOTATION_DOCUMENT" in start:
        return "eaf"
    if start.startswith("WEBVTT") or _CUE.search(start[:200]):
        return "subtitles"
    return "audacity" if _AUDACITY.match(start) else None


def parse_textgrid(text: str, name: str) -> TurnReader:
    """Turns of a Praat TextGrid, in its long or its short form: what is not empty in a tier.

    A tier is a speaker; tiers of points have no turns.

    Args:
        text: the content.
        name: what to call it in an error.

    Raises:
        TableError: it breaks off, or is not a TextGrid.
    """
    found = TurnReader(name)
    tokens = iter(_praat_tokens(text))
    names: list[str] = []
    spans: list[tuple[str, str, str, str]] = []
    try:
        if [next(tokens), next(tokens)] != ["ooTextFile", "TextGrid"]:
            raise TableError(
                f"{name}: a file of Praat that is no TextGrid, expected turns of speakers. "
                f"Save the TextGrid."
            )
        _, _, _, n_tiers = (next(tokens) for _ in range(4))
        for _ in range(int(n_tiers)):
            kind, tier, _, _, n_marks = (next(tokens) for _ in range(5))
            names.append(tier)
            for _ in range(int(n_marks)):
                if kind == "IntervalTier":
                    spans.append((tier, next(tokens), next(tokens), next(tokens)))
                else:
                    next(tokens), next(tokens)
    except (StopIteration, RuntimeError, ValueError):
        raise TableError(
            f"{name}: this TextGrid breaks off or is not as Praat writes it, expected whole tiers. "
            f"Save it again."
        ) from None
    for number, (tier, start, end, said) in enumerate(spans, start=1):
        if said.strip():
            found.take(f"interval {number}", start, end, _speaker_of_tier(tier, names))
    return found


def _praat_tokens(text: str) -> list[str]:
    """Texts and free-standing numbers and flags; Praat passes over everything else."""
    return [
        quoted.replace('""', '"') if word == "" else word
        for quoted, word in _PRAAT_TOKENS.findall(text)
        if word == "" or _NUMBER.fullmatch(word) or word.startswith("<")
    ]


def _speaker_of_tier(tier: str, names: list[str]) -> str:
    """The speaker of a tier; where marks overlap, emocli puts some into a tier ``anna 2``."""
    lane = _LANE.fullmatch(tier)
    return lane[1] if lane and lane[1] in names else tier


def parse_eaf(text: str, name: str) -> TurnReader:
    """Turns of an ELAN file: what is aligned with time in the tiers that depend on no other.

    The speaker is a tier's participant, else its name.

    Args:
        text: the content.
        name: what to call it in an error.

    Raises:
        TableError: it is damaged.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # ELAN writes none, and they may be bombs
        raise TableError(
            f"{name}: XML with definitions of its own, expected what ELAN writes. Save it again."
        )
    try:
        root = ElementTree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except (ElementTree.ParseError, ValueError) as error:
        raise TableError(
            f"{name}: damaged XML ({error}), expected an ELAN file. Save it again."
        ) from None
    found = TurnReader(name)
    slots = {one.get("TIME_SLOT_ID"): one.get("TIME_VALUE") for one in root.iter("TIME_SLOT")}
    tiers = [one for one in root.iter("TIER") if not one.get("PARENT_REF")]
    names = [one.get("TIER_ID") or "" for one in tiers]
    for tier in tiers:
        who = tier.get("PARTICIPANT") or _speaker_of_tier(tier.get("TIER_ID") or "", names)
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            ends = (slots.get(one.get(f"TIME_SLOT_REF{index}")) for index in (1, 2))
            start, end = (_in_seconds(end) for end in ends)
            found.take(f"annotation {one.get('ANNOTATION_ID')}", start, end, who)
    return found


def _in_seconds(milliseconds: str | None) -> object:
    if milliseconds is None or not milliseconds.isdecimal():
        return milliseconds
    return float(milliseconds) / 1000


def parse_audacity(text: str, name: str) -> TurnReader:
    """Turns of Audacity's label track: start, end and label between tabs; the label is who speaks.

    Args:
        text: the content.
        name: what to call it in an error.
    """
    found = TurnReader(name)
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("\\"):  # a range of frequencies
            continue
        start, end, label = (*line.split("\t", 2), "", "")[:3]
        who, is_emotion = speaker_in(label)
        start, end = (one.replace(",", ".") for one in (start, end))
        speaker = who if is_emotion else label.strip()
        found.take(f"line {number}", start, end, speaker, may_lack_speaker=is_emotion)
    return found


def parse_subtitles(text: str, name: str) -> TurnReader:
    """Turns of SRT or WebVTT: the text of each cue, and who speaks where that is written.

    Args:
        text: the content.
        name: what to call it in an error.
    """
    found = TurnReader(name)
    for number, block in enumerate(re.split(r"(?:\r?\n){2,}", text), start=1):
        cue = _CUE.search(block)
        if cue is None:
            continue
        said = " ".join(block[cue.end() :].split("\n", 1)[1:]).strip()
        who, words = _speaker_and_words(" ".join(said.split()))
        start, end = (_seconds_of_clock(one) for one in cue.groups())
        found.take(f"cue {number}", start, end, who, may_lack_speaker=True, text=words)
    return found


def _seconds_of_clock(clock: str) -> float:
    *hours, minutes, seconds = clock.replace(",", ".").split(":")
    return int(*hours or ("0",)) * 3600 + int(minutes) * 60 + float(seconds)


def _speaker_and_words(said: str) -> tuple[str, str]:
    """Who speaks in a cue, and what is said there."""
    if voice := _VOICE.match(said):
        return html.unescape(voice[1].strip()), _plain(said[voice.end() :])
    said = _plain(said)
    if tag := _TAG.fullmatch(said):
        who, is_emotion = speaker_in(tag[1])
        if is_emotion:
            return who, tag[2]
    who, is_emotion = speaker_in(said)
    if is_emotion:
        return who, ""
    named = _NAME_BEFORE.fullmatch(said)
    return (named[1], named[2]) if named else ("", said)


def _plain(said: str) -> str:
    return html.unescape(re.sub(r"<[^<>]*>", "", said)).strip()


def speaker_in(said: str) -> tuple[str, bool]:
    """Who speaks by a label of emocli, and whether it is one: an emotion, or with a percentage.

    Example:
        >>> speaker_in("anna: sad 80%"), speaker_in("sad"), speaker_in("bob")
        (('anna', True), ('', True), ('', False))
    """
    found = _SAID.fullmatch(said.strip())
    if found is None:
        return "", False
    known = canonical_label(found["label"]) in (*EMOTIONS, *SENTIMENTS)
    return (found["who"] or "", True) if known or found["share"] else ("", False)


PARSERS: Mapping[str, Callable[[str, str], TurnReader]] = {
    "textgrid": parse_textgrid,
    "eaf": parse_eaf,
    "audacity": parse_audacity,
    "subtitles": parse_subtitles,
}
"""By what `form_of_annotation` says."""
