"""Whisper by faster-whisper: its own text, from checkpoints of the other libraries."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_whisper")
pytest.importorskip("whisper")
import ctranslate2
import faster_whisper
import soundfile
import whisper_checkpoints

import emocli
from emocli.errors import MissingDependency, ModelError, ModelUnavailable
from emocli.models import transcribers, whisper_faster
from emocli.models.transcribers import converted_dir, resolve_transcriber
from emocli.transcript import TranscribeOptions

GREEDY = {"temperatures": (0.0,), "no_speech_threshold": 1.0}


@pytest.fixture(scope="module")
def pt(tmp_path_factory) -> Path:
    return whisper_checkpoints.write_openai(tmp_path_factory.mktemp("openai") / "random.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return whisper_checkpoints.write_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, tmp_path, monkeypatch):
    """Conversions go to a folder of the tests; no checkpoint is on this machine."""
    monkeypatch.setenv("EMOCLI_CACHE", str(cache))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(16000 * 12)).astype(np.float32)


def load(name, dtype="fp32", **facts):
    return resolve_transcriber(
        str(name), backend="faster-whisper", device="cpu", dtype=dtype, **facts
    )


def converted(transcriber) -> faster_whisper.WhisperModel:
    """The library's own model of the same conversion, with the same short context."""
    (made,) = {
        path.parent
        for path in converted_dir().glob("*/model.bin")
        if transcriber.card.revision.startswith(path.parent.name[:32])
    }
    model = faster_whisper.WhisperModel(str(made), device="cpu", compute_type="float32")
    model.max_length = whisper_checkpoints.N_CONTEXT
    return model


CASES = {
    "greedy": {"language": "pl"},
    "detected": {},
    "beams and prompt": {"beam_size": 3, "initial_prompt": "Anna and Ola", "language": "en"},
    "translate": {"task": "translate", "language": "de", "condition_on_previous_text": False},
    "words": {"word_timestamps": True, "language": "pl"},
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_segments_of_faster_whisper(pt, noise, name):
    options = CASES[name]
    transcriber = load(pt)
    ours = transcriber.transcribe(noise, TranscribeOptions(**options, **GREEDY))
    theirs, info = converted(transcriber).transcribe(
        noise,
        **{"beam_size": 1, **options},
        temperature=[0.0],
        no_speech_threshold=1.0,
        log_prob_threshold=None,
        compression_ratio_threshold=None,
    )
    theirs = list(theirs)
    assert ours.language == info.language
    assert ours.text == "".join(one.text for one in theirs).strip() != ""
    for own, other in zip(ours.segments, theirs, strict=True):
        assert (own.text, own.start, own.end) == (other.text, other.start, other.end)
        assert (own.avg_logprob, own.no_speech_prob) == (other.avg_logprob, other.no_speech_prob)
        assert [(word.text, word.start, word.end, word.probability) for word in own.words] == [
            (word.word, word.start, word.end, word.probability) for word in other.words or ()
        ]


DRAWN = TranscribeOptions(language="en", temperatures=(0.7,), no_speech_threshold=1.0)


def test_what_was_drawn_before_changes_nothing(pt, noise):
    once = load(pt)
    first = once.transcribe(noise[:16000], DRAWN)
    once.transcribe(noise[16000:40000], DRAWN)
    assert once.transcribe(noise[:16000], DRAWN) == first
    assert load(pt).transcribe(noise[:16000], DRAWN) == first
    assert load(pt).transcribe(noise[16000:32000], DRAWN) != first


def test_lanes_change_no_text(pt, noise, tmp_path, monkeypatch):
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise[: 8000 * (1 + number % 3)], 16000)
    how = {"device": "cpu", "vad": "off", "language": "en", "backend": "faster-whisper"}
    one_by_one = emocli.transcribe(tmp_path, str(pt), **how)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert load(pt, n_recordings=6).most_lanes == 2
    together = emocli.transcribe(tmp_path, str(pt), **how)
    assert together["text"].tolist() == one_by_one["text"].tolist()
    assert any(together["text"])
    np.testing.assert_allclose(together["avg_logprob"], one_by_one["avg_logprob"], atol=1e-4)


def test_the_tokens_of_openai_whisper(pt, noise):
    options = TranscribeOptions(language="pl", **GREEDY)
    ours = load(pt).transcribe(noise, options)
    theirs = resolve_transcriber(str(pt), device="cpu").transcribe(noise, options)
    assert ours.text == theirs.text != ""
    for own, other in zip(ours.segments, theirs.segments, strict=True):
        assert (own.text, own.start, own.end) == (other.text, other.start, other.end)
        assert own.avg_logprob == pytest.approx(other.avg_logprob, abs=2e-3)
        assert own.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-5)
        assert own.compression_ratio == other.compression_ratio


