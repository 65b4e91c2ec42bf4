"""Where somebody speaks, by Silero's network."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emocli.audio.decode import read_waveform
from emocli.audio.voice_activity import find_speech, has_sound, is_digital_silence

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SECONDS = np.arange(16000 * 3) / 16000


@pytest.fixture(scope="module")
def speech():
    samples, _ = soundfile.read(SAMPLES / "won.flac", dtype="float32")
    return samples


def sounds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    chord = sum(np.sin(2 * np.pi * pitch * SECONDS) for pitch in (220.0, 277.2, 329.6))
    return {
        "silence": np.zeros_like(SECONDS),
        "noise": 0.1 * rng.standard_normal(len(SECONDS)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * SECONDS),
        "chord": 0.1 * chord * np.exp(-SECONDS),
        "hum": 0.2 * np.sign(np.sin(2 * np.pi * 50 * SECONDS)),
    }


def test_speech_in_the_middle_is_found(speech):
    second = np.zeros(16000, dtype=np.float32)
    found = find_speech(np.concatenate([second, speech, second]))
    assert 0.8 < found[0][0] < 1.6
    assert len(speech) / 16000 < found[-1][1] < len(speech) / 16000 + 1.3


@pytest.mark.parametrize("name", list(sounds()))
def test_what_is_no_speech(name):
    assert find_speech(sounds()[name].astype(np.float32)) == ()


@pytest.mark.data
def test_real_speech_is_found(data_dir):
    waveform = read_waveform(data_dir / "jfk.flac").samples
    found = find_speech(waveform)
    assert [round(start) for start, _ in found] == [0, 3, 5, 8]  # the four phrases of his sentence
    for path in sorted(data_dir.glob("librispeech/**/*.flac"))[:20]:
        assert find_speech(read_waveform(path).samples)


@pytest.mark.parametrize(
    ("waveform", "sounding"),
    [
        (0.1 * sounds()["tone"], True),
        (np.concatenate([np.zeros(16000), 0.05 * sounds()["noise"][:512]]), True),
        (1e-3 * sounds()["noise"], False),
        (np.full(700, 0.5), False),
        (np.empty(0), False),
    ],
)
def test_sound_is_above_60_dbfs(waveform, sounding):
    assert has_sound(waveform.astype(np.float32)) is sounding


def test_a_constant_is_digital_silence():
    assert is_digital_silence(np.full(16000, 0.5, dtype=np.float32))
    assert not is_digital_silence(np.array([0, 1e-9], dtype=np.float32))
    assert is_digital_silence(np.empty(0, dtype=np.float32))
    assert find_speech(np.empty(0, dtype=np.float32)) == ()
