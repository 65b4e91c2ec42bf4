"""A fully connected head whose hidden layers are joined by residual connections."""

from dataclasses import dataclass

from torch import Tensor

from emocli.networks.speech_heads import FullyConnected


@dataclass(frozen=True, kw_only=True)
class ResidualHeadConfig:
    """Shape of a residual head.

    The paper gives neither widths nor the number of layers nor dropout; the defaults are those of
    the challenge's baseline, with two residual blocks added.

    Attributes:
        n_inputs: means and deviations of WavLM large's 1024 channels.
        n_hidden: of every hidden layer.
        n_outputs: labels, or dimensions.
        n_residual_blocks: hidden layers after the first; none gives the baseline's head.
        dropout: before the first layer and after each hidden one, in training.
    """

    n_inputs: int = 2048
    n_hidden: int = 1024
    n_outputs: int = 8
    n_residual_blocks: int = 2
    dropout: float = 0.5


class ResidualHead(FullyConnected):
    """``h_1 = Block(x)``, ``h_{k+1} = h_k + Block(h_k)``, then a linear output.

    A block is linear, layer norm, ReLU and dropout. The names of the parameters are those of
    `FullyConnected`, so with no residual blocks weights of the baseline fit.

    Source: EmoJudge (JHU, Interspeech 2025 challenge), section on the audio network.
    """

    def __init__(self, config: ResidualHeadConfig) -> None:
        super().__init__(
            config.n_inputs,
            config.n_hidden,
            config.n_outputs,
            1 + config.n_residual_blocks,
            config.dropout,
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Outputs, shape (n_utterances, n_inputs) to (n_utterances, n_outputs)."""
        hidden = self.fc[0](self.dropout(pooled))  # (n, n_hidden)
        for block in list(self.fc)[1:]:
            hidden = hidden + block(hidden)
        return self.out(hidden)
