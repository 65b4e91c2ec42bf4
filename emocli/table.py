"""The prediction table: the one thing that flows between all steps, checked once.

One row stands for one utterance under one model, keyed by ``(file, start, end, model)``. Columns
are arrays; text columns hold ``str`` (missing: ``""``), figures hold float64 (missing: NaN).
What follows from the posteriors (label, entropy, varentropy, margin) is computed here, so that no
table can contradict itself.
"""

import math
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.errors import TableError
from emocli.labels import is_missing

if TYPE_CHECKING:
    import pandas as pd

KEY_COLUMNS = ("file", "start", "end", "model")
DIMENSIONS = ("arousal", "dominance", "valence")
MEASURES = ("entropy", "varentropy", "margin", "normalized_entropy")
TRANSCRIPT_COLUMNS = ("text", "language", "avg_logprob", "no_speech_prob", "compression_ratio")
REMARK_COLUMNS = ("note", "error")
PROBABILITY_PREFIX = "p_"
SIGMOID_PREFIX = "sigmoid_"
"""Begins the columns of a multi-label model's own figures, which exclude nothing and sum to
anything; its posterior is their shares."""
SCORE_PREFIXES = (PROBABILITY_PREFIX, SIGMOID_PREFIX)
"""Begin the columns of one model's figures for each label."""
VOTES_PREFIX = "votes_"
"""Columns of a truth table that count the annotators who chose a label."""
UNNAMED = "unnamed"
"""Stands for a model that a table does not name, inside the name of what was made of it."""
PROBABILITY_TOLERANCE = 1e-3
"""How far a row of posteriors read from outside may be from 1 before it is refused.

Tools print four or five digits, so eight rounded classes may be off by a few 1e-4. Such rows are
scaled to sum to 1; a larger difference means that the figures are not posteriors.
"""

DOUBTS = ("disagreement", "movement", "expected_entropy", "mutual_information")
"""Figures of `emocli.calibration` on several opinions of one recording, in nats."""

FEATURE_PREFIX = "feature."
"""Followed by a number, the name of a column with one value of an encoder."""

_FIGURES = frozenset(
    (
        *("start", "end", *MEASURES, *DIMENSIONS, *DOUBTS),
        *("avg_logprob", "no_speech_prob", "compression_ratio"),
        "judge_confidence",
    )
)
FIRST = 10
"""How many culprits an error lists."""

Column = NDArray[Any]
CHANNEL_COLUMN = "channel"
"""Tells the channels of a recording apart where each has a row, from ``"1"`` on."""

Key = tuple[str, int, int] | tuple[str, int, int, str]
"""File, start and end in milliseconds; -1 and -1 for the whole file."""


def is_figure(name: str) -> bool:
    """Whether a column of this name holds numbers."""
    return name in _FIGURES or name.startswith((PROBABILITY_PREFIX, SIGMOID_PREFIX, FEATURE_PREFIX))


def listing(names: Iterable[object]) -> str:
    """The first ten names of a list of culprits, and how many more there are.

    Example:
        >>> listing(f"{i}.wav" for i in range(12))
        '0.wav, 1.wav, 2.wav, 3.wav, 4.wav, 5.wav, 6.wav, 7.wav, 8.wav, 9.wav and 2 more'
    """
    found = [str(name) for name in names]
    rest = f" and {len(found) - FIRST} more" if len(found) > FIRST else ""
    return ", ".join(found[:FIRST]) + rest


_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")


def spelling(file: str) -> str:
    r"""One spelling for all the ways in which a path may be written.

    Macs write accents as characters of their own (NFD) and others do not (NFC), Windows has
    ``\`` between folders, and old disks have names in Windows-1252.

    Example:
        >>> spelling("a\\Mu\u0308ller.flac") == spelling("./a/M\u00fcller.flac")
        True
    """
    path = file.replace("\\", "/").removeprefix("./")
    if path.isascii():
        return path
    return unicodedata.normalize("NFC", _ESCAPED_BYTES.sub(_as_windows_text, path))


def _as_windows_text(found: re.Match[str]) -> str:
    return found[0].encode("ascii", "surrogateescape").decode("cp1252", "surrogateescape")


def stem_of(file: str) -> str:
    r"""The name of a recording without folder and ending, whatever system wrote its path.

    Example:
        >>> stem_of("C:\\data\\keys.flac"), stem_of("b/keys")
        ('keys', 'keys')
    """
    return posixpath.splitext(posixpath.basename(spelling(file)))[0]


