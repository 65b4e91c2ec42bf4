import json

import checkpoints
import numpy as np
import pytest
import torch
import transformers
from checkpoints import DIMENSIONS, EMOTIONS, NORMALISED, WAVEFORM_CONFIG

from emocli.errors import ModelError
from emocli.models import speech
from emocli.models.aliases import Alias
from emocli.models.checkpoint import Checkpoint
from emocli.models.speech import load_speech

CPU, FP32 = torch.device("cpu"), torch.float32
LENGTHS = (1600, 4000, 1600, 2801, 720, 4000, 401, 3333)

FAMILIES = {
    "wav2vec2 group": ("wav2vec2", {}),
    "wav2vec2 layer": ("wav2vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "wav2vec2 weighted": ("wav2vec2", {"use_weighted_layer_sum": True}),
    "hubert group weighted": ("hubert", {"use_weighted_layer_sum": True}),
    "hubert layer": ("hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "hubert batch norm": ("hubert", {"conv_pos_batch_norm": True}),
    "wavlm group": ("wavlm", {"num_buckets": 32}),
    "wavlm layer weighted": (
        "wavlm",
        {
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
            "use_weighted_layer_sum": True,
            "num_buckets": 32,
        },
    ),
    "unispeech": ("unispeech", {}),
    "unispeech-sat": ("unispeech-sat", {"use_weighted_layer_sum": True}),
    "data2vec-audio": (
        "data2vec-audio",
        {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 2},
    ),
    "wav2vec2-conformer": (
        "wav2vec2-conformer",
        {"conv_depthwise_kernel_size": 5, "position_embeddings_type": "rotary"},
    ),
    "sew-d": (
        "sew-d",
        {**WAVEFORM_CONFIG, "conv_dim": [8] * 13, "squeeze_factor": 2, "position_buckets": 8},
    ),
    "sew": (
        "sew",
        {
            **WAVEFORM_CONFIG,
            "conv_dim": [8] * 13,
            "squeeze_factor": 2,
        },
    ),
}


@pytest.fixture
def waveforms(rng):
    return [rng.normal(0, 0.1, n).astype(np.float32) for n in LENGTHS]


def load(folder, **options):
    alias = options.pop("alias", None)
    return load_speech(Checkpoint(folder, "tiny"), CPU, FP32, alias=alias, **options)


@torch.inference_mode()
def expected_logits(network, waveforms):
    """What the library gives for each waveform alone, without padding."""
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    rows = [
        network(extractor(w, sampling_rate=16000, return_tensors="pt").input_values).logits[0]
        for w in waveforms
    ]
    return torch.stack(rows).double().numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_no_utterance_depends_on_its_batch(family, tmp_path, waveforms):
    model_type, facts = FAMILIES[family]
    if model_type.startswith("sew"):  # it needs two frames
        waveforms = [waveform for waveform in waveforms if len(waveform) >= 720]
    network = checkpoints.speech_network(model_type, **facts)
    folder = checkpoints.save_network(tmp_path, network)
    expected = expected_logits(network, waveforms)
    assert np.ptp(expected, axis=0).max() > 1e-3  # otherwise nothing would be shown

    alone = load(folder, batch_size=1)
    np.testing.assert_allclose(alone.logits(waveforms), expected, atol=1e-5)
    np.testing.assert_allclose(load(folder).logits(waveforms), expected, atol=1e-5)
    with checkpoints.torch_threads(2):
        in_lanes = load(folder, batch_size=1).logits(waveforms * 4)
    np.testing.assert_allclose(in_lanes, np.tile(expected, (4, 1)), atol=1e-5)
    padded = load(folder, batch_size=8, mixed_lengths=True)
    np.testing.assert_allclose(padded.logits(waveforms), expected, atol=1e-5)
    np.testing.assert_allclose(padded.logits(waveforms[:1]), expected[:1], atol=1e-5)
    assert alone.card.labels == ("neutral", "happy", "angry", "sad")


def test_padding_is_exact_where_batches_mix_lengths(tmp_path, waveforms, monkeypatch):
    folder = checkpoints.save_network(tmp_path, checkpoints.speech_network("wav2vec2"))
    sizes = []
    score = speech.SpeechRecognizer._score
    monkeypatch.setattr(
        speech.SpeechRecognizer,
        "_score",
        lambda self, inputs: sizes.append(len(inputs)) or score(self, inputs),
    )
    load(folder, batch_size=8, mixed_lengths=True).logits(waveforms)
    assert sizes == [8]
    sizes.clear()
    load(folder, batch_size=8).logits(waveforms)
    assert sorted(sizes) == [1, 1, 1, 1, 2, 2]


def test_wav2vec2_bert_equals_the_library(tmp_path, waveforms):
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_depthwise_kernel_size=5,
        classifier_proj_size=8,
        num_labels=4,
        initializer_range=0.3,
    )
    network = checkpoints.build(transformers.Wav2Vec2BertForSequenceClassification, config)
    extractor = transformers.SeamlessM4TFeatureExtractor()
    folder = checkpoints.save_network(tmp_path, network, preprocessor=extractor.to_dict())
    waveforms = [w for w in waveforms if len(w) >= 560]
    with torch.inference_mode():
        expected = torch.stack(
            [
                network(**extractor([w], sampling_rate=16000, return_tensors="pt")).logits[0]
                for w in waveforms
            ]
        ).double()

    for batch_size in (1, 8):
        found = load(folder, batch_size=batch_size).logits(waveforms)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert load(folder).card.min_seconds == 0.035


def test_whisper_encoder_equals_the_library(tmp_path, waveforms):
    config = transformers.WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_mel_bins=80,
        max_source_positions=10,
        classifier_proj_size=8,
        use_weighted_layer_sum=True,
        num_labels=4,
        init_std=0.3,
    )
    network = checkpoints.build(transformers.WhisperForAudioClassification, config)
    extractor = transformers.WhisperFeatureExtractor()
    folder = checkpoints.save_network(tmp_path, network, preprocessor=extractor.to_dict())
    with torch.inference_mode():
        expected = torch.stack(
            [
                network(
                    extractor(
                        w, sampling_rate=16000, max_length=3200, return_tensors="pt"
                    ).input_features
                ).logits[0]
                for w in waveforms
            ]
        ).double()

    for batch_size in (1, 8):
        model = load(folder, batch_size=batch_size)
        np.testing.assert_allclose(model.logits(waveforms), expected, atol=1e-5)
    assert model.remarks(waveforms[:2]) == ["", "only the first 0.2 s were heard"]


