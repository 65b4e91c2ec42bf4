"""Prediction tables in files and pipes: CSV, TSV, JSON, JSON Lines and Parquet.

Reading is generous: any table with a ``file`` column will do, label names may be any that
`emocli.labels` knows, times may be seconds or the ``0 days 00:00:01.5`` of an audformat segmented
index. Writing is strict, see `emocli.table_writer`.
"""

import codecs
import csv
import errno
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from emocli.errors import TableError
from emocli.labels import spelled_label
from emocli.natural_order import natural_key
from emocli.table import (
    PROBABILITY_PREFIX,
    Join,
    Key,
    PredictionTable,
    join,
    listing,
)
from emocli.table_writer import TableWriter, need_pyarrow, table_writer

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet")
STREAMED = ("csv", "tsv", "jsonl")
"""Forms whose rows can be written before the last one is known."""

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
STDIN = "-"
_DRAFT_END = ".draft"
_PARQUET_MAGIC = b"PAR1"
_LARGEST_FIELD = 64 * 1024 * 1024  # characters; a transcript of a day of speech is far below


def format_of(path: str) -> str | None:
    """The table format that a file name's suffix names, None for any other suffix."""
    return _SUFFIXES.get(os.path.splitext(path)[1].lower())


def read_table(path: str, *, name: str | None = None) -> PredictionTable:
    """A table from a file, from the files of a folder, or from standard input for ``"-"``.

    The suffix decides the format; standard input and other suffixes are recognised by content.
    The tables in a folder, such as those of ``--shard`` or ``--cluster``, are read one below
    another in natural order, with the union of their columns; hidden files, those that start
    with ``_``, files that are no tables by their names, and folders in it are left out.

    Args:
        path: path of a file or folder, or ``"-"``.
        name: what to call the table in an error; the path by default.

    Raises:
        TableError: the file cannot be read, is empty or is not a table; the folder holds no
            table, or two of its tables have a row for the same utterance and model.
        MissingDependency: a Parquet file without pyarrow.
    """
    shown = name or ("standard input" if path == STDIN else path)
    if path != STDIN and os.path.isdir(path):
        return _read_folder(path, shown)
    folder = "" if path == STDIN else os.path.dirname(path)
    return parse_table(_read_bytes(path, shown), shown, kind=format_of(path), folder=folder)


def read_tables(paths: Iterable[str | None]) -> dict[str, PredictionTable]:
    """Tables by their paths, each read once, and a pipe after all files.

    So a file that is not there is told at once, and not when the command before the pipe has done
    its work.

    Args:
        paths: as `read_table` takes them; None is left out.

    Raises:
        TableError: see `read_table`; or standard input is named twice.
        MissingDependency: a Parquet file without pyarrow.
    """
    wanted = [path for path in paths if path is not None]
    if wanted.count(STDIN) > 1:
        raise TableError(
            f"{STDIN} is given {wanted.count(STDIN)} times and stands for standard input, which "
            f"can be read once. Write one of the tables to a file and name that."
        )
    return {path: read_table(path) for path in sorted(dict.fromkeys(wanted), key=STDIN.__eq__)}


def parse_table(
    data: bytes, name: str, *, kind: str | None = None, folder: str = ""
) -> PredictionTable:
    """A table from the bytes of a file.

    Args:
        data: the whole content.
        name: what to call the table in an error.
        kind: one of `FORMATS`; recognised by content where it is None.
        folder: folder that relative paths in ``file`` start from.

    Raises:
        TableError: the content is empty or not a table.
        MissingDependency: Parquet without pyarrow.
    """
    columns = parse_columns(data, name, kind=kind)
    return PredictionTable.from_columns(columns, folder=folder, name=name)


def parse_columns(
    data: bytes, name: str, *, kind: str | None = None
) -> Mapping[str, Sequence[Any]]:
    """Columns of a table that need not be one of predictions, by name.

    Args:
        data: the whole content.
        name: what to call the table in an error.
        kind: one of `FORMATS`; recognised by content where it is None.

    Raises:
        TableError: the content is empty or not a table.
        MissingDependency: Parquet without pyarrow.
    """
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise TableError(
            f"{name}: empty, expected a table with a header line. "
            f"Check that the command before it succeeded."
        )
    return _canonical(_READERS[kind or _recognise(data)](data, name))


