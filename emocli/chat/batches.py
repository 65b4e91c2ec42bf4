"""Many questions at half the price: batches that a server works on for up to a day.

What is on its way is written down before it goes, so a run can end at any moment and the next one
with the same questions finds its batches again.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emocli.chat.kept import write_whole
from emocli.chat.question import Answer, Ending, Question, read_completion
from emocli.chat.service import Heard, Server, Shape, complaint, import_openai, unavailable
from emocli.errors import JudgeError

LARGEST_BATCH = 50_000
"""Questions in a batch, as OpenAI limits them."""
LARGEST_FILE = 100_000_000
"""Bytes in a batch, half of OpenAI's limit."""
WINDOW = "24h"
MARK = "emocli"
"""Key of a batch's metadata under which it carries the name of our note on it."""
_ENDED = ("completed", "failed", "expired", "cancelled")
_REFUSES_KEY = (401, 403)
_LISTED = 100


@dataclass(frozen=True)
class Note:
    """What is written down about a batch.

    Attributes:
        name: of the note, and the mark of the batch.
        endpoint: where it went.
        keys: of its questions.
        batch: the server's name for it; empty until it is known.
    """

    name: str
    endpoint: str
    keys: tuple[str, ...] = field(repr=False)
    batch: str = ""


def run_batches(
    questions: Sequence[Question],
    server: Server,
    folder: Path,
    heard: Heard,
    *,
    pause: Callable[[int], None] | None,
) -> int:
    """Submit questions that are on no batch yet, and take the answers that are there.

    A question whose batch ended without an answer to it is told as late and not submitted again
    in this run.

    Args:
        questions: each once.
        server: where they go.
        folder: of the notes.
        heard: called with the key of a question and its answer.
        pause: called with the number of questions on their way before each further look; None to
            look once.

    Returns:
        How many questions are still on their way.

    Raises:
        JudgeError: the server knows no batches, or did not accept one.
        JudgeUnavailable: it cannot be reached or refuses the key.
    """
    openai = import_openai()
    client = openai.OpenAI(
        base_url=server.endpoint,
        api_key=server.key,
        max_retries=server.retries,
        timeout=server.timeout_seconds,
    )
    with client, _told_errors(server):
        desk = _Desk(client, server, folder, heard)
        notes = desk.sent({question.key for question in questions})
        on_their_way = {key for note in notes for key in note.keys}
        new = [question for question in questions if question.key not in on_their_way]
        notes += [desk.submit(part) for part in _parts(new)]
        while notes := [note for note in notes if not desk.collect(note)]:
            n_open = sum(len(note.keys) for note in notes)
            if pause is None:
                return n_open
            pause(n_open)
    return 0


