"""From a waveform to frames: logarithmic mel energies and a periodicity per pitch.

A frame is a vector of ``n_mels`` natural logarithms of mel energies and ``n_pitches`` values of a
generalised autocorrelation at lags that lie evenly on a scale of semitones. Both come from the
same short-time spectrum by one matrix product each, so the front end costs little more than its
Fourier transforms. The level of a recording does not reach the frames.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SILENT_RMS = 3e-5
"""Root mean square, -90 dB of full scale, below which a waveform holds nothing to analyse."""
ENERGY_FLOOR = 1e-10
COMPRESSION = 0.33
"""Exponent on the power spectrum before the autocorrelation; 1 would be the ordinary one.

Source: Tolonen & Karjalainen 2000, "A computationally efficient multipitch analysis model", whose
0.33 on the power spectrum flattens formants so that they do not pass for a pitch.
"""
LOUDEST_PERCENTILE = 0.95
SPEECH_RANGE_DB = 35.0
NOISE_MARGIN_DB = 5.0
TRIM_RANGE_DB = 15.0
MARGIN_FRAMES = 3


@dataclass(frozen=True, kw_only=True)
class FrontEndConfig:
    """Settings of the front end.

    Attributes:
        sampling_rate: Hz of the waveforms.
        window_samples: length of a Hann window; 512 are 32 ms at 16 kHz.
        hop_samples: from one frame to the next; 256 are 16 ms, 62.5 frames a second.
        n_mels: mel bands.
        lowest_hz: lower end of the lowest band.
        highest_hz: upper end of the highest band.
        n_pitches: lags of the autocorrelation.
        lowest_pitch_hz: the pitch of the longest lag.
        highest_pitch_hz: the pitch of the shortest lag.
    """

    sampling_rate: int = 16000
    window_samples: int = 512
    hop_samples: int = 256
    n_mels: int = 64
    lowest_hz: float = 60.0
    highest_hz: float = 7600.0
    n_pitches: int = 48
    lowest_pitch_hz: float = 62.0
    highest_pitch_hz: float = 520.0

    def __post_init__(self) -> None:
        limits = {
            "sampling_rate": (1000, 192_000),
            "window_samples": (16, 65_536),
            "hop_samples": (1, self.window_samples),
            "n_mels": (1, 1024),
            "n_pitches": (1, 4096),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} to {most}.")

    @property
    def n_features(self) -> int:
        """Length of a frame's vector."""
        return self.n_mels + self.n_pitches

    @property
    def frames_per_second(self) -> float:
        """Frames per second of audio."""
        return self.sampling_rate / self.hop_samples

    @property
    def pitches_semitones(self) -> NDArray[np.float32]:
        """The pitch of each lag, shape (n_pitches,), in semitones above 100 Hz."""
        pitches = np.geomspace(self.lowest_pitch_hz, self.highest_pitch_hz, self.n_pitches)
        return (12 * np.log2(pitches / 100)).astype(np.float32)


def mel_filters(config: FrontEndConfig) -> NDArray[np.float32]:
    """Triangular filters on the mel scale, each of weight 1.

    ``mel(f) = 2595 log10(1 + f / 700)``. A band that is narrower than a bin takes the nearest bin.

    Returns:
        Shape (window_samples / 2 + 1, n_mels), columns sum to 1.
    """
    n_bins = config.window_samples // 2 + 1
    ends = 2595 * np.log10(1 + np.array([config.lowest_hz, config.highest_hz]) / 700)
    edges = 700 * (10 ** (np.linspace(ends[0], ends[1], config.n_mels + 2) / 2595) - 1)
    hz = np.arange(n_bins)[:, None] * config.sampling_rate / config.window_samples
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre)).clip(0)
    nearest = np.abs(hz - centre).argmin(0)
    empty = np.flatnonzero(filters.sum(0) < 1e-3)
    filters[nearest[empty], empty] = 1
    return (filters / filters.sum(0)).astype(np.float32)


