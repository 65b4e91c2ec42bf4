"""Bytes of a table as columns: CSV, TSV, JSON, JSON Lines, Parquet and Excel workbooks.

Tables come from spreadsheets, databases and other programs. What can be told from the content is
read: separators, decimal commas, UTF-16, Windows-1252, `sep=` lines, empty rows, names of columns
in another case, time deltas. What cannot be told is an error that names the cause.
"""

import codecs
import csv
import io
import json
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from emocli.errors import MissingDependency, TableError
from emocli.labels import spelled_label
from emocli.table import (
    DIMENSIONS,
    MEASURES,
    PROBABILITY_PREFIX,
    TRANSCRIPT_COLUMNS,
    VOTES_PREFIX,
    is_figure,
    listing,
)
from emocli.table_writer import need_pyarrow

FILE_NAMES = (
    *("file", "filename", "file_name", "filepath", "file_path", "path", "wav", "wav_path"),
    *("audio", "audio_path", "audio_file", "wav_file", "recording", "name"),
)
"""What other programs call the column ``file``; the first that a table has is taken for it."""

_KNOWN_NAMES = frozenset(
    (
        *("file", "start", "end", "label", *MEASURES, *DIMENSIONS, *TRANSCRIPT_COLUMNS),
        *("emotion", "speaker", "reference", "gender", "session", "split", "fold", "score"),
    )
)
"""Columns whose names are known in any case; what emocli alone writes is not among them."""

_SEPARATORS = ",;\t|"
_SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\t|]*\r?(?:\n|$)', re.IGNORECASE)
"""The line by which spreadsheets are told the separator."""

_FIRST_BYTES = 65536
_LARGEST_FIELD = 64 * 1024 * 1024  # characters; a transcript of a day of speech is far below
_PARQUET_MAGIC = b"PAR1"
_ZIP_MAGIC = b"PK\x03\x04"
_UNREADABLE = {
    b"\x80\x02": "a pickle, which can run programs when it is read",
    b"\x80\x03": "a pickle, which can run programs when it is read",
    b"\x80\x04": "a pickle, which can run programs when it is read",
    b"\x80\x05": "a pickle, which can run programs when it is read",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of before 2007",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"ARROW1": "an Arrow or Feather file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
}
"""How files start that hold tables in forms that are not read."""

_WORKBOOK_FAULTS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, zipfile.BadZipFile, zlib.error),
)
"""What openpyxl raises on damaged files, which it does not translate."""

_LARGEST_WORKBOOK = 1 << 30  # bytes unpacked; a workbook is a zip file, and may be a bomb


@dataclass(frozen=True)
class ColumnNames:
    """What a user calls columns that emocli knows under names of its own; empty for these names.

    The column of that name and the one that has its place change names, so that none is lost.
    """

    file: str = ""
    text: str = ""
    speaker: str = ""

    def wanted(self) -> dict[str, str]:
        """The user's names by emocli's."""
        given = {"file": self.file, "text": self.text, "speaker": self.speaker}
        return {name: wanted for name, wanted in given.items() if wanted}


NO_NAMES = ColumnNames()


@dataclass(frozen=True)
class Columns(Mapping[str, Sequence[Any]]):
    """Columns of a table by name.

    Attributes:
        cells: of each column, all of one length.
        remarks: sentences on what was taken for what.
        named: which names of `ColumnNames` were found.
    """

    cells: Mapping[str, Sequence[Any]]
    remarks: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.cells[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)


def parse_columns(
    data: bytes, name: str, *, kind: str | None = None, columns: ColumnNames = NO_NAMES
) -> Columns:
    """Columns of a table that need not be one of predictions, by name.

    Args:
        data: the whole content.
        name: what to call the table in an error.
        kind: a form of `emocli.table_io.READ_FORMATS`; recognised by content where it is None.
        columns: what the user calls some columns.

    Raises:
        TableError: the content is empty or not a table.
        MissingDependency: Parquet without pyarrow, or a workbook without openpyxl.
    """
    if not data.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0"):
        raise TableError(
            f"{name}: empty, expected a table with a header line. "
            f"Check that the command before it succeeded."
        )
    _refuse_other_forms(data, name)
    remarks: list[str] = []
    found = _READERS[kind or _recognised(data)](data, name, remarks)
    named, met = _named(found, columns)
    return Columns(_canonical(named, name), tuple(remarks), met)


