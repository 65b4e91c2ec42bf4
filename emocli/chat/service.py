"""Asking a server that speaks OpenAI's protocol: many questions at a time, and patiently."""

import asyncio
import email.utils
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from emocli.chat.question import (
    Answer,
    Ending,
    Question,
    ServerError,
    Sound,
    find_error,
    parse_body,
    read_completion,
)
from emocli.errors import JudgeError, JudgeUnavailable, MissingDependency

if TYPE_CHECKING:
    import openai

FORMATS = ("schema", "json", "text")
"""How the form of a reply is asked for, the strictest first; not every server knows all."""
NO_KEY = "none"
"""What servers without keys are sent, as the client insists on one."""
GIVE_UP_AFTER = 5
"""Questions in a row without an answer after which the others are not asked."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_ASKED_WAIT_SECONDS = 300.0
"""The longest that a server may make us wait before we try again."""
_PASSING = (408, 409, 425, 429)
_ABOUT_ROLES = re.compile(
    r"(system|developer).{0,20}(role|message|prompt|instruction)|roles? must alternate", re.I
)
_ABOUT_SOUND = re.compile(
    r"input_audio|audio (input|content|data)|audio\(s\)|multi.?modal|mmproj", re.IGNORECASE
)
_ABOUT_BOUNDS = re.compile(r"max_?length|minimum|maximum|keyword", re.IGNORECASE)
_ABOUT_FORM = re.compile(
    r"response.?format|grammar|json|schema|guided|not implemented|unsupported", re.IGNORECASE
)
FIRST_CONCURRENCY = 2
"""Questions at a time until replies show that the server keeps up with more."""
_QUICK_SHARE = 0.25
"""Share of the time-out within which a reply is quick enough for one more question at a time."""
_NO_USE = {
    401: "does not accept the key",
    403: "does not let us in",
    402: "says that nothing is left to spend",
    404: "knows no such model or address",
}
_LONGEST_SENTENCE = 200


@dataclass(frozen=True)
class Server:
    """Where questions go.

    Attributes:
        endpoint: address up to and with ``/v1``.
        key: secret; `NO_KEY` where the server wants none.
        timeout_seconds: after which an answer is late.
        concurrency: questions on their way at a time.
        retries: how often a question is asked again after a passing trouble.
        formats: of `FORMATS`, in the order in which they are tried.
    """

    endpoint: str
    key: str = field(default=NO_KEY, repr=False)
    timeout_seconds: float = 60.0
    concurrency: int = 8
    retries: int = 5
    formats: tuple[str, ...] = FORMATS

    @property
    def shown(self) -> str:
        """The address without a user's name and password."""
        parts = urlsplit(self.endpoint)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))

    def without_key(self, text: str) -> str:
        """A server's words on one short line, the key struck out wherever they repeat it."""
        safe = text.replace(self.key, "[key]") if self.key != NO_KEY else text
        line = " ".join("".join(c if c.isprintable() else " " for c in safe).split())
        return line if len(line) <= _LONGEST_SENTENCE else line[: _LONGEST_SENTENCE - 1] + "…"


Heard = Callable[[str, Answer], None]
"""Takes the key of a question and its answer."""


def ask_all(questions: Sequence[Question], server: Server, heard: Heard) -> list[str]:
    """Ask all questions and tell each answer as it comes.

    What the server refuses is left out of the question, and of all that follow it.

    Args:
        questions: each once.
        server: where they go.
        heard: called with the key of a question and its answer.

    Returns:
        What was left out, such as ``"temperature"``.

    Raises:
        JudgeUnavailable: the server cannot be reached, refuses the key, or does not know the model.
        MissingDependency: the client is not installed.
    """
    return asyncio.run(_ask_all(questions, server, heard))


