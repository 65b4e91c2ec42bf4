"""PATH arguments as utterances: files, folders, patterns, manifests and standard input."""

import atexit
import codecs
import math
import os
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, overload

from emocli.audio.decode import DEFAULT_SELECTION, Selection, WaveformStream, open_frames
from emocli.audio.find import expand_pattern, find_recordings, is_pattern
from emocli.audio.stores import (
    FETCHED_AT_A_TIME,
    StoredPath,
    find_stored,
    is_uri,
    located,
    read_stored,
)
from emocli.calibration.abstention import about_recording
from emocli.errors import AudioError, EmocliError, TableError
from emocli.files import STDIN, find_file
from emocli.fusion.fused import CONFIDENCE_COLUMNS
from emocli.table import (
    CHANNEL_COLUMN,
    DIMENSIONS,
    KEY_COLUMNS,
    MEASURES,
    PROBABILITY_PREFIX,
    REMARK_COLUMNS,
    SCORE_PREFIXES,
    PredictionTable,
    listing,
)
from emocli.table_io import check_named, format_of, is_table_name, parse_table, read_bytes
from emocli.table_reader import NO_NAMES, ColumnNames, columns_of_frame, has_file_column, is_frame

if TYPE_CHECKING:
    import pandas as pd

_NOT_CARRIED = frozenset(
    (*KEY_COLUMNS, "label", *MEASURES, *DIMENSIONS, *REMARK_COLUMNS, *CONFIDENCE_COLUMNS)
)
_FIRST_BYTES = 65536
_ANY_RATE = 16000

MIX, SPLIT = "mix", "split"
"""How several channels are heard: mixed to one, or each as a recording of its own."""

ChannelChoice = int | str
"""`MIX`, `SPLIT`, or the number of the only channel to hear, from 1 on."""

