"""The pitch of a voice over time, by autocorrelation and the best path through its peaks.

The autocorrelation of a windowed frame falls off with the lag because the window does. Divided by
the window's own autocorrelation it no longer does, so three periods of the lowest voice are enough
for a frame. Peaks of each frame compete with the chance that it has no pitch; which of them wins
is decided for the whole recording at once, so that a peak at twice the period for a frame or two
loses against its neighbours.

Source: Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound". The costs are the paper's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft

LOWEST_HZ = 65.0
HIGHEST_HZ = 500.0
HOP_SECONDS = 0.01
"""From one frame to the next; 100 frames a second."""

ANALYSIS_RATE = 8000
"""Hz; harmonics above 4 kHz say nothing on the pitch of a voice."""
WINDOW_PERIODS = 3
"""Of the lowest pitch: 46 ms, the shortest window whose autocorrelation shows that pitch."""
OVERSAMPLING = 4
"""Of the autocorrelation, or the peaks of a rich sound would fall between two lags."""
FRAMES_PER_BLOCK = 512
N_CANDIDATES = 15

SILENCE_THRESHOLD = 0.03
"""Frames with a peak below this share of the recording's tend to have no pitch."""
VOICING_THRESHOLD = 0.45
OCTAVE_COST = 0.01
"""Per octave towards lower pitches, lest twice the period be taken for the period."""
OCTAVE_JUMP_COST = 0.35
VOICING_CHANGE_COST = 0.14

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PitchTrack:
    """The pitch of each frame; frame ``i`` lies around ``(i + 0.5) * HOP_SECONDS``.

    Attributes:
        hz: shape (n_frames,), NaN where there is no pitch.
        periodicity: shape (n_frames,), 0 to 1, the autocorrelation at the highest peak.
    """

    hz: Array
    periodicity: Array

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Frames with a pitch, shape (n_frames,)."""
        return np.isfinite(self.hz)


@dataclass(frozen=True)
class _Candidates:
    """Peaks of some frames; place 0 stands for no pitch.

    Attributes:
        hz: shape (n_frames, 1 + n), 0 where there is no pitch or no further peak.
        strength: the same shape, -inf where there is no further peak.
        periodicity: shape (n_frames,).
    """

    hz: Array
    strength: Array
    periodicity: Array


def track_pitch(waveform: NDArray[np.float32], sampling_rate: int) -> PitchTrack:
    """The pitch of a waveform, `LOWEST_HZ` to `HIGHEST_HZ`.

    Args:
        waveform: shape (n_samples,), mono, of any level.
        sampling_rate: Hz.

    Returns:
        ``n_frames`` frames, see `n_hops`. A waveform without sound has no pitch anywhere.
    """
    n_frames = n_hops(len(waveform), sampling_rate)
    if not n_frames:
        return PitchTrack(np.empty(0), np.empty(0))
    analysed = waveform.astype(np.float32)
    if sampling_rate != ANALYSIS_RATE:
        analysed = soxr.resample(analysed, sampling_rate, ANALYSIS_RATE)
    loudest = float(np.abs(analysed - analysed.mean()).max()) if len(analysed) else 0.0
    if loudest == 0.0:
        return PitchTrack(np.full(n_frames, np.nan), np.zeros(n_frames))
    blocks = [_candidates(frames, loudest) for frames in _frames(analysed, n_frames)]
    hz = np.concatenate([block.hz for block in blocks])
    strength = np.concatenate([block.strength for block in blocks])
    path = _best_path(hz, strength)
    chosen = hz[np.arange(n_frames), path]
    periodicity = np.concatenate([block.periodicity for block in blocks])
    return PitchTrack(np.where(chosen > 0, chosen, np.nan), periodicity)


def n_hops(n_samples: int, sampling_rate: int) -> int:
    """Frames of a waveform: its length in hops, the last of which may be begun only."""
    hop = sampling_rate * HOP_SECONDS
    return int(np.ceil(n_samples / hop - 1e-9))


def _frames(waveform: NDArray[np.float32], n_frames: int) -> Iterator[NDArray[np.float32]]:
    """Blocks of frames around the middles of hops, with zeros beyond the ends."""
    hop = round(ANALYSIS_RATE * HOP_SECONDS)  # 80
    size = _window_samples()
    before = size // 2 - hop // 2
    needed = (n_frames - 1) * hop + size
    padded = np.pad(waveform, (before, max(0, needed - before - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:n_frames]
    for start in range(0, n_frames, FRAMES_PER_BLOCK):
        yield frames[start : start + FRAMES_PER_BLOCK]  # (n, size)


def _window_samples() -> int:
    return 2 * round(WINDOW_PERIODS * ANALYSIS_RATE / LOWEST_HZ / 2)  # 370


def _candidates(frames: NDArray[np.float32], loudest: float) -> _Candidates:
    """Peaks of the autocorrelation of frames, shape (n_frames, n_samples)."""
    centred = frames - frames.mean(axis=1, keepdims=True)
    first, lags = _lag_range()
    correlation = _autocorrelation(centred)[:, first - 1 : first + len(lags) + 1]
    left, middle, right = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    curvature = left - 2 * middle + right
    is_peak = (middle >= left) & (middle > right) & (middle > VOICING_THRESHOLD / 2)
    bent = np.where(is_peak, curvature, -1.0)
    offset = np.where(is_peak, 0.5 * (left - right) / bent, 0.0)
    height = np.where(is_peak, middle - 0.25 * (left - right) * offset, 0.0)
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    hz = ANALYSIS_RATE * OVERSAMPLING / (lags + offset)
    is_peak &= (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
    strength = np.where(is_peak, height + OCTAVE_COST * np.log2(hz / LOWEST_HZ), -np.inf)
    best = np.argpartition(-strength, N_CANDIDATES, axis=1)[:, :N_CANDIDATES]
    found = np.take_along_axis(strength, best, axis=1)
    pitches = np.where(np.isfinite(found), np.take_along_axis(hz, best, axis=1), 0.0)
    unvoiced = _unvoiced_strength(np.abs(centred).max(axis=1) / loudest)
    return _Candidates(
        np.column_stack([np.zeros(len(frames)), pitches]),
        np.column_stack([unvoiced, found]),
        np.where(is_peak, height, 0.0).max(axis=1),
    )


def _lag_range() -> tuple[int, Array]:
    """The first lag that counts and all of them, in oversampled samples."""
    first = int(ANALYSIS_RATE * OVERSAMPLING / HIGHEST_HZ)  # 64
    last = int(np.ceil(ANALYSIS_RATE * OVERSAMPLING / LOWEST_HZ))  # 493
    return first, np.arange(first, last + 1, dtype=np.float64)


def _autocorrelation(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """That of each frame at oversampled lags, 1 at lag 0; 0 everywhere for a frame of zeros."""
    size = frames.shape[1]
    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    n_bins = 1 << int(np.ceil(np.log2(1.5 * size)))  # 1024, lags up to half a window stay clean
    n_lags = OVERSAMPLING * size // 2
    raw = _oversampled(frames * window, n_bins)[:, :n_lags]
    own = _oversampled(window, n_bins)[:n_lags]
    energy = raw[:, :1]
    scale = energy * (own / own[0])
    return np.divide(raw, scale, out=np.zeros_like(raw), where=energy > 0)


def _oversampled(windowed: NDArray[np.float32], n_bins: int) -> NDArray[np.float32]:
    """Autocorrelation along the last axis, from a spectrum with zeros above its highest bin."""
    spectrum = fft.rfft(windowed, n_bins)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(fft.irfft(power, OVERSAMPLING * n_bins))


def _unvoiced_strength(relative_peak: Array) -> Array:
    """Strength of having no pitch, higher for frames that are softer than a share."""
    quietness = 2 - relative_peak * (1 + VOICING_THRESHOLD) / SILENCE_THRESHOLD
    return VOICING_THRESHOLD + np.maximum(0.0, quietness)


def _best_path(hz: Array, strength: Array) -> NDArray[np.intp]:
    """The place of each frame on the path of most strength less cost, shape (n_frames,)."""
    octaves = np.log2(np.where(hz > 0, hz, 1.0))
    voiced = hz > 0
    score = strength[0]
    origins = np.zeros(hz.shape, np.intp)
    for frame in range(1, len(hz)):
        jump = OCTAVE_JUMP_COST * np.abs(octaves[frame][:, None] - octaves[frame - 1])
        both = voiced[frame][:, None] & voiced[frame - 1]
        changes = voiced[frame][:, None] != voiced[frame - 1]
        total = score - np.where(both, jump, 0.0) - VOICING_CHANGE_COST * changes
        origins[frame] = total.argmax(axis=1)
        score = total.max(axis=1) + strength[frame]
    path = np.zeros(len(hz), np.intp)
    path[-1] = score.argmax()
    for frame in range(len(hz) - 1, 0, -1):
        path[frame - 1] = origins[frame, path[frame]]
    return path
