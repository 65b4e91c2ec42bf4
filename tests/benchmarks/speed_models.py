"""How fast speech models are here, beside the pipeline of transformers, in one run.

    python tests/benchmarks/speed_models.py [FAMILY...] [--device cpu|cuda] [--clips N]

FAMILY is wav2vec2-base, hubert-base, wavlm-base or wavlm-large, by default the first. Weights are
random, which cost what real ones cost; clips are noise of 1 to 12 s. Each way is timed twice, in
turn with the others, and the quicker round counts. Besides the clock the table has seconds of
processors, which tell more on a machine that others use as well, and how far the posteriors are
from those of torch in fp32 on the CPU. Matrix products of 2048 x 2048 (on a GPU 8192 x 8192) are
timed in the same turns: they are the limit of what the machine can do. OpenVINO has its rows where
it is installed.

On a GPU the pipeline has four batch sizes in fp32 and bf16, and emocli a row for each of several
batch sizes beside the one that it chooses itself.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from emocli.models.devices import choose_device, has_bf16
from emocli.models.registry import resolve
from emocli.posteriors import softmax

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
SIDE = {"cpu": 2048, "cuda": 8192}
N_PRODUCTS = 4
PIPELINE_BATCHES = {"cpu": (1, 8), "cuda": (1, 8, 32, 128)}
BATCHES = (1, 8, 32, 128)
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}

Clips = list[NDArray[np.float32]]
Way = Callable[[], Any]


@dataclass(frozen=True)
class Task:
    """What is to be classified, by what, and where.

    Attributes:
        folder: a checkpoint.
        clips: waveforms of 16 kHz.
        device: where to compute.
        formats: number formats that the device has units for.
    """

    folder: Path
    clips: Clips
    device: torch.device
    formats: tuple[str, ...]


def save(folder: Path, kind: str, facts: dict[str, Any]) -> None:
    """A checkpoint with random weights."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, id2label=LABELS, **facts)
    transformers.AutoModelForAudioClassification.from_config(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def noise(n_clips: int) -> Clips:
    """Clips of 1 to 12 s."""
    rng = np.random.default_rng(0)
    lengths = np.linspace(1, 12, n_clips)
    return [rng.normal(0, 0.1, round(RATE * one)).astype(np.float32) for one in lengths]


def with_pipeline(task: Task, batch_size: int, dtype: str = "fp32") -> Way:
    """The pipeline of transformers over all clips."""
    pipe = transformers.pipeline(
        "audio-classification",
        model=str(task.folder),
        device=task.device,
        dtype=FORMATS[dtype],
        top_k=None,
    )

    def classify() -> NDArray[np.float64]:
        answers = pipe([clip.copy() for clip in task.clips], batch_size=batch_size)
        rows = [{one["label"]: one["score"] for one in answer} for answer in answers]
        return np.array([[row[label] for label in LABELS.values()] for row in rows])

    return classify


def with_emocli(task: Task, engine: str, dtype: str, batch_size: int | None = None) -> Way:
    """A recogniser over all clips."""
    model = resolve(
        str(task.folder),
        device=str(task.device),
        engine=engine,
        dtype=dtype,
        batch_size=batch_size,
    )
    places = [model.card.labels.index(label) for label in LABELS.values()]
    return lambda: softmax(model.logits(task.clips))[:, places]


def products(device: torch.device, dtype: str) -> Way:
    """Matrix products alone."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device).to(FORMATS[dtype]) for _ in range(2))
    return lambda: [left @ right for _ in range(N_PRODUCTS)]


def ways_of(task: Task) -> dict[str, Way]:
    """All ways that this machine has."""
    on_gpu = task.device.type == "cuda"
    with_openvino = not on_gpu and importlib.util.find_spec("openvino") is not None
    ways: dict[str, Way] = {}
    for dtype in task.formats if on_gpu else ("fp32",):
        for size in PIPELINE_BATCHES[task.device.type]:
            ways[f"pipeline {dtype}, batch {size}"] = with_pipeline(task, size, dtype)
    for dtype in task.formats:
        for engine in ("torch", "openvino") if with_openvino else ("torch",):
            ways[f"emocli, {engine} {dtype}"] = with_emocli(task, engine, dtype)
    for size in BATCHES if on_gpu else ():
        last = task.formats[-1]
        ways[f"emocli, torch {last}, batch {size}"] = with_emocli(task, "torch", last, size)
    for dtype in task.formats:
        ways[f"matrices {dtype}"] = products(task.device, dtype)
    return ways


def timed(action: Way, device: torch.device) -> tuple[float, float, Any]:
    """Seconds on the clock and of processors, and what came of it."""
    clock, processors = time.perf_counter(), time.process_time()
    result = action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - clock, time.process_time() - processors, result


def measure(family: str, task: Task) -> None:
    """Print the table of one family."""
    save(task.folder, *FAMILIES[family])
    ways = ways_of(task)
    truth = with_emocli(Task(task.folder, task.clips, torch.device("cpu"), ()), "torch", "fp32")()
    rounds = [
        {way: timed(action, task.device) for way, action in ways.items()} for _ in range(N_ROUNDS)
    ]
    best = {way: min((one[way] for one in rounds), key=lambda found: found[0]) for way in ways}
    rival = min(found[0] for way, found in best.items() if way.startswith("pipeline"))
    rival_cpu = min(found[1] for way, found in best.items() if way.startswith("pipeline"))
    seconds = sum(map(len, task.clips)) / RATE
    write = sys.stdout.write
    write(f"{family}: {len(task.clips)} clips, {seconds:.0f} s; {place(task.device)}\n")
    write(f"{'':30}{'s/s':>8}{'x best':>8}{'s/cpu s':>9}{'x best':>8}{'apart':>9}\n")
    for way, (clock, processors, result) in best.items():
        if way.startswith("matrices"):
            rate = N_PRODUCTS * 2 * SIDE[task.device.type] ** 3 / 1e9
            write(f"{way:30}{rate / clock:8.0f} GFLOP/s\n")
            continue
        apart = np.abs(result - truth).max()
        write(
            f"{way:30}{seconds / clock:8.1f}{rival / clock:8.2f}"
            f"{seconds / processors:9.1f}{rival_cpu / processors:8.2f}{apart:9.0e}\n"
        )


def place(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores {'with' if has_bf16(device) else 'without'} units for bf16"


def main() -> None:
    """Print a table for each family."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", nargs="*", default=["wav2vec2-base"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--clips", type=int, default=32)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here, so nothing was measured on one.")
    device = choose_device(given.device)
    formats = ("fp32", "bf16") if has_bf16(device) else ("fp32",)
    for family in given.family:
        with tempfile.TemporaryDirectory() as name:
            os.environ["EMOCLI_CACHE"] = name
            measure(family, Task(Path(name) / family, noise(given.clips), device, formats))


if __name__ == "__main__":
    main()
