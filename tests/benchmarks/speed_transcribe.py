"""How fast recordings are written down, beside openai-whisper's own command.

    python tests/benchmarks/speed_transcribe.py [--size base] [--beam-size 5] [--files 20]

Needs openai-whisper, faster-whisper, ffmpeg on the path (openai-whisper's command reads through
it; ``pip install imageio-ffmpeg`` has one) and the recordings of EMOCLI_TEST_DATA. Each figure is
of a process of its own, start of the program and loading of the model and all, and the commands
take turns:

    whisper FILES --model random.pt --beam_size 5 --condition_on_previous_text False
    emocli transcribe FILES -m random.pt --beam-size 5 --no-condition-on-previous-text

The weights are random, in a published size, for these cost what real ones cost. But how long a
text is decides how often the decoder runs, so the text must be the same for all. It is: the
embeddings of the decoder's positions, which dwarf what the blocks add to them, point at one token
of a fixed text each. Every window of every recording is written down as that text, with its times
and its end, by unchanged programs under their usual rules. What the benchmark prints of the texts
is checked: all must be that one.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
import whisper
from whisper.tokenizer import get_tokenizer

DATA = Path(os.environ.get("EMOCLI_TEST_DATA", Path(__file__).parents[2].parent / "shared/data"))
DIMS = {"tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12)}
"""Width, heads and layers of the published sizes."""

TEXT = " He had not seen the harbour for eleven years, and nothing in it was where he had left it."
LONG_SECONDS = 180.0


def write_checkpoint(path: Path, size: str) -> None:
    """A random checkpoint that writes `TEXT` for every window."""
    width, n_heads, n_layers = DIMS[size]
    dims = whisper.model.ModelDimensions(
        **{"n_mels": 80, "n_audio_ctx": 1500, "n_vocab": 51865, "n_text_ctx": 448},
        **{"n_audio_state": width, "n_audio_head": n_heads, "n_audio_layer": n_layers},
        **{"n_text_state": width, "n_text_head": n_heads, "n_text_layer": n_layers},
    )
    torch.manual_seed(0)
    model = whisper.model.Whisper(dims)
    words = get_tokenizer(True, num_languages=99)
    zero = words.timestamp_begin
    said = [zero, *words.encode(TEXT), zero + 250, words.eot]
    first = [words.to_language_token("en"), words.transcribe]  # what stands at positions 1 and 2
    with torch.no_grad():
        tokens = model.decoder.token_embedding.weight.normal_(std=0.05)
        positions = model.decoder.positional_embedding.normal_(std=0.05)
        for position, token in enumerate([*first, *said]):
            positions[position] = 100 * tokens[token]
    torch.save({"dims": vars(dims), "model_state_dict": model.state_dict()}, path)


def by_openai(files: Sequence[Path], model: Path, beams: int, out: Path) -> list[str]:
    """The command of openai-whisper."""
    return [
        *(sys.executable, "-m", "whisper", *map(str, files), "--model", str(model)),
        *("--beam_size", str(beams), "--condition_on_previous_text", "False", "--device", "cpu"),
        *("--fp16", "False", "--output_format", "json", "--output_dir", str(out)),
    ]


Command = Callable[[Sequence[Path], Path, int, Path], list[str]]


def by_emocli(*extra: str) -> Command:
    """The command of this project, with further options."""

    def command(files: Sequence[Path], model: Path, beams: int, out: Path) -> list[str]:
        return [
            *(sys.executable, "-m", "emocli", "transcribe", *map(str, files), "-m", str(model)),
            *("--beam-size", str(beams), "--no-condition-on-previous-text", "--device", "cpu"),
            *("-q", "-o", str(out / "table.csv"), *extra),
        ]

    return command


PROGRAMS = {
    "openai-whisper": by_openai,
    "emocli": by_emocli(),
    "emocli --backend faster-whisper, int8": by_emocli("--backend", "faster-whisper"),
    "emocli --backend faster-whisper, fp32": by_emocli(
        "--backend", "faster-whisper", "--dtype", "fp32"
    ),
}


def texts(out: Path) -> list[str]:
    """What was written for each recording."""
    if (out / "table.csv").exists():
        with (out / "table.csv").open(newline="") as file:
            return [row["text"] for row in csv.DictReader(file)]
    return [json.loads(path.read_text())["text"].strip() for path in sorted(out.glob("*.json"))]


def run(command: list[str], out: Path, n_windows: Sequence[int]) -> tuple[float, float]:
    """Seconds on the clock and of the processors, of a run whose texts are as they must be."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    clock = time.perf_counter() - started
    if process.returncode or os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command[:8])} ... failed")
    if texts(out) != [(TEXT * n).strip() for n in n_windows]:
        raise SystemExit(f"{' '.join(command[:8])} ... wrote another text: {texts(out)}")
    return clock, usage.ru_utime + usage.ru_stime


def recordings(scratch: Path, n_files: int) -> dict[str, list[Path]]:
    """Recordings to write down: one, a folder, and a long one."""
    short = sorted((DATA / "librispeech").glob("*.flac"))[:n_files]
    samples, rate = [], 16000
    while sum(map(len, samples)) < LONG_SECONDS * rate:
        samples.append(soundfile.read(short[len(samples) % len(short)])[0])
    long = scratch / "long.flac"
    soundfile.write(long, np.concatenate(samples)[: round(LONG_SECONDS * rate)], rate)
    return {"one": [DATA / "jfk.flac"], "folder": short, "long": [long]}


def main() -> None:
    """Print seconds for each program and kind of work, and how they compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="base", choices=DIMS)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", nargs="+", default=["one", "folder", "long"])
    parser.add_argument("--only", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    asked = parser.parse_args()
    programs = {name: PROGRAMS[name] for name in asked.only}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = scratch / "random.pt"
        write_checkpoint(model, asked.size)
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        for work, files in recordings(scratch, asked.files).items():
            if work in asked.work:
                compare(work, files, model, asked, programs, scratch / "out")


def compare(
    work: str,
    files: Sequence[Path],
    model: Path,
    asked: argparse.Namespace,
    programs: dict[str, Command],
    out: Path,
) -> None:
    """Run every program in turn, once to warm up, and print a table."""
    lengths = [soundfile.info(path).duration for path in files]
    n_windows = [int(-(-length // 30)) for length in lengths]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(asked.runs + 1):
        for name, make in programs.items():
            command = make(files, model, asked.beam_size, out)
            times[name].append(run(command, out, n_windows))
    sys.stdout.write(
        f"\n{work}: {len(files)} recordings, {sum(lengths):.0f} s, {sum(n_windows)} windows; "
        f"whisper-{asked.size}, beam {asked.beam_size}; {len(os.sched_getaffinity(0))} cores; "
        f"median of {asked.runs} runs\n"
    )
    base = None
    for name, runs in times.items():
        clock, processors = (statistics.median(one) for one in zip(*runs[1:], strict=True))
        base = base or clock
        sys.stdout.write(
            f"{name:40} {clock:7.2f} s  {processors:7.2f} s of processors  "
            f"{base / clock:5.2f} times\n"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
