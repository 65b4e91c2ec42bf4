"""Recordings and tables in a corpus's folder."""

import csv
import io
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emocli.corpora.protocol import About, Labelled, Reading
from emocli.errors import CorpusError
from emocli.natural_order import natural_key
from emocli.table import listing

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".avi", ".mov", ".mkv")
"""Endings of recordings; of two that differ in nothing else, the earlier is taken."""


def walk(folder: Path) -> Iterator[Path]:
    """Recordings below a folder in the order of the disk, without hidden files and folders.

    Links to folders are followed, and no folder is entered twice.

    Raises:
        CorpusError: a folder cannot be listed.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_not_listed):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _not_listed(error: OSError) -> None:
    raise CorpusError(
        f"{error.filename}: cannot be listed ({error.strerror}), expected a folder of recordings. "
        f"Unpack it, or check its permissions."
    ) from None


def recordings(folder: Path) -> list[Path]:
    """Recordings below a folder, nearer ones first, numbers in their names in order of size."""
    return sorted(walk(folder), key=lambda path: (len(path.parts), natural_key(path.as_posix())))


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Recordings by their name without ending; of two the one whose ending is preferred."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem not in found or _preference(path) < _preference(found[path.stem]):
            found[path.stem] = path
    return found


def _preference(path: Path) -> int:
    return SUFFIXES.index(path.suffix.lower())


def own_stem(path: Path) -> str:
    """The name of a recording without ending."""
    return path.stem


@dataclass(frozen=True)
class NamedCorpus:
    """A reader of recordings that say by their names what they are, wherever they lie.

    Attributes:
        about: the corpus in words.
        pattern: of a whole name without ending.
        label: what the parts of a name mean; gets the match and where the recording is.
        stem_of: name of a recording without ending.
        remarks: further sentences for the user.
    """

    about: About
    pattern: re.Pattern[str]
    label: Callable[[re.Match[str], Path], Labelled]
    stem_of: Callable[[Path], str] = own_stem
    remarks: tuple[str, ...] = ()

    def is_root(self, folder: Path) -> bool:
        """Whether any recording below a folder is named as the corpus names them."""
        return any(self.pattern.fullmatch(self.stem_of(path)) for path in walk(folder))

    def read(self, folder: Path) -> Reading:
        """The utterances below a folder; of two of the same name the one that is less deep.

        Raises:
            CorpusError: a name has a code that the corpus does not have.
        """
        found: dict[str, tuple[Path, re.Match[str]]] = {}
        repeated: dict[str, None] = {}
        strange = []
        for path in recordings(folder):
            stem = self.stem_of(path)
            match = self.pattern.fullmatch(stem)
            if match is None:
                strange.append(path.name)
            elif stem not in found or _preference(path) < _preference(found[stem][0]):
                found[stem] = (path, match)
            elif path.suffix == found[stem][0].suffix:
                repeated[path.name] = None
        said = list(self.remarks)
        if repeated:
            said.append(f"There more than once and taken once: {listing(repeated)}.")
        if strange:
            said.append(f"Not named as in {self.about.title} and left out: {listing(strange)}.")
        return Reading(
            tuple(self.label(match, path) for path, match in found.values()), remarks=tuple(said)
        )


def meaning(code: str, codes: Mapping[str, str], what: str, where: str) -> str:
    """What a code of a corpus means.

    Args:
        code: as it is written.
        codes: what each means.
        what: name of the code, for the message.
        where: file, or table and line.

    Raises:
        CorpusError: it means nothing.
    """
    if code not in codes:
        known = ", ".join(filter(None, codes))
        raise CorpusError(
            f"{where}: {what} {code!r} is unknown, expected one of {known}. "
            f"Correct it, or remove the recording."
        )
    return codes[code]


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in the code page of Windows that old corpora have.

    Raises:
        CorpusError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be read ({error.strerror}), expected a text. Check its permissions."
        ) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def table_rows(
    path: Path, columns: Sequence[str], *, tabs: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table, each with the sentence's beginning that says where it is.

    Args:
        path: of a file with comma-separated, or tab-separated and unquoted, values.
        columns: that must be there.
        tabs: whether tabs separate.

    Raises:
        CorpusError: it cannot be read, lacks a column, or a row is too short.
    """
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(text)
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise CorpusError(
            f"{path}, line {reader.line_num}: cannot be parsed ({error}), expected separated "
            f"values. Unpack the table again."
        ) from None
    header = [name.strip() for name in lines[0][1]] if lines else []
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise CorpusError(
            f"{path}: no column {', '.join(lacking)}, expected {', '.join(columns)}. "
            f"Give the corpus's own table."
        )
    for number, row in lines[1:]:
        where = f"{path}, line {number}"
        if len(row) < len(header):
            raise CorpusError(
                f"{where}: {len(row)} fields, expected {len(header)} as in the header. "
                f"Unpack the table again."
            )
        yield where, {name: value.strip() for name, value in zip(header, row, strict=False)}


def matching_lines(
    text: str, name: str, form: re.Pattern[str], beginning: re.Pattern[str], expected: str
) -> list[tuple[str, re.Match[str]]]:
    """The lines of a text that have a form, each with the sentence's beginning that says where.

    Args:
        text: with other lines between, which are passed over.
        name: of the text, for messages.
        form: of a whole line.
        beginning: of such lines and of no others.
        expected: what to say of the form.

    Raises:
        CorpusError: a line begins like one of them and goes on otherwise.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}, line {number}"
        match = form.fullmatch(line)
        if match:
            found.append((where, match))
        elif beginning.match(line):
            raise CorpusError(
                f"{where}: {line.strip()!r} cannot be read, expected {expected}. Correct it."
            )
    return found


def figure(text: str, what: str, where: str) -> float:
    """A number of a table; NaN where there is none.

    Raises:
        CorpusError: it is something else.
    """
    try:
        value = float(text or "nan")
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise CorpusError(
            f"{where}: {what} is {text!r}, expected a number. Correct it or leave it empty."
        )
    return value


def check_once(names: Iterable[str], where: Path) -> None:
    """Make sure that a table names each recording once.

    Raises:
        CorpusError: it repeats one.
    """
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise CorpusError(
            f"{where}: {listing(twice)} more than once, expected a line for each recording. "
            f"Remove the lines that repeat one."
        )
