"""One temperature for all logits, fitted to speakers that the network has not heard."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from emocli.posteriors import log_softmax

RANGE = (0.05, 20.0)


def fit_temperature(logits: NDArray[np.float64], truth: NDArray[np.intp]) -> float:
    """The temperature under which the truth is most likely.

    Utterances of a label count together as much as those of any other, so that the posterior is
    calibrated for labels that are equally frequent.

    Source: Guo et al. 2017, "On calibration of modern neural networks".

    Args:
        logits: shape (n_utterances, n_labels), of utterances that were not trained on.
        truth: index of the true label, shape (n_utterances,).

    Returns:
        Between 0.05 and 20; above 1 where the network is too sure of itself.
    """
    counts = np.bincount(truth, minlength=logits.shape[1])
    weights = 1 / counts[truth]

    def cost(log_temperature: float) -> float:
        log_probs = log_softmax(logits / np.exp(log_temperature))
        own = np.take_along_axis(log_probs, truth[:, None], axis=1)[:, 0]
        return float(-(weights * own).sum() / weights.sum())

    low, high = np.log(RANGE)
    found = minimize_scalar(cost, bounds=(low, high), method="bounded")
    return float(np.exp(found.x))
