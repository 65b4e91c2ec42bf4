"""``emocli predict``: recordings or transcripts in, a table of emotions out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from emocli.cli import confidence, options, places, resuming, timeline
from emocli.cli.cautions import Cautions
from emocli.cli.confidence import AdaptBy
from emocli.cli.console import Failures, Talk, emit, finish
from emocli.cli.options import Engine, PredictionDType, batch_size_of, channel_of
from emocli.cli.progress import shown
from emocli.cli.render import prediction_table, summary
from emocli.cli.timeline_view import movement_summary, timeline_strips
from emocli.files import STDIN, check_output
from emocli.models.protocol import LoadOptions
from emocli.pipeline.adapt import adapt_options, with_traits
from emocli.pipeline.cluster import Cluster, predict_on_cluster
from emocli.pipeline.journal import Journal
from emocli.pipeline.predict import (
    PredictionRun,
    Shaping,
    gather_inputs,
    load_recognizers,
    rows_of,
)
from emocli.pipeline.processes import count_cores
from emocli.pipeline.scoring import WINDOW_SECONDS, Block, PredictOptions, Row
from emocli.table import PredictionTable
from emocli.table_io import FORMATS, STREAMED, table_stream
from emocli.table_reader import ColumnNames


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, patterns, URIs of these such as s3://bucket/folder/ "
            "(emocli[cloud]), a table with a file column (.csv, .tsv, .json, .jsonl, .parquet), "
            "or - for a table, a list of paths or a recording on standard input.",
        ),
    ],
    model: options.Models = ["builtin"],  # noqa: B006 - typer copies it
    windows: timeline.Windows = False,
    window: timeline.Window = None,
    hop: timeline.Hop = None,
    vad: timeline.Voice = False,
    smooth: timeline.Smooth = None,
    segments: timeline.Segments = False,
    min_seconds: timeline.MinSeconds = None,
    speakers: timeline.Speakers = None,
    channel: options.Channel = "mix",
    track: options.Track = None,
    adapt: confidence.Adapt = AdaptBy.NONE,
    labels: confidence.KeptLabels = None,
    calibration: confidence.CalibrationFile = None,
    abstain_above: confidence.AbstainAbove = None,
    abstain_below: confidence.AbstainBelow = None,
    mc_dropout: confidence.Dropout = None,
    file_column: options.FileColumn = "",
    text_column: options.TextColumn = "",
    speaker_column: options.SpeakerColumn = "",
    label_names: options.LabelNames = None,
    prepare_text: options.PreparedText = False,
    output: timeline.Output = STDIN,
    form: timeline.Format = None,
    csv_safe: options.CsvSafe = False,
    resume: resuming.Resume = True,
    shard: resuming.ShardOption = None,
    cluster: resuming.ClusterOption = None,
    device: options.Device = "auto",
    dtype: options.PredictionDTypeOption = PredictionDType.AUTO,
    engine: options.EngineOption = Engine.AUTO,
    batch_size: options.BatchSize = "auto",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Emotions of recordings, and how sure they are.

    Each recording gets a row with a label, all class probabilities, and entropy and varentropy in
    nats. Long ones are cut into windows whose posteriors are averaged; --windows shows them one
    by one. A recording that cannot be used gets a row that says why, and the exit status is 3.

    A text model reads the column text of a table, or name.txt beside name.wav.

    Examples:

        emocli predict recordings/ -o emotions.csv

        emocli predict interview.flac --windows --window 4 --hop 2

        emocli predict interview.flac --segments --vad --smooth viterbi:1 -o interview.TextGrid

        emocli predict interview.flac --speakers interview.rttm

        emocli predict recordings/ --adapt all -o emotions.csv

        emocli predict recordings/ --labels angry,sad

        emocli predict recordings/ --calibration cal.json --abstain-below 0.5

        emocli transcribe recordings/ | emocli predict -m builtin-sentiment -
    """
    talk = Talk(quiet, verbose)
    found = resuming.find_cluster(cluster, paths, output)
    kind = "parquet" if found else timeline.prediction_form(output, form)
    timeline.check_windows(window, hop)
    shape = timeline.timeline_options(
        windows, smooth, segments, min_seconds, hop or window or WINDOW_SECONDS
    )
    voice = timeline.find_voice(vad)
    size = batch_size_of(batch_size)
    sound = channel_of(channel)
    columns = ColumnNames(file_column, text_column, speaker_column)
    read = (*paths, speakers, calibration)
    if kind in (*FORMATS, "table") and not found:
        check_output(output, read, overwrite=not resume)
    confidence.check_adaptation(
        adapt,
        is_part=shard is not None or found is not None,
        by_window=windows or segments,
        has_dropout=mc_dropout is not None,
    )
    shaping = Shaping(
        windows or segments,
        confidence.read_calibration(calibration),
        shape,
        abstain_above,
        abstain_below,
        confidence.split_labels(labels),
    )
    loading = LoadOptions(
        device=device,
        dtype=dtype.value,
        engine=engine.value,
        batch_size=size,
        offline=offline,
        mc_dropout=mc_dropout,
        label_names=tuple(part.strip() for part in (label_names or "").split(",") if part.strip()),
        prepare_text=prepare_text,
    )
    # With a pipe first, for the command before it may be at work for hours.
    early = load_recognizers(model, loading) if STDIN in paths else None
    inputs = gather_inputs(
        paths, speakers, channel=sound, track=track, device=device, columns=columns
    )
    for sentence in inputs.remarks:
        talk.say(sentence)
    for sentence in inputs.warnings:
        talk.warn(sentence)
    inputs = resuming.part_of(inputs, shard)
    files = (one.file for one in inputs.utterances)
    tracks = timeline.track_places(files, output, kind, len(set(model)))
    places.check_places(output, tracks, (*read, *inputs.files()), overwrite=not resume)
    recognizers = early or load_recognizers(model, loading)
    for recognizer in recognizers:
        talk.detail(f"{recognizer.card.identifier} is loaded: {recognizer.card.source}")
        if recognizer.engine_remark:
            talk.warn(recognizer.engine_remark)
    adaptation = adapt_options(
        adapt.value, recognizers, speakers_within_files=speakers is not None, remark=talk.say
    )
    timeline.check_labels([recognizer.card for recognizer in recognizers], kind)
    chosen = PredictOptions(
        windows or segments, window, hop, size, n_processes=count_cores(), voice=voice
    )
    if adaptation is not None:
        recognizers = with_traits(recognizers)
        shaping = replace(shaping, adaptation=adaptation)
    run = PredictionRun(inputs, recognizers, chosen, shaping)
    run.check_labels()
    if found:
        _scatter(run, found, output, model, loading, talk, overwrite=not resume)
        return
    watch = Cautions()
    by_row = kind in FORMATS and not chosen.windows and adaptation is None
    if by_row and output == STDIN and kind in STREAMED:
        _stream(run, kind, talk, watch, csv_safe=csv_safe)
    else:
        settings = partial(run.settings, device=device, dtype=dtype.value, engine=engine.value)
        with resuming.kept(
            output, settings, resume=resume, makes_folders=kind in timeline.FORMATS, talk=talk
        ) as journal:
            if by_row and journal is not None:
                _record(run, journal, output, kind, talk, watch, csv_safe=csv_safe)
            else:
                measured = _measure(run, journal, talk)
                table = shaping.shaped(measured)
                watch.add(table)
                if kind == "table" and (strips := timeline_strips(table)):
                    talk.show(strips)
                if kind in timeline.FORMATS:
                    ends = timeline.track_ends(inputs.utterances, kind, vad=vad)
                    timeline.write_tracks(table, tracks, kind, ends)
                else:
                    emit(table, output, kind, prediction_table, csv_safe=csv_safe)
        if kind == "table":
            talk.show(summary(table))
            if chosen.windows and (moved := movement_summary(measured)):
                talk.show(moved)
    if voice is not None:
        talk.say(voice.sentence())
        for sentence in voice.details():
            talk.detail(sentence)
    for sentence in watch.sentences():
        talk.warn(sentence)
    if watch.n_long and not chosen.windows:
        talk.say(
            f"{watch.n_long} of the recordings last a minute or more and have one label each; "
            f"--windows shows how the emotion moves."
        )
    finish(watch.n_failed)


