"""Emotion heads on Whisper's encoder: the form in which it hears, and where it comes from."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from whisper_checkpoints import write_hub, write_openai

from emocli.calibration.adaptation import Adaptation, GroupFigures, TraitDirections
from emocli.errors import ModelError, ModelUnavailable
from emocli.models import registry, whisper_emotion
from emocli.models.whisper_emotion import _mel_filters, load_encoder, load_whisper_emotion
from emocli.networks.whisper_emotion import EncoderShape, LowerEncoder, pieces_of
from emocli.training.adaptation import write_adaptation

LABELS = ("angry", "happy", "neutral", "sad")


def speech(rng, seconds):
    return rng.normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


@pytest.fixture(scope="module")
def openai(tmp_path_factory):
    return write_openai(tmp_path_factory.mktemp("openai") / "tiny.pt")


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory):
    return write_hub(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture
def head(tmp_path, openai, rng):
    """A head of random weights for the encoder of the tests."""
    width = load_encoder(openai, 1).conv1.out_channels
    folder = tmp_path / "head"
    folder.mkdir()
    tensors = {
        "mean": torch.zeros(2 * width),
        "deviation": torch.ones(2 * width),
        "classifier.weight": torch.from_numpy(rng.standard_normal((4, 2 * width))).float(),
        "classifier.bias": torch.zeros(4),
    }
    save_file(tensors, folder / "model.safetensors")
    figures = GroupFigures(np.eye(4)[:, :3], np.eye(3), np.eye(3), np.array(0.4))
    directions = TraitDirections(np.zeros(2 * width), np.ones(2 * width), np.ones((2 * width, 2)))
    write_adaptation(folder / "adaptation.safetensors", Adaptation(directions, figures, figures))
    config = {
        "model_type": "emocli-whisper-emotion",
        "name": "whisper-tiny+emotion",
        "encoder": "base",
        "layers": [1],
        "labels": LABELS,
        "licence": "MIT",
        "description": "A test.",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_hidden_states_are_those_of_the_library(rng):
    torch.manual_seed(3)
    config = WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=128,
        max_source_positions=300, num_mel_bins=80, attn_implementation="eager",
    )  # fmt: skip
    theirs = WhisperEncoder(config).eval()
    ours = LowerEncoder(EncoderShape(32, 4, 80, 2), _mel_filters(80)).eval()
    ours.load_encoder(theirs.state_dict())
    waveform = speech(rng, 6.0)
    extractor = WhisperFeatureExtractor()
    features = extractor(waveform, sampling_rate=16000, max_length=96000, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(features["input_features"], output_hidden_states=True)
        first, _ = ours(torch.from_numpy(waveform))
    torch.testing.assert_close(first, expected.hidden_states[1][0], rtol=1e-3, atol=1e-3)


def test_pieces_are_of_six_seconds_at_one_level(rng):
    waveform = torch.from_numpy(speech(rng, 13.0))
    pieces = pieces_of(waveform)
    assert [round(len(piece) / 16000, 1) for piece in pieces] == [6.0, 6.0, 1.0]
    assert float(torch.cat(pieces).square().mean().sqrt()) == pytest.approx(0.07, rel=1e-3)
    for quiet, loud in zip(pieces_of(0.01 * waveform), pieces, strict=True):
        torch.testing.assert_close(quiet, loud, rtol=1e-3, atol=1e-5)


def test_a_rest_that_says_little_is_left_out_and_silence_has_no_pieces(rng):
    assert len(pieces_of(torch.from_numpy(speech(rng, 6.2)))) == 1
    assert pieces_of(torch.zeros(16000)) == []
    assert pieces_of(torch.zeros(0)) == []


def test_both_kinds_of_checkpoints_give_the_same(head, openai, hub_folder, rng):
    waveforms = [speech(rng, seconds) for seconds in (1.0, 0.05, 7.0)]
    first, second = (
        load_whisper_emotion(head, path, offline=True) for path in (openai, hub_folder)
    )
    logits = first.logits(waveforms)
    assert logits.shape == (3, 4)
    np.testing.assert_allclose(second.logits(waveforms), logits, atol=1e-3)
    assert (first.card.name, first.card.labels) == ("whisper-tiny+emotion", LABELS)


def test_logits_do_not_depend_on_level_or_neighbours_and_silence_is_uniform(head, openai, rng):
    model = load_whisper_emotion(head, openai, offline=True)
    one, other, silence = speech(rng, 1.0), speech(rng, 2.0), np.zeros(16000, np.float32)
    together = model.logits([one, silence, other])
    np.testing.assert_allclose(model.logits([0.1 * one])[0], together[0], atol=1e-3)
    np.testing.assert_allclose(model.logits([other])[0], together[2], atol=1e-5)
    assert together[1].tolist() == [0.0] * 4
    assert model.logits([]).shape == (0, 4)


def test_traits_are_of_statistics_that_are_not_computed_twice(head, openai, rng, monkeypatch):
    model = load_whisper_emotion(head, openai, offline=True)
    waveforms = [speech(rng, 1.0), np.zeros(16000, np.float32)]
    model.logits(waveforms)
    monkeypatch.setattr(model.module, "statistics", None)
    traits = model.traits(waveforms)
    assert traits.shape == (2, 2)
    assert traits[1].tolist() == [0.0, 0.0]
    assert traits[0].any()


def test_an_encoder_of_another_width_is_told(head, tmp_path):
    config = WhisperConfig(
        d_model=48, encoder_layers=1, encoder_attention_heads=4, encoder_ffn_dim=192,
        max_source_positions=300,
    )  # fmt: skip
    tensors = {
        f"encoder.{k}": v.contiguous() for k, v in WhisperEncoder(config).state_dict().items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(config.to_json_string())
    with pytest.raises(ModelError, match="no head for the encoder of Whisper base"):
        load_whisper_emotion(head, tmp_path, offline=True)


def test_a_checkpoint_without_the_encoders_weights_is_told(head, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    config = WhisperConfig(d_model=32, encoder_layers=1, encoder_attention_heads=4)
    (tmp_path / "config.json").write_text(config.to_json_string())
    with pytest.raises(ModelError, match="not the weights of Whisper's encoder"):
        load_whisper_emotion(head, tmp_path, offline=True)


def test_another_network_is_no_encoder(head, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "wavlm"}')
    with pytest.raises(ModelError, match="model_type 'wavlm', expected 'whisper'"):
        load_whisper_emotion(head, tmp_path, offline=True)


def test_the_published_encoder_is_looked_for_where_transcribe_has_it(
    head, openai, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(whisper_emotion.hub, "find_cached", lambda name: None)
    with pytest.raises(ModelUnavailable, match="Whisper base is not on this machine"):
        load_whisper_emotion(head, None, offline=True)
    (tmp_path / "cache" / "whisper").mkdir(parents=True)
    (tmp_path / "cache" / "whisper" / "base.pt").write_bytes(openai.read_bytes())
    assert load_whisper_emotion(head, None, offline=True).card.labels == LABELS


def test_the_cache_of_the_hub_is_looked_into_and_then_the_hub(
    head, hub_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(whisper_emotion.hub, "find_cached", lambda name: hub_folder)
    assert load_whisper_emotion(head, None, offline=True).card.labels == LABELS
    monkeypatch.setattr(whisper_emotion.hub, "find_cached", lambda name: None)
    monkeypatch.setattr(whisper_emotion.hub, "fetch", lambda name: hub_folder)
    assert load_whisper_emotion(head, None, offline=False).card.labels == LABELS


def test_a_whisper_of_the_users_is_named_with_the_head(openai):
    found = registry.find(f"{openai}+emotion")
    assert (found.name, found.weights) == ("whisper-base+emotion", openai)
    with pytest.raises(ModelError, match="not the weights of Whisper's encoder"):
        registry.resolve(f"{openai}+emotion", offline=True)  # it has one layer


@pytest.mark.parametrize("name", ["whisper-base+emotion", "whisper-base+emotion-research"])
def test_heads_of_the_package_are_listed_with_their_licence(name):
    listing = registry.describe(name)
    assert listing.card.labels == LABELS
    assert "CREMA-D" in listing.text
    assert listing.card.licence