def import_openai() -> Any:
    """The module ``openai``.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import openai
    except ImportError:
        raise MissingDependency(
            "A judge cannot be asked without openai, which is not installed. "
            'Install it with pip install "emocli[judge]".'
        ) from None
    return openai


async def _ask_all(questions: Sequence[Question], server: Server, heard: Heard) -> list[str]:
    openai = import_openai()
    client = openai.AsyncOpenAI(
        base_url=server.endpoint,
        api_key=server.key,
        max_retries=0,  # see `_Conversation`, which waits for all questions together
        timeout=server.timeout_seconds,
    )
    async with client:
        conversation = _Conversation(client, server)
        waiting = iter(questions)
        workers = [
            asyncio.create_task(conversation.work(waiting, heard))
            for _ in range(min(server.concurrency, len(questions)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
    return conversation.shape.left_out(Shape(server.formats))


@dataclass(frozen=True)
class Shape:
    """How a request is spelled for a server.

    Attributes:
        formats: of `FORMATS`, the first is used and the others are tried if it is refused.
        length_field: name of the field that limits the reply.
        has_temperature: whether the temperature is sent.
        has_system: whether rules go into a message of the system's own, or before the user's.
        has_bounds: whether the schema says how long and how large values may be.
    """

    formats: tuple[str, ...]
    length_field: str = "max_tokens"
    has_temperature: bool = True
    has_system: bool = True
    has_bounds: bool = True

    def fields(self, question: Question) -> dict[str, Any]:
        """The body of a request."""
        body: dict[str, Any] = {
            "model": question.model,
            "messages": _with_sound(self._messages(question), question.sound),
            self.length_field: question.max_tokens,
        }
        if self.has_temperature:
            body["temperature"] = question.temperature
        if self.formats[0] == "json":
            body["response_format"] = {"type": "json_object"}
        if self.formats[0] == "schema":
            schema = question.schema if self.has_bounds else _unbounded(question.schema)
            named = {"name": "review", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def simpler(self, complaint: str, *, is_about_form: bool = True) -> "Shape | None":
        """Another spelling after a server refused this one; None if there is none.

        What the server complains about goes first. A complaint about nothing in particular is
        taken to be about the form of the reply, which fewest servers know.

        Args:
            complaint: the server's words.
            is_about_form: whether the form of the reply may be to blame.
        """
        if "max_completion_tokens" in complaint and self.length_field == "max_tokens":
            return replace(self, length_field="max_completion_tokens")
        if self.has_temperature and "temperature" in complaint.lower():
            return replace(self, has_temperature=False)
        if self.has_system and _ABOUT_ROLES.search(complaint):
            return replace(self, has_system=False)
        if _ABOUT_SOUND.search(complaint):
            return None
        if self.has_bounds and self.formats[0] == "schema" and _ABOUT_BOUNDS.search(complaint):
            return replace(self, has_bounds=False)
        if is_about_form and len(self.formats) > 1:
            return replace(self, formats=self.formats[1:])
        return None

    def left_out(self, first: "Shape") -> list[str]:
        """What requests lack, in words, that they had in the first shape."""
        told = {
            "temperature": first.has_temperature and not self.has_temperature,
            "system role": first.has_system and not self.has_system,
            "bounds in the schema": first.has_bounds and not self.has_bounds,
            "schema": "schema" in first.formats and "schema" not in self.formats,
            "JSON mode": "json" in first.formats and "json" not in self.formats,
        }
        return [what for what, is_missing in told.items() if is_missing]

    def _messages(self, question: Question) -> list[Mapping[str, str]]:
        """The messages, those of the system put before the user's if it takes none."""
        if self.has_system:
            return list(question.messages)
        rules = [one["content"] for one in question.messages if one["role"] == "system"]
        others = [one for one in question.messages if one["role"] != "system"]
        first = {**others[0], "content": "\n\n".join([*rules, others[0]["content"]])}
        return [first, *others[1:]]


def _with_sound(messages: list[Mapping[str, str]], sound: Sound | None) -> list[Mapping[str, Any]]:
    """The messages, the last of them with a recording."""
    if sound is None:
        return list(messages)
    *others, last = messages
    text = {"type": "text", "text": last["content"]}
    return [*others, {**last, "content": [text, sound.part()]}]


