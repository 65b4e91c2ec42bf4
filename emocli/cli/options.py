"""Options that several commands share, defined once.

Each can also be set by an environment variable, ``EMOCLI_<OPTION>``.
"""

from enum import StrEnum
from typing import Annotated

import typer


class TableFormat(StrEnum):
    """Forms of a table."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


class DType(StrEnum):
    """Number formats that a model can compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class PredictionDType(StrEnum):
    """Number formats of a model that predicts."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    FAST = "fast"


class Engine(StrEnum):
    """What multiplies the matrices of a model."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"


class Match(StrEnum):
    """What decides that two tables speak of the same recording."""

    PATH = "path"
    STEM = "stem"


OUTPUT_PANEL = "Output"
MACHINE_PANEL = "Machine"

Output = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where the table goes; the suffix decides its form.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Format = Annotated[
    TableFormat | None,
    typer.Option(
        "-f",
        "--format",
        envvar="EMOCLI_FORMAT",
        help="Form of the table. By default readable on a terminal and CSV in a pipe.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
CsvSafe = Annotated[
    bool,
    typer.Option(
        "--csv-safe",
        envvar="EMOCLI_CSV_SAFE",
        help="Put an apostrophe before texts in CSV and TSV that a spreadsheet would run as "
        "formulas: those that start with =, +, -, @, a tab or a line break. For spreadsheets only: "
        "who reads the table reads the apostrophes.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "-q",
        "--quiet",
        envvar="EMOCLI_QUIET",
        help="No progress and no summary.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        envvar="EMOCLI_VERBOSE",
        help="Say more on standard error.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Models = Annotated[
    list[str],
    typer.Option(
        "-m",
        "--model",
        envvar="EMOCLI_MODEL",
        metavar="NAME",
        help="builtin, a name from `emocli models list`, hf:owner/name[@revision], or a folder. "
        "May be given several times.",
    ),
]
LabelNames = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Names of the model's outputs in their order, for a checkpoint that calls them "
        "LABEL_0 and so on.",
    ),
]
PreparedText = Annotated[
    bool,
    typer.Option(
        "--prepare-text",
        help="Give text models English texts with contractions expanded, words replaced by their "
        "lemmas, without numbers and in lower case (emocli[lemmas]), as before the sentiment model "
        "of entropy-aware score selection; rows with another language are read as they are, and "
        "the column text stays. Lemmas are simplemma's, from a dictionary: unlike spaCy's, they do "
        "not tell nouns from verbs.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        envvar="EMOCLI_DEVICE",
        metavar="auto|cpu|cuda[:N]|mps",
        help="Where the model computes.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
DTypeOption = Annotated[
    DType,
    typer.Option(
        "--dtype",
        envvar="EMOCLI_DTYPE",
        help="Number format of the model.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
PredictionDTypeOption = Annotated[
    PredictionDType,
    typer.Option(
        "--dtype",
        envvar="EMOCLI_DTYPE",
        help="Number format of the model. auto is fp32 on a CPU, and bf16 for speech on a GPU that "
        "has units for it; fast takes the quicker of the two. Others than fp32 stand in column "
        "model.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        envvar="EMOCLI_ENGINE",
        help="What runs speech models; auto is openvino on a CPU where it is installed.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
Channel = Annotated[
    str,
    typer.Option(
        metavar="mix|split|N",
        help="Which channels are heard: all as one, each in a row of its own, or number N alone, "
        "for calls with a speaker on each side. mix leaves out channels that cancel others.",
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Which sound track of a video is heard.",
        show_default="the one marked as default",
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        envvar="EMOCLI_BATCH_SIZE",
        metavar="auto|N",
        help="How many windows the model takes at once. Results agree to six digits or more.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        envvar=["EMOCLI_OFFLINE", "HF_HUB_OFFLINE"],
        help="Use only models that are on this machine.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
MatchOption = Annotated[
    Match,
    typer.Option(
        "--match",
        help="What makes two rows the same recording: the path, or the name without folder and "
        "ending.",
    ),
]
Root = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder that relative paths in tables start from."),
]
TABLE_PANEL = "Tables that come in"
FileColumn = Annotated[
    str,
    typer.Option(
        "--file-column",
        envvar="EMOCLI_FILE_COLUMN",
        metavar="NAME",
        help="Column that names the recordings; file, filename, path, wav and the like need not "
        "be named.",
        rich_help_panel=TABLE_PANEL,
    ),
]
TextColumn = Annotated[
    str,
    typer.Option(
        "--text-column",
        envvar="EMOCLI_TEXT_COLUMN",
        metavar="NAME",
        help="Column that holds what is said; by default text.",
        rich_help_panel=TABLE_PANEL,
    ),
]
SpeakerColumn = Annotated[
    str,
    typer.Option(
        "--speaker-column",
        envvar="EMOCLI_SPEAKER_COLUMN",
        metavar="NAME",
        help="Column that names who speaks; by default speaker.",
        rich_help_panel=TABLE_PANEL,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace a file that emocli has not made.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
TruthColumn = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Column of the truth table that holds the label; votes_* for annotators' votes in "
        "columns that begin so.",
    ),
]


def channel_of(text: str) -> int | str:
    """What ``--channel`` means: ``mix``, ``split`` or a number.

    Raises:
        typer.BadParameter: none of these.
    """
    if text in ("mix", "split"):
        return text
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise typer.BadParameter(
            f"{text!r} is neither mix, split nor a number from 1 on", param_hint="--channel"
        )
    return int(text)


def batch_size_of(text: str) -> int | None:
    """The number that ``--batch-size`` means, None for ``auto``.

    Raises:
        typer.BadParameter: neither ``auto`` nor a whole number above 0.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise typer.BadParameter(
            f"{text!r} is neither auto nor a whole number above 0", param_hint="--batch-size"
        )
    return int(text)
