"""The course of a voice: pitch, voicing and level frame by frame."""

import numpy as np
from numpy.typing import NDArray

from emocli.networks.pitch import HOP_SECONDS, n_hops, track_pitch

SOFTEST_DBFS = -100.0
"""What digital silence is taken for; 16 bits end at -98."""
PROSODY_NAMES = ("pitch", "voiced", "periodicity", "level")
"""Columns of `prosody_frames`, followed by the slope of each."""
PROSODY_VERSION = 1
"""Counts up when the same waveform gives other frames."""
DELTA_REACH = 2
PITCH_REFERENCE_HZ = 100.0


def frame_levels(waveform: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float64]:
    """Levels of stretches of 10 ms, shape (n_frames,), dBFS, at least `SOFTEST_DBFS`.

    The last stretch may be shorter.
    """
    n_frames = n_hops(len(waveform), sampling_rate)
    if not n_frames:
        return np.empty(0)
    starts = np.round(np.arange(n_frames) * sampling_rate * HOP_SECONDS).astype(np.intp)
    energy = np.add.reduceat(np.square(waveform, dtype=np.float64), starts)
    counts = np.diff(starts, append=len(waveform))
    floor = 10 ** (SOFTEST_DBFS / 10)
    return np.asarray(10 * np.log10(np.maximum(energy / counts, floor)))


def prosody_frames(waveform: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Pitch, voicing and level every 10 ms with their slopes.

    Columns 0 to 3 are the pitch in octaves above 100 Hz (drawn straight through frames without
    one, level before the first and after the last, 0 if there is none at all), 1 where there is a
    pitch, the periodicity (0 to 1) and the level (0 at -60 dBFS, 1 at full scale). Columns 4 to 7
    are their slopes per frame over five frames.

    Args:
        waveform: shape (n_samples,), mono.
        sampling_rate: Hz.

    Returns:
        Shape (n_frames, 8), 100 frames a second.
    """
    track = track_pitch(waveform, sampling_rate)
    levels = frame_levels(waveform, sampling_rate) / 60 + 1
    columns = [_drawn_through(track.hz), track.voiced, track.periodicity, levels]
    values = np.column_stack(columns)  # (n_frames, 4)
    return np.column_stack([values, slopes(values)]).astype(np.float32)


def _drawn_through(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    voiced = np.flatnonzero(np.isfinite(hz))
    if not len(voiced):
        return np.zeros(len(hz))
    octaves = np.log2(hz[voiced] / PITCH_REFERENCE_HZ)
    return np.interp(np.arange(len(hz)), voiced, octaves)


def slopes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes of lines through five frames each, the first and last repeated beyond the ends.

    Args:
        values: shape (n_frames, n_values).

    Returns:
        The same shape, change per frame.
    """
    if not len(values):
        return values
    padded = np.pad(values, ((DELTA_REACH, DELTA_REACH), (0, 0)), mode="edge")
    n_frames, reach = len(values), range(1, DELTA_REACH + 1)
    total = sum(
        step
        * (
            padded[DELTA_REACH + step : DELTA_REACH + step + n_frames]
            - padded[DELTA_REACH - step : DELTA_REACH - step + n_frames]
        )
        for step in reach
    )
    return np.asarray(total / (2 * sum(step * step for step in reach)))
