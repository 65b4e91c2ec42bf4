"""How far opinions of an utterance lie apart, and how far emotion moves in a recording."""

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.calibration.uncertainty import uncertainty
from emocli.metrics.soft import jensen_shannon
from emocli.table import PredictionTable


def disagreement(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence of several posteriors in nats, all with the same weight.

    ``H(mean p) - mean H(p)``: 0 if all agree, ln m if m opinions are sure of m different labels.
    For draws from one model it is the mutual information of `emocli.calibration.uncertainty`.

    Args:
        probs: shape (n_opinions, n_utterances, n_labels), one label set; NaN where an opinion is
            missing, and then the others are compared.

    Returns:
        Shape (n_utterances,), from 0 to the smaller of ln n_opinions and ln n_labels; NaN where
        there are fewer than two opinions.

    Source: Lin 1991.
    """
    several = _n_opinions(probs) > 1
    return np.where(several, uncertainty(probs).mutual_information, np.nan)


def labels_clash(probs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether opinions name different top labels, shape (n_utterances,).

    Args:
        probs: shape (n_opinions, n_utterances, n_labels), one label set; NaN where an opinion is
            missing.
    """
    best = posteriors.top(probs)  # (n_opinions, n_utterances)
    highest = best.max(axis=0)
    lowest = np.where(best < 0, probs.shape[2], best).min(axis=0)
    return np.asarray((_n_opinions(probs) > 1) & (highest != lowest))


def _n_opinions(probs: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.asarray((~np.isnan(probs).all(axis=2)).sum(axis=0))


def with_disagreement(table: PredictionTable, probs: NDArray[np.float64]) -> PredictionTable:
    """A fused table with what its inputs made of each row.

    Args:
        table: the fused rows.
        probs: posteriors of the inputs over one label set, shape (n_inputs, n_rows, n_labels).

    Returns:
        The table with ``disagreement``, in nats, and ``clash``, yes or no; both are empty where
        fewer than two inputs have a say.
    """
    apart = disagreement(probs)
    clash = np.where(np.isnan(apart), "", np.where(labels_clash(probs), "yes", "no"))
    return table.with_columns({"disagreement": apart, "clash": clash})


def movement(table: PredictionTable) -> NDArray[np.float64]:
    """How much the emotion of each recording moves from window to window, in nats.

    The mean Jensen-Shannon divergence of consecutive windows, by start, of one file under one
    model, of each speaker apart where the table names them: 0 for a steady emotion, ln 2 for one
    that is sure of another label in every window.
    Windows without a posterior are passed over: the one before meets the one after.

    Args:
        table: windows of recordings, in any order.

    Returns:
        Shape (n_rows,), the same for all windows of a file; NaN for files of fewer than two
        windows, and for windows without a posterior.
    """
    moved = np.full(len(table), np.nan)
    groups: dict[tuple[str, ...], list[int]] = {}
    names = [table.column(name) for name in ("file", "model", "speaker")]
    for row, key in enumerate(zip(*names, strict=True)):
        groups.setdefault(key, []).append(row)
    starts, probs = table.column("start"), np.nan_to_num(table.probs)
    heard = np.asarray(~np.isnan(table.probs).all(axis=1))
    for rows in groups.values():
        ordered = [row for row in sorted(rows, key=lambda row: starts[row]) if heard[row]]
        if len(ordered) > 1:
            moved[ordered] = jensen_shannon(probs[ordered[:-1]], probs[ordered[1:]]).mean()
    return moved


def with_movement(table: PredictionTable) -> PredictionTable:
    """A table of windows with a column ``movement``, in nats; empty for files of one window."""
    return table.with_columns({"movement": movement(table)})
