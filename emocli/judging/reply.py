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
"""Characters of a reply that are looked at; one that holds to the form has a few hundred."""
_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL)
_THOUGHT = re.compile(r"\A<think>.*?</think>", re.DOTALL)
_FIELDS = {"label", "confidence", "reason"}


class Fault(StrEnum):
    """Why there is no opinion."""

    REFUSED = "refused"
    MALFORMED = "malformed"
    OFF_LIST = "off-list"
    LATE = "late"
    FAILED = "failed"


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


def parse_reply(text: str, labels: Sequence[str]) -> Opinion | Fault:
    """The opinion in a reply, or what is wrong with it.

    The whole reply has to be one JSON object with the three fields and no other; a code fence
    around it, and thoughts in ``<think>`` before it, are passed over. Nothing is guessed: a
    confidence of 85 is none, nor is one in quotation marks.

    Args:
        text: of the reply.
        labels: what was allowed.
    """
    fields = _object(text)
    if fields is None or set(fields) != _FIELDS:
        return Fault.MALFORMED
    label, confidence, reason = (fields[name] for name in ("label", "confidence", "reason"))
    if not isinstance(label, str) or not isinstance(reason, str) or not _is_share(confidence):
        return Fault.MALFORMED
    known = {name.casefold(): name for name in labels}
    name = known.get(label.strip().casefold())
    return Fault.OFF_LIST if name is None else Opinion(name, float(confidence), one_line(reason))


def one_line(text: str, longest: int = LONGEST_REASON) -> str:
    r"""A text on one line, without characters that could drive a terminal or hide something.

    Example:
        >>> one_line("calm\n\x1b[31m voice")
        'calm [31m voice'
    """
    shown = "".join(char if char.isprintable() else " " for char in text[: 4 * longest])
    shown = " ".join(shown.split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > _LONGEST_REPLY:
        return None
    bare = _THOUGHT.sub("", text.strip()).strip()
    fenced = _FENCED.match(bare)
    try:
        found = json.loads(
            fenced[1] if fenced else bare,
            object_pairs_hook=_without_repetition,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _is_share(value: object) -> bool:
    """Whether a value is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and 0 <= value <= 1
