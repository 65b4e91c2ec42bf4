"""PATH arguments as utterances: files, folders, patterns, manifests and standard input."""

import codecs
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emocli.audio.find import expand_pattern, find_recordings, is_pattern
from emocli.audio.stores import (
    FETCHED_AT_A_TIME,
    StoredPath,
    find_stored,
    is_uri,
    located,
    read_stored,
)
from emocli.errors import AudioError, TableError
from emocli.table import (
    DIMENSIONS,
    KEY_COLUMNS,
    MEASURES,
    PROBABILITY_PREFIX,
    REMARK_COLUMNS,
    PredictionTable,
    listing,
)
from emocli.table_io import STDIN, format_of, parse_table, read_table

_NOT_CARRIED = frozenset((*KEY_COLUMNS, "label", *MEASURES, *DIMENSIONS, *REMARK_COLUMNS))
_FIRST_BYTES = 65536


_NOTHING: Mapping[str, Any] = {}
"""What utterances without other columns share: a million of them are in memory at once."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What gets a row: a recording, or a segment of one.

    Attributes:
        file: the path as the user gave it, with ``/`` between folders.
        path: where the recording is, if it is anywhere: on this machine or in a store.
        start: seconds at which the segment starts; None for the beginning.
        end: seconds at which the segment ends; None for the end.
        carried: other columns of the table that named it.
        note: doubts that the table has about it.
        error: why the step before had no result for it.
    """

    file: str
    path: Path | StoredPath
    start: float | None = None
    end: float | None = None
    carried: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    note: str = ""
    error: str = ""


@dataclass(frozen=True)
class Inputs:
    """What the arguments of a command came to.

    Attributes:
        utterances: in the order of the arguments, each once.
        remarks: sentences for the user on what was left out or replaced.
        folder: where relative paths of ``file`` start from, if a single table named them all;
            else empty for the working folder.
        warnings: sentences that nobody should miss.
    """

    utterances: tuple[Utterance, ...]
    remarks: tuple[str, ...] = ()
    folder: str = ""
    warnings: tuple[str, ...] = ()


PathLike = str | os.PathLike[str]


def read_inputs(paths: PathLike | PredictionTable | Sequence[PathLike]) -> Inputs:
    """Utterances of files, folders, patterns, manifests and ``"-"``.

    A folder stands for all recordings in it and below. A pattern with ``*``, ``?`` or ``[`` that
    the shell left alone is expanded here. A table (CSV, TSV, JSON, JSON Lines, Parquet) stands
    for the recordings in its ``file`` column; ``start`` and ``end`` in seconds make segments of
    them and other columns are carried through. A URI such as ``s3://bucket/folder/`` stands for
    what a path would; a table in a store names what is beside it there. Standard input is a
    table, or a list of paths one a line or separated by null bytes. A file that is named and does
    not exist is an utterance all the same: it gets a row that says so.

    Args:
        paths: one or several arguments, or a table.

    Raises:
        AudioError: a folder without recordings, a pattern that matches nothing, a store that
            cannot be listed, or nothing at all on standard input.
        TableError: a manifest that is not a table.
    """
    arguments = [paths] if isinstance(paths, (str, os.PathLike, PredictionTable)) else list(paths)
    groups = [_argument(argument) for argument in arguments]
    unique, repeated = _unique(utterance for group in groups for utterance in group[0])
    remarks = [remark for group in groups for remark in group[1]]
    if repeated:
        remarks.append(f"Named more than once and taken once: {listing(repeated)}.")
    folder = groups[0][2] if len(groups) == 1 else ""
    return Inputs(tuple(unique), tuple(remarks), folder)


_Group = tuple[list[Utterance], list[str], str]


def _argument(argument: PathLike | PredictionTable) -> _Group:
    """Utterances, remarks and folder of one argument."""
    if isinstance(argument, PredictionTable):
        return _table_utterances(argument, "the table")
    text = os.fspath(argument)
    if text == STDIN:
        return _standard_input(sys.stdin.buffer.read())
    if is_uri(text):
        return _stored_table(text) if format_of(text) else (list(_recordings(text)), [], "")
    if format_of(text) and not os.path.isdir(text) and not is_pattern(text):
        return _table_utterances(read_table(text), text)
    named = expand_pattern(text) if is_pattern(text) else [text]
    return [found for path in named for found in _recordings(path)], [], ""


