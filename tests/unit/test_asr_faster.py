"""Whisper by faster-whisper: its own text, from checkpoints that are converted once."""

import json
import os
import shutil
from pathlib import Path

import ctranslate2
import faster_whisper
import numpy as np
import pytest
import soundfile
import torch
import whisper_checkpoints
from safetensors.torch import save_file

from emocli.asr import faster
from emocli.asr.convert import convert_checkpoint
from emocli.asr.load import Machine, converted_dir, load_transcriber
from emocli.asr.transcriber import Abandoned
from emocli.errors import ModelError
from emocli.models.checkpoint import Checkpoint
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.transcribe import TranscriptionRun
from emocli.transcript import TranscribeOptions

GREEDY = {"temperatures": (0.0,), "no_speech_threshold": 1.0, "compression_ratio_threshold": 99.0}


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
    return (0.1 * rng.standard_normal(16000 * 35)).astype(np.float32)


def load(name, dtype="fp32", **facts):
    return load_transcriber(str(name), Machine(device="cpu", dtype=dtype, **facts))


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory) -> Path:
    """The checkpoint in the form of CTranslate2."""
    made = tmp_path_factory.mktemp("converted") / "made"
    convert_checkpoint(Checkpoint(folder, "random"), made)
    return made


CASES = {
    "greedy": {"language": "pl"},
    "detected": {},
    "beams and prompt": {"beam_size": 3, "initial_prompt": "Anna and Ola", "language": "en"},
    "translate": {"task": "translate", "language": "de", "condition_on_previous_text": False},
    "words": {"word_timestamps": True, "language": "pl"},
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_segments_of_the_library(folder, converted, noise, name):
    options = CASES[name]
    ours = load(folder).transcribe(noise, TranscribeOptions(**options, **GREEDY))
    library = faster_whisper.WhisperModel(str(converted), device="cpu", compute_type="float32")
    theirs, info = library.transcribe(
        noise,
        **{"beam_size": 1, **options},
        temperature=[0.0],
        no_speech_threshold=1.0,
        compression_ratio_threshold=99.0,
    )
    theirs = list(theirs)
    assert ours.language == info.language
    assert ours.text == "".join(one.text for one in theirs).strip() != ""
    for own, other in zip(ours.segments, theirs, strict=True):
        assert (own.text, own.start, own.end) == (other.text, other.start, other.end)
        assert (own.avg_logprob, own.no_speech_prob) == (other.avg_logprob, other.no_speech_prob)
        assert own.compression_ratio == other.compression_ratio
        assert own.n_tokens == sum(token < 50257 for token in other.tokens)
        assert [(word.text, word.start, word.end, word.probability) for word in own.words] == [
            (word.word, word.start, word.end, word.probability) for word in other.words or ()
        ]


DRAWN = TranscribeOptions(language="en", **{**GREEDY, "temperatures": (0.7,)})


def test_what_was_drawn_before_changes_nothing(folder, noise):
    once = load(folder)
    first = once.transcribe(noise[:16000], DRAWN)
    once.transcribe(noise[16000:40000], DRAWN)
    assert once.transcribe(noise[:16000], DRAWN) == first
    assert load(folder).transcribe(noise[:16000], DRAWN) == first
    assert load(folder).transcribe(noise[16000:32000], DRAWN) != first


def test_lanes_change_no_text(folder, noise, tmp_path, monkeypatch):
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise[: 8000 * (1 + number % 3)], 16000)
    inputs, options = read_inputs([tmp_path]), TranscribeOptions(language="en", **GREEDY)

    def heard(n_threads):
        monkeypatch.setenv("OMP_NUM_THREADS", str(n_threads))
        transcriber = load(folder, n_recordings=4)
        assert transcriber.n_lanes(options) == n_threads
        run = TranscriptionRun(inputs, transcriber, options)
        return [one.transcript for one in run.transcripts()]

    assert heard(2) == heard(1)


def test_progress_and_an_end_at_any_window(folder, noise):
    reached = []
    options = TranscribeOptions(language="en", **GREEDY)
    found = load(folder).transcribe(noise, options, reached.append)
    assert reached == [0.0, *(one.end for one in found.segments)]

    def stop(seconds):
        raise Abandoned

    with pytest.raises(Abandoned):
        load(folder).transcribe(noise, options, stop)


def test_a_checkpoint_is_converted_once(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "cache"))
    first = load(folder)
    (made,) = converted_dir().rglob("model.bin")
    before = made.stat().st_mtime_ns
    shutil.copytree(folder, tmp_path / "moved")
    second = load(tmp_path / "moved")
    assert second.card.n_parameters == first.card.n_parameters > 0
    assert made.stat().st_mtime_ns == before
    assert len(list(converted_dir().iterdir())) == 1  # and no scratch


def test_both_kinds_of_checkpoints_become_the_same(folder, noise, tmp_path):
    pt = whisper_checkpoints.write_openai(tmp_path / "random.pt")
    ours = load(pt, backend="faster-whisper")
    options = TranscribeOptions(beam_size=2, word_timestamps=True, **GREEDY)
    said = ours.transcribe(noise[:16000], options)
    assert said == load(folder).transcribe(noise[:16000], options)
    assert said.segments[0].words
    assert ours.card.identifier == load_transcriber(str(pt), Machine(device="cpu")).card.identifier


