"""Windows where somebody speaks: voice activity decides where they lie.

Speech is looked for in stretches of some minutes, so that the length of a recording does not
decide how much memory it takes. Where speech goes on at the end of a stretch, the next one begins
with what no window has heard yet.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emocli.audio.decode import resample
from emocli.audio.voice_activity import SAMPLING_RATE, Detector
from emocli.audio.windows import WindowPlan, window_bounds

STRETCH_SECONDS = 300.0
"""Sound in which speech is looked for at once: 19 MB at 16 kHz."""

BREATH_SECONDS = 0.5
"""A shorter pause is part of what is said; windows go on across it."""

_GUARD_SECONDS = 1.5
"""Speech that ends nearer to the end of a stretch may go on: a pause, and what pads speech."""

Window = tuple[int, NDArray[np.float32]]


def cut_speech(
    blocks: Iterable[NDArray[np.float32]],
    plan: WindowPlan,
    rate: int,
    detector: Detector,
    *,
    stretch_seconds: float = STRETCH_SECONDS,
) -> Iterator[Window]:
    """Windows of the speech in a recording that arrives in blocks.

    Speech with pauses below 0.5 s is cut like a recording of its own, see `window_bounds`. What
    is not speech is in no window.

    Args:
        blocks: consecutive parts of a waveform, each of shape (n_samples,).
        plan: lengths of windows.
        rate: Hz of the waveform.
        detector: stretches of speech of a waveform at 16 kHz.
        stretch_seconds: how much to look at at once.

    Yields:
        The first sample's position in the recording, and the window's samples.
    """
    longest = max(round(stretch_seconds * rate), 4 * plan.window_samples)
    position = 0
    held: list[NDArray[np.float32]] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= longest:
            stretch = np.concatenate(held)
            windows, n_done = _unfinished(stretch, plan, rate, detector)
            yield from ((position + first, samples) for first, samples in windows)
            position += n_done
            held = [stretch[n_done:]]
    rest = np.concatenate(held) if held else np.empty(0, dtype=np.float32)
    for start, stop in speech_bounds(rest, rate, detector):
        for first, last in window_bounds(stop - start, plan):
            yield position + start + first, rest[start + first : start + last]


def _unfinished(
    stretch: NDArray[np.float32], plan: WindowPlan, rate: int, detector: Detector
) -> tuple[list[Window], int]:
    """Windows that are certain in a stretch that goes on, and how many samples are done with."""
    guard = len(stretch) - round(_GUARD_SECONDS * rate)
    bounds: list[tuple[int, int]] = []
    n_done = guard
    for start, stop in speech_bounds(stretch, rate, detector):
        if stop < guard:
            bounds += [(start + a, start + b) for a, b in window_bounds(stop - start, plan)]
            continue
        n_done = start
        while stop - n_done >= plan.window_samples + plan.min_samples:
            bounds.append((n_done, n_done + plan.window_samples))
            n_done += plan.hop_samples
        break  # what follows is looked at again with the next stretch
    return [(start, stretch[start:stop]) for start, stop in bounds], n_done


def speech_bounds(
    waveform: NDArray[np.float32], rate: int, detector: Detector
) -> list[tuple[int, int]]:
    """First sample and the one after the last of each stretch of speech.

    Args:
        waveform: shape (n_samples,).
        rate: Hz of the waveform.
        detector: stretches of speech of a waveform at 16 kHz.

    Returns:
        Stretches in order of time, with at least 0.5 s between them.
    """
    if not len(waveform):
        return []
    merged: list[list[float]] = []
    for start, end in detector(resample(waveform, rate, SAMPLING_RATE)):
        if merged and start - merged[-1][1] < BREATH_SECONDS:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    bounds = [(round(a * rate), min(round(b * rate), len(waveform))) for a, b in merged]
    return [(start, stop) for start, stop in bounds if stop > start]
