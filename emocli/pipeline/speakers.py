"""Turns of speakers as utterances: from files of turns and annotations, or pyannote.audio."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emocli.audio.decode import read_waveform
from emocli.audio.quality import join_remarks
from emocli.errors import AudioError, MissingDependency, TableError, TimelineError
from emocli.files import find_file
from emocli.label_tracks import rttm_name
from emocli.natural_order import natural_key
from emocli.pipeline.inputs import Utterance
from emocli.table import listing, spelling
from emocli.table_io import format_of
from emocli.table_reader import NO_NAMES, ColumnNames, decoded, parse_columns
from emocli.timeline.annotations import PARSERS, form_of_annotation
from emocli.timeline.turns import (
    Turn,
    TurnReader,
    is_rttm,
    overlap_notes,
    parse_rttm,
    same_time_once,
    turns_of_columns,
)

if TYPE_CHECKING:
    from emocli.models.diarization import Diarizer

PYANNOTE = "pyannote"
_ANNOTATIONS = (".rttm", ".textgrid", ".eaf", ".srt", ".vtt", ".txt")
"""Endings of files of turns in a folder."""


def speaker_utterances(
    utterances: Sequence[Utterance],
    source: str,
    *,
    device: str = "auto",
    columns: ColumnNames = NO_NAMES,
) -> tuple[list[Utterance], list[str]]:
    """An utterance for each turn of a speaker, instead of one for each recording.

    Args:
        utterances: whole recordings.
        source: a file or folder as for `read_turns`, or ``"pyannote"``, ``"pyannote:MODEL"``.
        device: where pyannote computes.
        columns: what a table of turns calls some columns.

    Returns:
        Utterances with a column ``speaker``, in the order of recordings and of time, and
        sentences on what was left out.

    Raises:
        TimelineError: an utterance that is a part of a recording, turns of unknown recordings,
            or turns that may be of several.
        TableError: the file is no RTTM and no such table.
        MissingDependency: pyannote.audio is needed and not installed.
        ModelUnavailable: pyannote's models are not on this machine and cannot be fetched.
    """
    parts = [one.file for one in utterances if one.start is not None or one.end is not None]
    if parts:
        raise TimelineError(
            f"{listing(dict.fromkeys(parts))}: start and end are given, expected whole recordings "
            f"for --speakers to cut. Leave out --speakers, or start and end."
        )
    if source == PYANNOTE or source.startswith(f"{PYANNOTE}:"):
        return _diarized(utterances, source, device)
    turns, faults = read_turns(source, columns)
    cut, remarks = cut_turns(utterances, turns, source)
    return cut, [*faults, *remarks]


def read_turns(path: str, columns: ColumnNames = NO_NAMES) -> tuple[list[Turn], list[str]]:
    """Turns of speakers and remarks on lines that are none.

    RTTM, a table in any of the forms of tables, a TextGrid of Praat, a file of ELAN, labels of
    Audacity, subtitles, or a folder of such files, each of which is called as its recording.

    Args:
        path: file or folder.
        columns: what a table calls some columns.

    Raises:
        TableError: a file cannot be read or is none of these, or has no turn.
        MissingDependency: a Parquet file without pyarrow, or a workbook without openpyxl.
    """
    if not os.path.isdir(path):
        return _turns_of_file(path, columns)
    turns, remarks = [], []
    for file in _annotations(path):
        found, faults = _turns_of_file(os.path.join(path, file), columns)
        own = os.path.splitext(file)[0].replace(os.sep, "/")
        turns += [replace(turn, file=turn.file or own) for turn in found]
        remarks += faults
    return turns, remarks


def _annotations(folder: str) -> list[str]:
    """Files in a folder and below that hold turns by their names, from the folder.

    Raises:
        TableError: there is none.
    """
    found = [
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and name.lower().endswith(_ANNOTATIONS)
    ]
    if not found:
        raise TableError(
            f"{folder}: a folder without turns of speakers, expected files that end in "
            f"{', '.join(_ANNOTATIONS)}. Name the file itself."
        )
    return sorted(found, key=natural_key)


def _turns_of_file(path: str, columns: ColumnNames) -> tuple[list[Turn], list[str]]:
    try:
        data = Path(find_file(path) or path).read_bytes()
    except (OSError, ValueError) as error:
        raise TableError(
            f"{path}: cannot be read ({getattr(error, 'strerror', '') or error}), expected turns "
            f"of speakers. Check the path."
        ) from None
    found = _parsed(data, path, columns)
    return found.turns(), found.remarks()


def _parsed(data: bytes, path: str, columns: ColumnNames) -> TurnReader:
    if format_of(path) is None and data.strip():
        text, _ = decoded(data, path)
        if path.lower().endswith(".rttm"):
            return parse_rttm(text, path)
        if form := form_of_annotation(text):
            return PARSERS[form](text, path)
        if is_rttm(text):
            return parse_rttm(text, path)
    return turns_of_columns(parse_columns(data, path, kind=format_of(path), columns=columns), path)


def cut_turns(
    utterances: Sequence[Utterance], turns: Sequence[Turn], source: str
) -> tuple[list[Utterance], list[str]]:
    """Utterances of the turns that each recording has.

    A turn names its recording by path, by the end of its path, or by that without the file's
    ending as RTTM does. Where it names none, it is of the only recording, or of the one that is
    called as the source.

    Args:
        utterances: whole recordings.
        turns: at least one.
        source: what to call the turns in an error.

    Returns:
        Utterances, and sentences on recordings without turns and turns without recording.

    Raises:
        TimelineError: turns of unknown recordings only, or turns that may be of several.
    """
    known = _Recordings(utterances, source)
    owners = {file: known.named(file) for file in dict.fromkeys(turn.file for turn in turns)}
    unknown = _check_owners(owners, len(utterances), source)
    of_recording: list[list[Turn]] = [[] for _ in utterances]
    for turn in turns:
        for index in owners[turn.file]:
            of_recording[index].append(turn)
    cut: list[Utterance] = []
    silent = []
    for utterance, own in zip(utterances, of_recording, strict=True):
        found = same_time_once(own)
        notes = overlap_notes(found)
        cut += [_turn(utterance, turn, note) for turn, note in zip(found, notes, strict=True)]
        if not found:
            silent.append(utterance.file)
    remarks = [f"{source}: no turns of {listing(silent)}, left out."] if silent else []
    if unknown:
        remarks.append(
            f"{source}: turns of {listing(unknown)} are left out, which are not among the "
            f"recordings."
        )
    return cut, remarks


class _Recordings:
    """Recordings by the ways in which turns may name them.

    Args:
        utterances: whole recordings.
        source: path of the file of turns.
    """

    def __init__(self, utterances: Sequence[Utterance], source: str) -> None:
        self._n = len(utterances)
        self._source = source
        self._ways: list[dict[str, list[int]]] = [{} for _ in range(5)]
        for index, one in enumerate(utterances):
            path = spelling(one.file)
            whole, bare = _ends(path), _ends(os.path.splitext(path)[0])
            names = ([one.file], [os.path.realpath(one.path)], whole, bare, map(rttm_name, bare))
            for way, keys in zip(self._ways, names, strict=True):
                for key in keys:
                    way.setdefault(key, []).append(index)

    def named(self, file: str) -> list[int]:
        """Which recordings a name may mean."""
        if not file:
            own = os.path.splitext(os.path.basename(self._source))[0]
            return [0] if self._n == 1 else self._found(own, own)
        folder = os.path.dirname(self._source)
        places = (find_file(file, (folder, "")), file, os.path.join(folder, file))
        return self._found(file, *(os.path.realpath(place) for place in places if place))

    def _found(self, file: str, *real: str) -> list[int]:
        """Recordings by the first way that leads to any."""
        as_written, by_place, by_end, by_bare_end, by_rttm = self._ways
        spelled = spelling(file)
        found = (
            as_written.get(file),
            next(filter(None, map(by_place.get, real)), None),
            by_end.get(spelled),
            by_bare_end.get(spelled),
            by_rttm.get(rttm_name(spelled)),
            by_end.get(spelled.rpartition("/")[2]),
        )
        return next(filter(None, found), [])


def _ends(path: str) -> list[str]:
    """The ends of a path, from the name alone to the whole."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _check_owners(owners: dict[str, list[int]], n_recordings: int, source: str) -> list[str]:
    """Names that mean no recording; there must be others, and none that means several.

    Raises:
        TimelineError: all mean none, or one means several.
    """
    if "" in owners and len(owners[""]) != 1:
        raise TimelineError(
            f"{source}: no file is named and there are {n_recordings} recordings, expected a "
            f"column file. Add it, or give one recording."
        )
    unknown = [file for file, found in owners.items() if not found]
    if len(unknown) == len(owners):
        raise TimelineError(
            f"{source}: {len(unknown)} of {len(owners)} files are not among the recordings: "
            f"{listing(unknown)}. Give these recordings too, or remove their turns."
        )
    several = [file for file, found in owners.items() if len(found) > 1]
    if several:
        raise TimelineError(
            f"{source}: {listing(several)} may be several of the recordings, expected names that "
            f"tell them apart. Give paths in a table with a column file."
        )
    return unknown


