"""Options that say how far to trust a prediction, and what they do to a table."""

from pathlib import Path
from typing import Annotated

import typer

from emocli.calibration.abstention import abstain
from emocli.calibration.storage import load_calibration
from emocli.calibration.tables import Calibration, apply_calibration
from emocli.errors import CalibrationError
from emocli.table import PredictionTable

CONFIDENCE_PANEL = "Confidence"

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


def read_calibration(path: str) -> Calibration:
    """The calibration in a file.

    Raises:
        CalibrationError: the file cannot be read or is no calibration.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CalibrationError(
            f"{path}: cannot be read ({reason}), expected a calibration that emocli calibrate -o "
            f"wrote. Check the path."
        ) from None
    return load_calibration(text, path)


def calibrated(table: PredictionTable, path: str | None, name: str) -> PredictionTable:
    """A table with the calibration of a file applied, or as it is without one.

    Raises:
        CalibrationError: the file is no calibration, or not one for this model and its labels.
    """
    return table if path is None else apply_calibration(table, read_calibration(path), name)


def withheld(table: PredictionTable, above: float | None, below: float | None) -> PredictionTable:
    """A table without the labels that are too doubtful, or as it is without a limit."""
    return table if above is None and below is None else abstain(table, above=above, below=below)
