"""Networks in which the frames of two or three modalities attend to one another.

Modalities are sequences of frozen encoders, such as Whisper's states, RoBERTa's tokens or a codec's
prosody. They need not have the same frame rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


@dataclass(frozen=True, kw_only=True)
class CrossModalConfig:
    """Shape of a cross-modal network.

    Attributes:
        n_channels: of each modality's frames; two modalities or more.
        n_labels: outputs of the classifier.
        n_heads: of each modality's attention, () for one each. The published code has two for
            prosody, the third modality, and one for the others; the number of parameters is the
            same.
        n_hidden: units of the projections, of each direction of the recurrent layers and of the
            classifiers' hidden layers.
        dropout: of attention weights and hidden layers, in training.
        neutral_head: whether a second classifier tells neutral from expressive (design ii).
        masked: whether the padding of a batch is left out; False gives the published form, in which
            it takes part, so a result depends on the batch. Padding tokens of the published
            features are the encoder's, see `emocli.models.encoders.load_encoder`.
        pooling_bias: whether the pooling adds a bias. It cancels in the softmax and is here for
            the published number of parameters.
        pooling_scaled: whether the pooling divides by the root of the number of channels, as the
            paper has it and its code has not.
    """

    n_channels: tuple[int, ...]
    n_labels: int = 8
    n_heads: tuple[int, ...] = ()
    n_hidden: int = 512
    dropout: float = 0.5
    neutral_head: bool = False
    masked: bool = True
    pooling_bias: bool = True
    pooling_scaled: bool = False

    def __post_init__(self) -> None:
        n_modalities = len(self.n_channels)
        if n_modalities < 2:
            raise ValueError(f"{n_modalities} modalities, expected two or more.")
        if self.n_heads and len(self.n_heads) != n_modalities:
            raise ValueError(f"{len(self.n_heads)} values in n_heads, expected {n_modalities}.")
        if any(heads < 1 or 2 * self.n_hidden % heads for heads in self.n_heads):
            raise ValueError(f"n_heads {self.n_heads}, expected divisors of {2 * self.n_hidden}.")


class CrossModalScores(NamedTuple):
    """What a cross-modal network gives.

    Attributes:
        logits: shape (n_utterances, n_labels).
        neutral: logit of neutral against expressive, shape (n_utterances,); None in design (i).
            It serves training and is not part of a prediction.
    """

    logits: Tensor
    neutral: Tensor | None


class ModalityEncoder(nn.Module):
    """Linear projection, layer norm and a recurrent layer in both directions."""

    def __init__(self, n_channels: int, n_hidden: int) -> None:
        super().__init__()
        self.projection = nn.Linear(n_channels, n_hidden)
        self.norm = nn.LayerNorm(n_hidden)
        self.gru = nn.GRU(n_hidden, n_hidden, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor, n_frames: Tensor | None) -> Tensor:
        """States of frames.

        Args:
            frames: shape (n_utterances, n_frames, n_channels).
            n_frames: valid frames of each utterance, shape (n_utterances,); None if all are valid.

        Returns:
            Shape (n_utterances, n_frames, 2 * n_hidden), 0 where a frame is padding.
        """
        projected = self.norm(self.projection(frames))  # (n, n_frames, n_hidden)
        if n_frames is None:
            return self.gru(projected)[0]
        packed = pack_padded_sequence(
            projected, n_frames.cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = self.gru(packed)
        return pad_packed_sequence(states, batch_first=True, total_length=frames.shape[1])[0]


class AttentionPooling(nn.Module):
    """Mean over time under the weights ``softmax_t(v . f_t + b)``.

    ``scaled`` divides the score by the root of the number of channels.
    """

    def __init__(self, n_channels: int, *, bias: bool = True, scaled: bool = False) -> None:
        super().__init__()
        self.score = nn.Linear(n_channels, 1, bias=bias)
        self.scale = n_channels**-0.5 if scaled else 1.0

    def forward(self, frames: Tensor, valid: Tensor | None) -> Tensor:
        """Pool frames.

        Args:
            frames: shape (n_utterances, n_frames, n_channels).
            valid: bool, shape (n_utterances, n_frames), False where a frame is padding; None if
                all are valid.

        Returns:
            Shape (n_utterances, n_channels).
        """
        scores = self.score(frames).squeeze(-1) * self.scale  # (n, n_frames)
        if valid is not None:
            scores = scores.masked_fill(~valid, -torch.inf)
        weights = torch.softmax(scores, dim=1)
        return (weights[:, None].to(frames) @ frames).squeeze(1)


class CrossModalNetwork(nn.Module):
    """Every modality attends to every other one; what comes of it is pooled and classified.

    With ``H_m`` a modality's states, ``F_m = H_m + sum_k MHA_m(H_m, H_k, H_k)`` over the other
    modalities ``k``. One attention module serves all queries of a modality. ``z`` is the layer norm
    of the pooled ``F_m``, one after the other, and each classifier is a linear layer, ReLU, dropout
    and a linear layer on ``z``.

    Source: the UNICAMP system of the Interspeech 2025 challenge (arXiv 2505.20007), as its code
    has it. That code masks nothing; see `CrossModalConfig.masked`.
    """

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        self.config = config
        n_states = 2 * config.n_hidden
        n_modalities = len(config.n_channels)
        self.encoders = nn.ModuleList(
            ModalityEncoder(n, config.n_hidden) for n in config.n_channels
        )
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(n_states, heads, config.dropout, batch_first=True)
            for heads in config.n_heads or (1,) * n_modalities
        )
        self.poolings = nn.ModuleList(
            AttentionPooling(n_states, bias=config.pooling_bias, scaled=config.pooling_scaled)
            for _ in config.n_channels
        )
        self.norm = nn.LayerNorm(n_modalities * n_states)
        self.classifier = _classifier(config, config.n_labels)
        self.neutral_classifier = _classifier(config, 1) if config.neutral_head else None

    def forward(
        self, frames: Sequence[Tensor], n_frames: Sequence[Tensor] | None = None
    ) -> CrossModalScores:
        """Scores of utterances.

        Args:
            frames: per modality, shape (n_utterances, n_frames, n_channels), padded at the end.
                What the padding holds does not matter, unless the network is unmasked.
            n_frames: per modality, how many frames of each utterance are valid, shape
                (n_utterances,), at least 1; None if all are. On the CPU they cost no waiting.

        Raises:
            ValueError: another number of modalities, or an utterance without a valid frame.
        """
        counts = self._counts(frames, n_frames)
        masks = [_valid(count, values) for count, values in zip(counts, frames, strict=True)]
        states = [
            encoder(values, count)
            for encoder, values, count in zip(self.encoders, frames, counts, strict=True)
        ]  # each (n, n_frames, 2 * n_hidden)
        pooled = [
            pooling(self._attend(query, states, masks), masks[query])
            for query, pooling in enumerate(self.poolings)
        ]  # each (n, 2 * n_hidden)
        utterances = self.norm(torch.cat(pooled, dim=1))
        neutral = None
        if self.neutral_classifier is not None:
            neutral = self.neutral_classifier(utterances).squeeze(1)
        return CrossModalScores(self.classifier(utterances), neutral)

    def _attend(
        self, query: int, states: Sequence[Tensor], masks: Sequence[Tensor | None]
    ) -> Tensor:
        """A modality's states and what it finds in the others, (n, n_frames, 2 * n_hidden)."""
        total = states[query]
        for key, (others, valid) in enumerate(zip(states, masks, strict=True)):
            if key != query:
                padding = None if valid is None else ~valid
                total = (
                    total
                    + self.attentions[query](
                        states[query], others, others, key_padding_mask=padding, need_weights=False
                    )[0]
                )
        return total

    def _counts(
        self, frames: Sequence[Tensor], n_frames: Sequence[Tensor] | None
    ) -> list[Tensor | None]:
        """Valid frames per modality, None where padding is not to be told from frames."""
        expected = len(self.config.n_channels)
        found = {len(frames), expected if n_frames is None else len(n_frames)}
        if found != {expected}:
            raise ValueError(f"{min(found)} to {max(found)} modalities, expected {expected}.")
        if n_frames is None or not self.config.masked:
            return [None] * expected
        for position, (values, count) in enumerate(zip(frames, n_frames, strict=True)):
            lowest, highest = int(count.min()), int(count.max())
            if lowest < 1 or highest > values.shape[1]:
                raise ValueError(
                    f"modality {position + 1}: {lowest} to {highest} valid frames, expected 1 to "
                    f"{values.shape[1]}. Leave utterances without frames out."
                )
        return list(n_frames)


def _valid(n_frames: Tensor | None, frames: Tensor) -> Tensor | None:
    """True where a frame is no padding, shape (n_utterances, n_frames)."""
    if n_frames is None:
        return None
    time = torch.arange(frames.shape[1], device=frames.device)
    return time < n_frames.to(frames.device)[:, None]


def _classifier(config: CrossModalConfig, n_outputs: int) -> nn.Sequential:
    n_inputs = 2 * config.n_hidden * len(config.n_channels)
    return nn.Sequential(
        nn.Linear(n_inputs, config.n_hidden),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.n_hidden, n_outputs),
    )