def is_frame(value: Any) -> bool:
    """Whether a value is a pandas data frame, without importing pandas."""
    return type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns")


def columns_of_frame(frame: Any, name: str) -> Columns:
    """Columns of a pandas data frame, with those of its index where that has names.

    Args:
        frame: a data frame, such as a manifest; an audformat index will do.
        name: what to call it in an error.

    Raises:
        TableError: names of columns that are no texts, or that repeat.
    """
    indexed = [level for level in frame.index.names if level is not None]
    if repeated := [level for level in indexed if level in frame.columns]:
        raise TableError(
            f"{name}: {listing(repeated)} is in its index and among its columns, expected it "
            f"once. Drop one of them."
        )
    if indexed:
        frame = frame.reset_index()
    names = list(frame.columns)
    strange = [one for one in names if not isinstance(one, str)]
    if strange:
        raise TableError(
            f"{name}: its columns have the names {listing(map(repr, strange))}, expected texts "
            f"such as 'file'. Name the columns of the data frame."
        )
    _check_header(names, name)
    values = {key: [_plain_cell(cell) for cell in frame[key].tolist()] for key in names}
    named, met = _named(values, NO_NAMES)
    return Columns(_canonical(named, name), (), met)


def _refuse_other_forms(data: bytes, name: str) -> None:
    for start, what in _UNREADABLE.items():
        if data.startswith(start):
            raise TableError(
                f"{name}: {what}, expected a table as CSV, TSV, JSON, JSON Lines, Parquet or an "
                f"Excel workbook (.xlsx). Save it in one of these forms."
            )


def _recognised(data: bytes) -> str:
    """The form of content without a telling suffix."""
    if data.startswith(_PARQUET_MAGIC):
        return "parquet"
    if data.startswith(_ZIP_MAGIC):
        return "xlsx"
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start in (b"[", b"{"):
        first_line = data.strip().splitlines()[0]
        return "jsonl" if start == b"{" and first_line.rstrip().endswith(b"}") else "json"
    return "csv"


def has_file_column(data: bytes, columns: ColumnNames = NO_NAMES) -> bool:
    r"""Whether bytes are a table with a column of files rather than a list of paths.

    Args:
        data: the whole content.
        columns: what the user calls some columns.

    Example:
        >>> has_file_column(b"file;speaker\na.wav;1\n"), has_file_column(b"b/file.wav\na.wav\n")
        (True, False)
    """
    if data.startswith((_PARQUET_MAGIC, _ZIP_MAGIC)):
        return True
    start = data[:_FIRST_BYTES]
    text = start.decode(_encoding(start), "replace").lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")):
        return True
    sep_line = _SEP_LINE.match(text)
    line = text[sep_line.end() if sep_line else 0 :].split("\n", 1)[0]
    for header in _headers(line).values():
        found = _same(columns.file, header) if columns.file else _file_column(header)
        # A list of paths may well begin with a folder called audio.
        if found and (columns.file or len(header) > 1 or found.lower() in FILE_NAMES[:3]):
            return True
    return False


def _named(
    columns: Mapping[str, Sequence[Any]], names: ColumnNames
) -> tuple[dict[str, Sequence[Any]], frozenset[str]]:
    """Columns under emocli's names, and which of the user's names were among theirs."""
    new = {key: key for key in columns}
    wanted = names.wanted()
    met = set()
    for name, given in wanted.items():
        own = _same(given, columns)
        if own is None:
            continue
        met.add(name)
        if name in new and name != own:
            new[name] = own
        new[own] = name
    if "file" not in met and (own := _file_column(columns)):
        new[own] = "file"
    for key in columns:
        if new[key] == key and (known := _known_name(key)) not in new.values():
            new[key] = known
    return {new[key]: values for key, values in columns.items()}, frozenset(met)


