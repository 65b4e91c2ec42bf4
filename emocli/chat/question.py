"""What a language model is asked, and what came back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Question:
    """One request, complete but for the server that it goes to.

    Attributes:
        model: name by which the server knows it.
        messages: role and content of each.
        schema: JSON schema of the reply.
        temperature: from 0 to 2; not sent to models that refuse it.
        max_tokens: longest reply.
    """

    model: str
    messages: Sequence[Mapping[str, str]]
    schema: Mapping[str, Any]
    temperature: float
    max_tokens: int

    @cached_property
    def key(self) -> str:
        """Hash of all of it: the same question has the same answer."""
        parts = [
            self.model,
            list(self.messages),
            self.schema,
            self.temperature,
            self.max_tokens,
        ]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


CUT = "the reply was cut at the limit of --max-tokens"
_REASONING = ("reasoning_content", "reasoning")
"""Where servers put what a model thinks. Some put the whole reply there if it never stops."""


class Ending(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    BROKEN = "broken"
    LATE = "late"
    FAILED = "failed"


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        ending: how it ended.
        text: of the reply, ``""`` where there is none.
        why: where it was not answered, or not to its end: in a few words, without secrets.
    """

    ending: Ending
    text: str = ""
    why: str = ""

    @property
    def is_paid(self) -> bool:
        """Whether the model has said something, so that the answer is worth keeping."""
        return self.ending in (Ending.ANSWERED, Ending.REFUSED)


def read_completion(body: Any) -> Answer:
    """The answer in a chat completion, in whichever of its fields a server has put it.

    Args:
        body: parsed JSON.
    """
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        return Answer(Ending.BROKEN, why="the reply has no choices")
    message = choice.get("message", {"content": choice.get("text")})
    if not isinstance(message, Mapping):
        return Answer(Ending.BROKEN, why="the reply has no message")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Answer(Ending.REFUSED, why="the model refused")
    is_cut = choice.get("finish_reason") in ("length", "max_tokens")
    return Answer(Ending.ANSWERED, _text_of(message), CUT if is_cut else "")


def _text_of(message: Mapping[str, Any]) -> str:
    """The text of a message: its content, the one call of a tool, or else its reasoning."""
    for found in (message.get("content"), _call(message), *map(message.get, _REASONING)):
        text = _joined(found)
        if text.strip():
            return text
    return ""


def _joined(content: Any) -> str:
    """Content that is a text, or a list of parts of which some are texts."""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _call(message: Mapping[str, Any]) -> Any:
    """What the only tool call of a message passes on; None where there is not one."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    function = call.get("function") if isinstance(call, Mapping) else None
    return function.get("arguments") if isinstance(function, Mapping) else None


def complaint_in(body: Any) -> str | None:
    """The words of an error that a server sends in place of a completion; None for anything else.

    Args:
        body: parsed JSON.
    """
    error = body.get("error") if isinstance(body, Mapping) else None
    if not error or body.get("choices"):
        return None
    said = error.get("message") if isinstance(error, Mapping) else error
    return str(said or json.dumps(error))
