"""How the learning rate moves over a training."""

import math

SCHEDULES = ("constant", "linear", "cosine", "cosine-by-epoch")


def rate_factor(
    schedule: str,
    step: int,
    n_steps: int,
    *,
    steps_per_epoch: int,
    warm_up: float = 0.0,
    final: float = 0.0,
) -> float:
    """What a learning rate is multiplied by at a step.

    After the warm-up ``linear`` and ``cosine`` go from 1 down to ``final`` at the last step's end.
    ``cosine-by-epoch`` is ``final + (1 - final) (1 + cos(pi e / E)) / 2`` for epoch e of E, from
    0, constant within an epoch.

    Args:
        schedule: one of `SCHEDULES`.
        step: of the optimiser, from 0.
        n_steps: of the whole training.
        steps_per_epoch: for ``cosine-by-epoch``.
        warm_up: share of the steps in which the factor rises linearly, from 0 to 1.
        final: where the factor ends, from 0 to 1; ``constant`` does not heed it.

    Example:
        >>> [rate_factor("linear", step, 4, steps_per_epoch=1, warm_up=0.5) for step in range(4)]
        [0.5, 1.0, 1.0, 0.5]

    Source: the cosine by epoch is that of the UNICAMP system (arXiv 2505.20007).
    """
    rising = round(warm_up * n_steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    share = (step - rising) / max(1, n_steps - rising)
    if schedule == "cosine-by-epoch":
        share = (step // steps_per_epoch) / max(1, math.ceil(n_steps / steps_per_epoch))
    falling = 1 - share if schedule == "linear" else (1 + math.cos(math.pi * share)) / 2
    return final + (1 - final) * falling
