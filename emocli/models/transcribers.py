"""From the name of a Whisper model to the model.

A name is one of

    tiny, base, small, medium, large, turbo        a published size, also .en, -v1, -v2, -v3
    hf:owner/name[@revision] or owner/name         a Whisper checkpoint of the hub
    a file ending in .pt                           a checkpoint of openai-whisper
    a folder                                       one of either kind, or converted for CTranslate2

A size is looked for in the folder of openai-whisper and then in the cache of the hub, and fetched
from the hub if it is in neither. Either library computes its own kind of checkpoint.
faster-whisper takes both: they are converted once, and kept in the cache folder under the checksum
of their content.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from emocli.errors import MissingDependency, ModelError, ModelUnavailable
from emocli.models import hub, registry
from emocli.models.checkpoint import Checkpoint, file_sha256
from emocli.models.lanes import count_lanes
from emocli.models.protocol import ModelCard
from emocli.models.whisper import SAMPLING_RATE, Transcriber, WhisperTranscriber
from emocli.user_cache import cache_folder

if TYPE_CHECKING:
    import torch

    from emocli.models.whisper_openai import OpenAIWhisper
    from emocli.models.whisper_transformers import TransformersWhisper

PUBLISHED = {
    **{size: size for size in ("tiny", "base", "small", "medium")},
    **{f"{size}.en": f"{size}.en" for size in ("tiny", "base", "small", "medium")},
    **{f"large-v{version}": f"large-v{version}" for version in (1, 2, 3)},
    "large": "large-v3",
    "large-v3-turbo": "large-v3-turbo",
    "turbo": "large-v3-turbo",
}
"""Sizes that a user may name, and what their files are called."""

BACKENDS = ("auto", "openai", "transformers", "faster-whisper")
"""Libraries that compute Whisper; ``auto`` is the one that a checkpoint was made for."""

_CONVERSION = "1"  # other conversions have other folders
_CONVERTED = "model.bin"
_DESCRIPTIONS = ("config.json", "generation_config.json", "tokenizer.json", "vocab.json")

PAPER = "Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision"


@dataclass(frozen=True)
class Machine:
    """What shall compute a network.

    Attributes:
        backend: one of `BACKENDS`.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``fp32``, ``bf16``, ``fp16``, or ``int8`` for faster-whisper.
        n_recordings: how many it shall hear.
    """

    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    n_recordings: int = 1


def resolve_transcriber(
    name: str,
    *,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    model_dir: str | os.PathLike[str] | None = None,
    n_recordings: int = 1,
) -> Transcriber:
    """The Whisper model of a name, loaded.

    Args:
        name: see the module's docstring.
        backend: library that computes, one of `BACKENDS`.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``fp32``, ``bf16``, ``fp16``, or ``int8`` for faster-whisper; ``auto`` is fp32, for
            faster-whisper int8 on a CPU and fp16 on a GPU.
        offline: use only what is on this machine.
        model_dir: where openai-whisper's ``.pt`` files are; its own cache by default.
        n_recordings: how many there are; a CPU hears several at a time, each on its share of the
            threads.

    Raises:
        ModelError: no model has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
        MissingDependency: it needs openai-whisper or faster-whisper.
    """
    path = Path(name).expanduser()
    machine = Machine(backend, device, dtype, n_recordings)
    _check(machine)
    if name in PUBLISHED:
        return _load_size(name, machine, offline, model_dir)
    if not name.startswith("hf:") and path.exists():
        return _load_path(name, path, machine)
    if "/" not in name:
        raise _unknown(name)
    reference = registry.find(name)
    folder = registry.local_folder(reference, offline=offline)
    return _load_folder(Checkpoint(folder, reference.name, folder.name), machine)


def checkpoint_dir() -> Path:
    """Folder in which openai-whisper keeps its checkpoints."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "whisper"


