"""The training loop: steps, epochs, a checkpoint after each, and going on from it.

An epoch's random numbers depend on the seed and the epoch alone. A run that was interrupted goes
on after its last whole epoch and ends with the same weights, bit for bit, as one that was not.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from emocli.errors import RecipeError
from emocli.training.batches import Batch, Batches
from emocli.training.losses import label_loss
from emocli.training.progress import Progress, tell
from emocli.training.recipe import MemberRecipe
from emocli.training.states import DAMAGED, write_state

WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""
FIRST_RATE = 0.04
LARGEST_GRADIENT = 5.0


def train_member(
    network: nn.Module,
    batches: Batches,
    options: MemberRecipe,
    n_labels: int,
    *,
    seed: int,
    state: Path | None = None,
    phase: str = "training",
    progress: Progress | None = None,
) -> None:
    """Train a network in place; it is left in evaluation mode.

    Args:
        network: gives logits for a batch's inputs.
        batches: what it is shown.
        options: epochs, rates, losses.
        n_labels: outputs that are predicted; the others are auxiliary.
        seed: of everything random.
        state: checkpoint to go on from and to write after each epoch; None for none.
        phase: what to call the run when telling how far it is.
        progress: what to tell.

    Raises:
        RecipeError: the checkpoint is damaged, or the loss is no number.
    """
    run = _Run(network, options, batches.n_batches * options.epochs)
    first = run.restore(state) if state is not None and state.is_file() else 0
    for epoch in range(first, options.epochs):
        tell(progress, phase, epoch, options.epochs)
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
        network.train()
        for batch in batches.epoch(np.random.default_rng([seed, epoch])):
            run.step(batch, n_labels)
        if state is not None:
            run.save(state, epoch + 1)
    tell(progress, phase, options.epochs, options.epochs)
    run.finish()


def learning_rate(step: int, n_steps: int, highest: float) -> float:
    """Rate of a step: a cosine up from 4 % of the highest and a cosine down to 0.

    Args:
        step: from 0.
        n_steps: of the whole run.
        highest: rate after the warm-up, 15 % of the steps.
    """
    rising = max(1.0, WARM_UP * n_steps)
    if step < rising:
        share = (1 - math.cos(math.pi * step / rising)) / 2
        return highest * (FIRST_RATE + (1 - FIRST_RATE) * share)
    return highest * (1 + math.cos(math.pi * (step - rising) / max(1.0, n_steps - rising))) / 2


class _Run:
    """What changes from step to step: weights, optimizer, running mean of the weights."""

    def __init__(self, network: nn.Module, options: MemberRecipe, n_steps: int) -> None:
        self.network = network
        self.options = options
        self.n_steps = n_steps
        self.n_done = 0
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.mean = {name: value.clone() for name, value in network.state_dict().items()}

    def step(self, batch: Batch, n_labels: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.n_done, self.n_steps, self.options.learning_rate)
        logits = self.network(*batch.inputs)
        loss = label_loss(logits, batch.targets, n_labels, self.options.label_smoothing)
        if not torch.isfinite(loss):
            raise RecipeError(
                f"The loss at step {self.n_done} is {loss.item()}, expected a number. "
                f"Lower learning_rate."
            )
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        self.n_done += 1
        if self.options.averaging:
            self._average()

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the mean follows faster, or the random start would stay in it.
        keep = min(self.options.averaging, self.n_done / (self.n_done + 20))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)

    def finish(self) -> None:
        if self.options.averaging:
            self.network.load_state_dict(self.mean)
        self.network.eval()

    def save(self, path: Path, epoch: int) -> None:
        content = {
            "epoch": epoch,
            "n_done": self.n_done,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "mean": self.mean,
        }
        write_state(path, content)

    def restore(self, path: Path) -> int:
        """Go on from a checkpoint; the number of epochs that are done."""
        try:
            content: dict[str, Any] = torch.load(path, weights_only=True)
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.mean, self.n_done = content["mean"], content["n_done"]
            return int(content["epoch"])
        except DAMAGED as error:
            raise RecipeError(
                f"{path}: not a checkpoint of this training, expected one to go on from. "
                f"Delete it to start anew."
            ) from error
