"""Prediction tables written piece by piece: CSV, TSV, JSON, JSON Lines and Parquet.

Writing is strict: UTF-8, a header, one row a line, figures with nine significant digits. However
large a table is, only the piece that is being written is in memory.
"""

import csv
import io
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from emocli.errors import MissingDependency
from emocli.table import PredictionTable, is_figure

_FORMULA = re.compile(r"[=+\-@\t\r\n]")
"""How a cell starts that spreadsheets take for something to compute."""


class TableWriter(ABC):
    """A table that is being written to a stream."""

    @abstractmethod
    def write(self, table: PredictionTable) -> None:
        """Write some rows; a column that they lack is missing there."""

    def close(self) -> None:  # noqa: B027 - most forms need no end
        """Write what ends the table; the stream stays open."""

    def abandon(self) -> None:  # noqa: B027
        """Leave the table without its end."""


def table_writer(
    kind: str, stream: BinaryIO, names: Sequence[str], *, csv_safe: bool = False
) -> TableWriter:
    """A table of which the beginning is written.

    Args:
        kind: one of `emocli.table_io.FORMATS`.
        stream: what to write to.
        names: columns of the whole table.
        csv_safe: let no spreadsheet take texts of CSV and TSV for formulas, see `text_cell`.

    Raises:
        MissingDependency: Parquet without pyarrow.
    """
    if kind in _SEPARATORS:
        return _Separated(stream, names, _SEPARATORS[kind], text_cell if csv_safe else str)
    return _OTHERS[kind](stream, names)


def text_cell(text: str) -> str:
    """A text as a cell that no spreadsheet computes: others get an apostrophe in front.

    Those are texts that start with ``=``, ``+``, ``-``, ``@``, a tab or a line break and are no
    numbers.

    Example:
        >>> text_cell("=1+1"), text_cell("-1.5"), text_cell("a=b")
        ("'=1+1", '-1.5', 'a=b')
    """
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def need_pyarrow(verb: str) -> None:
    """See that Parquet can be read or written.

    Args:
        verb: ``"read"`` or ``"written"``.

    Raises:
        MissingDependency: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingDependency(
            f"Parquet cannot be {verb} without pyarrow, which is not installed. "
            f'Install it with pip install "emocli[parquet]" or use another format.'
        ) from None


_LINE_END = "\r\n"
_TIMES = ("start", "end")
_SEPARATORS: Mapping[str, str] = {"csv": ",", "tsv": "\t"}


class _Separated(TableWriter):
    """CSV and TSV; missing figures are empty."""

    def __init__(
        self,
        stream: BinaryIO,
        names: Sequence[str],
        separator: str,
        text_of: Callable[[str], str],
    ) -> None:
        self._stream, self._names = stream, names
        self._separator, self._text_of = separator, text_of
        self._write_rows([list(map(text_of, names))])

    def write(self, table: PredictionTable) -> None:
        cells = (map(self._cell_of(name), table.column(name).tolist()) for name in self._names)
        self._write_rows(zip(*cells, strict=True))

    def _cell_of(self, name: str) -> Callable[[Any], str]:
        if not is_figure(name):
            return lambda value: self._text_of(str(value))
        form = ".3f" if name in _TIMES else ".9g"
        return lambda value: "" if math.isnan(value) else format(value, form)

    def _write_rows(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.TextIOWrapper(self._stream, "utf-8", errors="surrogateescape", newline="")
        # Cells are quoted where they hold what ends a line here, so also a lone carriage return.
        lines = csv.writer(_UnixLines(text), delimiter=self._separator, lineterminator=_LINE_END)
        lines.writerows(rows)
        text.flush()
        text.detach()


class _UnixLines:
    """Lines that `csv` writes, with the end that they have in files."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line.removesuffix(_LINE_END) + "\n")


class _JsonLines(TableWriter):
    """One object a line; missing figures are null."""

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        self._stream, self._names = stream, names

    def write(self, table: PredictionTable) -> None:
        for row in _objects(table, self._names):
            self._stream.write(_encoded(row) + b"\n")
        self._stream.flush()


class _Json(TableWriter):
    """A list of objects; missing figures are null."""

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        self._stream, self._names, self._n_rows = stream, names, 0
        stream.write(b"[")

    def write(self, table: PredictionTable) -> None:
        for row in _objects(table, self._names):
            self._stream.write((b",\n" if self._n_rows else b"\n") + _encoded(row))
            self._n_rows += 1
        self._stream.flush()

    def close(self) -> None:
        self._stream.write(b"\n]\n")


class _Parquet(TableWriter):
    """Columns of 64-bit floats and of strings; a piece is a row group."""

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        need_pyarrow("written")
        import pyarrow as pa
        import pyarrow.parquet

        self._names = list(names)
        self._schema = pa.schema(
            [(_readable(name), pa.float64() if is_figure(name) else pa.string()) for name in names]
        )
        self._writer = pa.parquet.ParquetWriter(stream, self._schema)

    def write(self, table: PredictionTable) -> None:
        import pyarrow as pa

        arrays = [
            pa.array(self._values(table, name), type=field.type, from_pandas=True)
            for name, field in zip(self._names, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    @staticmethod
    def _values(table: PredictionTable, name: str) -> list[Any]:
        """Cells of a column; bytes that are no text are spelled out, for Parquet has none."""
        values: list[Any] = table.column(name).tolist()
        if is_figure(name):
            return values
        return [one if one.isascii() else _readable(one) for one in values]

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        self._writer.is_open = False  # or it would write its end when it is thrown away


_OTHERS: Mapping[str, Callable[[BinaryIO, Sequence[str]], TableWriter]] = {
    "json": _Json,
    "jsonl": _JsonLines,
    "parquet": _Parquet,
}


def _readable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _objects(table: PredictionTable, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows as JSON objects."""
    columns = [map(_plain_of(name), table.column(name).tolist()) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _plain_of(name: str) -> Callable[[Any], Any]:
    """Makes values of a column plain: times to a millisecond, other figures to nine digits."""
    if not is_figure(name):
        return lambda value: value
    if name in _TIMES:
        return lambda value: None if math.isnan(value) else round(value, 3)
    return lambda value: None if math.isnan(value) else float(f"{value:.9g}")


def _encoded(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape")
