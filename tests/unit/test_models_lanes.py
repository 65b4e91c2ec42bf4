"""Work in lanes: order, threads, errors."""

import threading
import time

import checkpoints
import pytest
import torch

from emocli.models.lanes import run_in_lanes, shared_threads


@pytest.fixture(autouse=True)
def four_threads():
    with checkpoints.torch_threads(4):
        yield


@pytest.mark.parametrize("n_lanes", [1, 3])
def test_results_keep_the_order_of_jobs(n_lanes):
    def work(number):
        time.sleep(0.01 * (number % 3))
        return number**2

    assert run_in_lanes(work, iter(range(20)), n_lanes) == [number**2 for number in range(20)]
    assert run_in_lanes(work, [], n_lanes) == []


def test_each_lane_has_its_share_of_the_threads():
    meeting = threading.Barrier(2, timeout=10)

    def work(_):
        meeting.wait()  # nobody passes unless two are at work at a time
        return threading.get_ident(), torch.get_num_threads()

    idents, shares = zip(*run_in_lanes(work, range(2), 2), strict=True)
    assert len({*idents, threading.get_ident()}) == 3
    assert shares == (2, 2)
    assert torch.get_num_threads() == 4


def test_a_share_is_at_least_one_thread():
    with shared_threads(5) as take_share:
        assert torch.get_num_threads() == 1
        take_share()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


def test_after_an_error_nothing_more_is_begun():
    begun = []

    def work(number):
        begun.append(number)
        if number == 3:
            raise ValueError("the third")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="the third"):
        run_in_lanes(work, range(1000), 2)
    assert 4 <= len(begun) < 500
    assert torch.get_num_threads() == 4


def test_jobs_are_taken_as_lanes_become_free():
    taken, done = [], []

    def jobs():
        for number in range(9):
            assert len(taken) - len(done) <= 1  # the other lane's
            taken.append(number)
            yield number

    def work(number):
        time.sleep(0.002)
        done.append(number)

    run_in_lanes(work, jobs(), 2)
    assert len(taken) == 9
