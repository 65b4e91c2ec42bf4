"""How long commands on tables take to start, as multiples of a bare interpreter.

    python tests/benchmarks/startup.py

Commands run in turn, each in a process of its own, on tables of three rows; what is compared is
the processor time of the whole process, user and system, and the time on the clock. Bytecode is
cached, as pip leaves it, in a folder of the benchmark's own.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_RUNS = 15
TABLE = "file,model,p_angry,p_happy,p_neutral,p_sad\n" + "".join(
    f"{name}.wav,first,0.4,0.3,0.2,0.1\n" for name in "abc"
)
TRUTH = "file,emotion\na.wav,angry\nb.wav,happy\nc.wav,sad\n"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import numpy'": ["-c", "import numpy"],
    "emocli --help": ["-m", "emocli", "--help"],
    "emocli models list": ["-m", "emocli", "models", "list"],
    "emocli fuse a.csv b.csv": ["-m", "emocli", "fuse", "a.csv", "b.csv"],
    "emocli eval a.csv --truth truth.csv --draws 0": [
        "-m", "emocli", "eval", "a.csv", "--truth", "truth.csv", "--draws", "0",
    ],
    "emocli eval a.csv --truth truth.csv": [
        "-m", "emocli", "eval", "a.csv", "--truth", "truth.csv",
    ],
    "emocli fuse --help (typer)": ["-m", "emocli", "fuse", "--help"],
}  # fmt: skip


def cost(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of processor time and on the clock that one run takes."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - started


def main() -> None:
    """Print one line a command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.csv").write_text(TABLE)
        (folder / "b.csv").write_text(TABLE.replace("first", "second"))
        (folder / "truth.csv").write_text(TRUTH)
        for arguments in COMMANDS.values():
            cost(arguments, folder)
        runs = {name: [] for name in COMMANDS}
        for _ in range(N_RUNS):
            for name, arguments in COMMANDS.items():
                runs[name].append(cost(arguments, folder))
    middle = {
        name: [statistics.median(figures) for figures in zip(*found, strict=True)]
        for name, found in runs.items()
    }
    bare = middle["python -c pass"]
    sys.stdout.write(
        f"{'':<46}  processor        clock   (median of {N_RUNS} runs; times bare Python)\n"
    )
    for name, (processor, clock) in middle.items():
        sys.stdout.write(
            f"{name:<46}{processor * 1e3:6.0f} ms {processor / bare[0]:5.1f}x"
            f"{clock * 1e3:6.0f} ms {clock / bare[1]:5.1f}x\n"
        )


if __name__ == "__main__":
    main()
