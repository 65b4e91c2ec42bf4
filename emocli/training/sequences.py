"""Sequences of features on disk: one file each, and never two encoders in one folder.

A file is named after a hash of what it was computed from, so a changed recording is computed anew
and a renamed one is not. It is written beside its place and then moved there, so that it is whole
or not at all; whatever else is found there, after a power cut say, is computed again.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import FeatureError
from emocli.tensors import dump_tensors

MANIFEST = "encoder.json"
PARTIAL = "partial"
TENSOR = "frames"
FORMAT = 1
"""Counts up when files are laid out otherwise."""
DTYPES = {"fp32": "F32", "fp16": "F16"}
"""Number formats on disk, and what safetensors calls them."""
LARGEST_FP16 = 65504.0
_STALE_SECONDS = 86400.0
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Stored:
    """What a file says of itself.

    Attributes:
        n_frames: frames in it.
        note: doubts about the utterance, and what the encoder did not take in.
    """

    n_frames: int
    note: str = ""


class Opens(Protocol):
    """What has content to open: a `pathlib.Path`, or a place in a store."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Its content."""
        ...


def recording_key(
    path: Opens, start: float | None = None, end: float | None = None, *, part: str = ""
) -> str:
    """The name of a recording's features: a hash of its bytes and of what of it is heard.

    Args:
        path: where it is.
        start: seconds at which the segment starts; None for the beginning.
        end: seconds at which the segment ends; None for the end.
        part: channel and track, empty for all.

    Raises:
        OSError: it cannot be read.
    """
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if start is not None or end is not None:
        digest.update(json.dumps([start, end]).encode())
    if part:
        digest.update(part.encode())
    return digest.hexdigest()


def text_key(text: str) -> str:
    """The name of a text's features."""
    return sha256(b"text\0" + text.encode("utf-8", errors="surrogatepass")).hexdigest()


