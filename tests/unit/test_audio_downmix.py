"""Channels are mixed so that nothing said is lost."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import fftconvolve, lfilter

from emocli.audio import sndfile
from emocli.audio.decode import Selection, read_waveform
from emocli.audio.downmix import Downmix, coherence, in_phase_channels
from emocli.errors import AudioError

RATE = 16000


def voice(seed, seconds=6.0, level=0.1):
    """Noise with the spectrum and the syllables of a voice."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    colored = lfilter([1.0], [1.0, -0.95], rng.standard_normal(n))
    syllables = np.clip(np.sin(2 * np.pi * (2 + seed % 3) * np.arange(n) / RATE + seed), 0, 1)
    wave = colored * syllables
    return (level * wave / wave.std()).astype(np.float32)


def room(wave, delay, seed):
    """A voice as a microphone of a room hears it."""
    rng = np.random.default_rng(seed)
    n = round(0.4 * RATE)
    response = np.zeros(n + delay)
    response[delay:] = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    response *= 0.7 / np.sqrt(np.square(response).sum())
    response[delay] = 1.0
    return fftconvolve(wave, response)[: len(wave)].astype(np.float32)


def delayed(wave, n):
    return np.concatenate([np.zeros(n, np.float32), wave])[: len(wave)]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*channels, **options):
    soundfile.write("a.wav", np.stack(channels, axis=1), RATE, subtype="FLOAT")
    return read_waveform("a.wav", RATE, **options)


A, B = voice(1), voice(2)


@pytest.mark.parametrize(
    "channels",
    [
        (A, A),
        (A, 0.3 * A),
        (A, np.zeros_like(A)),  # one side is silent
        (A, B),  # two speakers, each on a side
        (A, -0.2 * A),  # too soft to take anything away
        (A, A, A, B),
        (np.zeros_like(A), np.zeros_like(A)),
    ],
)
def test_channels_that_add_up_are_averaged(channels):
    found = read(*channels)
    np.testing.assert_allclose(found.samples, np.mean(channels, axis=0), atol=1e-7)
    assert [remark for remark in found.remarks if "channel" in remark] == []


@pytest.mark.parametrize(
    ("channels", "heard"),
    [
        ((A, -A), 0),
        ((0.5 * A, -A), 1),
        ((A, delayed(0.9 * A, 80)), 0),  # 5 ms, or 1.7 m further
        ((room(0.8 * A, 10, 3), room(A, 90, 4)), 1),
    ],
)
def test_channels_that_cancel_are_not(channels, heard):
    found = read(*channels)
    np.testing.assert_array_equal(found.samples, channels[heard])
    assert found.remarks == (f"channels cancel each other, heard is number {heard + 1}",)


def test_only_what_cancels_is_left_out():
    found = read(A, B, -0.9 * A)
    np.testing.assert_allclose(found.samples, (A + B) / 2, atol=1e-7)
    assert found.remarks == ("channels cancel each other, heard is number 1 and 2",)


def test_a_cable_that_is_swapped_halfway():
    other = np.concatenate([A[: 4 * RATE], -A[4 * RATE :]])
    found = read(A, other)
    faded = np.arange(len(A)) // round(0.02 * RATE) == 4 / 0.02
    np.testing.assert_allclose(found.samples[~faded], A[~faded], atol=1e-6)
    assert found.remarks == (
        "channels cancel each other in 2.0 of 6.0 s, heard is the louder one there",
    )


def test_two_speakers_on_two_sides_are_both_heard_however_long_one_waits():
    left = np.concatenate([A, np.zeros_like(A)])
    right = np.concatenate([np.zeros_like(A), B])
    np.testing.assert_allclose(read(left, right).samples, (left + right) / 2, atol=1e-7)


def test_a_recording_too_short_to_tell_much():
    found = read(A[:400], -A[:400])
    np.testing.assert_array_equal(found.samples, A[:400])
    assert read(A[:1], -A[:1]).duration == 1 / RATE


@pytest.mark.parametrize("block", [1000, 77777])
def test_neither_blocks_nor_segments_change_what_is_heard(monkeypatch, block):
    channels = (np.concatenate([A, A, A]), np.concatenate([A, -A, delayed(A, 100)]))
    whole = read(*channels).samples
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", block)
    np.testing.assert_array_equal(read(*channels).samples, whole)
    part = read(*channels, start=3.0, stop=11.0).samples
    np.testing.assert_array_equal(part[2000:], whole[3 * RATE + 2000 : 11 * RATE])


def test_a_change_of_channels_is_faded():
    tone = np.sin(2 * np.pi * 100 * np.arange(8 * RATE) / RATE).astype(np.float32)
    other = np.concatenate([np.zeros(4 * RATE, np.float32), -tone[4 * RATE :]])
    found = read(tone, other).samples
    assert np.abs(np.diff(found)).max() < 0.06  # a jump would be 0.5


@pytest.mark.parametrize("channel", [1, 2, 3])
def test_one_channel(channel):
    channels = (A, -A, B)
    found = read(*channels, selection=Selection(channel=channel))
    np.testing.assert_array_equal(found.samples, channels[channel - 1])
    assert found.remarks == ()


def test_a_channel_that_is_not_there():
    with pytest.raises(AudioError) as error:
        read(A, B, selection=Selection(channel=3))
    assert str(error.value) == ("a.wav: no channel 3, expected 1 to 2. Choose another --channel.")
    with pytest.raises(AudioError, match=r"no channel 2, expected 1\. Choose"):
        read(A, selection=Selection(channel=2))


def test_coherence_of_what_is_the_same_and_of_what_is_not():
    assert coherence(A, A, RATE) == pytest.approx((1.0, 1.0))
    assert coherence(A, -A, RATE) == pytest.approx((1.0, -1.0))
    assert coherence(A, B, RATE)[0] < 0.2
    assert coherence(A[:1], A[:1], RATE) == (0.0, 0.0)
    assert coherence(np.zeros(999, np.float32), A[:999], RATE) == (0.0, 0.0)


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=5), st.integers(100, 3000))
def test_the_loudest_channel_is_always_heard(gains, n_frames):
    frames = A[:n_frames, np.newaxis] * np.array(gains, np.float32)
    kept = in_phase_channels(frames, RATE)
    loudest = int(np.argmax(np.abs(gains)))
    mixed = frames.mean(axis=1) if kept is None else frames[:, list(kept)].mean(axis=1)
    assert kept is None or loudest in kept
    assert np.abs(mixed).max() >= 0.3 * np.abs(frames[:, loudest]).max() / len(gains) - 1e-7


def test_nothing_is_mixed_to_nothing():
    assert list(Downmix("a", RATE, 0, None).mixed([])) == []
