"""The loop that trains any network of emocli on data that need not fit in memory.

A run depends on its options, its data and its seed alone: the order of an epoch comes from the
seed and the epoch, and all other chance (dropout, masks) from the seed, the step and the
micro-batch. So its state is weights, optimiser, scaler and the number of steps that are done, and a
run that was killed goes on from its last state and ends with the same weights, bit for bit.
"""

import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from emocli.errors import RecipeError
from emocli.training.export import write_tensors
from emocli.training.history import Evaluation, History, write_history
from emocli.training.objectives import Objective
from emocli.training.progress import Progress, tell
from emocli.training.samplers import Sampler
from emocli.training.schedules import rate_factor
from emocli.training.states import read_state, write_state

STATE, BEST, HISTORY = "state.pt", "best.safetensors", "history.csv"
STEPS_BETWEEN_CHECKS = 50
"""On CUDA looking at a loss waits for the device, so that is not done at each step."""
LOSS_OVER = ("step", "micro-batch")
"""All utterances of a step, so that cutting it into micro-batches changes nothing; or each
micro-batch by itself, the mean of which is the loss of the step, as the challenges' code has it."""
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Inputs = tuple[Tensor | None, ...]


class Task(Protocol):
    """What a network is trained on, and how it is judged.

    Attributes:
        identity: says which data these are; a state is refused where it differs.
        targets: of all training utterances, shape (n_utterances, ...), on the CPU.
        sampler: which of them an epoch shows.
        objective: what the network is trained for.
    """

    identity: str
    targets: Tensor
    sampler: Sampler
    objective: Objective

    def inputs(self, indices: NDArray[np.intp]) -> Inputs:
        """Arguments of the network for training utterances, padded, on the CPU.

        May be called by several threads at once; the result depends on the indices alone.
        """
        ...

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Outputs for the whole development set, by a network in evaluation mode.

        Returns:
            Shape (n_utterances, n_outputs), in the order of the development set.
        """
        ...

    def figures(self, scores: NDArray[np.float64]) -> Mapping[str, float]:
        """What the outputs of `score` are worth, one figure of `FitOptions.select` among them."""
        ...


@dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Parameters that are trained alike.

    Attributes:
        name: for the history.
        prefixes: of the names of its parameters; "" is a prefix of all.
        learning_rate: before the schedule.
        weight_decay: decoupled, of AdamW.
    """

    name: str
    prefixes: tuple[str, ...] = ("",)
    learning_rate: float = 1e-5
    weight_decay: float = 0.01


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a network is trained.

    The optimiser is AdamW. It treats every value by itself, so one with several groups does what
    several optimisers would.

    Attributes:
        groups: a parameter is of the first group that one of its prefixes is of.
        epochs: at most.
        micro_batch: utterances that go through the network at once.
        accumulation: micro-batches of a step.
        loss_over: one of `LOSS_OVER`, what a mean or a concordance is computed over.
        schedule: one of `emocli.training.schedules.SCHEDULES`.
        warm_up: share of the steps in which the learning rate rises.
        final_rate: where the schedule ends, as a share of the learning rate.
        precision: ``fp32``, ``bf16`` or ``fp16``; the weights are fp32 in any case.
        clip_norm: longest gradient of a step; 0 for no limit.
        seed: of all chance.
        select: the figure whose highest value makes the best epoch.
        evaluate_every: steps between two evaluations; 0, or more than an epoch has, for one after
            each epoch.
        patience: evaluations in a row without a better figure that end the training; 0 for no end.
        drop_last: leave out the last step of an epoch if it has fewer utterances than others.
        save_every_steps: steps between two states within an epoch; 0 for none.
        save_every_minutes: the same by time; 0 for none.
        workers: threads that read what comes next; 0 to read when it is needed.
    """

    groups: tuple[GroupOptions, ...]
    epochs: int
    micro_batch: int
    accumulation: int = 1
    loss_over: str = "step"
    schedule: str = "constant"
    warm_up: float = 0.0
    final_rate: float = 0.0
    precision: str = "fp32"
    clip_norm: float = 0.0
    seed: int = 7
    select: str = "macro_f1"
    evaluate_every: int = 0
    patience: int = 0
    drop_last: bool = False
    save_every_steps: int = 0
    save_every_minutes: float = 0.0
    workers: int = 0

    @property
    def effective_batch(self) -> int:
        """Utterances of a step."""
        return self.micro_batch * self.accumulation

    def steps_per_epoch(self, n_draws: int) -> int:
        """Steps of the optimiser in an epoch of some draws, at least one."""
        whole, rest = divmod(n_draws, self.effective_batch)
        return max(1, whole + (rest > 0 and not self.drop_last))


INDIFFERENT = ("save_every_steps", "save_every_minutes", "workers")
"""Options that change no weight, so that a training may go on with others."""


def fit(
    network: nn.Module,
    task: Task,
    options: FitOptions,
    *,
    folder: Path,
    progress: Progress | None = None,
) -> History:
    """Train a network in place, from the state in a folder if there is one.

    Parameters that do not require a gradient stay as they are.

    Args:
        network: on the device to train on, with fp32 weights; it is left in evaluation mode with
            the weights of the best evaluation.
        task: what to train it on.
        options: how.
        folder: for the state, the best weights and ``history.csv``; made if it is not there.
        progress: what to tell.

    Raises:
        RecipeError: the state is of another training or damaged, the loss is no number, memory
            runs out, or the evaluation lacks the figure to select by.
        ValueError: a trainable parameter is in no group.
    """
    run = _Run(network, task, options, folder)
    with _undisturbed(run.device):
        run.restore()
        while not run.finished:
            run.epoch(progress)
        tell(progress, "training", run.n_steps, run.n_steps)
        if (folder / BEST).is_file():
            network.load_state_dict(load_file(folder / BEST))
        network.eval()
    return run.history


def grouped(
    network: nn.Module, groups: Sequence[GroupOptions]
) -> list[tuple[GroupOptions, list[nn.Parameter]]]:
    """The trainable parameters of each group, without groups that have none.

    Raises:
        ValueError: a trainable parameter is in no group, or there is none.
    """
    members: list[list[nn.Parameter]] = [[] for _ in groups]
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        place = next((i for i, g in enumerate(groups) if name.startswith(g.prefixes)), None)
        if place is None:
            raise ValueError(f"parameter {name} is in no group.")
        members[place].append(parameter)
    if not any(members):
        raise ValueError("no parameter requires a gradient.")
    return [(group, own) for group, own in zip(groups, members, strict=True) if own]


@dataclass
class _Run:
    """What changes from step to step."""

    network: nn.Module
    task: Task
    options: FitOptions
    folder: Path
    n_done: int = 0
    n_since: int = 0
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        options = self.options
        parts = grouped(self.network, options.groups)
        self.device = parts[0][1][0].device
        on_cuda = self.device.type == "cuda"
        self.rates = [group.learning_rate for group, _ in parts]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": own, "lr": group.learning_rate, "weight_decay": group.weight_decay}
                for group, own in parts
            ],
            # The only implementation that a scaler can skip a step of without asking the device.
            fused=on_cuda or None,
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "fp16")
        self.steps_per_epoch = options.steps_per_epoch(self.task.sampler.n_draws)
        self.n_steps = self.steps_per_epoch * options.epochs
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        self.loss_sum = torch.zeros((), dtype=wide, device=self.device)
        self.saved_at = time.monotonic()
        self.history = History(steps_per_epoch=self.steps_per_epoch, n_steps=self.n_steps)

    @property
    def finished(self) -> bool:
        return self.n_done >= self.n_steps or self.history.stopped_early

    def epoch(self, progress: Progress | None) -> None:
        """The steps of the present epoch that are not done yet."""
        epoch, first = divmod(self.n_done, self.steps_per_epoch)
        order = self.task.sampler.draw(np.random.default_rng([self.options.seed, epoch]))
        size = self.options.effective_batch
        steps = [
            self._parts(order[step * size : (step + 1) * size])
            for step in range(first, self.steps_per_epoch)
        ]
        every = [part for parts in steps for part in parts]
        with closing(_ahead(every, self._load, self.options.workers)) as loaded:
            for parts in steps:
                tell(progress, "training", self.n_done, self.n_steps)
                self._guarded_step(parts, [next(loaded) for _ in parts])
                self._evaluate_if_due(progress)
                self._save_if_due()
                if self.history.stopped_early:
                    return

    def _parts(self, indices: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        size = self.options.micro_batch
        return [indices[start : start + size] for start in range(0, len(indices), size)]

    def _load(self, indices: NDArray[np.intp]) -> Inputs:
        return tuple(self._pinned(self.task.inputs(indices)))

    def _pinned(self, values: Sequence[Any]) -> Sequence[Any]:
        """Tensors that can be copied to CUDA while it computes; None stays."""
        if self.device.type != "cuda":
            return values
        return [each if each is None else each.pin_memory() for each in values]

    # A step.

    def _guarded_step(self, parts: Sequence[NDArray[np.intp]], batches: Sequence[Inputs]) -> None:
        try:
            self._step(parts, batches)
        except torch.OutOfMemoryError as error:
            raise RecipeError(
                f"Memory of {self.device} ran out at step {self.n_done + 1} with "
                f"{self.options.micro_batch} utterances at once. Halve micro_batch and double "
                f"accumulation, which gives the same training."
            ) from error
        if self.device.type != "cuda" or self.n_done % STEPS_BETWEEN_CHECKS == 0:
            self._check_loss()

    def _step(self, parts: Sequence[NDArray[np.intp]], batches: Sequence[Inputs]) -> None:
        self.network.train()
        self._set_rates()
        targets = self._pinned([self.task.targets[torch.from_numpy(part)] for part in parts])
        is_apart = self.options.loss_over == "micro-batch"
        if is_apart or self.task.objective.is_mean or len(parts) == 1:
            loss = self._in_parts(batches, targets, is_apart=is_apart)
        else:
            loss = self._together(batches, targets)
        penalty = self.task.objective.penalty(self.network)
        if penalty is not None:
            self.scaler.scale(penalty).backward()
            loss = loss + penalty.detach()
        if self.options.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.loss_sum += loss
        self.n_done += 1
        self.n_since += 1

    def _in_parts(
        self, batches: Sequence[Inputs], targets: Sequence[Tensor], *, is_apart: bool
    ) -> Tensor:
        """Gradients of a mean over the step, one micro-batch after the other; the loss.

        Apart, all micro-batches weigh the same; else each weighs what its utterances do.
        """
        objective = self.task.objective
        weights = [objective.weights(part) for part in targets]
        if is_apart:
            weights = [[1.0] * len(own) for own in weights]
        # Where all weights of a step are 0, so are the terms.
        totals = [sum(own) or 1.0 for own in zip(*weights, strict=True)]
        step_loss = torch.zeros((), device=self.device)
        for place, (batch, part) in enumerate(zip(batches, targets, strict=True)):
            terms = objective.terms(self._forward(batch, place), self._placed(part))
            shares = [own / total for own, total in zip(weights[place], totals, strict=True)]
            loss = torch.stack([t * share for t, share in zip(terms, shares, strict=True)]).sum()
            self.scaler.scale(loss).backward()
            step_loss = step_loss + loss.detach()
        return step_loss

    def _together(self, batches: Sequence[Inputs], targets: Sequence[Tensor]) -> Tensor:
        """Gradients of a loss of all utterances of the step; the loss.

        The outputs are computed without gradients first; the gradient of the loss with respect to
        them then goes back through the network in micro-batches.

        Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited
        setup".
        """
        with torch.no_grad():
            outputs = [self._forward(batch, place) for place, batch in enumerate(batches)]
        leaves = [values.detach().float().requires_grad_() for values in outputs]
        whole = self._placed(torch.cat(list(targets)))
        loss = torch.stack(list(self.task.objective.terms(torch.cat(leaves), whole))).sum()
        self.scaler.scale(loss).backward()
        for place, (batch, leaf) in enumerate(zip(batches, leaves, strict=True)):
            again = self._forward(batch, place)  # the same dropout, for the seed is the same
            again.float().backward(leaf.grad)
        return loss.detach()

    def _forward(self, batch: Inputs, place: int) -> Any:
        """Outputs for a micro-batch; its place in the step decides about dropout and masks."""
        seed = np.random.SeedSequence([self.options.seed, self.n_done, place]).generate_state(2)
        torch.manual_seed(int(seed[0]))
        np.random.seed(int(seed[1]))  # transformers draws masks over time from it
        inputs = [values if values is None else self._placed(values) for values in batch]
        half = HALVES.get(self.options.precision)
        with torch.autocast(self.device.type, dtype=half, enabled=half is not None):
            return self.network(*inputs)

    def _placed(self, values: Tensor) -> Tensor:
        return values.to(self.device, non_blocking=True)

    def _set_rates(self) -> None:
        options = self.options
        factor = rate_factor(
            options.schedule,
            self.n_done,
            self.n_steps,
            steps_per_epoch=self.steps_per_epoch,
            warm_up=options.warm_up,
            final=options.final_rate,
        )
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def _check_loss(self) -> None:
        if not math.isfinite(self.loss_sum.item()):
            half = self.options.precision in HALVES
            raise RecipeError(
                f"The loss by step {self.n_done} is no number, expected one. Lower the learning "
                f"rates{', or train with --dtype fp32' if half else ''}."
            )

    # Evaluations.

    def _evaluate_if_due(self, progress: Progress | None) -> None:
        every = min(self.options.evaluate_every or self.steps_per_epoch, self.steps_per_epoch)
        if self.n_done % every == 0 or self.n_done == self.n_steps:
            self._check_loss()
            tell(progress, "training", self.n_done, self.n_steps)
            self._evaluate()

    def _evaluate(self) -> None:
        self.network.eval()
        figures = {k: float(v) for k, v in self.task.figures(self.task.score(self.network)).items()}
        select = self.options.select
        if select not in figures:
            raise RecipeError(
                f"The evaluation gives {', '.join(figures)}, expected {select} among them to "
                f"select the best epoch by. Change select in the recipe."
            )
        evaluation = Evaluation(
            step=self.n_done,
            epoch=self.n_done / self.steps_per_epoch,
            loss=self.loss_sum.item() / self.n_since,
            learning_rate=max(group["lr"] for group in self.optimizer.param_groups),
            figures=figures,
        )
        self.loss_sum.zero_()
        self.n_since = 0
        self.history = self.history.with_evaluation(evaluation, select, self.options.patience)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.history.best == len(self.history.evaluations) - 1:
            state = self.network.state_dict()
            write_tensors(
                self.folder / BEST,
                {name: values.detach().cpu().clone() for name, values in state.items()},
            )
        write_history(self.folder / HISTORY, self.history)

    # States.

    def _save_if_due(self) -> None:
        options = self.options
        waited = time.monotonic() - self.saved_at
        if (
            self.n_done % self.steps_per_epoch == 0
            or self.finished
            or (options.save_every_steps and self.n_done % options.save_every_steps == 0)
            or (options.save_every_minutes and waited > 60 * options.save_every_minutes)
        ):
            self._check_loss()
            self._save()
            self.saved_at = time.monotonic()

    def _save(self) -> None:
        content = {
            "fingerprint": self._fingerprint(),
            "n_done": self.n_done,
            "n_since": self.n_since,
            "loss_sum": self.loss_sum,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": dataclasses.asdict(self.history),
        }
        write_state(self.folder / STATE, content)

    def restore(self) -> None:
        """Go on from the state in the folder, if there is one."""
        path = self.folder / STATE
        if not path.is_file():
            return
        with read_state(path, self._fingerprint(), self.device) as content:
            if content["history"]["best"] >= 0 and not (self.folder / BEST).is_file():
                raise FileNotFoundError(self.folder / BEST)
            self.network.load_state_dict(content["network"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.scaler.load_state_dict(content["scaler"])
            self.loss_sum = content["loss_sum"]
            self.n_done, self.n_since = content["n_done"], content["n_since"]
            self.history = History.from_plain(content["history"])

    def _fingerprint(self) -> str:
        """A hash of what the weights depend on."""
        options = dataclasses.asdict(self.options)
        for name in INDIFFERENT:
            del options[name]
        if options["loss_over"] == LOSS_OVER[0]:  # what states of earlier versions mean
            del options["loss_over"]
        shapes = {name: list(values.shape) for name, values in self.network.state_dict().items()}
        content = json.dumps([options, self.task.identity, shapes], sort_keys=True)
        return sha256(content.encode()).hexdigest()[:16]


def _ahead(
    parts: Sequence[NDArray[np.intp]],
    load: Callable[[NDArray[np.intp]], Inputs],
    n_workers: int,
) -> Generator[Inputs, None, None]:
    """What ``load`` gives for each part, in their order, read ahead by threads if asked."""
    if not n_workers:
        yield from map(load, parts)
        return
    waiting: deque[Future[Inputs]] = deque()
    with ThreadPoolExecutor(n_workers) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(load, part))
                if len(waiting) > 2 * n_workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Repeatable arithmetic, and afterwards the random states that were there before."""
    on_cuda = device.type == "cuda"
    numpy_state = np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[device] if on_cuda else []):
            if on_cuda:
                with torch.backends.cudnn.flags(
                    enabled=True, benchmark=False, deterministic=True, allow_tf32=True
                ):
                    yield
            else:
                yield
    finally:
        np.random.set_state(numpy_state)