@torch.inference_mode()
def test_audeering_layout(tmp_path, waveforms):
    folder = checkpoints.dense_checkpoint(tmp_path, "out_proj", DIMENSIONS)
    state = Checkpoint(folder, "tiny").load()
    config = transformers.Wav2Vec2Config(**json.loads((folder / "config.json").read_text()))
    encoder = checkpoints.build(transformers.Wav2Vec2Model, config)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    rows = []
    for waveform in waveforms:
        inputs = extractor(waveform, sampling_rate=16000, return_tensors="pt").input_values
        pooled = encoder(inputs).last_hidden_state[0].mean(0)
        dense = torch.tanh(
            state["classifier.dense.weight"] @ pooled + state["classifier.dense.bias"]
        )
        rows.append(state["classifier.out_proj.weight"] @ dense + state["classifier.out_proj.bias"])

    for options in ({"batch_size": 1}, {"batch_size": 8, "mixed_lengths": True}):
        model = load(folder, **options)
        np.testing.assert_allclose(model.logits(waveforms), torch.stack(rows), atol=1e-5)
    assert model.card.dimensions == ("arousal", "dominance", "valence")
    assert model.card.labels == ()


@torch.inference_mode()
def test_ehcalabres_layout(tmp_path, waveforms):
    names = ("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
    folder = checkpoints.dense_checkpoint(
        tmp_path, "output", {str(i): name for i, name in enumerate(names)}
    )
    state = Checkpoint(folder, "tiny").load()
    one, eight = load(folder, batch_size=1), load(folder, batch_size=8, mixed_lengths=True)
    np.testing.assert_allclose(one.logits(waveforms), eight.logits(waveforms), atol=1e-5)
    assert one.card.labels == names

    # Without the encoder: the output layer's bias alone is left when its weights are zero.
    state["classifier.output.weight"].zero_()
    checkpoints.save(folder, state, json.loads((folder / "config.json").read_text()), NORMALISED)
    bias = state["classifier.output.bias"].numpy()
    np.testing.assert_allclose(load(folder).logits(waveforms[:1])[0], bias, atol=1e-6)


@torch.inference_mode()
def test_challenge_baseline_layout(tmp_path, waveforms):
    names = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
    folder = checkpoints.challenge_checkpoint(
        tmp_path, {str(i): name for i, name in enumerate(names)}
    )
    state = Checkpoint(folder, "tiny").load()
    config = transformers.WavLMConfig(
        **WAVEFORM_CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True, num_buckets=32
    )
    encoder = checkpoints.build(transformers.WavLMModel, config)
    rows = []
    for waveform in waveforms:
        inputs = torch.from_numpy((waveform - 0.01) / (0.2 + 1e-6))[None].float()
        frames = encoder(inputs).last_hidden_state[0]  # (n_frames, 16)
        hidden = torch.tanh(
            frames @ state["pool_model.sap_linear.weight"].T + state["pool_model.sap_linear.bias"]
        )
        weights = torch.softmax(hidden @ state["pool_model.attention"], dim=0)  # (n_frames, 1)
        mean = (weights * frames).sum(0)
        spread = ((weights * frames**2).sum(0) - mean**2).clamp(min=1e-5).sqrt()
        first = state["ser_model.fc.0.0.weight"] @ torch.cat([mean, spread])
        first = torch.nn.functional.layer_norm(
            first + state["ser_model.fc.0.0.bias"],
            (16,),
            state["ser_model.fc.0.1.weight"],
            state["ser_model.fc.0.1.bias"],
        ).relu()
        rows.append(state["ser_model.out.0.weight"] @ first + state["ser_model.out.0.bias"])

    for options in ({"batch_size": 1}, {"batch_size": 8, "mixed_lengths": True}):
        model = load(folder, **options)
        np.testing.assert_allclose(model.logits(waveforms), torch.stack(rows), atol=1e-5)
    assert model.card.labels == (
        "angry",
        "sad",
        "happy",
        "surprised",
        "fearful",
        "disgust",
        "contempt",
        "neutral",
    )


def test_challenge_attributes(tmp_path, waveforms):
    model = load(checkpoints.challenge_checkpoint(tmp_path, DIMENSIONS))
    assert model.card.dimensions == ("arousal", "dominance", "valence")
    assert model.logits(waveforms[:2]).shape == (2, 3)


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_every_form_of_weights_gives_the_same(form, tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2")
    folder = checkpoints.save_network(tmp_path, network, form=form)
    expected = expected_logits(network, waveforms[:2])
    np.testing.assert_allclose(load(folder).logits(waveforms[:2]), expected, atol=1e-5)


def test_new_weight_norm_names_load_as_old_ones_do(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2")
    config = {**network.config.to_dict(), "id2label": EMOTIONS}
    folder = checkpoints.save(tmp_path, network.state_dict(), config, NORMALISED)
    expected = expected_logits(network, waveforms[:2])
    np.testing.assert_allclose(load(folder).logits(waveforms[:2]), expected, atol=1e-5)


def test_leftovers_of_pretraining_are_left_alone(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2")
    state = checkpoints.old_names(network.state_dict())
    del state["wav2vec2.masked_spec_embed"]
    state |= {"quantizer.codevectors": torch.zeros(2), "project_q.bias": torch.zeros(2)}
    config = {**network.config.to_dict(), "id2label": EMOTIONS}
    folder = checkpoints.save(tmp_path, state, config, NORMALISED)
    expected = expected_logits(network, waveforms[:1])
    np.testing.assert_allclose(load(folder).logits(waveforms[:1]), expected, atol=1e-5)


def test_half_precision_weights_compute_in_fp32(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2").half().float()
    state = {k: v.half() for k, v in checkpoints.old_names(network.state_dict()).items()}
    config = {**network.config.to_dict(), "id2label": EMOTIONS, "torch_dtype": "float16"}
    folder = checkpoints.save(tmp_path, state, config, NORMALISED)
    expected = expected_logits(network, waveforms[:2])
    np.testing.assert_allclose(load(folder).logits(waveforms[:2]), expected, atol=1e-5)


def test_bf16_is_near_fp32(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2")
    folder = checkpoints.save_network(tmp_path, network)
    model = load_speech(Checkpoint(folder, "tiny"), CPU, torch.bfloat16, mixed_lengths=True)
    found = model.logits(waveforms)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected_logits(network, waveforms), atol=0.2)


def test_do_normalize_is_honoured(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2", feat_extract_norm="layer")
    off = checkpoints.save_network(
        tmp_path, network, preprocessor={**NORMALISED, "do_normalize": False}
    )
    with torch.inference_mode():
        raw = network(torch.from_numpy(waveforms[0])[None]).logits
    np.testing.assert_allclose(load(off).logits(waveforms[:1]), raw, atol=1e-5)


def test_a_missing_preprocessor_is_said_in_the_card(tmp_path):
    folder = checkpoints.save_network(
        tmp_path, checkpoints.speech_network("wav2vec2"), preprocessor=None
    )
    assert load(folder).card.description == (
        "It has no preprocessor_config.json; waveforms of 16 kHz with zero mean and unit "
        "variance are assumed."
    )


def test_settings_inside_a_processor_config(tmp_path):
    folder = checkpoints.save_network(
        tmp_path, checkpoints.speech_network("wav2vec2"), preprocessor=None
    )
    inner = {"feature_extractor": {**NORMALISED, "sampling_rate": 8000}}
    (folder / "processor_config.json").write_text(json.dumps(inner))
    assert load(folder).card.sampling_rate == 8000


def test_shortest_waveform_gives_one_frame(tmp_path):
    model = load(checkpoints.save_network(tmp_path, checkpoints.speech_network("wav2vec2")))
    assert model.card.min_seconds == 0.025
    tone = np.sin(np.arange(400, dtype=np.float32))
    padded = np.concatenate([tone[:100], np.zeros(300, np.float32)])
    np.testing.assert_array_equal(model.logits([tone[:100]]), model.logits([padded]))


def test_no_utterance_gives_no_row(tmp_path):
    model = load(checkpoints.save_network(tmp_path, checkpoints.speech_network("wav2vec2")))
    assert model.logits([]).shape == (0, 4)
    assert model.remarks([]) == []


def test_remote_code_is_not_run(tmp_path, waveforms):
    network = checkpoints.speech_network("wav2vec2")
    folder = checkpoints.save_network(
        tmp_path,
        network,
        auto_map={"AutoModelForAudioClassification": "evil.Model"},
        quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True},
    )
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n")
    expected = expected_logits(network, waveforms[:1])
    np.testing.assert_allclose(load(folder).logits(waveforms[:1]), expected, atol=1e-5)
    assert not (tmp_path / "was-run").exists()


def test_a_card_has_what_was_found(tmp_path):
    network = checkpoints.speech_network("wav2vec2")
    folder = checkpoints.save_network(tmp_path, network)
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# A model\n")
    card = load(folder).card
    assert card.n_parameters == sum(p.numel() for p in network.parameters())
    assert card.size_bytes == (folder / "model.safetensors").stat().st_size
    assert (card.licence, card.source, card.name) == ("mit", str(folder), "tiny")


def test_an_alias_names_outputs_that_have_placeholders(tmp_path):
    network = checkpoints.speech_network("wav2vec2")
    numbered = {str(i): f"LABEL_{i}" for i in range(4)}
    folder = checkpoints.save_network(tmp_path, network, numbered)
    alias = Alias(name="x", labels=("happy", "sad", "angry", "neutral"), licence="MIT")
    assert load(folder, alias=alias).card.labels == ("happy", "sad", "angry", "neutral")
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: config.json gives the 4 outputs no names (id2label), and without names nobody "
        "knows which emotion is which. Name them in their order with --label-names, or add "
        "id2label to config.json."
    )


REMEDY = (
    "The checkpoint is incomplete or of a kind that emocli does not know; use another one, for "
    "example from `emocli models list`."
)


def broken(folder, state, config, preprocessor=NORMALISED):
    checkpoints.save(folder, state, config, preprocessor)
    with pytest.raises(ModelError) as caught:
        load(folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def sound():
    network = checkpoints.speech_network("wav2vec2")
    return (
        checkpoints.old_names(network.state_dict()),
        {**network.config.to_dict(), "id2label": EMOTIONS},
    )


def without(state, *beginnings):
    return {key: value for key, value in state.items() if not key.startswith(beginnings)}


def test_a_missing_head_is_an_error(tmp_path, sound):
    state, config = sound
    assert broken(tmp_path, without(state, "classifier", "projector"), config) == (
        "tiny: the weights do not fit the network: missing projector.weight, projector.bias, "
        f"classifier.weight, classifier.bias. {REMEDY}"
    )


def test_half_a_head_is_an_error(tmp_path, sound):
    state, config = sound
    assert broken(tmp_path, without(state, "classifier.bias"), config) == (
        f"tiny: the weights do not fit the network: missing classifier.bias. {REMEDY}"
    )


def test_half_a_dense_head_is_an_error(tmp_path):
    folder = checkpoints.dense_checkpoint(tmp_path, "out_proj", DIMENSIONS)
    checkpoint = Checkpoint(folder, "tiny")
    state = without(checkpoint.load(), "classifier.out_proj")
    assert broken(tmp_path, state, checkpoint.config) == (
        "tiny: the weights do not fit the network: missing classifier.out_proj.weight, "
        f"classifier.out_proj.bias. {REMEDY}"
    )


def test_an_unknown_tensor_is_an_error(tmp_path, sound):
    state, config = sound
    assert broken(tmp_path, {**state, "gate.weight": torch.zeros(1)}, config) == (
        f"tiny: the weights do not fit the network: unexpected gate.weight. {REMEDY}"
    )


def test_only_the_first_ten_keys_are_named(tmp_path, sound):
    state, config = sound
    gone = without(state, "wav2vec2.encoder.layers.0")
    message = broken(tmp_path, gone, {**config, "num_hidden_layers": 1})
    assert " and 6 more; unexpected wav2vec2.encoder.layers.1.attention" in message


def test_other_shapes_than_configured_are_an_error(tmp_path, sound):
    state, config = sound
    assert broken(tmp_path, state, {**config, "classifier_proj_size": 9}) == (
        "tiny: shapes of weights differ from what config.json says: projector.weight [8, 16] "
        "instead of [9, 16], projector.bias [8] instead of [9], classifier.weight [4, 8] instead "
        "of [4, 9]. Fetch the checkpoint again, or repair config.json."
    )


def test_huge_dimensions_cost_nothing(tmp_path, sound):
    state, config = sound
    message = broken(tmp_path, state, {**config, "hidden_size": 2**24, "intermediate_size": 2**24})
    assert message.startswith("tiny: shapes of weights differ from what config.json says: ")


def test_more_layers_than_weights_is_an_error(tmp_path, sound):
    state, config = sound
    assert broken(tmp_path, state, {**config, "num_hidden_layers": 10**9}) == (
        "tiny: config.json says 1000000000 layers and the weights have 2. Fetch the checkpoint "
        "again, or repair config.json."
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", "wide"),
        ("hidden_size", -1),
        ("hidden_size", 10**30),
        ("hidden_act", "nope"),
        ("num_attention_heads", 0),
        ("conv_dim", [1, 2]),
        ("feat_extract_norm", "x"),
        ("add_adapter", True),
    ],
)
def test_a_senseless_configuration_is_an_error(field, value, tmp_path, sound):
    state, config = sound
    message = broken(tmp_path, state, {**config, field: value})
    assert message.startswith("tiny: config.json describes no network that can be built (")
    assert message.endswith("). Fetch the checkpoint again, or repair config.json.")


def test_as_many_names_as_outputs(tmp_path, sound):
    state, config = sound
    names = {"0": "happy", "1": "sad"}
    assert broken(tmp_path, state, {**config, "id2label": names}) == (
        "tiny: config.json names 2 outputs (happy, sad) and the weights have 4. Repair id2label "
        "in config.json."
    )


def test_two_names_for_one_emotion(tmp_path, sound):
    state, config = sound
    names = {"0": "happy", "1": "joy", "2": "sad", "3": "neutral"}
    assert broken(tmp_path, state, {**config, "id2label": names}) == (
        "tiny: Labels happy, joy mean the same (happy), expected one name for each emotion. "
        "Rename one of them in the model's configuration."
    )


def test_a_regression_onto_something_else(tmp_path, sound):
    state, config = sound
    names = {"0": "pitch", "1": "rate", "2": "age", "3": "height"}
    facts = {**config, "id2label": names, "problem_type": "regression"}
    assert broken(tmp_path, state, facts) == (
        "tiny: a regression onto pitch, rate, age, height, expected the dimensions arousal, "
        "dominance, valence. Use a model for emotions or these dimensions."
    )


def test_an_impossible_sampling_rate(tmp_path, sound):
    assert broken(tmp_path, *sound, {**NORMALISED, "sampling_rate": 0}) == (
        "tiny: preprocessor_config.json: sampling_rate is 0, expected a whole number from 1000 to "
        "192000. Fetch the checkpoint again, or repair the field."
    )


def test_a_pooling_that_is_unknown(tmp_path):
    folder = checkpoints.dense_checkpoint(tmp_path, "out_proj", DIMENSIONS)
    checkpoint = Checkpoint(folder, "tiny")
    assert broken(tmp_path, checkpoint.load(), {**checkpoint.config, "pooling_mode": "x"}) == (
        "tiny: a classifier.dense head on wav2vec2 with x pooling, expected one of hubert, "
        "unispeech, unispeech-sat, wav2vec2, wavlm and one of mean, sum, max. Use another "
        "checkpoint."
    )


@pytest.mark.parametrize("missing", ["mean", "std"])
def test_challenge_baseline_without_corpus_statistics(missing, tmp_path):
    folder = checkpoints.challenge_checkpoint(tmp_path, DIMENSIONS, **{missing: None})
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: config.json has no mean and std of the training corpus, expected two numbers that "
        "waveforms are standardised with. Use a later revision of the checkpoint."
    )


def test_challenge_baseline_on_another_encoder(tmp_path):
    folder = checkpoints.challenge_checkpoint(tmp_path, DIMENSIONS, ssl_type="facebook/hubert")
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: the encoder is facebook/hubert, expected a WavLM in ssl_type of config.json. Use "
        "another checkpoint."
    )


@pytest.mark.parametrize("gone", ["ssl_model.encoder.pos_conv_embed", "ssl_model.feature_proj"])
def test_challenge_baseline_without_its_encoder(gone, tmp_path):
    folder = checkpoints.challenge_checkpoint(tmp_path, DIMENSIONS)
    checkpoint = Checkpoint(folder, "tiny")
    message = broken(tmp_path, without(checkpoint.load(), gone), checkpoint.config, None)
    assert message.startswith(
        "tiny: the weights do not fit the network: missing tensors of ssl_model, the first is "
    )


def test_memory_that_runs_out(tmp_path, sound, waveforms, monkeypatch):
    model = load(checkpoints.save(tmp_path, *sound, NORMALISED))

    def forward(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "__call__", forward)
    with pytest.raises(ModelError) as caught:
        model.logits(waveforms[:1])
    assert str(caught.value) == (
        "tiny: memory of cpu ran out with 1 utterances of up to 1600 values at once. Use a "
        "smaller --batch-size or a shorter --window."
    )


def test_a_filter_bank_of_another_width(tmp_path):
    config = transformers.Wav2Vec2BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        conv_depthwise_kernel_size=5, classifier_proj_size=8, num_labels=4,
    )  # fmt: skip
    network = checkpoints.build(transformers.Wav2Vec2BertForSequenceClassification, config)
    folder = checkpoints.save_network(tmp_path, network, preprocessor={"num_mel_bins": 64})
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value) == (
        "tiny: preprocessor_config.json gives 2 frames of 64 bins and the network takes 160 "
        "values, expected two frames that make as many. Repair preprocessor_config.json."
    )
