"""What a fine-tuning will take, told before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Memory:
    """Bytes on the device that a training takes.

    Attributes:
        weights: fp32.
        gradients: of what is trained.
        moments: two of AdamW for each trained value.
        activations: what a micro-batch leaves behind for its gradients; an estimate.
    """

    weights: int
    gradients: int
    moments: int
    activations: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.gradients + self.moments + self.activations


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the activations of an encoder depend on.

    Attributes:
        n_layers: blocks of the encoder.
        width: of its hidden states.
        n_heads: of its attention.
        n_positions: frames or tokens of the longest utterance.
        first_values: values of the first convolution's result for it; 0 for texts.
        is_trained: whether gradients go through the blocks.
    """

    n_layers: int
    width: int
    n_heads: int
    n_positions: int
    first_values: int = 0
    is_trained: bool = True


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Values that are trained, and values that are frozen."""
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return trained, sum(p.numel() for p in network.parameters()) - trained


def estimate_memory(
    n_trained: int, n_frozen: int, shape: Shape, micro_batch: int, *, is_half: bool
) -> Memory:
    """Memory for weights, gradients, moments and, as an estimate, activations.

    A block keeps ``s b h (34 + 5 a s / h)`` bytes in half precision and twice as many in fp32, for
    s positions, b utterances, width h and a heads. The result of the first convolution is there
    three times for a moment: as input, output and normalised.

    Args:
        n_trained: values.
        n_frozen: values.
        shape: of the encoder.
        micro_batch: utterances.
        is_half: whether activations are in 16 bits.

    Source: Korthikanti et al. 2022, "Reducing activation recomputation in large transformer
    models", equation 2, for a block.
    """
    s, b, h, a = shape.n_positions, micro_batch, shape.width, shape.n_heads
    block = s * b * h * 34 + 5 * a * s * s * b
    n_blocks = shape.n_layers if shape.is_trained else 1
    size = 1 if is_half else 2
    first = 3 * b * shape.first_values * 2 * size
    return Memory(
        weights=FLOAT_BYTES * (n_trained + n_frozen),
        gradients=FLOAT_BYTES * n_trained,
        moments=2 * FLOAT_BYTES * n_trained,
        activations=block * n_blocks * size + first,
    )


def memory_lines(memory: Memory) -> list[tuple[str, str]]:
    """Names and sizes for people, the total last."""
    sizes: Mapping[str, int] = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "AdamW's moments": memory.moments,
        "activations (estimate)": memory.activations,
        "together (estimate)": memory.total,
    }
    return [(name, _spelled(size)) for name, size in sizes.items()]


def _spelled(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.1f} MiB"
