"""A curve of three numbers for each label, which can bend at either end."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.numerics import LEAST_LOG, bounded, minimise
from emocli.posteriors import log_softmax

_STEEPEST = 100.0


@dataclass(frozen=True)
class Beta:
    """Beta calibration of each label against the rest, scaled to sum to 1.

    ``q_k = 1 / (1 + exp(-(a ln p_k - b ln(1 - p_k) + c)))`` with a and b at least 0, so the curve
    rises. It is fitted to Platt's targets, ``(n + 1) / (n + 2)`` in place of 1 and
    ``1 / (m + 2)`` in place of 0 for n utterances with the label and m without, which keeps it
    finite where a label is always or never found.

    Attributes:
        curves: a, b and c of each label.

    Source: Kull et al. 2017; Platt 1999 for the targets.
    """

    method: ClassVar[str] = "beta"
    curves: tuple[tuple[float, float, float], ...]

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors, shape (n_utterances, n_labels); NaN rows stay NaN."""
        inside, outside = _features(log_probs)
        a, b, c = np.array(self.curves).T  # (n_labels,) each
        with np.errstate(invalid="ignore"):  # a row without a posterior
            return log_softmax(-np.logaddexp(0.0, -(a * inside + b * outside + c)))

    @classmethod
    def fit(cls, log_probs: NDArray[np.float64], truth: NDArray[np.intp]) -> "Beta":
        """The curves of least mean surprisal, each label against the rest.

        Args:
            log_probs: shape (n_utterances, n_labels).
            truth: label indices, shape (n_utterances,).
        """
        inside, outside = _features(log_probs)
        return cls(
            tuple(
                _curve(inside[:, label], outside[:, label], truth == label)
                for label in range(log_probs.shape[1])
            )
        )


def _features(
    log_probs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``ln p`` and ``-ln(1 - p)``, both bounded; shape (n_utterances, n_labels)."""
    inside = bounded(log_probs)
    with np.errstate(divide="ignore"):  # p = 1 is bounded on the next line
        rest = np.log1p(-np.exp(np.minimum(inside, 0.0)))
    return inside, -np.maximum(rest, LEAST_LOG)


def _curve(
    inside: NDArray[np.float64], outside: NDArray[np.float64], happened: NDArray[np.bool_]
) -> tuple[float, float, float]:
    n = int(happened.sum())
    target = np.where(happened, (n + 1.0) / (n + 2.0), 1.0 / (len(happened) - n + 2.0))
    features = np.stack([inside, outside, np.ones(len(inside))], axis=1)

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = features @ parameters
        # -t ln s(u) - (1 - t) ln(1 - s(u)) = ln(1 + exp(u)) - t u
        loss = np.mean(np.logaddexp(0.0, logit) - target * logit)
        chance = np.exp(-np.logaddexp(0.0, -logit))
        return float(loss), features.T @ (chance - target) / len(target)

    bounds = [(0.0, _STEEPEST), (0.0, _STEEPEST), (-_STEEPEST, _STEEPEST)]
    a, b, c = minimise(objective, np.array([1.0, 1.0, 0.0]), bounds).tolist()
    return a, b, c
