"""Features of all recordings, computed once and kept on disk.

A file of frames is named after a hash of the recording's bytes, the settings of the front end and
of the augmentation, and the number of the copy. So a changed recording or setting is computed
anew, a renamed recording is not, and two recipes share what they have in common.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.errors import RecipeError
from emocli.networks.functionals import N_FUNCTIONALS, Functionals
from emocli.networks.functionals import VERSION as FUNCTIONALS_VERSION
from emocli.networks.logmel import FrontEndConfig, LogMelPitch, pad_frames
from emocli.training.augment import augment_waveform
from emocli.training.data import Utterance
from emocli.training.progress import Progress, tell
from emocli.training.recipe import Recipe

VERSION = 1
"""Counts up when the same settings give other features."""
FUNCTIONALS_BATCH = 32

ReadWaveform = Callable[[Path, int], NDArray[np.float32]]
"""Reads a recording as float32 mono at a sampling rate, shape (n_samples,)."""


@dataclass(frozen=True)
class Features:
    """Features of all utterances, as they are and altered.

    Attributes:
        frames: for each copy, the first of which is unaltered, an array of shape
            (n_frames, n_features), float16, per utterance.
        functionals: shape (1 + n_copies, n_utterances, 472), float32.
    """

    frames: tuple[tuple[NDArray[np.float16], ...], ...]
    functionals: NDArray[np.float32]

    @property
    def n_copies(self) -> int:
        """Altered copies."""
        return len(self.frames) - 1


def compute_features(
    utterances: Sequence[Utterance],
    recipe: Recipe,
    cache: Path,
    read_waveform: ReadWaveform,
    progress: Progress | None = None,
) -> Features:
    """Features from the cache, or computed and put there.

    Args:
        utterances: whose recordings to read.
        recipe: names front end, augmentation and seed.
        cache: a folder; made if it is not there.
        read_waveform: reads a recording.
        progress: what to tell, None for nothing.

    Raises:
        AudioError: a recording cannot be read.
        RecipeError: a recording has no sound in it.
    """
    keys = [_keys(_content(utterance.path), recipe) for utterance in utterances]
    front_end = LogMelPitch(recipe.front_end)
    rows: list[list[NDArray[np.float16]]] = []
    for index, (utterance, own) in enumerate(zip(utterances, keys, strict=True)):
        rows.append(_frames(utterance, own, recipe, front_end, cache, read_waveform))
        tell(progress, "features", index + 1, len(utterances))
    frames = tuple(zip(*rows, strict=True))
    functionals = np.stack(
        [
            _cached_functionals(copy, [own[number] for own in keys], recipe.front_end, cache)
            for number, copy in enumerate(frames)
        ]
    )
    return Features(frames, functionals)


def _content(path: Path) -> bytes:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}), expected a recording. Check the file "
            f"column of the table, and --data."
        ) from error


def _keys(content: bytes, recipe: Recipe) -> list[str]:
    """Names of the cache's files for a recording: unaltered, and each altered copy."""
    settings = dataclasses.asdict(recipe.front_end)
    plain = json.dumps([VERSION, settings], sort_keys=True).encode()
    augmentation = dataclasses.asdict(recipe.augmentation)
    del augmentation["copies"]
    keys = [sha256(content + plain).hexdigest()]
    for copy in range(1, recipe.augmentation.copies + 1):
        altered = json.dumps([augmentation, recipe.seed, copy], sort_keys=True).encode()
        keys.append(sha256(content + plain + altered).hexdigest())
    return keys


def _frames(
    utterance: Utterance,
    keys: Sequence[str],
    recipe: Recipe,
    front_end: LogMelPitch,
    cache: Path,
    read_waveform: ReadWaveform,
) -> list[NDArray[np.float16]]:
    paths = [cache / key[:2] / f"{key}.npy" for key in keys]
    if all(path.is_file() for path in paths):
        return [np.load(path) for path in paths]
    waveform = read_waveform(utterance.path, recipe.front_end.sampling_rate)
    found = []
    for copy, (key, path) in enumerate(zip(keys, paths, strict=True)):
        if path.is_file():
            found.append(np.load(path))
            continue
        altered = waveform
        if copy:  # the key is a hash of all that the random numbers may depend on
            rng = np.random.default_rng(int(key, 16))
            rate = recipe.front_end.sampling_rate
            altered = augment_waveform(waveform, rate, rng, recipe.augmentation)
        frames = front_end(torch.from_numpy(altered)).numpy().astype(np.float16)
        if not len(frames):
            raise RecipeError(
                f"{utterance.path}: silent, expected speech to train on. Take it out of the table."
            )
        write_array(path, frames)
        found.append(frames)
    return found


def _cached_functionals(
    frames: Sequence[NDArray[np.float16]], keys: Sequence[str], config: FrontEndConfig, cache: Path
) -> NDArray[np.float32]:
    name = sha256("".join([str(FUNCTIONALS_VERSION), *keys]).encode()).hexdigest()
    path = cache / "functionals" / f"{name}.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    functionals = compute_functionals(frames, Functionals(config))
    write_array(path, functionals)
    return functionals


def compute_functionals(
    frames: Sequence[NDArray[np.float16]], extractor: Functionals
) -> NDArray[np.float32]:
    """Functionals of utterances, shape (n_utterances, 472).

    Args:
        frames: of each utterance, shape (n_frames, n_features).
        extractor: computes them for a batch.
    """
    found = np.empty((len(frames), N_FUNCTIONALS), np.float32)
    by_length = sorted(range(len(frames)), key=lambda index: len(frames[index]))
    for start in range(0, len(frames), FUNCTIONALS_BATCH):
        part = by_length[start : start + FUNCTIONALS_BATCH]
        batch = [torch.from_numpy(frames[index].astype(np.float32)) for index in part]
        found[part] = extractor(*pad_frames(batch)).numpy()
    return found


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write an array so that the file is there whole or not at all.

    Several processes may do so at once, for what they write is the same; what killed ones left of
    the file is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    with partial.open("wb") as stream:
        np.save(stream, array)
    try:
        partial.replace(path)
    except FileNotFoundError:  # another process wrote the file and took this one for a leftover
        if not path.is_file():
            raise
    for left in path.parent.glob(f"{path.stem}.*.tmp"):
        left.unlink(missing_ok=True)
