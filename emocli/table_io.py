"""Prediction tables in files and pipes, and which rows of two tables speak of the same recording.

Reading is generous, see `emocli.table_reader`: any table with a column of files will do. Writing is
strict, see `emocli.table_writer`.
"""

import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from types import MappingProxyType

from emocli.errors import TableError
from emocli.files import STDIN, destination_stream, find_file
from emocli.natural_order import natural_key
from emocli.table import Join, Key, PredictionTable, join, listing, spelling, stem_of
from emocli.table_reader import NO_NAMES, ColumnNames, parse_columns
from emocli.table_writer import TableWriter, table_writer

FORMATS = ("csv", "tsv", "json", "jsonl", "parquet")
"""Forms in which tables are written; Excel workbooks are only read."""
_UNREAD = (".pkl", ".pickle", ".xls", ".ods", ".feather", ".arrow", ".csv.gz", ".sqlite")
"""Endings of tables in forms that are not read, which are no recordings either."""
STREAMED = ("csv", "tsv", "jsonl")
"""Forms whose rows can be written before the last one is known."""

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


def format_of(path: str) -> str | None:
    """The table format that a file name's suffix names, None for any other suffix."""
    return _SUFFIXES.get(os.path.splitext(path)[1].lower())


def is_table_name(path: str) -> bool:
    """Whether a file is a table by its name, also one in a form that is refused."""
    return format_of(path) is not None or path.lower().endswith(_UNREAD)


def read_table(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    file_column: str = "",
    text_column: str = "",
    speaker_column: str = "",
) -> PredictionTable:
    """A table from a file, from the files of a folder, or from standard input for ``"-"``.

    CSV with any usual separator, TSV, JSON, JSON Lines, Parquet and Excel workbooks. The suffix
    decides the form; standard input and other suffixes are recognised by content. The tables in a
    folder, such as those of ``--shard`` or ``--cluster``, are read one below another in natural
    order, with the union of their columns; hidden files, those that start with ``_``, files that
    are no tables by their names, and folders in it are left out.

    Args:
        path: path of a file or folder, or ``"-"``.
        name: what to call the table in an error; the path by default.
        file_column: what the table calls ``file``, where it does so in an unusual way.
        text_column: what it calls ``text``.
        speaker_column: what it calls ``speaker``.

    Raises:
        TableError: the file cannot be read, is empty or is not a table; a column that is named is
            not there; the folder holds no table, or two of its tables have a row for the same
            utterance and model.
        MissingDependency: a Parquet file without pyarrow, or a workbook without openpyxl.
    """
    columns = ColumnNames(file_column, text_column, speaker_column)
    path = os.fspath(path)
    return read_tables([path], columns, names={path: name} if name else {})[path]


def read_tables(
    paths: Iterable[str | None],
    columns: ColumnNames = NO_NAMES,
    *,
    names: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, PredictionTable]:
    """Tables by their paths, each read once, and a pipe after all files.

    So a file that is not there is told at once, and not when the command before the pipe has done
    its work.

    Args:
        paths: as `read_table` takes them; None is left out.
        columns: what the user calls some columns; at least one of the tables has each of them.
        names: what to call tables in an error, by path.

    Raises:
        TableError: see `read_table`; or standard input is named twice.
        MissingDependency: a Parquet file without pyarrow, or a workbook without openpyxl.
    """
    wanted = [path for path in paths if path is not None]
    if wanted.count(STDIN) > 1:
        raise TableError(
            f"{STDIN} is given {wanted.count(STDIN)} times and stands for standard input, which "
            f"can be read once. Write one of the tables to a file and name that."
        )
    met: set[str] = set()
    found = {
        path: _read(path, names.get(path) or _shown(path), columns, met)
        for path in sorted(dict.fromkeys(wanted), key=STDIN.__eq__)
    }
    check_named(columns, met, [(names.get(path) or _shown(path), found[path]) for path in found])
    return found


def check_named(
    columns: ColumnNames, met: Container[str], tables: Sequence[tuple[str, PredictionTable]]
) -> None:
    """Make sure that columns that the user names are in one of the tables.

    Args:
        columns: what the user calls some columns.
        met: which of them were found.
        tables: those that were read, by what to call them in an error.

    Raises:
        TableError: a column is in none of them.
    """
    for name, given in columns.wanted().items():
        if tables and name not in met:
            known = dict.fromkeys(key for _, table in tables for key in table.columns)
            raise TableError(
                f"{listing(shown for shown, _ in tables)}: no column {given} among "
                f"{listing(known)}, expected the one that --{name}-column names. Correct it."
            )


def _shown(path: str) -> str:
    return "standard input" if path == STDIN else path


