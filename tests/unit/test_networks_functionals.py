import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from emocli.networks.contours import (
    MIN_PERIODICITY,
    contours,
    cosine_basis,
    masked_moments,
    masked_quantile,
    normalize_bands,
    peak_pitch,
)
from emocli.networks.functionals import N_FUNCTIONALS, Functionals, statistics
from emocli.networks.logmel import FrontEndConfig, LogMelPitch, ideal_periodicity, pad_frames

CONFIG = FrontEndConfig()


@pytest.fixture(scope="module")
def functionals():
    return Functionals(CONFIG)


def voice(rng, n_frames):
    energies = rng.normal(-3, 2, (n_frames, 64))
    periodicity = rng.uniform(0, 0.9, (n_frames, 48))
    return torch.from_numpy(np.concatenate([energies, periodicity], 1).astype(np.float32))


def test_functionals_do_not_depend_on_padding(functionals, rng):
    utterances = [voice(rng, n) for n in (30, 47, 80)]
    together = functionals(*pad_frames(utterances))
    assert together.shape == (3, N_FUNCTIONALS)
    for index, frames in enumerate(utterances):
        alone = functionals(*pad_frames([frames]))[0]
        assert torch.allclose(alone, together[index], atol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5])
def test_functionals_of_a_moment_are_finite(functionals, rng, n_frames):
    found = functionals(*pad_frames([voice(rng, n_frames)]))
    assert torch.isfinite(found).all()


def test_functionals_of_frames_without_voice_are_finite(functionals):
    frames = torch.zeros(40, 112)
    assert torch.isfinite(functionals(*pad_frames([frames]))).all()


def test_pitch_of_a_glide_rises(functionals):
    time = np.arange(16000) / 16000
    phase = 2 * np.pi * (120 * time + 30 * time**2)  # 120 to 180 Hz
    waveform = sum(np.sin(k * phase) / k for k in range(1, 8)).astype(np.float32)
    frames = LogMelPitch(CONFIG)(torch.from_numpy(waveform))
    pitch, strength, inside = peak_pitch(
        frames[None, :, 64:],
        torch.ones(1, len(frames), dtype=torch.bool),
        torch.from_numpy(CONFIG.pitches_semitones),
        torch.from_numpy(ideal_periodicity(CONFIG)),
    )
    assert inside.all()
    assert strength.min() > 0.6
    expected = 12 * np.log2((120 + 60 * (256 * np.arange(61) + 256) / 16000) / 100)
    assert pitch[0].numpy() == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("hertz", [85, 90, 110, 150, 200, 300])
def test_low_and_high_voices_count_as_voiced(hertz, rng):
    pulses = np.diff(np.floor(np.arange(16001) * hertz / 16000)) > 0
    waveform = lfilter([1], [1, -0.95], pulses.astype(float))
    for formant, bandwidth in ((600, 80), (1200, 100), (2500, 150)):
        radius = np.exp(-np.pi * bandwidth / 16000)
        turn = 2 * radius * np.cos(2 * np.pi * formant / 16000)
        waveform = lfilter([1], [1, -turn, radius**2], waveform)
    waveform += 0.03 * waveform.std() * rng.normal(size=16000)
    frames = LogMelPitch(CONFIG)(torch.from_numpy(waveform.astype(np.float32)))
    found = contours(
        frames[None, :, :64],
        frames[None, :, 64:],
        torch.ones(1, len(frames), dtype=torch.bool),
        torch.from_numpy(CONFIG.pitches_semitones),
        torch.from_numpy(ideal_periodicity(CONFIG)),
    )
    assert found.voiced.float().mean() > 0.95
    semitones = 12 * np.log2(hertz / 100)
    assert found.pitch[0].median().item() == pytest.approx(semitones, abs=0.3)


def test_noise_counts_as_unvoiced(rng):
    frames = LogMelPitch(CONFIG)(torch.from_numpy(rng.normal(size=16000).astype(np.float32)))
    _, strength, _ = peak_pitch(
        frames[None, :, 64:],
        torch.ones(1, len(frames), dtype=torch.bool),
        torch.from_numpy(CONFIG.pitches_semitones),
        torch.from_numpy(ideal_periodicity(CONFIG)),
    )
    assert (strength > MIN_PERIODICITY).float().mean() < 0.02


def test_a_pulse_train_has_the_ideal_periodicity():
    pitch = 40  # a lag whose period is no whole number of samples
    hertz = np.geomspace(62, 520, 48)[pitch]
    seconds = np.arange(16000) / 16000
    pulses = sum(np.cos(2 * np.pi * k * hertz * seconds) for k in range(1, int(7600 / hertz) + 1))
    frames = LogMelPitch(CONFIG)(torch.from_numpy(pulses.astype(np.float32)))
    expected = ideal_periodicity(CONFIG)[pitch]
    assert frames[:, 64 + pitch].mean().item() == pytest.approx(expected, abs=0.01)


def test_statistics_agree_with_numpy(rng):
    values = rng.normal(0, 1, (2, 11, 3)).astype(np.float32)
    mask = np.ones((2, 11), bool)
    mask[1, 6:] = False
    found = statistics(torch.from_numpy(values), torch.from_numpy(mask))
    own = values[1, :6]
    ordered = np.sort(own, 0)
    expected = [
        own.mean(0),
        own.std(0),
        ordered[2],
        ordered[4] - ordered[0],
        ordered[3] - ordered[1],
        ((own - own.mean(0)) ** 3).mean(0) / (own.std(0) + 1e-3) ** 3,
    ]
    for one, other in zip(found, expected, strict=True):
        assert one[1].numpy() == pytest.approx(other, abs=1e-5)


def test_statistics_of_no_frames_are_zero():
    values, mask = torch.ones(1, 4, 2), torch.zeros(1, 4, dtype=torch.bool)
    mean, deviation = masked_moments(values, mask)
    assert (mean.tolist(), deviation.tolist()) == ([[0.0, 0.0]], [[0.0, 0.0]])
    assert masked_quantile(values, mask, (0.5,))[0].tolist() == [[0.0, 0.0]]


def test_quantiles_have_gradients_where_they_are_asked_for():
    values = torch.tensor([[[4.0], [1.0], [3.0], [9.0]]], requires_grad=True)
    mask = torch.tensor([[True, True, True, False]])
    (median,) = masked_quantile(values, mask, (0.5,))
    assert median.tolist() == [[3.0]] == masked_quantile(values.detach(), mask, (0.5,))[0].tolist()
    median.sum().backward()
    assert values.grad.flatten().tolist() == [0, 0, 1, 0]


def test_cosine_basis_is_orthonormal():
    basis = cosine_basis(64)
    assert torch.allclose(basis.T @ basis, torch.eye(14), atol=1e-5)


def test_normalized_bands_forget_a_filter(rng):
    spectrum = torch.from_numpy(rng.normal(0, 3, (1, 50, 64)).astype(np.float32))
    loud = torch.ones(1, 50, dtype=torch.bool)
    tilt = torch.linspace(-5, 5, 64)
    assert torch.allclose(
        normalize_bands(spectrum, loud), normalize_bands(spectrum + tilt, loud), atol=1e-4
    )
