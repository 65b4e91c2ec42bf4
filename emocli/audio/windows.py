"""Windows: long recordings cut into stretches that a model can take.

Windows start every hop and none is longer than the window. The last one ends where the recording
ends. Were it shorter than the shortest that is worth hearing, the last two windows are made
equally long instead: each ends or begins earlier by the same amount, and their overlap stays what
window minus hop makes it. So nothing is dropped, nothing is padded, and where the hop equals the
window nothing is heard twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.errors import AudioError

MIN_HOP_SECONDS = 0.01
MIN_TAIL_SECONDS = 1.0
"""About the shortest utterance of acted emotion corpora; less tells little about an emotion."""


@dataclass(frozen=True)
class WindowPlan:
    """Lengths of windows in samples.

    Attributes:
        window_samples: longest window.
        hop_samples: from the start of one window to the start of the next.
        min_samples: shortest last window of a recording that has several.
    """

    window_samples: int
    hop_samples: int
    min_samples: int = 1


def plan_windows(
    sampling_rate: int,
    *,
    window_seconds: float = 12.0,
    hop_seconds: float | None = None,
    min_seconds: float = MIN_TAIL_SECONDS,
) -> WindowPlan:
    """Window lengths in samples.

    Args:
        sampling_rate: Hz.
        window_seconds: longest window, at least 0.1.
        hop_seconds: between starts, from 0.01 to the window; the window by default.
        min_seconds: shortest last window; half a window if that is less.

    Raises:
        AudioError: a length is out of its range.
    """
    hop = window_seconds if hop_seconds is None else hop_seconds
    if not 0.1 <= window_seconds < float("inf"):
        raise AudioError(
            f"The window is {window_seconds:g} s, expected a number of seconds from 0.1 on. Give "
            f"another --window."
        )
    if not MIN_HOP_SECONDS <= hop <= window_seconds:
        raise AudioError(
            f"The hop is {hop:g} s, expected from {MIN_HOP_SECONDS:g} s to the window of "
            f"{window_seconds:g} s, or parts would go unheard. Give another --hop."
        )
    window_samples = round(window_seconds * sampling_rate)
    return WindowPlan(
        window_samples=window_samples,
        hop_samples=min(max(1, round(hop * sampling_rate)), window_samples),
        min_samples=min(max(1, round(min_seconds * sampling_rate)), window_samples // 2),
    )


def window_bounds(n_samples: int, plan: WindowPlan) -> list[tuple[int, int]]:
    """First sample and the one after the last of each window of a recording.

    Args:
        n_samples: length of the recording, at least 0.
        plan: lengths of windows.

    Returns:
        Windows in order of time that together cover the recording; none for an empty one.
    """
    if n_samples <= plan.window_samples:
        return [(0, n_samples)] if n_samples else []
    n_hops = -(-(n_samples - plan.window_samples) // plan.hop_samples)
    starts = [index * plan.hop_samples for index in range(n_hops + 1)]
    bounds = [(start, min(start + plan.window_samples, n_samples)) for start in starts]
    if n_samples - starts[-1] < plan.min_samples:
        first = starts[-2]
        overlap = plan.window_samples - plan.hop_samples
        length = -(-(n_samples - first + overlap) // 2)
        bounds[-2:] = [(first, first + length), (first + length - overlap, n_samples)]
    return bounds


def cut_stream(
    blocks: Iterable[NDArray[np.float32]], plan: WindowPlan
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Windows of a recording that arrives in blocks, each as soon as it is certain.

    Args:
        blocks: consecutive parts of a waveform, each of shape (n_samples,).
        plan: lengths of windows.

    Yields:
        The first sample's position in the recording, and the window's samples; the same windows
        as `window_bounds` of the whole.
    """
    position = 0
    held = np.empty(0, dtype=np.float32)
    certain = plan.window_samples + plan.min_samples  # what follows is long enough to stand alone
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        first = 0
        while len(held) - first >= certain:
            yield position + first, held[first : first + plan.window_samples]
            first += plan.hop_samples
        position, held = position + first, held[first:]
    for start, stop in window_bounds(len(held), plan):
        yield position + start, held[start:stop]
