"""Quotients and means that say when they are undefined."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """Quotient of two arrays; NaN where the denominator is 0.

    Example:
        >>> ratio([1, 0], [4, 0]).tolist()
        [0.25, nan]
    """
    above, below = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def mean_defined(values: ArrayLike) -> NDArray[np.float64]:
    """Mean over the last axis of the values that are not NaN; NaN where none is left."""
    array = np.asarray(values, dtype=np.float64)
    defined = ~np.isnan(array)
    return ratio(np.where(defined, array, 0.0).sum(axis=-1), defined.sum(axis=-1))
