"""Recordings and folders that nobody should have, through `emocli predict -m builtin`.

    python tests/benchmarks/extremes.py [--hours 24] [--files 1000000] [--only NAME ...]

Each row is a process of its own: seconds on the clock and the most memory that the process or one
of its children held. A label means that it was heard, else what was said of it is shown. A process
that takes longer than ten minutes is ended and counts as a fault, as does a traceback.

Of very many files the first row is how long it takes to list them and what the process held; then
how long `predict` takes until a row is out. For a file on disk it must ask each recording first
when it was changed, which is most of that time. On 2 cores that four other jobs shared (Linux,
ext4):

    1,000,000 files, 10,000 a folder         8.3 s     56 MiB  1,000,000 listed
                                            10.7 s    282 MiB  until a row is in standard output
                                            30.0 s    311 MiB  until a row is in t.csv
    1,000,000 files, 1,000,000 a folder      4.6 s    190 MiB  1,000,000 listed
                                             6.6 s    282 MiB  until a row is in standard output
                                            36.8 s    316 MiB  until a row is in t.csv
"""

import argparse
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

SAMPLES = Path(__file__).parents[1] / "samples"
RATE = 16000
LIMIT_SECONDS = 600
RNG = np.random.default_rng(0)


def noise(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Something to hear, shape (n_samples, channels)."""
    return RNG.uniform(-0.3, 0.3, (max(1, round(seconds * rate)), channels)).astype(np.float32)


def long_flac(path: Path, hours: float, block: np.ndarray) -> None:
    """The same minute again and again."""
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as sound:
        for _ in range(round(hours * 60)):
            sound.write(block)


def wav(path: Path, samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> None:
    """A WAV file."""
    soundfile.write(path, samples, rate, subtype)


def patched(path: Path, samples: np.ndarray, offset: int, data: bytes) -> None:
    """A file with some bytes of its header replaced."""
    soundfile.write(path, samples, RATE, "PCM_16")
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    path.write_bytes(content)


def lying_flac(path: Path) -> None:
    """A FLAC whose header promises 2^36 - 1 samples."""
    soundfile.write(path, noise(1), RATE, "PCM_16")
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the last four bits of 36, after rate, channels and width
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)


def fifo(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket that nobody listens to."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def loop(path: Path) -> None:
    """A folder that leads into itself, with one recording."""
    path.mkdir()
    (path / "again").symlink_to(path)
    soundfile.write(path / "a.flac", noise(1)[:, 0], RATE)


def cases(hours: float) -> dict[str, tuple[str, Callable[[Path], None]]]:
    """Name of the file and what makes it, by what it is."""
    silence, minute = np.zeros(RATE * 60, np.float32), noise(60)[:, 0]
    return {
        "6 hours of silence in a FLAC": ("a.flac", lambda p: long_flac(p, 6, silence)),
        f"{hours:g} hours of noise": ("b.flac", lambda p: long_flac(p, hours, minute)),
        "WAV that claims 4 GB": (
            "c.wav",
            lambda p: patched(p, noise(1), 40, struct.pack("<I", 2**32 - 1)),
        ),
        "FLAC that claims 2^36 samples": ("d.flac", lying_flac),
        "WAV of 0 Hz": ("e.wav", lambda p: patched(p, noise(1), 24, struct.pack("<I", 0))),
        "WAV of 1 Hz": ("f.wav", lambda p: wav(p, noise(20, 1), 1)),
        "WAV of 1 MHz": ("g.wav", lambda p: wav(p, noise(5, 10**6), 10**6)),
        "300 channels": ("h.wav", lambda p: wav(p, noise(5, RATE, 300), RATE)),
        "64-bit float": ("i.wav", lambda p: wav(p, noise(2), RATE, "DOUBLE")),
        "8-bit": ("j.wav", lambda p: wav(p, noise(2), RATE, "PCM_U8")),
        "one sample": ("k.wav", lambda p: wav(p, noise(0), RATE)),
        "a pipe that nobody writes to": ("l.wav", fifo),
        "a socket": ("m.wav", unix_socket),
        "a link to /dev/zero": ("n.wav", lambda p: p.symlink_to("/dev/zero")),
        "a link to /dev/urandom": ("o.flac", lambda p: p.symlink_to("/dev/urandom")),
        "a link to itself": ("p.wav", lambda p: p.symlink_to(p)),
        "a folder in itself": ("q", loop),
    }


def run(command: list[str], folder: Path) -> tuple[float, float, str, str]:
    """Seconds, MiB, and both outputs of a process."""
    begun = time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, said = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, said = "", f"hangs: {process.communicate()[1]}"
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return time.monotonic() - begun, peak, out, said


def alone(name: str, folder: Path, path: str) -> bool:
    """Run one case in a process that measures it; whether it went well."""
    seconds, peak, out, said = run(
        [sys.executable, "-m", "emocli", "predict", path, "-q", "-f", "jsonl"], folder
    )
    rows = [json.loads(line) for line in out.splitlines()]
    answers = [row["error"] or f"{row['label']} ({row['end']} s) {row['note']}" for row in rows]
    print(f"{name:<36} {seconds:7.1f} s {peak:6.0f} MiB  {'; '.join(answers) or said.strip()}")
    return "Traceback" not in said and "hangs" not in said and bool(answers or said)


LIST = """
import resource
from emocli.pipeline.inputs import read_inputs
n_found = len(read_inputs(".").utterances)
print(n_found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def many_files(name: str, folder: Path, n_files: int, per_folder: int) -> None:
    """Make very many empty files; say what it takes to list them and to have a first row."""
    for number in range(n_files):
        place = folder / f"{number // per_folder:04}"
        if number % per_folder == 0:
            place.mkdir(parents=True)
        (place / f"{number:07}.wav").touch()
    seconds, _, out, _ = run([sys.executable, "-c", LIST], folder)
    n_found, peak = map(int, out.split())
    print(f"{name:<36} {seconds:7.1f} s {peak / 1024:6.0f} MiB  {n_found:,} listed")
    for where in ("standard output", "t.csv"):
        seconds, mib = first_row(where, folder)
        print(f"{'':36} {seconds:7.1f} s {mib:6.0f} MiB  until a row is in {where}")


def first_row(where: str, folder: Path) -> tuple[float, float]:
    """Seconds until `emocli predict` has written its first row, and the most MiB it held."""
    output, journal = ("-", None) if where == "standard output" else (where, f".{where}.journal")
    command = [sys.executable, "-m", "emocli", "predict", ".", "-q", "-o", output, "-f", "csv"]
    begun = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if journal is None:
            process.stdout.readline()  # the header
            process.stdout.readline()
        else:
            while not (folder / journal).exists() or (folder / journal).stat().st_size < 4096:
                time.sleep(0.01)
        seconds = time.monotonic() - begun
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.kill()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return seconds, int(peak) / 1024


def main() -> None:
    """Make each case, run it, remove it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", help="parts of names")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:  # in a process of its own, for the peak is that of all children so far
        name, folder, path = chosen.one
        raise SystemExit(not alone(name, Path(folder), path))
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        for what, (file, make) in cases(chosen.hours).items():
            if chosen.only is not None and not any(part in what for part in chosen.only):
                continue
            folder = Path(name, "one")
            folder.mkdir()
            make(folder / file)
            command = [sys.executable, __file__, "--one", what, str(folder), file]
            if subprocess.run(command).returncode:
                wrong.append(what)
            subprocess.run(["rm", "-rf", str(folder)], check=True)
        for per_folder in (10_000, chosen.files) if chosen.files else ():
            what = f"{chosen.files:,} files, {per_folder:,} a folder"
            if chosen.only is None or any(part in what for part in chosen.only):
                many_files(what, Path(name, "many"), chosen.files, per_folder)
                subprocess.run(["rm", "-rf", str(Path(name, "many"))], check=True)
    if wrong:
        raise SystemExit(f"faults: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
