"""``emocli predict``: recordings or transcripts in, a table of emotions out."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from emocli.cli import options
from emocli.cli.console import Talk, choose_format, complain, emit, finish
from emocli.cli.options import DType, batch_size_of
from emocli.cli.progress import shown
from emocli.cli.render import cautions, prediction_table, summary
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.predict import load_recognizers, predict_rows
from emocli.pipeline.scoring import PredictOptions
from emocli.table import PredictionTable
from emocli.table_io import STDIN


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
    windows: Annotated[
        bool, typer.Option("--windows", help="One row for each window: the timeline.")
    ] = False,
    window: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Longest stretch that goes through a model at once."),
    ] = 12.0,
    hop: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="From the start of one window to the next.",
            show_default="the window",
        ),
    ] = None,
    output: options.Output = STDIN,
    form: options.Format = None,
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

        emocli transcribe recordings/ | emocli predict -m builtin-sentiment -
    """
    talk = Talk(quiet, verbose)
    kind = choose_format(output, form)
    size = batch_size_of(batch_size)
    inputs = read_inputs(paths)
    for remark in inputs.remarks:
        talk.say(remark)
    recognizers = load_recognizers(
        model, device=device, dtype=dtype.value, batch_size=size, offline=offline
    )
    for recognizer in recognizers:
        talk.detail(f"{recognizer.card.identifier} is loaded: {recognizer.card.source}")
    chosen = PredictOptions(windows, window, hop, size)
    with shown(talk, "recordings") as progress:
        rows = _collect(predict_rows(inputs.utterances, recognizers, chosen, progress))
    table = PredictionTable.from_rows(rows, folder=inputs.folder, name="the prediction")
    emit(table, output, kind, prediction_table)
    if kind == "table":
        talk.show(summary(table))
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
