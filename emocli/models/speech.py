"""Speech recognisers from transformers checkpoints, and from kin whose heads it does not know.

The structure of a checkpoint is found from ``config.json`` and the names of its tensors:

    classifier.weight, projector.weight        the library's own classification head
    classifier.dense, classifier.out_proj      audeering's dimensional wav2vec2 and its kin
    classifier.dense, classifier.output        ehcalabres' classifier
    ssl_model, pool_model, ser_model           the challenge baselines of 3loi
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.errors import ModelError
from emocli.models.aliases import Alias
from emocli.models.building import fill, library_config, load_classifier, skeleton_shapes
from emocli.models.checkpoint import Checkpoint, Shapes, match_names
from emocli.models.devices import dtype_name
from emocli.models.lanes import POOL_SECONDS
from emocli.models.outputs import count_outputs, name_outputs
from emocli.models.protocol import ModelCard, Recognizer
from emocli.models.speech_features import CorpusNorm
from emocli.models.speech_network import (
    EXACT_WITH_PADDING,
    MemoryFull,
    NetworkRunner,
    SpeechNetwork,
    not_heard,
    with_filterbank,
    with_library_front_end,
    with_waveforms,
    with_whisper_front_end,
)
from emocli.networks.residual_head import ResidualHead, ResidualHeadConfig
from emocli.networks.speech_heads import (
    POOLINGS,
    ChallengeBaseline,
    DenseTanhHead,
    FullyConnected,
    PooledClassifier,
)
from emocli.schema import is_number

WAVEFORM_TYPES = EXACT_WITH_PADDING | {"data2vec-audio", "sew", "sew-d", "wav2vec2-conformer"}
FILTERBANK_TYPE = "wav2vec2-bert"
WHISPER_TYPE = "whisper"
CHALLENGE_TYPE = "ser"
SPEECH_TYPES = WAVEFORM_TYPES | {FILTERBANK_TYPE, WHISPER_TYPE, CHALLENGE_TYPE}


class SpeechRecognizer(Recognizer):
    """A `Recognizer` of waveforms; see `NetworkRunner` for how they are batched."""

    def __init__(
        self,
        card: ModelCard,
        network: SpeechNetwork,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
        mixed_lengths: bool | None = None,
        remark: str = "",
    ) -> None:
        self.card = replace(card, number_format=dtype_name(dtype))
        self.engine = f"torch {dtype_name(dtype)}"
        self.engine_remark = remark
        self.module = network.module
        self.pool_seconds = POOL_SECONDS if device.type == "cpu" else math.inf
        self.max_seconds = network.max_samples / network.sampling_rate
        self._network = network
        self._runner = NetworkRunner(
            card.name,
            network,
            device,
            dtype,
            batch_size=batch_size,
            mixed_lengths=mixed_lengths,
        )

    def _logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Scores of waveforms; see `Recognizer.logits`.

        Raises:
            ModelError: memory runs out for a single utterance.
        """
        result = np.empty((len(utterances), self._network.outputs.n_logits))
        # A GPU computes one batch while the next is made ready: nothing waits until all are sent.
        for batch, scores in self._runner.in_batches(self._score, utterances):
            result[batch] = scores.double().cpu().numpy()
        return self._network.outputs.logits(result)

    def remarks(self, utterances: Sequence[NDArray[np.float32]]) -> list[str]:
        """What of each utterance the model does not take in, empty where it takes all."""
        return not_heard(self._network, utterances)

    def _score(self, inputs: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        """Logits of one batch, shape (n_utterances, n_outputs), in halves if it is too large."""
        try:
            return self._runner.forward(inputs)
        except MemoryFull:
            if len(inputs) == 1:
                raise
        # Out here the error no longer holds what the network had computed.
        torch.cuda.empty_cache()  # does nothing without CUDA
        middle = len(inputs) // 2
        return torch.cat([self._score(inputs[:middle]), self._score(inputs[middle:])])


def load_speech(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    alias: Alias | None = None,
    batch_size: int | None = None,
    mixed_lengths: bool | None = None,
    remark: str = "",
) -> SpeechRecognizer:
    """A speech recogniser from a checkpoint.

    Args:
        checkpoint: what to load.
        device: where to compute.
        dtype: number format to compute in.
        alias: facts that the checkpoint itself may lack.
        batch_size: most utterances at once; None for a size that suits the device.
        mixed_lengths: whether utterances of different lengths may share a batch where padding is
            exact; None for yes except on a CPU.
        remark: why no other engine runs it.

    Raises:
        ModelError: the checkpoint is incomplete, contradicts itself or is of an unknown kind.
    """
    network = build_network(checkpoint, alias)
    return SpeechRecognizer(
        card_of(checkpoint, network, alias),
        network,
        device,
        dtype,
        batch_size=batch_size,
        mixed_lengths=mixed_lengths,
        remark=remark,
    )


def card_of(checkpoint: Checkpoint, network: SpeechNetwork, alias: Alias | None) -> ModelCard:
    """What is known of a network from a checkpoint."""
    return ModelCard(
        name=checkpoint.name,
        revision=checkpoint.revision,
        modality="speech",
        labels=network.outputs.labels,
        dimensions=network.outputs.dimensions,
        multi_label=network.outputs.multi_label,
        sampling_rate=network.sampling_rate,
        min_seconds=network.min_samples / network.sampling_rate,
        n_parameters=checkpoint.n_parameters,
        size_bytes=checkpoint.size_bytes,
        cut_seconds=cut_of(checkpoint),
        licence=(alias.licence if alias else "") or checkpoint.licence,
        source=str(checkpoint.folder) if not checkpoint.revision else f"hf:{checkpoint.name}",
        description=" ".join(filter(None, [alias.description if alias else "", network.remark])),
    )


def build_network(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """The network of a checkpoint, in fp32 on the CPU.

    Raises:
        ModelError: the checkpoint is incomplete, contradicts itself or is of an unknown kind.
    """
    if checkpoint.config.get("model_type") not in SPEECH_TYPES:
        return _any_library_head(checkpoint, alias)
    if "pool_model.attention" in checkpoint.shapes:
        return _challenge_baseline(checkpoint, alias)
    if any(key.startswith("classifier.dense.") for key in checkpoint.shapes):
        return _dense_head(checkpoint, alias)
    return _library_head(checkpoint, alias)


# The library's own classification heads.


def _library_head(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    model_type = str(checkpoint.config.get("model_type"))
    config = library_config(
        checkpoint,
        model_type,
        checkpoint.config,
        _n_rows(checkpoint.shapes, "classifier.weight"),
    )
    kind: Any = transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    names = match_names(
        checkpoint.name,
        checkpoint.shapes,
        skeleton_shapes(checkpoint, lambda: kind(config)),
    )
    outputs = name_outputs(checkpoint.name, checkpoint.config, config.num_labels, alias)
    tensors = checkpoint.load()
    module = fill(kind, config, {target: tensors[key] for target, key in names.items()})
    if model_type == WHISPER_TYPE:
        return with_whisper_front_end(checkpoint, config, module, outputs)
    if model_type == FILTERBANK_TYPE:
        return with_filterbank(checkpoint, config, module, outputs)
    network = with_waveforms(checkpoint, config, module, outputs)
    return replace(network, forward=lambda x, mask, _: module(x, attention_mask=mask).logits)


def _any_library_head(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """Whatever the library has a classifier and a feature extractor for, such as AST."""
    kinds = transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING
    module = load_classifier(checkpoint, kinds, count_outputs(checkpoint.config, alias))
    n_outputs = module.config.num_labels
    outputs = name_outputs(checkpoint.name, checkpoint.config, n_outputs, alias)
    return with_library_front_end(checkpoint, module, outputs)


# Heads that the library does not know.


def _dense_head(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """An encoder, pooling over time, dense, tanh, output."""
    shapes, name = checkpoint.shapes, checkpoint.name
    model_type = str(checkpoint.config.get("model_type"))
    pooling = checkpoint.fields.text("pooling_mode", "mean")
    if pooling not in POOLINGS or model_type not in EXACT_WITH_PADDING:
        raise ModelError(
            f"{name}: a classifier.dense head on {model_type} with {pooling} pooling, expected "
            f"one of {', '.join(sorted(EXACT_WITH_PADDING))} and one of {', '.join(POOLINGS)}. "
            f"Use another checkpoint."
        )
    output_name = "output" if "classifier.output.weight" in shapes else "out_proj"
    n_outputs = _n_rows(shapes, f"classifier.{output_name}.weight")
    config = library_config(checkpoint, model_type, checkpoint.config)
    kind: Any = transformers.MODEL_MAPPING[type(config)]

    def head() -> nn.Module:
        return DenseTanhHead(config.hidden_size, n_outputs, output_name)

    prefix = f"{kind.base_model_prefix}."
    expected = _prefixed(prefix, skeleton_shapes(checkpoint, lambda: kind(config)))
    expected |= _prefixed("classifier.", skeleton_shapes(checkpoint, head))
    names = match_names(name, shapes, expected)
    outputs = name_outputs(name, checkpoint.config, n_outputs, alias)
    tensors = _take(checkpoint, names)
    classifier = head()
    classifier.load_state_dict(_below("classifier.", tensors))
    encoder = fill(kind, config, _below(prefix, tensors))
    module = PooledClassifier(encoder, classifier, pooling)
    return with_waveforms(checkpoint, config, module, outputs)


def _challenge_baseline(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """An encoder, attentive statistics pooling, a head as published or with residual layers."""
    shapes, name = checkpoint.shapes, checkpoint.name
    front_end = corpus_norm(checkpoint)
    config = library_config(checkpoint, *challenge_encoder(checkpoint))
    kind: Any = transformers.MODEL_MAPPING[type(config)]
    is_residual = bool(checkpoint.config.get("residual_blocks"))
    n_outputs = _n_rows(shapes, "ser_model.out.0.weight")
    n_hidden = _n_rows(shapes, "ser_model.fc.0.0.weight")
    n_blocks = sum(key.startswith("ser_model.fc.") and key.endswith(".0.weight") for key in shapes)

    def build(encoder: Any) -> ChallengeBaseline:
        size = config.hidden_size
        head = pooled_head(
            2 * size, n_hidden, n_outputs, n_blocks=n_blocks, is_residual=is_residual
        )
        return ChallengeBaseline(encoder, size, head)

    expected = skeleton_shapes(checkpoint, lambda: build(kind(config)))
    names = match_names(name, shapes, expected)
    outputs = name_outputs(name, checkpoint.config, n_outputs, alias)
    tensors = _take(checkpoint, names)
    encoder = fill(kind, config, _below("ssl_model.", tensors))
    module = build(nn.Identity())
    head = {key: value for key, value in tensors.items() if not key.startswith("ssl_model.")}
    module.load_state_dict(head)
    module.ssl_model = encoder
    network = with_waveforms(checkpoint, config, module, outputs)
    # preprocessor_config.json of these checkpoints holds a placeholder and is left alone.
    return replace(
        network,
        front_end=front_end,
        sampling_rate=challenge_sampling_rate(checkpoint),
        remark="",
    )


def pooled_head(
    n_inputs: int,
    n_hidden: int,
    n_outputs: int,
    *,
    n_blocks: int,
    is_residual: bool,
    dropout: float = 0.0,
) -> FullyConnected:
    """A head of the challenge baseline, or EmoJudge's with skips over all blocks but the first."""
    if not is_residual:
        return FullyConnected(n_inputs, n_hidden, n_outputs, n_blocks, dropout)
    config = ResidualHeadConfig(
        n_inputs=n_inputs,
        n_hidden=n_hidden,
        n_outputs=n_outputs,
        n_residual_blocks=n_blocks - 1,
        dropout=dropout,
    )
    return ResidualHead(config)


def challenge_encoder(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]]:
    """Type and configuration of the encoder of a challenge baseline.

    Checkpoints that emocli trained hold it under ``encoder``; published ones only name it.

    Raises:
        ModelError: the encoder is of a kind that has no place in it, or cannot be told.
    """
    facts = checkpoint.config.get("encoder")
    if not isinstance(facts, dict):
        return "wavlm", wavlm_from_weights(checkpoint)
    kind = facts.get("model_type")
    if not isinstance(kind, str) or kind not in EXACT_WITH_PADDING:
        raise ModelError(
            f"{checkpoint.name}: config.json describes an encoder of type {kind!r}, expected one "
            f"of {', '.join(sorted(EXACT_WITH_PADDING))}. Use another checkpoint."
        )
    return str(kind), facts


CUT_SECONDS = 12.0
"""What the challenge's baselines hear of a recording, in training and where they are measured."""


def cut_of(checkpoint: Checkpoint) -> float:
    """Seconds that the authors of a checkpoint hear of a recording; 0 for all."""
    return CUT_SECONDS if checkpoint.config.get("model_type") == CHALLENGE_TYPE else 0.0


def challenge_sampling_rate(checkpoint: Checkpoint) -> int:
    """Hz that a challenge baseline's own configuration names."""
    return checkpoint.fields.count("sampling_rate", 16000, smallest=1000, largest=192_000)


def corpus_norm(checkpoint: Checkpoint) -> CorpusNorm:
    """What a challenge baseline standardises waveforms with.

    Raises:
        ModelError: config.json does not say.
    """
    mean, std = checkpoint.config.get("mean"), checkpoint.config.get("std")
    if not is_number(mean) or not is_number(std) or std <= 0:
        raise ModelError(
            f"{checkpoint.name}: config.json has no mean and std of the training corpus, "
            f"expected two numbers that waveforms are standardised with. Use a later revision of "
            f"the checkpoint."
        )
    return CorpusNorm(float(mean), float(std))


def wavlm_from_weights(checkpoint: Checkpoint) -> dict[str, Any]:
    """The configuration of the encoder, which these checkpoints name but do not hold.

    Raises:
        ModelError: the encoder is no WavLM, or tensors that tell its size are missing.
    """
    encoder = str(checkpoint.config.get("ssl_type", ""))
    if "wavlm" not in encoder.lower():
        raise ModelError(
            f"{checkpoint.name}: the encoder is {encoder or 'not named'}, expected a WavLM in "
            f"ssl_type of config.json. Use another checkpoint."
        )
    shapes = {
        key.removeprefix("ssl_model."): shape
        for key, shape in checkpoint.shapes.items()
        if key.startswith("ssl_model.")
    }
    attention, convolution = "encoder.layers.0.attention", "feature_extractor.conv_layers"
    positional = next((s for k, s in shapes.items() if k.endswith(_DIRECTIONS)), ())
    try:
        size = shapes["feature_projection.projection.bias"][0]
        return {
            "hidden_size": size,
            "num_hidden_layers": checkpoint.config.get("num_hidden_layers"),
            "num_attention_heads": shapes[f"{attention}.gru_rel_pos_const"][1],
            "num_buckets": shapes[f"{attention}.rel_attn_embed.weight"][0],
            "intermediate_size": shapes["encoder.layers.0.feed_forward.intermediate_dense.weight"][
                0
            ],
            "num_conv_pos_embeddings": positional[2],
            "num_conv_pos_embedding_groups": size // positional[1],
            "conv_dim": [shapes[f"{convolution}.{i}.conv.weight"][0] for i in range(7)],
            "conv_bias": f"{convolution}.0.conv.bias" in shapes,
            "feat_extract_norm": "layer"
            if f"{convolution}.1.layer_norm.weight" in shapes
            else "group",
            # Not to be seen in the weights: WavLM large normalises before each block.
            "do_stable_layer_norm": "large" in encoder.lower(),
        }
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise ModelError(
            f"{checkpoint.name}: the weights do not fit the network: missing tensors of "
            f"ssl_model, the first is {error}. The checkpoint is incomplete; fetch it again."
        ) from error


_DIRECTIONS = (
    "pos_conv_embed.conv.weight_v",
    "pos_conv_embed.conv.parametrizations.weight.original1",
)


def _n_rows(shapes: Shapes, key: str) -> int:
    """Rows of a weight; 2, which the library takes as well, where it is missing."""
    return shapes[key][0] if shapes.get(key) else 2


def _prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + key: shape for key, shape in shapes.items()}


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _take(checkpoint: Checkpoint, names: dict[str, str]) -> dict[str, Tensor]:
    tensors = checkpoint.load()
    return {target: tensors[key] for target, key in names.items()}