def _known_name(key: str) -> str:
    """A name in emocli's case, where emocli knows it.

    Example:
        >>> _known_name("Emotion"), _known_name("P_Angry"), _known_name("Room")
        ('emotion', 'p_Angry', 'Room')
    """
    folded = key.strip().lower()
    if folded in _KNOWN_NAMES:
        return folded
    for prefix in (PROBABILITY_PREFIX, VOTES_PREFIX):
        if folded.startswith(prefix):
            return prefix + key.strip()[len(prefix) :]
    return key


def _same(name: str, names: Iterable[str]) -> str | None:
    """The name among some that is meant: the same, or one that differs only in its case."""
    found = list(names)
    if name in found:
        return name
    return next((one for one in found if one.strip().lower() == name.strip().lower()), None)


def _file_column(names: Iterable[str]) -> str | None:
    """The column that names recordings; of several that could, the first of `FILE_NAMES`."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.strip().lower().replace(" ", "_"), name)
    if "file" in names:
        return "file"
    return next((folded[name] for name in FILE_NAMES if name in folded), None)


def _canonical(columns: Mapping[str, Sequence[Any]], shown: str) -> dict[str, Sequence[Any]]:
    """Columns with label names in one spelling, times in seconds and decimal points."""
    renamed: dict[str, Sequence[Any]] = {}
    for key, values in columns.items():
        name = key
        if key.startswith(PROBABILITY_PREFIX):
            name = PROBABILITY_PREFIX + spelled_label(key[len(PROBABILITY_PREFIX) :])
        if name in renamed:
            raise TableError(
                f"{shown}: columns {name} and {key} mean the same label, expected one column for "
                f"each. Remove one of them."
            )
        renamed[name] = values
    if "label" in renamed:
        labels = [_as_text(value) for value in renamed["label"]]
        known = {label: spelled_label(label) for label in set(labels)}
        renamed["label"] = [known[label] for label in labels]
    for key in ("start", "end"):
        if key in renamed:
            renamed[key] = [_seconds(value) for value in renamed[key]]
    return _with_decimal_points(renamed, shown)


def _as_text(value: Any) -> str:
    """A label as text, also where JSON has a number for it; a missing one is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)


_TIME_DELTA = re.compile(
    r"(?:(?P<days>-?\d+) days?)?\s*(?:(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>\d{1,2})"
    r":(?P<seconds>\d{1,2}(?:[.,]\d+)?))?",
    re.ASCII,
)


