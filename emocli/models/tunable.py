"""Pretrained encoders under fresh heads, for training, and such networks as folders for ``-m``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from emocli.errors import ModelError
from emocli.models.backbones import load_backbone
from emocli.models.checkpoint import Checkpoint
from emocli.models.outputs import Outputs
from emocli.models.speech import CHALLENGE_TYPE, EXACT_WITH_PADDING, pooled_head
from emocli.models.speech_features import CorpusNorm
from emocli.models.speech_network import (
    SpeechNetwork,
    count_frames,
    mask_norms,
    receptive_field,
    valid_positions,
    with_waveforms,
)
from emocli.models.text_tokens import OFFSET_POSITIONS, TextTokens, load_tokens
from emocli.networks.masked_norm import MaskedGroupNorm
from emocli.networks.speech_heads import ChallengeBaseline, MeanClassifier
from emocli.networks.text_head import TextClassifier, TextHead, TextHeadConfig

CLASSIFIERS = {
    "camembert": "CamembertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
}


@dataclass(frozen=True)
class TunableSpeech:
    """A speech encoder with pooling and a head.

    Attributes:
        network: its module is a `ChallengeBaseline` or a `MeanClassifier` whose norms leave
            padding out.
        config: configuration of the encoder, as the library has it.
        min_samples: shortest batch that the encoder can mask stretches of in training.
    """

    network: SpeechNetwork
    config: Any
    min_samples: int

    @property
    def module(self) -> Any:
        """The network to train."""
        return self.network.module

    def arguments(self, lengths: Sequence[int], longest: int) -> tuple[Tensor | None, Tensor]:
        """Sample mask, None without padding, and valid frames of a batch, both on the CPU.

        Args:
            lengths: samples of each utterance.
            longest: samples of the batch.
        """
        is_padded = min(lengths) < longest
        mask = valid_positions(torch.tensor(lengths), longest).long() if is_padded else None
        n_frames = count_frames(lengths, self.network.convolutions)
        (most,) = count_frames([longest], self.network.convolutions)
        return mask, valid_positions(torch.tensor(n_frames), most)

    def hear_all(self) -> None:
        """Let norms count all frames, until the next batch with a mask."""
        for norm in mask_norms(self.module):
            norm.n_frames = None


@dataclass(frozen=True)
class TunableText:
    """A RoBERTa or a kin of it with EmoJudge's head.

    Attributes:
        module: the network to train.
        config: configuration of the encoder, as the library has it.
        tokens: how the encoder reads texts.
    """

    module: TextClassifier
    config: Any
    tokens: TextTokens


def tunable_speech(
    checkpoint: Checkpoint,
    outputs: Outputs,
    norm: CorpusNorm,
    *,
    pooling: str = "attentive-statistics",
    hidden: int,
    residual_blocks: int,
    dropout: float,
    frozen: str,
    masking: bool,
    seed: int,
) -> TunableSpeech:
    """An encoder of a checkpoint with pooling and a head that are drawn at random.

    Args:
        checkpoint: of a network on waveforms.
        outputs: what the head gives.
        norm: how waveforms are standardised; those for ``mean`` are as the checkpoint says.
        pooling: ``attentive-statistics``, or ``mean`` for a `MeanClassifier`.
        hidden: width of the head's layers, or of the projection.
        residual_blocks: layers with a skip after the first.
        dropout: of the head, in training.
        frozen: ``nothing``, ``front-end`` or ``encoder``.
        masking: whether the encoder masks stretches in training, as its configuration says.
        seed: of the head.

    Raises:
        ModelError: the checkpoint is of another kind, or damaged.
    """
    kind = checkpoint.config.get("model_type")
    if kind not in {*EXACT_WITH_PADDING, CHALLENGE_TYPE}:
        raise ModelError(
            f"{checkpoint.name}: an encoder of type {kind!r}, expected one of "
            f"{', '.join(sorted(EXACT_WITH_PADDING))}. Use another encoder."
        )
    backbone = load_backbone(checkpoint)
    encoder, config = backbone.module, backbone.config
    _freeze(encoder, frozen)
    masks = masking and getattr(config, "apply_spec_augment", False)
    encoder.config.apply_spec_augment = masks
    size = config.hidden_size
    module: ChallengeBaseline | MeanClassifier
    with _seeded(seed):
        if pooling == "mean":
            deviation = config.initializer_range
            module = MeanClassifier(encoder, size, hidden, len(outputs), deviation)
        else:
            head = pooled_head(
                2 * size,
                hidden,
                len(outputs),
                n_blocks=1 + residual_blocks,
                is_residual=residual_blocks > 0,
                dropout=dropout,
            )
            module = ChallengeBaseline(encoder, size, head)
    network = with_waveforms(checkpoint, config, module, outputs)
    if pooling != "mean":
        network = replace(network, front_end=norm)
    norms = mask_norms(module)
    if norms:
        module.register_forward_pre_hook(_MaskTeller(norms, network.convolutions[0]))
    # The library refuses to mask a stretch of a sequence that is not longer than it.
    n_frames = config.mask_time_length + 1 if masks else 1
    return TunableSpeech(network, config, receptive_field(network.convolutions, n_frames))


def tunable_text(
    checkpoint: Checkpoint,
    outputs: Outputs,
    *,
    dropout: float,
    frozen: str,
    max_tokens: int,
    seed: int,
) -> TunableText:
    """A text encoder of a checkpoint with a head that is drawn at random.

    Args:
        checkpoint: of a RoBERTa or a kin of it.
        outputs: what the head gives.
        dropout: of the head, in training.
        frozen: ``encoder``, or anything else to train all.
        max_tokens: longest input with its special tokens.
        seed: of the head.

    Raises:
        ModelError: the checkpoint is of another kind, damaged, or has no tokenizer.
    """
    kind = checkpoint.config.get("model_type")
    if kind not in OFFSET_POSITIONS:
        raise ModelError(
            f"{checkpoint.name}: an encoder of type {kind!r}, expected one of "
            f"{', '.join(sorted(OFFSET_POSITIONS))}. Use another encoder."
        )
    backbone = load_backbone(checkpoint)
    if frozen == "encoder":
        backbone.module.requires_grad_(False)
    tokens = load_tokens(checkpoint, backbone.config, max_tokens)
    shape = TextHeadConfig(
        n_channels=backbone.config.hidden_size, n_outputs=len(outputs), dropout=dropout
    )
    with _seeded(seed):
        module = TextClassifier(backbone.module, TextHead(shape))
    return TunableText(module, backbone.config, tokens)


def speech_config(
    tunable: TunableSpeech,
    encoder: str,
    outputs: Outputs,
    norm: CorpusNorm,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The ``config.json`` of a trained speech network, in the layout of the published baselines.

    Args:
        tunable: what was trained.
        encoder: where the encoder came from.
        outputs: what the network gives.
        norm: how waveforms are standardised.
        facts: what else to write.
    """
    head = tunable.module.ser_model
    return {
        "architectures": ["SERModel"],
        "model_type": CHALLENGE_TYPE,
        "ssl_type": encoder,
        "encoder": _plain(tunable.config),
        "hidden_size": tunable.config.hidden_size,
        "num_hidden_layers": tunable.config.num_hidden_layers,
        "num_attention_heads": tunable.config.num_attention_heads,
        "classifier_hidden_layers": len(head.fc),
        "classifier_dropout_prob": head.dropout.p,
        "residual_blocks": len(head.fc) - 1,
        "num_classes": len(outputs),
        "id2label": _numbered(outputs),
        "labels": list(outputs.labels),
        "sampling_rate": tunable.network.sampling_rate,
        "mean": norm.mean,
        "std": norm.std,
        **facts,
    }


