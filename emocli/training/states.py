"""The state of a training on disk: there whole or not at all, and read without running anything."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from emocli.errors import RecipeError

# What torch raises for a damaged file, among them its own unpickler's error.
DAMAGED = (
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    EOFError,
    OSError,
    torch.serialization.pickle.UnpicklingError,
)


def write_state(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values so that a crash at any time leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    with partial.open("wb") as stream:
        torch.save(dict(content), stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


@contextmanager
def read_state(path: Path, fingerprint: str, device: torch.device) -> Iterator[dict[str, Any]]:
    """The content of a state; what fails while it is taken over is an error of the file too.

    Args:
        path: that `write_state` wrote.
        fingerprint: that the content must have under ``"fingerprint"``.
        device: where its tensors go.

    Raises:
        RecipeError: the file is damaged or is the state of another training.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        found = content["fingerprint"]
        if found == fingerprint:
            yield content
    except DAMAGED as error:
        raise RecipeError(
            f"{path}: not the state of a training, expected one to go on from. "
            f"Delete it to start anew."
        ) from error
    if found != fingerprint:
        raise RecipeError(
            f"{path}: the state of a training with other settings or data, expected one to go on "
            f"from. Delete its folder to start anew, or choose another output folder."
        )