def test_a_folder_that_is_converted_already(folder, converted, noise, tmp_path):
    shutil.copytree(converted, tmp_path / "mine")
    options = TranscribeOptions(language="en", **GREEDY)
    ours = load(tmp_path / "mine")
    assert ours.transcribe(noise[:16000], options) == load(folder).transcribe(
        noise[:16000], options
    )
    assert ours.card.size_bytes == (converted / "model.bin").stat().st_size
    (tmp_path / "mine" / "tokenizer.json").unlink()
    with pytest.raises(ModelError) as error:
        load(tmp_path / "mine")
    assert str(error.value) == (
        f"{tmp_path}/mine: {tmp_path}/mine holds no tokenizer.json, expected one beside "
        f"model.bin. Fetch the checkpoint again, or name the one that it was converted from."
    )


@pytest.mark.parametrize("damaged", ["model.bin", "tokenizer.json", "config.json"])
def test_a_conversion_that_is_damaged(converted, tmp_path, damaged):
    made = shutil.copytree(converted, tmp_path / "mine")
    (made / damaged).write_bytes((made / damaged).read_bytes()[:100])
    with pytest.raises(ModelError) as error:
        load(made)
    assert str(error.value).startswith(f"{made}: CTranslate2 cannot load {made} (")
    assert str(error.value).endswith(
        "expected a Whisper checkpoint converted for it. Remove it and fetch or convert it again."
    )


def test_a_cache_that_cannot_be_written(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be written \(Not a directory\), expected a f"):
        load(folder)


def test_number_formats_on_a_cpu(folder, noise):
    kinds = {"auto": "float32", "fp32": "float32", "int8": "int8_float32"}
    names = {"auto": "", "fp32": "", "int8": "+int8"}
    for dtype, kind in kinds.items():
        transcriber = load(folder, dtype)
        assert transcriber._model.model.compute_type == kind
        assert transcriber.card.identifier == f"{folder}{names[dtype]}"


def test_an_english_model(tmp_path, noise):
    made = whisper_checkpoints.write_hub(tmp_path / "hub", whisper_checkpoints.N_ENGLISH)
    transcriber = load(made)
    assert transcriber.languages == ("en",)
    assert transcriber.transcribe(noise[:16000], TranscribeOptions(**GREEDY)).language == "en"


def link(folder: Path, tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).symlink_to(folder / name)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "cannot be converted for faster-whisper ("),
        ({"tokenizer.json": "{"}, "cannot be converted for faster-whisper ("),
        ({"vocab.json": "{", "merges.txt": ""}, "cannot be converted for faster-whisper ("),
        ({"generation_config.json": "["}, "cannot be converted for faster-whisper ("),
    ],
)
def test_folders_that_are_not_complete(folder, tmp_path, files, reason):
    link(folder, tmp_path, "config.json", "model.safetensors")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError) as error:
        load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {reason}")
    assert str(error.value).endswith(
        "expected config.json, weights and a tokenizer of a Whisper checkpoint. Fetch it again."
    )


def test_weights_that_do_not_fit(folder, tmp_path):
    link(folder, tmp_path, "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_layers": 3}))
    with pytest.raises(ModelError, match="the weights do not fit the network"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "d_model": "wide"}))
    with pytest.raises(ModelError, match="cannot be converted for faster-whisper"):
        load(tmp_path)


def test_a_folder_of_another_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: a model of type wav2vec2, expected whisper. "
        f"Choose a Whisper checkpoint, such as openai/whisper-base."
    )


def test_number_formats_that_are_not_there(folder, converted, monkeypatch):
    monkeypatch.setattr(
        ctranslate2, "get_supported_compute_types", lambda kind: {"float32", "int8_float32"}
    )
    with pytest.raises(ModelError) as error:
        load(folder, "fp16")
    assert str(error.value) == (
        "faster-whisper cannot compute in fp16 on this cpu, which does float32, int8_float32. "
        "Use --dtype auto."
    )


@pytest.mark.parametrize("device", ["mps", "cuda:0"])
def test_devices_that_are_not_there(converted, device):
    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError) as error:
        load_transcriber(str(converted), Machine(device=device))
    assert str(error.value) == (
        f"Device {device.partition(':')[0]} is not there for faster-whisper, expected one that "
        f"CTranslate2 knows. Use --device cpu."
    )


def test_one_network_on_a_graphics_card(converted, noise, monkeypatch):
    """Memory is dear there: no second network draws, and recordings go one by one."""
    asked = {}

    def on_the_cpu(path, **how):
        asked.update(how)
        return faster_whisper.WhisperModel(path, **{**how, "device": "cpu", "compute_type": "int8"})

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda kind: {"float16"})
    monkeypatch.setattr(faster, "WhisperModel", on_the_cpu)
    transcriber = load_transcriber(str(converted), Machine(n_recordings=9))
    assert (asked["device"], asked["device_index"]) == ("cuda", 0)
    assert asked["compute_type"] == "float16"
    assert transcriber.n_lanes(DRAWN) == asked["num_workers"] == 1
    monkeypatch.setattr(ctranslate2.models, "Whisper", lambda *_, **__: pytest.fail("loaded"))
    assert transcriber.transcribe(noise[:16000], DRAWN).segments


def test_a_thread_for_each_core_where_the_user_says_nothing(converted, monkeypatch):
    asked = {}

    def remembered(path, **how):
        asked.update(how)
        return faster_whisper.WhisperModel(path, **{**how, "cpu_threads": 1, "num_workers": 1})

    monkeypatch.setattr(faster, "WhisperModel", remembered)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 3}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for system, n_threads in {"linux": 3, "darwin": 2}.items():
        monkeypatch.setattr(faster.sys, "platform", system)
        assert load(converted, n_recordings=1).n_lanes(DRAWN) == 1
        assert (asked["cpu_threads"], asked["num_workers"]) == (n_threads, 1)
        assert load(converted, n_recordings=9).n_lanes(DRAWN) == n_threads
        assert (asked["cpu_threads"], asked["num_workers"]) == (1, n_threads)
