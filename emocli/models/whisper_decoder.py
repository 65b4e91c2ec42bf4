"""Whisper's decoder, one token after the other, for several texts of one window at a time.

The libraries compute the keys and values of the window, or copy them, once for each beam, and that
copying takes most of the time of a search by beams on a CPU. Here all texts of a window look at
one copy: their tokens stand side by side as if they were one text, which they may, for nothing in
the attention to the window depends on what stands beside. The start that all texts share is
computed once.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention

from emocli.models.lanes import shared_threads

Map = Callable[[Tensor], Tensor]
"""A linear map, or a norm, of the last axis."""


@dataclass(frozen=True)
class Attention:
    """The maps of one attention.

    Attributes:
        norm: before it.
        query: of the text.
        key: of what is looked at.
        value: of what is looked at.
        out: after it.
    """

    norm: Map
    query: Map
    key: Map
    value: Map
    out: Map


@dataclass(frozen=True)
class Layer:
    """One layer of the decoder.

    Attributes:
        own: attention to the text so far.
        cross: attention to the window.
        norm: before the two maps that come last.
        widen: the first of them.
        narrow: the second.
    """

    own: Attention
    cross: Attention
    norm: Map
    widen: Map
    narrow: Map


@dataclass(frozen=True)
class Decoder:
    """The decoder of a library's network, whose weights it shares.

    Attributes:
        layers: from first to last.
        norm: after the last.
        tokens: embedding of tokens, (n_vocabulary, n_states).
        positions: embedding of positions, (n_positions, n_states).
        n_heads: heads of every attention.
    """

    layers: tuple[Layer, ...]
    norm: Map
    tokens: Tensor
    positions: Tensor
    n_heads: int


def openai_decoder(decoder: Any) -> Decoder:
    """The decoder of ``whisper.model.Whisper``."""

    def attention(norm: Any, maps: Any) -> Attention:
        return Attention(norm, maps.query, maps.key, maps.value, maps.out)

    layers = tuple(
        Layer(
            attention(block.attn_ln, block.attn),
            attention(block.cross_attn_ln, block.cross_attn),
            block.mlp_ln,
            block.mlp[0],
            block.mlp[2],
        )
        for block in decoder.blocks
    )
    n_heads = decoder.blocks[0].attn.n_head
    tokens, positions = decoder.token_embedding.weight, decoder.positional_embedding
    return Decoder(layers, decoder.ln, tokens, positions, n_heads)


def transformers_decoder(decoder: Any) -> Decoder:
    """The decoder of ``transformers.WhisperModel``."""

    def attention(norm: Any, maps: Any) -> Attention:
        return Attention(norm, maps.q_proj, maps.k_proj, maps.v_proj, maps.out_proj)

    layers = tuple(
        Layer(
            attention(layer.self_attn_layer_norm, layer.self_attn),
            attention(layer.encoder_attn_layer_norm, layer.encoder_attn),
            layer.final_layer_norm,
            layer.fc1,
            layer.fc2,
        )
        for layer in decoder.layers
    )
    n_heads = decoder.layers[0].self_attn.num_heads
    tokens, positions = decoder.embed_tokens.weight, decoder.embed_positions.weight
    return Decoder(layers, decoder.layer_norm, tokens, positions, n_heads)


class OnTorch:
    """What a `WhisperNetwork` on torch has whichever library has built it."""

    times_words_alone = True
    """Times of words come from hooks or other attention, which the network has for a while."""

    def chance(self) -> torch.Generator:
        """A source of random numbers for one recording, the same for each."""
        return torch.Generator().manual_seed(0)

    def shared(self, n_lanes: int) -> AbstractContextManager[Callable[[], None]]:
        """Torch's threads dealt over lanes; see `WhisperNetwork.shared`."""
        return shared_threads(n_lanes)


