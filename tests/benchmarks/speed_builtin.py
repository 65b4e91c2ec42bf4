"""How fast the embedded speech model is from files to table, start of the program and all.

    python tests/benchmarks/speed_builtin.py [FOLDER]

FOLDER is one of recordings; by default the recordings of ``tests/samples`` are copied until there
are two hours of them, as FLAC of 16 kHz. Each run is a process of its own:

    emocli predict FOLDER -m builtin -q -o TABLE --overwrite
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

SAMPLES = Path(__file__).parents[1] / "samples"
SECONDS = 7200
N_RUNS = 3


def run(folder: Path, table: Path) -> tuple[float, float, float]:
    """Seconds on the clock and of the processors, and MiB of the largest process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "emocli",
            "predict",
            folder,
            "-m",
            "builtin",
            "-q",
            "-o",
            table,
            "--overwrite",
        ]
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"emocli ended with status {process.returncode}")
    clock = time.perf_counter() - started
    return clock, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print seconds of audio per second."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else scratch / "recordings"
        if not folder.exists():
            copy_samples(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.suffix in {".flac", ".wav"}]
        seconds = sum(soundfile.info(path).duration for path in files)
        runs = [run(folder, scratch / "table.csv") for _ in range(N_RUNS + 1)][1:]
        one = [run(SAMPLES / "won.flac", scratch / "table.csv") for _ in range(N_RUNS)]
    clock, processors, mebibytes = (statistics.median(one) for one in zip(*runs, strict=True))
    start = statistics.median(clock for clock, *_ in one)
    n_cores = len(os.sched_getaffinity(0))
    sys.stdout.write(
        f"{len(files)} recordings, {seconds:.0f} s; {n_cores} cores; median of {N_RUNS} runs\n"
        f"{clock:.2f} s on the clock, {processors:.2f} s of processors, {mebibytes:.0f} MiB\n"
        f"{seconds / clock:.0f} seconds of audio per second, start included "
        f"(one recording alone takes {start:.2f} s)\n"
        f"{seconds / (clock - start):.0f} seconds of audio per second after the start\n"
    )


def copy_samples(folder: Path) -> None:
    """Copies of the samples until they are long enough."""
    folder.mkdir()
    files = sorted(SAMPLES.glob("*.flac"))
    total = sum(soundfile.info(path).duration for path in files)
    for copy in range(round(SECONDS / total)):
        for path in files:
            shutil.copy(path, folder / f"{path.stem}-{copy:04}.flac")


if __name__ == "__main__":
    main()
