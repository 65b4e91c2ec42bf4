"""The prosody of NaturalSpeech 3's codec: low mel bands, a transformer, and one codebook.

Only this path of FACodec is here, under the names of its published weights. It hears the lowest 20
of 80 mel bands, where pitch and its first harmonics are, and says one of 1,024 vectors for every
12.5 ms.

Source: Ju et al. 2024, "NaturalSpeech 3", and the published second version of its codec.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from transformers.audio_utils import mel_filter_bank

SAMPLING_RATE = 16000
HOP_SAMPLES = 200
WINDOW_SAMPLES = 800
N_FFT = 1024
N_MELS = 80
N_LOW_MELS = 20
DIM = 256
N_LAYERS, N_HEADS = 4, 4
FILTER_DIM, KERNEL = 1024, 5
N_CODES, CODE_DIM = 1024, 8
MIN_SAMPLES = 600
"""Three hops; fewer samples are less than the reflection at the ends takes."""


class FeedForward(nn.Module):
    """A convolution over time, ReLU, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.ffn_1 = nn.Conv1d(DIM, FILTER_DIM, KERNEL, padding=KERNEL // 2)
        self.ffn_2 = nn.Linear(FILTER_DIM, DIM)

    def forward(self, frames: Tensor) -> Tensor:
        """Shape (n_utterances, n_frames, 256) to the same."""
        wide = self.ffn_1(frames.transpose(1, 2)).relu()  # (n_utterances, 1024, n_frames)
        return self.ffn_2(wide.transpose(1, 2))


class Layer(nn.Module):
    """Self-attention and feed-forward, each after a layer norm and beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(DIM)
        self.self_attn = nn.MultiheadAttention(DIM, N_HEADS, batch_first=True)
        self.ln_2 = nn.LayerNorm(DIM)
        self.ffn = FeedForward()

    def forward(self, frames: Tensor) -> Tensor:
        """Shape (n_utterances, n_frames, 256) to the same."""
        normed = self.ln_1(frames)
        attended, _ = self.self_attn(normed, normed, normed, need_weights=False)
        frames = frames + attended
        return frames + self.ffn(self.ln_2(frames))


class MelspecEncoder(nn.Module):
    """Layers under a last norm.

    The published code adds its table of positions along the batch instead of along time, so the
    first and only utterance gets position 0 in every frame: 0 and 1 in turn. The weights were
    trained with it, hence it stays.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(N_LAYERS))
        self.last_ln = nn.LayerNorm(DIM)

    def forward(self, frames: Tensor) -> Tensor:
        """Shape (1, n_frames, 256) to the same."""
        frames = frames + torch.tensor([0.0, 1.0]).repeat(DIM // 2).to(frames)
        for layer in self.layers:
            frames = layer(frames)
        return self.last_ln(frames)


class Quantizer(nn.Module):
    """The nearest of 1,024 directions in 8 dimensions, and back to 256."""

    def __init__(self) -> None:
        super().__init__()
        self.in_proj = weight_norm(nn.Linear(DIM, CODE_DIM))
        self.out_proj = weight_norm(nn.Linear(CODE_DIM, DIM))
        self._codebook = nn.Embedding(N_CODES, CODE_DIM)

    def forward(self, frames: Tensor) -> Tensor:
        """Shape (n_utterances, n_frames, 256) to the same."""
        directions = nn.functional.normalize(self.in_proj(frames), dim=-1)
        codes = nn.functional.normalize(self._codebook.weight, dim=-1)
        nearest = (directions @ codes.T).argmax(-1)  # (n_utterances, n_frames)
        return self.out_proj(self._codebook(nearest))


class ResidualQuantizer(nn.Module):
    """A chain of quantisers, of which prosody has one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Quantizer()])

    def forward(self, frames: Tensor) -> Tensor:
        """Shape (n_utterances, n_frames, 256) to the same."""
        return self.layers[0](frames)


class FACodecProsody(nn.Module):
    """From a waveform to the quantised prosody of its frames."""

    window: Tensor
    mels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.melspec_linear = nn.Linear(N_LOW_MELS, DIM)
        self.melspec_encoder = MelspecEncoder()
        self.quantizer = nn.ModuleList([ResidualQuantizer()])
        filters = mel_filter_bank(
            num_frequency_bins=N_FFT // 2 + 1,
            num_mel_filters=N_MELS,
            min_frequency=0.0,
            max_frequency=8000.0,
            sampling_rate=SAMPLING_RATE,
            norm="slaney",
            mel_scale="slaney",
        )[:, :N_LOW_MELS]
        self.register_buffer("mels", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Prosody of one waveform.

        Args:
            waveform: shape (n_samples,), at 16 kHz. Zeros are appended up to the next multiple of
                200 samples, 200 of them where it is one, and up to 600 in all.

        Returns:
            Shape (n_frames, 256), 80 frames a second, each one of 1,024 vectors.
        """
        frames = self.melspec_linear(self.low_mels(waveform))[None]
        return self.quantizer[0](self.melspec_encoder(frames))[0]

    def low_mels(self, waveform: Tensor) -> Tensor:
        """Natural logarithms of mel magnitudes of at least 1e-5, shape (n_frames, 20)."""
        missing = HOP_SAMPLES - len(waveform) % HOP_SAMPLES
        missing = max(missing, MIN_SAMPLES - len(waveform))
        edge = (N_FFT - HOP_SAMPLES) // 2  # 412
        padded = nn.functional.pad(waveform, (0, missing))[None]
        padded = nn.functional.pad(padded, (edge, edge), mode="reflect")
        spectrum = torch.stft(
            padded[0],
            N_FFT,
            hop_length=HOP_SAMPLES,
            win_length=WINDOW_SAMPLES,
            window=self.window,
            center=False,
            return_complex=True,
        )  # (513, n_frames)
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        return (magnitude.T @ self.mels).clamp(min=1e-5).log()
