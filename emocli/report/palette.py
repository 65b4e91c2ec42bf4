"""Which colour stands for which label: fixed, so that two reports can be compared at a glance.

Colours are slots, written as classes ``c0`` to ``c15`` whose values are in ``figure.css``. The most
frequent emotions have those of Okabe and Ito, which people with any colour vision tell apart.
"""

from collections.abc import Sequence

_SLOTS = {
    "angry": 0,
    "happy": 1,
    "neutral": 2,
    "sad": 3,
    "calm": 4,
    "fearful": 5,
    "disgust": 6,
    "surprised": 7,
    "contempt": 8,
    "other": 9,
    "unknown": 9,
    "negative": 0,
    "positive": 4,
}
_FREE = tuple(range(10, 16))
N_SHADES = 10


def slots(labels: Sequence[str]) -> tuple[int, ...]:
    """The colour slot of each label.

    A label that is none of the canonical emotions takes the free slots in turn, in alphabetical
    order.

    Example:
        >>> slots(["sad", "bored", "awe"])
        (3, 11, 10)
    """
    others = sorted(set(labels) - _SLOTS.keys())
    taken = {name: _FREE[turn % len(_FREE)] for turn, name in enumerate(others)}
    return tuple(_SLOTS[name] if name in _SLOTS else taken[name] for name in labels)


def shade(share: float) -> str:
    """The class of a share from 0 to 1 on the scale ``q0`` (nothing) to ``q9`` (all)."""
    return f"q{min(max(int(share * N_SHADES), 0), N_SHADES - 1)}"
