"""Cross-validation folds that never share a speaker and keep the class mix."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emocli.errors import TableError

N_FOLDS = 5


def stratified_folds(
    truth: NDArray[np.intp],
    groups: Sequence[str] | None = None,
    *,
    n_folds: int = N_FOLDS,
    seed: int = 42,
) -> NDArray[np.intp]:
    """The fold of each row; every fold has about the class mix of the whole.

    Rows of one group stay together: the groups are dealt out one by one, the most lopsided first,
    each into the fold whose class counts it evens out best. Without groups the rows of each class
    are shuffled and dealt out in turn. There are fewer folds where there are fewer groups, or
    fewer rows of the rarest class.

    Args:
        truth: label index of each row, shape (n_rows,).
        groups: speaker of each row; None where unknown.
        n_folds: how many folds at most.
        seed: decides the shuffle.

    Returns:
        Fold numbers from 0, shape (n_rows,).

    Raises:
        TableError: there is one speaker only, or a label with one row only.
    """
    counts = np.bincount(truth)
    names = sorted(set(groups)) if groups is not None else None
    possible = int(min(n_folds, counts[counts > 0].min()))
    if names is not None:
        possible = min(possible, len(names))
    if possible < 2:
        raise TableError(
            f"Nothing can be held out: {len(truth)} rows, {int(counts[counts > 0].min())} of the "
            f"rarest label{'' if names is None else f', {len(names)} speakers'}, expected two of "
            f"each at least. Fit on more recordings."
        )
    random = np.random.default_rng(seed)
    if groups is None or names is None:
        return _deal_rows(truth, possible, random)
    return _deal_groups(truth, np.asarray(groups), names, possible, random)


def _deal_rows(
    truth: NDArray[np.intp], n_folds: int, random: np.random.Generator
) -> NDArray[np.intp]:
    folds = np.empty(len(truth), dtype=np.intp)
    order = np.concatenate(
        [random.permutation(np.flatnonzero(truth == label)) for label in np.unique(truth)]
    )
    folds[order] = np.arange(len(truth)) % n_folds
    return folds


def _deal_groups(
    truth: NDArray[np.intp],
    groups: NDArray[np.str_],
    names: Sequence[str],
    n_folds: int,
    random: np.random.Generator,
) -> NDArray[np.intp]:
    n_labels = int(truth.max()) + 1
    counts = {name: np.bincount(truth[groups == name], minlength=n_labels) for name in names}
    shuffled = [names[index] for index in random.permutation(len(names))]
    share = 1.0 / np.maximum(np.bincount(truth, minlength=n_labels), 1)
    held = np.zeros((n_folds, n_labels))
    home = {}
    for name in sorted(shuffled, key=lambda name: -float(np.std(counts[name]))):

        def unevenness(fold: int, name: str = name) -> tuple[float, float]:
            after = held.copy()
            after[fold] += counts[name]
            return float((after * share).std(axis=0).mean()), float(after[fold].sum())

        home[name] = min(range(n_folds), key=unevenness)
        held[home[name]] += counts[name]
    return np.array([home[name] for name in groups.tolist()], dtype=np.intp)
