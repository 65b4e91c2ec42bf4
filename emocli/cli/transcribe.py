"""``emocli transcribe``: recordings in, what is said in them out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import PurePath
from typing import Annotated

import typer

from emocli.asr.load import Machine, load_transcriber
from emocli.cli import options, resuming
from emocli.cli.console import Failures, Talk, choose_format, emit, finish
from emocli.cli.options import OUTPUT_PANEL, channel_of
from emocli.cli.places import check_places, file_places, write_text
from emocli.cli.progress import shown
from emocli.cli.render import prediction_table
from emocli.errors import ModelError
from emocli.files import STDIN, check_output
from emocli.pipeline.inputs import MIX, read_inputs, select_sound
from emocli.pipeline.journal import Journal
from emocli.pipeline.transcribe import DEFAULT_MODEL, Transcribed, TranscriptionRun
from emocli.subtitles import FORMATS as SUBTITLES
from emocli.subtitles import subtitles
from emocli.table import PredictionTable
from emocli.table_io import FORMATS, STREAMED, table_stream
from emocli.table_reader import ColumnNames
from emocli.transcript import FALLBACK_TEMPERATURES, Segment, TranscribeOptions


class TranscriptFormat(StrEnum):
    """Forms of a transcript: those of a table, and subtitles."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"


class Task(StrEnum):
    """What to write down."""

    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"


class Backend(StrEnum):
    """Libraries that compute Whisper."""

    AUTO = "auto"
    OPENAI = "openai"
    FASTER_WHISPER = "faster-whisper"


