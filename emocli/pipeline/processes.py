"""Work that is done in several processes while its results keep their order.

Small networks spend their time in many short operations, and threads that run Python between them
wait for one another. Processes do not. They are forked, so each begins with the loaded model and
its imports in place, for nothing, and jobs are known to it without being sent.
"""

import multiprocessing
import os
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from emocli.errors import EmocliError

Job = TypeVar("Job")
Result = TypeVar("Result")

JOBS_AHEAD = 4
"""Jobs for each process that may be begun before the first of them has been taken."""


class _Said(Enum):
    """What a process says of its job."""

    RESULT = 1
    END = 2
    ERROR = 3


def count_cores() -> int:
    """Processes that can be at work at a time: the cores that this one may use.

    1 where processes cannot be forked: on Windows, and on macOS, whose own libraries forbid it.
    """
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def count_decoders() -> int:
    """Recordings to decode at a time: on half of the cores, 2 at least and 8 at most.

    Two threads read more than any model on a CPU takes, and a GPU takes more than they read.
    """
    return min(max(count_cores() // 2, 2), 8)


def run_in_processes(
    jobs: Sequence[Job], work: Callable[[Job], Iterable[Result]], n_processes: int
) -> Iterator[Result]:
    """The results of all jobs, in their order.

    Args:
        jobs: what there is to do.
        work: does one job; runs in a process of its own, whose memory is a copy of this one's.
        n_processes: jobs at work at a time.

    Yields:
        What ``work`` yielded for each job, those of the first unfinished job as they come. An
        exception of a job is raised when its turn comes.
        When the consumer stops early, the processes are ended; when this process is killed, they
        end at their next result.

    Raises:
        EmocliError: a process was ended from outside, for want of memory say.
    """
    team = _Team(jobs, work, n_processes)
    try:
        for index in range(len(jobs)):
            yield from team.results(index)
    finally:
        team.stop()


class _Team(Generic[Job, Result]):
    """Processes, what they are at, and results that nobody has taken yet."""

    def __init__(
        self, jobs: Sequence[Job], work: Callable[[Job], Iterable[Result]], n_processes: int
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._n_jobs = len(jobs)
        self._next = 0
        self._found: dict[int, deque[tuple[_Said, Any]]] = {}
        self._at: dict[Connection, int] = {}
        self._idle: list[Connection] = []
        self._processes = []
        for _ in range(min(n_processes, len(jobs))):
            here, there = context.Pipe()
            process = context.Process(
                target=_serve, args=(there, [*self._idle, here], jobs, work), daemon=True
            )
            with warnings.catch_warnings():
                # Python 3.12 warns where threads run beside, such as that of a progress bar. They
                # share no lock with what a process does here.
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            there.close()
            self._idle.append(here)
            self._processes.append(process)

    def results(self, index: int) -> Iterator[Result]:
        """The results of a job as they come; jobs after it are begun meanwhile."""
        while True:
            self._begin(index + JOBS_AHEAD * len(self._processes))
            heard = self._found[index]
            while not heard:
                self._listen()
            said, value = heard.popleft()
            if said is _Said.RESULT:
                yield value
                continue
            del self._found[index]
            if said is _Said.ERROR:
                raise value
            return

    def _listen(self) -> None:
        """Wait for processes to say something, and note it."""
        pipe: Any
        for pipe in wait(list(self._at)):
            try:
                said, value = pipe.recv()
            except (EOFError, ConnectionError):
                raise EmocliError(
                    "A process of this run was ended from outside, expected it to go on. "
                    "Look for what ends processes, such as too little memory, and run again."
                ) from None
            self._found[self._at[pipe]].append((said, value))
            if said is not _Said.RESULT:
                del self._at[pipe]
                self._idle.append(pipe)

    def _begin(self, stop: int) -> None:
        """Give jobs before ``stop`` to those that have none."""
        while self._idle and self._next < min(stop, self._n_jobs):
            pipe = self._idle.pop()
            pipe.send(self._next)
            self._at[pipe] = self._next
            self._found[self._next] = deque()
            self._next += 1

    def stop(self) -> None:
        """End all processes, at work or not."""
        for pipe in [*self._idle, *self._at]:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(
    pipe: Connection,
    others: Sequence[Connection],
    jobs: Sequence[Job],
    work: Callable[[Job], Iterable[Result]],
) -> None:
    """Do jobs until nobody is left to ask for them; runs in a process of its own."""
    # Ctrl-C reaches all processes of a terminal, and the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in others:  # or their ends would seem open when the first process is gone
        other.close()
    try:
        while True:
            job = jobs[pipe.recv()]
            for answer in _answers(work(job)):
                pipe.send(answer)
    except (EOFError, ConnectionError):
        return


def _answers(results: Iterable[Result]) -> Iterator[tuple[_Said, Any]]:
    """What is to be said of a job: its results, and how it ended."""
    try:
        for result in results:
            yield _Said.RESULT, result
    except Exception as error:  # noqa: BLE001 - told where the job was given
        yield _Said.ERROR, error
    else:
        yield _Said.END, None
