"""Transcription with the published weights of Whisper base, beside the libraries themselves."""

from pathlib import Path

import faster_whisper
import jiwer
import numpy as np
import pytest
import soundfile
import whisper

from emocli.asr.load import Machine, load_transcriber
from emocli.pipeline.transcribe import transcribe
from emocli.transcript import TranscribeOptions

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
FILES = ("won", "letter")

# What openai-whisper does inside; a run keeps it quiet.
pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


@pytest.fixture(scope="module", params=["whisper-base.pt", "whisper-base-ct2", "whisper-base-hf"])
def checkpoint(request, weights_dir) -> Path:
    path = weights_dir / request.param
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def transcriber(checkpoint):
    return load_transcriber(str(checkpoint), Machine(device="cpu"))


def waveform(name: str) -> np.ndarray:
    return soundfile.read(SAMPLES / f"{name}.flac", dtype="float32")[0]


def by_the_library(checkpoint: Path, sound: np.ndarray) -> list[tuple[str, float, float]]:
    """Words with their times, from the library alone."""
    if checkpoint.suffix == ".pt":
        model = whisper.load_model(str(checkpoint), device="cpu")
        found = model.transcribe(sound, language="en", word_timestamps=True, fp16=False)
        words = [word for segment in found["segments"] for word in segment["words"]]
        return [(one["word"], float(one["start"]), float(one["end"])) for one in words]
    model = faster_whisper.WhisperModel(
        str(checkpoint), device="cpu", compute_type="float32", cpu_threads=1
    )
    segments, _ = model.transcribe(sound, language="en", word_timestamps=True, beam_size=1)
    return [(one.word, one.start, one.end) for segment in segments for one in segment.words]


def test_words_and_times_of_the_library(checkpoint, transcriber):
    sound = waveform("letter")
    ours = transcriber.transcribe(sound, TranscribeOptions(language="en", word_timestamps=True))
    theirs = by_the_library(checkpoint.with_name(checkpoint.name.replace("-hf", "-ct2")), sound)
    found = [(word.text, word.start, word.end) for one in ours.segments for word in one.words]
    assert found == theirs != []


def plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ")


def test_what_is_said(checkpoint):
    files = [SAMPLES / f"{name}.flac" for name in FILES]
    table = transcribe(files, str(checkpoint), device="cpu")
    said = [plain((SAMPLES / f"{name}.txt").read_text()) for name in FILES]
    assert jiwer.wer(said, [plain(text) for text in table["text"]]) <= 0.1
    assert table["language"].tolist() == ["en", "en"]
    assert table["dropped_text"].tolist() == ["", ""]


def test_translation_is_english(checkpoint, transcriber):
    options = TranscribeOptions(language="de", task="translate")
    found = transcriber.transcribe(waveform("letter"), options)
    assert "letter" in found.text.lower()


def test_nothing_is_invented(checkpoint, tmp_path):
    rng, seconds = np.random.default_rng(0), np.arange(3 * 16000) / 16000
    for level in (0.003, 0.1):
        soundfile.write(tmp_path / f"{level}.wav", level * rng.standard_normal(48000), 16000)
    soundfile.write(tmp_path / "hum.wav", 0.1 * np.sign(np.sin(314 * seconds)), 16000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(48000), 16000)
    table = transcribe(tmp_path, str(checkpoint), device="cpu", language="en")
    assert table["text"].tolist() == [""] * 4
    assert all("no speech" in note for note in table["note"])