def join_advice(left: "PredictionTable", right: "PredictionTable", *, whole: bool) -> str:
    """What helps where the rows of two tables do not meet, as the rest of a sentence.

    Nothing that would fail the same way, so it is empty where the recordings are others.

    Args:
        left: one table.
        right: the other.
        whole: every row of either needs a partner; else some do.
    """
    ours, theirs = ({spelling(file) for file in table["file"].tolist()} for table in (left, right))
    our_names, their_names = ([stem_of(file) for file in some] for some in (ours, theirs))
    by_name = [[(stem_of(key[0]), *key[1:]) for key in table.keys()] for table in (left, right)]
    if _meet(by_name[0], by_name[1], whole):
        return (
            "name the folder that both start from with --root, or compare names alone with "
            "--match stem"
        )
    if not _overlap(set(our_names), set(their_names), whole):
        return ""
    is_shared = any(len(set(names)) < len(names) for names in (our_names, their_names))
    if is_shared and not _overlap(ours, theirs, whole):
        return "name the folder that both start from with --root"
    return "give the same start and end in both, for they name the same recordings"


def _overlap(left: set[str], right: set[str], whole: bool) -> bool:
    return left == right if whole else bool(left & right)


def _meet(left: Sequence[Key], right: Sequence[Key], whole: bool) -> bool:
    """Whether keys would join, all or some."""
    try:
        found = join(left, right)
    except TableError:
        return False
    n_alone = len(found.left_only) + len(found.right_only)
    return not n_alone if whole else bool((found.right >= 0).any())


