"""Tens of thousands of short recordings in one run: does the memory stay flat, is a row missing?

    python tests/benchmarks/soak.py [--files 50000]

Recordings are hard links to copies of those in tests/samples, cut to a second, in folders of a
thousand. The memory is that of the process and of those that it forked, together, as Linux counts
what they do not share (PSS), read twice a second; it is printed at each fifth of the run.

On two cores: 50,000 recordings in 74 s, 50,000 rows, 326 to 329 MiB at every fifth.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

SAMPLES = Path(__file__).parents[1] / "samples"
PER_FOLDER = 1000


def recordings(folder: Path, n: int) -> None:
    """``n`` recordings of a second."""
    folder.mkdir()
    originals = []
    for path in sorted(SAMPLES.glob("*.flac")):
        samples, rate = soundfile.read(path)
        originals.append(folder / f".{path.name}")
        soundfile.write(originals[-1], samples[:rate], rate)
    for number in range(n):
        place = folder / f"{number // PER_FOLDER:03}"
        place.mkdir(exist_ok=True)
        os.link(originals[number % len(originals)], place / f"{number:06}.flac")


def mebibytes(process: int) -> float:
    """What a process and its children hold in memory."""
    total = 0
    children = Path(f"/proc/{process}/task/{process}/children")
    for one in [process, *map(int, children.read_text().split())]:
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) if line.startswith("Pss:") else 0
    return total / 1024


def main() -> None:
    """Run, watch, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=50_000)
    n_files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings(folder / "rec", n_files)
        table, journal = folder / "out.csv", folder / ".out.csv.journal"
        command = [sys.executable, "-m", "emocli", "predict", "rec", "-q", "-o", table]
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=folder)
        seen: list[tuple[int, float]] = []
        n_rows = position = 0
        while process.poll() is None:
            time.sleep(0.5)
            try:
                seen.append((n_rows, mebibytes(process.pid)))
                with journal.open("rb") as stream:
                    stream.seek(position)
                    lines = stream.read()
                position += len(lines)
                n_rows += lines.count(b'{"key"')
            except OSError:  # the run has ended, or not begun
                continue
        seconds = time.monotonic() - begun
        rows = table.read_text().count("\n") - 1
    print(f"{n_files} recordings of a second in {seconds:.0f} s; {rows} rows")
    for fifth in range(5):
        low, high = (n_files * part // 5 for part in (fifth, fifth + 1))
        held = [mib for n, mib in seen if low <= n < high or (fifth == 4 and n == high)]
        print(f"up to {high:>7} rows: {max(held, default=float('nan')):6.0f} MiB at most")
    raise SystemExit(process.returncode or rows != n_files)


if __name__ == "__main__":
    main()