def _recordings(path: str) -> Iterator[Utterance]:
    """Utterances of a file or a folder, here or in a store."""
    if is_uri(path):
        for one in find_stored(path):
            yield Utterance(file=one.uri, path=one)
        return
    for found in find_recordings(path) if os.path.isdir(path) else [path]:
        yield Utterance(file=_written(found), path=Path(found))


def _written(path: str) -> str:
    """A path with ``/`` between folders, as tables have it."""
    return path.replace(os.sep, "/")


def _standard_input(data: bytes) -> _Group:
    """Utterances of a table, or of a list of paths."""
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise AudioError(
            "standard input: empty, expected a table or a list of paths. "
            "Check that the command before it succeeded."
        )
    if is_table(data):
        return _table_utterances(parse_table(data, "standard input"), "standard input")
    paths = os.fsdecode(data).split("\0" if b"\0" in data else "\n")
    named = (path.rstrip("\r") for path in paths)
    return [found for path in named if path for found in _recordings(path)], [], ""


def is_table(data: bytes) -> bool:
    r"""Whether bytes are a table with a ``file`` column rather than a list of paths.

    Example:
        >>> is_table(b"file,speaker\na.wav,1\n"), is_table(b"b/file.wav\na.wav\n")
        (True, False)
    """
    start = data[:_FIRST_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"{", b"[", b"PAR1")):
        return True
    header = start.splitlines()[0].replace(b"\t", b",").split(b",")
    return b"file" in [name.strip(b' "') for name in header]


def _table_utterances(table: PredictionTable, name: str) -> _Group:
    """Utterances of the rows of a table."""
    replaced = [
        column
        for column in table.columns
        if column in ("label", *DIMENSIONS) or column.startswith(PROBABILITY_PREFIX)
    ]
    remarks = (
        [f"{name}: {listing(replaced)} of the input give way to the new prediction."]
        if replaced
        else []
    )
    carried = [
        column
        for column in table.columns
        if column not in _NOT_CARRIED and not column.startswith(PROBABILITY_PREFIX)
    ]
    utterances = [_row_utterance(row, carried, table.folder) for row in table.rows()]
    return utterances, remarks, table.folder


def _stored_table(uri: str) -> _Group:
    """Utterances of a table in a store, with whole URIs as there is no folder to start from.

    Raises:
        TableError: it cannot be fetched, or is no table.
    """
    try:
        table = parse_table(read_stored(uri), uri, kind=format_of(uri))
    except OSError as error:
        raise TableError(str(error)) from None
    folder = uri[: uri.rindex("/") + 1]
    utterances, remarks, _ = _table_utterances(table, uri)
    whole = [one.file if is_uri(one.file) else folder + one.file for one in utterances]
    moved = [
        replace(one, file=file, path=StoredPath(file))
        for one, file in zip(utterances, whole, strict=True)
    ]
    return moved, remarks, ""


def _row_utterance(row: Mapping[str, Any], carried: Sequence[str], folder: str) -> Utterance:
    file = row["file"]
    return Utterance(
        file=_written(file),
        path=_located(file, folder),
        start=_seconds(row.get("start")),
        end=_seconds(row.get("end")),
        carried={column: row[column] for column in carried},
        note=row.get("note", ""),
        error=row.get("error", ""),
    )


def _located(file: str, folder: str) -> Path | StoredPath:
    """Where a file of a table is: from the table's folder, else from the working folder."""
    if is_uri(file):
        return located(file)
    beside = Path(folder, file)
    return (
        Path(file) if folder and not os.path.lexists(beside) and os.path.lexists(file) else beside
    )


def whole_path(path: Path | StoredPath) -> str:
    """A place in the one way in which it is written whatever the working folder is."""
    return path.uri if isinstance(path, StoredPath) else os.path.abspath(path)


def threads_for(utterances: Sequence[Utterance], n_threads: int) -> int:
    """How many recordings to read at a time: more where some have to be fetched.

    Args:
        utterances: what is to be read.
        n_threads: as many where all is on this machine.
    """
    stored = any(isinstance(one.path, StoredPath) for one in utterances)
    return max(n_threads, FETCHED_AT_A_TIME) if stored else n_threads


def _seconds(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _unique(utterances: Iterable[Utterance]) -> tuple[list[Utterance], list[str]]:
    """Utterances without repetitions, and the files that were repeated."""
    seen = set()
    unique = []
    repeated = []
    for utterance in utterances:
        key = (whole_path(utterance.path), utterance.start, utterance.end)
        if key in seen:
            repeated.append(utterance.file)
            continue
        seen.add(key)
        unique.append(utterance)
    return unique, repeated