def write_table(
    table: PredictionTable, destination: str, kind: str, *, csv_safe: bool = False
) -> None:
    """Write a table to a file, or to standard output for ``"-"``.

    A file appears whole or not at all: it is written beside its place and then renamed.

    Args:
        table: what to write.
        destination: file path, or ``"-"``.
        kind: one of `FORMATS`.
        csv_safe: let no spreadsheet take texts of CSV and TSV for formulas.

    Raises:
        TableError: the file cannot be written.
        MissingDependency: Parquet without pyarrow.
    """
    with table_stream(destination, kind, list(table.columns), csv_safe=csv_safe) as stream:
        stream.write(table)


@contextmanager
def table_stream(
    destination: str, kind: str, names: Sequence[str], *, csv_safe: bool = False
) -> Iterator[TableWriter]:
    """A table that is written piece by piece, to a file or to standard output for ``"-"``.

    A file appears whole when all went well, or not at all. Who reads standard output has each
    piece at once.

    Args:
        destination: file path, or ``"-"``.
        kind: one of `FORMATS`.
        names: columns of the whole table.
        csv_safe: let no spreadsheet take texts of CSV and TSV for formulas, see
            `emocli.table_writer.text_cell`.

    Raises:
        TableError: the file cannot be written.
        MissingDependency: Parquet without pyarrow.
    """
    place = _standard_output() if destination == STDIN else replacing(destination)
    with place as stream:
        writer = table_writer(kind, stream, names, csv_safe=csv_safe)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        stream.flush()


def check_place(destination: str) -> None:
    """Make sure that there is a folder to write to, before work that would be lost without one.

    Args:
        destination: file path or ``"-"``.

    Raises:
        TableError: the folder is missing or may not be written to, or a folder is in the place.
    """
    if destination != STDIN and os.path.isdir(destination):
        raise TableError(
            f"{destination} is a folder, expected a file for the table. Give -o a file's name."
        )
    if destination == STDIN or os.path.exists(destination):
        return
    folder = os.path.dirname(os.path.realpath(destination))
    if not os.path.isdir(folder):
        raise not_written(destination, os.strerror(errno.ENOENT))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise not_written(destination, os.strerror(errno.EACCES))


def not_written(destination: str, reason: str) -> TableError:
    """The error for a file that cannot be made where it shall be."""
    return TableError(
        f"{destination}: cannot be written ({reason}), expected a folder that exists and may be "
        f"written to. Make the folder or choose another place with -o."
    )


@contextmanager
def replacing(destination: str) -> Iterator[BinaryIO]:
    """A stream to a new file that takes the place of ``destination`` when all went well.

    Raises:
        TableError: the folder is missing or the file cannot be written.
    """
    if os.path.exists(destination) and not os.path.isfile(destination):
        # A pipe or a device is written to; a file in its place would be something else.
        with _full_disk_told(destination), open(destination, "wb") as stream:
            yield stream
        return
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
                yield stream
            os.chmod(draft, 0o666 & ~_umask())  # mkstemp makes files private
            os.replace(draft, target)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


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


def remove_drafts(destination: str) -> None:
    """Delete what processes that were killed have left of a file that nobody else writes now."""
    folder, name = os.path.split(os.path.realpath(destination))
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(f".{name}.") and entry.name.endswith(_DRAFT_END):
                os.unlink(entry.path)


def match_tables(
    left: PredictionTable,
    right: PredictionTable,
    *,
    match: str = "path",
    root: str | None = None,
    names: tuple[str, str] = ("first table", "second table"),
) -> Join:
    """Match the utterances of two tables, however each of them writes its paths.

    ``match="path"`` compares paths as written and, where that leaves any row alone, as real
    paths. A relative path is taken from the table's own folder if the file is there, else from
    the working folder; with ``root`` from there alone. ``match="stem"`` compares names without
    folder and ending.

    Args:
        left: the table whose rows are kept in order.
        right: the table that is looked up.
        match: ``"path"`` or ``"stem"``.
        root: folder that relative paths of both tables start from.
        names: what to call the tables in an error.

    Raises:
        TableError: a table has an utterance twice, or two files share a stem.
    """
    if match == "stem":
        return join(_stem_keys(left, names[0]), _stem_keys(right, names[1]), names=names)
    written = join(left.keys(), right.keys(), names=names)
    if not (len(written.left_only) or len(written.right_only)):
        return written
    try:
        real = join(_real_keys(left, root), _real_keys(right, root), names=names)
    except TableError:  # two written paths lead to one file; as written they are apart
        return written
    return min((written, real), key=lambda found: len(found.left_only) + len(found.right_only))