class WindowStepper:
    """A `Stepper` over one window.

    Args:
        decoder: the network.
        heard: what the encoder made of the window, (n_audio_ctx, n_states).
        n_sequences: texts that are written at a time.
    """

    def __init__(self, decoder: Decoder, heard: Tensor, n_sequences: int = 1) -> None:
        self._decoder = decoder
        self._n_sequences = n_sequences
        self._window = [
            (self._split(layer.cross.key(heard[None])), self._split(layer.cross.value(heard[None])))
            for layer in decoder.layers
        ]  # (1, n_heads, n_audio_ctx, n_states / n_heads)
        self._length = 0
        self._texts = torch.empty(0)  # (n_layers, 2, n_sequences, n_heads, n_positions, ...)

    def logits(self, tokens: Tensor, wanted: Sequence[int]) -> Tensor:
        """Logits after further tokens; see `Stepper.logits`."""
        if self._length:
            return self._logits(tokens, wanted)
        shared = self._logits(tokens[:1], wanted)
        self._texts = self._texts.repeat(1, 1, self._n_sequences, 1, 1, 1)
        return shared.expand(self._n_sequences, -1, -1)

    def reorder(self, sources: Sequence[int]) -> None:
        """Let sequence i go on from what sequence ``sources[i]`` was given."""
        if list(sources) != list(range(len(sources))):
            held = self._texts[:, :, :, :, : self._length]
            order = torch.tensor(list(sources), device=held.device)
            held.copy_(held.index_select(2, order))

    def _logits(self, tokens: Tensor, wanted: Sequence[int]) -> Tensor:
        decoder = self._decoder
        first, self._length = self._length, self._length + tokens.shape[1]
        states = decoder.tokens[tokens.to(decoder.tokens.device)]  # (n_sequences, n_new, n_states)
        states = states + decoder.positions[first : self._length]
        if not first:
            self._texts = self._room(states)
        for number, layer in enumerate(decoder.layers):
            states = states + self._look_back(layer.own, states, number, first)
            states = states + self._look_at_window(layer.cross, states, number)
            states = states + layer.narrow(gelu(layer.widen(layer.norm(states))))
        last = decoder.norm(states[:, list(wanted)])
        return (last @ decoder.tokens.T).float().cpu()

    def _room(self, states: Tensor) -> Tensor:
        """Room for the keys and values of as many tokens as there are positions."""
        n_heads, (n_positions, n_states) = self._decoder.n_heads, self._decoder.positions.shape
        shape = (len(states), n_heads, n_positions, n_states // n_heads)
        return states.new_empty((len(self._decoder.layers), 2, *shape))

    def _look_back(self, maps: Attention, states: Tensor, number: int, first: int) -> Tensor:
        """Attention of new tokens to all before and to themselves."""
        normed = maps.norm(states)
        keys, values = self._texts[number]  # (n_sequences, n_heads, n_positions, ...)
        keys[:, :, first : self._length] = self._split(maps.key(normed))
        values[:, :, first : self._length] = self._split(maps.value(normed))
        seen = scaled_dot_product_attention(
            self._split(maps.query(normed)),
            keys[:, :, : self._length],
            values[:, :, : self._length],
            is_causal=not first and states.shape[1] > 1,
        )
        return maps.out(_joined(seen))

    def _look_at_window(self, maps: Attention, states: Tensor, number: int) -> Tensor:
        """Attention of new tokens to the window, of all texts at once."""
        side_by_side = maps.norm(states).flatten(0, 1)[None]  # (1, n_sequences * n_new, n_states)
        seen = scaled_dot_product_attention(
            self._split(maps.query(side_by_side)), *self._window[number]
        )
        return maps.out(_joined(seen)).view(states.shape)

    def _split(self, states: Tensor) -> Tensor:
        """States by heads, (n_sequences, n_heads, n_tokens, n_states / n_heads)."""
        return states.unflatten(-1, (self._decoder.n_heads, -1)).transpose(1, 2)


def _joined(states: Tensor) -> Tensor:
    """States of all heads side by side, (n_sequences, n_tokens, n_states)."""
    return states.transpose(1, 2).flatten(-2)
