"""From the name of a Whisper model to a transcriber.

A name is one of

    tiny, base, small, medium, large, turbo        a published size, also .en, -v1, -v2, -v3
    hf:owner/name[@revision] or owner/name         a Whisper checkpoint of the hub
    a file ending in .pt                           a checkpoint of openai-whisper
    a folder                                       with one of these, or converted for CTranslate2

openai-whisper computes its own ``.pt`` checkpoints unless faster-whisper is asked to, which
computes all others; what is not converted for CTranslate2 is converted once, and kept in the cache
folder under the checksum of its content. A size is looked for in the folder of openai-whisper and
then in the cache of the hub, and fetched from the hub if it is in neither.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from emocli.asr.transcriber import SAMPLING_RATE, Transcriber
from emocli.errors import ModelError, ModelUnavailable
from emocli.models import hub, registry
from emocli.models.checkpoint import CTRANSLATE2, Checkpoint, file_sha256
from emocli.models.protocol import ModelCard
from emocli.user_cache import cache_folder, whisper_folder

PUBLISHED = {
    **{size: size for size in ("tiny", "base", "small", "medium")},
    **{f"{size}.en": f"{size}.en" for size in ("tiny", "base", "small", "medium")},
    **{f"large-v{version}": f"large-v{version}" for version in (1, 2, 3)},
    "large": "large-v3",
    "large-v3-turbo": "large-v3-turbo",
    "turbo": "large-v3-turbo",
}
"""Sizes that a user may name, and what their files are called."""

BACKENDS = ("auto", "openai", "faster-whisper")
"""Libraries that compute Whisper; ``auto`` is the one that takes the checkpoint."""

PAPER = "Radford et al. 2022, Robust Speech Recognition via Large-Scale Weak Supervision"

_CONVERSION = "2"  # other conversions have other folders
_DESCRIPTIONS = ("config.json", "generation_config.json", "tokenizer.json", "vocab.json")


@dataclass(frozen=True)
class Machine:
    """What shall compute a network."""

    backend: str = "auto"
    """One of `BACKENDS`."""
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``."""
    dtype: str = "auto"
    """``auto``, ``fp32``, ``fp16``, or for faster-whisper also ``bf16`` and ``int8``."""
    n_recordings: int = 1
    """How many it shall hear; a CPU hears several at a time, each on its share of the threads."""


def load_transcriber(
    name: str,
    machine: Machine,
    *,
    offline: bool = False,
    model_dir: str | os.PathLike[str] | None = None,
) -> Transcriber:
    """The Whisper model of a name, loaded.

    Args:
        name: see the module's docstring.
        machine: what shall compute it.
        offline: use only what is on this machine.
        model_dir: where openai-whisper's ``.pt`` files are; its own cache by default.

    Raises:
        ModelError: no model has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
    """
    if machine.backend not in BACKENDS:
        raise ModelError(
            f"Backend {machine.backend!r} is unknown, expected one of {', '.join(BACKENDS)}. "
            f"Choose one with --backend."
        )
    path = Path(name).expanduser()
    if name in PUBLISHED:
        return _load_size(PUBLISHED[name], machine, offline, model_dir)
    if not name.startswith("hf:") and path.exists():
        return _load_path(name, path, machine)
    if "/" not in name:
        _refuse_unknown(name)
    reference = registry.find(name)
    folder = registry.local_folder(reference, offline=offline)
    return _load_folder(Checkpoint(folder, reference.name, folder.name), machine)


def converted_dir() -> Path:
    """Folder of checkpoints converted for CTranslate2, in the user's cache folder."""
    return cache_folder() / "ctranslate2"


def _load_size(
    size: str, machine: Machine, offline: bool, model_dir: str | os.PathLike[str] | None
) -> Transcriber:
    folder = Path(model_dir).expanduser() if model_dir is not None else whisper_folder()
    path = folder / f"{size}.pt"
    if path.is_file():
        return _load_pt(path, f"whisper-{size}", machine, size=size)
    if machine.backend == "openai":
        raise ModelUnavailable(
            f"Whisper {size} is not on this machine as openai-whisper has it ({path} is not "
            f"there). Put {path.name} into {path.parent}, or use --backend auto."
        )
    name = f"openai/whisper-{size}"
    for known in (f"Systran/faster-whisper-{size}", name):
        if snapshot := hub.find_cached(known):
            return _load_folder(Checkpoint(snapshot, known, snapshot.name), machine)
    snapshot = _fetch(size, name, path, offline)
    return _load_folder(Checkpoint(snapshot, name, snapshot.name), machine)


