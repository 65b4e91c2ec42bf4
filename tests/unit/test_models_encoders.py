"""Frozen encoders give the hidden states that the transformers library gives, in any batch."""

import sys

import checkpoints
import numpy as np
import pytest
import torch
import transformers
import whisper_checkpoints
from checkpoints import NORMALISED, WAVEFORM_CONFIG

from emocli.errors import MissingDependency, ModelError
from emocli.models.builtin_encoders import builtin_encoder
from emocli.models.checkpoint import Checkpoint
from emocli.models.encoders import BUILTIN, load_encoder
from emocli.models.speech_encoder import load_speech_encoder
from emocli.training.sequences import SequenceFolder

LENGTHS = (1600, 4000, 1600, 2801, 720, 4000, 401, 3333)
LAYERS = ("last", 0, 1, 2, "weighted")
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
SPEECH = {
    "wav2vec2 base": ("wav2vec2", {}),
    "wav2vec2 large": ("wav2vec2", LARGE),
    "wav2vec2 weighted": ("wav2vec2", {"use_weighted_layer_sum": True}),
    "hubert base": ("hubert", {}),
    "hubert large": ("hubert", LARGE),
    "wavlm base weighted": ("wavlm", {"num_buckets": 32, "use_weighted_layer_sum": True}),
    "wavlm large": ("wavlm", {"num_buckets": 32, **LARGE}),
    "unispeech-sat": ("unispeech-sat", {}),
}
TEXT = {
    "roberta": ("roberta", {}),
    "xlm-roberta": ("xlm-roberta", {}),
    "bert": ("bert", {}),
    "deberta": ("deberta", {"pos_att_type": ["c2p", "p2c"], "relative_attention": True}),
    "deberta-v2": (
        "deberta-v2",
        {
            "conv_kernel_size": 3,
            "conv_act": "gelu",
            "norm_rel_ebd": "layer_norm",
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "position_buckets": 4,
            "relative_attention": True,
            "share_att_key": True,
        },
    ),
    "distilbert": ("distilbert", {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
}
TEXTS = ("i am happy", "sad", "i am not sad !", "", "! ! ! ! ! !")


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(7)
    return [rng.normal(0.02, 0.1, length).astype(np.float32) for length in LENGTHS]


def chosen(given, layer, weights=None):
    """A layer of the library's output, by the definition."""
    if layer == "last":
        return given.last_hidden_state[0].numpy()
    if layer != "weighted":
        return given.hidden_states[layer][0].numpy()
    states = torch.stack(given.hidden_states)[:, 0]  # (n_layers + 1, n_frames, dim)
    even = torch.full((len(states),), 1 / len(states))
    return torch.einsum("l,ltd->td", even if weights is None else weights, states).numpy()


def stored(folder, encoder, frames):
    """Frames as `emocli features` keeps them on disk."""
    place = SequenceFolder(folder / str(encoder.identity.layer), encoder.identity)
    place.write("ab" * 32, frames)
    return place.read("ab" * 32)


def normalised(waveform):
    return (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)


def in_float64(folder, layer, batch_size, mixed):
    """With more digits, for a batch's products are rounded otherwise than those of one."""
    return load_speech_encoder(
        Checkpoint(folder, "m"), torch.device("cpu"), torch.float64,
        name="m", revision="", layer=str(layer), batch_size=batch_size, mixed_lengths=mixed,
    )  # fmt: skip


@pytest.mark.parametrize("family", SPEECH)
def test_layers_of_speech_networks(family, tmp_path, waveforms):
    kind, facts = SPEECH[family]
    network = checkpoints.speech_network(kind, **facts)
    folder = checkpoints.save_network(tmp_path, network)
    weights = getattr(network, "layer_weights", None)
    weights = None if weights is None else weights.detach().softmax(0)
    expected = {layer: [] for layer in LAYERS}
    for waveform in waveforms:
        inputs = torch.from_numpy(normalised(waveform))[None]
        with torch.inference_mode():
            given = network.base_model(inputs, output_hidden_states=True)
        for layer in LAYERS:
            expected[layer].append(chosen(given, layer, weights))
    for layer in LAYERS:
        encoder = load_encoder(str(folder), layer=layer, device="cpu")
        assert encoder.identity.dim == 16
        assert encoder.identity.layer == str(layer)
        assert encoder.identity.frames_per_second == 50
        for waveform, wanted in zip(waveforms, expected[layer], strict=True):
            (found,) = encoder.encode([waveform])
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_array_equal(stored(tmp_path, encoder, found), found)


@pytest.mark.parametrize("family", ["wav2vec2 base", "hubert large", "wavlm base weighted"])
def test_a_batch_of_eight_is_eight_of_one(family, tmp_path, waveforms):
    kind, facts = SPEECH[family]
    folder = checkpoints.save_network(tmp_path, checkpoints.speech_network(kind, **facts))
    for layer in ("last", "weighted"):
        single = in_float64(folder, layer, 1, mixed=False)
        alone = [single.encode([waveform])[0] for waveform in waveforms]
        for size, mixed in ((8, True), (8, False)):
            together = in_float64(folder, layer, size, mixed=mixed).encode(waveforms)
            for found, wanted in zip(together, alone, strict=True):
                np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_blocks_after_the_layer_are_not_computed(tmp_path, waveforms):
    network = checkpoints.speech_network("wavlm", num_buckets=32, num_hidden_layers=5, **LARGE)
    folder = checkpoints.save_network(tmp_path, network)
    inputs = torch.from_numpy(normalised(waveforms[0]))[None]
    with torch.inference_mode():
        given = network.base_model(inputs, output_hidden_states=True)
    for layer, n_kept in ((0, 1), (1, 2), (3, 4), (4, 5), (5, 5)):
        encoder = load_encoder(str(folder), layer=layer, device="cpu")
        assert len(encoder._network.module.encoder.layers) == n_kept
        found = encoder.encode(waveforms[:1])[0]
        np.testing.assert_allclose(found, given.hidden_states[layer][0], atol=1e-5)


def test_checkpoints_of_every_head_hold_one_encoder(tmp_path, waveforms):
    config = transformers.Wav2Vec2Config(
        **WAVEFORM_CONFIG, vocab_size=8, codevector_dim=8, proj_codevector_dim=8,
        num_codevectors_per_group=4,
    )  # fmt: skip
    bare = checkpoints.build(transformers.Wav2Vec2Model, config)
    heads = {
        "bare": bare,
        "ctc": checkpoints.build(transformers.Wav2Vec2ForCTC, config),
        "pretraining": checkpoints.build(transformers.Wav2Vec2ForPreTraining, config),
        "classifier": checkpoints.build(transformers.Wav2Vec2ForSequenceClassification, config),
    }
    found = []
    for name, network in heads.items():
        network.base_model.load_state_dict(bare.state_dict())
        folder = checkpoints.save_network(tmp_path / name, network)
        found.append(load_encoder(str(folder), device="cpu").encode(waveforms[:1])[0])
    for frames in found[1:]:
        np.testing.assert_array_equal(frames, found[0])


def test_a_backbone_that_is_not_whole(tmp_path):
    network = checkpoints.speech_network("hubert")
    folder = checkpoints.save_network(tmp_path, network)
    state = Checkpoint(folder, "m").load()
    del state["hubert.encoder.layers.1.final_layer_norm.bias"]
    state["hubert.encoder.layers.1.adapter.weight"] = torch.zeros(2)
    checkpoints.save(folder, state, network.config.to_dict(), NORMALISED)
    with pytest.raises(ModelError) as caught:
        load_encoder(str(folder), device="cpu")
    assert str(caught.value) == (
        f"{folder}: the weights do not fit the network: missing "
        "encoder.layers.1.final_layer_norm.bias; unexpected encoder.layers.1.adapter.weight. "
        "The checkpoint is incomplete or of a kind that emocli does not know; use another one, "
        "for example from `emocli models list`."
    )


def test_the_encoder_of_a_challenge_baseline(tmp_path, waveforms):
    folder = checkpoints.challenge_checkpoint(tmp_path, {"0": "Angry", "1": "Sad"})
    encoder = load_encoder(str(folder), layer=1, device="cpu")
    state = {
        key.removeprefix("ssl_model."): tensor
        for key, tensor in Checkpoint(folder, "m").load().items()
        if key.startswith("ssl_model.")
    }
    config = transformers.WavLMConfig(**WAVEFORM_CONFIG, num_buckets=32, **LARGE)
    network = checkpoints.build(transformers.WavLMModel, config)
    renamed = {
        key.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for key, tensor in state.items()
    }
    network.load_state_dict(renamed)
    inputs = torch.from_numpy((waveforms[0] - 0.01) / (0.2 + 1e-6))[None]
    with torch.inference_mode():
        expected = network(inputs, output_hidden_states=True).hidden_states[1][0].numpy()
    np.testing.assert_allclose(encoder.encode(waveforms[:1])[0], expected, atol=1e-5)


def test_filter_bank_networks(tmp_path, waveforms):
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        conv_depthwise_kernel_size=5, left_max_position_embeddings=4,
        right_max_position_embeddings=2, initializer_range=0.3,
    )  # fmt: skip
    network = checkpoints.build(transformers.Wav2Vec2BertModel, config)
    extractor = transformers.SeamlessM4TFeatureExtractor()
    folder = checkpoints.save_network(tmp_path, network, preprocessor=extractor.to_dict())
    encoder = load_encoder(str(folder), layer=1, device="cpu")
    assert encoder.identity.frames_per_second == 50
    batch = [waveforms[1], waveforms[3], waveforms[5]]
    for found, waveform in zip(encoder.encode(batch), batch, strict=True):
        inputs = extractor([waveform], sampling_rate=16000, return_tensors="pt")
        with torch.inference_mode():
            given = network(**inputs, output_hidden_states=True)
        n_frames = int(inputs["attention_mask"].sum())
        np.testing.assert_allclose(found, given.hidden_states[1][0][:n_frames], atol=1e-5)


def test_adapted_networks_give_fewer_frames(tmp_path, waveforms):
    facts = {"add_adapter": True, "output_hidden_size": 10, "num_adapter_layers": 1}
    config = transformers.Wav2Vec2Config(**WAVEFORM_CONFIG, **facts)
    network = checkpoints.build(transformers.Wav2Vec2Model, config)
    folder = checkpoints.save_network(tmp_path, network)
    encoder = load_encoder(str(folder), device="cpu")
    assert (encoder.identity.dim, encoder.identity.frames_per_second) == (10, 25)
    assert encoder.encode(waveforms[1:2])[0].shape == (6, 10)
    assert load_encoder(str(folder), layer=2, device="cpu").identity.dim == 16


@pytest.fixture(scope="module")
def whisper_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    file = whisper_checkpoints.write_openai(folder / "tiny.pt")
    made = whisper_checkpoints.network()
    hub = whisper_checkpoints.write_hub(folder / "hub")
    return file, hub, made


@pytest.mark.parametrize("layer", ["last", 0, 1, "weighted"])
def test_whisper_in_stretches(layer, whisper_files, tmp_path):
    file, hub, _ = whisper_files
    rng = np.random.default_rng(3)
    batch = [rng.normal(0, 0.1, n).astype(np.float32) for n in (16001, 480_000 + 321, 300)]
    network = transformers.WhisperModel.from_pretrained(hub).encoder.eval()
    extractor = transformers.WhisperFeatureExtractor()
    encoder = load_encoder(str(hub), layer=layer, device="cpu")
    of_file = load_encoder(str(file), layer=layer, device="cpu")
    assert encoder.identity.frames_per_second == 50
    assert encoder.max_seconds == 0
    frames = encoder.encode(batch)
    assert [len(found) for found in frames] == [51, 1502, 1]
    for found, other, waveform in zip(frames, of_file.encode(batch), batch, strict=True):
        expected = []
        for start in range(0, len(waveform), 480_000):
            piece = waveform[start : start + 480_000]
            inputs = extractor(piece, sampling_rate=16000, return_tensors="pt")
            with torch.inference_mode():
                given = network(inputs["input_features"], output_hidden_states=True)
            expected.append(chosen(given, layer)[: -(-len(piece) // 320)])
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)
        np.testing.assert_allclose(other, found, atol=1e-5)
        np.testing.assert_array_equal(stored(tmp_path, encoder, found), found)


def test_the_layer_where_none_is_named(whisper_files, tmp_path):
    _, hub, _ = whisper_files
    folder = checkpoints.save_network(tmp_path, checkpoints.speech_network("wav2vec2"))
    assert load_encoder(str(hub), device="cpu").identity.layer == "0"  # of 1 block
    assert load_encoder(str(folder), device="cpu").identity.layer == "last"
    assert load_encoder("logmel").identity.layer == "last"


def test_the_encoder_of_a_whisper_file_is_openais(whisper_files):
    import whisper

    file, _, made = whisper_files
    waveform = np.random.default_rng(3).normal(0, 0.1, 20000).astype(np.float32)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(waveform))
    with torch.inference_mode():
        expected = made.encoder(mel[None])[0, :63].numpy()
    found = load_encoder(str(file), layer="last", device="cpu").encode([waveform])[0]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_file_that_is_no_whisper(tmp_path):
    file = tmp_path / "other.pt"
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(ModelError) as caught:
        load_encoder(str(file), device="cpu")
    assert str(caught.value) == (
        f"{file} holds no checkpoint of openai-whisper, expected its dims and weights. Fetch it "
        "again, or name a folder with config.json and weights."
    )


@pytest.mark.parametrize("family", TEXT)
def test_layers_of_text_networks(family, tmp_path):
    kind, facts = TEXT[family]
    network = checkpoints.text_network(kind, **facts)
    folder = checkpoints.save_network(tmp_path, network, {"0": "negative"}, None)
    checkpoints.save_tokenizer(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for layer in LAYERS:
        encoder = load_encoder(str(folder), layer=layer, device="cpu", batch_size=8)
        together = encoder.encode(TEXTS)
        alone = [encoder.encode([text])[0] for text in TEXTS]
        for text, found, single in zip(TEXTS, together, alone, strict=True):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            with torch.inference_mode():
                given = network.base_model(ids, output_hidden_states=True)
            assert len(found) == ids.shape[1]
            np.testing.assert_allclose(found, chosen(given, layer), atol=1e-5)
            np.testing.assert_allclose(single, found, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "deberta-v2"])
def test_states_of_padding_are_kept_as_the_paper_s_features_have_them(family, tmp_path):
    kind, facts = TEXT[family]
    network = checkpoints.text_network(kind, **facts)
    folder = checkpoints.save_network(tmp_path, network, {"0": "negative"}, None)
    checkpoints.save_tokenizer(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoder = load_encoder(str(folder), device="cpu", max_tokens=12, keeps_padding=True)
    assert dict(encoder.identity.settings)["padding"] == "kept"
    assert encoder.identity != load_encoder(str(folder), device="cpu", max_tokens=12).identity
    for text, found in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        given = tokenizer(
            text, padding="max_length", max_length=12, truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            states = network.base_model(given["input_ids"], attention_mask=given["attention_mask"])
        assert found.shape[0] == 12
        np.testing.assert_allclose(found, states.last_hidden_state[0].numpy(), atol=1e-5)


def test_texts_are_cut_and_it_is_said(tmp_path):
    network = checkpoints.text_network("roberta")
    folder = checkpoints.save_tokenizer(checkpoints.save_network(tmp_path, network, {}, None))
    encoder = load_encoder(str(folder), device="cpu", max_tokens=5)
    assert [len(frames) for frames in encoder.encode(TEXTS)] == [5, 3, 5, 2, 5]
    assert encoder.remarks(TEXTS) == [
        "", "", "text cut to 5 of 7 tokens", "", "text cut to 5 of 8 tokens",
    ]  # fmt: skip
    longest = load_encoder(str(folder), device="cpu")
    assert dict(longest.identity.settings) == {"dtype": "float32", "max_tokens": "16"}
    with pytest.raises(ModelError) as caught:
        load_encoder(str(folder), device="cpu", max_tokens=2)
    assert str(caught.value) == (
        f"{folder}: 2 tokens of a text, expected at least 3. Two of them mark its beginning and "
        "its end."
    )


def test_an_identity_follows_the_content(tmp_path):
    network = checkpoints.text_network("bert")
    first = checkpoints.save_tokenizer(checkpoints.save_network(tmp_path / "a/m", network))
    again = checkpoints.save_tokenizer(checkpoints.save_network(tmp_path / "b/m", network))
    one, other = (load_encoder(str(folder), device="cpu").identity for folder in (first, again))
    assert one == other
    assert one.key == other.key
    with torch.no_grad():
        network.bert.embeddings.word_embeddings.weight[5] += 1
    changed = checkpoints.save_tokenizer(checkpoints.save_network(tmp_path / "c/m", network))
    assert load_encoder(str(changed), device="cpu").identity.revision != one.revision
    assert load_encoder(str(first), layer=1, device="cpu").identity.key != one.key


@pytest.mark.parametrize("layer", ["3", -1, "first"])
def test_layers_that_are_not_there(layer, tmp_path):
    folder = checkpoints.save_network(tmp_path, checkpoints.speech_network("hubert"))
    with pytest.raises(ModelError) as caught:
        load_encoder(str(folder), layer=layer, device="cpu")
    assert str(caught.value) == (
        f"{folder}: layer '{layer}', expected last, weighted or a number from 0 to 2. 0 is what "
        "enters the first block, 2 what leaves the last."
    )


def test_built_in_encoders_have_one_layer():
    with pytest.raises(ModelError) as caught:
        load_encoder("logmel", layer=3)
    assert str(caught.value) == ("logmel: layer '3', but it has only one. Leave the layer out.")


def test_embedded_classifiers_have_no_frames():
    with pytest.raises(ModelError) as caught:
        load_encoder("builtin")
    assert str(caught.value) == (
        "builtin: a model of type emocli-compact has no frames to give. Use one of logmel, "
        "functionals, prosody, words, egemaps, or a checkpoint of type bert, camembert, "
        "data2vec-audio, deberta, deberta-v2, distilbert, electra, hubert, roberta, ser, sew, "
        "sew-d, unispeech, unispeech-sat, wav2vec2, wav2vec2-bert, wav2vec2-conformer, wavlm, "
        "whisper, xlm-roberta."
    )


def test_a_name_that_is_none():
    with pytest.raises(ModelError) as caught:
        load_encoder("wavlm-larg")
    assert str(caught.value) == (
        "No encoder is called wavlm-larg, and no file or folder is: use logmel, functionals, "
        "prosody, words, egemaps, facodec, deberta-v2-xlarge, hubert-xlarge, roberta-large, "
        "wavlm-base, wavlm-large, whisper-large-v3, whisper-small, hf:owner/name or a folder."
    )


def test_short_names_lead_to_the_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"^microsoft/wavlm-large@v1 is not on this machine"):
        load_encoder("wavlm-large@v1", offline=True)


def test_logmel_frames():
    encoder = load_encoder("logmel")
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    frames, louder = encoder.encode([0.01 * tone, 0.5 * tone])
    assert frames.shape == (50, 80)
    np.testing.assert_allclose(frames, louder, atol=1e-3)
    assert set(frames[3:-3].argmax(1)) == {
        26
    }  # 1000 mel lie nearest the 27th of 80 bands from 93 to 2787 mel
    assert encoder.encode([tone[:1]])[0].shape == (1, 80)
    np.testing.assert_allclose(encoder.encode([np.zeros(641, np.float32)])[0], np.log(1e-4))
    alone = encoder.encode([tone[:5000]])[0]
    np.testing.assert_array_equal(encoder.encode([tone, tone[:5000]])[1], alone)


def test_functionals_of_the_recording_and_of_its_seconds():
    encoder = load_encoder("functionals")
    time = np.arange(40000) / 16000
    rising = np.sin(2 * np.pi * (150 + 40 * time) * time).astype(np.float32)
    frames, short = encoder.encode([rising, rising[:3000]])
    # 2.5 s are 155 frames; windows of 62 begin at 0, 31, 62 and 93
    assert frames.shape == (5, encoder.identity.dim) == (5, 472)
    assert short.shape == (2, 472)
    np.testing.assert_array_equal(short[0], short[1])
    np.testing.assert_allclose(frames[0], encoder.encode([0.1 * rising])[0][0], atol=1e-2)
    alone = encoder.encode([rising[:3000]])[0]
    np.testing.assert_array_equal(alone, short)
    assert not encoder.encode([np.zeros(8000, np.float32)])[0].any()


def test_prosody_frames_as_an_encoder():
    encoder = load_encoder("prosody")
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 200 * time).astype(np.float32)
    (frames,) = encoder.encode([tone])
    assert frames.shape == (100, encoder.identity.dim) == (100, 8)
    np.testing.assert_allclose(frames[5:-5, 0], 1, atol=1e-3)  # an octave above 100 Hz
    np.testing.assert_allclose(frames[5:-5, 1], 1)
    assert encoder.remarks([tone]) == [""]


def test_words():
    encoder = load_encoder("words")
    together = encoder.encode(["I am not happy!", "", "happy", "happily"])
    assert [frames.shape for frames in together] == [(5, 138), (1, 138), (1, 138), (1, 138)]
    np.testing.assert_array_equal(encoder.encode(["happy"])[0], together[2])
    np.testing.assert_array_equal(together[0][3, :128], together[2][0, :128])
    assert together[0][3, 131] < together[2][0, 131]  # "am not happy" is less happy than "happy"
    near = float(together[2][0, :128] @ together[3][0, :128])
    assert 0.3 < near < 0.9
    assert not together[1][0, :128].any()


def test_a_name_that_no_built_in_encoder_has():
    with pytest.raises(KeyError, match="'vowels'"):
        builtin_encoder("vowels")


@pytest.mark.parametrize("name", BUILTIN)
def test_values_of_builtin_encoders_have_names(name):
    encoder = builtin_encoder(name)
    assert len(encoder.value_names) == encoder.identity.dim
    assert len(set(encoder.value_names)) == encoder.identity.dim


def test_functionals_are_where_their_names_say():
    """A rising tone with pauses, so that each named value has one right answer."""
    rate = 16000
    time = np.arange(rate) / rate
    hz = 150 + 50 * time
    phase = 2 * np.pi * np.cumsum(hz) / rate
    buzz = sum(np.cos(k * phase) / k for k in range(1, 20)) * 0.1
    gap = np.zeros(rate // 2)
    waveform = np.concatenate([buzz, gap, buzz]).astype(np.float32)
    encoder = builtin_encoder("functionals")
    found = dict(zip(encoder.value_names, encoder.encode([waveform])[0][0].tolist(), strict=True))
    assert found["pitch_median"] == pytest.approx(12 * np.log2(1.75), abs=0.3)
    assert found["pitch_range_10_90"] == pytest.approx(12 * np.log2(195 / 155), abs=0.5)
    assert found["pitch_peak"] == pytest.approx(12 * np.log2(200 / 175), abs=0.3)
    assert found["pitch_drift"] > 0
    assert found["voiced_share"] == pytest.approx(0.8, abs=0.05)
    assert found["active_share"] == pytest.approx(0.8, abs=0.03)
    stretches = found["voiced_stretches_per_second"] * found["voiced_stretch_seconds"]
    assert stretches == pytest.approx(found["voiced_share"], abs=0.01)
    assert found["energy_median"] == pytest.approx(0, abs=0.1)
    assert found["periodicity_voiced_mean"] > 0.7


def test_egemaps_is_what_opensmile_gives():
    opensmile = pytest.importorskip("opensmile")
    rng = np.random.default_rng(5)
    waveform = rng.normal(0, 0.1, 16000).astype(np.float32)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    encoder = builtin_encoder("egemaps")
    (frames,) = encoder.encode([waveform])
    np.testing.assert_array_equal(frames, smile.process_signal(waveform, 16000).to_numpy())
    assert encoder.value_names[0] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    (short,) = encoder.encode([waveform[:100]])
    np.testing.assert_array_equal(short, np.zeros((1, 88)))


def test_egemaps_without_opensmile(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(MissingDependency) as caught:
        builtin_encoder("egemaps")
    assert str(caught.value) == (
        "The encoder egemaps needs opensmile, which is not installed. Install it with "
        'pip install "emocli[opensmile]"; its licence allows research and private use.'
    )
