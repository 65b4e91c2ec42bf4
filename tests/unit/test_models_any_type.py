"""Classifiers that only transformers knows, beside what transformers itself gives."""

import json
import math
import warnings

import checkpoints
import numpy as np
import pytest
import soundfile
import torch
import transformers
from fakes import write_tone
from typer.testing import CliRunner

import emocli
from emocli.cli.app import app
from emocli.errors import ModelError
from emocli.models import registry
from emocli.models.encoders import load_encoder
from emocli.models.verify import verify
from emocli.posteriors import softmax

TEXTS = ("i am happy", "sad", "i am not sad !", "am i ?", "happy sad !", "!", "i am not happy i am")
SENTIMENTS = {"0": "negative", "1": "neutral", "2": "positive"}
OWN_NAMES = ("funnel", "t5", "xlnet")
"""Types whose configurations call everything otherwise."""
SMALL = {
    "albert": {"embedding_size": 8},
    "bart": {
        **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": 24 for side in ("encoder", "decoder")},
        "d_model": 16,
        "init_std": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 2,
    },
    "fnet": {},
    "funnel": {
        "d_model": 16,
        "n_head": 2,
        "d_head": 8,
        "d_inner": 24,
        "block_sizes": [1, 1],
        "num_decoder_layers": 1,
        "initializer_std": 0.3,
    },
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20, "pad_token_id": None},
    "llama": {"num_key_value_heads": 2},
    "longformer": {"attention_window": 4},
    "modernbert": {"local_attention": 4},
    "mpnet": {},
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "t5": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "initializer_factor": 3.0,
        "decoder_start_token_id": 1,
        "eos_token_id": 2,
    },
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24},
}


def message(call) -> str:
    with pytest.raises(ModelError) as caught:
        call()
    return str(caught.value)


def text_folder(path, model_type):
    base = {} if model_type in OWN_NAMES else checkpoints.TEXT_CONFIG
    config = transformers.AutoConfig.for_model(
        model_type,
        **{**base, "vocab_size": 40, "pad_token_id": 1, "num_labels": 3, **SMALL[model_type]},
    )
    kind = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    network = checkpoints.build(kind, config)
    with torch.no_grad():  # heads with the library's small weights would say the same of all
        generator = torch.Generator().manual_seed(3)
        for name, weights in network.named_parameters():
            if weights.ndim > 1 and not name.endswith("embeddings.weight"):
                weights.copy_(torch.randn(weights.shape, generator=generator))
    network.config.save_pretrained(path)
    network.save_pretrained(path)
    content = json.loads((path / "config.json").read_text()) | {"id2label": SENTIMENTS}
    (path / "config.json").write_text(json.dumps(content))
    return checkpoints.save_tokenizer(path)


