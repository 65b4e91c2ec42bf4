"""What a judge's answer says, if it is an answer at all."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from emocli.judging.prompt import LONGEST_REASON

_LONGEST_REPLY = 20_000
"""Characters at the end of a reply that are looked at; an opinion has a few hundred."""
_MOST_STARTS = 50
"""Opening braces of a reply at which an object is looked for."""
_LONGEST_QUOTE = 60
_THOUGHTS = re.compile(
    r"\A.*(?:</(?:think|thinking|thought|thoughts|reasoning|reflection|analysis)>"
    r"|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>)",
    re.DOTALL | re.IGNORECASE,
)
"""What models think aloud. The opening tag may be part of the prompt and so not of the reply."""
_THOUGHTS_BEGIN = re.compile(
    r"<(?:think|thinking|thought|thoughts|reasoning|reflection|analysis)>"
    r"|\[THINK\]|◁think▷|<\|channel\|>analysis",
    re.IGNORECASE,
)
_AT_THE_END = re.compile(r"[\s`~*.)}\]]*(?:<[^<>]{1,20}>[\s`]*)*")
"""What may stand behind an object that ends a reply: fences, brackets and marks."""
_UNFINISHED = re.compile(r"\{\s*[\"']?label", re.IGNORECASE)
_FLAT_OBJECT = re.compile(r"\{[^{}]*\}")
_LOOSE = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")"""
    r"|'(?P<single>(?:[^'\\]|\\.)*)'(?=\s*[:,}])"
    r"|(?<=[{,])(?P<gap>\s*)(?P<name>[A-Za-z_]+)(?=\s*:)"
    r"|,(?=\s*\})",
    re.DOTALL,
)
"""Texts, and what JavaScript and Python write otherwise than JSON."""
_PERCENT = re.compile(r"\d+(?:\.\d+)?\s*%")


class Fault(StrEnum):
    """Why there is no opinion."""

    REFUSED = "refused"
    MALFORMED = "malformed"
    OFF_LIST = "off-list"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True)
class Unusable:
    """An answer that is no opinion.

    Attributes:
        fault: which kind of none it is.
        why: in a few words.
    """

    fault: Fault
    why: str = ""


@dataclass(frozen=True)
class Opinion:
    """What the judge makes of an utterance.

    Attributes:
        label: one of the labels that were allowed.
        confidence: from 0 to 1.
        reason: one line of printable text, at most 300 characters.
    """

    label: str
    confidence: float
    reason: str


def parse_reply(text: str, labels: Sequence[str], spoken: str = "") -> Opinion | Unusable:
    """The opinion in a reply, or what is wrong with it.

    The reply has to hold exactly one JSON object with a label; quotation marks, names of fields
    and a last comma may be those of Python or JavaScript. Thoughts before it, words and code
    fences around it and further fields of it are passed over. Nothing is guessed: a confidence of
    85 is none (``"85%"`` and ``"0.85"`` are), of two different objects neither counts, nor does
    one within thoughts that go on behind it, or one that was spoken and is only repeated.

    Args:
        text: of the reply.
        labels: what was allowed.
        spoken: the transcripts that the judge has read.
    """
    try:
        fields = _review_in(text.strip().lstrip("\ufeff"))
        if any(one == fields for one, _ in _objects(spoken) + _loose_objects(spoken)):
            raise _MalformedReply("the reply repeats a JSON object of the transcript")
        label = _label(fields)
        confidence = _confidence(fields)
        reason = fields.get("reason", "")
        if not isinstance(reason, str):
            raise _MalformedReply(f"its reason is {_quote(reason)}, expected text")
    except _MalformedReply as error:
        return Unusable(Fault.MALFORMED, str(error))
    known = {name.casefold(): name for name in labels}
    name = known.get(label.casefold())
    if name is None:
        return Unusable(Fault.OFF_LIST, f"its label is {_quote(label)}, none of the table's")
    return Opinion(name, confidence, one_line(reason))


