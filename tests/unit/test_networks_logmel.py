import numpy as np
import pytest
import torch

from emocli.networks.logmel import (
    FrontEndConfig,
    LogMelPitch,
    loud_span,
    mel_filters,
    pad_frames,
    pitch_filters,
)

CONFIG = FrontEndConfig()
SECOND = 16000


@pytest.fixture(scope="module")
def front_end():
    return LogMelPitch(CONFIG)


def tone(hz, seconds=1.0, level=0.3):
    time = np.arange(int(seconds * SECOND)) / SECOND
    harmonics = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 8))
    return torch.from_numpy((level * harmonics).astype(np.float32))


def test_frames_are_as_many_as_windows_fit(front_end):
    frames = front_end(tone(150))
    assert frames.shape == (1 + (SECOND - 512) // 256, 64 + 48)
    assert CONFIG.frames_per_second == 62.5


def test_mel_filters_sum_to_one_and_rise_with_frequency():
    filters = mel_filters(CONFIG)
    assert filters.sum(0) == pytest.approx(np.ones(64), abs=1e-6)
    centres = (np.arange(257)[:, None] * filters).sum(0)
    assert (np.diff(centres) >= 0).all()


@pytest.mark.parametrize("hz", [90.0, 140.0, 220.0, 400.0])
def test_periodicity_peaks_at_the_pitch(front_end, hz):
    periodicity = front_end(tone(hz))[:, 64:].mean(0)
    found = CONFIG.pitches_semitones[int(periodicity.argmax())]
    assert found == pytest.approx(12 * np.log2(hz / 100), abs=0.8)


def test_periodicity_at_lag_zero_would_be_one():
    cosines, weights = pitch_filters(FrontEndConfig(highest_pitch_hz=1e9, n_pitches=2))
    assert cosines[:, 1] == pytest.approx(weights, abs=1e-4)


def test_level_and_offset_do_not_reach_the_frames(front_end, rng):
    waveform = tone(150) + torch.from_numpy(rng.normal(0, 0.01, SECOND).astype(np.float32))
    loud, soft = front_end(waveform), front_end(waveform * 0.01 + 0.2)
    assert torch.allclose(loud, soft, atol=2e-2)


def test_a_waveform_without_sound_has_no_frames(front_end):
    for silent in (torch.zeros(SECOND), torch.full((SECOND,), 0.5), torch.zeros(0)):
        assert front_end(silent).shape == (0, 112)


def test_a_waveform_shorter_than_a_window_has_one_frame(front_end):
    assert front_end(tone(150, seconds=0.01)).shape == (1, 112)


def test_silence_around_speech_is_cut_with_a_margin(front_end):
    padded = torch.cat([torch.zeros(SECOND), tone(150), torch.zeros(SECOND)])
    assert len(front_end(padded)) == pytest.approx(len(front_end(tone(150))) + 6, abs=3)


def test_loud_span_of_one_frame():
    assert loud_span(torch.ones(1, 512)) == (0, 1)


def test_pad_frames_marks_what_is_there():
    frames, valid = pad_frames([torch.ones(2, 3), torch.ones(4, 3)])
    assert frames.shape == (2, 4, 3)
    assert valid.tolist() == [[True, True, False, False], [True] * 4]
    assert frames[0, 2:].abs().sum() == 0
