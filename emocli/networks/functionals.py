"""Functionals: one vector per utterance that says how its contours run.

Levels, spreads, slopes and rhythms, in the manner of the functionals of acoustic parameter sets,
computed for a whole batch by tensor operations.

Source: Eyben et al. 2016, "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice
research and affective computing", for the idea and most of the statistics; the contours are those
of `emocli.networks.contours`.
"""

import torch
from torch import Tensor, nn

from emocli.networks.contours import (
    CONTOUR_NAMES,
    Contours,
    contours,
    masked_moments,
    masked_quantile,
)
from emocli.networks.logmel import FrontEndConfig, ideal_periodicity

VERSION = 3
"""Counts up when the same frames give other functionals."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LARGEST_STEP_SEMITONES = 4.0
"""A pitch that moves further in one frame has jumped an octave."""
FEWEST_FRAMES = 3
_STATISTICS = ("mean", "sd", "median", "range_10_90", "range_25_75", "skewness")
FUNCTIONAL_NAMES = (
    *(
        f"{contour}_{statistic}"
        for statistic in (*_STATISTICS, "voiced_mean", "voiced_sd", "step_mean", "step_sd")
        for contour in CONTOUR_NAMES
    ),
    *(f"pitch_{statistic}" for statistic in _STATISTICS),
    *("pitch_step_mean", "pitch_step_sd", "pitch_drift", "pitch_fall", "pitch_rise"),
    *("pitch_slope", "pitch_energy_correlation", "pitch_peak", "energy_slope"),
    *("voiced_stretches_per_second", "voiced_stretch_seconds", "voiced_share"),
    *("loudness_peaks_per_second", "active_share", "gap_seconds", "voiced_share_of_active"),
)
"""Names of the functionals, in their order."""
N_FUNCTIONALS = len(FUNCTIONAL_NAMES)


class Functionals(nn.Module):
    """From padded frames to functionals; it has no weights to train."""

    pitches: Tensor
    ideal: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        pitches = torch.from_numpy(config.pitches_semitones)
        self.register_buffer("pitches", pitches, persistent=False)
        ideal = torch.from_numpy(ideal_periodicity(config))
        self.register_buffer("ideal", ideal, persistent=False)

    @torch.no_grad()
    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        """Functionals of the utterances of a batch.

        Args:
            frames: shape (n_utterances, n_frames, n_features).
            valid: bool, shape (n_utterances, n_frames), False where a frame is padding.

        Returns:
            Shape (n_utterances, 472), finite.
        """
        missing = max(0, FEWEST_FRAMES - frames.shape[1])  # steps and maxima need neighbours
        frames = nn.functional.pad(frames, (0, 0, 0, missing))
        valid = nn.functional.pad(valid, (0, missing))
        energies = frames[..., : self.config.n_mels]
        periodicity = frames[..., self.config.n_mels :]
        found = contours(energies, periodicity, valid, self.pitches, self.ideal)
        rate = self.config.frames_per_second
        return torch.cat(
            [
                spectral_functionals(found),
                pitch_functionals(found, rate),
                rhythm_functionals(found, valid, rate),
            ],
            dim=1,
        )


def statistics(values: Tensor, mask: Tensor) -> list[Tensor]:
    """Mean, deviation, median, two ranges and skewness over the frames of a mask.

    Args:
        values: shape (n_utterances, n_frames, n_values).
        mask: bool, shape (n_utterances, n_frames).

    Returns:
        Six tensors of shape (n_utterances, n_values).
    """
    mean, deviation = masked_moments(values, mask)
    lowest, low, median, high, highest = masked_quantile(values, mask, QUANTILES)
    cubes, _ = masked_moments((values - mean[:, None]) ** 3, mask)
    return [mean, deviation, median, highest - lowest, high - low, cubes / (deviation + 1e-3) ** 3]


def spectral_functionals(found: Contours) -> Tensor:
    """Statistics of the spectral contours, of their voiced frames and their steps; (n, 450)."""
    steps = found.spectral[:, 1:] - found.spectral[:, :-1]
    moving = found.active[:, 1:] & found.active[:, :-1]
    mean_step, _ = masked_moments(steps.abs(), moving)
    _, step_deviation = masked_moments(steps, moving)
    return torch.cat(
        [
            *statistics(found.spectral, found.active),
            *masked_moments(found.spectral, found.voiced),
            mean_step,
            step_deviation,
        ],
        dim=1,
    )


def pitch_functionals(found: Contours, frames_per_second: float) -> Tensor:
    """Level, spread, steps and trends of the pitch over voiced frames; shape (n, 15)."""
    pitch = found.pitch[..., None]
    steps = pitch[:, 1:] - pitch[:, :-1]
    near = steps[..., 0].abs() < LARGEST_STEP_SEMITONES
    moving = found.voiced[:, 1:] & found.voiced[:, :-1] & near
    speed, _ = masked_moments(steps.abs(), moving)
    drift, step_deviation = masked_moments(steps, moving)
    falling, rising = masked_quantile(steps, moving, (0.1, 0.9))
    parts = [*statistics(pitch, found.voiced), speed, step_deviation, drift, falling, rising]
    return torch.cat([*parts, _trends(found, frames_per_second)], dim=1)


def _trends(found: Contours, frames_per_second: float) -> Tensor:
    """Slope of the pitch, its correlation with energy, its peak, and the slope of the energy."""
    time = torch.arange(found.pitch.shape[1]).to(found.pitch) / frames_per_second
    values = torch.stack([time.expand_as(found.pitch), found.pitch, found.energy], dim=2)
    mean, deviation = masked_moments(values, found.voiced)
    centred = (values - mean[:, None]) * found.voiced.to(values)[..., None]
    count = found.voiced.sum(1).clamp(min=1).to(values)
    time_c, pitch_c, energy_c = centred.unbind(2)  # (n_utterances, n_frames) each
    spread = deviation[:, 0].square() + 1e-2
    pitch_slope = (time_c * pitch_c).sum(1) / count / spread
    energy_slope = (time_c * energy_c).sum(1) / count / spread
    together = (pitch_c * energy_c).sum(1) / count
    correlation = together / (deviation[:, 1] * deviation[:, 2] + 1e-2)
    return torch.stack([pitch_slope, correlation, pitch_c.amax(1), energy_slope], dim=1)


def rhythm_functionals(found: Contours, valid: Tensor, frames_per_second: float) -> Tensor:
    """Voiced stretches, gaps, syllable-like peaks and activity per second; shape (n, 7)."""
    n_frames = valid.sum(1).clamp(min=1).to(found.pitch)
    seconds = n_frames / frames_per_second
    voiced, active = found.voiced.to(seconds), found.active.to(seconds)
    before = nn.functional.pad(voiced, (1, 0))[:, :-1]
    runs = ((voiced > before).to(seconds)).sum(1)
    n_voiced, n_active = voiced.sum(1), active.sum(1)
    order = torch.arange(1, valid.shape[1] + 1).to(seconds)
    last = (order * voiced).amax(1)
    first = torch.where(found.voiced, order, torch.inf).amin(1)
    span = torch.where(n_voiced > 0, last - first + 1, torch.zeros_like(last))
    gaps = (span - n_voiced) / (runs - 1).clamp(min=1)
    return torch.stack(
        [
            runs / seconds,
            n_voiced / runs.clamp(min=1) / frames_per_second,
            n_voiced / n_frames,
            _n_peaks(found.loudness, valid) / seconds,
            n_active / n_frames,
            gaps / frames_per_second,
            n_voiced / n_active.clamp(min=1),
        ],
        dim=1,
    )


def _n_peaks(loudness: Tensor, valid: Tensor) -> Tensor:
    """Number of maxima of the loudness, smoothed over 7 frames, above 0.6 of its mean."""
    kernel = torch.hann_window(7, periodic=False).to(loudness)
    audible = loudness * valid.to(loudness)
    smooth = nn.functional.conv1d(audible[:, None], (kernel / kernel.sum())[None, None], padding=3)
    smooth = smooth[:, 0]
    mean, _ = masked_moments(smooth[..., None], valid)
    inner = smooth[:, 1:-1]
    peak = (inner > smooth[:, :-2]) & (inner >= smooth[:, 2:]) & (inner > 0.6 * mean)
    # Not the last frame, although padding follows it in some batches and nothing in others.
    return (peak & valid[:, 2:]).sum(1).to(loudness)
