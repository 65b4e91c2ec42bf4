"""Contours of a voice over time, from the frames of the front end.

A contour is one number per frame: loudness, pitch, brightness, the first cepstral coefficients.
Spectral contours come twice: as they are, and from a spectrum whose mean and deviation over the
utterance are taken out of every band, for microphones, rooms and noise mostly live there.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

N_CEPSTRA = 14
BAND_EDGES = (0, 8, 16, 28, 42, 54, 64)
"""Mel bands grouped in six: up to about 0.4, 0.9, 1.9, 3.6, 5.4 and 7.6 kHz."""
_SHAPE_NAMES = (
    *(f"cepstrum{order}" for order in range(N_CEPSTRA)),
    *(f"slope{band}" for band in range(1, len(BAND_EDGES) - 1)),
    *("centre", "flux"),
)
CONTOUR_NAMES = (
    *_SHAPE_NAMES,
    *("periodicity", "energy", "loudness"),
    *(f"normalized_{name}" for name in _SHAPE_NAMES),
)
"""Names of the spectral contours, in their order."""
LOUDEST = 0.95
FLOOR_NATS = -13.8
"""Softest energy relative to the loudest frames; 13.8 nats are 60 dB."""
ACTIVE_NATS = -7.0
"""A frame is active less than 7 nats, 30 dB, below the loudest."""
LOUD_NATS = -5.0
MIN_PERIODICITY = 0.5
"""Share of a pulse train's autocorrelation above which an active frame counts as voiced."""
LEAST_IDEAL = 0.1
"""Bound on what the autocorrelation is divided by, lest noise at long lags count as voice."""
LONG_LAG_PENALTY = 0.01
"""Preference for higher pitches, lest a multiple of the period be taken for the period."""
VARIANCE_FLOOR = 0.05
LOUDNESS_EXPONENT = 0.3


@dataclass(frozen=True)
class Contours:
    """Contours of a batch of utterances.

    Attributes:
        spectral: shape (n_utterances, n_frames, n_contours); see `CONTOUR_NAMES`.
        pitch: semitones above 100 Hz, shape (n_utterances, n_frames).
        energy: nats relative to the loudest frames, the same shape.
        loudness: between 0 and about 1, the same shape.
        active: bool, frames that are not far below the loudest.
        voiced: bool, active frames with a pitch.
    """

    spectral: Tensor
    pitch: Tensor
    energy: Tensor
    loudness: Tensor
    active: Tensor
    voiced: Tensor


def contours(
    energies: Tensor,
    periodicity: Tensor,
    valid: Tensor,
    pitches_semitones: Tensor,
    ideal: Tensor,
) -> Contours:
    """Contours of the frames of a batch.

    Args:
        energies: natural logarithms, shape (n_utterances, n_frames, 64).
        periodicity: shape (n_utterances, n_frames, n_pitches).
        valid: bool, shape (n_utterances, n_frames), False where a frame is padding.
        pitches_semitones: shape (n_pitches,), evenly spaced.
        ideal: periodicity of a train of pulses at each pitch, shape (n_pitches,).
    """
    level = torch.logsumexp(energies, dim=2) - math.log(energies.shape[2])
    loudest = masked_quantile(level[..., None], valid, (LOUDEST,))[0]  # (n_utterances, 1)
    energy = level - loudest
    spectrum = (energies - loudest[..., None]).clamp(min=FLOOR_NATS)
    pitch, strength, inside = peak_pitch(periodicity, valid, pitches_semitones, ideal)
    active = valid & (energy > ACTIVE_NATS)
    loudness = (LOUDNESS_EXPONENT * spectrum).exp().mean(2)
    shape = spectral_contours(spectrum)
    normalized = spectral_contours(normalize_bands(spectrum, valid & (energy > LOUD_NATS)))
    single = torch.stack([strength, energy.clamp(min=-12.0), loudness], dim=2)
    return Contours(
        spectral=torch.cat([shape, single, normalized], dim=2),
        pitch=pitch,
        energy=energy.clamp(min=-12.0),
        loudness=loudness,
        active=active,
        voiced=active & inside & (strength > MIN_PERIODICITY),
    )


def normalize_bands(spectrum: Tensor, loud: Tensor) -> Tensor:
    """A spectrum whose bands have mean 0 and deviation 2 over the loud frames.

    Args:
        spectrum: shape (n_utterances, n_frames, n_bands).
        loud: bool, shape (n_utterances, n_frames).
    """
    mean, deviation = masked_moments(spectrum, loud, floor=VARIANCE_FLOOR)
    return (spectrum - mean[:, None]) / deviation[:, None] * 2


def spectral_contours(spectrum: Tensor) -> Tensor:
    """Cepstra, five slopes, the centre of gravity and the flux of a logarithmic spectrum.

    Args:
        spectrum: shape (n_utterances, n_frames, 64).

    Returns:
        Shape (n_utterances, n_frames, 21).
    """
    cepstra = spectrum @ cosine_basis(spectrum.shape[2]).to(spectrum)
    groups = band_energies(spectrum)
    slopes = groups[..., :1] - groups[..., 1:]
    weights = torch.softmax(spectrum, dim=2)
    centre = weights @ torch.arange(spectrum.shape[2]).to(spectrum)
    step = (spectrum[:, 1:] - spectrum[:, :-1]).abs().mean(2)
    flux = torch.nn.functional.pad(step, (1, 0))
    return torch.cat([cepstra, slopes, centre[..., None], flux[..., None]], dim=2)


