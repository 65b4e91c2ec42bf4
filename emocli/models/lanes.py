"""Several recordings through a network at a time on a CPU, each with its share of the threads.

Threads that share one recording wait for one another at every layer; threads that have one each
do not. On two cores two lanes do an eighth to a third more than one, and twice as much where
CTranslate2 computes Whisper in int8 (``tests/benchmarks/speed_models.py``,
``speed_transcribe.py``).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_LONE_THREADS = 4
"""Up to so many threads each takes a recording of its own: none waits for another."""
THREADS_PER_LANE = 4
"""Threads that share a recording where there are many; each recording at work takes memory."""

POOL_SECONDS = 120.0
"""Seconds of audio that keep the lanes of a CPU busy, some 15 s of work for a base network.

Less would leave lanes idle more often, more would keep results back for longer.
"""


def count_lanes(n_threads: int, n_jobs: int | None = None) -> int:
    """Recordings that are best computed at a time, at least 1.

    Args:
        n_threads: that there are.
        n_jobs: how many recordings there are; None for no end of them.

    Example:
        >>> [count_lanes(n) for n in (1, 2, 4, 16, 64)], count_lanes(16, n_jobs=3)
        ([1, 2, 4, 4, 16], 3)
    """
    most = max(min(n_threads, MOST_LONE_THREADS), n_threads // THREADS_PER_LANE)
    return most if n_jobs is None else max(1, min(most, n_jobs))


@contextmanager
def shared_threads(n_lanes: int) -> Iterator[Callable[[], None]]:
    """Deals torch's threads over lanes while the block lasts.

    Gives what each thread that is started in the block calls first: not all that torch calls
    asks what another thread has set.
    """
    import torch

    n_threads = torch.get_num_threads()
    take_share = partial(torch.set_num_threads, max(1, n_threads // n_lanes))
    take_share()
    try:
        yield take_share
    finally:
        torch.set_num_threads(n_threads)


def run_in_lanes(work: Callable[[Job], Result], jobs: Iterable[Job], n_lanes: int) -> list[Result]:
    """The results of jobs, in their order.

    Args:
        work: does one job; runs in a thread if there are several lanes.
        jobs: taken one by one, as lanes become free.
        n_lanes: jobs at work at a time.

    Raises:
        Exception: what a job has raised; no further ones are begun.
    """
    if n_lanes == 1:
        return [work(job) for job in jobs]
    numbered = enumerate(jobs)
    results: dict[int, Result] = {}
    lock = Lock()
    stopped = False

    def lane() -> None:
        while True:
            with lock:
                taken = None if stopped else next(numbered, None)
            if taken is None:
                return
            results[taken[0]] = work(taken[1])

    with (
        shared_threads(n_lanes) as take_share,
        ThreadPoolExecutor(n_lanes, initializer=take_share) as pool,
    ):
        lanes = [pool.submit(lane) for _ in range(n_lanes)]
        try:
            wait(lanes, return_when=FIRST_EXCEPTION)
        finally:
            stopped = True
    for one in lanes:
        one.result()
    return [results[number] for number in range(len(results))]