def _stem_keys(table: PredictionTable, name: str) -> list[Key]:
    """Keys with the file's name without folder and ending in place of its path."""
    owners: dict[str, str] = {}
    for file in table["file"].tolist():
        stem = _stem(file)
        other = owners.setdefault(stem, file)
        if other != file:
            raise TableError(
                f"{name}: {other} and {file} share the name {stem}, expected one "
                f"file of each name for --match stem. Join by path instead."
            )
    return [(_stem(key[0]), *key[1:]) for key in table.keys()]


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _real_keys(table: PredictionTable, root: str | None) -> list[Key]:
    """Keys with real paths; one file system look-up a file, not a row."""
    folders = [root] if root is not None else list(dict.fromkeys((table.folder, "")))
    real = {file: _real_path(file, folders) for file in dict.fromkeys(table["file"].tolist())}
    return [(real[key[0]], *key[1:]) for key in table.keys()]


def _read_folder(folder: str, shown: str) -> PredictionTable:
    """The tables of a folder as one.

    Raises:
        TableError: there is none, one of them is none, or two of them share a row.
    """
    parts = _parts(folder, shown)
    tables = [read_table(os.path.join(folder, part)) for part in parts]
    owners: dict[tuple[Key, str], str] = {}
    for part, table in zip(parts, tables, strict=True):
        table.check_unique_keys(f"{shown}, {part}")
        for key in zip(table.keys(), table.column("model").tolist(), strict=True):
            other = owners.setdefault(key, part)
            if other != part:
                raise TableError(
                    f"{shown}: {other} and {part} both have a row for {key[0][0]}, expected parts "
                    f"of one table, each row in one of them. Remove one of the two files."
                )
    return PredictionTable.concat(tables)


def _parts(folder: str, shown: str) -> list[str]:
    """Names of the tables in a folder, numbers in order of size."""
    try:
        with os.scandir(folder) as entries:
            found = [one.name for one in entries if format_of(one.name) and one.is_file()]
    except OSError as error:
        raise TableError(
            f"{shown}: cannot be listed ({error.strerror}), expected a folder of tables. "
            f"Check its permissions."
        ) from None
    parts = [name for name in found if not name.startswith((".", "_"))]
    if not parts:
        raise TableError(
            f"{shown}: a folder without a table, expected files that end in "
            f"{', '.join(_SUFFIXES)}. Name the table itself, or check that its run has finished."
        )
    return sorted(parts, key=natural_key)


def _real_path(file: str, folders: Sequence[str]) -> str:
    candidates = [os.path.join(folder, file) for folder in folders]
    there = next((path for path in candidates if os.path.exists(path)), candidates[0])
    return os.path.realpath(there)


def _read_bytes(path: str, name: str) -> bytes:
    try:
        if path == STDIN:
            return sys.stdin.buffer.read()
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise TableError(
            f"{name}: cannot be read ({error.strerror}), expected a table. Check the path."
        ) from None


def _recognise(data: bytes) -> str:
    """The format of content without a telling suffix."""
    if data.startswith(_PARQUET_MAGIC):
        return "parquet"
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in (b"[", b"{"):
        first_line = data.strip().splitlines()[0]
        return "jsonl" if start == b"{" and first_line.rstrip().endswith(b"}") else "json"
    header = data.splitlines()[0]
    return "tsv" if b"\t" in header and b"," not in header else "csv"


