"""Kill `emocli predict` at random moments and see what is lost: nothing.

    python tests/benchmarks/kills.py --kills 100

Recordings are copies of those in tests/samples. A run is killed (SIGKILL, with its processes) after
a random time, started again with the same command, killed again, until one gets to its end; its
table must equal that of an uninterrupted run byte for byte, and not a row may have been made from
what an interruption tore. Then the next run begins.

100 kills on two cores: 50 tables, all equal to that of the uninterrupted run.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"


def copies(folder: Path, n: int) -> None:
    """``n`` recordings in a folder."""
    found = sorted(SAMPLES.glob("*.flac"))
    folder.mkdir()
    for number in range(n):
        shutil.copyfile(found[number % len(found)], folder / f"{number:04}.flac")


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """The command under test, in a process group of its own."""
    command = [sys.executable, "-m", "emocli", "predict", "rec", "-q", "-o", str(output)]
    return subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.PIPE)


def main() -> None:
    """Kill, go on, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--recordings", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies(folder / "rec", chosen.recordings)
        begun = time.monotonic()
        assert start(folder, folder / "whole.csv").wait() == 0
        seconds = time.monotonic() - begun
        whole = (folder / "whole.csv").read_bytes()
        n_kills, n_tables, n_wrong, said = 0, 0, 0, []
        while n_kills < chosen.kills:
            output = folder / f"{n_tables}.csv"
            process = start(folder, output)
            try:
                status = process.wait(timeout=random.uniform(0, 1.2 * seconds))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                n_kills += 1
                continue
            if status != 0:
                said.append(process.communicate()[1].decode())
                break
            n_tables += 1
            n_wrong += output.read_bytes() != whole
        left = [
            path.name
            for path in folder.iterdir()
            if path.name.startswith(".") and not path.name.endswith(".journal")
        ]
    print(f"{n_kills} kills, {n_tables} tables, {n_wrong} of them not those of a whole run")
    print(f"half-written files left behind: {len(left)}")
    for sentence in said:
        print(f"a run ended with an error: {sentence}")
    raise SystemExit(bool(n_wrong or said))


if __name__ == "__main__":
    main()
