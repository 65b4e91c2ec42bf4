"""How fast speech models are on this CPU, beside the pipeline of transformers, in one run.

    python tests/benchmarks/speed_cpu.py [FAMILY...] [--clips N]

FAMILY is wav2vec2-base, hubert-base, wavlm-base or wavlm-large, by default the first. Weights are
random, which cost what real ones cost; clips are noise of 1 to 12 s. Each way is timed twice, in
turn with the others, and the quicker round counts. Matrix products of the size of a feed-forward
block are timed in the same turns. Besides the clock the table has seconds of processors, which
tell more on a machine that others use as well.
"""

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from emocli.models.devices import cpu_has_bf16
from emocli.models.registry import resolve

RATE = 16000
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2-base": ("wav2vec2", {}),
    "hubert-base": ("hubert", {}),
    "wavlm-base": ("wavlm", {}),
    "wavlm-large": ("wavlm", LARGE),
}
LABELS = {0: "neutral", 1: "happy", 2: "angry", 3: "sad"}
N_ROUNDS = 2
SIDE, N_PRODUCTS = 2048, 4


def save(folder: Path, kind: str, facts: dict[str, Any]) -> None:
    """A checkpoint with random weights."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, id2label=LABELS, **facts)
    transformers.AutoModelForAudioClassification.from_config(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def with_pipeline(folder: Path, clips: list[Any], batch_size: int) -> Callable[[], Any]:
    """The pipeline of transformers over all clips."""
    pipe = transformers.pipeline("audio-classification", model=str(folder), device="cpu")
    return lambda: list(pipe([clip.copy() for clip in clips], batch_size=batch_size))


def with_emocli(folder: Path, clips: list[Any], engine: str, dtype: str) -> Callable[[], Any]:
    """A recogniser over all clips."""
    model = resolve(str(folder), device="cpu", engine=engine, dtype=dtype)
    return lambda: model.logits(clips)


def products(dtype: torch.dtype) -> Callable[[], Any]:
    """Matrix products alone."""
    left = torch.randn(SIDE, SIDE).to(dtype)
    right = torch.randn(SIDE, SIDE).to(dtype)
    return lambda: [left @ right for _ in range(N_PRODUCTS)]


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds on the clock and of processors."""
    clock, processors = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - processors


def ways_of(folder: Path, clips: list[Any]) -> dict[str, Callable[[], Any]]:
    """All ways that this machine has."""
    precisions = ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]
    ways = {f"transformers pipeline, batch {n}": with_pipeline(folder, clips, n) for n in (1, 8)}
    for engine in ("torch", "openvino"):
        for dtype in precisions:
            ways[f"emocli, {engine} {dtype}"] = with_emocli(folder, clips, engine, dtype)
    for dtype in precisions:
        ways[f"matrices {dtype}"] = products(torch.bfloat16 if dtype == "bf16" else torch.float32)
    return ways


def measure(family: str, n_clips: int) -> None:
    """Print the table of one family."""
    rng = np.random.default_rng(0)
    lengths = np.linspace(1, 12, n_clips)
    clips = [rng.normal(0, 0.1, round(RATE * one)).astype(np.float32) for one in lengths]
    seconds = float(sum(map(len, clips)) / RATE)
    with tempfile.TemporaryDirectory() as name:
        os.environ["EMOCLI_CACHE"] = name
        folder = Path(name) / family
        save(folder, *FAMILIES[family])
        ways = ways_of(folder, clips)
        rounds = [{way: timed(action) for way, action in ways.items()} for _ in range(N_ROUNDS)]
    best = {way: [min(times) for times in zip(*(r[way] for r in rounds), strict=True)]
            for way in ways}  # fmt: skip
    rival = min(times[0] for way, times in best.items() if "pipeline" in way)
    rival_processors = min(times[1] for way, times in best.items() if "pipeline" in way)
    write = sys.stdout.write
    write(f"{family}: {n_clips} clips, {seconds:.0f} s; {os.cpu_count()} cores\n")
    write(f"{'':34}{'s/s':>8}{'x best':>8}{'s/cpu s':>9}{'x best':>8}\n")
    for way, (clock, processors) in best.items():
        if way.startswith("matrices"):
            rate = N_PRODUCTS * 2 * SIDE**3 / 1e9
            write(f"{way:34}{rate / clock:8.0f} GFLOP/s\n")
            continue
        write(
            f"{way:34}{seconds / clock:8.1f}{rival / clock:8.2f}"
            f"{seconds / processors:9.1f}{rival_processors / processors:8.2f}\n"
        )
    if not cpu_has_bf16():
        write("This CPU has no bf16 units, so nothing was measured in bf16.\n")


def main() -> None:
    """Print a table for each family."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", nargs="*", default=["wav2vec2-base"])
    parser.add_argument("--clips", type=int, default=32)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    for family in given.family:
        measure(family, given.clips)


if __name__ == "__main__":
    main()
