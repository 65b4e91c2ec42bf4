"""Whisper by openai-whisper: its own text, except where every temperature fails."""

import checkpoints
import numpy as np
import pytest
import soundfile
import torch
import whisper
import whisper_checkpoints
from whisper.decoding import DecodingOptions, DecodingResult

from emocli.asr.load import Machine, load_transcriber
from emocli.asr.openai import Network
from emocli.asr.transcriber import Abandoned
from emocli.errors import ModelError
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.transcribe import TranscriptionRun
from emocli.transcript import TranscribeOptions

# What the library does inside; a run keeps it quiet, see `Transcriber.shared`.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

GREEDY = {
    "temperatures": (0.0,),
    "no_speech_threshold": 1.0,
    "logprob_threshold": -99.0,
    "compression_ratio_threshold": 99.0,
}


def load(path, **facts):
    return load_transcriber(str(path), Machine(device="cpu", **facts))


@pytest.fixture(scope="module")
def pt(tmp_path_factory):
    return whisper_checkpoints.write_openai(tmp_path_factory.mktemp("openai") / "random.pt")


@pytest.fixture(scope="module")
def transcriber(pt):
    return load(pt)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(16000 * 35)).astype(np.float32)


def by_the_library(waveform, n_vocabulary=whisper_checkpoints.N_VOCABULARY, **options):
    """The segments of openai-whisper, without those that it emptied."""
    options["temperature"] = options.pop("temperatures", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))
    network = whisper_checkpoints.network(n_vocabulary)
    found = whisper.transcribe(network, waveform, fp16=False, **options)
    return found["language"], [one for one in found["segments"] if one["text"].strip()]


@pytest.fixture
def plain_alignment(monkeypatch):
    """Compiling the library's alignment takes longer than aligning a few words without it."""
    for name in ("dtw_cpu", "backtrace"):
        monkeypatch.setattr(whisper.timing, name, getattr(whisper.timing, name).py_func)


CASES = {
    "detected": GREEDY,
    "beams and prompt": {"beam_size": 3, "initial_prompt": "Anna and Ola", **GREEDY},
    "translate": {"task": "translate", "language": "pl", **GREEDY},
    "unconditioned": {"condition_on_previous_text": False, "language": "pl", **GREEDY},
    "words": {"word_timestamps": True, "language": "pl", **GREEDY},
    "silence": {"no_speech_threshold": 0.0, "logprob_threshold": -4.0},
}


@pytest.mark.usefixtures("plain_alignment")
@pytest.mark.parametrize("name", list(CASES))
def test_the_segments_of_the_library(transcriber, noise, name):
    options = CASES[name]
    waveform = noise if name in ("detected", "unconditioned") else noise[:16000]
    ours = transcriber.transcribe(waveform, TranscribeOptions(**options))
    language, theirs = by_the_library(waveform, **options)
    assert ours.language == language
    assert len(ours.segments) == len(theirs)
    assert bool(theirs) == (name != "silence")
    for own, other in zip(ours.segments, theirs, strict=True):
        assert (own.text, own.start, own.end) == (other["text"], other["start"], other["end"])
        assert own.avg_logprob == pytest.approx(other["avg_logprob"], abs=1e-6)
        assert own.no_speech_prob == pytest.approx(other["no_speech_prob"], abs=1e-7)
        assert own.compression_ratio == other["compression_ratio"]
        assert own.n_tokens == sum(token < 50257 for token in other["tokens"])
        assert [(one.text, one.start, one.end, one.probability) for one in own.words] == [
            (one["word"], one["start"], one["end"], one["probability"])
            for one in other.get("words", ())
        ]


def test_an_english_model(tmp_path, noise):
    path = whisper_checkpoints.write_openai(tmp_path / "any.pt", whisper_checkpoints.N_ENGLISH)
    transcriber = load(path)
    assert transcriber.languages == ("en",)
    ours = transcriber.transcribe(noise[:16000], TranscribeOptions(**GREEDY))
    language, theirs = by_the_library(noise[:16000], whisper_checkpoints.N_ENGLISH, **GREEDY)
    assert (ours.language, language) == ("en", "en")
    assert [one.text for one in ours.segments] == [one["text"] for one in theirs] != []
    with pytest.raises(ModelError) as error:
        transcriber.check(TranscribeOptions(language="pl"))
    assert str(error.value) == (
        f"{path} knows English only, asked for polish. Choose a model without .en in its name."
    )
    with pytest.raises(ModelError, match="knows English only, asked for translate"):
        transcriber.check(TranscribeOptions(task="translate"))


def test_a_language_that_the_model_does_not_know(transcriber):
    transcriber.check(TranscribeOptions(language="pl"))
    with pytest.raises(ModelError) as error:
        transcriber.check(TranscribeOptions(language="yue"))
    assert str(error.value) == (
        f"{transcriber.card.name} knows 99 languages, and cantonese is not one of them. "
        f"Choose another model, or leave the language out."
    )


