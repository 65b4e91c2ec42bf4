"""What all maps have in common: bounded logarithms, the loss, and the optimiser."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from emocli.metrics.soft import SMALLEST
from emocli.posteriors import log_softmax

LEAST_LOG = float(np.log(SMALLEST))
"""Stands for the logarithm of 0: -36.04."""

Objective = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""From parameters to the loss and its gradient."""


def bounded(log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log posteriors no lower than -36.04, so that an impossible label can be brought back."""
    return np.maximum(log_probs, LEAST_LOG)


def log_loss(
    logits: NDArray[np.float64], truth: NDArray[np.intp]
) -> tuple[float, NDArray[np.float64]]:
    """Mean surprisal of the truth in nats, and its gradient by the logits.

    Args:
        logits: shape (n_utterances, n_labels).
        truth: label indices, shape (n_utterances,).

    Returns:
        The loss, and a gradient of the shape of ``logits``.
    """
    rows = np.arange(len(truth))
    log_probs = log_softmax(logits)
    residual = np.exp(log_probs)
    residual[rows, truth] -= 1.0
    return -float(log_probs[rows, truth].mean()), residual / len(truth)


def minimise(
    objective: Objective,
    start: NDArray[np.float64],
    bounds: Sequence[tuple[float | None, float | None]] | None = None,
) -> NDArray[np.float64]:
    """Parameters of least loss, by L-BFGS-B from a fixed start: the same on every run."""
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-13, "gtol": 1e-9, "maxiter": 2000},
    )
    return np.asarray(found.x, dtype=np.float64)
