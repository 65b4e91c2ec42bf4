"""Windows that lie where somebody speaks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import FakeRecognizer, sounding, tone

from emocli.audio.speech_windows import cut_speech, speech_bounds
from emocli.audio.windows import plan_windows
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.predict import PredictionRun
from emocli.pipeline.scoring import PredictOptions
from emocli.pipeline.voice import VoiceActivity


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recording(*seconds):
    """Tones and silences in turn, a tone first."""
    parts = [
        tone(length) if index % 2 == 0 else np.zeros(round(length * 16000), np.float32)
        for index, length in enumerate(seconds)
    ]
    return np.concatenate(parts)


def rows_of(path, *recognizers, **options):
    voice = VoiceActivity(sounding)
    chosen = PredictOptions(voice=voice, **options)
    models = recognizers or (FakeRecognizer(),)
    return [
        row
        for block in PredictionRun(read_inputs(path), models, chosen).blocks()
        for _, found in block
        for row in found
    ], voice


def test_short_pauses_are_part_of_speech():
    waveform = recording(1.0, 0.6, 1.0, 1.2, 1.0)
    bounds = np.array(speech_bounds(waveform, 16000, sounding)) / 16000
    # Speech is padded by 0.1 s, so a pause of 0.6 s is 0.4 s long, and found to a frame of 32 ms.
    np.testing.assert_allclose(bounds, [[0, 2.7], [3.7, 4.8]], atol=0.033)
    assert speech_bounds(np.empty(0, np.float32), 16000, sounding) == []


def test_other_rates():
    waveform = np.repeat(recording(1.0, 1.2, 1.0), 3)
    bounds = np.array(speech_bounds(waveform, 48000, sounding)) / 48000
    np.testing.assert_allclose(bounds, [[0, 1.1], [2.1, 3.2]], atol=0.033)


def test_windows_lie_in_speech():
    soundfile.write("a.flac", recording(5.0, 3.0, 1.0, 2.0), 16000)
    rows, voice = rows_of("a.flac", windows=True, window_seconds=2.0)
    times = [(row["start"], row["end"]) for row in rows]
    np.testing.assert_allclose(times, [(0, 2), (2, 4), (4, 5.1), (7.9, 9.1)], atol=0.04)
    assert all(row["label"] for row in rows)
    total, left_out = voice.seconds["a.flac"]
    assert total == 11.0
    assert left_out == pytest.approx(11 - 5.1 - 1.2, abs=0.08)


def test_windows_that_overlap_count_once():
    voice = VoiceActivity(sounding)
    voice.count("a", 10.0, [(1, 5), (3, 7), (8, 9)])
    voice.count("a", 2.0, [])
    assert voice.seconds == {"a": (12.0, 5.0)}
    assert voice.sentence() == ("Voice activity: 5.0 of 12.0 s without speech were left out.")
    assert voice.details() == ["a: 5.0 of 12.0 s without speech were left out."]


@pytest.mark.parametrize("windows", [True, False])
def test_a_recording_without_speech_has_a_row_that_says_so(windows):
    soundfile.write("a.wav", np.zeros(32000), 16000)
    (row,), voice = rows_of("a.wav", windows=windows)
    assert (row["start"], row["end"], row["label"], row["error"]) == (0, 2, "", "")
    assert row["note"] == "digital silence; no speech"
    assert np.isnan(row["p_sad"])
    assert voice.seconds == {"a.wav": (2.0, 2.0)}


def test_without_windows_the_mean_is_that_of_speech():
    soundfile.write("a.wav", recording(2.0, 8.0), 16000, subtype="FLOAT")
    (row,), _ = rows_of("a.wav")
    assert (row["start"], row["end"]) == (0, 10)
    soundfile.write("b.wav", recording(2.0, 8.0)[: round(2.1 * 16000)], 16000, subtype="FLOAT")
    (alone,), _ = rows_of("b.wav")
    assert row["p_angry"] == pytest.approx(alone["p_angry"], abs=2e-3)


def test_several_models_hear_the_same_windows():
    soundfile.write("a.wav", recording(2.0, 2.0, 2.0), 16000)
    rows, voice = rows_of("a.wav", FakeRecognizer(), FakeRecognizer(name="b"), windows=True)
    assert [row["model"] for row in rows] == ["fake", "fake", "b", "b"]
    assert voice.seconds["a.wav"][1] == pytest.approx(1.8, abs=0.07)


def test_a_broken_recording_is_not_counted():
    Path("a.wav").write_bytes(b"")
    (row,), voice = rows_of("a.wav", windows=True)
    assert row["error"].startswith("a.wav: empty")
    assert voice.seconds == {}


def test_speech_goes_on_across_stretches():
    waveform = recording(30.0, 2.0, 7.3)
    plan = plan_windows(16000, window_seconds=3.0)
    blocks = np.array_split(waveform, 17)
    whole = list(cut_speech(blocks, plan, 16000, sounding))
    parts = list(cut_speech(blocks, plan, 16000, sounding, stretch_seconds=12.0))
    times = [[(a / 16000, len(b) / 16000) for a, b in found] for found in (whole, parts)]
    np.testing.assert_allclose(times[0], times[1], atol=0.04)
    assert len(whole) == 11 + 3