class WhisperDType(StrEnum):
    """Number formats that one or another of them can compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


DECODING_PANEL = "Decoding"
_DEFAULT_TEMPERATURES = ",".join(f"{value:g}" for value in FALLBACK_TEMPERATURES)


def transcribe(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, patterns, URIs of these such as s3://bucket/folder/ "
            "(emocli[cloud]), a table with a file column, or - for a table or a list of paths on "
            "standard input.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            envvar="EMOCLI_WHISPER_MODEL",
            metavar="NAME",
            help="A size (tiny, base, small, medium, large, turbo, also .en), "
            "hf:owner/name[@revision], a .pt file, or a folder.",
        ),
    ] = DEFAULT_MODEL,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="CODE|NAME",
            envvar="EMOCLI_LANGUAGE",
            help="Language that is spoken, such as pl or polish.",
            show_default="detected",
        ),
    ] = None,
    task: Annotated[
        Task, typer.Option(help="Write down what is said, or translate it into English.")
    ] = Task.TRANSCRIBE,
    segments: Annotated[
        bool, typer.Option("--segments", help="One row for each phrase, with its times.")
    ] = False,
    word_timestamps: Annotated[
        bool, typer.Option("--word-timestamps", help="Add the times of words, as JSON.")
    ] = False,
    vad: Annotated[
        bool,
        typer.Option(
            "--vad/--no-vad",
            help="Keep text where no speech is detected only if the model is sure of it.",
        ),
    ] = True,
    initial_prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What the model is told came before, such as names in their spelling.",
            rich_help_panel=DECODING_PANEL,
        ),
    ] = None,
    beam_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Width of the beam search at temperature 0.",
            show_default="greedy",
            rich_help_panel=DECODING_PANEL,
        ),
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            metavar="T[,T...]",
            help="Temperatures from 0 to 1, tried in turn while a text is repetitive or "
            "improbable.",
            rich_help_panel=DECODING_PANEL,
        ),
    ] = _DEFAULT_TEMPERATURES,
    condition_on_previous_text: Annotated[
        bool,
        typer.Option(
            help="Tell each window of 30 seconds what the one before it said.",
            rich_help_panel=DECODING_PANEL,
        ),
    ] = True,
    file_column: options.FileColumn = "",
    text_column: options.TextColumn = "",
    speaker_column: options.SpeakerColumn = "",
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="Where the table goes; the suffix decides its form. Subtitles of several "
            "recordings go into a folder.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = STDIN,
    form: Annotated[
        TranscriptFormat | None,
        typer.Option(
            "-f",
            "--format",
            envvar="EMOCLI_FORMAT",
            help="Form of the table, or subtitles. By default readable on a terminal and CSV in "
            "a pipe.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    channel: options.Channel = MIX,
    track: options.Track = None,
    csv_safe: options.CsvSafe = False,
    resume: resuming.Resume = True,
    shard: resuming.ShardOption = None,
    model_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            envvar="EMOCLI_MODEL_DIR",
            help="Where the .pt files of openai-whisper are.",
            show_default="its cache",
            rich_help_panel=options.MACHINE_PANEL,
        ),
    ] = None,
    backend: Annotated[
        Backend,
        typer.Option(
            envvar="EMOCLI_BACKEND",
            help="Library that computes. auto is openai for .pt files and faster-whisper for all "
            "others. faster-whisper takes .pt files too, and is twice as fast on a CPU.",
            rich_help_panel=options.MACHINE_PANEL,
        ),
    ] = Backend.AUTO,
    device: options.Device = "auto",
    dtype: Annotated[
        WhisperDType,
        typer.Option(
            envvar="EMOCLI_DTYPE",
            help="Number format. auto is fp32, for faster-whisper on a GPU fp16. int8 and bf16 "
            "are for faster-whisper only; int8 is faster on a CPU, and changes a few words.",
            rich_help_panel=options.MACHINE_PANEL,
        ),
    ] = WhisperDType.AUTO,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """What is said in recordings, by Whisper.

    Each recording gets a row with its text, language, and figures that tell how much to trust
    them. What Whisper writes where nobody speaks is kept apart in dropped_text, with a note.

    Examples:

        emocli transcribe recordings/ -o transcripts.csv

        emocli transcribe interview.flac --language polish -f srt -o interview.srt

        emocli transcribe recordings/ | emocli predict -m builtin-sentiment -
    """
    from emocli.audio.voice_activity import find_speech

    talk = Talk(quiet, verbose)
    sound = channel_of(channel)
    kind = _kind(output, form)
    how = TranscribeOptions(
        language=_language(language),
        task=task.value,
        initial_prompt=initial_prompt,
        word_timestamps=word_timestamps,
        beam_size=beam_size,
        temperatures=_temperatures(temperature),
        condition_on_previous_text=condition_on_previous_text,
    )
    if kind in (*FORMATS, "table"):
        check_output(output, paths, overwrite=not resume)
    columns = ColumnNames(file_column, text_column, speaker_column)
    inputs = select_sound(read_inputs(paths, columns), sound, track)
    for sentence in inputs.remarks:
        talk.say(sentence)
    for sentence in inputs.warnings:
        talk.warn(sentence)
    inputs = resuming.part_of(inputs, shard)
    files = dict.fromkeys(one.file for one in inputs.utterances) if kind in SUBTITLES else ()
    tracks = subtitle_places(list(files), output, kind) if files else {}
    check_places(output, tracks, (*paths, *inputs.files()), overwrite=not resume)
    machine = Machine(backend.value, device, dtype.value, len(inputs.utterances))
    transcriber = load_transcriber(model, machine, offline=offline, model_dir=model_dir)
    talk.detail(f"{transcriber.card.identifier} is loaded.")
    run = TranscriptionRun(inputs, transcriber, how, find_speech if vad else None)
    if output == STDIN and kind in STREAMED:
        finish(_stream(run, kind, talk, segments=segments, csv_safe=csv_safe))
        return
    settings = partial(run.settings, backend=backend.value, device=device, dtype=dtype.value)
    with resuming.kept(
        output, settings, resume=resume, makes_folders=bool(tracks), talk=talk
    ) as journal:
        done = _heard(run, journal, talk)
        if kind in SUBTITLES:
            n_failed = write_subtitles(done, tracks, kind)
        elif kind in FORMATS and journal is not None:
            tables = run.tables(done, segments=segments)
            n_failed = _write(run, tables, output, kind, segments=segments, csv_safe=csv_safe)
        else:
            table = run.table(done, segments=segments)
            n_failed = int(table.failed.sum())
            emit(table, output, kind, prediction_table, csv_safe=csv_safe)
    finish(n_failed)


def _heard(run: TranscriptionRun, journal: Journal | None, talk: Talk) -> Iterable[Transcribed]:
    """All transcripts of a run, when the last of them is there."""
    with shown(talk, "recordings") as progress:
        done = _said(run.transcripts(progress, journal))
        if journal is None:
            return list(done)
        for _ in done:  # written as they come
            pass
    return run.recorded(journal)


def _stream(run: TranscriptionRun, kind: str, talk: Talk, *, segments: bool, csv_safe: bool) -> int:
    """Write rows to standard output as they come; how many recordings have none."""
    with shown(talk, "recordings") as progress:
        done = _said(run.transcripts(progress))
        tables = (run.table([one], segments=segments) for one in done)
        return _write(run, tables, STDIN, kind, segments=segments, csv_safe=csv_safe)


def _write(
    run: TranscriptionRun,
    tables: Iterable[PredictionTable],
    output: str,
    kind: str,
    *,
    segments: bool,
    csv_safe: bool,
) -> int:
    """Write the pieces of a table; how many recordings have no transcript."""
    n_failed = 0
    with table_stream(output, kind, run.header(segments=segments), csv_safe=csv_safe) as stream:
        for table in tables:
            stream.write(table)
            n_failed += int(table.failed.sum())
    return n_failed


def _said(done: Iterator[Transcribed]) -> Iterator[Transcribed]:
    """The same; failures are said as they happen."""
    with Failures() as failures:
        for one in done:
            if one.error:
                failures.add(one.utterance.file, one.error)
            yield one


def _kind(output: str, form: TranscriptFormat | None) -> str:
    suffix = PurePath(output).suffix.lower().removeprefix(".")
    if form is None and suffix in SUBTITLES:
        return suffix
    return choose_format(output, form.value if form else None)


def _language(language: str | None) -> str | None:
    """The code of a language.

    Raises:
        typer.BadParameter: Whisper does not know it.
    """
    from emocli.asr.languages import language_code

    try:
        return None if language is None else language_code(language)
    except ModelError as error:
        raise typer.BadParameter(str(error), param_hint="--language") from None


def _temperatures(text: str) -> tuple[float, ...]:
    """Numbers from 0 to 1.

    Raises:
        typer.BadParameter: something else.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 <= value <= 1 for value in found):
        raise typer.BadParameter(
            f"{text!r} is not a list of numbers from 0 to 1, such as 0 or 0,0.4,0.8",
            param_hint="--temperature",
        )
    return tuple(dict.fromkeys(found))


