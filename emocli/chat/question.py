"""What a language model is asked, and what came back."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Sound:
    """A recording that goes with a question, read when it is sent.

    Attributes:
        digest: hash of the WAV file.
        n_bytes: its length.
        wav: gives the WAV file.
    """

    digest: str
    n_bytes: int
    wav: Callable[[], bytes] = field(repr=False, compare=False)

    def part(self) -> dict[str, Any]:
        """It as a part of a message, as OpenAI, vLLM and llama.cpp take it."""
        data = base64.b64encode(self.wav()).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


@dataclass(frozen=True)
class Question:
    """One request, complete but for the server that it goes to.

    Attributes:
        model: name by which the server knows it.
        messages: role and content of each.
        schema: JSON schema of the reply.
        temperature: from 0 to 2; not sent to models that refuse it.
        max_tokens: longest reply.
        sound: goes with the last message; None for text alone.
        draw: tells questions apart that are asked several times, from 0 on; nobody is told it.
    """

    model: str
    messages: Sequence[Mapping[str, str]]
    schema: Mapping[str, Any]
    temperature: float
    max_tokens: int
    sound: Sound | None = None
    draw: int = 0

    @cached_property
    def key(self) -> str:
        """Hash of all of it: the same question has the same answer."""
        parts = [
            self.model,
            list(self.messages),
            self.schema,
            self.temperature,
            self.max_tokens,
            *([self.sound.digest] if self.sound else []),
            *([self.draw] if self.draw else []),
        ]
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


CUT = "the reply was cut at the limit of --max-tokens"
_REASONING = ("reasoning_content", "reasoning")
"""Where servers put what a model thinks. Some put the whole reply there if it never stops."""
THOUGHTS_BEGIN = "<think>"
"""Stands before a text that is reasoning alone."""
_STREAM_LINE = "data:"


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


@dataclass(frozen=True)
class ServerError:
    """An error in the body of a reply.

    Attributes:
        message: in the server's words.
        code: its code, ``""`` where it has none.
        field: of the request that it is about, ``""`` where it does not say.
    """

    message: str
    code: str = ""
    field: str = ""

    @property
    def status(self) -> int | None:
        """The code, where it is that of an HTTP error."""
        return int(self.code) if re.fullmatch(r"[45]\d\d", self.code) else None


def parse_body(text: str) -> Any:
    """The JSON of a reply, also of one that came in the pieces of a stream.

    Args:
        text: body of the reply.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    bare = text.lstrip("\ufeff \t\r\n")
    if not bare.startswith(_STREAM_LINE):
        return json.loads(bare)
    lines = [line.removeprefix(_STREAM_LINE).strip() for line in bare.splitlines()]
    return _completion_of([json.loads(line) for line in lines if line.startswith("{")])


def find_error(body: Any) -> ServerError | None:
    """The error that a server sends in place of a completion; None for anything else.

    Args:
        body: parsed JSON.
    """
    for place in (body, _first_choice(body)):
        if not isinstance(place, Mapping):
            continue
        error = place.get("error") or (place if place.get("object") == "error" else None)
        if isinstance(error, Mapping):
            message = str(error.get("message") or json.dumps(error))
            return ServerError(message, *(str(error.get(name) or "") for name in ("code", "param")))
        if error:
            return ServerError(str(error), str(place.get("code") or ""))
    return None


def read_completion(body: Any) -> Answer:
    """The answer in a chat completion, in whichever of its fields a server has put it.

    Args:
        body: parsed JSON.
    """
    if error := find_error(body):
        return Answer(Ending.FAILED, why=error.message)
    choice = _first_choice(body)
    if not isinstance(choice, Mapping):
        return Answer(Ending.BROKEN, why="the reply has no choices")
    message = choice.get("message", {"content": choice.get("text")})
    if not isinstance(message, Mapping):
        return Answer(Ending.BROKEN, why="the reply has no message")
    refusal = message.get("refusal") or _joined(message.get("content"), "refusal")
    if refusal or choice.get("finish_reason") == "content_filter":
        return Answer(Ending.REFUSED, why=f"the model refused{f': {refusal}' if refusal else ''}")
    is_cut = choice.get("finish_reason") in ("length", "max_tokens")
    return Answer(Ending.ANSWERED, _text_of(message), CUT if is_cut else "")


def _first_choice(body: Any) -> Any:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return choices[0] if isinstance(choices, list) and choices else None


def _text_of(message: Mapping[str, Any]) -> str:
    """The text of a message: its content, the one call of a tool, or else its reasoning."""
    for found in (_joined(message.get("content")), _call(message)):
        if found.strip():
            return found
    thoughts = (_joined(message.get(name)) for name in _REASONING)
    return next((THOUGHTS_BEGIN + found for found in thoughts if found.strip()), "")


def _joined(content: Any, name: str = "text") -> str:
    """Content that is a text, or a list of parts of which some are texts and no thoughts."""
    if isinstance(content, str):
        return content if name == "text" else ""
    parts = content if isinstance(content, list) else [content]
    found = [
        part.get(name) for part in parts if isinstance(part, Mapping) and not _is_thought(part)
    ]
    return "".join(text for text in found if isinstance(text, str))


def _is_thought(part: Mapping[str, Any]) -> bool:
    return str(part.get("type")).startswith(("think", "reason"))


def _call(message: Mapping[str, Any]) -> str:
    """What the only tool call of a message passes on; ``""`` where there is not one."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and len(calls) == 1 else None
    function = call.get("function") if isinstance(call, Mapping) else message.get("function_call")
    passed = function.get("arguments") if isinstance(function, Mapping) else None
    if isinstance(passed, Mapping):  # Ollama does not write them as a text
        return json.dumps(passed)
    return passed if isinstance(passed, str) else ""


def _completion_of(pieces: Sequence[Mapping[str, Any]]) -> Any:
    """A completion from the pieces of a stream; of a piece with an error, the piece."""
    texts: dict[str, list[str]] = {}
    ending = None
    for piece in pieces:
        if find_error(piece):
            return piece
        choice = _first_choice(piece)
        if isinstance(choice, Mapping):
            delta = choice.get("delta")
            for name, text in (delta if isinstance(delta, Mapping) else {}).items():
                if isinstance(text, str):
                    texts.setdefault(name, []).append(text)
            ending = choice.get("finish_reason") or ending
    message = {name: "".join(found) for name, found in texts.items()}
    return {"choices": [{"message": message, "finish_reason": ending}]}
