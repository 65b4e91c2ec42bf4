"""Engines: which one runs a model, and that they all give the same answer."""

import importlib.util
import logging
import time

import checkpoints
import numpy as np
import pytest
import torch
from fakes import FakeRecognizer
from transformers.utils import logging as library_logging

from emocli.errors import MissingDependency, ModelError
from emocli.models import devices, engines, probes, registry
from emocli.models.checkpoint import Checkpoint
from emocli.models.engines import choose_engine
from emocli.models.protocol import LoadOptions
from emocli.models.speech import load_speech
from emocli.models.verify import verify
from emocli.pipeline.predict import load_recognizers

LENGTHS = (300, 16000, 16000, 25321, 5000)
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
FAMILIES = {
    "wav2vec2": ("wav2vec2", {"use_weighted_layer_sum": True}),
    "wavlm": ("wavlm", {"num_buckets": 32}),
    "hubert layer": ("hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
}


def error_of(action, kind=ModelError):
    with pytest.raises(kind) as caught:
        action()
    return str(caught.value)


@pytest.fixture
def waveforms(rng):
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in LENGTHS]


@pytest.fixture
def openvino_here(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


@pytest.fixture
def folder(tmp_path):
    return checkpoints.save_network(tmp_path / "tiny", checkpoints.speech_network("wav2vec2"))


@pytest.fixture
def said():
    """What transformers says meanwhile."""
    sentences = []
    listener = logging.Handler()
    listener.emit = lambda record: sentences.append(record.getMessage())
    library_logging.warning_once.cache_clear()
    library_logging.add_handler(listener)
    yield sentences
    library_logging.remove_handler(listener)


def scores(name, waveforms, **options):
    return registry.resolve(str(name), device="cpu", **options).logits(waveforms)


@needs_openvino
@pytest.mark.parametrize("family", FAMILIES)
def test_openvino_answers_as_torch_does(family, tmp_path, cache, waveforms):
    kind, facts = FAMILIES[family]
    folder = checkpoints.save_network(tmp_path / "tiny", checkpoints.speech_network(kind, **facts))
    expected = scores(folder, waveforms, dtype="fp32")
    found = scores(folder, waveforms, dtype="fp32", engine="openvino")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # What else is in a batch changes nothing.
    again = scores(folder, waveforms[1:2], dtype="fp32", engine="openvino")
    np.testing.assert_allclose(again[0], found[1], atol=1e-6)


@needs_openvino
@pytest.mark.parametrize(
    "save",
    [
        lambda path: checkpoints.dense_checkpoint(path, "out_proj", checkpoints.DIMENSIONS),
        lambda path: checkpoints.challenge_checkpoint(path, checkpoints.EMOTIONS),
    ],
    ids=["dimensions", "challenge"],
)
def test_openvino_takes_heads_that_the_library_does_not_know(save, tmp_path, cache, waveforms):
    folder = save(tmp_path / "tiny")
    expected = scores(folder, waveforms, dtype="fp32")
    found = scores(folder, waveforms, dtype="fp32", engine="openvino")
    np.testing.assert_allclose(found, expected, atol=1e-4)


@needs_openvino
def test_a_network_is_converted_once_until_its_weights_change(folder, cache, waveforms, said):
    first = scores(folder, waveforms, dtype="fp32", engine="openvino")
    assert said == []
    (kept,) = cache.iterdir()
    converted = (kept / "network.xml").stat().st_mtime_ns
    assert (scores(folder, waveforms, dtype="fp32", engine="openvino") == first).all()
    assert (kept / "network.xml").stat().st_mtime_ns == converted
    network = checkpoints.speech_network("wav2vec2", hidden_size=32)
    checkpoints.save_network(folder, network)
    changed = scores(folder, waveforms, dtype="fp32", engine="openvino")
    assert len(list(cache.iterdir())) == 2
    np.testing.assert_allclose(changed, scores(folder, waveforms, dtype="fp32"), atol=1e-4)


@needs_openvino
def test_a_network_that_does_not_convert_runs_on_torch_unless_asked(
    folder, cache, waveforms, monkeypatch
):
    from emocli.models import openvino_speech

    def refuse(network):
        raise RuntimeError("no rule for aten::strange")

    monkeypatch.setattr(openvino_speech, "_traced", refuse)
    sentence = (
        f"{folder}: OpenVINO could not take the network: no rule for aten::strange. "
        f"Use --engine torch."
    )
    assert error_of(lambda: scores(folder, waveforms, dtype="fp32", engine="openvino")) == sentence
    assert list(cache.iterdir()) == []
    model = registry.resolve(str(folder), device="cpu", dtype="fp32", engine="auto")
    assert model.engine_remark == f"{sentence} Torch runs it instead."
    assert (model.logits(waveforms) == scores(folder, waveforms, dtype="fp32")).all()


def test_draws_with_dropout_run_on_torch(folder):
    (model,) = load_recognizers(str(folder), LoadOptions(device="cpu", mc_dropout=2))
    assert type(model).__name__ == "DropoutDraws"


def test_auto_is_openvino_for_waveforms_on_a_cpu(openvino_here):
    def chosen(device="cpu", dtype="fp32", fits=True):
        return choose_engine("auto", device=device, dtype=dtype, fits=fits)

    assert chosen() == "openvino"
    assert chosen(device="cuda") == chosen(fits=False) == "torch"
    assert chosen(dtype="bf16") == chosen(dtype="fp16") == "torch"
    assert choose_engine("torch", device="cpu", dtype="fp32", fits=True) == "torch"


def test_auto_is_torch_without_openvino(monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    assert choose_engine("auto", device="cpu", dtype="fp32", fits=True) == "torch"
    assert error_of(
        lambda: choose_engine("openvino", device="cpu", dtype="fp32", fits=True),
        MissingDependency,
    ) == (
        "The engine openvino needs a package that is not installed, expected openvino. "
        "Run `pip install 'emocli[openvino]'`."
    )


def test_an_engine_that_cannot_do_it_says_so(openvino_here):
    assert error_of(lambda: choose_engine("openvino", device="cuda", dtype="fp16", fits=True)) == (
        "The engine openvino cannot run this model in fp16 on cuda, expected a network on "
        "waveforms in fp32 on a CPU. Use --engine torch."
    )
    assert error_of(lambda: choose_engine("onnx", device="cpu", dtype="fp32", fits=True)) == (
        "Engine 'onnx' is unknown, expected one of auto, torch, openvino. Choose one with --engine."
    )


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_bf16_only_on_a_gpu_that_has_it(has, monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    expected = torch.bfloat16 if has else torch.float32
    assert devices.choose_dtype("auto", torch.device("cuda:0")) == expected
    for device in ("cpu", "mps"):
        assert devices.number_formats("auto", torch.device(device)) == (torch.float32,)
    assert devices.choose_dtype("auto") == torch.float32


@pytest.mark.parametrize("has", [True, False])
def test_fast_tries_bf16_only_where_the_device_has_it(has, monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: has)
    expected = (torch.float32, torch.bfloat16) if has else (torch.float32,)
    assert devices.number_formats("fast", torch.device("cpu")) == expected
    assert devices.number_formats("bf16", torch.device("cpu")) == (torch.bfloat16,)


@pytest.mark.parametrize("quicker", ["fp32", "bf16"])
def test_fast_is_the_quicker_one_and_its_name_says_so(quicker, folder, monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(
        probes, "seconds_taken", lambda model: 1.0 + (model.card.number_format != quicker)
    )
    model = registry.resolve(str(folder), device="cpu", dtype="fast")
    assert model.engine == f"torch {quicker}"
    assert model.card.identifier == (str(folder) if quicker == "fp32" else f"{folder}+bf16")


def test_where_units_for_bf16_are_the_table_is_the_same(folder, waveforms, monkeypatch):
    expected = registry.resolve(str(folder), device="cpu").logits(waveforms)
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: True)
    model = registry.resolve(str(folder), device="cpu")
    assert model.card.identifier == str(folder)
    assert (model.logits(waveforms) == expected).all()


@pytest.mark.parametrize("kind", ["speech", "text"])
def test_head_and_what_it_gets_stay_in_fp32(kind, folder, tmp_path, waveforms):
    given = {"speech": waveforms, "text": ["so happy", "so sad"]}[kind]
    if kind == "text":
        folder = checkpoints.save_network(tmp_path / "text", checkpoints.text_network("roberta", 4))
        checkpoints.save_tokenizer(folder)
    model = registry.resolve(str(folder), device="cpu", dtype="bf16")
    formats = {name.split(".")[0]: one.dtype for name, one in model.module.named_parameters()}
    body = model.module.base_model_prefix
    assert formats.pop(body) == torch.bfloat16
    assert set(formats.values()) == {torch.float32}
    logits = model.logits(given)
    # More digits than bf16 has: the head did not round.
    rounded = torch.from_numpy(logits).bfloat16().double().numpy()
    assert (logits != rounded).all()
    exact = registry.resolve(str(folder), device="cpu", dtype="fp32").logits(given)
    np.testing.assert_allclose(logits, exact, atol=0.05)


def test_a_model_is_timed_after_a_first_round():
    taken = iter([9.0, 0.3, 0.1, 0.2])

    class Slow(FakeRecognizer):
        def _logits(self, utterances):
            time.sleep(next(taken) / 100)
            return super()._logits(utterances)

    assert 0.001 <= probes.seconds_taken(Slow()) < 0.09
    assert list(taken) == []


def test_the_cpu_is_asked_for_either_kind_of_bf16(monkeypatch):
    for amx, avx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert devices.cpu_has_bf16() == (amx or avx)


@needs_openvino
def test_verify_shows_how_far_the_chosen_engine_is_from_torch(folder, cache):
    (check,) = [one for one in verify(str(folder), device="cpu") if "beside" in one.what]
    assert check.passed
    assert check.what.endswith(" beside torch fp32")
    assert check.detail.startswith("posteriors within ")


class Unconverted:
    """A network whose conversion another process finishes first, or that no disk takes."""

    def __init__(self, folder, overtaken):
        self.folder, self.overtaken = folder, overtaken

    def save_model(self, model, path, **options):
        path.write_text("ours")
        self.folder.mkdir()
        (self.folder / ("network.xml" if self.overtaken else "noise")).write_text("theirs")


@needs_openvino
@pytest.mark.parametrize("overtaken", [True, False])
def test_of_two_conversions_at_a_time_the_first_is_kept(overtaken, tmp_path, monkeypatch):
    from emocli.models import openvino_speech

    folder = tmp_path / "openvino" / "key"
    monkeypatch.setattr(openvino_speech, "_traced", lambda network: network)
    monkeypatch.setattr(openvino_speech, "openvino", Unconverted(folder, overtaken))
    if overtaken:
        openvino_speech._convert(None, folder)
        assert (folder / "network.xml").read_text() == "theirs"
    else:
        with pytest.raises(OSError, match="Directory not empty"):
            openvino_speech._convert(None, folder)
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("largest", [1, 2, 3])
def test_a_batch_that_is_too_large_is_halved(largest, folder, waveforms, monkeypatch):
    checkpoint = Checkpoint(folder, "tiny")

    def load():
        return load_speech(
            checkpoint, torch.device("cpu"), torch.float32, batch_size=5, mixed_lengths=True
        )

    expected, model = load().logits(waveforms), load()
    forward, sizes = model.module.forward, []

    def limited(inputs, **options):
        if len(inputs) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(inputs))
        return forward(inputs, **options)

    monkeypatch.setattr(model.module, "forward", limited)
    np.testing.assert_allclose(model.logits(waveforms), expected, atol=1e-5)
    assert sum(sizes) == len(waveforms)
    assert max(sizes) <= largest


@needs_openvino
def test_openvino_reports_nothing_to_anybody():
    importlib.import_module("emocli.models.quiet_openvino")  # before the converter is
    converter = importlib.import_module("openvino.tools.ovc.telemetry_utils")
    assert converter.tm.__name__ == "openvino.tools.ovc.telemetry_stub"
