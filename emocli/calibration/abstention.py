"""Leaving the label out where the model is not sure enough, and saying so."""

import numpy as np
from numpy.typing import NDArray

from emocli.table import PredictionTable

NO_LABEL = "no label: "
"""Begins the part of a note that says why a row has no label."""


def abstain(
    table: PredictionTable, *, above: float | None = None, below: float | None = None
) -> PredictionTable:
    """A table whose unsure rows have no label.

    Posteriors stay, so nothing is lost. ``note`` says why a label is missing, and ``abstained``
    is yes, no, or empty for a row without a posterior.

    Args:
        table: predictions.
        above: leave out labels of rows whose entropy is higher, in nats; None for no limit.
        below: leave out labels whose probability is lower, from 0 to 1; None for no limit.
    """
    entropy, confidence = table.column("entropy"), label_probability(table)
    notes, labels, abstained = [], [], []
    for row, (label, note) in enumerate(
        zip(table.column("label"), table.column("note"), strict=True)
    ):
        reasons = []
        if above is not None and entropy[row] > above:
            reasons.append(f"entropy {entropy[row]:.3f} above {above:g} nats")
        if below is not None and confidence[row] < below:
            reasons.append(f"probability {confidence[row]:.3f} below {below:g}")
        told = f"{NO_LABEL}{' and '.join(reasons)}" if reasons else ""
        notes.append("; ".join(filter(None, (note, told))))
        labels.append("" if reasons else label)
        abstained.append("" if np.isnan(entropy[row]) else "yes" if reasons else "no")
    return table.with_columns({"label": labels, "note": notes, "abstained": abstained})


def about_recording(note: str) -> str:
    """A note without what `abstain` has written about a prediction that is made anew.

    Example:
        >>> about_recording("clipped 0.1 s; no label: entropy 1.2 above 1 nats")
        'clipped 0.1 s'
    """
    return "; ".join(part for part in note.split("; ") if not part.startswith(NO_LABEL))


def label_probability(table: PredictionTable) -> NDArray[np.float64]:
    """The probability of each row's own label, shape (n_rows,).

    It need not be the likeliest one. NaN for a row without a label or without a posterior of it.
    """
    position = {label: column for column, label in enumerate(table.labels)}
    column = np.array([position.get(label, -1) for label in table.column("label")], dtype=np.intp)
    if not position:
        return np.full(len(table), np.nan)
    own = np.take_along_axis(table.probs, np.maximum(column, 0)[:, np.newaxis], axis=1)[:, 0]
    return np.where(column >= 0, own, np.nan)
