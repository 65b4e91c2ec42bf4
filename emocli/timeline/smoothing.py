"""Smoothing: what the windows around a window say about it.

Two rules. The *median* replaces the posterior of a window by the median of those around it, so
that a single odd window goes and a lasting change stays where it is. *Viterbi* leaves posteriors
alone and looks for the sequence of labels that is most probable when every change of label costs
something.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.errors import TimelineError

METHODS = ("median", "viterbi")
LONGEST_MEDIAN = 100_000
"""Windows that a median may not reach: a day of them, one a second."""

LEAST_PROBABILITY = 1e-12
"""Posteriors count as no less in Viterbi (27.6 nats), lest one window forbid a label for good."""


@dataclass(frozen=True)
class Smoothing:
    """A rule of smoothing.

    Attributes:
        method: one of `METHODS`.
        amount: windows of the median, an odd number of at least 1; or what a change of label
            costs Viterbi in nats, at least 0, ``inf`` for one label throughout.
    """

    method: str
    amount: float

    @classmethod
    def parse(cls, text: str) -> "Smoothing":
        """The rule that ``median:N`` or ``viterbi:COST`` names.

        Raises:
            TimelineError: it names none.

        Example:
            >>> Smoothing.parse("viterbi:1.5")
            Smoothing(method='viterbi', amount=1.5)
        """
        method, _, rest = text.partition(":")
        amount = _number(rest)
        if method == "median" and 1 <= amount < LONGEST_MEDIAN and amount % 2 == 1:
            return cls(method, amount)
        if method == "viterbi" and amount >= 0:
            return cls(method, amount)
        raise TimelineError(
            f"The smoothing is {text!r}, expected median:N with an odd number of windows under "
            f"{LONGEST_MEDIAN} or viterbi:COST with nats of at least 0. Give for example median:3 "
            f"or viterbi:1."
        )

    def __str__(self) -> str:
        return f"{self.method}:{self.amount:g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def running_median(values: NDArray[np.float64], n_windows: int) -> NDArray[np.float64]:
    """Median over the windows around each window.

    At both ends those windows count that there are: of five, the first has itself and two after.

    Args:
        values: shape (n_windows, n_figures), in order of time.
        n_windows: an odd number.

    Returns:
        The same shape.
    """
    if not len(values):
        return values
    reach = n_windows // 2
    padded = np.pad(values, ((reach, reach), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.asarray(np.nanmedian(around, axis=-1))  # (n_windows, n_figures)


def smooth_by_median(probs: NDArray[np.float64], n_windows: int) -> NDArray[np.float64]:
    """Posteriors that are medians of those around them, scaled to sum to 1.

    Where the medians are all 0, as when every window is sure of another label, the mean of the
    windows takes their place.

    Args:
        probs: shape (n_windows, n_labels), rows sum to 1, in order of time.
        n_windows: an odd number; 1 changes nothing.

    Returns:
        The same shape, rows sum to 1.
    """
    medians = running_median(probs, n_windows)
    total = medians.sum(axis=1, keepdims=True)
    for row in np.flatnonzero(total[:, 0] <= 0):
        first = max(0, row - n_windows // 2)
        medians[row] = probs[first : row + n_windows // 2 + 1].mean(axis=0)
        total[row] = medians[row].sum()
    return np.asarray(medians / total)


def viterbi_path(probs: NDArray[np.float64], switching_cost: float) -> NDArray[np.intp]:
    """The labels that maximise ``sum ln p(label of window) - cost * changes of label``.

    Args:
        probs: shape (n_windows, n_labels), rows sum to 1, in order of time; less than 1e-12
            counts as 1e-12.
        switching_cost: nats, at least 0. At 0 the path is the top label of each window; at
            infinity it is the one label that is best for all of them together.

    Returns:
        Indices of labels, shape (n_windows,). Of equally good paths, the one that changes less,
        then the one of earlier labels.

    Source: Viterbi 1967, with one cost for all changes.
    """
    if not len(probs) or switching_cost == 0:
        return posteriors.top(probs)
    log_probs = np.log(np.maximum(probs, LEAST_PROBABILITY))  # (n_windows, n_labels)
    n_labels = probs.shape[1]
    came_from = np.empty(probs.shape, dtype=np.intp)
    scores = log_probs[0]
    for window in range(1, len(probs)):
        best = int(np.argmax(scores))
        changed = scores[best] - switching_cost > scores
        came_from[window] = np.where(changed, best, np.arange(n_labels))
        scores = np.where(changed, scores[best] - switching_cost, scores) + log_probs[window]
    path = np.empty(len(probs), dtype=np.intp)
    path[-1] = np.argmax(scores)
    for window in range(len(probs) - 1, 0, -1):
        path[window - 1] = came_from[window, path[window]]
    return path
