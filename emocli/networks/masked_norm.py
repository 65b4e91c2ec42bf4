"""Group norm over time that does not see padding."""

import torch
from torch import Tensor, nn


class MaskedGroupNorm(nn.Module):
    """A ``GroupNorm`` with one group a channel whose statistics leave padded frames out.

    wav2vec2-base and its kin normalise every channel of the first convolution over the whole
    utterance, so zeros appended to fill a batch change each frame. With `n_frames` set the padded
    tail counts in neither the mean nor the variance, and comes out as 0.

    Attributes:
        n_frames: valid frames of each utterance, shape (n_utterances,); None if all are valid.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        if norm.num_groups != norm.num_channels:
            raise ValueError("one group for each channel expected")
        self.norm = norm
        self.n_frames: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise, shape (n_utterances, n_channels, n_frames) to the same."""
        if self.n_frames is None:
            return self.norm(hidden)
        time = torch.arange(hidden.shape[-1], device=hidden.device)
        valid = (time < self.n_frames[:, None])[:, None]  # (n_utterances, 1, n_frames)
        count = self.n_frames[:, None, None]
        values = hidden.float() * valid
        mean = values.sum(-1, keepdim=True) / count
        centred = (values - mean) * valid
        variance = centred.square().sum(-1, keepdim=True) / count
        scaled = centred * torch.rsqrt(variance + self.norm.eps)
        affine = scaled * self.norm.weight.float()[:, None] + self.norm.bias.float()[:, None]
        return (affine * valid).to(hidden.dtype)
