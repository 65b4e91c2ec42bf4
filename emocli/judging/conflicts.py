"""Which rows of a fused table are worth a review: those on which speech and text disagree."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.disagreement import labels_clash
from emocli.errors import JudgeError
from emocli.fusion.sides import Match, Side, align, common_posteriors
from emocli.table import PredictionTable, listing

OVERRULED = ("speech_label", "text_label")
"""Columns of entropy selection: what the voice says, and what the text says when it is asked."""


def conflicts(table: PredictionTable) -> NDArray[np.bool_]:
    """Rows whose inputs name different labels, by what ``emocli fuse`` wrote about them.

    ``clash`` says so where the table has it, else ``speech_label`` and ``text_label``.

    Returns:
        Shape (n_rows,).

    Raises:
        JudgeError: the table has none of these columns.
    """
    if "clash" in table:
        return np.asarray(table["clash"] == "yes", dtype=bool)
    if all(name in table for name in OVERRULED):
        speech, text = (table[name] for name in OVERRULED)
        return np.asarray((speech != "") & (text != "") & (speech != text), dtype=bool)
    raise JudgeError(
        f"No column clash, and not both of {' and '.join(OVERRULED)}, among "
        f"{listing(table.columns)}, expected what emocli fuse says of its inputs. Give their "
        f"tables with --compare, or review every row with --all."
    )


def conflicts_between(
    table: PredictionTable, sides: Sequence[Side], match: Match | None = None
) -> NDArray[np.bool_]:
    """Rows on which the inputs of a fusion name different labels.

    Args:
        table: fused rows.
        sides: the inputs, each with the same utterances in any order.
        match: finds the partners of rows; by file, start and end as written by default.

    Returns:
        Shape (n_rows,); False where fewer than two have a say.

    Raises:
        JudgeError: fewer than two inputs.
        TableError: an utterance that one of them lacks.
        LabelMismatch: label sets that differ and have no map between them.
    """
    if len(sides) < 2:
        raise JudgeError(
            f"--compare names {len(sides)} model, expected the tables of two or more that were "
            f"fused. Name another one with --compare."
        )
    _, *aligned = align([Side("the table", table), *sides], match)
    _, probs = common_posteriors(aligned)
    return labels_clash(probs)