def decoded(logprob, ratio=1.0, no_speech=0.0):
    return DecodingResult(
        None, "en", avg_logprob=logprob, compression_ratio=ratio, no_speech_prob=no_speech
    )


@pytest.mark.parametrize(
    ("results", "kept"),
    [
        # As openai-whisper: the first that passes, and silence.
        ({0.0: decoded(-0.5), 0.5: None, 1.0: None}, -0.5),
        ({0.0: decoded(-1.2), 0.5: decoded(-0.9), 1.0: None}, -0.9),
        ({0.0: decoded(-1.2), 0.5: decoded(-1.3), 1.0: decoded(-0.7)}, -0.7),
        # All fail: the most probable of those that do not repeat themselves, then of all.
        ({0.0: decoded(-1.2), 0.5: decoded(-3.0), 1.0: decoded(-4.45)}, -1.2),
        ({0.0: decoded(-0.1, 9.0), 0.5: decoded(-3.0), 1.0: decoded(-4.45)}, -3.0),
        ({0.0: decoded(-0.1, 9.0), 0.5: decoded(-0.3, 5.0), 1.0: decoded(-0.2, 3.0)}, -0.1),
    ],
)
def test_the_most_probable_text_is_kept(monkeypatch, results, kept):
    answers = dict(results)
    monkeypatch.setattr(
        whisper.model.Whisper, "decode", lambda self, mel, options: answers[options.temperature]
    )
    network = Network(whisper_checkpoints.network().dims)
    network.begin(TranscribeOptions(temperatures=tuple(results)), lambda seconds: None)
    mel = torch.zeros(80, 3000)
    for temperature in results:
        found = network.decode(mel, DecodingOptions(temperature=temperature))
        if found.avg_logprob >= -1.0 and found.compression_ratio <= 2.4:
            break
    assert found.avg_logprob == kept
    if temperature == 1.0 and kept != -0.7:
        assert found.temperature == 1.0  # resets the prompt of the next window


def test_a_window_is_encoded_once_for_all_temperatures(pt, noise, monkeypatch):
    encoded = []
    forward = whisper.model.AudioEncoder.forward
    monkeypatch.setattr(
        whisper.model.AudioEncoder,
        "forward",
        lambda self, mel: encoded.append(len(mel)) or forward(self, mel),
    )
    failing = {**GREEDY, "temperatures": (0.0, 0.4), "logprob_threshold": 0.0}
    reached = []
    options = TranscribeOptions(language="en", **failing)
    load(pt).transcribe(noise[:16000], options, reached.append)
    assert encoded == [1] * len(reached)


def test_the_same_text_every_time_and_the_generator_untouched(transcriber, noise):
    options = TranscribeOptions(language="en", **{**GREEDY, "temperatures": (0.5,)})
    first = transcriber.transcribe(noise[:16000], options)
    torch.rand(3)
    state = torch.get_rng_state()
    assert transcriber.transcribe(noise[:16000], options) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert first.segments


def test_lanes_change_no_text(pt, noise, tmp_path):
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise[: 8000 * (1 + number % 3)], 16000)
    inputs = read_inputs([tmp_path])
    options = TranscribeOptions(language="en", **GREEDY)

    def heard(n_recordings):
        transcriber = load(pt, n_recordings=n_recordings)
        assert transcriber.n_lanes(options) == torch.get_num_threads()
        run = TranscriptionRun(inputs, transcriber, options)
        return [one.transcript for one in run.transcripts()]

    with checkpoints.torch_threads(1):
        one_by_one = heard(1)
    with checkpoints.torch_threads(2):
        at_a_time = heard(4)
        assert torch.get_num_threads() == 2
    for alone, together in zip(one_by_one, at_a_time, strict=True):
        assert alone.text == together.text
        assert alone.avg_logprob == pytest.approx(together.avg_logprob, abs=1e-5, nan_ok=True)
    assert any(one.text for one in one_by_one)


@pytest.mark.parametrize("alone", [{"word_timestamps": True}, {"temperatures": (0.5,)}])
def test_what_threads_cannot_share_is_done_one_by_one(pt, alone):
    with checkpoints.torch_threads(2):
        assert load(pt, n_recordings=9).n_lanes(TranscribeOptions(**alone)) == 1


def test_progress_and_an_end_at_any_window(transcriber, noise):
    reached = []
    transcriber.transcribe(noise, TranscribeOptions(language="en", **GREEDY), reached.append)
    assert reached[:2] == [0.0, 30.0]

    def stop(seconds):
        raise Abandoned

    with pytest.raises(Abandoned):
        transcriber.transcribe(noise, TranscribeOptions(language="en", **GREEDY), stop)


def test_loading_draws_no_weights(pt):
    state = torch.get_rng_state()
    load(pt)
    assert torch.equal(torch.get_rng_state(), state)
