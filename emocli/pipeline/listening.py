"""One listening to all recordings before a training: what their samples are, and how long."""

import json
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emocli.audio.decode import WaveformStream
from emocli.errors import RecipeError
from emocli.models.speech_features import CorpusNorm
from emocli.training.examples import Examples
from emocli.training.progress import Progress, tell


@dataclass(frozen=True)
class Heard:
    """What one listening to all recordings tells.

    Attributes:
        norm: mean and deviation over all samples of the training recordings, before cutting.
        n_cut: recordings of each part that are longer than the recipe hears.
        seconds: of each part, whole.
    """

    norm: CorpusNorm
    n_cut: Mapping[str, int]
    seconds: Mapping[str, float]


def read_beginning(
    examples: Examples, place: int, sampling_rate: int, limit: int | None
) -> NDArray[np.float32]:
    """A recording, at most a number of its first samples.

    Args:
        examples: names it.
        place: of it among the examples.
        sampling_rate: Hz.
        limit: samples; None for all.

    Raises:
        AudioError: it cannot be read.
    """
    blocks, n_samples = [], 0
    for block in _stream(examples, place, sampling_rate):
        blocks.append(block)
        n_samples += len(block)
        if limit is not None and n_samples >= limit:
            break
    return np.concatenate(blocks)[:limit]


def _stream(examples: Examples, place: int, sampling_rate: int) -> WaveformStream:
    start, end = examples.starts[place], examples.ends[place]
    return WaveformStream(
        examples.paths[place],
        sampling_rate,
        start=None if math.isnan(start) else float(start),
        stop=None if math.isnan(end) else float(end),
        name=examples.files[place],
    )


def listen(
    examples: Examples,
    table: str,
    sampling_rate: int,
    crop_seconds: float,
    *,
    kept: Path,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> Heard:
    """Mean and deviation of the training recordings, and how long all are.

    Recordings of the development set are heard too, so that one that cannot be read is known
    before hours of training.

    Args:
        examples: whose recordings to hear.
        table: where they are from, for messages.
        sampling_rate: Hz to hear them at.
        crop_seconds: what will be heard of each; 0 for all.
        kept: file of what an earlier listening told; written if there is none.
        n_workers: threads.
        progress: what to tell.

    Raises:
        AudioError: a recording cannot be read.
        RecipeError: all are silent.
    """
    key = f"{examples.identity} {sampling_rate} {crop_seconds}"
    found = _kept(kept, key)
    if found is not None:
        return found
    heard = _hear(examples, table, sampling_rate, crop_seconds, n_workers, progress)
    kept.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "key": key,
        "mean": heard.norm.mean,
        "std": heard.norm.std,
        "n_cut": heard.n_cut,
        "seconds": heard.seconds,
    }
    kept.write_text(json.dumps(content), "utf-8")
    return heard


def _hear(
    examples: Examples,
    table: str,
    sampling_rate: int,
    crop_seconds: float,
    n_workers: int,
    progress: Progress | None,
) -> Heard:
    n_cut, seconds = {"train": 0, "dev": 0}, {"train": 0.0, "dev": 0.0}
    limit = crop_seconds * sampling_rate or math.inf
    places = [(part, place) for part in n_cut for place in examples.parts[part]]
    total = _Moments()

    def moments_of(one: tuple[str, int]) -> _Moments:
        return _Moments.of(_stream(examples, one[1], sampling_rate))

    with ThreadPoolExecutor(n_workers) as pool:
        for done, moments in enumerate(pool.map(moments_of, places)):
            tell(progress, "listening", done, len(places))
            part = places[done][0]
            seconds[part] += moments.n / sampling_rate
            n_cut[part] += moments.n > limit
            total = total + moments if part == "train" else total
    tell(progress, "listening", len(places), len(places))
    std = math.sqrt(total.squares / max(1, total.n))
    if std == 0:
        raise RecipeError(
            f"{table}: all training recordings are silent, expected some sound. Check the "
            f"recordings."
        )
    return Heard(CorpusNorm(total.mean, std), n_cut, seconds)


def _kept(path: Path, key: str) -> Heard | None:
    """What an earlier listening to the same recordings told; None if there was none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["key"] != key:
            return None
        norm = CorpusNorm(content["mean"], content["std"])
        return Heard(norm, content["n_cut"], content["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class _Moments:
    """Number, mean and sum of squared deviations of samples, which add up without loss."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, stream: WaveformStream) -> "_Moments":
        """The moments of a recording, block by block."""
        total = cls()
        for block in stream:
            if len(block):
                wide = block.astype(np.float64)
                mean = float(wide.mean())
                total = total + cls(len(block), mean, float(np.square(wide - mean).sum()))
        return total

    def __add__(self, other: "_Moments") -> "_Moments":
        """Moments of both together (Chan et al. 1979)."""
        n = self.n + other.n
        if not n:
            return self
        gap = other.mean - self.mean
        return _Moments(
            n,
            self.mean + gap * other.n / n,
            self.squares + other.squares + gap * gap * self.n * other.n / n,
        )
