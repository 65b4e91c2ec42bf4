"""Any rising curve for each label: the frequencies that the probabilities had in fact."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from emocli.posteriors import log_softmax


@dataclass(frozen=True)
class Curve:
    """A rising curve through points, level beyond its ends.

    Attributes:
        x: probabilities that the model gave, rising.
        y: how often they came true, not falling.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Isotonic:
    """Isotonic regression of each label against the rest, scaled to sum to 1.

    Frequencies are kept from 1 / (n + 2) to (n + 1) / (n + 2), Laplace's rule of succession for
    an event that n utterances never, or always, showed. Between points the curve is straight.

    Attributes:
        curves: one for each label.

    Source: Zadrozny and Elkan 2002; pooled by adjacent violators.
    """

    method: ClassVar[str] = "isotonic"
    curves: tuple[Curve, ...]

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors, shape (n_utterances, n_labels); NaN rows stay NaN."""
        probs = np.exp(log_probs)
        columns = [
            np.interp(probs[:, label], curve.x, curve.y) for label, curve in enumerate(self.curves)
        ]
        return log_softmax(np.log(np.stack(columns, axis=1)))

    @classmethod
    def fit(cls, log_probs: NDArray[np.float64], truth: NDArray[np.intp]) -> "Isotonic":
        """The rising curves nearest to what happened, in squared distance.

        Args:
            log_probs: shape (n_utterances, n_labels).
            truth: label indices, shape (n_utterances,).
        """
        probs = np.exp(log_probs)
        return cls(
            tuple(_curve(probs[:, label], truth == label) for label in range(probs.shape[1]))
        )


def _curve(given: NDArray[np.float64], happened: NDArray[np.bool_]) -> Curve:
    """The curve of one label; equal probabilities count as one point."""
    x, place, count = np.unique(given, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=happened) / count
    y = isotonic_regression(mean, weights=count).x
    n = len(given)
    y = np.clip(y, 1.0 / (n + 2), (n + 1.0) / (n + 2))
    corner = np.ones(len(y), dtype=bool)  # the inside of a level stretch says nothing
    corner[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return Curve(tuple(x[corner].tolist()), tuple(y[corner].tolist()))
