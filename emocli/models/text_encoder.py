"""Hidden states of text networks, one frame for every token."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import ModelError
from emocli.models.backbones import (
    Backbone,
    LayerReader,
    layer_reader,
    leave_out_later_blocks,
    load_backbone,
)
from emocli.models.checkpoint import Checkpoint
from emocli.models.text_tokens import TextTokens, load_tokens, telling_of_memory, token_batches

VERSION = 1
"""Counts up when the same checkpoint gives other frames."""


class TextEncoder:
    """An `Encoder` of texts.

    The tokens that mark the beginning and the end are frames too. Padding is masked in the network
    and taken off afterwards, unless the states of ``max_tokens`` positions are wanted.

    Attributes:
        identity: what decides the frames.
        max_tokens: longest input with its special tokens; what is beyond is not read.
        max_seconds: 0, as texts have no length in seconds.
    """

    max_seconds = 0.0

    def __init__(
        self,
        identity: EncoderIdentity,
        backbone: Backbone,
        read: LayerReader,
        tokens: TextTokens,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
        keeps_padding: bool = False,
    ) -> None:
        self.identity, self.max_tokens = identity, tokens.max_tokens
        self._network = backbone.module.to(device=device, dtype=dtype).eval()
        self._read, self._tokens = read, tokens
        self._device, self._batch_size = device, batch_size
        self._keeps_padding = keeps_padding

    @property
    def value_names(self) -> Sequence[str]:
        """Numbers, see `Encoder.value_names`."""
        return self.identity.value_numbers

    def encode(self, batch: Sequence[str]) -> list[NDArray[np.float32]]:
        """Frames of texts, one per token; see `Encoder.encode`.

        Raises:
            ModelError: memory runs out.
        """
        tokens = [self._tokens.of(text) for text in batch]
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(tokens)
        for places in token_batches(tokens, self._device, self._batch_size):
            hidden = self._hidden([tokens[i] for i in places])
            for place, frames in zip(places, hidden, strict=True):
                n_kept = self.max_tokens if self._keeps_padding else len(tokens[place])
                found[place] = frames[:n_kept].copy()
        return found

    def remarks(self, batch: Sequence[str]) -> list[str]:
        """What of each text is not read, empty where all is."""
        return self._tokens.remarks(batch)

    def _hidden(self, tokens: Sequence[list[int]]) -> NDArray[np.float32]:
        """Hidden states of one batch, shape (n_texts, longest, dim)."""
        with telling_of_memory(self.identity.name, self._device, tokens), torch.inference_mode():
            longest = self.max_tokens if self._keeps_padding else 1
            padded = self._tokens.padded(tokens, at_least=longest)
            ids, mask = (one.to(self._device) for one in padded)
            given = self._network(
                ids, attention_mask=mask, output_hidden_states=self._read.needs_all
            )
            return np.asarray(self._read(given).float().cpu().numpy())


def load_text_encoder(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    name: str,
    revision: str,
    layer: str,
    max_tokens: int,
    batch_size: int | None = None,
    keeps_padding: bool = False,
) -> TextEncoder:
    """The text encoder inside a checkpoint.

    Args:
        checkpoint: what to load.
        device: where to compute.
        dtype: number format to compute in.
        name: for the identity.
        revision: for the identity.
        layer: ``last``, ``weighted`` or a number.
        max_tokens: of a text; no more than the network takes.
        batch_size: most texts at once; None for a size that suits the device.
        keeps_padding: see `emocli.models.encoders.load_encoder`.

    Raises:
        ModelError: the checkpoint or its tokenizer is incomplete, or it has no such layer.
    """
    backbone = load_backbone(checkpoint)
    read = layer_reader(checkpoint.name, backbone, layer)
    leave_out_later_blocks(backbone, read)
    if max_tokens < 3:
        raise ModelError(
            f"{checkpoint.name}: {max_tokens} tokens of a text, expected at least 3. Two of them "
            f"mark its beginning and its end."
        )
    tokens = load_tokens(checkpoint, backbone.config, max_tokens)
    settings = (
        ("dtype", str(dtype).removeprefix("torch.")),
        ("max_tokens", str(tokens.max_tokens)),
        *((("padding", "kept"),) if keeps_padding else ()),
    )
    identity = EncoderIdentity(
        name=name,
        revision=revision,
        layer=read.layer,
        modality="text",
        dim=int(backbone.config.hidden_size),
        settings=settings,
        version=VERSION,
    )
    return TextEncoder(
        identity,
        backbone,
        read,
        tokens,
        device,
        dtype,
        batch_size=batch_size,
        keeps_padding=keeps_padding,
    )
