"""Hidden states of text networks, one frame for every token."""

from collections.abc import Sequence
from typing import Any

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
from emocli.models.batching import plan_batches
from emocli.models.checkpoint import Checkpoint
from emocli.models.text import (
    TOKENS_PER_BATCH,
    Preprocess,
    load_tokenizer,
    longest_input,
    preprocessing_of,
)

VERSION = 1
"""Counts up when the same checkpoint gives other frames."""


class TextEncoder:
    """An `Encoder` of texts.

    The tokens that mark the beginning and the end are frames too; padding is masked in the
    network and taken off afterwards.

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
        tokenizer: Any,
        preprocess: Preprocess,
        device: torch.device,
        dtype: torch.dtype,
        *,
        max_tokens: int,
        batch_size: int | None = None,
    ) -> None:
        self.identity, self.max_tokens = identity, max_tokens
        self._network = backbone.module.to(device=device, dtype=dtype).eval()
        self._read, self._tokenizer, self._preprocess = read, tokenizer, preprocess
        self._device, self._batch_size = device, batch_size

    def encode(self, batch: Sequence[str]) -> list[NDArray[np.float32]]:
        """Frames of texts, one per token; see `Encoder.encode`.

        Raises:
            ModelError: memory runs out.
        """
        tokens = [self._tokens(text, cut=True) for text in batch]
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(tokens)
        most = TOKENS_PER_BATCH.get(self._device.type, TOKENS_PER_BATCH["cpu"])
        for places in plan_batches(
            [len(ids) for ids in tokens], batch_size=self._batch_size, max_total=most, mixed=True
        ):
            hidden = self._hidden([tokens[i] for i in places])
            for place, frames in zip(places, hidden, strict=True):
                found[place] = frames[: len(tokens[place])].copy()
        return found

    def remarks(self, batch: Sequence[str]) -> list[str]:
        """What of each text is not read, empty where all is."""
        counts = [len(self._tokens(text, cut=False)) for text in batch]
        return [
            f"text cut to {self.max_tokens} of {count} tokens" if count > self.max_tokens else ""
            for count in counts
        ]

    def _tokens(self, text: str, *, cut: bool) -> list[int]:
        encoded = self._tokenizer(
            self._preprocess(text),
            truncation=cut,
            max_length=self.max_tokens if cut else None,
            verbose=False,
        )
        return list(encoded["input_ids"])

    def _hidden(self, tokens: Sequence[list[int]]) -> NDArray[np.float32]:
        """Hidden states of one batch, shape (n_texts, longest, dim)."""
        longest = max(1, *map(len, tokens))
        ids = torch.full((len(tokens), longest), self._network.config.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, known, used in zip(tokens, ids, mask, strict=True):
            known[: len(row)] = torch.tensor(row)
            used[: len(row)] = 1
        try:
            with torch.inference_mode():
                given = self._network(
                    ids.to(self._device),
                    attention_mask=mask.to(self._device),
                    output_hidden_states=self._read.needs_all,
                )
                return np.asarray(self._read(given).float().cpu().numpy())
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self.identity.name}: memory of {self._device} ran out with {len(tokens)} texts "
                f"of up to {longest} tokens at once. Use a smaller --batch-size."
            ) from error


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

    Raises:
        ModelError: the checkpoint or its tokenizer is incomplete, or it has no such layer.
    """
    backbone = load_backbone(checkpoint)
    read = layer_reader(checkpoint.name, backbone, layer)
    leave_out_later_blocks(backbone, read)
    tokenizer = load_tokenizer(checkpoint, backbone.config)
    if max_tokens < 3:
        raise ModelError(
            f"{checkpoint.name}: {max_tokens} tokens of a text, expected at least 3. Two of them "
            f"mark its beginning and its end."
        )
    most = min(max_tokens, longest_input(tokenizer, backbone.config))
    settings = (("dtype", str(dtype).removeprefix("torch.")), ("max_tokens", str(most)))
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
        tokenizer,
        preprocessing_of(checkpoint),
        device,
        dtype,
        max_tokens=most,
        batch_size=batch_size,
    )
