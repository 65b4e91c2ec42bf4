"""What a training of cross-modal networks is given, and its frames as the loop asks for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emocli.labels import match_label
from emocli.metrics.classification import (
    accuracy,
    balanced_draws,
    confusion,
    macro_f1,
    support,
    unweighted_average_recall,
)
from emocli.models.cross_modal import FlatNetwork, averaged, padded, score_frames
from emocli.networks.cross_modal import CrossModalConfig
from emocli.training.crossmodal import NEUTRAL, CrossModalRecipe, NetworkRecipe, Source
from emocli.training.examples import Examples
from emocli.training.fitting import Inputs
from emocli.training.objectives import Categorical, Objective
from emocli.training.samplers import make_sampler
from emocli.training.sequences import SequenceStore

IN_MEMORY_BYTES = 2 << 30
"""Frames of an encoder that are kept in memory once they were read, if all of them fit."""
N_BALANCED, MOST_OF_LABEL = 100, 200
"""Balanced samples, and utterances of each label in one."""
CONSTANT = 1e-6
"""Values that deviate by less are not scaled."""


@dataclass(frozen=True)
class Prepared:
    """Recipe and data of a training.

    Attributes:
        recipe: what to train.
        content: of the recipe, with what was set.
        examples: what to train it on.
        table: name of the table.
        device: where to train.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        cache: folder of features, one below it for each encoder.
        offline: use only encoders that are on this machine.
    """

    recipe: CrossModalRecipe
    content: Mapping[str, Any]
    examples: Examples
    table: str
    device: torch.device
    precision: str
    cache: Path
    offline: bool

    @property
    def has_folds(self) -> bool:
        """Whether each network is trained without each fold of speakers besides."""
        return self.recipe.is_stack and self.recipe.stack_on == "folds"


@dataclass(frozen=True, eq=False)
class Moments:
    """Where the values of an encoder's frames lie.

    Attributes:
        mean: of each value, shape (dim,).
        deviation: of each value, 1 where it is constant; shape (dim,).
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def standardized(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Frames in deviations from the mean, shape (n_frames, dim)."""
        return np.asarray((frames - self.mean) / self.deviation, dtype=np.float32)


class Frames:
    """Frames of all utterances by one encoder, read when they are wanted.

    Args:
        store: where they are.
        facts: what a model's folder says of the encoder, its identity and how many frames are
            averaged among it.
    """

    def __init__(self, store: SequenceStore, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self._store = store
        self._keeps = 4 * store.dim * int(store.lengths.sum()) <= IN_MEMORY_BYTES
        self._kept: dict[int, NDArray[np.float32]] = {}

    @property
    def identity_key(self) -> str:
        """What the frames depend on, beside the utterances."""
        return f"{self._store.identity.key}/{self.facts['mean_of']}"

    @property
    def dim(self) -> int:
        """Values per frame."""
        return self._store.dim

    def of(self, indices: NDArray[np.intp]) -> list[NDArray[np.float32]]:
        """Frames of some utterances, each of shape (n_frames, dim)."""
        return [self._of(int(index)) for index in indices]

    def moments(self, indices: NDArray[np.intp]) -> Moments:
        """Where the values of all frames of some utterances lie."""
        total, squares, count = np.zeros(self.dim), np.zeros(self.dim), 0
        for index in indices.tolist():
            frames = self._of(index).astype(np.float64)
            total += frames.sum(0)
            squares += np.square(frames).sum(0)
            count += len(frames)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
        return Moments(mean, np.where(deviation > CONSTANT, deviation, 1.0))

    def _of(self, index: int) -> NDArray[np.float32]:
        found = self._kept.get(index)
        if found is None:
            found = averaged(self._store.load(index), self.facts["mean_of"])
            if self._keeps:
                self._kept[index] = found
        return found


@dataclass(frozen=True)
class Part:
    """Which utterances a training shows, and which judge it.

    Attributes:
        train: places among the examples.
        dev: places among the examples.
    """

    train: NDArray[np.intp]
    dev: NDArray[np.intp]


class CrossModalTask:
    """Cached frames for the loop; see `emocli.training.fitting.Task`.

    Args:
        recipe: what to train.
        network: one of the recipe's.
        examples: labelled utterances.
        frames: of the encoders.
        part: of the examples.
    """

    def __init__(
        self,
        recipe: CrossModalRecipe,
        network: NetworkRecipe,
        examples: Examples,
        frames: Mapping[Source, Frames],
        part: Part,
    ) -> None:
        self._examples, self._part = examples, part
        self._standardize = recipe.standardize
        self._frames = [frames[source] for source in recipe.sources(network)]
        labels = examples.targets[part.train].astype(np.intp)
        self.targets = torch.from_numpy(labels)
        neutral = match_label(NEUTRAL, examples.names)
        self.sampler = make_sampler(network.drawn, labels, examples.names, neutral)
        has_margin = network.has_neutral_head
        self.objective: Objective = Categorical(
            self.sampler.weights(labels, len(examples.names), recipe.class_weights),
            neutral=examples.names.index(neutral) if has_margin else None,
        )
        keys = " ".join(own.identity_key for own in self._frames)
        shown = part.train.tobytes().hex() + part.dev.tobytes().hex()
        held = (recipe.class_weights, recipe.dropout, recipe.masked, network.drawn, network.design,
                recipe.standardize, recipe.pooling_scaled)  # fmt: skip
        self.identity = f"{examples.identity} {keys} {shown} {held} {recipe.heads(network)}"

    def inputs(self, indices: NDArray[np.intp]) -> Inputs:
        """Padded frames of each encoder, then how many are valid."""
        places = self._part.train[indices]
        return padded(self._seen(places))

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Logits for the development set as `emocli predict` would give them."""
        return self.logits(network, self._part.dev)

    def logits(self, network: Any, places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Logits for some of the examples, shape (n_utterances, n_labels)."""
        return score_frames(network, self._seen(places))

    @cached_property
    def _moments(self) -> list[Moments]:
        return [own.moments(self._part.train) for own in self._frames]

    def _seen(self, places: NDArray[np.intp]) -> list[list[NDArray[np.float32]]]:
        """Frames of each encoder as the network in training sees them."""
        frames = [own.of(places) for own in self._frames]
        if not self._standardize:
            return frames
        return [
            [moments.standardized(one) for one in own]
            for moments, own in zip(self._moments, frames, strict=True)
        ]

    def settle(self, network: FlatNetwork) -> None:
        """Let a trained network read the encoders' own frames.

        ``W ((x - m) / s) + b`` is ``(W / s) x + (b - (W / s) m)``, so its projections take in the
        standardisation.
        """
        if self._standardize:
            for encoder, moments in zip(network.encoders, self._moments, strict=True):
                take_in(encoder.projection, moments)  # type: ignore[arg-type]

    def figures(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Macro-F1, UAR and accuracy on the development set."""
        truth = self._examples.targets[self._part.dev].astype(np.intp)
        return label_figures(truth, scores, len(self._examples.names))


@torch.no_grad()
def take_in(projection: nn.Linear, moments: Moments) -> None:
    """Let a layer that was trained on standardised values read the values as they are."""
    weight = projection.weight.double().cpu().numpy() / moments.deviation
    bias = projection.bias.double().cpu().numpy() - weight @ moments.mean
    projection.weight.copy_(torch.from_numpy(weight))
    projection.bias.copy_(torch.from_numpy(bias))


def label_figures(
    truth: NDArray[np.intp], scores: NDArray[np.float64], n_labels: int
) -> dict[str, float]:
    """Macro-F1, UAR and accuracy of the highest scores.

    Args:
        truth: label index of each utterance, shape (n_utterances,).
        scores: shape (n_utterances, n_labels).
        n_labels: how many labels there are.
    """
    counts = confusion(truth, scores.argmax(1), n_labels)
    return {
        "macro_f1": float(macro_f1(counts)),
        "uar": float(unweighted_average_recall(counts)),
        "accuracy": float(accuracy(counts)),
    }


def balanced_macro_f1(truth: NDArray[np.intp], scores: NDArray[np.float64], n_labels: int) -> float:
    """Mean macro-F1 of samples in which all labels are equally frequent.

    Source: arXiv 2505.20007, whose code draws 100 times 200 utterances of each label.

    Args:
        truth: label index of each utterance, shape (n_utterances,).
        scores: shape (n_utterances, n_labels).
        n_labels: how many labels there are.
    """
    counts = confusion(truth, scores.argmax(1), n_labels)
    found = support(counts)
    each = min(MOST_OF_LABEL, int(found[found > 0].min()))
    drawn = balanced_draws(counts, N_BALANCED, each, np.random.default_rng(0))
    return float(macro_f1(drawn).mean())


def network_config(
    recipe: CrossModalRecipe, network: NetworkRecipe, dims: Sequence[int], n_labels: int
) -> CrossModalConfig:
    """Shape of a network.

    Args:
        recipe: what to train.
        network: one of the recipe's.
        dims: values per frame of each of its encoders.
        n_labels: outputs.
    """
    return CrossModalConfig(
        n_channels=tuple(dims),
        n_labels=n_labels,
        n_heads=recipe.heads(network),
        n_hidden=recipe.hidden,
        dropout=recipe.dropout,
        neutral_head=network.has_neutral_head,
        masked=recipe.masked,
        pooling_scaled=recipe.pooling_scaled,
    )


def new_network(config: CrossModalConfig, seed: int) -> FlatNetwork:
    """A network with weights that the seed alone decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FlatNetwork(config)
