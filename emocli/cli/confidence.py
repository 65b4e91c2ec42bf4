"""Options that say how far to trust a prediction, and what they do to a table."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from emocli.cli.named_files import read_text
from emocli.errors import CalibrationError

if TYPE_CHECKING:
    from emocli.calibration.tables import Calibration
    from emocli.table import PredictionTable

CONFIDENCE_PANEL = "Confidence"


KeptLabels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="A,B,...",
        help="Use only these labels, scaled to sum to 1.",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]


def split_labels(text: str | None) -> tuple[str, ...]:
    """The labels of a list with commas; none where there is no list."""
    return tuple(label.strip() for label in text.split(",")) if text is not None else ()


class AdaptBy(StrEnum):
    """What predictions are adapted to."""

    NONE = "none"
    ALL = "all"
    SPEAKER = "speaker"
    FILE = "file"


Adapt = Annotated[
    AdaptBy,
    typer.Option(
        "--adapt",
        help="Correct rows by what the others show, without labels: all of the run, those of a "
        "speaker (a column speaker, --speakers, or folders), or of a file (--windows). The less, "
        "the fewer they are and the less their spread says that they have several emotions.",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]

CalibrationFile = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="Apply what `emocli calibrate` learned for this model.",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]
AbstainAbove = Annotated[
    float | None,
    typer.Option(
        "--abstain-above",
        min=0.0,
        metavar="H",
        help="Leave out the label where the entropy is above H nats.",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]
AbstainBelow = Annotated[
    float | None,
    typer.Option(
        "--abstain-below",
        min=0.0,
        max=1.0,
        metavar="P",
        help="Leave out the label where its probability is below P.",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]
Dropout = Annotated[
    int | None,
    typer.Option(
        "--mc-dropout",
        min=2,
        metavar="N",
        help="Ask the model N times with dropout on: the mean posterior, and how much of its "
        "entropy is the model's ignorance (mutual_information) or the recording's own ambiguity "
        "(expected_entropy).",
        rich_help_panel=CONFIDENCE_PANEL,
    ),
]


def check_adaptation(adapt: AdaptBy, *, is_part: bool, by_window: bool, has_dropout: bool) -> None:
    """Refuse what cannot be adapted, before anything is read.

    Args:
        adapt: to what.
        is_part: the run sees a part of the recordings only.
        by_window: rows are windows.
        has_dropout: models answer several times.

    Raises:
        typer.BadParameter: it cannot.
    """
    if adapt is AdaptBy.NONE:
        return
    if is_part:
        raise typer.BadParameter(
            "it takes all recordings of the run; leave out --shard and --cluster",
            param_hint="--adapt",
        )
    if has_dropout:
        raise typer.BadParameter(
            "the draws of --mc-dropout cannot be adapted; leave out one of them",
            param_hint="--adapt",
        )
    if adapt is AdaptBy.FILE and not by_window:
        raise typer.BadParameter(
            "a recording has one row; add --windows or --segments", param_hint="--adapt"
        )


def read_calibration(path: str | None) -> "Calibration | None":
    """The calibration in a file, None where no file is named.

    Raises:
        CalibrationError: the file cannot be read or is no calibration.
    """
    if path is None:
        return None
    from emocli.calibration.storage import load_calibration

    text = read_text(path, "a calibration that emocli calibrate -o wrote", CalibrationError)
    return load_calibration(text, path)


def calibrated(
    table: "PredictionTable", calibration: "Calibration | None", name: str
) -> "PredictionTable":
    """A table with a calibration applied, or as it is without one.

    Raises:
        CalibrationError: it is not for this model and its labels.
    """
    if calibration is None:
        return table
    from emocli.calibration.tables import apply_calibration

    return apply_calibration(table, calibration, name)


def withheld(
    table: "PredictionTable", above: float | None, below: float | None
) -> "PredictionTable":
    """A table without the labels that are too doubtful, or as it is without a limit."""
    if above is None and below is None:
        return table
    from emocli.calibration.abstention import abstain

    return abstain(table, above=above, below=below)