def _measure(run: PredictionRun, journal: Journal | None, talk: Talk) -> PredictionTable:
    """The table of a run, from its journal where it has one."""
    if journal is not None:
        return run.measured(_recorded(run, journal, talk))
    with shown(talk, "recordings") as progress:
        return run.measured(rows_of(_said(run.blocks(progress))))


def _recorded(run: PredictionRun, journal: Journal, talk: Talk) -> Iterator[Row]:
    """Writes rows to the journal as they come; gives all of them when the last is there."""
    with shown(talk, "recordings") as progress:
        for _ in _said(run.blocks(progress, journal)):
            pass
    return run.recorded(journal)


def _scatter(
    run: PredictionRun,
    cluster: Cluster,
    output: str,
    model: Sequence[str],
    loading: LoadOptions,
    talk: Talk,
    *,
    overwrite: bool,
) -> None:
    """Run on a cluster; each failure is said once, as it comes."""
    n_failed = 0
    with Failures() as failures, shown(talk, "recordings") as progress:
        for table in predict_on_cluster(
            run,
            cluster,
            output,
            model=model,
            loading=loading,
            overwrite=overwrite,
            progress=progress,
        ):
            n_failed += int(table.failed.sum())
            failed = table.select(table.failed)
            for file, error in zip(failed["file"], failed.column("error"), strict=True):
                failures.add(file, error)
    finish(n_failed)


def _stream(run: PredictionRun, kind: str, talk: Talk, watch: Cautions, *, csv_safe: bool) -> None:
    """Write rows to standard output as they come."""
    with (
        table_stream(STDIN, kind, run.header(), csv_safe=csv_safe) as stream,
        shown(talk, "recordings") as progress,
    ):
        for block in _said(run.blocks(progress)):
            table = run.table(rows_of([block]))
            stream.write(table)
            watch.add(table)


def _record(
    run: PredictionRun,
    journal: Journal,
    output: str,
    kind: str,
    talk: Talk,
    watch: Cautions,
    *,
    csv_safe: bool,
) -> None:
    """Write the table of a run from its journal, of which pieces are in memory."""
    rows = _recorded(run, journal, talk)
    with table_stream(output, kind, run.header(), csv_safe=csv_safe) as stream:
        for table in run.tables(rows):
            stream.write(table)
            watch.add(table)


def _said(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same; failures are said as they happen."""
    with Failures() as failures:
        for block in blocks:
            for row in rows_of([block]):
                if row["error"]:
                    failures.add(row["file"], row["error"])
            yield block