@dataclass(frozen=True)
class PredictionTable:
    """A checked table of predictions.

    Made by `from_columns`, `from_rows` or `concat`, which compute the derived columns.

    Attributes:
        columns: arrays of one length by column name, in the order in which they are written.
        folder: folder that relative paths in ``file`` start from; empty for the working folder.
        remarks: sentences on what was taken for what when it was read.
    """

    columns: Mapping[str, Column]
    folder: str = ""
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[Any] | Column], *, folder: str = "", name: str = "table"
    ) -> "PredictionTable":
        """A table from columns; ``file`` is the only one that must be there.

        Posteriors within 1e-3 of summing to 1 are scaled to do so; entropy, varentropy and margin
        are computed from them. ``label`` is kept where it is given (a fuser or a judge may have
        decided otherwise) and else is the most probable one, the earlier on a tie, or empty where
        all are equally likely.

        Args:
            columns: values by column name, all of one length; numbers may be text.
            folder: where relative paths of ``file`` start from.
            name: what to call the table in an error.

        Raises:
            TableError: no ``file`` column, columns of unequal length, an empty file name, a value
                that is not a number where one belongs, or posteriors that are none.
        """
        raw = _as_arrays(columns, name)
        probability_names = [key for key in raw if key.startswith(PROBABILITY_PREFIX)]
        probs = _checked_posteriors(raw, probability_names, name)
        ordered: dict[str, Column] = {}
        for key in _column_order(raw):
            ordered[key] = raw[key]
        for index, key in enumerate(probability_names):
            ordered[key] = probs[:, index]
        if probability_names:
            _derive(ordered, probs, [key[len(PROBABILITY_PREFIX) :] for key in probability_names])
        return cls({key: ordered[key] for key in _column_order(ordered)}, folder)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], *, folder: str = "", name: str = "table"
    ) -> "PredictionTable":
        """A table from rows; a column that some rows lack is missing there.

        Rows may come one at a time: only their values are kept.

        Raises:
            TableError: as for `from_columns`.
        """
        columns: dict[str, list[Any]] = {}
        texts: dict[str, str] = {}  # labels and notes are the same again and again
        for n_before, row in enumerate(rows):
            for key, value in row.items():
                if key not in columns:
                    columns[key] = [None] * n_before
                columns[key].append(texts.setdefault(value, value) if type(value) is str else value)
            if len(row) < len(columns):
                for values in columns.values():
                    if len(values) == n_before:
                        values.append(None)
        return cls.from_columns(columns or {"file": []}, folder=folder, name=name)

    @classmethod
    def concat(cls, tables: Sequence["PredictionTable"]) -> "PredictionTable":
        """The rows of several tables one below another, with the union of their columns.

        Raises:
            TableError: two rows have the same key.
        """
        if not tables:
            return cls.from_columns({"file": []})
        names = list(dict.fromkeys(name for table in tables for name in table.columns))
        columns = {name: np.concatenate([table.column(name) for table in tables]) for name in names}
        joined = cls.from_columns(columns, folder=tables[0].folder)
        joined.check_unique_keys()
        return joined

    def __len__(self) -> int:
        return len(self.columns["file"])

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that have a posterior column, in column order."""
        start = len(PROBABILITY_PREFIX)
        return tuple(name[start:] for name in self.columns if name.startswith(PROBABILITY_PREFIX))

    @property
    def probs(self) -> NDArray[np.float64]:
        """Posteriors of shape (n_rows, n_labels); NaN where a label is not in the row's set."""
        arrays = [self.columns[PROBABILITY_PREFIX + label] for label in self.labels]
        return np.stack(arrays, axis=1) if arrays else np.empty((len(self), 0))

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which rows carry an error instead of a prediction, shape (n_rows,)."""
        return np.asarray(self.column("error") != "", dtype=bool)

    def column(self, name: str) -> Column:
        """A column, or a column of missing values where the table has none of that name."""
        if name in self.columns:
            return self.columns[name]
        if is_figure(name):
            return np.full(len(self), np.nan)
        return np.full(len(self), "", dtype=object)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as a dictionary; a missing figure is NaN, a missing text ``""``."""
        names = list(self.columns)
        for values in zip(*(self.columns[name].tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))

    def select(self, which: NDArray[Any]) -> "PredictionTable":
        """The rows that a boolean mask or an array of indices names."""
        return PredictionTable(
            {name: values[which] for name, values in self.columns.items()},
            self.folder,
            self.remarks,
        )

    def with_columns(self, columns: Mapping[str, Sequence[Any] | Column]) -> "PredictionTable":
        """The same rows with columns added or replaced.

        Measures are computed afresh only where posteriors are among them.

        Raises:
            TableError: as for `from_columns`.
        """
        measured = {"file", *MEASURES}
        if not any(name in measured or name.startswith(PROBABILITY_PREFIX) for name in columns):
            added = _as_arrays({"file": self["file"], **columns}, "table")
            merged = {**self.columns, **added}
            return PredictionTable(
                {name: merged[name] for name in _column_order(merged)}, self.folder, self.remarks
            )
        table = self.from_columns({**self.columns, **columns}, folder=self.folder)
        return replace(table, remarks=self.remarks)

    def without_columns(self, names: Iterable[str]) -> "PredictionTable":
        """The same rows without some columns."""
        gone = set(names)
        kept = {name: values for name, values in self.columns.items() if name not in gone}
        return PredictionTable(kept, self.folder, self.remarks)

    def keys(self) -> list[Key]:
        """The utterance of each row: file, start and end in milliseconds, and channel if any."""
        times = [_milliseconds(self.column(name)).tolist() for name in ("start", "end")]
        channels = [self[CHANNEL_COLUMN].tolist()] if CHANNEL_COLUMN in self else []
        return list(zip(self["file"].tolist(), *times, *channels, strict=True))

    def check_unique_keys(self, name: str = "table") -> None:
        """Make sure that no two rows have the same file, start, end and model.

        Raises:
            TableError: two rows do; the first ten are named.
        """
        keys = list(zip(self.keys(), self.column("model").tolist(), strict=True))
        seen: set[object] = set()
        twice = []
        for key in keys:
            if key in seen:
                twice.append(key[0][0])
            seen.add(key)
        if twice:
            raise TableError(
                f"{name}: {len(twice)} rows repeat a key, expected one row for each file, start, "
                f"end and model: {listing(dict.fromkeys(twice))}. Remove the repeated rows."
            )

    def to_pandas(self) -> "pd.DataFrame":
        """The table as a pandas data frame, one column for each column."""
        import pandas as pd

        return pd.DataFrame({name: values.tolist() for name, values in self.columns.items()})


