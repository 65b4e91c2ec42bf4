"""Multinomial logistic regression, solved to the optimum; no dependence on a learning library."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emocli import posteriors


def fit_softmax(
    features: NDArray[np.float64],
    truth: NDArray[np.intp],
    n_labels: int,
    *,
    penalty: ArrayLike,
    weights: NDArray[np.float64] | None = None,
    offset: NDArray[np.float64] | None = None,
    start: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Coefficients that minimise the penalised negative log likelihood.

    ``sum_i w_i * -ln softmax(x_i B + o_i)_{y_i} + 1/2 sum_f penalty_f |B_f|^2``. An intercept is a
    column of ones with its own penalty. With an offset the coefficients are what is learned beyond
    it, and a strong penalty leaves the offset's answer as it is.

    Args:
        features: shape (n_rows, n_features).
        truth: label index of each row, shape (n_rows,).
        n_labels: how many labels there are.
        penalty: at least 0, shape (n_features,) or a scalar.
        weights: of each row, shape (n_rows,); 1 by default.
        offset: logits to start from, shape (n_rows, n_labels).
        start: first guess, shape (n_features, n_labels).

    Returns:
        Shape (n_features, n_labels).
    """
    from scipy.optimize import minimize

    n_features = features.shape[1]
    shape = (n_features, n_labels)
    ridge = np.broadcast_to(np.asarray(penalty, dtype=np.float64), (n_features,))[:, np.newaxis]
    rows = np.arange(len(truth))
    mass = np.ones(len(truth)) if weights is None else weights
    base = np.zeros((len(truth), n_labels)) if offset is None else offset

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        beta = flat.reshape(shape)
        log_probs = posteriors.log_softmax(features @ beta + base)  # (n_rows, n_labels)
        excess = np.exp(log_probs)
        excess[rows, truth] -= 1.0
        value = -float(mass @ log_probs[rows, truth]) + 0.5 * float((ridge * beta**2).sum())
        return value, (features.T @ (excess * mass[:, np.newaxis]) + ridge * beta).ravel()

    first = np.zeros(shape) if start is None else start
    options = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-7}
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x, dtype=np.float64).reshape(shape)


def balanced_weights(truth: NDArray[np.intp], n_labels: int) -> NDArray[np.float64]:
    """Weights that give every label the same mass: ``n / (n_labels n_y)``, shape (n_rows,)."""
    counts = np.maximum(np.bincount(truth, minlength=n_labels), 1)
    return np.asarray(len(truth) / (n_labels * counts[truth]))
