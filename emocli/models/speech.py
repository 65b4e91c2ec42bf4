"""Speech recognisers from transformers checkpoints, and from kin whose heads it does not know.

The structure of a checkpoint is found from ``config.json`` and the names of its tensors:

    classifier.weight, projector.weight        the library's own classification head
    classifier.dense, classifier.out_proj      audeering's dimensional wav2vec2 and its kin
    classifier.dense, classifier.output        ehcalabres' classifier
    ssl_model, pool_model, ser_model           the challenge baselines of 3loi
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.errors import ModelError
from emocli.models.aliases import Alias
from emocli.models.batching import plan_batches
from emocli.models.building import fill, library_config, skeleton_shapes
from emocli.models.checkpoint import Checkpoint, Shapes, match_names
from emocli.models.outputs import Outputs, name_outputs
from emocli.models.protocol import ModelCard
from emocli.models.speech_features import (
    CorpusNorm,
    FrontEnd,
    StackedFilterbank,
    UtteranceNorm,
    WhisperSpectrogram,
)
from emocli.networks.masked_norm import MaskedGroupNorm
from emocli.networks.speech_heads import (
    POOLINGS,
    ChallengeBaseline,
    DenseTanhHead,
    FullyConnected,
    PooledClassifier,
)

EXACT_WITH_PADDING = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}
WAVEFORM_TYPES = EXACT_WITH_PADDING | {"data2vec-audio", "sew", "sew-d", "wav2vec2-conformer"}
FILTERBANK_TYPE = "wav2vec2-bert"
WHISPER_TYPE = "whisper"
CHALLENGE_TYPE = "ser"
SPEECH_TYPES = WAVEFORM_TYPES | {FILTERBANK_TYPE, WHISPER_TYPE, CHALLENGE_TYPE}

SECONDS_PER_BATCH = {"cpu": 30, "mps": 60, "cuda": 400}
"""Most seconds of audio in a batch unless the user says otherwise, with padding.

On a CPU larger batches gain nothing and cost memory.
"""
KALDI_FRAME_SAMPLES, KALDI_HOP_SAMPLES = 400, 160
WHISPER_HOP_SAMPLES = 160
WHISPER_HOPS_PER_POSITION = 2

Forward = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""Inputs, sample mask (None without padding) and valid frames to logits."""


@dataclass(frozen=True)
class SpeechNetwork:
    """A network with all that has to be known to use it.

    Attributes:
        module: the network.
        forward: how to call it.
        front_end: what it takes in.
        outputs: what it gives.
        sampling_rate: Hz.
        convolutions: kernel and stride of each convolution over samples; empty if there are none.
        exact_with_padding: whether its answer stays the same when zeros and a mask are appended.
        min_samples: shortest waveform that it takes.
        max_samples: what it hears of a waveform; 0 if there is no limit.
        remark: a doubt about how the checkpoint is to be used.
    """

    module: nn.Module
    forward: Forward
    front_end: FrontEnd
    outputs: Outputs
    sampling_rate: int
    convolutions: tuple[tuple[int, int], ...] = ()
    exact_with_padding: bool = False
    min_samples: int = 1
    max_samples: int = 0
    remark: str = ""


class SpeechRecognizer:
    """A `Recognizer` of waveforms.

    Utterances are batched with others of their own length, or of any length where padding is
    exact and the device gains from it; either way no utterance changes another's result.

    Attributes:
        card: what the model is.
    """

    def __init__(
        self,
        card: ModelCard,
        network: SpeechNetwork,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
        mixed_lengths: bool | None = None,
    ) -> None:
        self.card = card
        self._network = network
        self._device, self._dtype = device, dtype
        self._batch_size = batch_size
        wanted = device.type != "cpu" if mixed_lengths is None else mixed_lengths
        self._mixed = wanted and network.exact_with_padding
        self._norms = _mask_norms(network.module) if self._mixed else []
        network.module.to(device=device, dtype=dtype).eval()

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        return self._network.module

    def logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Scores of waveforms; see `Recognizer.logits`.

        Raises:
            ModelError: memory runs out.
        """
        network = self._network
        result = np.empty((len(utterances), len(network.outputs)))
        heard = [self._heard(waveform) for waveform in utterances]
        # Spectrograms of Whisper all have one length, whatever the waveforms have.
        lengths = [network.max_samples or len(waveform) for waveform in heard]
        seconds = SECONDS_PER_BATCH.get(self._device.type, SECONDS_PER_BATCH["cpu"])
        for batch in plan_batches(
            lengths,
            batch_size=self._batch_size,
            max_total=seconds * network.sampling_rate,
            mixed=self._mixed,
        ):
            result[batch] = self._score([network.front_end(heard[i]) for i in batch])
        return result

    def remarks(self, utterances: Sequence[NDArray[np.float32]]) -> list[str]:
        """What of each utterance the model does not take in, empty where it takes all."""
        limit = self._network.max_samples
        said = f"only the first {limit / self._network.sampling_rate:g} s were heard"
        return [said if 0 < limit < len(waveform) else "" for waveform in utterances]

    def _heard(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = self._network.min_samples - len(waveform)
        return np.pad(waveform, (0, missing)) if missing > 0 else waveform

    def _score(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Logits of one batch, shape (n_utterances, n_outputs)."""
        lengths = [len(values) for values in inputs]
        stacked = torch.from_numpy(_stack(inputs)).to(self._device, self._dtype)
        padded = len(set(lengths)) > 1
        mask = _valid(lengths, max(lengths), self._device).long() if padded else None
        n_frames = _n_frames(lengths, self._network.convolutions)
        valid = _valid(n_frames, max(n_frames), self._device)
        self._tell_norms(lengths if padded else None)
        try:
            with torch.inference_mode(), _exact_arithmetic(self._device, self._dtype):
                scored = self._network.forward(stacked, mask, valid)
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self.card.name}: memory of {self._device} ran out with {len(inputs)} "
                f"utterances of up to {max(lengths)} values at once. Use a smaller --batch-size "
                f"or a shorter --window."
            ) from error
        return np.asarray(scored.double().cpu().numpy())

    def _tell_norms(self, n_samples: Sequence[int] | None) -> None:
        first = self._network.convolutions[:1]
        for norm in self._norms:
            norm.n_frames = (
                None
                if n_samples is None
                else torch.tensor(_n_frames(n_samples, first), device=self._device)
            )


