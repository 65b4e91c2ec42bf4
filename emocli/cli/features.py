"""``emocli features``: recordings or transcripts in, what an encoder makes of them out."""

import math
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emocli.cli import options
from emocli.cli.console import Failures, Talk, choose_format, emit, finish, plain
from emocli.cli.options import DType, batch_size_of, channel_of
from emocli.files import STDIN, check_output, check_replaced
from emocli.table import FEATURE_PREFIX, PredictionTable
from emocli.table_io import FORMATS, format_of
from emocli.table_reader import ColumnNames

if TYPE_CHECKING:
    from rich.console import RenderableType

PREVIEWED = 5
"""Values of an utterance that a readable table shows."""


class Pooling(StrEnum):
    """How the frames of an utterance become one vector."""

    MEAN = "mean"
    MEAN_SD = "mean-sd"


class Storage(StrEnum):
    """Number formats of files."""

    FP32 = "fp32"
    FP16 = "fp16"


def features(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders, patterns, a table with a file column (.csv, .tsv, .json, "
            ".jsonl, .parquet), or - for a table or a list of paths on standard input.",
        ),
    ],
    encoder: Annotated[
        str,
        typer.Option(
            "-e",
            "--encoder",
            envvar="EMOCLI_ENCODER",
            metavar="NAME[:LAYER]",
            help="logmel, functionals, prosody, words, egemaps, a short name such as wavlm-large, "
            "hf:owner/name[@revision], or a folder. LAYER is last, weighted, or a number: 0 is "
            "what enters the first block. The default is the middle layer of Whisper and the last "
            "of other networks.",
        ),
    ] = "logmel",
    pool: Annotated[
        Pooling | None,
        typer.Option(
            "--pool", help="One vector for each utterance, in a table, instead of sequences."
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=3, help="Most tokens of a text that are read.")
    ] = 80,
    file_column: options.FileColumn = "",
    text_column: options.TextColumn = "",
    speaker_column: options.SpeakerColumn = "",
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER|FILE",
            help="Folder for the sequences; with --pool the file of the table.",
            rich_help_panel=options.OUTPUT_PANEL,
        ),
    ] = STDIN,
    storage: Annotated[
        Storage,
        typer.Option(
            "--storage",
            help="Number format of the files. fp16 takes half the space.",
            rich_help_panel=options.OUTPUT_PANEL,
        ),
    ] = Storage.FP32,
    channel: options.Channel = "mix",
    track: options.Track = None,
    form: options.Format = None,
    csv_safe: options.CsvSafe = False,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
    dtype: options.DTypeOption = DType.AUTO,
    batch_size: options.BatchSize = "auto",
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """What a frozen encoder makes of recordings or transcripts.

    Each utterance becomes a file in FOLDER, with a tensor `frames` of shape (n_frames, dim), and
    files.csv says which is which. A run that was stopped goes on where it was. A folder holds the
    features of one encoder, layer and format. With --pool mean each utterance is a row instead,
    its values in columns such as feature.pitch, or feature.0 for networks, whose values have no
    names.

    Text encoders read the column text of a table, or name.txt beside name.wav.

    Examples:

        emocli features recordings/ --encoder wavlm-large:12 -o wavlm12/ --storage fp16

        emocli features recordings/ --encoder prosody --pool mean-sd -o prosody.parquet

        emocli features recordings/ --encoder egemaps --pool mean -o egemaps.csv

        emocli features labels.csv --encoder roberta-large -o words/
    """
    talk = Talk(quiet, verbose)
    size = batch_size_of(batch_size)
    sound = channel_of(channel)
    if pool is None and output == STDIN:
        raise typer.BadParameter(
            "sequences need a folder; give one, or add --pool", param_hint="--output"
        )
    if pool is None and format_of(output) in FORMATS:
        raise typer.BadParameter(
            f"{output} is a table's name, and only --pool makes one", param_hint="--output"
        )
    kind = choose_format(output, form) if pool else "csv"
    from emocli.cli.progress import shown
    from emocli.models.encoders import load_encoder
    from emocli.pipeline.features import LISTING, pool_features, store_features
    from emocli.pipeline.inputs import read_inputs, select_sound
    from emocli.training.sequences import MANIFEST

    if pool:
        check_output(output, paths, overwrite=overwrite)
    elif not os.path.exists(os.path.join(output, MANIFEST)):
        check_replaced([os.path.join(output, LISTING)], paths, overwrite=overwrite)
    columns = ColumnNames(file_column, text_column, speaker_column)
    inputs = select_sound(read_inputs(paths, columns), sound, track)
    for remark in inputs.remarks:
        talk.say(remark)
    name, layer = split_layer(encoder)
    loaded = load_encoder(
        name,
        layer=layer,
        device=device,
        dtype=dtype.value,
        batch_size=size,
        max_tokens=max_tokens,
        offline=offline,
    )
    talk.detail(f"{loaded.identity} is loaded.")
    with shown(talk, "utterances") as progress:
        if pool:
            table = pool_features(
                inputs.utterances, loaded, pool.value, folder=inputs.folder, progress=progress
            )
        else:
            table = store_features(
                inputs.utterances, loaded, Path(output), dtype=storage.value, progress=progress
            )
    with Failures() as failures:
        for file, error in zip(table["file"], table["error"], strict=True):
            if error:
                failures.add(file, error)
    n_cut = sum("text cut" in note for note in table["note"])
    if n_cut:
        talk.warn(
            f"{n_cut} of {len(table)} texts were cut, the column note says where. "
            f"--max-tokens reads more if the encoder does."
        )
    if pool:
        emit(table, output, kind, preview, csv_safe=csv_safe)
    else:
        n_written = len(table) - int(table.failed.sum())
        talk.say(f"{n_written} sequences of {loaded.identity} are in {output}, see {LISTING}.")
    finish(int(table.failed.sum()))


def preview(table: PredictionTable) -> "RenderableType":
    """The first values of each utterance, for people."""
    from rich import box
    from rich.table import Table

    names = [name for name in table.columns if name.startswith(FEATURE_PREFIX)]
    shown = names[:PREVIEWED]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("file", *shown):
        grid.add_column(name, justify="left" if name == "file" else "right", overflow="fold")
    for row in table.rows():
        values = ["" if math.isnan(row[name]) else f"{row[name]:.4g}" for name in shown]
        grid.add_row(plain(row["file"]), *values)
    grid.caption = f"{len(names)} values each; -o FILE writes them all"
    return grid


def split_layer(text: str) -> tuple[str, str]:
    """The name of an encoder and the layer behind its last colon, ``auto`` where there is none.

    Example:
        >>> split_layer("hf:a/b:12"), split_layer("hf:a/b"), split_layer("logmel")
        (('hf:a/b', '12'), ('hf:a/b', 'auto'), ('logmel', 'auto'))
    """
    name, _, layer = text.rpartition(":")
    if name and (layer in ("last", "weighted") or layer.isdecimal()):
        return name, layer
    return text, "auto"