def _as_arrays(columns: Mapping[str, Any], name: str) -> dict[str, Column]:
    """Columns as arrays of text or float64, checked for a ``file`` column and equal lengths."""
    if "file" not in columns:
        raise TableError(
            f"{name}: no column file among {listing(columns) or 'no columns'}. "
            f"A table needs a header line with at least file; --file-column names another."
        )
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(
            f"{name}: columns have unequal lengths "
            f"({', '.join(f'{key} {length}' for key, length in lengths.items())}), "
            f"expected one value for each row. Complete the short ones."
        )
    columns = {_text(key): values for key, values in columns.items()}
    arrays = {
        key: _figure_array(key, values, columns["file"], name)
        if is_figure(key)
        else _text_array(values)
        for key, values in columns.items()
    }
    impossible = [row for row, file in enumerate(arrays["file"].tolist()) if "\0" in file]
    if impossible:
        raise TableError(
            f"{name}: the file name in row {impossible[0] + 1} has a null character in it, "
            f"expected a path. Correct it or remove the row."
        )
    nameless = np.flatnonzero(arrays["file"] == "")
    if len(nameless):
        raise TableError(
            f"{name}: row {nameless[0] + 1} has no file name, expected a path in column file. "
            f"Fill it in or remove the row."
        )
    return arrays


def _text_array(values: Iterable[Any]) -> Column:
    """Values as an object array of ``str``; None and NaN are missing."""
    texts = [_text(value) for value in values]
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def _text(value: Any) -> str:
    """A value as text that can be written: half characters of JSON are spelled out."""
    if type(value) is not str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        value = str(value)
    if value.isascii():
        return str(value)
    try:
        # Bytes of file names that are no UTF-8 are kept as Python keeps them.
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return str(value).encode("utf-8", "backslashreplace").decode()
    return str(value)


def figure_of(value: Any) -> float:
    """A cell as a number; NaN where it is empty or has a word for a missing value.

    Raises:
        ValueError: something else than a finite number.

    Example:
        >>> figure_of("1e-3"), figure_of(2), figure_of(" NA ")
        (0.001, 2.0, nan)
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if is_missing(value):
            return math.nan
        raise ValueError(value) from None
    if math.isinf(number) or isinstance(value, (bool, np.bool_)):
        raise ValueError(value)
    if isinstance(value, str) and "_" in value:  # 1_000 is a number in Python alone
        raise ValueError(value)
    return number


def _figure_array(key: str, values: Any, files: Sequence[str], name: str) -> NDArray[np.float64]:
    """Values as float64; see `figure_of`."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    numbers = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        try:
            numbers[row] = figure_of(value)
        except ValueError:
            raise TableError(
                f"{name}: {key} of {_text(files[row])} is {_shortened(value)}, expected a number. "
                f"Correct it or leave it empty."
            ) from None
    return numbers


def _shortened(value: Any, longest: int = 60) -> str:
    """A value as Python writes it, without the middle of long ones."""
    text = _text(repr(value))
    return text if len(text) <= longest else f"{text[: longest - 10]}...{text[-7:]}"


def _checked_posteriors(
    raw: Mapping[str, Column], names: Sequence[str], name: str
) -> NDArray[np.float64]:
    """Posteriors that sum to 1, shape (n_rows, n_labels); NaN where a label is not in the set."""
    if not names:
        return np.empty((len(raw["file"]), 0))
    probs = np.stack([raw[key] for key in names], axis=1)
    total = np.nansum(probs, axis=1)
    present = ~np.isnan(probs).all(axis=1)
    negative = present & (np.nan_to_num(probs, nan=0.0) < 0).any(axis=1)
    astray = present & ~(np.abs(total - 1.0) <= PROBABILITY_TOLERANCE)
    for row in np.flatnonzero(negative | astray)[:1]:
        found = "include a negative one" if negative[row] else f"sum to {total[row]:.6g}"
        raise TableError(
            f"{name}: the probabilities of {raw['file'][row]} {found}, expected posteriors that "
            f"sum to 1. Give probabilities rather than logits or percentages."
        )
    with np.errstate(invalid="ignore"):
        exact = np.abs(total - 1.0) <= 1e-6  # within what the table promises: leave every digit
        scale = np.where(present & ~exact, total, 1.0)
    return np.asarray(probs / scale[:, np.newaxis])


def _derive(columns: dict[str, Column], probs: NDArray[np.float64], labels: Sequence[str]) -> None:
    """Add the label and the measures of confidence to columns that have posteriors."""
    best = np.where(posteriors.undecided(probs), -1, posteriors.top(probs))
    names = np.array([*labels, ""], dtype=object)[best]
    given = columns.get("label")
    columns["label"] = names if given is None else given
    columns["entropy"] = posteriors.entropy(probs)
    columns["varentropy"] = posteriors.varentropy(probs)
    columns["margin"] = posteriors.margin(probs)
    columns["normalized_entropy"] = posteriors.normalized_entropy(probs)