def one_line(text: str, longest: int = LONGEST_REASON) -> str:
    r"""A text on one line, without characters that could drive a terminal or hide something.

    Example:
        >>> one_line("calm\n\x1b[31m voice")
        'calm [31m voice'
    """
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * longest])
    shown = " ".join(shown.split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


class _MalformedReply(Exception):
    """A reply that holds no opinion, and why."""


def _review_in(text: str) -> dict[str, Any]:
    """The object of a reply that names a label."""
    if not text:
        raise _MalformedReply("the reply is empty")
    is_thought = _THOUGHTS_BEGIN.match(text) is not None
    text = text[-_LONGEST_REPLY:]
    # A reason may well speak of <think>, so a reply that is one object is taken as it is.
    is_whole = text.startswith("{") and text.endswith("}") and bool(_objects(text))
    bare = text if is_whole else _THOUGHTS.sub("", text)
    found = _objects(bare) or _loose_objects(bare)
    if not found:
        raise _MalformedReply(f"the reply holds no JSON object with a label: {_quote(bare)}")
    fields, end = found[-1]
    if _UNFINISHED.search(bare, end):
        raise _MalformedReply("the reply holds a JSON object without an end")
    if is_thought and bare == text and not _AT_THE_END.fullmatch(bare, end):
        raise _MalformedReply("the reply holds nothing but thoughts")
    if any(one != fields for one, _ in found):
        raise _MalformedReply(f"the reply holds {len(found)} different JSON objects")
    return fields


_Found = tuple[dict[str, Any], int]
"""Fields of an object, and where it ends in a text."""


def _objects(text: str) -> list[_Found]:
    """JSON objects with a label in a text, none of them within another."""
    found = []
    place = text.find("{")
    for _ in range(_MOST_STARTS):
        if place < 0:
            break
        behind = place + 1
        try:
            fields, end = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            pass
        else:
            if "label" in fields:
                found.append((fields, end))
                behind = end
        place = text.find("{", behind)
    return found


def _loose_objects(text: str) -> list[_Found]:
    """The same for objects as Python or JavaScript writes them."""
    found = []
    for match in _FLAT_OBJECT.finditer(text):
        try:
            fields = _DECODER.decode(_LOOSE.sub(_as_json, match[0]))
        except ValueError:
            continue
        if "label" in fields:
            found.append((fields, match.end()))
    return found


def _as_json(part: re.Match[str]) -> str:
    """A part of a loose object in JSON; a comma before its end is nothing."""
    if part["text"]:
        return part["text"]
    if part["name"]:
        return f'{part["gap"]}"{part["name"]}"'
    if part["single"] is None:
        return ""
    return '"' + part["single"].replace("\\'", "'").replace('"', '\\"') + '"'


def _label(fields: dict[str, Any]) -> str:
    label = fields["label"]
    if not isinstance(label, str):
        raise _MalformedReply(f"its label is {_quote(label)}, expected text")
    return label.strip()


def _confidence(fields: dict[str, Any]) -> float:
    """The confidence as a number from 0 to 1; text that can only mean one is one."""
    if "confidence" not in fields:
        raise _MalformedReply("it has no confidence")
    value = fields["confidence"]
    number = math.nan
    try:
        if isinstance(value, str):
            percent = _PERCENT.fullmatch(value.strip())
            number = float(value.strip(" %")) / 100 if percent else float(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
    except (ValueError, OverflowError):
        pass
    if not 0 <= number <= 1:
        raise _MalformedReply(f"its confidence is {_quote(value)}, expected 0 to 1")
    return number


def _quote(value: object) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return repr(one_line(shown, _LONGEST_QUOTE))


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Fields of an object, with their names in small letters."""
    found = {name.strip().casefold(): value for name, value in pairs}
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


# strict=False, as models write line breaks into reasons.
_DECODER = json.JSONDecoder(object_pairs_hook=_fields, parse_constant=_no_number, strict=False)
