"""Classification heads of published speech checkpoints that the transformers library lacks.

Parameter names are those of the published weight files.
"""

from typing import Any

from torch import Tensor, nn

from emocli.networks.attentive_statistics import AttentiveStatisticsPooling

POOLINGS = ("mean", "sum", "max")


def pool_frames(frames: Tensor, valid: Tensor, pooling: str) -> Tensor:
    """Mean, sum or maximum over the valid frames.

    Args:
        frames: shape (n_utterances, n_frames, n_channels).
        valid: bool, shape (n_utterances, n_frames).
        pooling: one of `POOLINGS`.

    Returns:
        Shape (n_utterances, n_channels).
    """
    if pooling == "max":
        return frames.masked_fill(~valid[..., None], -float("inf")).amax(1)
    total = frames.masked_fill(~valid[..., None], 0.0).sum(1)
    return total if pooling == "sum" else total / valid.sum(1, keepdim=True)


class MeanClassifier(nn.Module):
    """An encoder, a linear projection of its frames, their mean over time, and a linear output.

    The library's own classifier, ``Wav2Vec2ForSequenceClassification``, under names for training.

    Args:
        encoder: gives frames of ``n_channels``.
        n_channels: of the encoder.
        n_projected: width of the projection.
        n_outputs: of the classifier.
        deviation: of the weights that are drawn for the two linear layers; biases are 0.
    """

    def __init__(
        self, encoder: Any, n_channels: int, n_projected: int, n_outputs: int, deviation: float
    ) -> None:
        super().__init__()
        self.ssl_model = encoder
        self.projector = nn.Linear(n_channels, n_projected)
        self.classifier = nn.Linear(n_projected, n_outputs)
        for layer in (self.projector, self.classifier):
            nn.init.normal_(layer.weight, 0.0, deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor, sample_mask: Tensor | None, valid: Tensor) -> Tensor:
        """Logits of waveforms; arguments as in `PooledClassifier.forward`."""
        frames = self.ssl_model(inputs, attention_mask=sample_mask).last_hidden_state
        return self.classifier(pool_frames(self.projector(frames), valid, "mean"))


class DenseTanhHead(nn.Module):
    """``dense``, tanh, then an output layer that goes by one of two names.

    audeering's dimensional wav2vec2 calls the output layer ``out_proj``, ehcalabres' classifier
    calls it ``output``.
    """

    def __init__(self, n_channels: int, n_outputs: int, output_name: str) -> None:
        super().__init__()
        self.dense = nn.Linear(n_channels, n_channels)
        self.output_name = output_name
        self.add_module(output_name, nn.Linear(n_channels, n_outputs))

    def forward(self, pooled: Tensor) -> Tensor:
        """Outputs, shape (n_utterances, n_channels) to (n_utterances, n_outputs)."""
        return self.get_submodule(self.output_name)(self.dense(pooled).tanh())


class PooledClassifier(nn.Module):
    """An encoder, pooling over time, and a `DenseTanhHead`."""

    def __init__(self, encoder: nn.Module, head: nn.Module, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = head
        self.pooling = pooling

    def forward(self, inputs: Tensor, sample_mask: Tensor | None, valid: Tensor) -> Tensor:
        """Logits of waveforms.

        Args:
            inputs: shape (n_utterances, n_samples), zero-padded.
            sample_mask: 1 for samples and 0 for padding, the shape of ``inputs``; None if there
                is no padding.
            valid: bool, shape (n_utterances, n_frames).

        Returns:
            Shape (n_utterances, n_outputs).
        """
        frames = self.encoder(inputs, attention_mask=sample_mask).last_hidden_state
        return self.classifier(pool_frames(frames, valid, self.pooling))


class FullyConnected(nn.Module):
    """Blocks of linear, layer norm, ReLU and dropout, then a linear output.

    ``dropout`` also comes before the first block. Only training needs it.
    """

    def __init__(
        self, n_inputs: int, n_hidden: int, n_outputs: int, n_blocks: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [n_inputs] + [n_hidden] * n_blocks
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, n_hidden), nn.LayerNorm(n_hidden), nn.ReLU(), nn.Dropout(dropout)
            )
            for width in widths[:-1]
        )
        self.out = nn.Sequential(nn.Linear(widths[-1], n_outputs))

    def forward(self, pooled: Tensor) -> Tensor:
        """Outputs, shape (n_utterances, n_inputs) to (n_utterances, n_outputs)."""
        hidden = self.dropout(pooled)
        for block in self.fc:
            hidden = block(hidden)
        return self.out(hidden)


class ChallengeBaseline(nn.Module):
    """WavLM, attentive statistics pooling and a fully connected head.

    Source: the baseline of the Odyssey 2024 and Interspeech 2025 challenges on MSP-Podcast.
    """

    def __init__(self, encoder: Any, n_channels: int, head: FullyConnected) -> None:
        super().__init__()
        self.ssl_model = encoder
        self.pool_model = AttentiveStatisticsPooling(n_channels)
        self.ser_model = head

    def forward(self, inputs: Tensor, sample_mask: Tensor | None, valid: Tensor) -> Tensor:
        """Logits of standardised waveforms; arguments as in `PooledClassifier.forward`."""
        frames = self.ssl_model(inputs, attention_mask=sample_mask).last_hidden_state
        return self.ser_model(self.pool_model(frames, valid))