class SequenceFolder:
    """A folder with the sequences of one encoder in one number format.

    Args:
        folder: made if it is not there.
        identity: of the encoder.
        dtype: ``fp32`` or ``fp16``, of the files.

    Raises:
        FeatureError: the folder holds features of another encoder or in another format, or
            cannot be written.
    """

    def __init__(self, folder: Path, identity: EncoderIdentity, dtype: str = "fp32") -> None:
        if dtype not in DTYPES:
            raise FeatureError(
                f"Number format {dtype!r} of features is unknown, expected one of "
                f"{', '.join(DTYPES)}. Choose one of them."
            )
        self.folder, self.identity, self.dtype = folder, identity, dtype
        try:
            (folder / PARTIAL).mkdir(parents=True, exist_ok=True)
            self._remove_stale()
            if (folder / MANIFEST).exists():
                self._check_manifest()
            else:
                facts = {"format": FORMAT, "dtype": dtype, "encoder": identity.facts()}
                self._write(folder / MANIFEST, json.dumps(facts, indent=2).encode())
        except OSError as error:
            raise self._unwritable(error) from error

    def path(self, key: str) -> Path:
        """Where the features of a key are, or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def find(self, key: str) -> Stored | None:
        """What is there for a key; None if nothing whole is."""
        path = self.path(key)
        try:
            with path.open("rb") as file:
                n_bytes = int.from_bytes(file.read(8), "little")
                if n_bytes > _MAX_HEADER_BYTES:
                    return None
                header = json.loads(file.read(n_bytes))
                size = os.fstat(file.fileno()).st_size
            entry = header[TENSOR]
            n_frames, dim = entry["shape"]
            is_whole = size == 8 + n_bytes + entry["data_offsets"][1]
            if not is_whole or (entry["dtype"], dim) != (DTYPES[self.dtype], self.identity.dim):
                return None
            return Stored(n_frames, header.get("__metadata__", {}).get("note", ""))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, key: str, frames: NDArray[np.float32], note: str = "") -> Stored:
        """Put the features of a key in their place.

        Args:
            key: see `recording_key` and `text_key`.
            frames: shape (n_frames, dim).
            note: doubts about the utterance, and what the encoder did not take in.

        Raises:
            FeatureError: the frames have a `fault`, or there is no space.
        """
        fault = self.fault(frames)
        if fault:
            raise FeatureError(fault)
        kind = np.float16 if self.dtype == "fp16" else np.float32
        path = self.path(key)
        try:
            path.parent.mkdir(exist_ok=True)
            self._write(path, dump_tensors({TENSOR: frames.astype(kind)}, {"note": note}))
        except OSError as error:
            raise self._unwritable(error) from error
        return Stored(len(frames), note)

    def fault(self, frames: NDArray[np.float32]) -> str:
        """Why frames cannot be kept; empty if they can."""
        name, largest = self.identity.name, float(np.abs(frames).max(initial=0.0))
        if frames.ndim != 2 or frames.shape[1] != self.identity.dim:
            return (
                f"{name} gave an array of shape {frames.shape}, expected {self.identity.dim} "
                f"values per frame. Use another encoder."
            )
        if not np.isfinite(largest):
            return f"{name} gave values that are no numbers. Compute in fp32."
        if self.dtype == "fp16" and largest > LARGEST_FP16:
            return (
                f"{name} gave a value of {largest:.0f}, more than the {LARGEST_FP16:.0f} that fp16 "
                f"holds. Store in fp32."
            )
        return ""

    def read(self, key: str) -> NDArray[np.float32]:
        """Features of a key, shape (n_frames, dim).

        Raises:
            FeatureError: there are none, or the file is damaged.
        """
        if self.find(key) is None:
            raise FeatureError(
                f"{self.path(key)}: no features of {self.identity} there. Extract them again."
            )
        return load_file(self.path(key))[TENSOR].astype(np.float32)

    def _partial(self, key: str) -> Path:
        return self.folder / PARTIAL / f"{key}.{os.getpid()}"

    def _write(self, path: Path, content: bytes) -> None:
        partial = self._partial(path.name)
        partial.write_bytes(content)
        os.replace(partial, path)

    def _remove_stale(self) -> None:
        """Remove what runs that were killed left half-written, a day later."""
        for path in (self.folder / PARTIAL).iterdir():
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink(missing_ok=True)

    def _check_manifest(self) -> None:
        held, dtype = read_manifest(self.folder)
        if held != self.identity:
            raise FeatureError(
                f"{self.folder} holds features of {held}, expected {self.identity}. Features of "
                f"different encoders, layers or settings are not mixed; choose another folder."
            )
        if dtype != self.dtype:
            raise FeatureError(
                f"{self.folder} holds features in {dtype}, expected {self.dtype}. Choose another "
                f"folder, or the same number format."
            )

    def _unwritable(self, error: OSError) -> FeatureError:
        return FeatureError(
            f"{self.folder} cannot hold features ({error.strerror or error}). "
            f"Choose a folder that can be written and has space."
        )


def read_manifest(folder: Path) -> tuple[EncoderIdentity, str]:
    """The encoder and the number format of a folder.

    Raises:
        FeatureError: the folder has none, or one that cannot be read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT or content["dtype"] not in DTYPES:
            raise ValueError("another format")
        return EncoderIdentity.from_facts(content["encoder"]), content["dtype"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FeatureError(
            f"{path} does not say which encoder the features are of. "
            f"Choose a folder that emocli has written features to, or an empty one."
        ) from error


@dataclass(frozen=True)
class SequenceStore:
    """Sequences of some utterances, on disk and read one at a time.

    Attributes:
        folder: where they are.
        keys: of each utterance; empty where it has none.
        lengths: frames of each utterance, shape (n_utterances,); 0 where it has none.
        errors: why an utterance has none, by its place.
        notes: doubts about an utterance, and what the encoder did not take in, by its place.
    """

    folder: SequenceFolder
    keys: Sequence[str]
    lengths: NDArray[np.intp]
    errors: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the frames."""
        return self.folder.identity

    @property
    def dim(self) -> int:
        """Values per frame."""
        return self.folder.identity.dim

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """Which utterances have features, shape (n_utterances,)."""
        return np.array([bool(key) for key in self.keys])

    def load(self, index: int) -> NDArray[np.float32]:
        """Frames of an utterance, shape (n_frames, dim).

        Raises:
            FeatureError: it has none, or the file was damaged or removed.
        """
        if not self.keys[index]:
            raise FeatureError(
                f"Utterance {index} has no features: {self.errors[index]} Leave it out."
            )
        return self.folder.read(self.keys[index])
