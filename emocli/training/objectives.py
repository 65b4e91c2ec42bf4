"""What a network is trained for, in a form that a step may be cut into micro-batches for.

A loss that is a mean over utterances, weighted or not, is computed micro-batch by micro-batch: each
counts by its share of the step's weights, so four micro-batches of 8 give the gradient of one
batch of 32. A loss of another kind, such as 1 - CCC, is that of all utterances of a step or it is
another loss; `Objective.is_mean` tells the loop which it is.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from emocli.training.losses import (
    concordance_loss,
    focal_loss,
    neutral_soft_margin,
    squared_norm,
    weighted_cross_entropy,
)

CATEGORICAL_LOSSES = ("weighted-cross-entropy", "focal")


class Objective(Protocol):
    """What a network is trained for."""

    @property
    def is_mean(self) -> bool:
        """Whether all terms are means over utterances; if not, a step's are computed together."""
        ...

    def terms(self, outputs: Any, targets: Tensor) -> Sequence[Tensor]:
        """Terms of the loss, one scalar each, for the utterances at hand.

        Args:
            outputs: what the network gives.
            targets: shape (n_utterances, ...).
        """
        ...

    def weights(self, targets: Tensor) -> Sequence[float]:
        """What these utterances count for in each term; targets are on the CPU."""
        ...

    def penalty(self, network: nn.Module) -> Tensor | None:
        """What is added once in a step, whatever it shows; None for nothing."""
        ...


class Categorical:
    """Weighted cross-entropy or focal loss, with a neutral-expressive soft margin if asked.

    The soft margin is a term of its own with weight 1, on the second output of the network.

    Source: EmoJudge (JHU) for the focal loss and the penalty, the UNICAMP system
    (arXiv 2505.20007) for the soft margin.

    Args:
        class_weights: shape (n_labels,), see `emocli.training.losses.class_weights`.
        loss: one of `CATEGORICAL_LOSSES`.
        gamma: of the focal loss.
        neutral: position of the neutral label, for networks that give ``(logits, scores)`` with
            scores of being neutral; None for networks that give logits alone.
        penalized: names of parameters under an l2 penalty.
        penalty: weight of their squares; 0 for none.
    """

    is_mean = True

    def __init__(
        self,
        class_weights: Tensor,
        *,
        loss: str = "weighted-cross-entropy",
        gamma: float = 2.0,
        neutral: int | None = None,
        penalized: Sequence[str] = (),
        penalty: float = 0.0,
    ) -> None:
        self._class_weights = class_weights.cpu()
        self._placed = self._class_weights
        self._loss, self._gamma, self._neutral = loss, gamma, neutral
        self._penalized, self._penalty = tuple(penalized), penalty

    def terms(self, outputs: Any, targets: Tensor) -> Sequence[Tensor]:
        """The loss of the labels, then that of being neutral; see `Objective.terms`."""
        logits, scores = (outputs, None) if self._neutral is None else outputs
        if self._placed.device != targets.device:  # copied once, for each copy waits for CUDA
            self._placed = self._class_weights.to(targets.device)
        if self._loss == "focal":
            first = focal_loss(logits, targets, alpha=self._placed, gamma=self._gamma)
        else:
            first = weighted_cross_entropy(logits, targets, self._placed)
        if self._neutral is None or scores is None:
            return (first,)
        return first, neutral_soft_margin(scores.reshape(-1), targets.eq(self._neutral))

    def weights(self, targets: Tensor) -> Sequence[float]:
        """Sum of class weights for cross-entropy; the number of utterances for all else."""
        number = float(len(targets))
        if self._loss == "focal":
            first = number
        else:
            first = float(self._class_weights[targets].sum(dtype=torch.float64))
        return (first,) if self._neutral is None else (first, number)

    def penalty(self, network: nn.Module) -> Tensor | None:
        """The l2 penalty, see `Objective.penalty`."""
        return l2_penalty(network, self._penalized, self._penalty)


class Dimensional:
    """Sum over dimensions of 1 minus CCC, over all utterances of a step together.

    Args:
        penalized: names of parameters under an l2 penalty.
        penalty: weight of their squares; 0 for none.
    """

    is_mean = False

    def __init__(self, *, penalized: Sequence[str] = (), penalty: float = 0.0) -> None:
        self._penalized, self._penalty = tuple(penalized), penalty

    def terms(self, outputs: Any, targets: Tensor) -> Sequence[Tensor]:
        """One term, see `emocli.training.losses.concordance_loss`."""
        return (concordance_loss(outputs, targets.to(outputs)),)

    def weights(self, targets: Tensor) -> Sequence[float]:
        """The number of utterances."""
        return (float(len(targets)),)

    def penalty(self, network: nn.Module) -> Tensor | None:
        """The l2 penalty, see `Objective.penalty`."""
        return l2_penalty(network, self._penalized, self._penalty)


def l2_penalty(network: nn.Module, names: Sequence[str], weight: float) -> Tensor | None:
    """Squares of some parameters, summed and weighted; None where the weight is 0."""
    if not weight or not names:
        return None
    return weight * squared_norm(network.get_parameter(name) for name in names)
