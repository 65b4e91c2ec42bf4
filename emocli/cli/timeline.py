"""Options of ``emocli predict`` for long recordings, and what they come to."""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated

import numpy as np
import typer

from emocli.audio.windows import plan_windows
from emocli.cli.console import choose_format
from emocli.cli.options import OUTPUT_PANEL
from emocli.cli.places import file_places, write_text
from emocli.errors import AudioError, TimelineError
from emocli.label_tracks import FORMATS, SUFFIXES, label_track, marks_of
from emocli.models.protocol import ModelCard
from emocli.pipeline.inputs import Utterance, recording_ends
from emocli.pipeline.scoring import WHOLE_SECONDS, WINDOW_SECONDS
from emocli.pipeline.voice import VoiceActivity
from emocli.table import PredictionTable, listing
from emocli.timeline.smoothing import Smoothing
from emocli.timeline.tables import TimelineOptions

_BY_SUFFIX = {SUFFIXES[form].lower(): form for form in FORMATS if form != "audacity"}
"""Forms that a suffix names; Audacity's .txt may be anything."""


class TimelineFormat(StrEnum):
    """Forms of a prediction: those of a table, and label tracks for other programs."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    RTTM = "rttm"
    AUDACITY = "audacity"
    TEXTGRID = "textgrid"
    EAF = "eaf"
    SRT = "srt"


TIMELINE_PANEL = "Timeline"

Windows = Annotated[
    bool,
    typer.Option(
        "--windows",
        help="One row for each window: the timeline.",
        rich_help_panel=TIMELINE_PANEL,
    ),
]


def window_of(text: str) -> float:
    """The seconds that ``--window`` means, infinite for ``none``.

    Raises:
        typer.BadParameter: neither a number nor ``none``.
    """
    try:
        return math.inf if text == "none" else float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number of seconds nor none") from None


Window = Annotated[
    float | None,
    typer.Option(
        parser=window_of,
        metavar="SECONDS|none",
        help="Longest stretch that goes through a model at once; none hears recordings of up to "
        "120 s whole.",
        show_default="12, or what the model's authors hear",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Hop = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="From the start of one window to the next.",
        show_default="the window",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Voice = Annotated[
    bool,
    typer.Option(
        "--vad",
        help="Hear speech only. Pauses below 0.5 s are part of speech.",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Smooth = Annotated[
    str | None,
    typer.Option(
        metavar="median:N|viterbi:COST",
        help="Smooth windows: the median of posteriors over N of them, or the likeliest labels "
        "where each change costs COST nats; then posteriors stay. Never across a gap longer "
        "than the hop.",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Segments = Annotated[
    bool,
    typer.Option(
        "--segments",
        help="One row for each stretch of windows of one label, with their mean posterior.",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
MinSeconds = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Shorter segments become part of the neighbour whose label they find more probable.",
        show_default="0",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Speakers = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="One row for each turn of a speaker: an RTTM file, a table with speaker, start, "
        "end and perhaps file, a TextGrid, an ELAN file, labels of Audacity, subtitles, a folder "
        "of these, or pyannote[:MODEL].",
        rich_help_panel=TIMELINE_PANEL,
    ),
]
Output = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE|DIR",
        help="Where the table goes; the suffix decides its form. Label tracks of several "
        "recordings go into a folder.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Format = Annotated[
    TimelineFormat | None,
    typer.Option(
        "-f",
        "--format",
        envvar="EMOCLI_FORMAT",
        help="Form of the table, or a label track for other programs. By default readable on a "
        "terminal and CSV in a pipe.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


def timeline_options(
    windows: bool,
    smooth: str | None,
    segments: bool,
    min_seconds: float | None,
    max_gap_seconds: float,
) -> TimelineOptions:
    """What to make of windows.

    Raises:
        typer.BadParameter: options that need others, or a smoothing that is none.
    """
    if smooth is not None and not (windows or segments):
        raise typer.BadParameter(
            "there are no windows to smooth; add --windows or --segments", param_hint="--smooth"
        )
    if min_seconds is not None and not segments:
        raise typer.BadParameter(
            "there are no segments to be that long; add --segments", param_hint="--min-seconds"
        )
    try:
        smoothing = Smoothing.parse(smooth) if smooth is not None else None
    except TimelineError as error:
        raise typer.BadParameter(str(error), param_hint="--smooth") from None
    return TimelineOptions(smoothing, segments, min_seconds or 0.0, max_gap_seconds)


def find_voice(vad: bool) -> VoiceActivity | None:
    """Voice activity where it was asked for."""
    return VoiceActivity() if vad else None


def check_windows(window: float | None, hop: float | None) -> None:
    """Refuse lengths of windows that are none, before anything is read.

    Raises:
        typer.BadParameter: one is out of its range.
    """
    try:
        length = WINDOW_SECONDS if window is None else window
        plan_windows(
            16_000,
            window_seconds=WHOLE_SECONDS if length == math.inf else length,
            hop_seconds=hop,
        )
    except AudioError as error:
        raise typer.BadParameter(str(error)) from None


def prediction_form(output: str, form: TimelineFormat | None) -> str:
    """The form of the output: as asked, else by the file's suffix, else by who reads it.

    Raises:
        TableError: the file's suffix names no format and none was asked.
    """
    found = _BY_SUFFIX.get(PurePath(output).suffix.lower())
    if form is None and found:
        return found
    return choose_format(output, form.value if form else None)


def track_places(files: Iterable[str], output: str, kind: str, models: int) -> dict[str, str]:
    """Where the label track of each recording goes; nowhere if a table is wanted.

    Args:
        files: of each utterance.
        output: file, folder, or ``"-"``.
        kind: form of the output.
        models: how many there are.

    Raises:
        typer.BadParameter: several recordings and standard output, or several models.
        TableError: several recordings and a file instead of a folder.
    """
    if kind not in FORMATS:
        return {}
    if models > 1 and kind not in ("textgrid", "eaf"):
        raise typer.BadParameter(
            f"-f {kind} has room for one model and there are {models}; give one, or -f textgrid",
            param_hint="--model",
        )
    return file_places(list(dict.fromkeys(files)), output, kind, SUFFIXES[kind], "timelines")


def check_labels(cards: Sequence[ModelCard], kind: str) -> None:
    """Make sure that models have something to write on a label track.

    Raises:
        TimelineError: a model gives dimensions only.
    """
    for card in cards if kind in FORMATS else ():
        if not card.labels:
            raise TimelineError(
                f"{card.identifier} gives {', '.join(card.dimensions)} and no labels, expected a "
                f"model of emotions for -f {kind}. Choose another with -m, or a table with -f."
            )


def track_ends(utterances: Sequence[Utterance], kind: str, *, vad: bool) -> dict[str, float]:
    """Where recordings end, by file, for tracks that tell of it and do not end with the last row.

    Args:
        utterances: of the run.
        kind: form of the output.
        vad: whether speech alone has rows.
    """
    if kind != TimelineFormat.TEXTGRID:
        return {}
    return recording_ends([one for one in utterances if vad or one.end is not None])


def write_tracks(
    table: PredictionTable, places: dict[str, str], kind: str, ends: Mapping[str, float]
) -> None:
    """Write the label track of each recording that was heard to its place.

    Args:
        table: the rows.
        places: of each recording's track.
        kind: form of the tracks.
        ends: seconds at which recordings end, where that is not with their last row.

    Raises:
        TimelineError: predictions without start and end, as of texts that have none.
        TableError: a file or folder cannot be written.
    """
    found = marks_of(table)
    timeless = dict.fromkeys(table["file"][~table.failed & ~np.isin(table["file"], [*found])])
    if timeless:
        raise TimelineError(
            f"{listing(timeless)}: predictions without start and end, expected times for "
            f"-f {kind}. Give a table with start and end, or a model of speech."
        )
    for file, marks in found.items():
        track = label_track(marks, kind, file, ends.get(file, 0.0))
        write_text(track, places[file], "timelines")