def _seconds(value: Any) -> Any:
    """Seconds of a time delta such as ``0 days 00:00:01.5`` or ``0 days``; others as they are."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if not isinstance(value, str) or not (":" in value or "day" in value):
        return value
    found = _TIME_DELTA.fullmatch(value.strip())
    if found is None or not found[0]:
        return value
    parts = found.groupdict()
    clock = int(parts["hours"] or 0) * 3600 + int(parts["minutes"] or 0) * 60
    clock += float((parts["seconds"] or "0").replace(",", "."))  # type: ignore[assignment]
    try:
        return float(int(parts["days"] or 0) * 86400 + (-clock if parts["sign"] == "-" else clock))
    except OverflowError:
        return value


_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?", re.ASCII)
_MAY_BE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+\.\d*", re.ASCII)


def _with_decimal_points(
    columns: Mapping[str, Sequence[Any]], shown: str
) -> dict[str, Sequence[Any]]:
    """Columns of figures with decimal points where cells are texts with commas.

    A number such as 1,234 may be 1.234 or 1234. It is the first where other figures of the table
    have decimal commas.

    Raises:
        TableError: no other figure tells what such a number means.
    """
    figures = {
        name: values
        for name, values in columns.items()
        if (is_figure(name) or name == "score" or name.startswith(VOTES_PREFIX))
        and any("," in value for value in values if type(value) is str)
    }
    if not figures:
        return dict(columns)
    texts = [
        (name, row, value.strip())
        for name, values in figures.items()
        for row, value in enumerate(values)
        if type(value) is str and "," in value
    ]
    unclear = [one for one in texts if _MAY_BE_THOUSANDS.fullmatch(one[2])]
    if unclear and not any(
        _DECIMAL_COMMA.fullmatch(text) and not _MAY_BE_THOUSANDS.fullmatch(text)
        for _, _, text in texts
    ):
        name, row, text = unclear[0]
        raise TableError(
            f"{shown}: {name} in row {row + 1} is {text}, which may be "
            f"{text.replace(',', '.', 1)} or {text.replace(',', '')}, expected a number without "
            f"a comma. Save the table with decimal points and without thousands separators."
        )
    return {
        **columns,
        **{name: [_with_point(value) for value in values] for name, values in figures.items()},
    }


def _with_point(value: Any) -> Any:
    text = value.strip() if type(value) is str else ""
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    if _DECIMAL_COMMA.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return value


def _read_separated(
    data: bytes, name: str, remarks: list[str], separator: str
) -> dict[str, list[str]]:
    """Columns of a table of separated values; every row has as many fields as the header.

    The separator is that of the ``sep=`` line, else the one by which the header has a column of
    files, else the one that gives it most columns.

    Args:
        data: the content.
        name: what to call the table in an error.
        remarks: gets a sentence on characters that are not UTF-8.
        separator: what the suffix says, which decides where the header does not.
    """
    text, encoding = decoded(data, name)
    if encoding == "cp1252":
        remarks.append(f"{name}: not UTF-8, read as Windows-1252.")
    n_before = 0
    sep_line = _SEP_LINE.match(text)
    if sep_line:
        separator, text, n_before = sep_line[1], text[sep_line.end() :], 1
        if separator in '"\r':
            raise TableError(
                f"{name}: the first line names {separator!r} as the separator, expected a comma, "
                f"semicolon, tab or bar. Correct the line sep=."
            )
    else:
        separator = _likely_separator(text, separator)
    csv.field_size_limit(_LARGEST_FIELD)
    spaced = _spaced(text, separator)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=spaced
    )
    try:
        header = [one.strip() for one in next(reader, [])]
        rows = []
        for row in reader:
            if len(row) > len(header) and not any(row[len(header) :]):
                del row[len(header) :]
            if not any(row) and len(row) != 1:
                continue  # spreadsheets write rows of empty cells
            if len(row) == len(header):
                rows.append(row)
            elif any(row):
                raise TableError(
                    f"{name}: line {reader.line_num + n_before} has {len(row)} fields, expected "
                    f"{len(header)} as in the header. Complete or quote it."
                )
    except csv.Error as error:
        word = _SEPARATOR_NAMES.get(separator, repr(separator))
        raise TableError(
            f"{name}: line {reader.line_num + n_before} cannot be parsed ({error}), expected "
            f"{word}-separated values. Quote its fields."
        ) from None
    return _columns_of_rows(header, rows, name)


def _columns_of_rows(
    header: Sequence[str], rows: Sequence[Sequence[Any]], name: str
) -> dict[str, list[Any]]:
    """Cells by the name of their column, without columns that have neither name nor cells."""
    kept = [
        index
        for index, key in enumerate(header)
        if key or any(row[index] not in ("", None) for row in rows)
    ]
    _check_header([header[index] for index in kept], name)
    return {header[index]: [row[index] for row in rows] for index in kept}


def _check_header(header: Sequence[str], name: str) -> None:
    twice = [key for key in dict.fromkeys(header) if header.count(key) > 1]
    if twice == [""]:
        raise TableError(
            f"{name}: {header.count('')} columns have no name, expected a name for each. "
            f"Name them in the header line, or remove them."
        )
    if twice:
        raise TableError(
            f"{name}: the header repeats {listing(twice)}, expected each column once. "
            f"Rename or remove the repeated columns."
        )


def _headers(line: str) -> dict[str, list[str]]:
    """The fields of a header line by each of the separators."""
    found = {}
    for separator in _SEPARATORS:
        try:
            fields = next(csv.reader([line.rstrip("\r\n")], delimiter=separator), [])
        except csv.Error:
            fields = []
        found[separator] = [one.strip(' "') for one in fields]
    return found


def _likely_separator(text: str, usual: str) -> str:
    """The separator that makes most of a header line."""
    fields = _headers(text.lstrip("\r\n").split("\n", 1)[0])

    def worth(separator: str) -> tuple[bool, int, bool]:
        header = fields[separator]
        return _file_column(header) is not None, len(header), separator == usual

    return max(_SEPARATORS, key=worth)


def _spaced(text: str, separator: str) -> bool:
    """Whether the header has a blank after each separator, which then is in no cell."""
    parts = text.split("\n", 1)[0].split(separator)[1:]
    return bool(parts) and all(part.startswith(" ") for part in parts)


def decoded(data: bytes, name: str) -> tuple[str, str]:
    """The text of a table, and the encoding that it was in.

    UTF-8 unless the bytes say otherwise: a byte order mark, zeros in every second place, or bytes
    that are no UTF-8 while none beyond ASCII are. Those are Windows-1252, the usual one. Where
    both are, they are names of files of different ages, and the bytes are kept.

    Raises:
        TableError: other zeros, as in binary files, or half characters.
    """
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8-sig":
            encoding = _encoding_beyond_ascii(data)
            return _checked_text(data.decode(encoding, "surrogateescape"), name), encoding
        raise TableError(
            f"{name}: cannot be read as {encoding.upper()} ({error.reason}), as its first bytes "
            f"say, expected a table as text. Save it as UTF-8."
        ) from None
    return _checked_text(text, name), encoding


def _checked_text(text: str, name: str) -> str:
    """A text without its byte order mark.

    Raises:
        TableError: a zero in it, as in binary files.
    """
    if "\0" in text:
        raise TableError(
            f"{name}: holds binary data, expected a table as text. "
            f"Give a CSV, TSV, JSON, JSON Lines or Parquet file, or an Excel workbook."
        )
    return text.removeprefix("\ufeff")


def _encoding(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = data[:1024]
    for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
        zeros, others = start[first::2], start[1 - first :: 2]
        if len(zeros) > 3 and zeros.count(0) > 0.7 * len(zeros) and others.count(0) == 0:
            return encoding
    return "utf-8-sig"


_MULTIBYTE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


def _encoding_beyond_ascii(data: bytes) -> str:
    """What bytes are in that are no UTF-8 as a whole."""
    if _MULTIBYTE.search(data):
        return "utf-8-sig"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "utf-8-sig"
    return "cp1252"


def _read_json(data: bytes, name: str, _: list[str]) -> dict[str, list[Any]]:
    """Columns of a JSON array of objects."""
    return _columns_of_objects(
        _parse_json(_json_text(data, name), name, "an array of objects"), name
    )


def _read_json_lines(data: bytes, name: str, _: list[str]) -> dict[str, list[Any]]:
    """Columns of one JSON object a line."""
    lines = [line for line in _json_text(data, name).split("\n") if line.strip()]
    return _columns_of_objects(
        [_parse_json(line, f"{name}, line {n}", "an object") for n, line in enumerate(lines, 1)],
        name,
    )


def _json_text(data: bytes, name: str) -> str:
    """JSON as text; bytes in it that are no UTF-8 are those of file names."""
    encoding = _encoding(data)
    if encoding != "utf-8-sig":
        return decoded(data, name)[0]
    return _checked_text(data.decode(encoding, "surrogateescape"), name)


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
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _plain_cell(value: Any) -> Any:
    """A value of another library as a cell: text, number, truth value or None."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return None if math.isnan(seconds) else seconds
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, (datetime, date, time)):
        # Not a time: the missing time stamp of pandas.
        return value.isoformat() if value == value else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (dict, list)):
        return _plain(value)
    if hasattr(value, "item"):  # numpy's numbers
        return _plain_cell(value.item()) if getattr(value, "ndim", 1) == 0 else str(value)
    text = str(value)
    return None if text in ("<NA>", "NaT") else text


