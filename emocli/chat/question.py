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
        temperature: from 0 to 2.
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
        why: a sentence where it was not answered, without secrets.
    """

    ending: Ending
    text: str = ""
    why: str = ""

    @property
    def is_paid(self) -> bool:
        """Whether the model has said something, so that the answer is worth keeping."""
        return self.ending in (Ending.ANSWERED, Ending.REFUSED)


def read_completion(body: Any) -> Answer:
    """The answer in a chat completion, however odd it is.

    Args:
        body: parsed JSON.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
    except (KeyError, IndexError, TypeError):
        return Answer(Ending.BROKEN, why="the reply has no choices")
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return Answer(Ending.BROKEN, why="the reply has no message")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        return Answer(Ending.REFUSED, why="the model refused")
    content = message.get("content")
    return Answer(Ending.ANSWERED, content if isinstance(content, str) else "")
