"""From the name of a Whisper model to the model.

A name is one of

    tiny, base, small, medium, large, turbo        a published size, also .en, -v1, -v2, -v3
    hf:owner/name[@revision] or owner/name         a Whisper checkpoint of the hub
    a file ending in .pt                           a checkpoint of openai-whisper
    a folder                                       one of either kind

A size is looked for in the folder of openai-whisper and then in the cache of the hub, and fetched
from the hub if it is in neither.
"""

import hashlib
import os
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from emocli.errors import MissingDependency, ModelError, ModelUnavailable
from emocli.models import hub, registry
from emocli.models.checkpoint import Checkpoint
from emocli.models.protocol import ModelCard
from emocli.models.whisper import SAMPLING_RATE, Transcriber, WhisperTranscriber

if TYPE_CHECKING:
    import torch

PUBLISHED = {
    **{size: size for size in ("tiny", "base", "small", "medium")},
    **{f"{size}.en": f"{size}.en" for size in ("tiny", "base", "small", "medium")},
    **{f"large-v{version}": f"large-v{version}" for version in (1, 2, 3)},
    "large": "large-v3",
    "large-v3-turbo": "large-v3-turbo",
    "turbo": "large-v3-turbo",
}
"""Sizes that a user may name, and what their files are called."""

PAPER = "Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision"


def resolve_transcriber(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    model_dir: str | os.PathLike[str] | None = None,
) -> Transcriber:
    """The Whisper model of a name, loaded.

    Args:
        name: see the module's docstring.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` (fp32), ``fp32``, ``bf16`` or ``fp16``.
        offline: use only what is on this machine.
        model_dir: where openai-whisper's ``.pt`` files are; its own cache by default.

    Raises:
        ModelError: no model has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
        MissingDependency: it needs openai-whisper.
    """
    path = Path(name).expanduser()
    if name in PUBLISHED:
        return _load_size(name, device, dtype, offline, model_dir)
    if not name.startswith("hf:") and path.exists():
        return _load_path(name, path, device, dtype)
    if "/" not in name:
        raise _unknown(name)
    reference = registry.find(name)
    folder = registry.local_folder(reference, offline=offline)
    return _load_folder(Checkpoint(folder, reference.name, folder.name), device, dtype)


def checkpoint_dir() -> Path:
    """Folder in which openai-whisper keeps its checkpoints."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "whisper"


def _load_size(
    size: str, device: str, dtype: str, offline: bool, model_dir: str | os.PathLike[str] | None
) -> Transcriber:
    published = PUBLISHED[size]
    folder = Path(model_dir).expanduser() if model_dir is not None else checkpoint_dir()
    path = folder / f"{published}.pt"
    if path.is_file() and _has_package():
        return _load_pt(path, f"whisper-{published}", device, dtype, size=published)
    name = f"openai/whisper-{published}"
    snapshot = hub.find_cached(name)
    if snapshot is None and path.is_file():
        raise _needs_package(path)
    if snapshot is None:
        snapshot = _fetch(published, name, path, offline)
    return _load_folder(Checkpoint(snapshot, name, snapshot.name), device, dtype)


def _fetch(published: str, name: str, path: Path, offline: bool) -> Path:
    """The folder of a size, fetched from the hub."""
    why = "--offline forbids the network"
    if not offline:
        try:
            return hub.fetch(name)
        except ModelUnavailable as error:
            why = str(error).partition(" and ")[2].partition(". Its configuration")[0]
    raise ModelUnavailable(
        f"Whisper {published} is not on this machine ({path} and {hub.repo_dir(name)} are not "
        f"there) and {why}. Fetch it with `emocli models pull hf:{name}` where there is a "
        f"network, or put openai-whisper's {path.name} into {path.parent}."
    ) from None


def _load_path(name: str, path: Path, device: str, dtype: str) -> Transcriber:
    if path.suffix == ".pt":
        return _load_pt(path, name, device, dtype)
    if path.suffix in registry.WEIGHT_SUFFIXES:
        return _load_folder(Checkpoint(path.parent, name, weights=path), device, dtype)
    if not path.is_dir():
        raise ModelError(
            f"{name} is a file, expected a .pt checkpoint of openai-whisper or a folder with "
            f"config.json and weights. Name one of these."
        )
    if (path / "config.json").is_file():
        return _load_folder(Checkpoint(path, name), device, dtype)
    found = sorted(path.glob("*.pt"))
    if len(found) != 1:
        raise ModelError(
            f"{name}: folder with {len(found)} .pt checkpoints and no config.json, expected "
            f"exactly one checkpoint or a folder of the hub's kind. Name the file itself."
        )
    return _load_pt(found[0], name, device, dtype)


def _load_pt(path: Path, name: str, device: str, dtype: str, *, size: str = "") -> Transcriber:
    """A checkpoint of openai-whisper; one of a published size must be the published one."""
    if not _has_package():
        raise _needs_package(path)
    place, precision = _machine(device, dtype)
    import torch

    if precision is torch.bfloat16:
        raise ModelError(
            f"{name}: openai-whisper computes in fp32 or fp16, not in bf16. "
            f"Use --dtype fp32, or a checkpoint of the hub."
        )
    from emocli.models import whisper_openai

    digest = _sha256(path)
    if size and digest != whisper_openai.published_sha256(size):
        raise ModelError(
            f"{path}: its checksum is not that of the published Whisper {size}, so it is "
            f"incomplete or something else. Fetch it again, or name the file itself to use it."
        )
    network = whisper_openai.load_checkpoint(
        path,
        replace(_card(name, digest), licence="MIT" if size else ""),
        size=size,
        device=str(place),
        fp16=precision is torch.float16,
    )
    return WhisperTranscriber(network)


def _load_folder(checkpoint: Checkpoint, device: str, dtype: str) -> Transcriber:
    place, precision = _machine(device, dtype)
    from emocli.models.whisper_transformers import load_checkpoint

    card = replace(_card(checkpoint.name, checkpoint.revision), licence=checkpoint.licence)
    return WhisperTranscriber(load_checkpoint(checkpoint, card, device=str(place), dtype=precision))


def _machine(device: str, dtype: str) -> tuple["torch.device", "torch.dtype"]:
    """Where to compute and in which format; half precision is not for CPUs."""
    from emocli.models.devices import choose_device, choose_dtype

    place, precision = choose_device(device), choose_dtype(dtype)
    if place.type == "cpu" and dtype == "fp16":
        raise ModelError(
            "Whisper in fp16 on the CPU is slow and inexact, expected fp32 there. "
            "Use --dtype fp32, or --device cuda."
        )
    return place, precision


def _card(name: str, revision: str) -> ModelCard:
    return ModelCard(
        name=name,
        revision=revision,
        sampling_rate=SAMPLING_RATE,
        source=PAPER,
        description="Whisper: writes down what is said, with times.",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_package() -> bool:
    return find_spec("whisper") is not None


def _needs_package(path: Path) -> MissingDependency:
    return MissingDependency(
        f"{path} is a checkpoint of openai-whisper, and that package is not installed. "
        f"Run `pip install 'emocli[whisper]'`, or use a checkpoint of the hub such as "
        f"openai/whisper-base."
    )


def _unknown(name: str) -> ModelError:
    near = get_close_matches(name, PUBLISHED, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return ModelError(
        f"No Whisper model is called {name}, and no file or folder is: {guess}Sizes are "
        f"{', '.join(PUBLISHED)}; hf:owner/name, folders and .pt files work too."
    )
