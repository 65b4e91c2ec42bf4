"""How something is said: statistics of level, pitch and rate, and the same frame by frame."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.audio.pitch import HOP_SECONDS, n_hops, track_pitch

ACTIVE_DB = 40.0
"""A frame counts as sound less than this below the loudest; pauses lie further down."""
SOFTEST_DBFS = -100.0
"""What digital silence is taken for; 16 bits end at -98."""
PROSODY_NAMES = ("pitch", "voiced", "periodicity", "level")
PROSODY_FRAMES_PER_SECOND = 1 / HOP_SECONDS
PROSODY_VERSION = 1
"""Counts up when the same waveform gives other frames."""
DELTA_REACH = 2
PITCH_REFERENCE_HZ = 100.0


@dataclass(frozen=True, kw_only=True)
class ProsodyStatistics:
    """Level, pitch and rate of an utterance; NaN where there is nothing to measure.

    Attributes:
        duration_seconds: length of the waveform.
        peak: largest magnitude, full scale at 1.
        rms: root mean square of all samples, full scale at 1.
        loudness_dbfs: mean over frames of ``20 log10(rms)``, full scale at 0, pauses left out.
        loudness_sd_db: population standard deviation over the same frames.
        pitch_median_hz: of the voiced frames.
        pitch_low_hz: 5th percentile of the voiced frames.
        pitch_high_hz: 95th percentile of the voiced frames.
        voiced_share: of all frames, 0 to 1.
        words_per_second: words of the transcript through duration, NaN without a transcript.
    """

    duration_seconds: float
    peak: float
    rms: float
    loudness_dbfs: float
    loudness_sd_db: float
    pitch_median_hz: float
    pitch_low_hz: float
    pitch_high_hz: float
    voiced_share: float
    words_per_second: float

    @property
    def pitch_range_hz(self) -> float:
        """From the 5th to the 95th percentile."""
        return self.pitch_high_hz - self.pitch_low_hz


def describe_prosody(
    waveform: NDArray[np.float32], sampling_rate: int, text: str | None = None
) -> ProsodyStatistics:
    """Statistics of an utterance.

    Pitch is looked for between 65 and 500 Hz every 10 ms. Loudness is that of frames of 10 ms
    that are less than 40 dB softer than the loudest one, so silence before and after the speech
    changes neither its mean nor its deviation.

    Args:
        waveform: shape (n_samples,), mono.
        sampling_rate: Hz.
        text: the transcript, for the rate of speaking.
    """
    seconds = len(waveform) / sampling_rate
    levels = frame_levels(waveform, sampling_rate)
    active = levels[levels > max(levels.max(initial=SOFTEST_DBFS) - ACTIVE_DB, SOFTEST_DBFS)]
    pitches = track_pitch(waveform, sampling_rate).hz
    voiced = pitches[np.isfinite(pitches)]
    low, median, high = np.percentile(voiced, (5, 50, 95)) if len(voiced) else [math.nan] * 3
    samples = waveform.astype(np.float64)
    return ProsodyStatistics(
        duration_seconds=seconds,
        peak=float(np.abs(samples).max()) if len(samples) else math.nan,
        rms=math.sqrt(np.square(samples).mean()) if len(samples) else math.nan,
        loudness_dbfs=float(active.mean()) if len(active) else math.nan,
        loudness_sd_db=float(active.std()) if len(active) else math.nan,
        pitch_median_hz=float(median),
        pitch_low_hz=float(low),
        pitch_high_hz=float(high),
        voiced_share=len(voiced) / len(pitches) if len(pitches) else math.nan,
        words_per_second=len(text.split()) / seconds if text is not None and seconds else math.nan,
    )


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