def load_speech(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    alias: Alias | None = None,
    batch_size: int | None = None,
    mixed_lengths: bool | None = None,
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

    Raises:
        ModelError: the checkpoint is incomplete, contradicts itself or is of an unknown kind.
    """
    network = _build(checkpoint, alias)
    card = ModelCard(
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
        licence=(alias.licence if alias else "") or checkpoint.licence,
        source=str(checkpoint.folder) if not checkpoint.revision else f"hf:{checkpoint.name}",
        description=" ".join(filter(None, [alias.description if alias else "", network.remark])),
    )
    return SpeechRecognizer(
        card, network, device, dtype, batch_size=batch_size, mixed_lengths=mixed_lengths
    )


def _build(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
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
        return _with_whisper_front_end(checkpoint, config, module, outputs)
    if model_type == FILTERBANK_TYPE:
        return _with_filterbank(checkpoint, config, module, outputs)
    network = _with_waveforms(checkpoint, config, module, outputs)
    return replace(network, forward=lambda x, mask, _: module(x, attention_mask=mask).logits)


def _with_waveforms(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    """A network on waveforms that are normalised as the checkpoint's preprocessor says."""
    settings = checkpoint.preprocessor
    convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
    exact = config.model_type in EXACT_WITH_PADDING
    return SpeechNetwork(
        module=module,
        forward=module,
        front_end=UtteranceNorm(bool(settings.get("do_normalize", True))),
        outputs=outputs,
        sampling_rate=_sampling_rate(checkpoint),
        convolutions=convolutions,
        # A batch norm before the positional convolution turns the zeros of padding into others.
        exact_with_padding=exact and not getattr(config, "conv_pos_batch_norm", False),
        min_samples=_receptive_field(convolutions, getattr(config, "squeeze_factor", 1)),
        remark=""
        if settings
        else "It has no preprocessor_config.json; waveforms of 16 kHz with zero mean and unit "
        "variance are assumed.",
    )


def _with_filterbank(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    settings = checkpoint.preprocessor
    stride = int(settings.get("stride", 2))
    n_bins = int(settings.get("num_mel_bins", 80))
    if stride != 2 or n_bins * stride != config.feature_projection_input_dim:
        raise ModelError(
            f"{checkpoint.name}: preprocessor_config.json gives {stride} frames of {n_bins} bins "
            f"and the network takes {config.feature_projection_input_dim} values, expected two "
            f"frames that make as many. Repair preprocessor_config.json."
        )
    rate = _sampling_rate(checkpoint)
    extractor = transformers.SeamlessM4TFeatureExtractor(
        feature_size=n_bins, num_mel_bins=n_bins, sampling_rate=rate, stride=stride
    )
    return SpeechNetwork(
        module=module,
        forward=lambda x, mask, _: module(x, attention_mask=mask).logits,
        front_end=StackedFilterbank(extractor),
        outputs=outputs,
        sampling_rate=rate,
        min_samples=KALDI_FRAME_SAMPLES + (stride - 1) * KALDI_HOP_SAMPLES,  # 560
    )


def _with_whisper_front_end(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    rate = _sampling_rate(checkpoint)
    n_hops = config.max_source_positions * WHISPER_HOPS_PER_POSITION
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=config.num_mel_bins, sampling_rate=rate
    )
    n_samples = n_hops * WHISPER_HOP_SAMPLES  # 480000, 30 s, in all published checkpoints
    return SpeechNetwork(
        module=module,
        forward=lambda x, _mask, _valid: module(x).logits,
        front_end=WhisperSpectrogram(extractor, n_samples),
        outputs=outputs,
        sampling_rate=rate,
        max_samples=n_samples,
    )


# Heads that the library does not know.


def _dense_head(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """An encoder, pooling over time, dense, tanh, output."""
    shapes, name = checkpoint.shapes, checkpoint.name
    model_type = str(checkpoint.config.get("model_type"))
    pooling = checkpoint.config.get("pooling_mode", "mean")
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
    return _with_waveforms(checkpoint, config, module, outputs)


def _challenge_baseline(checkpoint: Checkpoint, alias: Alias | None) -> SpeechNetwork:
    """WavLM, attentive statistics pooling, a fully connected head."""
    shapes, name, settings = checkpoint.shapes, checkpoint.name, checkpoint.config
    mean, std = settings.get("mean"), settings.get("std")
    if not isinstance(mean, int | float) or not isinstance(std, int | float) or std <= 0:
        raise ModelError(
            f"{name}: config.json has no mean and std of the training corpus, expected two "
            f"numbers that waveforms are standardised with. Use a later revision of the "
            f"checkpoint."
        )
    config = library_config(checkpoint, "wavlm", _wavlm_from_weights(checkpoint))
    n_outputs = _n_rows(shapes, "ser_model.out.0.weight")
    n_hidden = _n_rows(shapes, "ser_model.fc.0.0.weight")
    n_blocks = sum(key.startswith("ser_model.fc.") and key.endswith(".0.weight") for key in shapes)

    def build(encoder: Any) -> ChallengeBaseline:
        size = config.hidden_size
        return ChallengeBaseline(
            encoder, size, FullyConnected(2 * size, n_hidden, n_outputs, n_blocks)
        )

    expected = skeleton_shapes(checkpoint, lambda: build(transformers.WavLMModel(config)))
    names = match_names(name, shapes, expected)
    outputs = name_outputs(name, settings, n_outputs, alias)
    tensors = _take(checkpoint, names)
    encoder = fill(transformers.WavLMModel, config, _below("ssl_model.", tensors))
    module = build(nn.Identity())
    head = {key: value for key, value in tensors.items() if not key.startswith("ssl_model.")}
    module.load_state_dict(head)
    module.ssl_model = encoder
    network = _with_waveforms(checkpoint, config, module, outputs)
    rate = settings.get("sampling_rate", 16000)
    # preprocessor_config.json of these checkpoints holds a placeholder and is left alone.
    return replace(network, front_end=CorpusNorm(mean, std), sampling_rate=rate, remark="")


def _wavlm_from_weights(checkpoint: Checkpoint) -> dict[str, Any]:
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


# Small parts.


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


def _sampling_rate(checkpoint: Checkpoint) -> int:
    rate = checkpoint.preprocessor.get("sampling_rate", 16000)
    if not isinstance(rate, int) or not 1000 <= rate <= 192_000:
        raise ModelError(
            f"{checkpoint.name}: preprocessor_config.json says sampling rate {rate!r}, expected "
            f"Hz. Repair it."
        )
    return rate


def _receptive_field(convolutions: Sequence[tuple[int, int]], n_frames: int = 1) -> int:
    """Samples that the convolutions need for some frames."""
    length = n_frames
    for kernel, stride in reversed(convolutions):
        length = (length - 1) * stride + kernel
    return length  # 400 for one frame of wav2vec2 and its kin


def _n_frames(lengths: Sequence[int], convolutions: Sequence[tuple[int, int]]) -> list[int]:
    """Frames that the convolutions give for inputs of some lengths."""
    counts = list(lengths)
    for kernel, stride in convolutions:
        counts = [(count - kernel) // stride + 1 for count in counts]
    return counts


def _valid(lengths: Sequence[int], longest: int, device: torch.device) -> Tensor:
    """True where a sequence is, False where its padding is, shape (n_utterances, longest)."""
    return torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]


def _stack(inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One array with zeros after inputs that are shorter than the longest."""
    stacked = np.zeros((len(inputs), max(map(len, inputs)), *inputs[0].shape[1:]), np.float32)
    for row, values in zip(stacked, inputs, strict=True):
        row[: len(values)] = values
    return stacked


def _mask_norms(module: nn.Module) -> list[MaskedGroupNorm]:
    """Replace group norms over time by ones that leave padding out."""
    masked = []
    for parent in list(module.modules()):
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                norm = MaskedGroupNorm(child)
                setattr(parent, child_name, norm)
                masked.append(norm)
    return masked


@contextmanager
def _exact_arithmetic(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """fp32 that is fp32 also in convolutions on CUDA, and no warning about WavLM's masks."""
    with warnings.catch_warnings():
        # WavLM hands torch a bool mask and a float bias, which gives the same numbers.
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        if device.type == "cuda" and dtype == torch.float32:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                yield
        else:
            yield