def test_both_kinds_of_checkpoints_become_the_same(pt, folder, noise):
    options = TranscribeOptions(beam_size=2, **GREEDY)
    assert load(folder).transcribe(noise, options) == load(pt).transcribe(noise, options)


def test_a_checkpoint_is_converted_once(pt, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "converted"))
    first = load(pt)
    made = sorted((tmp_path / "converted").rglob("model.bin"))
    assert len(made) == 1
    before = made[0].stat().st_mtime_ns
    moved = tmp_path / "moved.pt"
    moved.write_bytes(pt.read_bytes())
    assert load(moved).card.n_parameters == first.card.n_parameters > 0
    assert sorted((tmp_path / "converted").rglob("model.bin")) == made
    assert made[0].stat().st_mtime_ns == before
    assert len(list((tmp_path / "converted" / "ctranslate2").iterdir())) == 1  # and no scratch


def test_a_folder_that_is_converted_already(pt, noise, tmp_path):
    theirs = load(pt)
    (made,) = {path.parent for path in converted_dir().glob(f"{theirs.card.revision[:32]}*/*.bin")}
    shutil.copytree(made, tmp_path / "mine")
    options = TranscribeOptions(**GREEDY)
    ours = load(tmp_path / "mine")
    assert ours.transcribe(noise, options) == theirs.transcribe(noise, options)
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path / "mine"))
    assert str(error.value) == (
        f"{tmp_path}/mine: a checkpoint converted for CTranslate2, which only faster-whisper "
        f"computes. Add --backend faster-whisper."
    )
    (tmp_path / "mine" / "tokenizer.json").unlink()
    with pytest.raises(ModelError) as error:
        load(tmp_path / "mine")
    assert str(error.value) == (
        f"{tmp_path}/mine: {tmp_path}/mine holds no tokenizer.json, expected one beside "
        f"model.bin. Fetch the checkpoint again, or name the one that it was converted from."
    )


def test_a_conversion_that_is_damaged(pt, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path))
    load(pt)
    (model,) = tmp_path.rglob("model.bin")
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(ModelError) as error:
        load(pt)
    assert str(error.value).startswith(f"{pt}: CTranslate2 cannot load {model.parent} (")
    assert str(error.value).endswith(
        "expected a Whisper checkpoint converted for it. Remove that folder and try again."
    )