_NOTHING: Mapping[str, Any] = {}
"""What utterances without other columns share."""


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
        selection: which track and channel of the recording are heard.
    """

    file: str
    path: Path | StoredPath
    start: float | None = None
    end: float | None = None
    carried: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    note: str = ""
    error: str = ""
    selection: Selection = DEFAULT_SELECTION

    def stream(self, sampling_rate: int) -> WaveformStream:
        """The recording, or the segment of it, not yet read; ``sampling_rate`` in Hz."""
        return WaveformStream(
            self.path,
            sampling_rate,
            start=self.start,
            stop=self.end,
            name=self.file,
            selection=self.selection,
        )


class Recordings(Sequence[Utterance]):
    """Whole recordings that are made into utterances when they are asked for.

    A million of them take as much memory as the letters of their paths.

    Args:
        files: paths with ``/`` between folders.
    """

    __slots__ = ("_ends", "_letters", "_places")

    def __init__(self, files: Iterable[str]) -> None:
        self._letters = bytearray()
        self._ends = array("Q", [0])
        for file in files:
            self._letters += file.encode("utf-8", "surrogatepass")
            self._ends.append(len(self._letters))
        self._places = range(len(self._ends) - 1)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...

    @overload
    def __getitem__(self, index: slice) -> "Recordings": ...

    def __getitem__(self, index: int | slice) -> "Utterance | Recordings":
        if isinstance(index, int):
            return self._at(self._places[index])
        part = Recordings(())
        part._letters, part._ends, part._places = self._letters, self._ends, self._places[index]
        return part

    def __iter__(self) -> Iterator[Utterance]:
        return map(self._at, self._places)

    def _at(self, place: int) -> Utterance:
        letters = self._letters[self._ends[place] : self._ends[place + 1]]
        file = letters.decode("utf-8", "surrogatepass")
        return Utterance(file=file, path=Path(file))


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

    utterances: Sequence[Utterance]
    remarks: tuple[str, ...] = ()
    folder: str = ""
    warnings: tuple[str, ...] = ()

    def files(self) -> Iterator[str]:
        """Paths of recordings on this machine."""
        return (str(one.path) for one in self.utterances if isinstance(one.path, Path))


PathLike = str | os.PathLike[str]
Arguments: TypeAlias = "PathLike | PredictionTable | pd.DataFrame | Sequence[PathLike]"
"""What stands for recordings: paths, or one table of them."""


def read_inputs(paths: "Arguments", columns: ColumnNames = NO_NAMES) -> Inputs:
    """Utterances of files, folders, patterns, manifests and ``"-"``.

    A folder stands for all recordings in it and below. A pattern with ``*``, ``?`` or ``[`` that
    the shell left alone is expanded here. A table (CSV, TSV, JSON, JSON Lines, Parquet) stands
    for the recordings in its ``file`` column; ``start`` and ``end`` in seconds make segments of
    them and other columns are carried through. A URI such as ``s3://bucket/folder/`` stands for
    what a path would; a table in a store names what is beside it there. Standard input is a
    table, a list of paths one a line or separated by null bytes, or a recording. A file that is
    named and does not exist is an utterance all the same: it gets a row that says so.

    Args:
        paths: one or several arguments, or a table, which may be a pandas data frame.
        columns: what tables call some columns.

    Raises:
        AudioError: a folder without recordings, a pattern that matches nothing, a store that
            cannot be listed, or nothing at all on standard input.
        TableError: a manifest that is not a table, a column that is named and in no table, or
            an argument that is neither a path nor a table.
    """
    arguments = _arguments(paths)
    if len(arguments) == 1 and _is_folder(arguments[0]):  # which holds each path once
        return Inputs(Recordings(map(_written, find_recordings(os.fspath(arguments[0])))))
    met: set[str] = set()
    groups = [_argument(argument, columns, met) for argument in arguments]
    check_named(columns, met, [found for group in groups for found in group[3]])
    utterances, repeated, differing = _each_once([group[0] for group in groups])
    remarks = [remark for group in groups for remark in group[1]]
    if repeated:
        remarks.append(f"Named more than once and taken once: {listing(repeated)}.")
    warnings = []
    if differing:
        warnings.append(
            f"Only the first of several rows for the same recording, start and end is taken, and "
            f"other columns differ: {listing(differing)}."
        )
    folder = groups[0][2] if len(groups) == 1 else ""
    return Inputs(utterances, tuple(remarks), folder, tuple(warnings))


def select_sound(inputs: Inputs, channel: ChannelChoice = MIX, track: int | None = None) -> Inputs:
    """The same utterances with what of them to hear.

    Args:
        inputs: what `read_inputs` gave.
        channel: ``"mix"`` for all channels, mixed so that nothing is lost; the number of one; or
            ``"split"`` for an utterance for each. The last two add a column ``channel``.
        track: sound track of files with several, from 1 on; None for the default one.

    Raises:
        AudioError: a channel or track that is none.
    """
    number = channel if isinstance(channel, int) else None
    for name, value in (("channel", number), ("track", track)):
        if value is not None and value < 1:
            raise AudioError(f"No {name} is number {value}, expected 1 or more. Choose another.")
    if number is None and channel not in (MIX, SPLIT):
        raise AudioError(
            f"Channel {channel!r} is none, expected mix, split or a number from 1 on. Choose one."
        )
    if channel == MIX and track is None:
        return inputs
    chosen: list[Utterance] = []
    for one in inputs.utterances:
        one = replace(one, selection=replace(one.selection, track=track))
        if channel == MIX:
            chosen.append(one)
            continue
        numbers = [number] if number else _channels_of(one)
        chosen += [
            replace(
                one,
                carried={**one.carried, CHANNEL_COLUMN: str(each or "")},
                selection=Selection(each, track),
            )
            for each in numbers
        ]
    return replace(inputs, utterances=tuple(chosen))


def _channels_of(utterance: Utterance) -> Sequence[int | None]:
    """Numbers of the channels of a recording; None alone if it cannot be read, as its row says."""
    try:
        with open_frames(
            os.fspath(utterance.path), utterance.file, utterance.selection.track
        ) as source:
            return range(1, source.n_channels + 1)
    except EmocliError:
        return [None]


def _is_folder(argument: PathLike | PredictionTable) -> TypeGuard[PathLike]:
    """Whether an argument is a folder, rather than a file or ``-``."""
    return (
        argument != STDIN and not isinstance(argument, PredictionTable) and os.path.isdir(argument)
    )


def _arguments(paths: "Arguments") -> list[PathLike | PredictionTable]:
    """Paths and tables, a data frame as a table.

    Raises:
        TableError: something that is neither.
    """
    if isinstance(paths, (str, os.PathLike, PredictionTable)):
        return [paths]
    if is_frame(paths):
        name = "the data frame"
        return [PredictionTable.from_columns(columns_of_frame(paths, name), name=name)]
    try:
        found = list(paths)
    except TypeError:
        found = [paths]
    for one in found:
        if not isinstance(one, (str, os.PathLike, PredictionTable)) or is_frame(paths):
            raise TableError(
                f"{type(one).__name__} among the inputs, expected paths of recordings, or one "
                f"table: a PredictionTable or a pandas data frame with a column file. Convert it."
            )
    return found


_Group = tuple[Sequence[Utterance], list[str], str, list[tuple[str, PredictionTable]]]
"""Utterances, remarks and folder of an argument, and its table by its name."""


def _argument(argument: PathLike | PredictionTable, columns: ColumnNames, met: set[str]) -> _Group:
    """What one argument comes to; ``met`` gets the names of columns of the user's that it has."""
    if isinstance(argument, PredictionTable):
        return _table_utterances(argument, "the table")
    text = os.fspath(argument)
    if text == STDIN:
        return _standard_input(sys.stdin.buffer.read(), columns, met)
    if is_uri(text):
        return _stored_table(text, columns, met) if format_of(text) else _named([text])
    if is_pattern(text):
        return _named(expand_pattern(text))
    place = find_file(text) or text
    if is_table_name(text) and not os.path.isdir(place):
        data, folder = read_bytes(place, text), os.path.dirname(text)
        table = parse_table(
            data, text, kind=format_of(text), folder=folder, columns=columns, met=met
        )
        return _table_utterances(table, text)
    return _named([place])


def _named(paths: Sequence[str]) -> _Group:
    """Utterances of files, and of what is in folders and stores."""
    if any(map(is_uri, paths)):
        return [one for path in paths for one in _recordings(path)], [], "", []
    return Recordings(_written(file) for path in paths for file in _files(path)), [], "", []


def _recordings(path: str) -> Iterable[Utterance]:
    """Utterances of a file or a folder, here or in a store."""
    if is_uri(path):
        return [Utterance(file=found.uri, path=found) for found in find_stored(path)]
    return Recordings(map(_written, _files(path)))


def _files(path: str) -> Iterable[str]:
    """Paths of what a file or a folder on this machine stands for."""
    return find_recordings(path) if os.path.isdir(path) else (path,)


def _written(path: str) -> str:
    """A path with ``/`` between folders, as tables have it."""
    return path.replace(os.sep, "/")


def _standard_input(data: bytes, columns: ColumnNames, met: set[str]) -> _Group:
    """Utterances of a table, of a list of paths, or of a recording.

    Raises:
        AudioError: nothing of these.
    """
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise AudioError(
            "standard input: empty, expected a table, a list of paths or a recording. "
            "Check that the command before it succeeded."
        )
    if is_binary(data):
        return [_held(data)], [], "", []
    if has_file_column(data, columns):
        name = "standard input"
        return _table_utterances(parse_table(data, name, columns=columns, met=met), name)
    paths = os.fsdecode(data).split("\0" if b"\0" in data else "\n")
    return _named([path for path in (path.rstrip("\r") for path in paths) if path])


def is_binary(data: bytes) -> bool:
    r"""Whether bytes are neither a table nor paths one a line or separated by null bytes.

    Example:
        >>> is_binary(b"RIFF\x24\x08\0\0WAVEfmt "), is_binary(b"a.wav\0b.wav\0")
        (True, False)
    """
    is_known_table = data.startswith((b"PAR1", b"PK\x03\x04", *_MARKS))
    return not is_known_table and not _NOT_IN_PATHS.isdisjoint(data[:_FIRST_BYTES])


_NOT_IN_PATHS = frozenset(range(1, 32)) - frozenset(b"\t\n\r\x1b")

_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a table in UTF-16 begins."""


def _held(data: bytes) -> Utterance:
    """A recording that came on standard input, kept in a nameless file where the system has such.

    Raises:
        AudioError: it is none.
    """
    nameless = sys.platform == "linux"
    file = (tempfile.TemporaryFile if nameless else tempfile.NamedTemporaryFile)()
    atexit.register(file.close)  # and with it the copy is gone
    file.write(data)
    file.flush()
    path = f"/proc/self/fd/{file.fileno()}" if nameless else file.name
    with open_frames(path, "standard input"):
        return Utterance(file=STDIN, path=Path(path))


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
        if column not in _NOT_CARRIED and not column.startswith(SCORE_PREFIXES)
    ]
    utterances = [_row_utterance(row, carried, table.folder) for row in table.rows()]
    return utterances, [*table.remarks, *remarks], table.folder, [(name, table)]


def _stored_table(uri: str, columns: ColumnNames, met: set[str]) -> _Group:
    """Utterances of a table in a store, with whole URIs as there is no folder to start from.

    Raises:
        TableError: it cannot be fetched, or is no table.
    """
    try:
        table = parse_table(read_stored(uri), uri, kind=format_of(uri), columns=columns, met=met)
    except OSError as error:
        raise TableError(str(error)) from None
    folder = uri[: uri.rindex("/") + 1]
    utterances, remarks, _, tables = _table_utterances(table, uri)
    whole = [one.file if is_uri(one.file) else folder + one.file for one in utterances]
    moved = [
        replace(one, file=file, path=StoredPath(file))
        for one, file in zip(utterances, whole, strict=True)
    ]
    return moved, remarks, "", tables


def _row_utterance(row: Mapping[str, Any], carried: Sequence[str], folder: str) -> Utterance:
    file = row["file"]
    path = _located(file, folder)
    # A name may have a backslash in it, if it is there as written.
    is_as_written = isinstance(path, StoredPath) or str(path).endswith(file)
    return Utterance(
        file=_written(file) if is_as_written else file.replace("\\", "/"),
        path=path,
        start=_seconds(row.get("start")),
        end=_seconds(row.get("end")),
        carried={column: row[column] for column in carried},
        selection=_selection_of(row),
        note=about_recording(row.get("note", "")),
        error=row.get("error", ""),
    )


def _selection_of(row: Mapping[str, Any]) -> Selection:
    """The channel that a row of a table is about; only numbers from 1 on are channels."""
    text = str(row.get(CHANNEL_COLUMN, ""))
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        return DEFAULT_SELECTION
    return Selection(channel=int(text), is_wish=True)


def _located(file: str, folder: str) -> Path | StoredPath:
    """Where a file of a table is: from the table's folder, else from the working folder."""
    if is_uri(file):
        return located(file)
    return Path(find_file(file, (folder, "") if folder else ("",)) or os.path.join(folder, file))


def whole_path(path: Path | StoredPath) -> str:
    """A place in the one way in which it is written whatever the working folder is."""
    return path.uri if isinstance(path, StoredPath) else os.path.abspath(path)


def threads_for(utterances: Sequence[Utterance], n_threads: int) -> int:
    """How many recordings to read at a time: more where some have to be fetched.

    Args:
        utterances: what is to be read.
        n_threads: as many where all is on this machine.
    """
    return max(n_threads, FETCHED_AT_A_TIME) if any(stored_among(utterances)) else n_threads


def recording_ends(utterances: Sequence[Utterance]) -> dict[str, float]:
    """Seconds at which whole recordings end, by file, as they decode.

    Args:
        utterances: of which each recording is read once; one that cannot be read is left out.
    """
    ends = {}
    for one in {one.file: one for one in utterances}.values():
        stream = replace(one, start=None, end=None).stream(_ANY_RATE)
        with suppress(EmocliError):
            for _ in stream:
                pass
            ends[one.file] = stream.start + stream.duration
    return ends


def carried_columns(utterances: Sequence[Utterance]) -> list[str]:
    """Names of other columns of the tables that named utterances; `Recordings` have none."""
    if isinstance(utterances, Recordings):
        return []
    return list(dict.fromkeys(name for one in utterances for name in one.carried))


def stored_among(utterances: Sequence[Utterance]) -> Iterator[StoredPath]:
    """Places in stores; `Recordings` are not searched, which are all on this machine."""
    if not isinstance(utterances, Recordings):
        yield from (one.path for one in utterances if isinstance(one.path, StoredPath))


def _seconds(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _each_once(
    groups: Sequence[Sequence[Utterance]],
) -> tuple[Sequence[Utterance], list[str], list[str]]:
    """Utterances of all groups without repetitions.

    Returns:
        The utterances, the files that were repeated as they were, and those that were repeated
        with other columns.
    """
    repeated: list[str] = []
    differing: list[str] = []
    found = _unique(chain.from_iterable(groups), repeated, differing)
    if all(isinstance(group, Recordings) for group in groups):
        return Recordings(one.file for one in found), repeated, differing
    return tuple(found), repeated, differing


def _unique(
    utterances: Iterable[Utterance], repeated: list[str], differing: list[str]
) -> Iterator[Utterance]:
    """Utterances without repetitions; the files of those are put into one of two lists."""
    seen: dict[Any, Mapping[str, Any]] = {}
    for utterance in utterances:
        place = whole_path(utterance.path)
        segment = (utterance.start, utterance.end)
        channel = utterance.selection.channel
        whole = segment == (None, None) and channel is None
        key = place if whole else (place, *segment, channel)
        if key in seen:
            adds_nothing = utterance.carried.items() <= seen[key].items()
            (repeated if adds_nothing else differing).append(utterance.file)
            continue
        seen[key] = utterance.carried
        yield utterance