def _read_parquet(data: bytes, name: str, _: list[str]) -> dict[str, list[Any]]:
    need_pyarrow("read")
    import pyarrow as pa
    import pyarrow.parquet

    try:
        found = pa.parquet.ParquetFile(io.BytesIO(data)).read()
        names = found.column_names
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        # Names that are no UTF-8 are told as ValueError.
        raise TableError(
            f"{name}: not a Parquet file ({_first_line(error)}), expected a table. "
            f"Check that the file was written completely."
        ) from None
    _check_header(names, name)
    return {
        key: _arrow_cells(found.column(index), f"{name}: column {key}")
        for index, key in enumerate(names)
    }


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _arrow_cells(column: Any, shown: str) -> list[Any]:
    """The cells of an Arrow column: text, numbers, truth values, None.

    Raises:
        TableError: a type that cannot be told in a cell.
    """
    import pyarrow as pa
    import pyarrow.types as types

    try:
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.cast(column.type.storage_type)
        if types.is_dictionary(column.type):
            column = pa.chunked_array(
                [chunk.dictionary_decode() for chunk in column.chunks], column.type.value_type
            )
        kind = column.type
        if types.is_duration(kind):
            per_second = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
            ticks = column.cast(pa.int64()).to_pylist()
            return [None if one is None else one / per_second for one in ticks]
        if types.is_temporal(kind):
            return list(column.cast(pa.string()).to_pylist())
        if types.is_decimal(kind):
            return list(column.cast(pa.float64()).to_pylist())
        if types.is_string(kind) or types.is_large_string(kind):
            is_large = types.is_large_string(kind)
            column = column.cast(pa.large_binary() if is_large else pa.binary())
        return [_plain_cell(value) for value in column.to_pylist()]
    except (pa.ArrowException, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise TableError(
            f"{shown} of type {column.type} cannot be read ({_first_line(error)}), expected text "
            f"or numbers. Convert or remove it."
        ) from None


def _read_workbook(data: bytes, name: str, remarks: list[str]) -> dict[str, list[Any]]:
    """Columns of the first sheet of an Excel workbook that has any cells."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            members = packed.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise _no_workbook(name, error) from None
    if sum(one.file_size for one in members) > _LARGEST_WORKBOOK:
        raise TableError(
            f"{name}: a workbook of more than {_LARGEST_WORKBOOK >> 20} MB when unpacked, "
            f"expected a smaller table. Save it as CSV."
        )
    try:
        import openpyxl
    except ImportError:
        raise MissingDependency(
            "Excel workbooks cannot be read without openpyxl, which is not installed. "
            'Install it with pip install "emocli[excel]", or save the sheet as CSV.'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on styles and extensions that no cell needs
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = {
                sheet.title: rows for sheet in book.worksheets if (rows := _sheet_rows(sheet))
            }
    except _WORKBOOK_FAULTS as error:
        raise _no_workbook(name, error) from None
    if not sheets:
        raise TableError(
            f"{name}: a workbook without cells, expected a table with a header line. "
            f"Check which file it is."
        )
    title, rows = next(iter(sheets.items()))
    if len(sheets) > 1:
        remarks.append(f"{name}: read its sheet {title}, not {listing(list(sheets)[1:])}.")
    header = ["" if cell is None else str(cell).strip() for cell in rows[0]]
    return _columns_of_rows(header, rows[1:], name)


def _no_workbook(name: str, error: Exception) -> TableError:
    return TableError(
        f"{name}: not an Excel workbook ({_first_line(error)}), expected a table. "
        f"Check that the file was written completely, or save it as CSV."
    )


def _sheet_rows(sheet: Any) -> list[list[Any]]:
    """Rows of a sheet that have cells, all of one length."""
    sheet.reset_dimensions()  # which a file may state as it likes
    found = [[_sheet_cell(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    found = [row for row in found if any(cell not in (None, "") for cell in row)]
    width = max(map(len, found), default=0)
    return [row + [None] * (width - len(row)) for row in found]


def _sheet_cell(cell: Any) -> Any:
    """A cell; a time of day is a duration, and a whole number has no point."""
    if isinstance(cell, time):
        return timedelta(
            hours=cell.hour,
            minutes=cell.minute,
            seconds=cell.second,
            microseconds=cell.microsecond,
        ).total_seconds()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return _plain_cell(cell)


_READERS: Mapping[str, Callable[[bytes, str, list[str]], Mapping[str, Sequence[Any]]]] = {
    "csv": lambda data, name, remarks: _read_separated(data, name, remarks, ","),
    "tsv": lambda data, name, remarks: _read_separated(data, name, remarks, "\t"),
    "json": _read_json,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
    "xlsx": _read_workbook,
}
