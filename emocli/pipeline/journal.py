"""Rows of a run on disk as they come, so that an interrupted run loses none of them.

The journal of ``emotions.csv`` is ``.emotions.csv.journal`` beside it. Its first line says what
made it; then come blocks, each of a line for every utterance and a closing line. What stands
after the last closing line was torn by an interruption and is made again. A row is found by what
its utterance is: path, segment, size and time of change of its file, and what a table says of it.
"""

import contextlib
import hashlib
import io
import json
import os
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from emocli.audio.decode import DEFAULT_SELECTION
from emocli.audio.stores import Stamp, StoredPath, ask_stamps
from emocli.errors import TableError
from emocli.files import journal_path, not_written, remove_drafts
from emocli.pipeline.inputs import Utterance, stored_among
from emocli.pipeline.scoring import CHUNK, Block, Row

FORMAT = 1
SYNC_SECONDS = 1.0
"""How often what is written is forced to the disk: what a power failure may cost. A process that
is killed loses nothing that was written, forced or not."""

_END = b'{"end": true}\n'
_FINISHED = b'{"finished": true}\n'


_KEY_BYTES = 16
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the rows of an utterance are: bytes from the start of the journal."""

    offset: int
    failed: bool


@dataclass(frozen=True)
class _Step:
    """What is known of the utterances of a step, by their places: a million are 24 megabytes.

    Attributes:
        keys: of all utterances, one after another.
        offsets: where their rows are.
        pending: places of those that rows are being made for.
    """

    keys: bytearray
    offsets: "array[int]"
    pending: Iterator[int]

    def key(self, index: int) -> bytes:
        """What the utterance at a place is."""
        return bytes(self.keys[index * _KEY_BYTES : (index + 1) * _KEY_BYTES])


class Journal:
    """Rows of a run beside the table that they will become; a context manager.

    Args:
        output: the table's file, or the folder of label tracks or subtitles.
        settings: all that decides what rows look like, plain data.
        overwrite: forget what an earlier run has written.
        makes_folders: make the folders above the output where they are missing.

    Attributes:
        n_before: how many utterances of `pending` had their rows from an earlier run.

    Raises:
        TableError: the folder cannot be written to, another emocli is at work on the same output,
            or an unfinished run with other settings was interrupted here.
    """

    def __init__(
        self,
        output: str,
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
        makes_folders: bool = False,
    ) -> None:
        self._output = output
        self._path = journal_path(output)
        self._header = {"journal": FORMAT, "settings": json.loads(json.dumps(settings))}
        self._entries: dict[bytes, _Entry] = {}
        self._steps: dict[str, _Step] = {}
        self._n_new = 0
        self._synced = time.monotonic()
        self.n_before = 0
        self._stream = self._open(makes_folders)
        try:
            keep_others_out(self._stream, output)
            if os.fstat(self._stream.fileno()).st_size:  # a run was here, and may have been killed
                remove_drafts(output)
            if overwrite or not self._take_up():
                self._begin()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.n_done:
            os.unlink(self._path)
        self._stream.close()

    @property
    def n_done(self) -> int:
        """Results that it holds."""
        return len(self._entries) + self._n_new

    def pending(self, step: str, utterances: Sequence[Utterance]) -> list[Sequence[Utterance]]:
        """Utterances that have no rows yet, or an error, in chunks that may share batches.

        Those that an uninterrupted run would have given to a model together are given to it
        together again; those that failed, and may do better now, are kept apart from them.

        Args:
            step: what makes the rows: utterances have rows of each step.
            utterances: all of the run, in order.
        """
        ask_stamps(stored_among(utterances))
        keys, offsets = bytearray(), array("q", [_NOWHERE]) * len(utterances)
        spans: list[range] = []
        last: tuple[int, bool, int] | None = None
        for index, utterance in enumerate(utterances):
            key = utterance_key(step, utterance)
            keys += key
            entry = self._entries.get(key)
            if entry is not None and not entry.failed:
                offsets[index] = entry.offset
                self.n_before += 1
                continue
            failed = entry is not None
            first = spans.pop().start if last == (index // CHUNK, failed, index - 1) else index
            spans.append(range(first, index + 1))
            last = (index // CHUNK, failed, index)
        self._steps[step] = _Step(keys, offsets, chain.from_iterable(spans))
        return [utterances[span.start : span.stop] for span in spans]

    def add(self, step: str, block: Block) -> None:
        """Write the rows of the next utterances that were pending, all or none.

        Raises:
            TableError: the disk is full or gone.
        """
        lines, n_new, place = [], 0, self._steps[step]
        offset = self._size
        for _, rows in block:
            index = next(place.pending)
            key = place.key(index)
            failed = any(row["error"] for row in rows)
            content = {"key": key.hex(), "failed": failed, "rows": rows}
            lines.append(json.dumps(content).encode() + b"\n")
            place.offsets[index] = offset
            offset += len(lines[-1])
            n_new += key not in self._entries
        self._n_new += n_new  # first, or who interrupts the writing would find nothing to keep
        try:
            self._write(b"".join([*lines, _END]))
        except TableError:
            self._n_new -= n_new
            raise

    def rows(self, step: str) -> Iterator[Row]:
        """The rows of all utterances of a step, one at a time from the disk.

        Raises:
            TableError: the journal cannot be read any more.
        """
        try:
            with open(self._stream.fileno(), "rb", closefd=False) as stream:
                for offset in self._steps[step].offsets:
                    stream.seek(offset)
                    yield from json.loads(stream.readline())["rows"]
        except (OSError, ValueError) as error:
            raise TableError(
                f"{self._path}: cannot be read any more ({error}), expected the rows that this "
                f"run has written. Run the same command again."
            ) from None

    def finish(self) -> None:
        """Note that the output is complete.

        Raises:
            TableError: the disk is full or gone.
        """
        self._write(_FINISHED)

    def _open(self, makes_folders: bool) -> io.FileIO:
        try:
            if makes_folders:
                with contextlib.suppress(OSError):  # said better where the journal is opened
                    os.makedirs(self._path.parent, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise not_written(self._output, str(error.strerror)) from None
        return io.FileIO(descriptor, "r+")  # unbuffered: what is written cannot be lost here

    def _take_up(self) -> bool:
        """Find the rows of an earlier run of the same command; False where there are none.

        Raises:
            TableError: an unfinished run with other settings.
        """
        header, finished = self._read()
        if header is None:
            return False
        if header == self._header:
            # Who removes a table that was complete wants it anew.
            return not finished or os.path.lexists(self._output)
        if finished or not self._entries:
            self._entries.clear()
            return False
        names = " and ".join(_differences(header.get("settings"), self._header["settings"]))
        raise TableError(
            f"{self._output}: an unfinished run with another {names} is kept for it, expected "
            f"the same command. Repeat that command to go on, or add --overwrite."
        )

    def _read(self) -> tuple[Any, bool]:
        """The header, None if there is none, and whether the run was finished.

        Fills the entries and cuts off what an interruption has torn.
        """
        header, whole, position, finished = None, 0, 0, False
        found: dict[bytes, _Entry] = {}
        with open(self._stream.fileno(), "rb", closefd=False) as stream:
            for line in stream:
                try:
                    content: Any = json.loads(line) if line.endswith(b"\n") else None
                    if header is None:
                        if not isinstance(content, dict) or content.get("journal") != FORMAT:
                            break
                        header, whole = content, len(line)
                    elif line in (_END, _FINISHED):
                        self._entries.update(found)
                        found, whole = {}, position + len(line)
                        finished = line == _FINISHED
                    else:
                        found[bytes.fromhex(content["key"])] = _Entry(position, content["failed"])
                except (ValueError, KeyError, TypeError):
                    break
                position += len(line)
        self._stream.truncate(whole)
        self._size = whole
        return header, finished

    def _begin(self) -> None:
        self._entries.clear()
        self._size = 0
        self._stream.truncate(0)
        self._write(json.dumps(self._header).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._stream.seek(self._size)
            rest = memoryview(data)
            while rest:  # a disk that is nearly full takes a part
                rest = rest[self._stream.write(rest) :]
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise TableError(
                f"{self._path}: cannot be written ({error.strerror}), expected room for the rows. "
                f"Free some space and run the same command again: it goes on from here."
            ) from None
        self._size += len(data)


def keep_others_out(stream: io.FileIO, output: str) -> None:
    """Lock a file beside an output; a lock ends with this process, and is not inherited.

    Args:
        stream: the file, which this process must not open and close once more.
        output: what the user calls the output.

    Raises:
        TableError: another process has locked it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise TableError(
            f"{output}: another emocli is writing it, expected to be the only one. "
            f"Wait for it to end, or choose another place with -o."
        ) from None
    except OSError:  # a file system without locks
        return


