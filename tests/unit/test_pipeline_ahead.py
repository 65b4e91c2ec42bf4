import threading
import time

import pytest

from emocli.pipeline.ahead import run_ahead


def run(jobs, work, **options):
    return run_ahead(jobs, work, **{"cost": lambda item: 1.0, "budget": 100.0, **options})


def test_items_keep_the_order_of_jobs_whichever_is_quicker():
    def work(job):
        time.sleep(0.02 if job % 2 == 0 else 0.0)
        yield from (f"{job}{part}" for part in "abc")

    expected = [f"{job}{part}" for job in range(8) for part in "abc"]
    assert list(run(range(8), work, n_threads=4)) == expected


@pytest.mark.parametrize("budget", [0.0, 1.0, 7.5])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_no_budget_is_too_small(budget, n_threads):
    found = run(range(20), lambda job: [job] * 5, budget=budget, n_threads=n_threads, max_jobs=4)
    assert list(found) == [job for job in range(20) for _ in range(5)]


def test_no_more_is_held_than_the_budget_and_one_item():
    made = []

    def work(job):
        for _ in range(50):
            made.append(job)
            yield job

    items = run(range(4), work, budget=10.0, n_threads=2)
    for taken, _ in enumerate(items, 1):
        time.sleep(0.001)
        # An item of each thread may wait at the gate, and what was taken may still be in a list.
        assert len(made) - taken <= 10 + 2 + 11


def test_jobs_are_taken_as_they_are_needed():
    asked = []

    def jobs():
        for job in range(100):
            asked.append(job)
            yield job

    items = run(jobs(), lambda job: [job], max_jobs=5)
    assert next(items) == 0
    assert len(asked) == 5
    items.close()


def test_jobs_without_items_and_no_jobs():
    assert list(run(range(3), lambda job: [])) == []
    assert list(run([], lambda job: [job])) == []


def test_an_exception_comes_when_it_is_the_turn_of_its_job():
    def work(job):
        yield job
        if job == 1:
            raise ZeroDivisionError("in a thread")

    items = run(range(3), work)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="in a thread"):
        next(items)


def test_threads_end_when_the_consumer_stops():
    def work(job):
        while True:
            yield job

    items = run(range(3), work, budget=5.0)
    assert next(items) == 0
    items.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("emocli-ahead")]
