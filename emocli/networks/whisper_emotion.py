"""Emotion from the lower layers of Whisper's encoder: their statistics, and a linear head.

The encoder is that of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
Supervision", by the names that the transformers library gives its tensors. It hears speech in one
fixed form, for its statistics depend on it: the span between the first and the last loud frame, at
one level, in pieces of at most 6 s without any padding, each from the first position on. Padding to
30 s, as for transcription, would cost ten times as much for a short utterance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emocli.networks.logmel import SILENT_RMS, loud_span

SAMPLING_RATE = 16_000
HOP_SAMPLES, WINDOW_SAMPLES = 160, 400
POSITION_SAMPLES = 2 * HOP_SAMPLES
"""The second convolution halves the frame rate."""
SPAN_HOP, SPAN_WINDOW = 256, 512
"""Frames in which loud stretches are sought."""
PIECE_SAMPLES = 6 * SAMPLING_RATE
SHORTEST_REST = 3 * SAMPLING_RATE // 10
"""A last piece below 0.3 s is left out."""
LEVEL = 0.07
"""Root mean square of the loud span."""
LEAST_VARIANCE = 1e-8


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of an encoder.

    Attributes:
        width: of its hidden states.
        heads: of its attention.
        n_mels: bands of its spectrogram.
        n_layers: blocks that are needed.
    """

    width: int
    heads: int
    n_mels: int
    n_layers: int


class EncoderLayer(nn.Module):
    """A block of the encoder; names of parameters are those of the transformers library."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": nn.Linear(width, width),
                "k_proj": nn.Linear(width, width, bias=False),
                "v_proj": nn.Linear(width, width),
                "out_proj": nn.Linear(width, width),
            }
        )
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states of shape (n_positions, width) to the same."""
        inputs = self.self_attn_layer_norm(hidden)
        query, key, value = (
            self.self_attn[name](inputs).unflatten(1, (self.heads, -1)).transpose(0, 1)
            for name in ("q_proj", "k_proj", "v_proj")
        )  # (heads, n_positions, width / heads)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.self_attn["out_proj"](attended.transpose(0, 1).flatten(1))
        inner = nn.functional.gelu(self.fc1(self.final_layer_norm(hidden)))
        deeper: Tensor = hidden + self.fc2(inner)
        return deeper


class LowerEncoder(nn.Module):
    """Convolutions and first layers of Whisper's encoder.

    Args:
        shape: sizes.
        filters: of the spectrogram, shape (201, n_mels).
    """

    filters: Tensor
    window: Tensor

    def __init__(self, shape: EncoderShape, filters: Tensor) -> None:
        super().__init__()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)
        self.conv1 = nn.Conv1d(shape.n_mels, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        n_positions = PIECE_SAMPLES // POSITION_SAMPLES
        self.embed_positions = nn.Embedding(n_positions, shape.width)
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(shape.n_layers))

    def load_encoder(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights that are needed from a checkpoint's, positions cut to 6 s.

        Args:
            tensors: by the library's names, after ``encoder.``.

        Raises:
            KeyError: one is missing.
            RuntimeError: one has another shape.
        """
        own = {name: tensors[name] for name in self.state_dict()}
        positions = "embed_positions.weight"
        own[positions] = own[positions][: self.embed_positions.num_embeddings]
        self.load_state_dict(own)

    def forward(self, piece: Tensor) -> list[Tensor]:
        """Hidden states after each layer, each of shape (n_positions, width).

        Args:
            piece: shape (n_samples,), at most 6 s, at 16 kHz.
        """
        gelu = nn.functional.gelu
        spectrum = self._spectrogram(piece)[None]  # (1, n_mels, n_frames)
        frames = gelu(self.conv2(gelu(self.conv1(spectrum))))[0].T  # (n_positions, width)
        hidden = frames + self.embed_positions.weight[: len(frames)]
        found = []
        for layer in self.layers:
            hidden = layer(hidden)
            found.append(hidden)
        return found

    def _spectrogram(self, piece: Tensor) -> Tensor:
        """Whisper's logarithmic mel spectrogram, shape (n_mels, n_frames)."""
        piece = nn.functional.pad(piece, (0, -len(piece) % POSITION_SAMPLES))
        spectrum = torch.stft(
            piece, WINDOW_SAMPLES, HOP_SAMPLES, window=self.window, return_complex=True
        )[:, :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        energies = (self.filters.T @ power).clamp(min=1e-10).log10()
        return (energies.maximum(energies.max() - 8) + 4) / 4


def pieces_of(waveform: Tensor) -> list[Tensor]:
    """The loud span of a waveform at one level, cut; nothing for one without sound.

    Args:
        waveform: float32, shape (n_samples,), mono at 16 kHz, of any level.
    """
    waveform = waveform - waveform.mean() if len(waveform) else waveform
    rms = waveform.square().mean().sqrt()
    if not rms > SILENT_RMS:
        return []
    padded = nn.functional.pad(waveform, (0, max(0, SPAN_WINDOW - len(waveform))))
    start, stop = loud_span(padded.unfold(0, SPAN_WINDOW, SPAN_HOP) / rms)
    span = waveform[start * SPAN_HOP : (stop - 1) * SPAN_HOP + SPAN_WINDOW]
    span = span / span.square().mean().sqrt() * LEVEL
    pieces = list(span.split(PIECE_SAMPLES))
    return pieces[:-1] if len(pieces) > 1 and len(pieces[-1]) < SHORTEST_REST else pieces


class WhisperEmotion(nn.Module):
    """Statistics of layers, standardised, and a linear head.

    Args:
        encoder: with its weights.
        layers: whose statistics count, from 1.
        n_labels: outputs.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: LowerEncoder, layers: Sequence[int], n_labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.used = tuple(layers)
        width = encoder.conv1.out_channels
        n_features = 2 * len(self.used) * width
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        self.classifier = nn.Linear(n_features, n_labels)

    @torch.no_grad()
    def statistics(self, waveform: Tensor) -> Tensor | None:
        """Mean and deviation over time of each layer, shape (n_features,); None without sound."""
        sums: list[Tensor] = []
        squares: list[Tensor] = []
        count = 0
        for piece in pieces_of(waveform):
            layers = self.encoder(piece)
            hidden = torch.stack([layers[number - 1] for number in self.used]).double()
            sums.append(hidden.sum(1))
            squares.append(hidden.square().sum(1))
            count += hidden.shape[1]
        if not count:
            return None
        mean = torch.stack(sums).sum(0) / count
        variance = torch.stack(squares).sum(0) / count - mean.square()
        both = torch.stack([mean, variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=1)
        return both.flatten().float()

    def classify(self, statistics: Tensor) -> Tensor:
        """Logits of shape (n_utterances, n_labels) from statistics (n_utterances, n_features)."""
        scaled = ((statistics - self.mean) / self.deviation).clamp(-6, 6)
        scores: Tensor = self.classifier(scaled)
        return scores