def keeps_journal(output: str) -> bool:
    """Whether an output is a file or folder, rather than a pipe or a device."""
    if output == "-":
        return False
    return not os.path.exists(output) or os.path.isfile(output) or os.path.isdir(output)


def utterance_key(step: str, utterance: Utterance) -> bytes:
    """What an utterance is to a step, in 16 bytes: also when its file last changed."""
    stamps = [_stamp(utterance.path)]
    if step == "text" and "text" not in utterance.carried:
        stamps.append(_stamp(utterance.path.with_suffix(".txt")))
    content = (
        *(step, utterance.file, str(utterance.path), utterance.start, utterance.end),
        stamps,
        sorted(utterance.carried.items()),
        utterance.note,
        utterance.error,
        *([] if utterance.selection == DEFAULT_SELECTION else [utterance.selection]),
    )
    return hashlib.blake2b(
        repr(content).encode("utf-8", "surrogateescape"), digest_size=_KEY_BYTES
    ).digest()


def _stamp(path: Path | StoredPath) -> tuple[int, int] | Stamp | None:
    """Size in bytes and time of change in nanoseconds of a file, None where there is none."""
    if isinstance(path, StoredPath):
        return path.stamp()
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _differences(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Names of settings that differ."""
    if not isinstance(before, dict):
        return ["version of emocli"]
    names = [name for name in now if before.get(name) != now[name]]
    return [name.replace("_", " ") for name in names] or ["version of emocli"]
