"""``emocli predict``: recordings or transcripts in, a table of emotions out."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from emocli.calibration.disagreement import with_movement
from emocli.cli import confidence, options, timeline
from emocli.cli.console import Talk, complain, emit, finish
from emocli.cli.options import DType, batch_size_of
from emocli.cli.progress import shown
from emocli.cli.render import cautions, prediction_table, summary
from emocli.cli.timeline_view import movement_summary, timeline_strips
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.predict import load_recognizers, predict_rows
from emocli.pipeline.processes import count_cores
from emocli.pipeline.scoring import PredictOptions
from emocli.pipeline.speakers import speaker_utterances
from emocli.table import PredictionTable
from emocli.table_io import STDIN
from emocli.timeline.tables import shape_timeline


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files, folders, patterns, a table with a file column (.csv, .tsv, .json, "
            ".jsonl, .parquet), or - for a table or a list of paths on standard input.",
        ),
    ],
    model: options.Models = ["builtin"],  # noqa: B006 - typer copies it
    windows: timeline.Windows = False,
    window: timeline.Window = 12.0,
    hop: timeline.Hop = None,
    vad: timeline.Voice = False,
    smooth: timeline.Smooth = None,
    segments: timeline.Segments = False,
    min_seconds: timeline.MinSeconds = None,
    speakers: timeline.Speakers = None,
    calibration: confidence.CalibrationFile = None,
    abstain_above: confidence.AbstainAbove = None,
    abstain_below: confidence.AbstainBelow = None,
    mc_dropout: confidence.Dropout = None,
    output: timeline.Output = STDIN,
    form: timeline.Format = None,
    device: options.Device = "auto",
    dtype: options.DTypeOption = DType.AUTO,
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

        emocli predict recordings/ --calibration cal.json --abstain-below 0.5

        emocli transcribe recordings/ | emocli predict -m builtin-sentiment -
    """
    talk = Talk(quiet, verbose)
    kind = timeline.prediction_form(output, form)
    shape = timeline.timeline_options(windows, smooth, segments, min_seconds, hop or window)
    voice = timeline.find_voice(vad)
    size = batch_size_of(batch_size)
    inputs = read_inputs(paths)
    for remark in inputs.remarks:
        talk.say(remark)
    utterances = list(inputs.utterances)
    places = timeline.track_places([one.file for one in utterances], output, kind, len(set(model)))
    if speakers is not None:
        utterances, silent = speaker_utterances(utterances, speakers, device=device)
        for sentence in silent:
            talk.warn(sentence)
    recognizers = load_recognizers(
        model,
        device=device,
        dtype=dtype.value,
        batch_size=size,
        offline=offline,
        mc_dropout=mc_dropout,
    )
    for recognizer in recognizers:
        talk.detail(f"{recognizer.card.identifier} is loaded: {recognizer.card.source}")
    timeline.check_labels([recognizer.card for recognizer in recognizers], kind)
    chosen = PredictOptions(
        windows or segments, window, hop, size, n_processes=count_cores(), voice=voice
    )
    with shown(talk, "recordings") as progress:
        rows = _collect(predict_rows(utterances, recognizers, chosen, progress))
    table = PredictionTable.from_rows(rows, folder=inputs.folder, name="the prediction")
    if voice is not None:
        talk.say(voice.sentence())
        for sentence in voice.details():
            talk.detail(sentence)
    unshaped = confidence.calibrated(table, calibration, "the prediction")
    if chosen.windows:
        unshaped = with_movement(unshaped)
    table = confidence.withheld(shape_timeline(unshaped, shape), abstain_above, abstain_below)
    if places:
        timeline.write_tracks(table, places, kind)
    else:
        if kind == "table" and (strips := timeline_strips(table)):
            talk.show(strips)
        emit(table, output, kind, prediction_table)
    if kind == "table":
        talk.show(summary(table))
        if chosen.windows and (moved := movement_summary(unshaped)):
            talk.show(moved)
    for sentence in cautions(table):
        talk.warn(sentence)
    finish(int(table.failed.sum()))


def _collect(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows; each failure is said once, as it happens."""
    collected = []
    said = set()
    for row in rows:
        collected.append(row)
        if row["error"] and row["error"] not in said:
            said.add(row["error"])
            complain(row["error"])
    return collected