def pitch_filters(config: FrontEndConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines that turn a compressed power spectrum into an autocorrelation at chosen lags.

    The spectrum is weighed by a band from about 80 to 2,500 Hz, where voices have harmonics.

    Returns:
        Cosines of shape (n_bins, n_pitches) and the weights alone, shape (n_bins,), whose product
        with the spectrum is the autocorrelation at lag 0.
    """
    bins = np.arange(config.window_samples // 2 + 1)
    hz = bins * config.sampling_rate / config.window_samples
    both_sides = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0)
    low = 1 - np.exp(-np.square(hz / 80))
    high = np.exp(-np.square(np.maximum(0, hz - 2500)) / (2 * 700**2))
    weights = both_sides * low * high
    pitches = np.geomspace(config.lowest_pitch_hz, config.highest_pitch_hz, config.n_pitches)
    lags_seconds = 1 / pitches
    cosines = weights[:, None] * np.cos(2 * np.pi * hz[:, None] * lags_seconds)
    return cosines.astype(np.float32), weights.astype(np.float32)


def ideal_periodicity(config: FrontEndConfig) -> NDArray[np.float32]:
    """What the autocorrelation of this front end is for a train of pulses, at its own period.

    It would be 1 were the window endless. The Hann window makes it the smaller the longer the
    period: 0.86 at 520 Hz, 0.22 at 97 Hz, 0.07 at 62 Hz. Mean over eight positions of the pulses
    in the window.

    Returns:
        Shape (n_pitches,).
    """
    cosines, weights = pitch_filters(config)
    window = np.hanning(config.window_samples + 1)[:-1]
    seconds = np.arange(config.window_samples) / config.sampling_rate
    pitches = np.geomspace(config.lowest_pitch_hz, config.highest_pitch_hz, config.n_pitches)
    ideal = []
    for pitch, cosine in zip(pitches, cosines.T, strict=True):
        n_harmonics = int(config.highest_hz / pitch)
        half = np.pi * (pitch * seconds + np.arange(8)[:, None] / 8)  # (8, n_samples)
        # The sum of the harmonics' cosines is Dirichlet's kernel, n_harmonics on a pulse itself.
        sine = np.sin(half)
        on_pulse = np.abs(sine) < 1e-6
        ratio = np.sin((2 * n_harmonics + 1) * half) / np.where(on_pulse, 1.0, sine)
        pulses = np.where(on_pulse, n_harmonics, (ratio - 1) / 2)
        spectrum = np.square(np.abs(np.fft.rfft(pulses * window))) ** COMPRESSION
        ideal.append(np.mean((spectrum @ cosine) / (spectrum @ weights)))
    return np.array(ideal, dtype=np.float32)


class LogMelPitch(nn.Module):
    """The front end; it has no weights to train."""

    window: Tensor
    mels: Tensor
    cosines: Tensor
    lag_zero: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        cosines, weights = pitch_filters(config)
        constants = {
            "window": torch.hann_window(config.window_samples),
            "mels": torch.from_numpy(mel_filters(config)),
            "cosines": torch.from_numpy(cosines),
            "lag_zero": torch.from_numpy(weights),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Frames of one waveform between its first and its last loud frame.

        Args:
            waveform: float32, shape (n_samples,), mono, at ``config.sampling_rate``; of any level.

        Returns:
            Shape (n_frames, n_features), no frames for a waveform without sound; energies first.
        """
        waveform = waveform - waveform.mean() if len(waveform) else waveform
        rms = waveform.square().mean().sqrt()
        if not rms > SILENT_RMS:
            return waveform.new_zeros(0, self.config.n_features)
        pieces = self._pieces(waveform / rms)
        start, stop = loud_span(pieces)
        spectrum = torch.fft.rfft(pieces[start:stop] * self.window)
        power = spectrum.real.square() + spectrum.imag.square()  # (n_frames, n_bins)
        energies = torch.log(power @ self.mels + ENERGY_FLOOR)
        compressed = torch.exp(COMPRESSION * torch.log(power + 1e-12))  # twice as fast as pow
        periodicity = (compressed @ self.cosines) / (compressed @ self.lag_zero)[:, None]
        return torch.cat([energies, periodicity], dim=1)

    def _pieces(self, waveform: Tensor) -> Tensor:
        missing = self.config.window_samples - len(waveform)
        if missing > 0:
            waveform = nn.functional.pad(waveform, (0, missing))
        return waveform.unfold(0, self.config.window_samples, self.config.hop_samples)


def loud_span(pieces: Tensor) -> tuple[int, int]:
    """First loud frame and the one after the last, with a margin of three frames.

    A frame is loud above 35 dB below the loudest twentieth, or 5 dB above the softest tenth if
    that is more; a frame less than 15 dB below the loudest is loud in any case.

    Args:
        pieces: shape (n_frames, window_samples), at least one frame.

    Returns:
        ``start`` and ``stop`` with ``0 <= start < stop <= n_frames``.
    """
    level = 10 * torch.log10(pieces.square().mean(1) + ENERGY_FLOOR)  # dB
    ordered = level.sort().values
    loudest = ordered[int(LOUDEST_PERCENTILE * (len(ordered) - 1))]
    softest = ordered[int(0.1 * (len(ordered) - 1))]
    threshold = torch.maximum(loudest - SPEECH_RANGE_DB, softest + NOISE_MARGIN_DB)
    threshold = torch.minimum(threshold, loudest - TRIM_RANGE_DB)
    loud = torch.nonzero(level >= threshold).flatten()
    start = max(0, int(loud[0]) - MARGIN_FRAMES)
    return start, min(len(pieces), int(loud[-1]) + 1 + MARGIN_FRAMES)


def pad_frames(utterances: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Frames of several utterances in one tensor.

    Args:
        utterances: each of shape (n_frames, n_features), at least one frame each.

    Returns:
        Frames of shape (n_utterances, longest, n_features), zero where there are none, and a bool
        mask of shape (n_utterances, longest), True where there are.
    """
    lengths = torch.tensor([len(frames) for frames in utterances])
    frames = nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    return frames, torch.arange(int(lengths.max()))[None] < lengths[:, None]