def _fetch(size: str, name: str, path: Path, offline: bool) -> Path:
    """The folder of a size, fetched from the hub."""
    why = "--offline forbids the network"
    if not offline:
        try:
            return hub.fetch(name)
        except ModelUnavailable as error:
            why = str(error).partition(" and ")[2].partition(". Its configuration")[0]
    raise ModelUnavailable(
        f"Whisper {size} is not on this machine ({path} and {hub.repo_dir(name)} are not "
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
    from emocli.asr import openai

    digest = file_sha256(path)
    if size and digest != openai.published_sha256(size):
        raise ModelError(
            f"{path}: its checksum is not that of the published Whisper {size}, so it is "
            f"incomplete or something else. Fetch it again, or name the file itself to use it."
        )
    card = replace(_card(name, digest), licence="MIT" if size else "")
    if machine.backend == "faster-whisper":

        def convert(folder: Path) -> None:
            from emocli.asr.convert import convert_network

            network = openai.load_checkpoint(path, card, device="cpu").network
            convert_network(network, name, folder)

        return _load_faster(_converted(digest, convert), card, machine)
    if machine.dtype in ("bf16", "int8"):
        raise ModelError(
            f"{name}: openai-whisper computes in fp32 or fp16, not in {machine.dtype}. "
            f"Use --dtype fp32, or --backend faster-whisper."
        )
    from emocli.models.devices import choose_device

    place = choose_device(machine.device)
    if place.type == "cpu" and machine.dtype == "fp16":
        raise ModelError(
            "openai-whisper in fp16 on the CPU is slow and inexact, expected fp32 there. "
            "Use --dtype fp32, or --device cuda."
        )
    return openai.load_checkpoint(
        path,
        card,
        device=str(place),
        fp16=machine.dtype == "fp16",
        n_recordings=machine.n_recordings,
    )


def _load_folder(checkpoint: Checkpoint, machine: Machine) -> Transcriber:
    """A checkpoint of the hub's kind, or one that is converted for CTranslate2 already."""
    if machine.backend == "openai":
        raise ModelError(
            f"{checkpoint.name}: no .pt file, expected a checkpoint of openai-whisper for "
            f"--backend openai. Use --backend auto."
        )
    card = replace(_card(checkpoint.name, checkpoint.revision), licence=checkpoint.licence)
    if checkpoint.weights is None and (checkpoint.folder / CTRANSLATE2).is_file():
        return _load_faster(checkpoint.folder, card, machine)
    described = (checkpoint.folder / name for name in _DESCRIPTIONS)
    files = [*checkpoint.weight_files, *(path for path in described if path.is_file())]

    def convert(folder: Path) -> None:
        from emocli.asr.convert import convert_checkpoint

        convert_checkpoint(checkpoint, folder)

    card = replace(card, size_bytes=checkpoint.size_bytes, n_parameters=checkpoint.n_parameters)
    return _load_faster(_converted(_sha256_of(files), convert), card, machine)


def _converted(digest: str, convert: Callable[[Path], None]) -> Path:
    """The folder of a checkpoint converted for CTranslate2, made if it is not there yet."""
    folder = converted_dir() / f"{digest[:32]}-{_CONVERSION}"
    if not folder.is_dir():
        convert(folder)
    return folder


def _load_faster(folder: Path, card: ModelCard, machine: Machine) -> Transcriber:
    from emocli.asr.faster import load_converted

    return load_converted(
        folder,
        card,
        device=machine.device,
        dtype=machine.dtype,
        n_recordings=machine.n_recordings,
    )


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


def _refuse_unknown(name: str) -> NoReturn:
    near = get_close_matches(name, PUBLISHED, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ModelError(
        f"No Whisper model is called {name}, and no file or folder is: {guess}Sizes are "
        f"{', '.join(PUBLISHED)}; hf:owner/name, folders and .pt files work too."
    )