def write_mean_classifier(
    folder: Path,
    tunable: TunableSpeech,
    encoder: str,
    outputs: Outputs,
    facts: Mapping[str, Any],
    card: str,
) -> None:
    """Write a trained `MeanClassifier` as the library writes its own classifier.

    Args:
        folder: of the model.
        tunable: what was trained.
        encoder: where the encoder came from.
        outputs: what the network gives.
        facts: what else to write.
        card: of the model.
    """
    module, network, config = tunable.module, tunable.network, tunable.config
    # Nothing but the checkpoint's preprocessor decides the norm; see `with_waveforms`.
    transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=network.sampling_rate,
        do_normalize=network.front_end.enabled,  # type: ignore[attr-defined]
        return_attention_mask=config.feat_extract_norm == "layer",
    ).save_pretrained(folder)
    kind: Any = transformers.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    content = {
        **_library_outputs(config, encoder, outputs),
        "architectures": [kind.__name__],
        "classifier_proj_size": module.projector.out_features,
        "use_weighted_layer_sum": False,
        **facts,
    }
    tensors = {
        f"{kind.base_model_prefix}.{name.removeprefix('ssl_model.')}"
        if name.startswith("ssl_model.")
        else name: values
        for name, values in weights_of(module).items()
    }
    write_folder(folder, tensors, content, card)


