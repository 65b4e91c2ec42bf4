"""Tiny random checkpoints under the key names and configurations of published ones."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

EMOTIONS = {"0": "neu", "1": "hap", "2": "ang", "3": "sad"}
DIMENSIONS = {"0": "arousal", "1": "dominance", "2": "valence"}
NORMALISED = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_value": 0.0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}
WAVEFORM_CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
    "initializer_range": 0.3,  # logits far enough apart to tell right from wrong
}
TEXT_CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 40,
    "max_position_embeddings": 20,
    "pad_token_id": 1,
    "initializer_range": 0.3,
}
WORDS = ("<s>", "<pad>", "</s>", "<unk>", "@user", "http", "i", "am", "happy", "sad", "not", "!")


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Torch computes on so many threads in the block; elsewhere in the tests it has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build(kind: Any, config: Any) -> Any:
    """A network with random weights that are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = kind(config).eval()
        for name, weights in network.named_parameters():
            if name.endswith("layer_weights"):
                torch.nn.init.normal_(weights)
    return network


def speech_network(model_type: str, **facts: Any) -> Any:
    """A classifier of the library for waveforms."""
    base = {} if model_type.startswith("sew") else dict(WAVEFORM_CONFIG)
    config = transformers.AutoConfig.for_model(model_type, **{**base, "num_labels": 4, **facts})
    return build(transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)], config)


def text_network(model_type: str, n_labels: int = 3, **facts: Any) -> Any:
    """A classifier of the library for texts."""
    config = transformers.AutoConfig.for_model(
        model_type, **{**TEXT_CONFIG, "num_labels": n_labels, **facts}
    )
    return build(transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)], config)


def old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weight norm under its names before torch 2.0, as most of the hub has it."""
    renamed = {}
    for key, tensor in state.items():
        key = key.replace(".parametrizations.weight.original0", ".weight_g")
        renamed[key.replace(".parametrizations.weight.original1", ".weight_v")] = tensor
    return renamed


def save(
    folder: Path,
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any] | None = None,
    *,
    form: str = "safetensors",
) -> Path:
    """Write a checkpoint in one of the forms of the hub: safetensors, sharded or bin."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(dict(preprocessor)))
    state = {key: tensor.detach().clone().contiguous() for key, tensor in state.items()}
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    elif form == "sharded":
        _save_shards(folder, state)
    else:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _save_shards(folder: Path, state: Mapping[str, Tensor]) -> None:
    keys = sorted(state)
    places = {}
    for number, part in enumerate((keys[::2], keys[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({key: state[key] for key in part}, folder / file)
        places |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def save_network(
    folder: Path,
    network: Any,
    id2label: Mapping[str, str] = EMOTIONS,
    preprocessor: Mapping[str, Any] | None = NORMALISED,
    *,
    form: str = "safetensors",
    **facts: Any,
) -> Path:
    """Write a network of the library as its published kin are: with old weight norm names."""
    config = {**network.config.to_dict(), "id2label": dict(id2label), **facts}
    return save(folder, old_names(network.state_dict()), config, preprocessor, form=form)


def save_tokenizer(folder: Path, max_tokens: int = 16) -> Path:
    """Write a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    return folder


def random_state(shapes: Mapping[str, tuple[int, ...]], seed: int = 5) -> dict[str, Tensor]:
    """Random tensors of given shapes."""
    rng = np.random.default_rng(seed)
    return {
        key: torch.from_numpy(rng.normal(0, 0.4, shape).astype(np.float32))
        for key, shape in shapes.items()
    }


def with_prefix(prefix: str, network: Any) -> dict[str, Tensor]:
    """A network's weights under a prefix, weight norm by its old names."""
    return {prefix + key: tensor for key, tensor in old_names(network.state_dict()).items()}


def dense_checkpoint(folder: Path, output_name: str, id2label: Mapping[str, str]) -> Path:
    """As audeering (``out_proj``) and ehcalabres (``output``) publish theirs."""
    config = transformers.Wav2Vec2Config(
        **WAVEFORM_CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True
    )
    encoder = build(transformers.Wav2Vec2Model, config)
    n_outputs = len(id2label)
    state = with_prefix("wav2vec2.", encoder) | random_state(
        {
            "classifier.dense.weight": (16, 16),
            "classifier.dense.bias": (16,),
            f"classifier.{output_name}.weight": (n_outputs, 16),
            f"classifier.{output_name}.bias": (n_outputs,),
        }
    )
    facts = {
        **config.to_dict(),
        "architectures": ["Wav2Vec2ForSpeechClassification"],
        "finetuning_task": "wav2vec2_reg",
        "id2label": dict(id2label),
    }
    return save(folder, state, facts, NORMALISED)


def challenge_checkpoint(folder: Path, id2label: Mapping[str, str], **facts: Any) -> Path:
    """As 3loi publishes the baselines of the Odyssey challenge."""
    config = transformers.WavLMConfig(
        **WAVEFORM_CONFIG, feat_extract_norm="layer", do_stable_layer_norm=True, num_buckets=32
    )
    encoder = build(transformers.WavLMModel, config)
    n_outputs = len(id2label)
    state = with_prefix("ssl_model.", encoder) | random_state(
        {
            "pool_model.sap_linear.weight": (16, 16),
            "pool_model.sap_linear.bias": (16,),
            "pool_model.attention": (16, 1),
            "ser_model.fc.0.0.weight": (16, 32),
            "ser_model.fc.0.0.bias": (16,),
            "ser_model.fc.0.1.weight": (16,),
            "ser_model.fc.0.1.bias": (16,),
            "ser_model.out.0.weight": (n_outputs, 16),
            "ser_model.out.0.bias": (n_outputs,),
        }
    )
    settings = {
        "architectures": ["SERModel"],
        "auto_map": {
            "AutoConfig": "pipeline_utils.SERConfig",
            "AutoModelForAudioClassification": "pipeline_utils.SERModel",
        },
        "classifier_hidden_layers": 1,
        "hidden_size": 16,
        "id2label": dict(id2label),
        "mean": 0.01,
        "model_type": "ser",
        "num_attention_heads": 2,
        "num_classes": n_outputs,
        "num_hidden_layers": 2,
        "sampling_rate": 16000,
        "ssl_type": "microsoft/wavlm-large",
        "std": 0.2,
        **facts,
    }
    return save(folder, state, settings, {"mean": 10})
