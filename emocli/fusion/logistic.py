"""Logistic regression on the outputs of all models.

Source: the fusion of EmoJudge, L2-regularised multinomial logistic regression on the concatenated
outputs of a speech and a text model, C searched in [1e-3, 1e3]. Not stated there and chosen here:
standardised features, 13 values of C, five folds that keep speakers apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.fusion.features import Input
from emocli.fusion.scaling import C_GRID, Scaler
from emocli.fusion.softmax_regression import balanced_weights, fit_softmax
from emocli.metrics.classification import Counts, confusion, macro_f1, unweighted_average_recall

CRITERIA: Mapping[str, Callable[[Counts], NDArray[np.float64]]] = {
    "uar": unweighted_average_recall,
    "macro-f1": macro_f1,
}
"""What decides between strengths of the penalty."""


@dataclass(frozen=True)
class Logistic:
    """A fitted logistic regression.

    Attributes:
        labels: emotions in the order of the fused posteriors.
        inputs: what it was fitted on, in the order of the features.
        prior: the class mix that its posteriors stand for, shape (n_labels,).
        n_fit: rows that it was fitted on.
        scaler: standardisation of the features.
        coefficients: shape (n_features + 1, n_labels), the intercept last.
        strength: the inverse strength C of the penalty.
    """

    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    prior: NDArray[np.float64]
    n_fit: int
    scaler: Scaler
    coefficients: NDArray[np.float64]
    strength: float

    def probs(self, blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Fused posteriors.

        Args:
            blocks: one for each input, shape (n_utterances, n_outputs), NaN without a say.

        Returns:
            Shape (n_utterances, n_labels), rows sum to 1.
        """
        design = self.scaler.design(np.concatenate(blocks, axis=1))
        return posteriors.softmax(design @ self.coefficients)


def fit_logistic(
    blocks: Sequence[NDArray[np.float64]],
    truth: NDArray[np.intp],
    labels: Sequence[str],
    inputs: Sequence[Input],
    folds: NDArray[np.intp],
    *,
    criterion: str = "uar",
    balanced: bool = False,
) -> tuple[Logistic, NDArray[np.float64]]:
    """Logistic regression with the penalty that cross-validation chooses.

    Args:
        blocks: features of each input, shape (n_rows, n_outputs), without NaN.
        truth: label index of each row, shape (n_rows,).
        labels: names of the indices.
        inputs: what the blocks are.
        folds: cross-validation fold of each row, shape (n_rows,).
        criterion: one of `CRITERIA`, over the predictions of all folds together.
        balanced: give every label the same mass, as if all were equally frequent.

    Returns:
        The regression on all rows, and for each row the posterior of the one that was fitted
        without its fold; shape (n_rows, n_labels). The smallest of equally good C is taken.
    """
    features = np.concatenate(blocks, axis=1)
    n_labels = len(labels)
    held_out = {c: np.empty((len(truth), n_labels)) for c in C_GRID}
    for fold in np.unique(folds):
        rest = folds != fold
        scaler, path = _fit_path(features[rest], truth[rest], n_labels, C_GRID, balanced)
        design = scaler.design(features[~rest])
        for c, coefficients in path.items():
            held_out[c][~rest] = posteriors.softmax(design @ coefficients)

    def merit(c: float) -> float:
        counts = confusion(truth, posteriors.top(held_out[c]), n_labels)
        return float(CRITERIA[criterion](counts))

    chosen = max(C_GRID, key=merit)
    scaler, path = _fit_path(features, truth, n_labels, (chosen,), balanced)
    mix = np.full(n_labels, 1 / n_labels)
    if not balanced:
        mix = np.bincount(truth, minlength=n_labels) / len(truth)
    fuser = Logistic(tuple(labels), tuple(inputs), mix, len(truth), scaler, path[chosen], chosen)
    return fuser, held_out[chosen]


def _fit_path(
    features: NDArray[np.float64],
    truth: NDArray[np.intp],
    n_labels: int,
    strengths: Sequence[float],
    balanced: bool,
) -> tuple[Scaler, dict[float, NDArray[np.float64]]]:
    """Coefficients for several C, each search starting where the last one ended."""
    scaler = Scaler.of(features)
    design = scaler.design(features)
    weights = balanced_weights(truth, n_labels) if balanced else None
    free = np.append(np.ones(features.shape[1]), 0.0)  # no penalty on the intercept
    path: dict[float, NDArray[np.float64]] = {}
    start = None
    for c in strengths:
        start = fit_softmax(design, truth, n_labels, penalty=free / c, weights=weights, start=start)
        path[c] = start
    return scaler, path
