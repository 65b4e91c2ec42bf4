"""Directions in which functionals say little about emotion, made small before training.

Speakers who say the same emotion differ, and a recording differs from itself in another room.
Functionals are rotated and scaled so that these differences are alike in all directions; what a
network of limited weights then learns leans on the directions in which emotions stand out.

Source: the within-class covariance normalisation of Hatch, Kajarekar & Stolcke 2006, with the
covariance of augmentation added to that of the classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def whitening_matrix(
    standardized: NDArray[np.float32],
    labels: Sequence[str],
    augmentation: float,
    ridge: float,
) -> NDArray[np.float32]:
    """A matrix that whitens functionals within their labels.

    ``S = S_within + augmentation * S_altered``, to which ``ridge`` times the mean variance is
    added; the matrix is ``U (S)^(-1/2)`` for the eigenvectors U, scaled to unit mean deviation of
    the unaltered inputs.

    Args:
        standardized: shape (1 + n_copies, n_utterances, n_functionals), the first unaltered.
        labels: of the utterances.
        augmentation: weight of the changes between altered copies and the original.
        ridge: share of the mean variance, above 0.

    Returns:
        Shape (n_functionals, n_functionals), to multiply from the right.
    """
    plain = standardized[0].astype(np.float64)
    names = np.array(labels)
    residual = plain.copy()
    for label in sorted(set(labels)):
        residual[names == label] -= residual[names == label].mean(0)
    covariance = residual.T @ residual / len(residual)
    if len(standardized) > 1 and augmentation:
        for altered in standardized[1:]:
            change = altered - plain
            share = augmentation / (len(standardized) - 1)
            covariance += share * (change.T @ change) / len(change)
    mean_variance = np.trace(covariance) / len(covariance)
    variances, directions = np.linalg.eigh(covariance)
    matrix = directions / np.sqrt(np.maximum(variances, 0) + ridge * mean_variance)
    return np.asarray(matrix / (plain @ matrix).std(0).mean(), dtype=np.float32)


def discriminant(
    whitened: NDArray[np.float32], labels: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fisher's linear discriminant for inputs that are white within their labels.

    ``logit_k = x . m_k - |m_k|^2 / 2`` for the mean ``m_k`` of a label, all labels equally likely
    beforehand; divided by the mean variance within labels.

    Args:
        whitened: shape (n_utterances, n_inputs).
        labels: from 0, each at least once, shape (n_utterances,).

    Returns:
        Weights of shape (n_labels, n_inputs) and biases of shape (n_labels,).
    """
    inputs = whitened.astype(np.float64)
    means = np.stack([inputs[labels == k].mean(0) for k in range(labels.max() + 1)])
    variance = np.square(inputs - means[labels]).mean()
    biases = -np.square(means).sum(1) / 2
    return (means / variance).astype(np.float32), (biases / variance).astype(np.float32)
