"""Work that runs ahead in threads, as far as a budget allows, while its results keep their order.

Decoding releases Python's lock, so a few threads keep a model busy. Each job is a generator; what
it yields is kept in a lane of its own until the lanes before it are empty. The job whose turn it
is may always go on, hence no budget is too small and nothing can wait for itself.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from emocli.audio.stores import wanted

Job = TypeVar("Job")
Item = TypeVar("Item")


@dataclass
class _Lane(Generic[Item]):
    """What one job has yielded and nobody has taken yet."""

    items: list[Item] = field(default_factory=list)
    cost: float = 0.0
    done: bool = False


class _Gate(Generic[Job, Item]):
    """Lets jobs store items while the budget lasts."""

    def __init__(
        self,
        work: Callable[[Job], Iterable[Item]],
        cost: Callable[[Item], float],
        budget: float,
    ) -> None:
        self._work = work
        self._cost = cost
        self._budget = budget
        self._held = 0.0
        self._changed = threading.Condition()
        self._stopped = False
        self._turn: _Lane[Item] | None = None

    def run(self, job: Job, lane: _Lane[Item]) -> None:
        """Store what a job yields until it ends or all is stopped; runs in a thread."""
        wanted.set(lambda: not self._stopped)
        try:
            for item in self._work(job):
                if not self._store(lane, item):
                    return
        finally:
            with self._changed:
                lane.done = True
                self._changed.notify_all()

    def _store(self, lane: _Lane[Item], item: Item) -> bool:
        cost = self._cost(item)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or self._held + cost <= self._budget
                    or (lane is self._turn and not lane.items)
                )
            )
            lane.items.append(item)
            lane.cost += cost
            self._held += cost
            self._changed.notify_all()
            return not self._stopped

    def take(self, lane: _Lane[Item]) -> Iterator[Item]:
        """Items of the lane whose turn it is, until its job has ended."""
        while True:
            with self._changed:
                self._turn = lane
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(lane.items) or lane.done)
                items, lane.items = lane.items, []
                self._held -= lane.cost
                lane.cost = 0.0
                self._changed.notify_all()
            if not items:
                return
            yield from items

    def stop(self) -> None:
        """Let every job end at the next item that it stores."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def run_ahead(
    jobs: Iterable[Job],
    work: Callable[[Job], Iterable[Item]],
    *,
    cost: Callable[[Item], float],
    budget: float,
    n_threads: int = 2,
    max_jobs: int = 64,
    ready: Callable[[], None] | None = None,
) -> Iterator[Item]:
    """What the jobs yield, job after job, made in threads.

    Args:
        jobs: taken as they are needed.
        work: makes the items of a job; runs in a thread.
        cost: of holding an item.
        budget: largest cost of items held at a time; the job whose turn it is may exceed it by
            one item.
        n_threads: jobs at work at a time; 0 does each when its turn comes, in this thread.
        max_jobs: jobs begun and not yet taken.
        ready: called by each thread before its first job.

    Yields:
        The items in the order of jobs and, within a job, in the order in which it made them. An
        exception of a job is raised when its turn comes. When the consumer stops early, for an
        interrupt say, the threads end at their next item.
    """
    if n_threads == 0:
        for job in jobs:
            yield from work(job)
        return
    gate = _Gate(work, cost, budget)
    waiting: list[tuple[_Lane[Item], Future[None]]] = []
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="emocli-ahead", initializer=ready)
    rest = iter(jobs)

    def begin(n_jobs: int) -> None:
        for _, job in zip(range(n_jobs), rest, strict=False):
            lane: _Lane[Item] = _Lane()
            waiting.append((lane, pool.submit(gate.run, job, lane)))

    try:
        begin(max_jobs)
        while waiting:
            lane, future = waiting.pop(0)
            yield from gate.take(lane)
            future.result()
            begin(1)
    finally:
        gate.stop()
        pool.shutdown(cancel_futures=True)
