"""A text encoder with a head on its first token, named as the transformers library names them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class TextHeadConfig:
    """Shape of a text head.

    Attributes:
        n_channels: of the encoder's states; 1024 in RoBERTa large.
        n_outputs: labels, or dimensions.
        dropout: before each of the two linear layers, in training.
    """

    n_channels: int = 1024
    n_outputs: int = 8
    dropout: float = 0.3


class TextHead(nn.Module):
    """Dropout, linear, tanh, dropout and a linear output on the state of the first token.

    EmoJudge says "dropout 0.3, then linear layers"; two of them, as here, are also what
    ``RobertaForSequenceClassification`` has.
    """

    def __init__(self, config: TextHeadConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(config.n_channels, config.n_channels)
        self.out_proj = nn.Linear(config.n_channels, config.n_outputs)

    def forward(self, states: Tensor) -> Tensor:
        """Outputs, shape (n_utterances, n_tokens, n_channels) to (n_utterances, n_outputs)."""
        first = self.dropout(states[:, 0])  # (n, n_channels)
        return self.out_proj(self.dropout(torch.tanh(self.dense(first))))


class TextClassifier(nn.Module):
    """A RoBERTa, or a kin of it, and a `TextHead`.

    Its state dict is one of ``RobertaForSequenceClassification``, so what was trained is a
    checkpoint like any other.

    Source: EmoJudge (JHU, Interspeech 2025 challenge), section on the text network.
    """

    def __init__(self, encoder: Any, head: TextHead) -> None:
        super().__init__()
        self.roberta = encoder
        self.classifier = head

    def forward(self, token_ids: Tensor, token_mask: Tensor | None) -> Tensor:
        """Outputs of texts.

        Args:
            token_ids: shape (n_utterances, n_tokens), padded at the end with the encoder's own
                padding token, from which it counts positions.
            token_mask: 1 for tokens and 0 for padding, the shape of ``token_ids``; None if there
                is no padding.

        Returns:
            Shape (n_utterances, n_outputs).
        """
        states = self.roberta(token_ids, attention_mask=token_mask).last_hidden_state
        return self.classifier(states)
