"""Damaged files of every kind, many of them: none may crash, hang, or eat the memory.

    python tests/benchmarks/fuzz.py            # 100,000 inputs for each door
    python tests/benchmarks/fuzz.py -n 2000 --door audio

Every door runs in a process of its own, so that a crash of a decoder is seen too. Whatever is
wrong is kept in the folder that `--keep` names. The exit status is 1 if there is a fault.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hostile_inputs import DOORS, damaged, open_door

LONGEST_SECONDS = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100_000, help="inputs for each door")
    parser.add_argument("--door", choices=DOORS, help="this one only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "emocli-fuzz")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    say(f"{'door':<20} {'inputs':>8} {'taken':>7} {'faults':>7} {'slowest':>9} {'memory':>9}")
    n_faults = 0
    for name in [options.door] if options.door else DOORS:
        n_faults += run(name, options.n, options.seed, options.keep)
    sys.exit(1 if n_faults else 0)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(name: str, n_inputs: int, seed: int, keep: Path) -> int:
    """Try one door and print what came of it; the number of faults."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=try_door, args=(name, n_inputs, seed, keep, theirs)
    )
    process.start()
    theirs.close()
    try:
        taken, faults, slowest, megabytes = ours.recv()
    except EOFError:
        process.join()
        say(f"{name:<20} the process ended with status {process.exitcode}; see {keep}/last")
        return 1
    process.join()
    say(
        f"{name:<20} {n_inputs:>8} {taken:>7} {faults:>7} {slowest * 1000:>6.0f} ms "
        f"{megabytes:>+6.0f} MB"
    )
    return int(faults)


def try_door(name: str, n_inputs: int, seed: int, keep: Path, results: Connection) -> None:
    """Send how many were taken, faults, seconds of the slowest, and growth of memory in MB."""
    # Decoders write to standard error by themselves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, _too_long)
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        door = open_door(name, Path(folder))
        rng = np.random.default_rng(seed)
        taken, faults, slowest, before = 0, 0, 0.0, 0
        for number in range(n_inputs):
            if number == min(1000, n_inputs // 2):
                before = _peak_kilobytes()
            which = int(rng.integers(len(door.seeds)))
            data = damaged(door.seeds[which], rng)
            (Path(folder) / "last").write_bytes(data)
            began = time.perf_counter()
            signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
            try:
                taken += door.refuses_or_takes(data, which)
            except Exception:  # noqa: BLE001 - any is a fault, and is kept
                faults += 1
                kept = keep / f"{name.replace(' ', '-')}-{number}-seed{which}"
                kept.write_bytes(data)
                kept.with_suffix(".txt").write_text(traceback.format_exc())
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            slowest = max(slowest, time.perf_counter() - began)
        results.send((taken, faults, slowest, (_peak_kilobytes() - before) / 1024))


def _peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _too_long(*_: object) -> None:
    raise TimeoutError(f"longer than {LONGEST_SECONDS:g} s")


if __name__ == "__main__":
    main()
