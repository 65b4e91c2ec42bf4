"""Several recordings through a network at a time on a CPU, each with its share of the threads.

Threads that share one recording wait for one another at every layer; threads that have one each
do not. Two cores do a fifth to a third more in two lanes than in one.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_LONE_THREADS = 4
"""Up to so many threads each takes a recording of its own: none waits for another."""
THREADS_PER_LANE = 4
"""Threads that share a recording where there are many; each recording at work takes memory."""


def count_lanes(n_threads: int) -> int:
    """Recordings that are best computed at a time.

    Example:
        >>> [count_lanes(n) for n in (1, 2, 4, 16, 64)]
        [1, 2, 4, 4, 16]
    """
    return max(min(n_threads, MOST_LONE_THREADS), n_threads // THREADS_PER_LANE)


@contextmanager
def shared_threads(n_lanes: int) -> Iterator[int]:
    """Deals torch's threads over lanes while the block lasts; gives the share of each.

    Threads that compute on torch in the block begin with ``torch.set_num_threads`` of it: not all
    that torch calls asks what another thread has set.
    """
    import torch

    n_threads = torch.get_num_threads()
    share = max(1, n_threads // n_lanes)
    torch.set_num_threads(share)
    try:
        yield share
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
    import torch

    numbered = enumerate(jobs)
    results: dict[int, Result] = {}
    lock = Lock()
    stopped = False

    def lane() -> None:
        torch.set_num_threads(share)
        while True:
            with lock:
                taken = None if stopped else next(numbered, None)
            if taken is None:
                return
            results[taken[0]] = work(taken[1])

    with shared_threads(n_lanes) as share, ThreadPoolExecutor(n_lanes) as pool:
        lanes = [pool.submit(lane) for _ in range(n_lanes)]
        try:
            wait(lanes, return_when=FIRST_EXCEPTION)
        finally:
            stopped = True
    for one in lanes:
        one.result()
    return [results[number] for number in range(len(results))]
