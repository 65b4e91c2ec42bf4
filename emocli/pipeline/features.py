"""Features of whatever the arguments name: the use case behind ``emocli features``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import FeatureError
from emocli.models.encoders import Encoder
from emocli.pipeline.extract import Extraction, extract
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.progress import ProgressCallback
from emocli.table import FEATURE_PREFIX, PredictionTable
from emocli.table_io import write_table
from emocli.training.sequences import SequenceFolder, Stored

POOLINGS = ("mean", "mean-sd")
LISTING = "files.csv"
"""Name of the table beside the features."""


class PooledFrames:
    """A place for features that keeps one vector of each utterance, in memory.

    Args:
        encoder: whose frames they are.
        pooling: ``mean`` over frames, or ``mean-sd`` for means followed by population standard
            deviations.

    Raises:
        FeatureError: the pooling is none of these.
    """

    def __init__(self, encoder: Encoder, pooling: str) -> None:
        if pooling not in POOLINGS:
            raise FeatureError(
                f"Pooling {pooling!r} is unknown, expected one of {', '.join(POOLINGS)}. "
                f"Choose one of them."
            )
        self._identity, self._pooling = encoder.identity, pooling
        suffixes = ("",) if pooling == "mean" else ("_mean", "_sd")
        self.names = [f"{name}{suffix}" for suffix in suffixes for name in encoder.value_names]
        self._vectors: dict[str, NDArray[np.float64]] = {}
        self._stored: dict[str, Stored] = {}

    def find(self, key: str) -> Stored | None:
        """What is there for a key; None if nothing is."""
        return self._stored.get(key)

    def fault(self, frames: NDArray[np.float32]) -> str:
        """Why frames cannot be pooled; empty if they can."""
        if not len(frames):
            return f"{self._identity.name} gave no frames. Leave the recording out."
        if not np.isfinite(frames).all():
            return f"{self._identity.name} gave values that are no numbers. Compute in fp32."
        return ""

    def write(self, key: str, frames: NDArray[np.float32], note: str = "") -> Stored:
        """Keep the vector of frames of shape (n_frames, dim)."""
        vector = frames.mean(axis=0, dtype=np.float64)
        if self._pooling == "mean-sd":
            vector = np.concatenate([vector, frames.std(axis=0, dtype=np.float64)])
        self._vectors[key] = vector
        self._stored[key] = Stored(len(frames), note)
        return self._stored[key]

    def vectors(self, keys: Sequence[str]) -> NDArray[np.float64]:
        """Vectors of keys, shape (n_keys, dim), NaN where a key is empty."""
        missing = np.full(len(self.names), np.nan)
        rows = [self._vectors[key] if key else missing for key in keys]
        return np.stack(rows) if rows else np.empty((0, len(self.names)))


def store_features(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    folder: Path,
    *,
    dtype: str = "fp32",
    progress: ProgressCallback | None = None,
) -> PredictionTable:
    """Write the sequence of each utterance into a folder, and a table of them beside.

    A recording whose features are there already is not decoded.

    Args:
        utterances: what to encode.
        encoder: of recordings or texts.
        folder: for this encoder alone; made if it is not there.
        dtype: ``fp32`` or ``fp16``, of the files.
        progress: called with how far the run has come.

    Returns:
        The table, which is also in ``files.csv``: the columns ``features`` (path of the
        safetensors file from the folder; its tensor is ``frames``) and ``n_frames``, or ``error``.

    Raises:
        FeatureError: the folder holds features of another encoder, or cannot be written.
    """
    place = SequenceFolder(folder, encoder.identity, dtype)
    found = extract(utterances, encoder, place, progress=progress)
    paths = [place.path(key).relative_to(folder).as_posix() if key else "" for key in found.keys]
    counts = [str(n) if key else "" for key, n in zip(found.keys, found.lengths, strict=True)]
    table = _table(utterances, encoder, found, {"features": paths, "n_frames": counts})
    write_table(table, str(folder / LISTING), "csv")
    return table


def pool_features(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    pooling: str = "mean",
    *,
    folder: str = "",
    progress: ProgressCallback | None = None,
) -> PredictionTable:
    """A vector of each utterance, in columns ``feature.NAME``, see `Encoder.value_names`.

    Args:
        utterances: what to encode.
        encoder: of recordings or texts.
        pooling: ``mean`` or ``mean-sd``, see `PooledFrames`.
        folder: what relative paths of the utterances start from, for the table.
        progress: called with how far the run has come.

    Raises:
        FeatureError: the pooling is unknown.
    """
    place = PooledFrames(encoder, pooling)
    found = extract(utterances, encoder, place, progress=progress)
    vectors = place.vectors(found.keys)
    columns = {f"{FEATURE_PREFIX}{name}": vectors[:, i] for i, name in enumerate(place.names)}
    return _table(utterances, encoder, found, columns, folder)


def _table(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    found: Extraction,
    columns: dict[str, Any],
    folder: str = "",
) -> PredictionTable:
    """Utterances with what they came to."""
    identity = encoder.identity
    at = f"@{identity.revision[:12]}" if identity.revision else ""
    name = f"{identity.name}{at}:{identity.layer}"
    carried = dict.fromkeys(key for one in utterances for key in one.carried)
    indices = range(len(utterances))
    return PredictionTable.from_columns(
        {
            "file": [one.file for one in utterances],
            "start": [one.start for one in utterances],
            "end": [one.end for one in utterances],
            "model": [name] * len(utterances),
            **{key: [one.carried.get(key) for one in utterances] for key in carried},
            **columns,
            "note": [found.notes.get(index, "") for index in indices],
            "error": [found.errors.get(index, "") for index in indices],
        },
        folder=folder,
        name="the features",
    )
