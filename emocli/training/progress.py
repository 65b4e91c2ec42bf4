"""How far a training run has come, for whoever shows it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a phase, the number of its steps that are done, and of all of them."""


def tell(progress: Progress | None, phase: str, done: int, total: int) -> None:
    """Tell a callback, if there is one."""
    if progress is not None:
        progress(phase, done, total)
