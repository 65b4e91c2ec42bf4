"""Pitch, level and rate of voices whose values are known."""

import dataclasses
import math

import numpy as np
import pytest

from emocli.audio.prosody import describe_prosody
from emocli.networks.pitch import n_hops, track_pitch
from emocli.networks.prosody import frame_levels, prosody_frames, slopes

RATE = 16000
PITCHES = (66, 70, 77, 85, 100, 123.4, 150, 200, 251, 300, 333, 400, 450, 490)


def pulses(hz, seconds=1.0, rate=RATE):
    """A train of pulses without aliases: all harmonics below 0.45 of the rate."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = np.arange(1, int(0.45 * rate / hz) + 1)
    train = np.cos(2 * np.pi * hz * np.outer(harmonics, time)).sum(0)
    return (0.1 * train / train.std()).astype(np.float32)


def vowel(hz, seconds=1.0):
    """Pulses through the three formants of an open vowel."""
    spectrum = np.fft.rfft(pulses(hz, seconds))
    z = np.exp(2j * np.pi * np.fft.rfftfreq(round(seconds * RATE), 1 / RATE) / RATE)
    for centre, bandwidth in ((700, 130), (1220, 70), (2600, 160)):
        pole = np.exp((-np.pi * bandwidth + 2j * np.pi * centre) / RATE)
        spectrum /= (1 - pole / z) * (1 - pole.conjugate() / z)
    shaped = np.fft.irfft(spectrum)
    return (0.1 * shaped / shaped.std()).astype(np.float32)


def inside(track):
    """Pitches away from the ends, where half a frame is silence."""
    return track.hz[4:-4]


@pytest.mark.parametrize("hz", PITCHES)
@pytest.mark.parametrize("voice", [pulses, vowel])
def test_a_steady_pitch(voice, hz):
    found = inside(track_pitch(voice(hz), RATE))
    np.testing.assert_allclose(found, hz, rtol=1e-3)


@pytest.mark.parametrize("snr_db", [20, 10, 5])
@pytest.mark.parametrize("voice", [pulses, vowel])
def test_noise_causes_no_octave_errors(voice, snr_db, rng):
    n_frames = n_octave_errors = n_unvoiced = 0
    for hz in PITCHES:
        noise = rng.normal(0, 0.1 * 10 ** (-snr_db / 20), RATE)
        found = inside(track_pitch((voice(hz) + noise).astype(np.float32), RATE))
        octaves = np.abs(np.log2(found[np.isfinite(found)] / hz))
        n_frames += len(found)
        n_unvoiced += int(np.isnan(found).sum())
        n_octave_errors += int((octaves > 0.4).sum())
        assert np.nanmax(octaves) < 0.02
    assert (n_octave_errors, n_unvoiced) == (0, 0)
    assert n_frames == 14 * 92


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_the_sampling_rate_does_not_matter(rate):
    track = track_pitch(pulses(110, rate=rate), rate)
    assert len(track.hz) == 100
    np.testing.assert_allclose(inside(track), 110, rtol=1e-3)


def test_a_glide_is_followed():
    time = np.arange(2 * RATE) / RATE
    hz = 100 * 2**time  # 100 to 400 Hz
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    waveform = sum(np.cos(k * phase) / k for k in range(1, 9)).astype(np.float32)
    track = track_pitch(waveform, RATE)
    middles = 100 * 2 ** ((np.arange(200) + 0.5) / 100)
    np.testing.assert_allclose(inside(track), middles[4:-4], rtol=0.01)


def test_no_pitch_in_noise_silence_and_nothing(rng):
    noise = track_pitch(rng.normal(0, 0.1, RATE).astype(np.float32), RATE)
    assert noise.voiced.mean() < 0.1
    assert track_pitch(np.zeros(RATE, np.float32), RATE).voiced.sum() == 0
    assert track_pitch(np.full(RATE, 0.3, np.float32), RATE).voiced.sum() == 0
    assert len(track_pitch(np.zeros(0, np.float32), RATE).hz) == 0
    assert track_pitch(np.zeros(1, np.float32), RATE).hz.shape == (1,)


def test_pauses_have_no_pitch_and_the_level_does_not_matter():
    waveform = np.concatenate([pulses(120), np.zeros(RATE, np.float32), pulses(240)])
    track = track_pitch(waveform, RATE)
    quiet = track_pitch(waveform / 1000, RATE)
    np.testing.assert_allclose(quiet.hz, track.hz, rtol=1e-4)
    assert not track.voiced[104:196].any()
    np.testing.assert_allclose(track.hz[5:95], 120, rtol=1e-3)
    np.testing.assert_allclose(track.hz[205:295], 240, rtol=1e-3)


def test_blocks_of_frames_leave_no_seam():
    long = pulses(130, seconds=11.0)  # more than two blocks of 512 frames
    np.testing.assert_allclose(inside(track_pitch(long, RATE)), 130, rtol=1e-3)


def test_hops():
    assert [n_hops(n, RATE) for n in (0, 1, 160, 161, RATE)] == [0, 1, 1, 2, 100]
    assert n_hops(441 * 7, 44100) == 7


def test_statistics_of_a_voice():
    voiced = np.concatenate([pulses(110), pulses(220)])
    waveform = np.concatenate([np.zeros(RATE // 2, np.float32), voiced, np.zeros(8000, np.float32)])
    found = describe_prosody(waveform, RATE, "so we  meet again")
    assert found.duration_seconds == 3.0
    assert found.words_per_second == pytest.approx(4 / 3)
    assert found.peak == pytest.approx(np.abs(waveform).max())
    assert found.rms == pytest.approx(0.1 * math.sqrt(2 / 3), rel=1e-4)
    assert found.loudness_dbfs == pytest.approx(-20, abs=0.5)
    assert found.loudness_sd_db < 2
    assert found.pitch_low_hz == pytest.approx(110, rel=2e-3)
    assert found.pitch_high_hz == pytest.approx(220, rel=2e-3)
    assert found.pitch_range_hz == pytest.approx(110, rel=5e-3)
    assert 0.64 < found.voiced_share < 0.69
    louder = describe_prosody(waveform * 2, RATE)
    assert louder.loudness_dbfs - found.loudness_dbfs == pytest.approx(6.0206, abs=1e-3)
    assert louder.pitch_median_hz == pytest.approx(found.pitch_median_hz, rel=1e-5)
    assert math.isnan(louder.words_per_second)


def test_nothing_to_measure():
    silent = describe_prosody(np.zeros(RATE, np.float32), RATE, "")
    assert (silent.peak, silent.rms, silent.voiced_share, silent.words_per_second) == (0, 0, 0, 0)
    for name in ("loudness_dbfs", "loudness_sd_db", "pitch_median_hz", "pitch_range_hz"):
        assert math.isnan(getattr(silent, name))
    empty = dataclasses.asdict(describe_prosody(np.zeros(0, np.float32), RATE, "word"))
    assert empty.pop("duration_seconds") == 0
    assert all(math.isnan(value) for value in empty.values())


def test_levels():
    waveform = np.concatenate([np.full(160, 0.5), np.zeros(160), np.full(40, 1.0)])
    found = frame_levels(waveform.astype(np.float32), RATE)
    np.testing.assert_allclose(found, [20 * math.log10(0.5), -100, 0], atol=1e-6)
    assert frame_levels(waveform[:0].astype(np.float32), RATE).shape == (0,)


def test_frames_for_networks():
    waveform = np.concatenate([np.zeros(RATE, np.float32), pulses(200), np.zeros(1600, np.float32)])
    frames = prosody_frames(waveform, RATE)
    assert frames.shape == (210, 8)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames[:, 0], 1, atol=0.02)  # drawn through the silences
    assert frames[:, 1].sum() == pytest.approx(100, abs=3)
    np.testing.assert_allclose(frames[:90, 3], -100 / 60 + 1, atol=1e-6)
    np.testing.assert_allclose(frames[:90, 4:], 0, atol=1e-6)
    np.testing.assert_array_equal(prosody_frames(np.zeros(1600, np.float32), RATE)[:, :3], 0)
    assert prosody_frames(np.zeros(0, np.float32), RATE).shape == (0, 8)


def test_slopes_are_those_of_fitted_lines(rng):
    values = rng.normal(size=(9, 2))
    padded = np.pad(values, ((2, 2), (0, 0)), mode="edge")
    for frame in range(9):
        line = np.polyfit(np.arange(5), padded[frame : frame + 5], 1)
        np.testing.assert_allclose(slopes(values)[frame], line[0], atol=1e-12)
