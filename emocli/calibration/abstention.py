"""Leaving labels out, and saying so: of rows that are not sure enough, or labels of no interest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emocli.errors import LabelMismatch
from emocli.labels import canonical_label, select_labels
from emocli.table import PROBABILITY_PREFIX, PredictionTable

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


def keep_labels(table: PredictionTable, labels: Sequence[str]) -> PredictionTable:
    """A table whose posteriors are restricted to some labels and scaled to sum to 1.

    Rows of a model that has none of these labels, such as one of sentiments, stay as they are.
    ``note`` says which labels are left and which share of the posterior they had.

    Args:
        table: predictions, maybe of several models.
        labels: names of labels, or synonyms of them; at least two.

    Raises:
        LabelMismatch: fewer than two labels, one that no model has, or a model that has some.
    """
    names = {canonical_label(label): label for label in table.labels}
    missing = [label for label in labels if canonical_label(label) not in names]
    if missing or len(labels) < 2:
        raise LabelMismatch(
            f"--labels names {', '.join(labels) or 'no label'}, expected two or more of "
            f"{', '.join(table.labels) or 'none, for the table has no probabilities'}. "
            f"Choose labels that the model has."
        )
    wanted = [names[canonical_label(label)] for label in dict.fromkeys(labels)]
    probs = table.probs
    places = np.array([table.labels.index(label) for label in wanted], dtype=np.intp)
    own = probs[:, places]
    has_some = np.asarray(~np.isnan(own).all(axis=1), dtype=bool)
    has_all = np.asarray(~np.isnan(own).any(axis=1), dtype=bool)
    if (has_some & ~has_all).any():
        model = table.column("model")[np.flatnonzero(has_some & ~has_all)[0]]
        raise LabelMismatch(
            f"{model} has some of {', '.join(wanted)} and not all, expected all or none. "
            f"Choose labels that each model has."
        )
    chosen = np.where(has_all[:, np.newaxis], np.nan, probs)
    chosen[np.ix_(has_all, places)] = select_labels(probs[has_all], table.labels, wanted)
    told = [
        f"labels {', '.join(wanted)} only, {share:.0%} of the posterior" if has else ""
        for share, has in zip(own.sum(axis=1).tolist(), has_all, strict=True)
    ]
    notes = ["; ".join(filter(None, pair)) for pair in zip(table.column("note"), told, strict=True)]
    used = {
        f"{PROBABILITY_PREFIX}{label}": chosen[:, place]
        for place, label in enumerate(table.labels)
        if label in wanted or not np.isnan(chosen[:, place]).all()
    }
    gone = [f"{PROBABILITY_PREFIX}{label}" for label in table.labels]
    return table.without_columns(["label", *gone]).with_columns({**used, "note": notes})


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