def _turn(utterance: Utterance, turn: Turn, note: str) -> Utterance:
    told = {"speaker": turn.speaker, "text": turn.text}
    return replace(
        utterance,
        start=turn.start,
        end=turn.end,
        carried={**utterance.carried, **{name: said for name, said in told.items() if said}},
        note=join_remarks(utterance.note, note),
    )


def _diarized(
    utterances: Sequence[Utterance], source: str, device: str
) -> tuple[list[Utterance], list[str]]:
    """Utterances of the turns that pyannote hears."""
    from emocli.models.diarization import DEFAULT_MODEL, load_diarizer

    _, _, name = source.partition(":")
    diarizer = load_diarizer(name or DEFAULT_MODEL, device=device)
    cut: list[Utterance] = []
    silent = []
    for utterance in utterances:
        found = _heard_turns(utterance, diarizer)
        if found is None:
            cut.append(utterance)  # it gets a row that says what is wrong with it
            continue
        notes = overlap_notes(found)
        cut += [_turn(utterance, turn, note) for turn, note in zip(found, notes, strict=True)]
        if not found:
            silent.append(utterance.file)
    return cut, [f"{source}: no turns of {listing(silent)}, left out."] if silent else []


def _heard_turns(utterance: Utterance, diarizer: "Diarizer") -> list[Turn] | None:
    """Turns in a recording, None if it cannot be used."""
    try:
        waveform = read_waveform(utterance.path, name=utterance.file, selection=utterance.selection)
    except (AudioError, MissingDependency):
        return None
    turns = diarizer.turns(waveform.samples)
    return same_time_once([Turn(utterance.file, *turn) for turn in turns])
