"""Which training utterances an epoch shows, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emocli.errors import RecipeError
from emocli.training.losses import class_weights

SAMPLINGS = ("shuffle", "class-balanced", "neutral-expressive")
"""All once in random order; with replacement, all classes alike; or half of them neutral."""


CLASS_WEIGHTS = (True, False, "drawn")
"""Weights by how frequent classes are in the data; none; or by how frequently they are drawn."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the utterances of an epoch.

    Attributes:
        n_draws: utterances in an epoch.
        shares: chance of each utterance at each draw, with replacement, shape (n_utterances,);
            None to show every utterance once.
    """

    n_draws: int
    shares: NDArray[np.float64] | None = None

    def weights(self, labels: NDArray[np.intp], n_labels: int, kind: bool | str) -> Tensor:
        """Weights of the labels in a loss.

        Args:
            labels: of the utterances, shape (n_utterances,).
            n_labels: how many labels there are.
            kind: one of `CLASS_WEIGHTS`.

        Returns:
            float32, shape (n_labels,).
        """
        if not kind:
            return torch.ones(n_labels)
        shares = self.shares if kind == "drawn" else None
        counts = np.bincount(labels, None if shares is None else shares * len(labels), n_labels)
        return class_weights(counts.tolist())

    def draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Places of utterances, shape (n_draws,); the generator alone decides them."""
        if self.shares is None:
            return rng.permutation(self.n_draws)
        return rng.choice(len(self.shares), self.n_draws, p=self.shares)


def make_sampler(
    sampling: str, labels: NDArray[np.intp], names: Sequence[str], neutral: str = "neutral"
) -> Sampler:
    """A sampler of as many draws as there are utterances.

    ``neutral-expressive`` draws each neutral utterance with the chance ``1 / (2 n_neutral)`` and
    each other one with ``1 / (2 n_expressive)``, so that the others keep their proportions.

    Args:
        sampling: one of `SAMPLINGS`.
        labels: of the utterances, positions in ``names``, shape (n_utterances,).
        names: of the labels.
        neutral: what the neutral label is called.

    Raises:
        RecipeError: the sampling is unknown, or there are none on one of the two sides.

    Source: the UNICAMP system of the Interspeech 2025 challenge (arXiv 2505.20007), for the last.
    """
    if sampling == "shuffle":
        return Sampler(len(labels))
    if sampling == "class-balanced":
        return Sampler(len(labels), _inverse(labels))
    if sampling != "neutral-expressive":
        raise RecipeError(
            f"Sampling {sampling!r} is unknown, expected one of {', '.join(SAMPLINGS)}. Change "
            f"sampling in the recipe."
        )
    is_neutral = np.array([name == neutral for name in names], dtype=bool)[labels]
    if is_neutral.all() or not is_neutral.any():
        raise RecipeError(
            f"{int(is_neutral.sum())} of {len(labels)} training utterances are {neutral}, expected "
            f"some that are and some that are not for sampling neutral-expressive. "
            f"Use sampling shuffle."
        )
    return Sampler(len(labels), _inverse(is_neutral.astype(np.intp)))


def _inverse(classes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Shares that make all classes that occur equally frequent."""
    counts = np.bincount(classes)
    shares = 1.0 / counts[classes]
    return np.asarray(shares / shares.sum())