def test_a_cache_that_cannot_be_written(pt, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be written \(Not a directory\), expected a f"):
        load(pt)


def test_int8_is_the_default_on_a_cpu(pt, noise):
    options = TranscribeOptions(language="pl", **GREEDY)
    default = load(pt, "auto")
    assert default.network.model.model.compute_type == "int8_float32"
    assert default.transcribe(noise, options) == load(pt, "int8").transcribe(noise, options)
    assert load(pt).network.model.model.compute_type == "float32"


def test_words_in_an_english_model(tmp_path, noise):
    path = whisper_checkpoints.write_openai(tmp_path / "any.pt", n_vocabulary=51864)
    transcriber = load(path)
    assert transcriber.network.languages == ("en",)
    assert transcriber.network.detect_language(None) == "en"


def test_the_same_card(pt, folder):
    ours, theirs = load(pt).card, resolve_transcriber(str(pt), device="cpu").card
    assert ours == theirs
    assert load(folder).card == resolve_transcriber(str(folder), device="cpu").card


def test_nothing_is_fetched(tmp_path):
    with pytest.raises(ModelUnavailable) as error:
        load("turbo")
    assert error.value.exit_status == 4
    assert "Fetch it with `emocli models pull hf:openai/whisper-large-v3-turbo`" in str(error.value)
    with pytest.raises(ModelUnavailable) as error:
        resolve_transcriber("tiny", backend="openai")
    assert str(error.value) == (
        f"Whisper tiny is not on this machine as openai-whisper has it ({tmp_path}/whisper/tiny.pt "
        f"is not there). Put tiny.pt into {tmp_path}/whisper, or use --backend auto."
    )


def test_without_the_package(pt, monkeypatch):
    monkeypatch.setattr(transcribers, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency) as error:
        load(pt)
    assert str(error.value) == (
        "--backend faster-whisper needs the package faster-whisper, which is not installed. "
        "Run `pip install 'emocli[faster-whisper]'`, or use --backend auto."
    )


def test_backends_and_checkpoints_that_do_not_fit(pt, folder):
    sentences = {
        (str(pt), "whisper.cpp", "auto"): "Backend 'whisper.cpp' is unknown, expected one of "
        "auto, openai, transformers, faster-whisper. Choose one with --backend.",
        (str(pt), "auto", "int8"): "Only faster-whisper computes Whisper in int8, expected fp32, "
        "bf16 or fp16. Add --backend faster-whisper, or use --dtype fp32.",
        (str(pt), "transformers", "auto"): f"{pt}: a .pt checkpoint is openai-whisper's, expected "
        "one of the hub for --backend transformers. Use --backend auto or faster-whisper.",
        (str(folder), "openai", "auto"): f"{folder}: a checkpoint of the hub, expected a .pt file "
        "of openai-whisper for --backend openai. Use --backend auto.",
    }
    for (name, backend, dtype), sentence in sentences.items():
        with pytest.raises(ModelError) as error:
            resolve_transcriber(name, backend=backend, dtype=dtype, device="cpu")
        assert str(error.value) == sentence


def test_number_formats_and_devices_that_are_not_there(pt, monkeypatch):
    monkeypatch.setattr(
        ctranslate2, "get_supported_compute_types", lambda kind: {"float32", "int8_float32"}
    )
    with pytest.raises(ModelError) as error:
        load(pt, "fp16")
    assert str(error.value) == (
        "faster-whisper cannot compute in fp16 on this cpu, which does float32, int8_float32. "
        "Use --dtype auto."
    )
    monkeypatch.undo()


@pytest.mark.parametrize("device", ["mps", "cuda:0"])
def test_devices_that_are_not_there(pt, cache, monkeypatch, device):
    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(pt), backend="faster-whisper", device=device)
    assert str(error.value) == (
        f"Device {device.partition(':')[0]} is not there for faster-whisper, expected one that "
        f"CTranslate2 knows. Use --device cpu."
    )


def test_facts_of_a_conversion(pt):
    card = load(pt).card
    (facts,) = converted_dir().glob(f"{card.revision[:32]}*/emocli.json")
    assert json.loads(facts.read_text()) == {
        "n_text_ctx": whisper_checkpoints.N_CONTEXT,
        "n_parameters": card.n_parameters,
    }


@pytest.fixture
def graphics_card(monkeypatch):
    """A CUDA device whose work the CPU does; gives what was asked of it."""
    asked = {}

    def on_the_cpu(path, **how):
        asked.update(how)
        return faster_whisper.WhisperModel(path, **{**how, "device": "cpu", "compute_type": "int8"})

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda kind: {"float16"})
    monkeypatch.setattr(whisper_faster, "WhisperModel", on_the_cpu)
    return asked


def test_one_network_on_a_graphics_card(pt, noise, graphics_card):
    """Memory is dear there: no second network draws, and recordings go one by one."""
    how = {"backend": "faster-whisper", "n_recordings": 9}
    transcriber = resolve_transcriber(str(pt), device="auto", **how)
    assert (graphics_card["device"], graphics_card["device_index"]) == ("cuda", 0)
    assert graphics_card["compute_type"] == "float16"
    assert transcriber.most_lanes == graphics_card["num_workers"] == 1
    drawn = transcriber.transcribe(noise[:16000], DRAWN).segments
    assert drawn
    assert transcriber.network.load_again is None


def test_without_a_graphics_card_the_cpu_computes(pt, monkeypatch):
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    network = resolve_transcriber(str(pt), backend="faster-whisper", device="auto").network
    assert network.model.model.device == "cpu"


def test_a_thread_for_each_core_where_the_user_says_nothing(pt, monkeypatch):
    asked = {}

    def remembered(path, **how):
        asked.update(how)
        return faster_whisper.WhisperModel(path, **{**how, "cpu_threads": 1, "num_workers": 1})

    monkeypatch.setattr(whisper_faster, "WhisperModel", remembered)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for system, n_threads in {"linux": 3, "darwin": 2}.items():
        monkeypatch.setattr(whisper_faster.sys, "platform", system)
        assert load(pt, n_recordings=1).most_lanes == 1
        assert (asked["cpu_threads"], asked["num_workers"]) == (n_threads, 1)
        assert load(pt, n_recordings=9).most_lanes == n_threads
        assert (asked["cpu_threads"], asked["num_workers"]) == (1, n_threads)
