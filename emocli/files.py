"""Files that commands write and look for: safe places, whole files or none, names in any spelling.

A file appears whole or not at all. It takes the place of no input, and of no file that somebody
else has made, unless that is asked for.
"""

import errno
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from emocli.errors import TableError
from emocli.table import FEATURE_PREFIX, PROBABILITY_PREFIX, listing, spelling

STDIN = "-"
"""Stands for standard input and standard output."""
_DRAFT_END = ".draft"
_MARKED_BYTES = 65536
_OWN_NAME = b"emocli"
_OWN_TRACK = re.compile(
    r"SPEAKER \S+ 1 [\d.]+ [\d.]+ <NA> <NA> \S+ [01]\.\d{4} <NA>\n"  # RTTM
    r"|1\n[\d:,]+ --> [\d:,]+\n\[?[^\n]* \d+%(\]|\n)"  # SRT
    r"|[\d.]+\t[\d.]+\t[^\n]* \d+%\n"  # Audacity
)
"""How label tracks of emocli begin: with an emotion and its probability."""
_OWN_COLUMNS = frozenset(("label", "text", "note", "error"))


def check_output(
    output: str | None,
    inputs: Iterable[str | None] = (),
    *,
    overwrite: bool = False,
    option: str = "-o",
) -> None:
    """Make sure that a file can be written, before work that would be lost without it.

    Args:
        output: file path, ``"-"``, or None for no output.
        inputs: as for `check_replaced`.
        overwrite: replace a file that is not emocli's.
        option: the option that names the output.

    Raises:
        TableError: see `check_replaced`; or the folder is missing or may not be written to, or a
            folder is in the place.
    """
    if output is None or output == STDIN:
        return
    if os.path.isdir(output):
        raise TableError(
            f"{output} is a folder, expected a file for the table. Give {option} a file's name."
        )
    if os.path.exists(output):
        check_replaced([output], inputs, overwrite=overwrite, option=option)
        return
    folder = os.path.dirname(os.path.realpath(output))
    if not os.path.isdir(folder):
        raise not_written(output, os.strerror(errno.ENOENT), option)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise not_written(output, os.strerror(errno.EACCES), option)


def check_replaced(
    outputs: Iterable[str],
    inputs: Iterable[str | None] = (),
    *,
    overwrite: bool = False,
    option: str = "-o",
) -> None:
    """Make sure that outputs take the place of no input, and of nobody else's file.

    Args:
        outputs: file paths, or ``"-"``.
        inputs: files that the command reads; None and what is no file are passed over.
        overwrite: replace files that are not emocli's.
        option: the option that names the outputs.

    Raises:
        TableError: an output is an input, by whatever path or link, or there is a file in its
            place that emocli has not made.
    """
    there = [place for place in dict.fromkeys(outputs) if os.path.isfile(place)]
    read = {identity: path for path in inputs if path and (identity := _identity(path))}
    for place in there:
        if _identity(place) in read:
            raise TableError(
                f"{place} is both an input and the output, expected another output, for the "
                f"input would be lost. Choose another place with {option}."
            )
    foreign = [place for place in there if not overwrite and _is_foreign(place)]
    if foreign:
        raise TableError(
            f"{listing(foreign)}: there already and not made by emocli, expected a new file or "
            f"one of its own. Choose another place with {option}, or add --overwrite."
        )


def _identity(path: str) -> tuple[int, int] | None:
    """What is the same for all paths and links to a file; None where there is none."""
    with suppress(OSError, ValueError):
        if os.path.isfile(path):
            status = os.stat(path)
            return status.st_dev, status.st_ino
    return None


def _is_foreign(path: str) -> bool:
    """Whether a file is one that emocli would not have written."""
    if os.path.exists(journal_path(path)):
        return False
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(_MARKED_BYTES)
            stream.seek(max(0, size - _MARKED_BYTES))
            end = stream.read(_MARKED_BYTES)
    except OSError:
        return True
    return bool(size) and not (_OWN_NAME in start or _OWN_NAME in end or _is_own_table(start))


def _is_own_table(start: bytes) -> bool:
    """Whether a file begins as tables and figures of emocli do."""
    text = start.decode("utf-8", "replace").lstrip("\ufeff \r\n[{")
    if _OWN_TRACK.match(text):
        return True
    if text.startswith('"'):
        return re.match(r'"(file|table)":', text) is not None and '"model":' in text
    names = re.split("[,\t]", text.split("\n", 1)[0].rstrip("\r"))
    if names[:2] == ["table", "model"]:  # figures of eval
        return True
    own = _OWN_COLUMNS.intersection(names) or any(
        name.startswith((PROBABILITY_PREFIX, FEATURE_PREFIX)) for name in names
    )
    return names[0] == "file" and "model" in names and bool(own)