def library_logits(path, texts):
    """As the library's text-classification pipeline computes them, one by one."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    network = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    found = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True)
        if "token_type_ids" not in network.forward.__code__.co_varnames:
            inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            found.append(network(**inputs).logits[0])
    return torch.stack(found).double().numpy()


@pytest.mark.parametrize("model_type", SMALL)
def test_any_text_classifier_gives_what_the_library_gives(model_type, tmp_path):
    folder = text_folder(tmp_path, model_type)
    expected = library_logits(folder, TEXTS)
    assert np.ptp(expected, axis=0).min() > 1e-3
    model = registry.resolve(str(folder), device="cpu")
    assert model.card.labels == ("negative", "neutral", "positive")
    np.testing.assert_allclose(model.logits(TEXTS), expected, rtol=1e-5, atol=1e-5)
    assert registry.describe(str(folder)).card.modality == "text"


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        initializer_range=0.3,
        max_length=128,
        num_labels=4,
    )
    network = checkpoints.build(transformers.ASTForAudioClassification, config)
    folder = tmp_path_factory.mktemp("ast")
    checkpoints.save_network(folder, network, preprocessor=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter")  # as published ones
        transformers.ASTFeatureExtractor(max_length=128).save_pretrained(folder)
    return folder


def test_an_audio_spectrogram_transformer_gives_what_the_library_gives(ast, rng):
    waveforms = [rng.normal(0, 0.1, n).astype(np.float32) for n in (400, 5000, 16000, 16000, 40000)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter")
        extractor = transformers.AutoFeatureExtractor.from_pretrained(ast)
    network = transformers.AutoModelForAudioClassification.from_pretrained(ast).eval()
    with torch.inference_mode():
        expected = np.concatenate(
            [
                network(**extractor(one, sampling_rate=16000, return_tensors="pt")).logits.numpy()
                for one in waveforms
            ]
        )
    model = registry.resolve(str(ast), device="cpu", engine="auto")
    np.testing.assert_allclose(model.logits(waveforms), expected, atol=1e-5)
    assert model.card.labels == ("neutral", "happy", "angry", "sad")
    assert model.max_seconds == pytest.approx((127 * 160 + 400) / 16000)
    assert model.remarks(waveforms) == ["", "", "", "", "only the first 1.295 s were heard"]
    assert all(check.passed is not False for check in verify(str(ast), device="cpu"))


def test_windows_are_no_longer_than_the_network_hears(ast, tmp_path):
    path = write_tone(tmp_path / "a.wav", 3.0)
    whole = emocli.predict(str(path), str(ast), device="cpu")
    assert whole["note"].tolist() == [""]
    windows = emocli.predict(str(path), str(ast), device="cpu", windows=True, window_seconds=2.0)
    lengths = windows["end"] - windows["start"]
    assert windows["end"][-1] == 3.0
    assert lengths.max() <= 1.295
    expected = np.average(windows.probs, axis=0, weights=lengths)
    np.testing.assert_allclose(whole.probs[0], expected, atol=1e-5)


def test_a_type_that_nobody_knows(tmp_path):
    checkpoints.save(tmp_path, {}, {"model_type": "madeup"})
    assert message(lambda: registry.resolve(str(tmp_path))) == (
        f"{tmp_path}: config.json says model_type 'madeup', expected one that emocli or "
        f"transformers has an audio or sequence classifier for, such as wav2vec2 or bert. Use "
        f"another checkpoint, or a later transformers."
    )


def test_a_head_that_is_missing_is_not_made_up(tmp_path):
    folder = text_folder(tmp_path, "mpnet")
    weights = transformers.AutoModel.from_pretrained(folder)
    weights.save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text()) | {"id2label": SENTIMENTS}
    (folder / "config.json").write_text(json.dumps(content))
    assert message(lambda: registry.resolve(str(folder))).startswith(
        f"{folder}: the weights do not fit the network: missing classifier.dense.bias, "
        f"classifier.dense.weight, classifier.out_proj.bias, classifier.out_proj.weight"
    )


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"num_hidden_layers": 10**6}, "config.json says 1000000 layers and the weights have "),
        ({"hidden_size": 4096, "intermediate_size": 2}, "config.json describes a network of "),
        ({"hidden_size": 17}, "config.json describes no network that can be built ("),
        ({"id2label": {"0": "sad", "1": "happy"}}, "config.json describes no network that can be"),
        ({"hidden_act": "rm -rf"}, "config.json describes no network that can be built ("),
    ],
)
def test_a_configuration_that_does_not_fit_its_weights(facts, sentence, tmp_path):
    folder = text_folder(tmp_path, "mpnet")
    content = json.loads((folder / "config.json").read_text()) | facts
    (folder / "config.json").write_text(json.dumps(content))
    assert message(lambda: registry.resolve(str(folder))).startswith(f"{folder}: {sentence}")


@pytest.mark.parametrize("facts", [{"max_length": 64}, {"num_mel_bins": 64}, {"mean": "a"}, None])
def test_features_that_the_network_does_not_take(facts, ast, tmp_path):
    for path in ast.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    place = tmp_path / "preprocessor_config.json"
    if facts is None:
        place.unlink()
    else:
        place.write_text(json.dumps(json.loads(place.read_text()) | facts))
    assert message(lambda: registry.resolve(str(tmp_path))).startswith(
        f"{tmp_path}: preprocessor_config.json describes no features that the network takes ("
    )


def test_a_type_without_an_encoder_of_frames_says_so(ast):
    assert message(lambda: load_encoder(str(ast))).startswith(
        f"{ast}: a model of type audio-spectrogram-transformer has no frames to give. Use one of "
        f"logmel, functionals, prosody, words, egemaps, or a checkpoint of type bert, camembert, "
    )


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_one_logit_is_for_a_label_and_against_it(engine, tmp_path, monkeypatch, rng):
    if engine == "openvino":
        pytest.importorskip("openvino")
        monkeypatch.setenv("EMOCLI_CACHE", str(tmp_path / "cache"))
    network = checkpoints.speech_network("wav2vec2", num_labels=1)
    folder = checkpoints.save_network(tmp_path / "one", network, {"0": "ang"})
    waveforms = [rng.normal(0, 0.1, n).astype(np.float32) for n in (8000, 16000, 9000)]
    pipe = transformers.pipeline(
        "audio-classification",
        model=network,
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(do_normalize=True),
        function_to_apply="sigmoid",
    )
    expected = [pipe(one.copy(), top_k=1)[0]["score"] for one in waveforms]
    assert np.ptp(expected) > 1e-4
    model = registry.resolve(str(folder), device="cpu", engine=engine)
    assert model.card.labels == ("angry", "not_angry")
    logits = model.logits(waveforms)
    assert (logits[:, 1] == 0).all()
    np.testing.assert_allclose(softmax(logits)[:, 0], expected, atol=1e-5)
    assert registry.describe(str(folder)).card.labels == ("angry", "not_angry")
    path = write_tone(tmp_path / "a.wav", 1.0)
    table = emocli.predict(str(path), str(folder), device="cpu", engine=engine)
    assert 0 < table["entropy"][0] < np.log(2)
    assert table.probs[0].sum() == pytest.approx(1)


@pytest.mark.parametrize("model_type", ["roberta", "albert"])
def test_one_logit_of_a_text_model(model_type, tmp_path):
    facts = {"embedding_size": 8} if model_type == "albert" else {}
    network = checkpoints.text_network(model_type, 1, **facts)
    checkpoints.save_network(tmp_path, network, {"0": "toxic"}, None)
    checkpoints.save_tokenizer(tmp_path)
    model = registry.resolve(str(tmp_path), device="cpu")
    assert model.card.labels == ("toxic", "not_toxic")
    logits = model.logits(TEXTS)
    assert logits.shape == (len(TEXTS), 2)
    np.testing.assert_allclose(logits, np.stack([logits[:, 0], 0 * logits[:, 0]], axis=1))


def test_one_output_that_is_a_dimension_stays_one(tmp_path, rng):
    network = checkpoints.speech_network("wav2vec2", num_labels=1)
    folder = checkpoints.save_network(tmp_path / "one", network, {"0": "valence"})
    model = registry.resolve(str(folder), device="cpu")
    assert model.card.dimensions == ("valence",)
    assert model.logits([rng.normal(size=8000).astype(np.float32)]).shape == (1, 1)


def test_names_for_a_checkpoint_that_has_none(tmp_path, rng):
    network = checkpoints.speech_network("wav2vec2")
    nameless = {str(number): f"LABEL_{number}" for number in range(4)}
    folder = checkpoints.save_network(tmp_path / "m", network, nameless)
    names = ("anger", "happiness", "neutral", "sadness")
    waveform = rng.normal(0, 0.1, 8000).astype(np.float32)
    model = registry.resolve(str(folder), device="cpu", label_names=names)
    assert model.card.labels == ("angry", "happy", "neutral", "sad")
    own = checkpoints.save_network(tmp_path / "own", network)
    expected = registry.resolve(str(own), device="cpu").logits([waveform])
    np.testing.assert_array_equal(model.logits([waveform]), expected)
    assert message(lambda: registry.resolve(str(folder), device="cpu")) == (
        f"{folder}: config.json gives the 4 outputs no names (id2label), and without names nobody "
        f"knows which emotion is which. Name them in their order with --label-names, or add "
        f"id2label to config.json."
    )
    assert message(lambda: registry.resolve(str(folder), label_names=names[:3])) == (
        f"{folder}: there are names for 3 outputs (anger, happiness, neutral) and the weights have "
        f"4. Correct --label-names."
    )
    assert message(lambda: registry.resolve(str(own), label_names=names)) == (
        f"{own} names its outputs itself, neutral, happy, angry, sad, expected a checkpoint with "
        f"none, such as LABEL_0, for --label-names. Leave it out."
    )
    assert message(lambda: registry.resolve("builtin", label_names=names)).startswith(
        "builtin names its outputs itself, "
    )
    path = write_tone(tmp_path / "a.wav", 1.0)
    arguments = ["predict", str(path), "-m", str(folder), "--label-names", ", ".join(names)]
    done = CliRunner().invoke(app, [*arguments, "-f", "csv"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("file,start,end,model,label,p_angry,p_happy,")


def test_the_challenge_s_baseline_hears_the_first_12_s_as_its_authors_do(tmp_path, rng):
    folder = checkpoints.challenge_checkpoint(tmp_path / "m", checkpoints.EMOTIONS)
    other = checkpoints.save_network(tmp_path / "n", checkpoints.speech_network("wav2vec2"))
    path = tmp_path / "long.wav"
    samples = rng.normal(0, 0.1, 200_000).astype(np.float32)  # 12.5 s
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    model = registry.resolve(str(folder), device="cpu")

    def rows(*models, **options):
        return emocli.predict(str(path), list(map(str, models)), device="cpu", **options)

    table = rows(folder)
    expected = softmax(model.logits([samples[:192_000]]))
    np.testing.assert_allclose(table.probs, expected, atol=1e-6)
    assert table["note"].tolist() == ["only the first 12 s were heard"]
    assert (table["start"][0], table["end"][0]) == (0.0, 12.5)
    both = rows(other, folder)
    np.testing.assert_allclose(both.probs[1], expected[0], atol=1e-6)
    assert both["note"].tolist() == ["", "only the first 12 s were heard"]
    assert both["end"].tolist() == [12.5, 12.5]
    np.testing.assert_allclose(both.probs[0], rows(other).probs[0], atol=1e-6)
    whole = rows(folder, window_seconds=math.inf)
    np.testing.assert_allclose(whole.probs, softmax(model.logits([samples])), atol=1e-6)
    halves = softmax(model.logits([samples[:100_000], samples[100_000:]]))
    averaged = rows(folder, window_seconds=12.0)
    np.testing.assert_allclose(averaged.probs[0], halves.mean(axis=0), atol=1e-6)
    assert whole["note"].tolist() == averaged["note"].tolist() == [""]
