"""One number for all posteriors: flatter or sharper, never another label."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.numerics import bounded, log_loss, minimise
from emocli.posteriors import log_softmax

RANGE = (0.01, 100.0)
"""Temperatures that are considered. Predictions that are all right, or all the same, have none
of their own and end near a border."""


@dataclass(frozen=True)
class Temperature:
    """Temperature scaling, ``q = softmax(ln p / T)``.

    Attributes:
        temperature: above 1 if the model was too sure of itself, below 1 if not sure enough.

    Source: Guo et al. 2017.
    """

    method: ClassVar[str] = "temperature"
    temperature: float

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors, shape (n_utterances, n_labels); NaN rows stay NaN."""
        return log_softmax(bounded(log_probs) / self.temperature)

    @classmethod
    def fit(cls, log_probs: NDArray[np.float64], truth: NDArray[np.intp]) -> "Temperature":
        """The temperature of least mean surprisal of the truth.

        Args:
            log_probs: shape (n_utterances, n_labels).
            truth: label indices, shape (n_utterances,).
        """
        values = bounded(log_probs)

        def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            sharpness = np.exp(parameters[0])
            loss, gradient = log_loss(sharpness * values, truth)
            return loss, np.array([sharpness * np.sum(gradient * values)])

        borders = [(-np.log(RANGE[1]), -np.log(RANGE[0]))]
        return cls(float(np.exp(-minimise(objective, np.zeros(1), borders)[0])))
