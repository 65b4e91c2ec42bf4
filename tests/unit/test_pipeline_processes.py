import os
import signal
import sys
import time

import pytest

from emocli.errors import AudioError, EmocliError
from emocli.pipeline.processes import count_cores, count_decoders, run_in_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")


def test_results_keep_the_order_of_jobs_whichever_is_quicker():
    def work(job):
        time.sleep(0.02 if job % 3 == 0 else 0.0)
        yield job * job, os.getpid()

    found = list(run_in_processes(range(20), work, 3))
    assert [value for value, _ in found] == [job * job for job in range(20)]
    pids = {pid for _, pid in found}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_no_more_processes_than_jobs():
    assert len(set(run_in_processes([1, 2], lambda _: [os.getpid()], 8))) <= 2
    assert list(run_in_processes([], lambda _: [0], 2)) == []


def test_a_job_may_have_any_number_of_results():
    assert list(run_in_processes([2, 0, 3], range, 2)) == [0, 1, 0, 1, 2]


def test_results_are_there_before_their_job_is_done():
    read, write = os.pipe()

    def work(job):
        yield "first"
        yield os.read(read, 1)  # waits for what the consumer of the first one writes

    found = run_in_processes([0], work, 1)
    assert next(found) == "first"
    os.write(write, b"x")
    assert list(found) == [b"x"]
    os.close(read)
    os.close(write)


def test_results_before_an_exception_are_kept():
    def work(job):
        yield job
        raise AudioError("c.wav: not audio. Convert it.")

    found = run_in_processes([7], work, 1)
    assert next(found) == 7
    with pytest.raises(AudioError):
        next(found)


def test_an_exception_is_raised_when_its_turn_comes():
    def work(job):
        if job == 3:
            raise AudioError("c.wav: not audio. Convert it.")
        yield job

    found = run_in_processes(range(6), work, 2)
    assert [next(found), next(found), next(found)] == [0, 1, 2]
    with pytest.raises(AudioError, match=r"c\.wav: not audio\. Convert it\."):
        next(found)


def test_a_process_that_is_ended_from_outside():
    def work(job):
        if job == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield job

    with pytest.raises(EmocliError) as caught:
        list(run_in_processes(range(4), work, 2))
    assert str(caught.value) == (
        "A process of this run was ended from outside, expected it to go on. Look for what ends "
        "processes, such as too little memory, and run again."
    )


def test_a_consumer_that_stops_early_ends_the_processes():
    found = run_in_processes(range(100), lambda _: [os.getpid()], 2)
    pids = {next(found), next(found)}
    found.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_processes_end_when_the_first_one_is_killed():
    read, write = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(read)
        found = run_in_processes(range(10**6), lambda _: [os.getpid()], 2)
        os.write(write, b"".join(pid.to_bytes(4, "little") for pid in (next(found), next(found))))
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    told = os.read(read, 8)
    os.waitpid(first, 0)
    os.close(read)
    for pid in {int.from_bytes(told[:4], "little"), int.from_bytes(told[4:], "little")}:
        for _ in range(100):
            if not os.path.exists(f"/proc/{pid}") or _is_zombie(pid):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"process {pid} goes on")


def _is_zombie(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


def test_there_is_a_core():
    assert count_cores() >= 1


@pytest.mark.parametrize(("n_cores", "expected"), [(1, 2), (4, 2), (8, 4), (64, 8)])
def test_more_cores_decode_more(n_cores, expected, monkeypatch):
    monkeypatch.setattr("emocli.pipeline.processes.count_cores", lambda: n_cores)
    assert count_decoders() == expected