def _read(path: str, shown: str, columns: ColumnNames, met: set[str]) -> PredictionTable:
    """One table; ``met`` gets the names of columns of the user's that are in it."""
    if path != STDIN and os.path.isdir(path):
        return _read_folder(path, shown, columns, met)
    folder = "" if path == STDIN else os.path.dirname(path)
    data = read_bytes(path, shown)
    return parse_table(data, shown, kind=format_of(path), folder=folder, columns=columns, met=met)


def parse_table(
    data: bytes,
    name: str,
    *,
    kind: str | None = None,
    folder: str = "",
    columns: ColumnNames = NO_NAMES,
    met: set[str] | None = None,
) -> PredictionTable:
    """A table from the bytes of a file.

    Args:
        data: the whole content.
        name: what to call the table in an error.
        kind: what `format_of` gives; recognised by content where it is None.
        folder: folder that relative paths in ``file`` start from.
        columns: what the user calls some columns.
        met: gets the names of those that are in the table.

    Raises:
        TableError: the content is empty or not a table.
        MissingDependency: Parquet without pyarrow, or a workbook without openpyxl.
    """
    found = parse_columns(data, name, kind=kind, columns=columns)
    if met is not None:
        met |= found.named
    table = PredictionTable.from_columns(found, folder=folder, name=name)
    return replace(table, remarks=found.remarks)


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
    with destination_stream(destination) as stream:
        writer = table_writer(kind, stream, names, csv_safe=csv_safe)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        stream.flush()


def match_tables(
    left: PredictionTable,
    right: PredictionTable,
    *,
    match: str = "path",
    root: str | None = None,
    names: tuple[str, str] = ("first table", "second table"),
) -> Join:
    """Match the utterances of two tables, however each of them writes its paths.

    ``match="path"`` compares paths as written and, where that leaves any row alone, in one
    `spelling` and as real paths. A relative path is taken from the table's own folder if the file
    is there, else from the working folder; with ``root`` from there alone. ``match="stem"``
    compares names without folder and ending.

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
    found = [join(left.keys(), right.keys(), names=names)]
    for keys in (_spelled_keys, partial(_real_keys, root=root)):
        if not _n_alone(found[-1]):
            break
        # Two written paths may lead to one file; as written they are apart.
        with suppress(TableError):
            found.append(join(keys(left), keys(right), names=names))
    return min(found, key=_n_alone)


def _n_alone(found: Join) -> int:
    return len(found.left_only) + len(found.right_only)


def _spelled_keys(table: PredictionTable) -> list[Key]:
    """Keys with paths in one spelling."""
    return [(spelling(key[0]), *key[1:]) for key in table.keys()]


def _stem_keys(table: PredictionTable, name: str) -> list[Key]:
    """Keys with the file's name without folder and ending in place of its path."""
    owners: dict[str, str] = {}
    for file in table["file"].tolist():
        stem = stem_of(file)
        other = owners.setdefault(stem, file)
        if spelling(other) != spelling(file):
            raise TableError(
                f"{name}: {other} and {file} share the name {stem}, expected one "
                f"file of each name for --match stem. Join by path instead."
            )
    return [(stem_of(key[0]), *key[1:]) for key in table.keys()]


def _real_keys(table: PredictionTable, root: str | None) -> list[Key]:
    """Keys with real paths; one file system look-up a file, not a row."""
    folders = [root] if root is not None else list(dict.fromkeys((table.folder, "")))
    real = {file: _real_path(file, folders) for file in dict.fromkeys(table["file"].tolist())}
    return [(real[key[0]], *key[1:]) for key in table.keys()]


def _read_folder(folder: str, shown: str, columns: ColumnNames, met: set[str]) -> PredictionTable:
    """The tables of a folder as one.

    Raises:
        TableError: there is none, one of them is none, or two of them share a row.
    """
    parts = _parts(folder, shown)
    paths = [os.path.join(folder, part) for part in parts]
    tables = [_read(path, path, columns, met) for path in paths]
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
    remarks = tuple(remark for table in tables for remark in table.remarks)
    return replace(PredictionTable.concat(tables), remarks=remarks)


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
    found = find_file(file, folders) or os.path.join(folders[0], spelling(file))
    return spelling(os.path.realpath(found))


def table_files(paths: Iterable[str | None]) -> Iterator[str]:
    """Files that `read_tables` reads, with those of folders one by one."""
    for path in paths:
        if path is not None and path != STDIN and os.path.isdir(path):
            yield from (os.path.join(path, part) for part in _parts(path, path))
        elif path is not None:
            yield path


def read_bytes(path: str, name: str) -> bytes:
    """The content of a file that is found in any spelling, or of standard input for ``"-"``.

    Raises:
        TableError: it cannot be read.
    """
    try:
        if path == STDIN:
            return sys.stdin.buffer.read()
        with open(find_file(path) or path, "rb") as stream:
            return stream.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or error
        raise TableError(
            f"{name}: cannot be read ({reason}), expected a table. Check the path."
        ) from None