def _column_order(columns: Mapping[str, Any]) -> list[str]:
    """Column names in the order of the table's definition, others last in their own order."""
    probabilities = [name for name in columns if name.startswith(PROBABILITY_PREFIX)]
    fixed = [
        *KEY_COLUMNS,
        "label",
        *probabilities,
        *(name for name in columns if name.startswith(SIGMOID_PREFIX)),
        *MEASURES,
        *DIMENSIONS,
        *TRANSCRIPT_COLUMNS,
        *REMARK_COLUMNS,
    ]
    known = [name for name in fixed if name in columns]
    return known + [name for name in columns if name not in known]


def _milliseconds(seconds: Column) -> NDArray[np.int64]:
    return np.nan_to_num(np.rint(seconds * 1000), nan=-1).astype(np.int64)


@dataclass(frozen=True)
class Join:
    """How the rows of a second table meet those of a first.

    Attributes:
        right: for each row of the first table the matching row of the second, -1 for none;
            shape (n_left,).
        left_only: rows of the first table without a partner.
        right_only: rows of the second table without a partner.
    """

    right: NDArray[np.intp]
    left_only: NDArray[np.intp]
    right_only: NDArray[np.intp]


def join(
    left: Sequence[Key],
    right: Sequence[Key],
    *,
    names: tuple[str, str] = ("first table", "second table"),
) -> Join:
    """Match the utterances of two tables one to one.

    Keys with times match on file, start and end. A table without times speaks of whole files:
    where either side has none, files match by name alone. A row whose end is open, as audformat
    has it, matches the only one from its start. Channels count where both sides have them.

    Args:
        left: keys of the first table.
        right: keys of the second table.
        names: what to call the tables in an error.

    Raises:
        TableError: a table has the same key twice; the first ten are named.
    """
    whole = all(key[1] < 0 for key in left) or all(key[1] < 0 for key in right)
    by_channel = all(len(key) > 3 for key in (*left[:1], *right[:1]))
    reduced = [
        [((key[0],) if whole else key[:3]) + (key[3:] if by_channel else ()) for key in keys]
        for keys in (left, right)
    ]
    _, theirs = (
        _unique_positions(keys, name, whole) for keys, name in zip(reduced, names, strict=True)
    )
    partners = np.fromiter((theirs.get(key, -1) for key in reduced[0]), np.intp, len(left))
    if not whole:
        _match_open_ends(reduced[0], reduced[1], partners)
    lonely = np.setdiff1d(np.arange(len(right)), partners).astype(np.intp)
    return Join(partners, np.flatnonzero(partners < 0), lonely)


def _match_open_ends(
    left: Sequence[tuple[Any, ...]], right: Sequence[tuple[Any, ...]], partners: NDArray[np.intp]
) -> None:
    """Give partners to rows without an end: the only other row that has none from their start."""
    taken = set(partners.tolist())
    lonely = (
        np.flatnonzero(partners < 0).tolist(),
        [i for i in range(len(right)) if i not in taken],
    )
    from_start: tuple[dict[Any, list[int]], dict[Any, list[int]]] = ({}, {})
    for keys, rows, found in zip((left, right), lonely, from_start, strict=True):
        for row in rows:
            file, start, _, *rest = keys[row]
            found.setdefault((file, max(start, 0), *rest), []).append(row)
    for key, mine in from_start[0].items():
        theirs = from_start[1].get(key, [])
        if len(mine) == len(theirs) == 1 and min(left[mine[0]][2], right[theirs[0]][2]) < 0:
            partners[mine[0]] = theirs[0]


def _unique_positions(keys: Sequence[Any], name: str, whole: bool) -> dict[Any, int]:
    """Row by key, refusing a key that occurs twice."""
    positions = {key: row for row, key in enumerate(keys)}
    if len(positions) < len(keys):
        twice = [key[0] for row, key in enumerate(keys) if positions[key] != row]
        raise TableError(
            f"{name}: {len(twice)} rows repeat an utterance, expected one row for each: "
            f"{listing(dict.fromkeys(twice))}. "
            + (
                "Give both tables start and end, or one row for each file."
                if whole
                else "Choose one model's rows, or remove the repeated ones."
            )
        )
    return positions
