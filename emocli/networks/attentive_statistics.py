"""Attentive statistics pooling: a weighted mean and standard deviation over time."""

import torch
from torch import Tensor, nn

VARIANCE_FLOOR = 1e-5


class AttentiveStatisticsPooling(nn.Module):
    """Mean and deviation over time under weights that the network chooses.

    ``e_t = tanh(W x_t + b) . a``, ``alpha = softmax_t(e)``, ``mu = sum alpha_t x_t``,
    ``sigma = sqrt(max(sum alpha_t x_t^2 - mu^2, 1e-5))``.

    Source: Okabe et al. 2018, "Attentive statistics pooling for deep speaker embedding", with the
    single linear layer and the floor of the MSP-Podcast challenge's baseline (Odyssey 2024).
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.sap_linear = nn.Linear(n_channels, n_channels)
        self.attention = nn.Parameter(torch.empty(n_channels, 1))
        nn.init.normal_(self.attention)

    def attention_weights(self) -> tuple[Tensor, Tensor]:
        """The parameters that EmoJudge's l2 penalty is on: ``W`` and ``a``, not the bias ``b``."""
        return self.sap_linear.weight, self.attention

    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        """Pool frames.

        Args:
            frames: shape (n_utterances, n_frames, n_channels).
            valid: bool, shape (n_utterances, n_frames), False where a frame is padding.

        Returns:
            Shape (n_utterances, 2 * n_channels), means then deviations.
        """
        energy = torch.tanh(self.sap_linear(frames)) @ self.attention  # (n, n_frames, 1)
        energy = energy.masked_fill(~valid[..., None], -torch.inf)
        weights = torch.softmax(energy, dim=1)
        frames = frames.masked_fill(~valid[..., None], 0.0)
        mean = (weights * frames).sum(1)  # (n, n_channels)
        variance = (weights * frames.square()).sum(1) - mean.square()
        return torch.cat([mean, variance.clamp(min=VARIANCE_FLOOR).sqrt()], dim=-1)
