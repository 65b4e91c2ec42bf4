"""Files that arguments and options name, read whole."""

from collections.abc import Iterable
from pathlib import Path

from emocli.cli.console import Talk
from emocli.errors import EmocliError
from emocli.table import PredictionTable
from emocli.table_io import read_tables
from emocli.table_reader import ColumnNames


def tell_tables(
    paths: Iterable[str | None], columns: ColumnNames, talk: Talk
) -> dict[str, PredictionTable]:
    """Tables by their paths, see `read_tables`; says what was taken for what.

    Raises:
        TableError: one of them cannot be read, or a column that is named is in none of them.
        MissingDependency: a package that its form needs is not installed.
    """
    found = read_tables(paths, columns)
    for table in found.values():
        for remark in table.remarks:
            talk.say(remark)
    return found


def read_bytes(path: str | Path, expected: str, failure: type[EmocliError]) -> bytes:
    """The content of a file.

    Args:
        path: as the user gave it.
        expected: what the file should be, for the message.
        failure: what to raise.

    Raises:
        EmocliError: `failure`, where the file cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), expected, failure) from None


def read_text(path: str | Path, expected: str, failure: type[EmocliError]) -> str:
    """The content of a text file in UTF-8; see `read_bytes`.

    Raises:
        EmocliError: `failure`, where the file cannot be read or is no such text.
    """
    content = read_bytes(path, expected, failure)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _unreadable(path, "not UTF-8", expected, failure) from None


def _unreadable(
    path: str | Path, reason: str, expected: str, failure: type[EmocliError]
) -> EmocliError:
    return failure(f"{path}: cannot be read ({reason}), expected {expected}. Check the path.")
