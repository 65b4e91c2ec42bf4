"""What a person sees: talk on standard error, and tables on a terminal."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emocli.errors import TableError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from emocli.table import PredictionTable

MOST_ALIKE = 3
"""Files that fail for the same reason and are named before the others are only counted."""
PAGE_WIDTH = 120
"""Columns of a readable table that goes to a file instead of a terminal."""


def printable(text: str) -> str:
    r"""Text with control characters shown as escapes, so that no file name can drive a terminal.

    Example:
        >>> printable("a\x1b[31m.wav")
        'a\\x1b[31m.wav'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(text: str) -> str:
    """Text for a cell or a sentence: harmless for terminals and without markup of its own."""
    from rich.markup import escape

    return escape(printable(text))


def out() -> "Console":
    """Standard output, for data."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)


def err() -> "Console":
    """Standard error, for talk."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def complain(sentence: str) -> None:
    """An error on standard error, whatever the verbosity."""
    tell(sentence, "emocli:", "bold red")


class Failures:
    """Says why files failed, as it happens; what many of them share is counted in the end.

    Use it as a context manager: what was counted is said when it ends.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._latest = ""
        self._counts: Counter[str] = Counter()

    def add(self, file: str, error: str) -> None:
        """Take note of a row's error, the same one once for each file.

        Args:
            file: as the row has it.
            error: a sentence that begins with the file, or any other one.
        """
        if error in self._told or error == self._latest:
            return
        self._latest = error
        reason = error.removeprefix(f"{file}: ")
        self._counts[reason] += 1
        if self._counts[reason] <= MOST_ALIKE:
            self._told.add(error)
            complain(error)

    def __enter__(self) -> "Failures":
        return self

    def __exit__(self, *_: object) -> None:
        for reason, count in self._counts.items():
            if count > MOST_ALIKE:
                n_more = count - MOST_ALIKE
                complain(f"{n_more} more file{'' if n_more == 1 else 's'}: {reason}")


def tell(sentence: str, word: str = "", style: str = "") -> None:
    """A sentence on standard error, after a word that a terminal shows in a style."""
    if sys.stderr.isatty() or os.environ.get("FORCE_COLOR"):
        start = f"[{style}]{word}[/] " if word else ""
        err().print(f"{start}{plain(sentence)}", style="" if word else style)
    else:  # rich takes five times as long to import as Python to start
        sys.stderr.write(f"{word} {printable(sentence)}\n" if word else f"{printable(sentence)}\n")


@dataclass(frozen=True)
class Talk:
    """Remarks on standard error, as many as the user wants.

    Attributes:
        quiet: only errors and warnings.
        verbose: also details.
    """

    quiet: bool = False
    verbose: bool = False

    def say(self, sentence: str) -> None:
        """What happened; silent with ``-q``."""
        if not self.quiet:
            tell(sentence)

    def detail(self, sentence: str) -> None:
        """What only ``-v`` asks for."""
        if self.verbose:
            tell(sentence, style="dim")

    def warn(self, sentence: str) -> None:
        """What the user has to know."""
        tell(sentence, "warning:", "bold yellow")

    def show(self, renderable: "RenderableType") -> None:
        """A table or picture beside the data; silent with ``-q``."""
        if not self.quiet:
            err().print(renderable)

    @property
    def live(self) -> bool:
        """Whether progress may be drawn: a terminal that nobody asked to be quiet."""
        return not self.quiet and sys.stderr.isatty()


def choose_format(output: str, wanted: str | None) -> str:
    """The form of the output: as asked, else by the file's suffix, else by who reads it.

    A suffix that names another form than was asked for is refused: nobody could read the file.

    A terminal gets a readable table, a pipe gets CSV.

    Args:
        output: file path or ``"-"``.
        wanted: ``table`` or one of `emocli.table_io.FORMATS`, None where nothing was asked.

    Raises:
        TableError: the file's suffix names no format and none was asked, or another one.
    """
    from emocli.files import STDIN
    from emocli.table_io import FORMATS, format_of

    if wanted is not None:
        named = None if output == STDIN else format_of(output)
        if named is not None and wanted in FORMATS and wanted != named:
            raise TableError(
                f"{output}: its suffix says {named} and -f says {wanted}, expected one form. "
                f"Leave out -f or rename the file."
            )
        return wanted

    if output == STDIN:
        return "table" if sys.stdout.isatty() else "csv"
    found = format_of(output)
    if found not in FORMATS:
        raise TableError(
            f"{output}: suffix {os.path.splitext(output)[1] or '(none)'} names no table format, "
            f"expected one of .{', .'.join(FORMATS)}. Rename the file or add -f."
        )
    return found


def emit(
    table: "PredictionTable",
    output: str,
    kind: str,
    render: Callable[["PredictionTable"], "RenderableType"],
    *,
    csv_safe: bool = False,
) -> None:
    """Write a table where and in the form that the user wants.

    Args:
        table: what to write.
        output: file path or ``"-"``.
        kind: ``table`` for people, or one of `emocli.table_io.FORMATS`.
        render: makes the readable form.
        csv_safe: let no spreadsheet take texts for formulas.

    Raises:
        TableError: Parquet was asked for a terminal, or the file cannot be written.
    """
    from emocli.files import STDIN
    from emocli.table_io import write_table

    if kind == "table":
        show(render(table), output)
        return
    if kind == "parquet" and output == STDIN and sys.stdout.isatty():
        raise TableError(
            "Parquet is binary and standard output is a terminal, expected a file or a pipe. "
            "Add -o FILE."
        )
    write_table(table, output, kind, csv_safe=csv_safe)


def show(renderable: "RenderableType", output: str) -> None:
    """Print something readable on standard output or into a text file."""
    from emocli.files import STDIN, write_text

    if output == STDIN:
        out().print(renderable)
        return
    from rich.console import Console

    page = Console(width=PAGE_WIDTH, no_color=True, highlight=False, record=True, quiet=True)
    page.quiet = False
    with page.capture() as captured:
        page.print(renderable)
    write_text(captured.get(), output)


def finish(n_failed: int) -> None:
    """End with status 3 where some inputs failed.

    Raises:
        SystemExit: with status 3 if ``n_failed`` is not 0.
    """
    if n_failed:
        raise SystemExit(3)
