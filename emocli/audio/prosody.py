"""How something is said: statistics of level, pitch and rate."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.networks.pitch import track_pitch
from emocli.networks.prosody import SOFTEST_DBFS, frame_levels

ACTIVE_DB = 40.0
"""A frame counts as sound less than this below the loudest; pauses lie further down."""


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