class _Desk:
    """Where batches are sent from and come back to."""

    def __init__(self, client: Any, server: Server, folder: Path, heard: Heard) -> None:
        self._client, self._server, self._folder, self._heard = client, server, folder, heard

    def sent(self, wanted: set[str]) -> list[Note]:
        """Notes on batches of this server that hold some of the questions."""
        found = [_read_note(place) for place in sorted(self._folder.glob("*.json"))]
        mine = [
            note
            for note in found
            if note and note.endpoint == self._server.shown and wanted.intersection(note.keys)
        ]
        return [known for note in mine if (known := self._recovered(note))]

    def submit(self, questions: Sequence[Question]) -> Note:
        """Send a batch; the note is there before the batch is."""
        name = uuid.uuid4().hex
        note = Note(name, self._server.shown, tuple(question.key for question in questions))
        lines = b"".join(_line(question, self._server) for question in questions)
        self._write(note)
        uploaded = self._client.files.create(file=("batch.jsonl", lines), purpose="batch")
        batch = self._client.batches.create(
            input_file_id=uploaded.id,
            endpoint="/v1/chat/completions",
            completion_window=WINDOW,
            metadata={MARK: name},
        )
        return self._write(replace(note, batch=batch.id))

    def _recovered(self, note: Note) -> Note | None:
        """A note with its batch, also if a run ended before it knew that; None if none was sent."""
        if note.batch:
            return note
        for batch in self._client.batches.list(limit=_LISTED).data:
            if (batch.metadata or {}).get(MARK) == note.name:
                return self._write(replace(note, batch=batch.id))
        self._place(note).unlink(missing_ok=True)
        return None

    def collect(self, note: Note) -> bool:
        """Tell the answers of a batch that has ended; False while it has not."""
        batch = self._client.batches.retrieve(note.batch)
        if batch.status not in _ENDED:
            return False
        answers: dict[str, Answer] = {}
        for place in (batch.output_file_id, batch.error_file_id):
            if place:
                content = self._client.files.content(place).content
                answers |= _read_lines(content, set(note.keys), self._server)
        for key in note.keys:
            missing = Answer(Ending.LATE, why=f"no answer in a batch that was {batch.status}")
            self._heard(key, answers.get(key, missing))
        self._place(note).unlink(missing_ok=True)
        if batch.status == "failed" and not answers:
            raise JudgeError(
                f"{self._server.shown} did not accept the batch ({self._why(batch)}), expected "
                f"one that it works on. Correct the options, or leave out --batch."
            )
        return True

    def _why(self, batch: Any) -> str:
        errors = (batch.errors.data if batch.errors else None) or []
        told = "; ".join(str(one.message) for one in errors if one.message)
        return self._server.without_key(told) or "without a reason"

    def _write(self, note: Note) -> Note:
        values = {"endpoint": note.endpoint, "keys": note.keys, "batch": note.batch}
        write_whole(self._place(note), json.dumps(values))
        return note

    def _place(self, note: Note) -> Path:
        return self._folder / f"{note.name}.json"


@contextmanager
def _told_errors(server: Server) -> Iterator[None]:
    """The client's errors as ours."""
    openai = import_openai()
    try:
        yield
    except openai.NotFoundError:
        raise JudgeError(
            f"{server.shown} knows no such batch, expected a server with OpenAI's Batch API. "
            f"Leave out --batch."
        ) from None
    except openai.APIStatusError as error:
        if error.status_code in _REFUSES_KEY:
            raise unavailable(server, "does not let us in") from None
        told = server.without_key(complaint(error))
        raise JudgeError(
            f"{server.shown} did not take the batch (status {error.status_code}: {told}), expected "
            f"a server with OpenAI's Batch API. Try again later, or leave out --batch."
        ) from None
    except openai.APIConnectionError:
        raise unavailable(server, "gave no answer") from None


def _parts(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Questions in as few batches as the limits allow."""
    part: list[Question] = []
    size = 0
    for question in questions:
        length = sum(4 * len(message["content"]) for message in question.messages) + 2000
        length += 2 * question.sound.n_bytes if question.sound else 0
        if part and (len(part) == LARGEST_BATCH or size + length > LARGEST_FILE):
            yield part
            part, size = [], 0
        part.append(question)
        size += length
    if part:
        yield part


def _line(question: Question, server: Server) -> bytes:
    request = {
        "custom_id": question.key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": Shape(server.formats, "max_completion_tokens").fields(question),
    }
    return json.dumps(request).encode() + b"\n"


def _read_lines(content: bytes, keys: set[str], server: Server) -> dict[str, Answer]:
    """Answers by key; lines that are no results of these questions are passed over."""
    answers = {}
    for line in content.splitlines():
        try:
            result = json.loads(line)
            key = result["custom_id"]
            response = result.get("response") or {}
            status, body = response.get("status_code"), response.get("body")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if key in keys:
            error = result.get("error") or (body or {}).get("error") or {}
            found = read_completion(body) if status == 200 else _failed(error)
            answers[key] = replace(found, why=server.without_key(found.why))
    return answers


def _failed(error: Mapping[str, Any]) -> Answer:
    why = str(error.get("message") or "no reason given")
    refused = "content_filter" in str(error.get("code"))
    return Answer(Ending.REFUSED if refused else Ending.FAILED, why=why)


def _read_note(place: Path) -> Note | None:
    """A note; None for a file that is none."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        keys = tuple(str(key) for key in found["keys"])
        return Note(place.stem, str(found["endpoint"]), keys, str(found["batch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
