"""Alterations of recordings, so that loudness, rooms, microphones and speed do not decide."""

import numpy as np
import soxr
from numpy.typing import NDArray

from emocli.training.recipe import AugmentationRecipe, MemberRecipe

Waveform = NDArray[np.float32]


def augment_waveform(
    waveform: Waveform,
    sampling_rate: int,
    rng: np.random.Generator,
    options: AugmentationRecipe,
) -> Waveform:
    """A recording as another speed, room, microphone, noise and level would have it.

    Args:
        waveform: shape (n_samples,), not silent.
        sampling_rate: Hz.
        rng: decides everything.
        options: how far to go.

    Returns:
        Another length, peak between -30 and -1 dB of full scale.
    """
    ratio = np.exp(rng.uniform(-options.speed, options.speed))
    altered = soxr.resample(waveform, sampling_rate, sampling_rate / ratio, quality="LQ")
    size = 1 << int(np.ceil(np.log2(len(altered) + sampling_rate // 2)))
    hz = np.asarray(np.fft.rfftfreq(size, 1 / sampling_rate), dtype=np.float64)
    response = (_equalizer(hz, rng, options) * _band_limit(hz, rng, options)).astype(complex)
    if rng.random() < options.room_share:
        response = response * np.fft.rfft(room(sampling_rate, rng), size)
    filtered = np.fft.irfft(np.fft.rfft(altered, size) * response, size)[: len(altered)]
    filtered /= np.sqrt(np.mean(filtered**2)) + 1e-9
    if rng.random() < options.noise_share:
        snr_db = rng.uniform(options.lowest_snr_db, options.highest_snr_db)
        noise = coloured_noise(len(filtered), hz, rng, abs(response))
        filtered = filtered + noise * 10 ** (-snr_db / 20)
    if rng.random() < options.distortion_share:
        limit = np.quantile(abs(filtered), rng.uniform(0.97, 0.999))
        filtered = np.clip(filtered, -limit, limit)
    levelled = filtered / (abs(filtered).max() + 1e-9) * 10 ** (-rng.uniform(1, 30) / 20)
    if rng.random() < options.distortion_share:
        levelled = companded(levelled)
    return np.asarray(levelled, dtype=np.float32)


def _equalizer(
    hz: NDArray[np.float64], rng: np.random.Generator, options: AugmentationRecipe
) -> NDArray[np.float64]:
    """Gains of a smooth random filter with a random tilt."""
    octaves = np.log2(np.maximum(hz, 50) / 50) / np.log2(hz[-1] / 50)
    knots = np.linspace(0, 1, 7)
    gains_db = rng.normal(0, options.equalizer_db, 7) + rng.normal(0, options.tilt_db) * (
        knots - 0.5
    )
    return np.asarray(10 ** (np.interp(octaves, knots, gains_db) / 20))


def _band_limit(
    hz: NDArray[np.float64], rng: np.random.Generator, options: AugmentationRecipe
) -> NDArray[np.float64]:
    """Gains of a telephone, of a low or of a high pass, or of none."""
    if rng.random() >= options.band_limit_share:
        return np.ones_like(hz)

    def below(limit: float, order: int) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + (hz / limit) ** (2 * order)))

    def above(limit: float, order: int) -> NDArray[np.float64]:
        return np.asarray(1 / (1 + (limit / np.maximum(hz, 1)) ** (2 * order)))

    kind = rng.integers(4)
    if kind == 0:
        return below(3500, 12) * above(280, 5)
    if kind == 1:
        return below(3800, 14)
    return below(rng.uniform(4500, 7500), 10) if kind == 2 else above(rng.uniform(60, 200), 4)


def room(sampling_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A synthetic room response: the direct sound and noise that decays by 60 dB in 0.1 to 0.9 s.

    Returns:
        At most half a second of samples, the first of which is 1.
    """
    decay_seconds = rng.uniform(0.12, 0.9)
    n_samples = int(min(decay_seconds, 0.5) * sampling_rate)
    time = np.arange(n_samples) / sampling_rate
    tail = rng.normal(0, 1, n_samples) * 10 ** (-3 * time / decay_seconds)
    tail[: int(rng.uniform(0.001, 0.006) * sampling_rate)] = 0
    tail *= 10 ** (-rng.uniform(-3, 14) / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    tail[0] = 1
    return np.asarray(tail)


def coloured_noise(
    n_samples: int,
    hz: NDArray[np.float64],
    rng: np.random.Generator,
    response: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Noise between white and brown, at times through the recording's filter or in bursts.

    Args:
        n_samples: length.
        hz: frequencies of a spectrum at least that long.
        rng: decides everything.
        response: gains at ``hz`` of the recording's filter.

    Returns:
        Shape (n_samples,), deviation 1.
    """
    size = 2 * (len(hz) - 1)
    spectrum = np.fft.rfft(rng.normal(0, 1, size)) / np.maximum(hz, 60) ** (rng.uniform(0, 2) / 2)
    if rng.random() < 0.4:
        spectrum = spectrum * response
    noise = np.fft.irfft(spectrum, size)[:n_samples]
    if rng.random() < 0.3:
        n_bursts = max(4, n_samples // 3000)
        bursts = rng.gamma(1, 1, n_bursts)
        noise = noise * np.interp(np.linspace(0, 1, n_samples), np.linspace(0, 1, n_bursts), bursts)
    return np.asarray(noise / (noise.std() + 1e-9))


def companded(waveform: NDArray[np.float64]) -> NDArray[np.float64]:
    """A waveform in [-1, 1] through the 8-bit mu-law of telephone lines."""
    mu = 255.0
    code = np.sign(waveform) * np.log1p(mu * abs(waveform)) / np.log1p(mu)
    code = np.round(code * 127) / 127
    return np.asarray(np.sign(code) * np.expm1(abs(code) * np.log1p(mu)) / mu)


def augment_frames(
    frames: NDArray[np.float32], n_mels: int, rng: np.random.Generator, options: MemberRecipe
) -> NDArray[np.float32]:
    """Frames at another tempo, through another filter, with bands and stretches masked.

    Source: Park et al. 2019, "SpecAugment", for the masks.

    Args:
        frames: shape (n_frames, n_features), energies first.
        n_mels: number of energies.
        rng: decides everything.
        options: how far to go.

    Returns:
        At most ``options.crop_frames`` frames.
    """
    altered = _stretched(frames, rng, options)
    energies = altered[:, :n_mels]
    knots = rng.normal(0, options.equalizer_nats, 6)
    gains = np.interp(np.linspace(0, 1, n_mels), np.linspace(0, 1, 6), knots)
    mean = energies.mean(0)
    contrast = np.exp(rng.normal(0, options.contrast, 2)).astype(np.float32)
    energies[:] = mean + (energies - mean) * contrast[0] + gains
    altered[:, n_mels:] *= contrast[1]
    for _ in range(2):
        _mask(altered, n_mels, rng)
    return altered


def _stretched(
    frames: NDArray[np.float32], rng: np.random.Generator, options: MemberRecipe
) -> NDArray[np.float32]:
    """A piece of the frames, interpolated over time."""
    ratio = np.exp(rng.uniform(-options.stretch, options.stretch))
    n_frames = max(20, int(len(frames) * ratio))
    places = np.linspace(0, len(frames) - 1, n_frames)
    if n_frames > options.crop_frames:
        first = rng.integers(0, n_frames - options.crop_frames + 1)
        places = places[first : first + options.crop_frames]
    before = np.floor(places).astype(int)
    share = (places - before)[:, None].astype(np.float32)
    after = np.minimum(before + 1, len(frames) - 1)
    return np.asarray(frames[before] * (1 - share) + frames[after] * share, dtype=np.float32)


def _mask(frames: NDArray[np.float32], n_mels: int, rng: np.random.Generator) -> None:
    """Flatten a few bands and fade a few frames, in place, each in somewhat over half the calls."""
    if rng.random() < 0.6:
        n_bands = min(int(rng.integers(1, 10)), n_mels - 1)
        first = int(rng.integers(0, n_mels - n_bands))
        frames[:, first : first + n_bands] = frames[:, :n_mels].mean()
    if rng.random() < 0.5:
        n_frames = int(rng.integers(1, max(2, len(frames) // 8)))
        first = int(rng.integers(0, len(frames) - n_frames + 1))
        frames[first : first + n_frames, :n_mels] -= 8.0
        frames[first : first + n_frames, n_mels:] *= 0.3