def _check(machine: Machine) -> None:
    """Make sure that the library is one, is installed, and computes in the number format."""
    if machine.backend not in BACKENDS:
        raise ModelError(
            f"Backend {machine.backend!r} is unknown, expected one of {', '.join(BACKENDS)}. "
            f"Choose one with --backend."
        )
    if machine.backend == "faster-whisper" and find_spec("faster_whisper") is None:
        raise MissingDependency(
            "--backend faster-whisper needs the package faster-whisper, which is not installed. "
            "Run `pip install 'emocli[faster-whisper]'`, or use --backend auto."
        )
    if machine.backend != "faster-whisper" and machine.dtype == "int8":
        raise ModelError(
            "Only faster-whisper computes Whisper in int8, expected fp32, bf16 or fp16. "
            "Add --backend faster-whisper, or use --dtype fp32."
        )


def _load_size(
    size: str, machine: Machine, offline: bool, model_dir: str | os.PathLike[str] | None
) -> Transcriber:
    published = PUBLISHED[size]
    folder = Path(model_dir).expanduser() if model_dir is not None else checkpoint_dir()
    path = folder / f"{published}.pt"
    if machine.backend != "transformers" and path.is_file() and _has_package():
        return _load_pt(path, f"whisper-{published}", machine, size=published)
    if machine.backend == "openai":
        raise _needs_package(path) if path.is_file() else _no_file(published, path)
    name = f"openai/whisper-{published}"
    snapshot = hub.find_cached(name)
    if snapshot is None and path.is_file() and machine.backend != "transformers":
        raise _needs_package(path)
    if snapshot is None:
        snapshot = _fetch(published, name, path, offline)
    return _load_folder(Checkpoint(snapshot, name, snapshot.name), machine)


def _no_file(published: str, path: Path) -> ModelUnavailable:
    return ModelUnavailable(
        f"Whisper {published} is not on this machine as openai-whisper has it ({path} is not "
        f"there). Put {path.name} into {path.parent}, or use --backend auto."
    )


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


def _load_path(name: str, path: Path, machine: Machine) -> Transcriber:
    if path.suffix == ".pt":
        return _load_pt(path, name, machine)
    if path.suffix in registry.WEIGHT_SUFFIXES:
        return _load_folder(Checkpoint(path.parent, name, weights=path), machine)
    if not path.is_dir():
        raise ModelError(
            f"{name} is a file, expected a .pt checkpoint of openai-whisper or a folder with "
            f"config.json and weights. Name one of these."
        )
    if (path / "config.json").is_file():
        return _load_folder(Checkpoint(path, name), machine)
    found = sorted(path.glob("*.pt"))
    if len(found) != 1:
        raise ModelError(
            f"{name}: folder with {len(found)} .pt checkpoints and no config.json, expected "
            f"exactly one checkpoint or a folder of the hub's kind. Name the file itself."
        )
    return _load_pt(found[0], name, machine)


def _load_pt(path: Path, name: str, machine: Machine, *, size: str = "") -> Transcriber:
    """A checkpoint of openai-whisper; one of a published size must be the published one."""
    if not _has_package():
        raise _needs_package(path)
    if machine.backend == "transformers":
        raise ModelError(
            f"{name}: a .pt checkpoint is openai-whisper's, expected one of the hub for "
            f"--backend transformers. Use --backend auto or faster-whisper."
        )
    digest = file_sha256(path)
    card = replace(_card(name, digest), licence="MIT" if size else "")
    if machine.backend == "faster-whisper":

        def convert(folder: Path) -> None:
            from emocli.models.whisper_convert import convert_openai

            convert_openai(_openai_network(path, card, Machine(device="cpu"), size), folder)

        card = replace(card, size_bytes=path.stat().st_size)
        return _load_converted(_converted(digest, convert), card, machine)
    return WhisperTranscriber(_openai_network(path, card, machine, size), _n_lanes(machine))


def _openai_network(path: Path, card: ModelCard, machine: Machine, size: str) -> "OpenAIWhisper":
    place, precision = _machine(machine)
    import torch

    if precision is torch.bfloat16:
        raise ModelError(
            f"{card.name}: openai-whisper computes in fp32 or fp16, not in bf16. "
            f"Use --dtype fp32, or a checkpoint of the hub."
        )
    from emocli.models import whisper_openai

    if size and card.revision != whisper_openai.published_sha256(size):
        raise ModelError(
            f"{path}: its checksum is not that of the published Whisper {size}, so it is "
            f"incomplete or something else. Fetch it again, or name the file itself to use it."
        )
    return whisper_openai.load_checkpoint(
        path, card, size=size, device=str(place), fp16=precision is torch.float16
    )


