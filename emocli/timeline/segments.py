"""Segments: windows of one label in a row, put together.

A moment belongs to one segment. Where windows overlap, each reaches to the middle of the overlap,
so that segments tile the time that the windows cover: nothing is lost and nothing counts twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOUCH_SECONDS = 0.0015
"""Ends and starts no further apart touch: tables have milliseconds, and each may be rounded."""
PAUSE_SECONDS = 0.5
"""Longest silence inside a segment: people pause for breath and for stops within a sentence. It is
the ``min_duration_off`` that speech segmentation commonly takes."""


@dataclass(frozen=True)
class Span:
    """A stretch of time with one label.

    Attributes:
        start: seconds.
        end: seconds.
        label: index of its label.
        probs: mean posterior, weighted by duration, shape (n_labels,).
        windows: which windows it was made of.
        pauses: seconds between its windows.
    """

    start: float
    end: float
    label: int
    probs: NDArray[np.float64]
    windows: tuple[int, ...]
    pauses: float = 0.0

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    def touches(self, following: "Span") -> bool:
        """Whether another begins where this one ends, or after no more than a pause."""
        return following.start - self.end <= PAUSE_SECONDS + TOUCH_SECONDS


def meet_in_the_middle(
    starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windows that overlap, cut to where they meet.

    Args:
        starts: seconds, shape (n_windows,), increasing.
        ends: seconds, shape (n_windows,), increasing.

    Returns:
        Starts and ends in seconds that cover the same time once.
    """
    middle = (ends[:-1] + starts[1:]) / 2
    overlap = ends[:-1] > starts[1:]
    cut_starts, cut_ends = starts.copy(), ends.copy()
    cut_ends[:-1] = np.where(overlap, middle, ends[:-1])
    cut_starts[1:] = np.where(overlap, middle, starts[1:])
    return cut_starts, cut_ends


def join_spans(spans: Sequence[Span]) -> list[Span]:
    """Spans without neighbours of the same label: those that touch are one.

    Args:
        spans: in order of time, apart from each other.
    """
    joined: list[Span] = []
    for one in spans:
        if joined and joined[-1].label == one.label and joined[-1].touches(one):
            joined[-1] = _together(joined[-1], one, one.label)
        else:
            joined.append(one)
    return joined


def absorb_short(spans: Sequence[Span], min_seconds: float) -> list[Span]:
    """Spans of at least ``min_seconds``, as far as short ones touch another.

    The shortest goes first, the earlier of two: it becomes part of the neighbour whose label is
    the more probable in the short one's own posterior (if equally so, of the longer one, then of
    the earlier one). What then has the same label and touches is one. A short span with silence
    on both sides stays.

    Args:
        spans: in order of time, apart from each other.
        min_seconds: at least 0.
    """
    found = join_spans(spans)
    lengths = np.array([one.seconds for one in found])
    # Half a millisecond for what rounding may have taken.
    while len(found) and lengths.min() < min_seconds - 0.0005:
        index = int(np.argmin(lengths))
        neighbour = _heir(found, index)
        if neighbour is None:
            lengths[index] = np.inf  # nothing touches it
            continue
        first = min(index, neighbour)
        whole = _together(found[first], found[first + 1], found[neighbour].label)
        around = join_spans([*found[max(0, first - 1) : first], whole, *found[first + 2 :][:1]])
        last = min(first + 3, len(found))
        first = max(0, first - 1)
        found[first:last] = around
        lengths = np.concatenate([lengths[:first], [one.seconds for one in around], lengths[last:]])
    return found


def _heir(spans: Sequence[Span], index: int) -> int | None:
    """Which neighbour a short span becomes part of, None if none touches it."""
    short = spans[index]
    near = []
    if index and spans[index - 1].touches(short):
        near.append(index - 1)
    if index + 1 < len(spans) and short.touches(spans[index + 1]):
        near.append(index + 1)
    probs = np.nan_to_num(short.probs)
    return max(near, key=lambda i: (probs[spans[i].label], spans[i].seconds), default=None)


def _together(left: Span, right: Span, label: int) -> Span:
    """Two spans that touch as one."""
    weights = [left.seconds - left.pauses, right.seconds - right.pauses]
    return Span(
        left.start,
        right.end,
        label,
        np.average([left.probs, right.probs], axis=0, weights=weights),
        left.windows + right.windows,
        left.pauses + right.pauses + max(0.0, right.start - left.end),
    )
