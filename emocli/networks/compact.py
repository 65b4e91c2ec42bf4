"""The compact speech network: a front end and several small members whose votes are averaged.

Members see the same frames in different ways and fail differently, so their average is better
than any of them, most of all on voices and rooms unlike those of the training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from emocli.networks.contours import LOUD_NATS, LOUDEST, masked_moments, masked_quantile
from emocli.networks.functionals import N_FUNCTIONALS, Functionals
from emocli.networks.logmel import FrontEndConfig, LogMelPitch, pad_frames

CLIP_DEVIATIONS = 6.0
"""Functionals further than this from the training's mean say no more than that they are far."""
SPECTRUM_FLOOR_NATS = -12.0
SPECTRUM_SCALE_NATS = 2.5
PERIODICITY_SCALE = 2.0
KERNEL = 5
MASKED = -1e4


@dataclass(frozen=True, kw_only=True)
class MemberConfig:
    """Shape of a member.

    Attributes:
        kind: ``"discriminant"`` and ``"perceptron"`` see functionals, ``"convolutional"`` frames.
        n_outputs: labels it was trained on; those of the network come first.
        weight: of its log posteriors in the average.
        hidden: widths of a perceptron's hidden layers.
        channels: of a convolutional member's layers.
        dilations: one separable convolution each.
        heads: of its attention over time.
        mean_removal: share of the utterance's mean spectrum that is taken out, 0 to 1.
        input_dropout: share of the functionals that training leaves out.
        dropout: within the member, in training.
        output_dropout: before a convolutional member's last layer, in training.
    """

    kind: str
    n_outputs: int
    weight: float = 1.0
    hidden: tuple[int, ...] = ()
    channels: int = 96
    dilations: tuple[int, ...] = (1, 2, 4, 1)
    heads: int = 4
    mean_removal: float = 0.5
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Shape of a compact network.

    Attributes:
        labels: in the order of the logits.
        members: at least one.
        front_end: how frames are made.
        temperature: by which the averaged log posteriors are divided.
    """

    labels: tuple[str, ...]
    members: tuple[MemberConfig, ...]
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    temperature: float = 1.0


class Perceptron(nn.Module):
    """Standardised functionals through hidden layers; without hidden layers a linear classifier.

    ``mean`` and ``deviation`` are set from the training data before training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: MemberConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(N_FUNCTIONALS))
        self.register_buffer("deviation", torch.ones(N_FUNCTIONALS))
        layers: list[nn.Module] = [nn.Dropout(config.input_dropout)]
        width = N_FUNCTIONALS
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
            layers += [nn.Dropout(config.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.n_outputs))

    def standardize(self, functionals: Tensor) -> Tensor:
        """Functionals in deviations from the training's mean, clipped at 6."""
        scaled = (functionals - self.mean) / self.deviation
        return scaled.clamp(-CLIP_DEVIATIONS, CLIP_DEVIATIONS)

    def forward(self, functionals: Tensor) -> Tensor:
        """Logits of shape (n_utterances, n_outputs) from functionals (n_utterances, 472)."""
        scores: Tensor = self.layers(self.standardize(functionals))
        return scores


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution over time with a residual connection."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        padding = dilation * (KERNEL // 2)
        self.depthwise = nn.Conv1d(
            channels, channels, KERNEL, padding=padding, dilation=dilation, groups=channels,
            bias=False,
        )  # fmt: skip
        self.depthwise_norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, present: Tensor) -> Tensor:
        """Frames (n, channels, n_frames) to the same shape; padding, present = 0, stays 0."""
        local = self.depthwise_norm(self.depthwise(frames))
        mixed = torch.relu(self.pointwise_norm(self.pointwise(local)))
        return (frames + self.dropout(mixed)) * present