def _load_folder(checkpoint: Checkpoint, machine: Machine) -> Transcriber:
    card = replace(_card(checkpoint.name, checkpoint.revision), licence=checkpoint.licence)
    if machine.backend == "openai":
        raise ModelError(
            f"{checkpoint.name}: a checkpoint of the hub, expected a .pt file of openai-whisper "
            f"for --backend openai. Use --backend auto."
        )
    if (checkpoint.folder / _CONVERTED).is_file():
        if machine.backend != "faster-whisper":
            raise ModelError(
                f"{checkpoint.name}: a checkpoint converted for CTranslate2, which only "
                f"faster-whisper computes. Add --backend faster-whisper."
            )
        return _load_converted(checkpoint.folder, card, machine)
    if machine.backend == "faster-whisper":

        def convert(folder: Path) -> None:
            from emocli.models.whisper_convert import convert_transformers

            convert_transformers(_hub_network(checkpoint, card, Machine(device="cpu")), folder)

        described = (checkpoint.folder / name for name in _DESCRIPTIONS)
        files = [*checkpoint.weight_files, *(path for path in described if path.is_file())]
        card = replace(card, size_bytes=checkpoint.size_bytes)
        return _load_converted(_converted(_sha256_of(files), convert), card, machine)
    return WhisperTranscriber(_hub_network(checkpoint, card, machine), _n_lanes(machine))


def _hub_network(
    checkpoint: Checkpoint, card: ModelCard, machine: Machine
) -> "TransformersWhisper":
    place, precision = _machine(machine)
    from emocli.models.whisper_transformers import load_checkpoint

    return load_checkpoint(checkpoint, card, device=str(place), dtype=precision)


def converted_dir() -> Path:
    """Folder of checkpoints converted for CTranslate2, in the user's cache folder."""
    return cache_folder() / "ctranslate2"


def _converted(digest: str, convert: Callable[[Path], None]) -> Path:
    """The folder of a checkpoint converted for CTranslate2, made if it is not there yet."""
    folder = converted_dir() / f"{digest[:32]}-{_CONVERSION}"
    if not folder.is_dir():
        convert(folder)
    return folder


def _load_converted(folder: Path, card: ModelCard, machine: Machine) -> Transcriber:
    from emocli.models.whisper_faster import load_converted

    network, n_lanes = load_converted(
        folder,
        card,
        device=machine.device,
        dtype=machine.dtype,
        n_recordings=machine.n_recordings,
    )
    return WhisperTranscriber(network, n_lanes)


def _machine(machine: Machine) -> tuple["torch.device", "torch.dtype"]:
    """Where to compute and in which format; half precision is not for CPUs."""
    from emocli.models.devices import choose_device, choose_dtype

    place, precision = choose_device(machine.device), choose_dtype(machine.dtype)
    if place.type == "cpu" and machine.dtype == "fp16":
        raise ModelError(
            "Whisper in fp16 on the CPU is slow and inexact, expected fp32 there. "
            "Use --dtype fp32, or --device cuda."
        )
    return place, precision


def _n_lanes(machine: Machine) -> int:
    """Recordings that torch hears at a time."""
    import torch

    place, _ = _machine(machine)
    if place.type != "cpu":
        return 1
    return count_lanes(torch.get_num_threads(), machine.n_recordings)


def _card(name: str, revision: str) -> ModelCard:
    return ModelCard(
        name=name,
        revision=revision,
        sampling_rate=SAMPLING_RATE,
        source=PAPER,
        description="Whisper: writes down what is said, with times.",
    )


def _sha256_of(paths: Iterable[Path]) -> str:
    """Checksum of the content of files."""
    return hashlib.sha256("".join(map(file_sha256, paths)).encode()).hexdigest()


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
