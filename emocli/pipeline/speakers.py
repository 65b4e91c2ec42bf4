"""Turns of speakers as utterances: from an RTTM file, a table, or pyannote.audio."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from emocli.audio.decode import read_waveform
from emocli.audio.quality import join_remarks
from emocli.errors import AudioError, MissingDependency, TableError, TimelineError
from emocli.pipeline.inputs import Utterance
from emocli.table import listing
from emocli.table_io import format_of, parse_columns
from emocli.timeline.turns import (
    Turn,
    is_rttm,
    overlap_notes,
    parse_rttm,
    same_time_once,
    turns_of_columns,
)

if TYPE_CHECKING:
    from emocli.models.diarization import Diarizer

PYANNOTE = "pyannote"


def speaker_utterances(
    utterances: Sequence[Utterance], source: str, *, device: str = "auto"
) -> tuple[list[Utterance], list[str]]:
    """An utterance for each turn of a speaker, instead of one for each recording.

    Args:
        utterances: whole recordings.
        source: an RTTM file, a table with ``speaker``, ``start``, ``end`` and perhaps ``file``,
            or ``"pyannote"``, ``"pyannote:MODEL"``.
        device: where pyannote computes.

    Returns:
        Utterances with a column ``speaker``, in the order of recordings and of time, and
        sentences on recordings that have no turn.

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
    return cut_turns(utterances, read_turns(source), source)


def read_turns(path: str) -> list[Turn]:
    """Turns of an RTTM file, or of a table in any of the forms of tables.

    Raises:
        TableError: the file cannot be read or is neither.
        MissingDependency: a Parquet file without pyarrow.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise TableError(
            f"{path}: cannot be read ({error.strerror}), expected turns of speakers. "
            f"Check the path."
        ) from None
    if path.lower().endswith(".rttm") or format_of(path) is None:
        text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
        if path.lower().endswith(".rttm") or is_rttm(text):
            return parse_rttm(text, path)
    return turns_of_columns(parse_columns(data, path, kind=format_of(path)), path)


def cut_turns(
    utterances: Sequence[Utterance], turns: Sequence[Turn], source: str
) -> tuple[list[Utterance], list[str]]:
    """Utterances of the turns that each recording has.

    A turn names its recording by path, by name, or by name without ending as RTTM does. Where it
    names none, there must be one recording only.

    Args:
        utterances: whole recordings.
        turns: at least one.
        source: what to call the turns in an error.

    Returns:
        Utterances, and a sentence on recordings without turns.

    Raises:
        TimelineError: turns of unknown recordings, or turns that may be of several.
    """
    named = dict.fromkeys(turn.file for turn in turns)
    owners = {file: _owners(file, utterances, os.path.dirname(source)) for file in named}
    _check_owners(owners, source)
    cut: list[Utterance] = []
    silent = []
    for index, utterance in enumerate(utterances):
        found = same_time_once([turn for turn in turns if index in owners[turn.file]])
        notes = overlap_notes(found)
        cut += [_turn(utterance, turn, note) for turn, note in zip(found, notes, strict=True)]
        if not found:
            silent.append(utterance.file)
    return cut, [f"{source}: no turns of {listing(silent)}, left out."] if silent else []


def _owners(file: str, utterances: Sequence[Utterance], folder: str) -> list[int]:
    """Which recordings a name may mean: those of that path, else of that name."""
    if not file:
        return list(range(len(utterances)))
    real = {os.path.realpath(file), os.path.realpath(os.path.join(folder, file))}
    ways = (
        lambda one: one.file == file,
        lambda one: os.path.realpath(one.path) in real,
        lambda one: PurePosixPath(one.file).name == file,
        lambda one: PurePosixPath(one.file).stem == file,
    )
    for way in ways:
        found = [index for index, one in enumerate(utterances) if way(one)]
        if found:
            return found
    return []


def _check_owners(owners: dict[str, list[int]], source: str) -> None:
    """Make sure that each name means one recording.

    Raises:
        TimelineError: it means none or several.
    """
    if len(owners.get("", [0])) > 1:
        raise TimelineError(
            f"{source}: no file is named and there are {len(owners[''])} recordings, expected a "
            f"column file. Add it, or give one recording."
        )
    unknown = [file for file, found in owners.items() if not found]
    if unknown:
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


def _turn(utterance: Utterance, turn: Turn, note: str) -> Utterance:
    return replace(
        utterance,
        start=turn.start,
        end=turn.end,
        carried={**utterance.carried, "speaker": turn.speaker},
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