def _canonical(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Columns with label names in one spelling and times in seconds."""
    renamed: dict[str, Sequence[Any]] = {}
    for key, values in columns.items():
        name = key
        if key.startswith(PROBABILITY_PREFIX):
            name = PROBABILITY_PREFIX + spelled_label(key[len(PROBABILITY_PREFIX) :])
        if name in renamed:
            raise TableError(
                f"Columns {name} and {key} mean the same label, expected one column for each. "
                f"Remove one of them."
            )
        renamed[name] = values
    if "label" in renamed:
        labels = [_as_text(value) for value in renamed["label"]]
        known = {label: spelled_label(label) for label in set(labels)}
        renamed["label"] = [known[label] for label in labels]
    for key in ("start", "end"):
        if key in renamed:
            renamed[key] = [_seconds(value) for value in renamed[key]]
    return renamed


def _as_text(value: Any) -> str:
    """A label as text, also where JSON has a number for it; a missing one is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _seconds(value: Any) -> Any:
    """Seconds of a pandas time delta such as ``0 days 00:00:01.5``; other values as they are."""
    if not isinstance(value, str) or ":" not in value:
        return None if value == "NaT" else value
    days, _, clock = value.rpartition(" days ")
    hours, _, rest = clock.strip().partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return ((int(days or 0) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)
    except ValueError:
        return value


def _read_separated(data: bytes, name: str, separator: str) -> dict[str, list[str]]:
    """Columns of a CSV or TSV table; every row must have as many fields as the header."""
    text = _decode(data, name)
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(reader)
        _check_header(header, name)
        rows = []
        for row in reader:
            if len(row) == len(header):
                rows.append(row)
            elif row:
                raise TableError(
                    f"{name}: line {reader.line_num} has {len(row)} fields, expected "
                    f"{len(header)} as in the header. Complete or quote it."
                )
    except csv.Error as error:
        raise TableError(
            f"{name}: line {reader.line_num} cannot be parsed ({error}), expected "
            f"{'comma' if separator == ',' else 'tab'}-separated values. Quote its fields."
        ) from None
    return {key: [row[index] for row in rows] for index, key in enumerate(header)}


def _check_header(header: Sequence[str], name: str) -> None:
    twice = [key for key in dict.fromkeys(header) if header.count(key) > 1]
    if twice:
        raise TableError(
            f"{name}: the header repeats {listing(twice)}, expected each column once. "
            f"Rename or remove the repeated columns."
        )


def _decode(data: bytes, name: str) -> str:
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise TableError(
            f"{name}: holds binary data, expected a table as text. "
            f"Give a CSV, TSV, JSON, JSON Lines or Parquet file."
        )
    return text


def _read_json(data: bytes, name: str) -> dict[str, list[Any]]:
    """Columns of a JSON array of objects."""
    return _columns_of_objects(_parse_json(_decode(data, name), name, "an array of objects"), name)


def _read_json_lines(data: bytes, name: str) -> dict[str, list[Any]]:
    """Columns of one JSON object a line."""
    lines = [line for line in _decode(data, name).split("\n") if line.strip()]
    return _columns_of_objects(
        [_parse_json(line, f"{name}, line {n}", "an object") for n, line in enumerate(lines, 1)],
        name,
    )


def _parse_json(text: str, name: str, expected: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"{name}: not JSON ({error}), expected {expected}. "
            f"Check that the file was written completely."
        ) from None


def _columns_of_objects(rows: Any, name: str) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TableError(
            f"{name}: not a list of objects, expected one object with column names for each row. "
            f"Write it as an array of objects or as JSON Lines."
        )
    names = list(dict.fromkeys(key for row in rows for key in row))
    return {key: [_plain(row.get(key)) for row in rows] for key in names} or {"file": []}


def _plain(value: Any) -> Any:
    """A JSON value as a cell: numbers and text stay, nested values become their JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _read_parquet(data: bytes, name: str) -> dict[str, list[Any]]:
    need_pyarrow("read")
    import pyarrow as pa
    import pyarrow.parquet

    try:
        found = pa.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{name}: not a Parquet file ({str(error).splitlines()[0]}), expected a table. "
            f"Check that the file was written completely."
        ) from None
    return {key: found.column(key).to_pylist() for key in found.column_names}


_READERS: Mapping[str, Callable[[bytes, str], Mapping[str, Sequence[Any]]]] = {
    "csv": lambda data, name: _read_separated(data, name, ","),
    "tsv": lambda data, name: _read_separated(data, name, "\t"),
    "json": _read_json,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
