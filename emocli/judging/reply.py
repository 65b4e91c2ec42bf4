"""What a judge's answer says, if it is an answer at all."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from emocli.judging.prompt import LONGEST_REASON

_LONGEST_REPLY = 20_000
"""Characters of a reply that are looked at; one that holds to the form has a few hundred."""
_MOST_STARTS = 50
"""Opening braces of a reply at which an object is looked for."""
_LONGEST_QUOTE = 60
_THOUGHTS = re.compile(
    r"\A.*(?:</(?:think|thinking|thought|thoughts|reasoning|reflection|analysis)>"
    r"|\[/THINK\]|<\|channel\|>final<\|message\|>)",
    re.DOTALL | re.IGNORECASE,
)
"""What models think aloud. The opening tag may be part of the prompt and so not of the reply."""
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


def parse_reply(text: str, labels: Sequence[str]) -> Opinion | Unusable:
    """The opinion in a reply, or what is wrong with it.

    The reply has to hold exactly one JSON object with a label. Thoughts before it, words and code
    fences around it and further fields of it are passed over. Nothing is guessed: a confidence of
    85 is none (``"85%"`` and ``"0.85"`` are), and of two different objects neither counts.

    Args:
        text: of the reply.
        labels: what was allowed.
    """
    try:
        fields = _review_in(text.strip().lstrip("\ufeff"))
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
    if len(text) > _LONGEST_REPLY:
        raise _MalformedReply(f"the reply is longer than {_LONGEST_REPLY:,} characters")
    # A reason may well speak of <think>, so a reply that is one object is taken as it is.
    whole = next(_objects(text), None) if text.startswith("{") and text.endswith("}") else None
    bare = text if whole is not None else _THOUGHTS.sub("", text)
    found = [one for one in _objects(bare) if "label" in one]
    if not found:
        raise _MalformedReply(f"the reply holds no JSON object with a label: {_quote(bare)}")
    if any(one != found[0] for one in found[1:]):
        raise _MalformedReply(f"the reply holds {len(found)} different JSON objects")
    return found[0]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, none of them within another."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_repetition, parse_constant=_no_number)
    place = 0
    for _ in range(_MOST_STARTS):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            found, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        yield found


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


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")
