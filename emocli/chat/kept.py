"""Answers on disk, by the hash of the question: what was paid for once is not asked again."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from emocli.chat.question import Answer, Ending
from emocli.errors import JudgeError


class KeptAnswers:
    """A folder of answers, one file each; it holds replies, and neither questions nor keys.

    Args:
        folder: made when the first answer is kept.
        server: whose answers they are, kept in a folder of their own: two servers may call
            different models the same.

    Attributes:
        folder: of this server's answers.
    """

    def __init__(self, folder: Path, server: str = "") -> None:
        self.folder = folder
        if server:
            self.folder = folder / hashlib.sha256(server.encode()).hexdigest()[:16]

    def find(self, key: str) -> Answer | None:
        """The answer to a question, None where there is none or the file is damaged."""
        try:
            found = json.loads(self._place(key).read_text(encoding="utf-8"))
            return Answer(Ending(found["ending"]), str(found["text"]), str(found["why"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, key: str, answer: Answer) -> None:
        """Write an answer; it is there whole or not at all.

        Raises:
            JudgeError: the folder cannot be written.
        """
        values = {"ending": answer.ending.value, "text": answer.text, "why": answer.why}
        write_whole(self._place(key), json.dumps(values))

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def write_whole(place: Path, text: str) -> None:
    """Put a text in the place of a file, for the user's eyes only.

    Raises:
        JudgeError: it cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=place.parent, prefix=".")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(draft, place)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise JudgeError(
            f"{place.parent}: answers cannot be kept there ({error.strerror}), expected a folder "
            f"that may be written to. Choose another one with --cache."
        ) from None
