"""How fast and how well recordings are written down, beside openai-whisper's own command.

    python tests/benchmarks/speed_transcribe.py WEIGHTS [--beam-size 5] [--files 20] [--only NAME]

WEIGHTS, or EMOCLI_REAL_WEIGHTS, is a folder with ``whisper-base.pt`` of openai-whisper and
``whisper-base-ct2``, the same weights converted for CTranslate2. Needs ffmpeg on the path, for
openai-whisper's command reads through it, and the recordings of EMOCLI_TEST_DATA. Each figure is of
a process of its own, start of the program and loading of the model and all. Seconds are those of
the processors; texts are compared with those of the first program, without case and marks.

``--earlier FOLDER`` takes a copy of another version of the package into the comparison, and
``--work`` chooses what is heard: utterances of LibriSpeech with their word error rate, the same one
after the other in one long recording, and sounds without speech, where every word is invented.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("EMOCLI_TEST_DATA", ROOT.parent / "shared/data"))
RATE = 16000


def by_openai(weights: Path, beams: int, files: Sequence[Path], out: Path) -> list[str]:
    """The command of openai-whisper."""
    return [
        *(sys.executable, "-m", "whisper", *map(str, files)),
        *("--model", str(weights / "whisper-base.pt"), "--device", "cpu", "--fp16", "False"),
        *("--beam_size", str(beams), "--language", "en"),
        *("--output_format", "json", "--output_dir", str(out)),
    ]


def by_emocli(model: str, *extra: str):
    """The command of this project."""

    def command(weights: Path, beams: int, files: Sequence[Path], out: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "emocli", "transcribe", *map(str, files)),
            *("-m", str(weights / model), "--device", "cpu", "--language", "en"),
            *("--beam-size", str(beams), "-q", "-o", str(out / "table.csv"), *extra),
        ]

    return command


PROGRAMS = {
    "openai-whisper": by_openai,
    "emocli, openai-whisper": by_emocli("whisper-base.pt"),
    "emocli, faster-whisper int8": by_emocli("whisper-base-ct2", "--dtype", "int8"),
    "emocli, faster-whisper": by_emocli("whisper-base-ct2"),
    "earlier emocli": by_emocli("whisper-base.pt"),
}


def texts(out: Path) -> list[str]:
    """What was written for each recording, in the order of their names."""
    if (out / "table.csv").exists():
        with (out / "table.csv").open(newline="", encoding="utf-8") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
        return [row["text"] for row in rows]
    return [json.loads(path.read_text())["text"].strip() for path in sorted(out.glob("*.json"))]


def words(text: str) -> str:
    """A text without case and marks."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("’", "'")).split())


def run(command: list[str], out: Path, package: Path) -> float:
    """Seconds of the processors of a run."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(package)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:8])} ... failed")
    return usage.ru_utime + usage.ru_stime


def speechless(folder: Path) -> list[Path]:
    """Sounds without speech."""
    rng, time = np.random.default_rng(1), np.arange(8 * RATE) / RATE
    tones = {f"tone{hertz}": 0.2 * np.sin(2 * np.pi * hertz * time) for hertz in (120, 440, 1000)}
    sounds = {
        "silence": np.zeros(8 * RATE),
        "hum": 0.1 * np.sign(np.sin(2 * np.pi * 50 * time)),
        "chord": sum(tones.values()) * np.exp(-(time % 1)) / 3,
        "clicks": 0.8 * (np.arange(8 * RATE) % (RATE // 2) == 0),
        "breath": 0.1 * rng.standard_normal(len(time)) * np.sin(time).clip(0) ** 2,
        **tones,
    }
    scale = np.fft.rfftfreq(len(time), 1 / RATE).clip(20)
    for name, exponent in (("white", 0.0), ("pink", 0.5), ("brown", 1.0)):
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(time))) / scale**exponent)
        for level in (0.003, 0.03, 0.3):
            sounds[f"{name}{level}"] = level * noise / np.abs(noise).max()
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.flac", samples, RATE)
    return sorted(folder.glob("*.flac"))


def recordings(scratch: Path, work: str, n_files: int) -> tuple[list[Path], list[str] | None]:
    """What is heard, and what is said in it if that is known."""
    if work == "speechless":
        return speechless(scratch), None
    with (DATA / "librispeech" / "transcripts.csv").open(newline="", encoding="utf-8") as file:
        said = sorted((row["file"], row["reference"]) for row in csv.DictReader(file))[:n_files]
    short = [DATA / "librispeech" / name for name, _ in said]
    if work == "short":
        return short, [text for _, text in said]
    long = scratch / "long.flac"
    soundfile.write(long, np.concatenate([soundfile.read(path)[0] for path in short]), RATE)
    return [long], [" ".join(text for _, text in said)]


def main() -> None:
    """Print a line for each program and kind of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", default=os.environ.get("EMOCLI_REAL_WEIGHTS"))
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--work", nargs="+", default=["short", "long", "speechless"])
    parser.add_argument("--only", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--earlier", type=Path)
    asked = parser.parse_args()
    if asked.weights is None:
        parser.exit(0, "no weights; name their folder, or set EMOCLI_REAL_WEIGHTS\n")
    asked.weights = Path(asked.weights)
    for work in asked.work:
        with tempfile.TemporaryDirectory() as name:
            compare(work, Path(name), asked)


def compare(work: str, scratch: Path, asked: argparse.Namespace) -> None:
    """Run every program once over one kind of work."""
    files, said = recordings(scratch, work, asked.files)
    seconds = sum(soundfile.info(path).duration for path in files)
    sys.stdout.write(f"\n{work}: {len(files)} files, {seconds:.0f} s, beam {asked.beam_size}\n")
    first: list[str] = []
    base = 0.0
    for name in asked.only:
        package = asked.earlier if name == "earlier emocli" else ROOT
        if package is None:
            continue
        command = PROGRAMS[name](asked.weights, asked.beam_size, files, scratch / "out")
        used = run(command, scratch / "out", package)
        found = [words(text) for text in texts(scratch / "out")]
        first, base = first or found, base or used
        same = sum(a == b for a, b in zip(first, found, strict=True))
        told = f"{base / used:5.2f} times  {same} of {len(files)} texts equal"
        if said is None:
            told += f"  {sum(map(bool, found))} invented"
        else:
            told += f"  WER {100 * jiwer.wer([words(one) for one in said], found):.2f} %"
        sys.stdout.write(f"{name:30} {used:8.1f} CPU s  {told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