def text_config(
    tunable: TunableText, encoder: str, outputs: Outputs, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``config.json`` of a trained text network, as the library writes it.

    Args:
        tunable: what was trained.
        encoder: where the encoder came from.
        outputs: what the network gives.
        facts: what else to write.
    """
    kind = str(tunable.config.model_type)
    return {
        **_library_outputs(tunable.config, encoder, outputs),
        "architectures": [CLASSIFIERS[kind]],
        "classifier_dropout": tunable.module.classifier.dropout.p,
        **facts,
    }


def _library_outputs(config: Any, encoder: str, outputs: Outputs) -> dict[str, Any]:
    """The configuration of an encoder with names for a classifier's outputs."""
    numbered = _numbered(outputs)
    return {
        **_plain(config),
        # Some encoders want their texts prepared, which is known by their name.
        "_name_or_path": encoder.removeprefix("hf:"),
        "id2label": numbered,
        "labels": list(outputs.labels),
        "label2id": {name: int(number) for number, name in numbered.items()},
        "problem_type": "regression" if outputs.dimensions else "single_label_classification",
    }


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Tensors of a trained network under the names that its checkpoint shall have."""
    masked = [
        f"{name}.norm."
        for name, part in module.named_modules()
        if isinstance(part, MaskedGroupNorm)
    ]
    tensors = {}
    for name, values in module.state_dict().items():
        inner = next((prefix for prefix in masked if name.startswith(prefix)), "")
        outer = inner.removesuffix("norm.") + name.removeprefix(inner) if inner else name
        tensors[outer] = values.detach().cpu().clone().contiguous()
    return tensors


class _MaskTeller:
    """Tells norms which frames are padding before a network in training hears a batch."""

    def __init__(self, norms: Sequence[MaskedGroupNorm], first: tuple[int, int]) -> None:
        self._norms = norms
        self._kernel, self._stride = first

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if not module.training:
            return
        mask = arguments[1]
        n_frames = None if mask is None else (mask.sum(1) - self._kernel) // self._stride + 1
        for norm in self._norms:
            norm.n_frames = n_frames


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch from a seed, and afterwards as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _freeze(encoder: Any, frozen: str) -> None:
    if frozen == "encoder":
        encoder.requires_grad_(False)
    if frozen != "nothing":
        # Also keeps the library from asking for gradients of the waveform.
        encoder.feature_extractor._freeze_parameters()


def _numbered(outputs: Outputs) -> dict[str, str]:
    return {str(place): name for place, name in enumerate(outputs.labels or outputs.dimensions)}


def _plain(config: Any) -> dict[str, Any]:
    """A configuration of the library as JSON has it, without names of outputs."""
    content = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in content.items() if key not in ("id2label", "label2id")}


def write_folder(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], card: str
) -> None:
    """Write weights, card and configuration; the configuration, which makes it a model, last."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "model.safetensors.tmp"
    save_file(dict(tensors), partial, metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")
    (folder / "README.md").write_text(card, "utf-8")
    partial = folder / "config.json.tmp"
    partial.write_text(json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(folder / "config.json")