def subtitle_places(files: Sequence[str], output: str, kind: str) -> dict[str, str]:
    """Where the subtitles of each recording go, see `file_places`.

    Args:
        files: each recording once.
        output: file, folder, or ``"-"``.
        kind: ``"srt"``, ``"vtt"`` or ``"txt"``.

    Raises:
        typer.BadParameter: several recordings and standard output.
        TableError: several recordings and a file instead of a folder.
    """
    return file_places(files, output, kind, f".{kind}", "subtitles")


def write_subtitles(
    transcribed: Iterable[Transcribed], places: Mapping[str, str], kind: str
) -> int:
    """Write the subtitles of each recording that was heard to its place.

    Args:
        transcribed: utterances; those of one recording are put together.
        places: file path or ``"-"`` by recording.
        kind: ``"srt"``, ``"vtt"`` or ``"txt"``.

    Returns:
        How many utterances were not heard.

    Raises:
        TableError: a file or folder cannot be written.
    """
    found: dict[str, list[Segment]] = {}
    n_failed = 0
    for one in transcribed:
        if one.error:
            n_failed += 1
        else:
            found.setdefault(one.utterance.file, []).extend(one.transcript.segments)
    for file, segments in found.items():
        text = subtitles(sorted(segments, key=lambda segment: segment.start), kind)
        write_text(text, places[file], "subtitles")
    return n_failed
