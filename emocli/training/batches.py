"""Batches of an epoch: who is drawn, which copy, and how it is altered on the way.

All randomness of an epoch comes from one generator that is made for that epoch, so an epoch can
be repeated without those before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emocli.networks.logmel import pad_frames
from emocli.training.augment import augment_frames
from emocli.training.data import Utterance, draw_weights
from emocli.training.features import Features
from emocli.training.recipe import MemberRecipe, Recipe


@dataclass(frozen=True)
class Batch:
    """What a member is shown at one step.

    Attributes:
        inputs: arguments of the member's ``forward``.
        targets: shape (n_utterances, n_outputs), rows sum to 1.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor


class Batches(Protocol):
    """Batches of one member's training."""

    n_batches: int

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of an epoch, ``n_batches`` of them."""
        ...


class Draws:
    """Who is drawn in an epoch.

    Args:
        utterances: all of them.
        train: indices of those to draw from.
        recipe: names the labels.
        member: names the sizes and shares.
        n_copies: altered copies of each utterance.

    Attributes:
        n_batches: in an epoch.
        targets: one-hot labels of all utterances, shape (n_utterances, n_outputs).
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        train: Sequence[int],
        recipe: Recipe,
        member: MemberRecipe,
        n_copies: int,
    ) -> None:
        self._train = np.array(train)
        self._weights = draw_weights(
            [utterances[index] for index in train], recipe.labels, member.auxiliary_share
        )
        self._member = member
        self._n_copies = n_copies
        self.n_batches = member.utterances_per_epoch // member.batch_size
        place = {label: index for index, label in enumerate(recipe.trained_labels)}
        self.targets = torch.zeros(len(utterances), len(place))
        for index, utterance in enumerate(utterances):
            self.targets[index, place[utterance.label]] = 1

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Utterances and copies, each of shape (n_batches * batch_size,)."""
        n_draws = self.n_batches * self._member.batch_size
        drawn = rng.choice(self._train, n_draws, p=self._weights)
        copies = rng.integers(0, self._n_copies + 1, n_draws)
        copies[rng.random(n_draws) < self._member.clean_share] = 0
        return drawn, copies


class FunctionalBatches:
    """Batches of functionals, whitened, with noise, some mixed in pairs.

    Source: Zhang et al. 2018, "mixup: Beyond empirical risk minimization".

    Args:
        inputs: of all copies and utterances, shape (1 + n_copies, n_utterances, n_inputs).
        draws: who is drawn.
        member: how inputs are altered.
    """

    def __init__(self, inputs: NDArray[np.float32], draws: Draws, member: MemberRecipe) -> None:
        self._inputs = inputs
        self._draws = draws
        self._member = member
        self.n_batches = draws.n_batches

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of an epoch."""
        drawn, copies = self._draws.draw(rng)
        for part, copy in zip(
            np.split(drawn, self.n_batches), np.split(copies, self.n_batches), strict=True
        ):
            inputs = self._inputs[copy, part]
            noise = rng.standard_normal(inputs.shape, dtype=np.float32)
            altered = torch.from_numpy(inputs + np.float32(self._member.noise) * noise)
            targets = self._draws.targets[part]
            if self._member.mixup:
                share = torch.from_numpy(
                    rng.beta(self._member.mixup, self._member.mixup, (len(part), 1))
                ).float()
                other = torch.from_numpy(rng.permutation(len(part)))
                altered = share * altered + (1 - share) * altered[other]
                targets = share * targets + (1 - share) * targets[other]
            yield Batch((altered,), targets)


class FrameBatches:
    """Batches of altered frames, each of utterances of about one length.

    Args:
        features: frames of all copies and utterances.
        draws: who is drawn.
        member: how frames are altered.
        n_mels: energies in a frame.
    """

    def __init__(self, features: Features, draws: Draws, member: MemberRecipe, n_mels: int) -> None:
        self._features = features
        self._draws = draws
        self._member = member
        self._n_mels = n_mels
        self.n_batches = draws.n_batches

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of an epoch, in random order."""
        drawn, copies = self._draws.draw(rng)
        frames = self._features.frames
        lengths = [len(frames[c][u]) for c, u in zip(copies, drawn, strict=True)]
        shown = np.minimum(lengths, self._member.crop_frames) + rng.normal(0, 12, len(drawn))
        batches = np.split(np.argsort(shown), self.n_batches)
        for number in rng.permutation(self.n_batches):
            places = batches[number]
            altered = [
                augment_frames(
                    frames[copies[place]][drawn[place]].astype(np.float32),
                    self._n_mels,
                    rng,
                    self._member,
                )
                for place in places
            ]
            padded, valid = pad_frames([torch.from_numpy(one) for one in altered])
            yield Batch((padded, valid), self._draws.targets[drawn[places]])
