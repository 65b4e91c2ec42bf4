"""Vectors of words from their letters, without training and without a vocabulary."""

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emocli.networks.text_features import LONGEST_RUN, SHORTEST_RUN

HASHED_DIM = 128
WORDS_VERSION = 1
"""Counts up when the same word gives another vector."""


def hashed_words(words: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of words; words that share runs of letters are near one another.

    The word and each run of three to five of its letters, the ends marked, add 1 or -1 to one of
    the 128 values. Their CRC-32 decides which and the sign.

    Args:
        words: any strings.

    Returns:
        Shape (n_words, 128); 0 for an empty word.

    Source: Weinberger et al. 2009 (signed feature hashing); Bojanowski et al. 2017 (runs of
    letters).
    """
    return np.stack([_vector(word) for word in words]) if words else np.empty((0, HASHED_DIM))


@lru_cache(maxsize=1 << 15)
def _vector(word: str) -> NDArray[np.float64]:
    total = np.zeros(HASHED_DIM)
    for part in _parts(word):
        code = zlib.crc32(part.encode())
        total[code % HASHED_DIM] += 1 - 2 * (code >> 31)
    length = np.linalg.norm(total)
    return total / length if length else total


def _parts(word: str) -> list[str]:
    if not word:
        return []
    marked = f"<{word}>"
    runs = [
        marked[i : i + size]
        for size in range(SHORTEST_RUN, LONGEST_RUN + 1)
        for i in range(len(marked) - size + 1)
    ]
    return [marked, *runs]
