"""Ridge regression of arousal, dominance and valence on the outputs of all models.

It stands where EmoJudge says logistic regression, which cannot predict a dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.fusion.features import Input
from emocli.fusion.scaling import C_GRID, Scaler
from emocli.metrics.regression import concordance_cc


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression.

    Attributes:
        dimensions: names of what it predicts.
        inputs: what it was fitted on, in the order of the features.
        n_fit: rows that it was fitted on.
        scaler: standardisation of the features.
        coefficients: shape (n_features + 1, n_dimensions), the intercept last.
        strengths: the inverse strength C of the penalty for each dimension.
        limits: smallest and largest value that it gives.
    """

    dimensions: tuple[str, ...]
    inputs: tuple[Input, ...]
    n_fit: int
    scaler: Scaler
    coefficients: NDArray[np.float64]
    strengths: tuple[float, ...]
    limits: tuple[float, float]

    def values(self, blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Fused dimensions.

        Args:
            blocks: one for each input, shape (n_utterances, n_outputs), NaN without a say.

        Returns:
            Shape (n_utterances, n_dimensions).
        """
        design = self.scaler.design(np.concatenate(blocks, axis=1))
        return np.clip(design @ self.coefficients, *self.limits)


def fit_ridge(
    blocks: Sequence[NDArray[np.float64]],
    truth: NDArray[np.float64],
    dimensions: Sequence[str],
    inputs: Sequence[Input],
    folds: NDArray[np.intp],
) -> tuple[Ridge, NDArray[np.float64]]:
    """Ridge regression, for each dimension with the penalty of the highest CCC.

    Args:
        blocks: features of each input, shape (n_rows, n_outputs), without NaN.
        truth: shape (n_rows, n_dimensions).
        dimensions: names of the columns of ``truth``.
        inputs: what the blocks are.
        folds: cross-validation fold of each row, shape (n_rows,).

    Returns:
        The regression on all rows, and each row's values from the one that was fitted without its
        fold; shape (n_rows, n_dimensions). The smallest of equally good C is taken. Values are
        kept within 0 and 1 if the truth is, else within the range of the truth.
    """
    features = np.concatenate(blocks, axis=1)
    unit = truth.min() >= 0.0 and truth.max() <= 1.0
    limits = (0.0, 1.0) if unit else (float(truth.min()), float(truth.max()))
    held_out = np.empty((len(C_GRID), *truth.shape))
    for fold in np.unique(folds):
        rest = folds != fold
        scaler, path = _fit_path(features[rest], truth[rest])
        held_out[:, ~rest] = np.clip(scaler.design(features[~rest]) @ path, *limits)
    merit = np.array(
        [
            [concordance_cc(truth[:, d], values[:, d]) for d in range(len(dimensions))]
            for values in held_out
        ]
    )
    best = np.argmax(np.nan_to_num(merit, nan=-1.0), axis=0)  # (n_dimensions,)
    scaler, path = _fit_path(features, truth)
    columns = np.arange(len(dimensions))
    fuser = Ridge(
        dimensions=tuple(dimensions),
        inputs=tuple(inputs),
        n_fit=len(truth),
        scaler=scaler,
        coefficients=path[best, :, columns].T,
        strengths=tuple(C_GRID[index] for index in best),
        limits=limits,
    )
    return fuser, held_out[best, :, columns].T


def _fit_path(
    features: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[Scaler, NDArray[np.float64]]:
    """Coefficients for every C, shape (n_strengths, n_features + 1, n_dimensions).

    With standardised features the intercept is the mean of the truth, and one decomposition
    serves all penalties: ``B = V (S^2 + 1/C)^-1 S U^T (y - mean y)``.
    """
    scaler = Scaler.of(features)
    mean = truth.mean(axis=0)
    left, sizes, right = np.linalg.svd(scaler.design(features)[:, :-1], full_matrices=False)
    projected = left.T @ (truth - mean)  # (n_components, n_dimensions)
    shrink = np.stack([sizes / (sizes**2 + 1.0 / c) for c in C_GRID])  # (n_strengths, n_components)
    slopes = np.einsum("kf,sk,kd->sfd", right, shrink, projected)
    intercepts = np.broadcast_to(mean, (len(C_GRID), 1, len(mean)))
    return scaler, np.concatenate([slopes, intercepts], axis=1)