class Convolutional(nn.Module):
    """Separable convolutions over time and attentive statistics pooling.

    The first layer halves the frame rate. Padding is put to zero after every layer, so an
    utterance's logits do not depend on the others of its batch.
    """

    def __init__(self, config: MemberConfig, front_end: FrontEndConfig) -> None:
        super().__init__()
        self.n_mels = front_end.n_mels
        self.mean_removal = config.mean_removal
        self.heads = config.heads
        channels = config.channels
        self.first = nn.Conv1d(
            front_end.n_features, channels, KERNEL, stride=2, padding=KERNEL // 2, bias=False
        )
        self.first_norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            SeparableBlock(channels, dilation, config.dropout) for dilation in config.dilations
        )
        self.attention = nn.Sequential(
            nn.Conv1d(channels, channels // 2, 1),
            nn.Tanh(),
            nn.Conv1d(channels // 2, self.heads, 1),
        )
        self.pooled_norm = nn.BatchNorm1d(2 * channels)
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.classifier = nn.Linear(2 * channels, config.n_outputs)

    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        """Logits of shape (n_utterances, n_outputs).

        Args:
            frames: shape (n_utterances, n_frames, n_features).
            valid: bool, shape (n_utterances, n_frames).
        """
        present = valid[:, None, ::2].to(frames)  # (n, 1, n_frames / 2)
        inputs = self._normalize(frames, valid).transpose(1, 2)
        hidden = self.dropout(torch.relu(self.first_norm(self.first(inputs)))) * present
        for block in self.blocks:
            hidden = block(hidden, present)
        pooled = self.pooled_norm(self._pool(hidden, present))
        scores: Tensor = self.classifier(self.output_dropout(pooled))
        return scores

    def _normalize(self, frames: Tensor, valid: Tensor) -> Tensor:
        """Energies relative to the loud frames' mean, and periodicity; padding is 0."""
        energies, periodicity = frames[..., : self.n_mels], frames[..., self.n_mels :]
        level = torch.logsumexp(energies, dim=2, keepdim=True)
        loudest = masked_quantile(level, valid, (LOUDEST,))[0][:, None]
        spectrum = (energies - loudest).clamp(min=SPECTRUM_FLOOR_NATS)
        mean, _ = masked_moments(spectrum, valid & (level - loudest > LOUD_NATS)[..., 0])
        level_mean = mean.mean(1, keepdim=True)  # (n, 1)
        tilt = self.mean_removal * (mean - level_mean)
        spectrum = (spectrum - (level_mean + tilt)[:, None]) / SPECTRUM_SCALE_NATS
        both = torch.cat([spectrum, periodicity * PERIODICITY_SCALE], dim=2)
        return both * valid[..., None].to(both)

    def _pool(self, hidden: Tensor, present: Tensor) -> Tensor:
        """Means and deviations over time, each group of channels under its head's weights."""
        scores = self.attention(hidden).masked_fill(present == 0, MASKED)
        weights = torch.softmax(scores, dim=2)[:, :, None]  # (n, heads, 1, n_frames / 2)
        groups = hidden.unflatten(1, (self.heads, -1))
        mean = (groups * weights).sum(3)
        variance = (groups.square() * weights).sum(3) - mean.square()
        deviation = variance.clamp(min=1e-4).sqrt()
        return torch.cat([mean.flatten(1), deviation.flatten(1)], dim=1)


def make_member(config: MemberConfig, front_end: FrontEndConfig) -> nn.Module:
    """An untrained member."""
    if config.kind == "convolutional":
        return Convolutional(config, front_end)
    return Perceptron(config)


class CompactNetwork(nn.Module):
    """The whole network, from waveforms to logits."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMelPitch(config.front_end)
        self.functionals = Functionals(config.front_end)
        self.members = nn.ModuleList(make_member(m, config.front_end) for m in config.members)

    @torch.no_grad()
    def forward(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Logits of shape (n_utterances, n_labels); 0 for an utterance without sound.

        Args:
            waveforms: float32, each of shape (n_samples,), of any lengths.
        """
        sounding, frames = self._frames(waveforms)
        logits = torch.zeros(len(waveforms), len(self.config.labels))
        if sounding:
            logits[sounding] = self.classify(*pad_frames(frames))
        return logits

    @torch.no_grad()
    def describe(self, waveforms: Sequence[Tensor]) -> tuple[list[int], Tensor]:
        """Functionals of shape (n_sounding, 472), and which utterances have sound.

        Args:
            waveforms: as for `forward`.
        """
        sounding, frames = self._frames(waveforms)
        if not sounding:
            return [], torch.empty(0, N_FUNCTIONALS)
        return sounding, self.functionals(*pad_frames(frames))

    def _frames(self, waveforms: Sequence[Tensor]) -> tuple[list[int], list[Tensor]]:
        """Which utterances have sound, and the frames of these."""
        frames = [self.front_end(waveform) for waveform in waveforms]
        sounding = [index for index, found in enumerate(frames) if len(found)]
        return sounding, [frames[index] for index in sounding]

    def classify(self, frames: Tensor, valid: Tensor) -> Tensor:
        """Logits of shape (n_utterances, n_labels) from padded frames.

        Args:
            frames: shape (n_utterances, n_frames, n_features).
            valid: bool, shape (n_utterances, n_frames).
        """
        functionals = self.functionals(frames, valid)
        scores = [
            member(frames, valid) if isinstance(member, Convolutional) else member(functionals)
            for member in self.members
        ]
        return combine(scores, self.config)


def combine(scores: Sequence[Tensor], config: CompactConfig) -> Tensor:
    """Weighted mean of the members' log posteriors over the labels, over the temperature.

    Args:
        scores: one tensor of shape (n_utterances, n_outputs) per member.
        config: labels, weights and temperature.

    Returns:
        Shape (n_utterances, n_labels).
    """
    n_labels = len(config.labels)
    weights = [member.weight for member in config.members]
    total = torch.stack(
        [
            weight * torch.log_softmax(score[:, :n_labels], dim=1)
            for weight, score in zip(weights, scores, strict=True)
        ]
    ).sum(0)
    return total / sum(weights) / config.temperature
