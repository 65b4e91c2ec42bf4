"""Hidden states of speech networks, one frame for every 20 ms or so."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.encoder_identity import EncoderIdentity
from emocli.models.backbones import (
    Backbone,
    LayerReader,
    layer_reader,
    leave_out_later_blocks,
    load_backbone,
)
from emocli.models.checkpoint import Checkpoint
from emocli.models.outputs import Outputs
from emocli.models.speech import (
    CHALLENGE_TYPE,
    FILTERBANK_TYPE,
    WHISPER_TYPE,
    challenge_sampling_rate,
    corpus_norm,
)
from emocli.models.speech_network import (
    KALDI_HOP_SAMPLES,
    WHISPER_HOP_SAMPLES,
    WHISPER_HOPS_PER_POSITION,
    NetworkRunner,
    SpeechNetwork,
    count_frames,
    with_filterbank,
    with_waveforms,
    with_whisper_front_end,
)

VERSION = 2
"""Counts up when the same checkpoint gives other frames."""
WHISPER_FRAME_SAMPLES = WHISPER_HOP_SAMPLES * WHISPER_HOPS_PER_POSITION  # 320
MAX_SECONDS = 120.0
"""Longest recording at once; WavLM large then takes 2.3 GB for the attention of a layer."""


class SpeechEncoder:
    """An `Encoder` of waveforms.

    Attributes:
        identity: what decides the frames.
        max_seconds: longest recording; 0 for Whisper, which hears stretches of 30 s.
    """

    def __init__(self, identity: EncoderIdentity, network: SpeechNetwork, runner: NetworkRunner):
        self.identity = identity
        self.max_seconds = 0.0 if network.max_samples else MAX_SECONDS
        self._network, self._runner = network, runner

    @property
    def value_names(self) -> Sequence[str]:
        """Numbers, see `Encoder.value_names`."""
        return self.identity.value_numbers

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms; see `Encoder.encode`.

        Whisper hears a recording in stretches of 30 s, each by itself, the last filled with
        silence and its frames cut to ``ceil(n_samples / 320)``. Other networks hear it whole.

        Raises:
            ModelError: memory runs out.
        """
        pieces = [self._pieces(waveform) for waveform in batch]
        flat = [piece for own in pieces for piece in own]
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(flat)
        for places, batch_frames in self._runner.in_batches(self._frames, flat):
            for place, frames in zip(places, batch_frames, strict=True):
                found[place] = frames
        rest = iter(zip(flat, found, strict=True))
        return [np.concatenate([self._cut(*next(rest)) for _ in own]) for own in pieces]

    def remarks(self, batch: Sequence[NDArray[np.float32]]) -> list[str]:
        """Nothing, for each waveform is heard as a whole."""
        return [""] * len(batch)

    def _pieces(self, waveform: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        size = self._network.max_samples or max(1, len(waveform))
        return [waveform[i : i + size] for i in range(0, max(1, len(waveform)), size)]

    def _frames(self, inputs: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of each input of one batch, without those of padding."""
        hidden = self._runner.forward(inputs).float().cpu().numpy()
        lengths = self._n_frames(inputs, hidden.shape[1])
        return [frames[:length] for frames, length in zip(hidden, lengths, strict=True)]

    def _n_frames(self, inputs: Sequence[NDArray[np.float32]], longest: int) -> list[int]:
        """Frames of each input that are not padding."""
        lengths = [len(values) for values in inputs]
        if len(set(lengths)) == 1:
            return [longest] * len(lengths)
        return count_frames(lengths, self._network.convolutions)

    def _cut(self, piece: NDArray[np.float32], frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._network.max_samples:
            return frames
        return frames[: ceil(max(1, len(piece)) / WHISPER_FRAME_SAMPLES)]


def load_speech_encoder(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    name: str,
    revision: str,
    layer: str,
    batch_size: int | None = None,
    mixed_lengths: bool | None = None,
) -> SpeechEncoder:
    """The speech encoder inside a checkpoint.

    Args:
        checkpoint: what to load.
        device: where to compute.
        dtype: number format to compute in.
        name: for the identity.
        revision: for the identity.
        layer: ``last``, ``weighted`` or a number.
        batch_size: most waveforms at once; None for a size that suits the device.
        mixed_lengths: whether waveforms of different lengths may share a batch where padding is
            exact; None for yes except on a CPU.

    Raises:
        ModelError: the checkpoint is incomplete, or has no such layer.
    """
    backbone = load_backbone(checkpoint)
    read = layer_reader(checkpoint.name, backbone, layer)
    leave_out_later_blocks(backbone, read)
    network = _network(checkpoint, backbone, read)
    identity = EncoderIdentity(
        name=name,
        revision=revision,
        layer=read.layer,
        modality="speech",
        dim=_dim(backbone.config, read.layer),
        frames_per_second=_frames_per_second(network, backbone.config, read.layer),
        sampling_rate=network.sampling_rate,
        settings=(("dtype", str(dtype).removeprefix("torch.")),),
        version=VERSION,
    )
    runner = NetworkRunner(
        checkpoint.name, network, device, dtype, batch_size=batch_size, mixed_lengths=mixed_lengths
    )
    return SpeechEncoder(identity, network, runner)


def _network(checkpoint: Checkpoint, backbone: Backbone, read: LayerReader) -> SpeechNetwork:
    """A network whose forward gives hidden states, shape (n_utterances, n_frames, dim)."""
    module, config, kind = backbone.module, backbone.config, checkpoint.config["model_type"]
    build: Callable[[Checkpoint, Any, Any, Outputs], SpeechNetwork] = {
        WHISPER_TYPE: with_whisper_front_end,
        FILTERBANK_TYPE: with_filterbank,
    }.get(kind, with_waveforms)
    network = build(checkpoint, config, module, Outputs())
    if kind == CHALLENGE_TYPE:
        network = replace(
            network,
            front_end=corpus_norm(checkpoint),
            sampling_rate=challenge_sampling_rate(checkpoint),
        )
    if kind == WHISPER_TYPE:
        return replace(
            network,
            forward=lambda x, _mask, _valid: read(module(x, output_hidden_states=read.needs_all)),
        )
    return replace(
        network,
        forward=lambda x, mask, _: read(
            module(x, attention_mask=mask, output_hidden_states=read.needs_all)
        ),
        # Layers that shorten the sequence know nothing of padding.
        exact_with_padding=network.exact_with_padding and not getattr(config, "add_adapter", False),
    )


def _dim(config: Any, layer: str) -> int:
    adapted = layer == "last" and getattr(config, "add_adapter", False)
    return int(config.output_hidden_size if adapted else config.hidden_size)


def _frames_per_second(network: SpeechNetwork, config: Any, layer: str) -> float:
    if network.max_samples:
        return network.sampling_rate / WHISPER_FRAME_SAMPLES
    strides = prod(stride for _, stride in network.convolutions) or 1
    hop = strides if network.convolutions else 2 * KALDI_HOP_SAMPLES
    if layer == "last" and getattr(config, "add_adapter", False):
        hop *= config.adapter_stride**config.num_adapter_layers
    return network.sampling_rate / hop