def journal_path(output: str) -> Path:
    """Where the journal of an output is: beside it."""
    target = Path(os.path.abspath(output))
    return target.with_name(f".{target.name}.journal")


def not_written(destination: str, reason: str, option: str = "-o") -> TableError:
    """The error for a file that cannot be made where it shall be."""
    return TableError(
        f"{destination}: cannot be written ({reason}), expected a folder that exists and may be "
        f"written to. Make the folder or choose another place with {option}."
    )


def write_bytes(data: bytes, destination: str) -> None:
    """Write a whole file, or to standard output for ``"-"``.

    Raises:
        TableError: the file cannot be written.
    """
    with destination_stream(destination) as stream:
        stream.write(data)
        stream.flush()


def write_text(text: str, destination: str) -> None:
    """Write a text as UTF-8, with the bytes of names that are no UTF-8 as they are.

    Raises:
        TableError: the file cannot be written.
    """
    write_bytes(text.encode("utf-8", "surrogateescape"), destination)


@contextmanager
def destination_stream(destination: str) -> Iterator[BinaryIO]:
    """A stream to a file that appears whole or not at all, or to standard output for ``"-"``.

    Raises:
        TableError: the file cannot be written.
    """
    with _standard_output() if destination == STDIN else replacing(destination) as stream:
        yield stream


@contextmanager
def replacing(destination: str) -> Iterator[BinaryIO]:
    """A stream to a new file that takes the place of ``destination`` when all went well.

    Drafts of processes that were killed are cleared away before.

    Raises:
        TableError: the folder is missing or the file cannot be written.
    """
    if os.path.exists(destination) and not os.path.isfile(destination):
        # A pipe or a device is written to; a file in its place would be something else.
        with _full_disk_told(destination), open(destination, "wb") as stream:
            yield stream
        return
    remove_drafts(destination)
    target = os.path.realpath(destination)
    folder, name = os.path.split(target)
    try:
        import tempfile

        descriptor, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=_DRAFT_END, dir=folder)
    except OSError as error:
        raise not_written(destination, str(error.strerror)) from None
    try:
        with _full_disk_told(destination):
            with os.fdopen(descriptor, "wb") as stream:
                _lock(stream)
                yield stream
            os.chmod(draft, 0o666 & ~_umask())  # mkstemp makes files private
            os.replace(draft, target)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


def _lock(stream: BinaryIO) -> bool:
    """Lock a file until it is closed or its process ends; False where another has locked it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_drafts(destination: str) -> None:
    """Delete what processes that were killed have left of a file; drafts at work are locked."""
    folder, name = os.path.split(os.path.realpath(destination))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f".{name}.") and entry.name.endswith(_DRAFT_END):
                with open(entry.path, "rb") as draft:
                    if _lock(draft):
                        os.unlink(entry.path)


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """The stream of standard output.

    Raises:
        TableError: what it leads to takes no more.
    """
    with _full_disk_told("standard output"):
        try:
            yield sys.stdout.buffer
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                # Python would try once more at exit, and complain in its own words.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


@contextmanager
def _full_disk_told(name: str) -> Iterator[None]:
    """Errors of what is written to as sentences; that a reader has left is no error."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TableError(
            f"{name}: cannot be written ({error.strerror}), expected room for the table. "
            f"Free some space or choose another place with -o."
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def find_file(file: str, folders: Sequence[str] = ("",)) -> str | None:
    """Where a file is that a table or a person names, in whatever spelling; None for nowhere.

    Args:
        file: path, relative or absolute.
        folders: where a relative path may start from, the first one first.
    """
    paths = [os.path.join(folder, file) for folder in folders]
    as_written = next((path for path in paths if os.path.lexists(path)), None)
    if as_written is not None or (file.isascii() and "\\" not in file) or "\0" in file:
        return as_written
    return next(filter(None, map(_respelled, paths)), None)


def place_of(file: str, folder: str) -> Path:
    """Where a file that a table names is, or would be: from the table's folder, in any spelling."""
    return Path(find_file(file, (folder,)) or os.path.join(folder, file))


def _respelled(path: str) -> str | None:
    """The path of a file whose name is spelled otherwise on the disk."""
    at = ""
    for name in path.replace("\\", "/").split("/"):
        further = f"{at}{name}"
        if name and not os.path.lexists(further):
            own = _names_in(at or ".", _changed(at or ".")).get(spelling(name))
            if own is None:
                return None
            further = f"{at}{own}"
        at = f"{further}/"
    return at[:-1]


def _changed(folder: str) -> int:
    with suppress(OSError):
        return os.stat(folder).st_mtime_ns
    return 0


@lru_cache(maxsize=64)
def _names_in(folder: str, changed: int) -> dict[str, str]:
    """Names in a folder by their spelling; read again when the folder has changed."""
    with suppress(OSError):
        return {spelling(name): name for name in os.listdir(folder)}
    return {}