def _unbounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without the bounds of its fields."""
    bounds = ("minimum", "maximum", "maxLength")
    fields = {
        name: {key: value for key, value in field.items() if key not in bounds}
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}


class _Conversation:
    """What workers share: how the server likes its requests, and how it has been doing."""

    def __init__(self, client: "openai.AsyncOpenAI", server: Server) -> None:
        self._client = client
        self._server = server
        self.shape = Shape(server.formats)
        self._free_at = 0.0
        self._pace = _Pace(server.concurrency)
        self._n_answered = 0
        self._in_a_row: list[str] = []

    async def work(self, waiting: Iterator[Question], heard: Heard) -> None:
        """Ask questions from a shared iterator until there are none."""
        for question in waiting:
            if len(self._in_a_row) >= GIVE_UP_AFTER:
                why = f"not asked, as {GIVE_UP_AFTER} questions in a row had no answer"
                heard(question.key, Answer(Ending.FAILED, why=why))
                continue
            answer = await self._ask(question)
            self._count(answer)
            heard(question.key, answer)
        if self._in_a_row and not self._n_answered:
            raise unavailable(self._server, f"gave no answer ({self._in_a_row[0]})")

    def _count(self, answer: Answer) -> None:
        if answer.ending in (Ending.LATE, Ending.FAILED):
            self._in_a_row.append(answer.why)
        else:
            self._in_a_row.clear()
            self._n_answered += 1

    async def _ask(self, question: Question) -> Answer:
        """The answer to one question, after as many attempts as it takes and may take."""
        shape, n_failed = self.shape, 0
        while True:
            await self._wait_for_turn()
            found = await self._attempt(question, shape)
            if isinstance(found, Answer):
                if found.ending is not Ending.BROKEN:
                    self.shape = shape
                return found
            simpler = shape.simpler(found.complaint, is_about_form=found.is_about_form)
            if simpler is not None:
                shape = simpler
                continue
            if found.answer is not None or n_failed >= self._server.retries:
                return found.answer or Answer(Ending.FAILED, why=found.why)
            if not found.is_our_haste:
                self._pause(found, n_failed)
            n_failed += 1

    async def _attempt(self, question: Question, shape: Shape) -> "Answer | _Trouble":
        """The answer, or why this attempt had none."""
        openai = import_openai()
        async with self._pace.turn() as n_at_once:
            begun = time.monotonic()
            try:
                reply = await self._reply(shape.fields(question))
            except (TimeoutError, openai.APITimeoutError):
                n_at_once = self._pace.slow_down(n_at_once)
                why = f"no answer within the {self._server.timeout_seconds:g} s of --timeout"
                alone = Answer(Ending.LATE, why=why) if n_at_once == 1 else None
                return _Trouble(why, answer=alone, is_our_haste=True)
            except openai.APIConnectionError as error:
                return _Trouble(f"no connection ({type(error.__cause__ or error).__name__})")
            except openai.APIStatusError as error:
                told = ServerError(complaint(error), str(error.code or ""), str(error.param or ""))
                return self._trouble(error.status_code, told, error.response.headers)
            if time.monotonic() - begun < _QUICK_SHARE * self._server.timeout_seconds:
                self._pace.speed_up()
        return self._read(reply.text, reply.headers)

    async def _reply(self, fields: Mapping[str, Any]) -> Any:
        create: Callable[..., Awaitable[Any]] = (
            self._client.chat.completions.with_raw_response.create
        )
        # The client's own time-out starts afresh with every byte of a server that trickles.
        async with asyncio.timeout(self._server.timeout_seconds):
            return await create(**fields)

    def _read(self, text: str, headers: Any) -> "Answer | _Trouble":
        """The answer in a reply of status 200, or the trouble that it tells of."""
        try:
            body = parse_body(text)
        except (ValueError, RecursionError):  # the page of a gateway, or half a reply
            return _Trouble(f"the reply is no JSON: {self._server.without_key(text) or '(empty)'}")
        if error := find_error(body):
            return self._trouble(error.status, error, headers)
        found = read_completion(body)
        return replace(found, why=self._server.without_key(found.why))

    async def _wait_for_turn(self) -> None:
        while (left := self._free_at - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def _pause(self, trouble: "_Trouble", n_failed: int) -> None:
        """Let nobody ask for a while, as long as the server says or twice as long each time."""
        doubled = min(FIRST_WAIT_SECONDS * 2**n_failed, LONGEST_WAIT_SECONDS)
        wait = doubled * random.uniform(0.75, 1.25)
        if trouble.wait_seconds is not None:
            wait = min(trouble.wait_seconds, LONGEST_ASKED_WAIT_SECONDS)
        self._free_at = max(self._free_at, time.monotonic() + wait)

    def _trouble(self, status: int | None, error: ServerError, headers: Any) -> "_Trouble":
        """What an error of the server means for a question.

        Args:
            status: of HTTP; None for an error without one in a reply of status 200.
            error: what the server says.
            headers: of the reply.

        Raises:
            JudgeUnavailable: it means that no question will be answered.
        """
        told = self._server.without_key(error.message)
        why = f"status {status}: {told}" if status else f"an error instead of a reply: {told}"
        complaint = f"{error.message} {error.field}"
        is_about_form = _ABOUT_FORM.search(complaint) is not None
        if error.code == "insufficient_quota":
            raise unavailable(self._server, "says that nothing is left to spend")
        if status in _NO_USE and not (status == 404 and is_about_form):
            raise unavailable(self._server, _NO_USE[status])
        if status in _PASSING:
            return _Trouble(why, wait_seconds=asked_wait(headers))
        if (status is None or status >= 500) and not _ABOUT_SOUND.search(complaint):
            wait = asked_wait(headers)
            return _Trouble(
                why, wait_seconds=wait, complaint=complaint, is_about_form=is_about_form
            )
        if "content_filter" in error.code or "content_policy" in error.code:
            return _Trouble(why, answer=Answer(Ending.REFUSED, why=why))
        failed = Answer(Ending.FAILED, why=why)
        return _Trouble(why, answer=failed, complaint=complaint, is_about_form=True)


@dataclass(frozen=True)
class _Trouble:
    """Why an attempt had no result.

    Attributes:
        why: in words.
        answer: what that makes of the question; None if it may be asked again.
        wait_seconds: how long the server wants to be left alone.
        complaint: all that the server says, where another spelling of the request might do.
        is_about_form: whether the form of the reply may be to blame.
        is_our_haste: whether it came of asking too much at a time, so that no wait is needed.
    """

    why: str
    answer: Answer | None = None
    wait_seconds: float | None = None
    complaint: str = ""
    is_about_form: bool = False
    is_our_haste: bool = False


class _Pace:
    """How many questions are on their way at a time: as many as the server answers in time.

    It begins with few, adds one with each quick reply, and halves the number when a reply is late,
    never to go above that again: a server on a CPU works on one question while the others wait.

    Args:
        most: questions at a time at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(FIRST_CONCURRENCY, most)
        self._n_active = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait until a question may go; gives how many are then on their way, this one included."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_active < self._limit)
            self._n_active += 1
        try:
            yield self._n_active
        finally:
            async with self._changed:
                self._n_active -= 1
                self._changed.notify_all()

    def speed_up(self) -> None:
        """Let one more go at a time."""
        self._limit = min(self._limit + 1, self._most)

    def slow_down(self, n_at_first: int) -> int:
        """Let half of those go at a time that were on their way beside one that was late.

        Args:
            n_at_first: how many were on their way when it went.

        Returns:
            How many there were at most.
        """
        n_at_once = max(n_at_first, self._n_active)
        self._most = max(1, min(self._most, n_at_once // 2))
        self._limit = min(self._limit, self._most)
        return n_at_once


def unavailable(server: Server, what: str) -> JudgeUnavailable:
    """The error of a server that is of no use."""
    return JudgeUnavailable(
        f"{server.shown} {what}, expected a server that speaks OpenAI's protocol. "
        f"Check --endpoint, --judge-model and the key in the environment (--key-env)."
    )


def check_endpoint(endpoint: str) -> str:
    """The address, if it is one.

    Raises:
        JudgeError: it is not.
    """
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint):
        raise JudgeError(
            f"--endpoint {endpoint} is no address, expected one such as http://localhost:8000/v1. "
            f"Write it with http:// or https://."
        )
    return endpoint


def asked_wait(headers: Any) -> float | None:
    """Seconds that a ``Retry-After`` asks for, given as seconds or as a date; None without one."""
    given = str(headers.get("retry-after") or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", given):
        return float(given)
    try:
        moment = email.utils.parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def complaint(error: Any) -> str:
    """What a server says of a request that it did not answer, in its own words."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    return str(said or error.message)
