"""Where somebody speaks, by Silero's network and by level."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import needs_silero

from emocli.audio import voice_activity
from emocli.audio.decode import read_waveform
from emocli.errors import MissingDependency

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


@needs_silero
def test_the_network_is_silero_s(speech):
    silero = pytest.importorskip("silero_vad")
    import torch

    n_threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit\.load", DeprecationWarning)
        references = {1e-6: silero.load_silero_vad(onnx=True), 1e-4: silero.load_silero_vad()}
    torch.set_num_threads(n_threads)
    found = voice_activity.speech_probabilities(speech)
    padded = np.pad(speech, (0, -len(speech) % 512))
    for tolerance, reference in references.items():
        with torch.no_grad():
            expected = [
                reference(torch.from_numpy(frame), 16000).item()
                for frame in padded.reshape(-1, 512)
            ]
        np.testing.assert_allclose(found, expected, atol=tolerance)


@needs_silero
def test_long_recordings_are_heard_piece_by_piece(speech, monkeypatch):
    whole = voice_activity.speech_probabilities(speech)
    monkeypatch.setattr(voice_activity, "FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(voice_activity.speech_probabilities(speech), whole, atol=1e-6)


@needs_silero
def test_speech_in_the_middle_is_found(speech):
    second = np.zeros(16000, dtype=np.float32)
    found = voice_activity.speech_by_silero(np.concatenate([second, speech, second]))
    assert 0.8 < found[0][0] < 1.6
    assert len(speech) / 16000 < found[-1][1] < len(speech) / 16000 + 1.3


@needs_silero
@pytest.mark.parametrize("name", list(sounds()))
def test_what_is_no_speech(name):
    assert voice_activity.speech_by_silero(sounds()[name].astype(np.float32)) == ()


@needs_silero
@pytest.mark.data
def test_real_speech_is_found(data_dir):
    waveform = read_waveform(data_dir / "jfk.flac").samples
    found = voice_activity.speech_by_silero(waveform)
    assert [round(start) for start, _ in found] == [0, 3, 5, 8]  # the four phrases of his sentence
    for path in sorted(data_dir.glob("librispeech/**/*.flac"))[:20]:
        assert voice_activity.speech_by_silero(read_waveform(path).samples)


def test_energy_tells_sound_from_silence():
    second = np.zeros(16000)
    sound = np.concatenate([second, sounds()["tone"], second]).astype(np.float32)
    ((start, end),) = voice_activity.speech_by_energy(sound)
    assert start == pytest.approx(1.0 - 0.1, abs=0.04)
    assert end == pytest.approx(4.0 + 0.1, abs=0.04)
    faint = (1e-4 * sounds()["noise"]).astype(np.float32)
    assert voice_activity.speech_by_energy(faint) == ()


def test_a_constant_is_no_sound():
    assert voice_activity.speech_by_energy(np.full(16000, 0.5, dtype=np.float32)) == ()
    assert voice_activity.is_digital_silence(np.full(16000, 0.5, dtype=np.float32))
    assert not voice_activity.is_digital_silence(np.array([0, 1e-9], dtype=np.float32))


def test_nothing_at_all():
    nothing = np.empty(0, dtype=np.float32)
    assert voice_activity.speech_by_energy(nothing) == ()
    assert voice_activity.is_digital_silence(nothing)
    assert len(voice_activity.speech_probabilities(nothing)) == 0


def test_short_pauses_and_blips():
    frames = np.array([0.9] * 10 + [0.1] * 5 + [0.9] * 10 + [0.1] * 20 + [0.9] * 2 + [0.1] * 10)
    found = voice_activity._stretches(frames, 0.5, 0.35, len(frames) * 512)
    assert found == ((0.0, pytest.approx(25 * 0.032 + 0.1)),)


def test_speech_goes_on_above_the_lower_threshold():
    frames = np.array([0.4] * 5 + [0.6] + [0.4] * 9 + [0.3])
    found = voice_activity._stretches(frames, 0.5, 0.35, len(frames) * 512)
    assert found == ((pytest.approx(5 * 0.032 - 0.1), pytest.approx(15 * 0.032 + 0.032)),)


def test_detectors_by_name(monkeypatch):
    assert voice_activity.find_detector("off") is None
    assert voice_activity.find_detector("energy") is voice_activity.speech_by_energy
    monkeypatch.setattr(voice_activity, "_silero_file", lambda: Path("here"))
    assert voice_activity.find_detector() is voice_activity.speech_by_silero
    monkeypatch.setattr(voice_activity, "_silero_file", lambda: None)
    assert voice_activity.find_detector() is voice_activity.speech_by_energy
    with pytest.raises(MissingDependency) as error:
        voice_activity.find_detector("silero")
    assert str(error.value) == (
        "Voice activity by silero needs the packages silero-vad (6.2.2 or later) and "
        "onnxruntime, which are not both installed. Run `pip install 'emocli[vad]'`, or choose "
        "--vad energy."
    )
