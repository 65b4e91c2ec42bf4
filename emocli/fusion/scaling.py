"""Standardisation of features, and the grid of penalty strengths that linear fusers search."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

C_GRID = tuple(float(f"{value:.4g}") for value in np.logspace(-3, 3, 13))
"""Inverse strengths of an L2 penalty: 13 values from 1e-3 to 1e3, two a decade."""


@dataclass(frozen=True)
class Scaler:
    """What gives features mean 0 and variance 1.

    Attributes:
        mean: shape (n_features,).
        scale: standard deviation, 1 for a feature that never changes; shape (n_features,).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> "Scaler":
        """The scaler of these features, shape (n_rows, n_features)."""
        scale = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def design(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standardised features and a column of ones, shape (n_rows, n_features + 1).

        A missing feature counts as an average one: a side that has no say does not speak up.
        """
        standard = np.nan_to_num((features - self.mean) / self.scale)
        return np.concatenate([standard, np.ones((len(features), 1))], axis=1)
