"""Which utterances go through a network together."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def plan_batches(
    lengths: Sequence[int], *, batch_size: int | None, max_total: int, mixed: bool
) -> Iterator[NDArray[np.intp]]:
    """Indices of the utterances of each batch, the longest utterances first.

    Args:
        lengths: of each utterance, in any unit.
        batch_size: most utterances in a batch; None leaves it to ``max_total``.
        max_total: most length in a batch with its padding, where ``batch_size`` is None. A
            single utterance may be longer.
        mixed: whether lengths may differ in a batch. If not, no padding is ever needed.

    Example:
        >>> [b.tolist() for b in plan_batches([3, 5, 3], batch_size=8, max_total=0, mixed=False)]
        [[1], [0, 2]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = batch_size or max(1, max_total // max(1, longest))
        batch = order[start : start + size]
        if not mixed:
            batch = batch[np.asarray(lengths)[batch] == longest]
        yield batch
        start += len(batch)