def cosine_basis(n_bands: int) -> Tensor:
    """Orthonormal cosines (DCT-II), shape (n_bands, 14)."""
    band = torch.arange(n_bands, dtype=torch.float64)[:, None] + 0.5
    order = torch.arange(N_CEPSTRA, dtype=torch.float64)[None]
    basis = torch.cos(math.pi / n_bands * band * order) * math.sqrt(2 / n_bands)
    basis[:, 0] /= math.sqrt(2)
    return basis.float()


def band_energies(spectrum: Tensor) -> Tensor:
    """Logarithms of the mean energy of six groups of bands, shape (..., 6)."""
    groups = itertools.pairwise(BAND_EDGES)
    return torch.stack(
        [
            torch.logsumexp(spectrum[..., first:last], dim=-1) - math.log(last - first)
            for first, last in groups
        ],
        dim=-1,
    )


def peak_pitch(
    periodicity: Tensor, valid: Tensor, pitches_semitones: Tensor, ideal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The pitch of each frame: the highest peak of the smoothed autocorrelation.

    Args:
        periodicity: shape (n_utterances, n_frames, n_pitches).
        valid: bool, shape (n_utterances, n_frames), False where a frame is padding.
        pitches_semitones: shape (n_pitches,), evenly spaced.
        ideal: periodicity of a train of pulses at each pitch, shape (n_pitches,).

    Returns:
        Pitch in semitones, the autocorrelation there as a share of the ideal one, and whether the
        peak lies inside the range; each of shape (n_utterances, n_frames).

    Source: Boersma 1993, "Accurate short-term analysis of the fundamental frequency", divides the
    window's own autocorrelation out.
    """
    n_pitches = periodicity.shape[2]
    before = torch.cat([periodicity[:, :1], periodicity[:, :-1]], dim=1)
    follows = torch.nn.functional.pad(valid[:, 1:], (0, 1))[..., None]
    after = torch.where(follows, periodicity.roll(-1, dims=1), periodicity)
    tilt = LONG_LAG_PENALTY * torch.linspace(-1, 1, n_pitches).to(periodicity)
    peak = ((before + 2 * periodicity + after) / 4 + tilt).argmax(2, keepdim=True)
    inner = peak.clamp(1, n_pitches - 2)
    left, centre, right = (periodicity.gather(2, inner + step) for step in (-1, 0, 1))
    curvature = left - 2 * centre + right
    bent = curvature.abs() > 1e-4
    offset = 0.5 * (left - right) / torch.where(bent, curvature, torch.ones_like(curvature))
    offset = torch.where(bent, offset, torch.zeros_like(offset)).clamp(-0.5, 0.5)
    spacing = pitches_semitones[1] - pitches_semitones[0]
    pitch = pitches_semitones[0] + spacing * (inner + offset)
    inside = (peak > 0) & (peak < n_pitches - 1)
    # At the interpolated pitch, not at the peak of the smoothed curve.
    nearest = ((pitch - pitches_semitones[0]) / spacing).round().long().clamp(0, n_pitches - 1)
    strength = periodicity.gather(2, peak)[..., 0] / ideal.clamp(min=LEAST_IDEAL)[nearest[..., 0]]
    return pitch[..., 0], strength, inside[..., 0]


def masked_moments(values: Tensor, mask: Tensor, floor: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the frames of a mask; 0 and ``sqrt(floor)`` where it has none.

    Args:
        values: shape (n_utterances, n_frames, n_values).
        mask: bool, shape (n_utterances, n_frames).
        floor: added to the variance.

    Returns:
        Two tensors of shape (n_utterances, n_values).
    """
    weights = mask.to(values)[..., None]
    count = weights.sum(1).clamp(min=1)
    mean = (values * weights).sum(1) / count
    variance = ((values - mean[:, None]).square() * weights).sum(1) / count
    return mean, (variance + floor).sqrt()


def masked_quantile(values: Tensor, mask: Tensor, quantiles: tuple[float, ...]) -> list[Tensor]:
    """Quantiles over the frames of a mask, the lower neighbour in rank; 0 where it has none.

    Args:
        values: shape (n_utterances, n_frames, n_values).
        mask: bool, shape (n_utterances, n_frames).
        quantiles: between 0 and 1.

    Returns:
        For each quantile a tensor of shape (n_utterances, n_values).
    """
    ordered = _sorted_frames(values.masked_fill(~mask[..., None], torch.inf))
    last = mask.sum(1) - 1  # (n_utterances,)
    found = []
    for quantile in quantiles:
        rank = (quantile * last).long().clamp(min=0)
        at_rank = ordered.gather(1, rank[:, None, None].expand(-1, 1, values.shape[2]))[:, 0]
        found.append(torch.where(last[:, None] >= 0, at_rank, torch.zeros_like(at_rank)))
    return found


def _sorted_frames(values: Tensor) -> Tensor:
    """Each value's frames in order; numpy sorts on a CPU several times as fast as torch."""
    if values.requires_grad or values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))
