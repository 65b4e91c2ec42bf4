"""Mel energies of a whole recording, for networks that read sequences."""

import torch
from torch import Tensor, nn

from emocli.networks.logmel import SILENT_RMS, FrontEndConfig, mel_filters

ENERGY_FLOOR = 1e-4
"""About 63 dB below what white noise of the recording's level has in a band."""


class LogMelSequence(nn.Module):
    """Mel energies of a whole waveform, silence and all, one frame for every hop begun.

    The level is taken out by scaling the waveform to a root mean square of 1; a waveform without
    sound gives frames at the floor. Frames lie around the middles of hops.
    """

    window: Tensor
    mels: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        constants = {
            "window": torch.hann_window(config.window_samples),
            "mels": torch.from_numpy(mel_filters(config)),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        """Natural logarithms of mel energies.

        Args:
            waveform: float32, shape (n_samples,), at ``config.sampling_rate``.

        Returns:
            Shape (max(1, ceil(n_samples / hop_samples)), n_mels), at least ``log(1e-4)``.
        """
        size, hop = self.config.window_samples, self.config.hop_samples
        n_frames = max(1, -(-len(waveform) // hop))
        rms = waveform.square().mean().sqrt() if len(waveform) else torch.tensor(0.0)
        scaled = waveform / rms if rms > SILENT_RMS else torch.zeros_like(waveform)
        before = (size - hop) // 2
        after = max(0, (n_frames - 1) * hop + size - before - len(waveform))
        pieces = nn.functional.pad(scaled, (before, after)).unfold(0, size, hop)[:n_frames]
        spectrum = torch.fft.rfft(pieces * self.window)
        power = spectrum.real.square() + spectrum.imag.square()  # (n_frames, n_bins)
        return torch.log(power @ self.mels + ENERGY_FLOOR)
