"""Whether the files of a model are what they should be, and give the answer that they should.

Files of the hub are stored in its cache under their own checksums: the SHA-256 of large ones and
the Git object name of small ones. A model folder of emocli carries ``known_answer.json`` with the
SHA-256 of its weights and with the logits of two utterances that any machine can make again.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import ModelError
from emocli.models import registry
from emocli.models.checkpoint import file_sha256
from emocli.models.probes import probes
from emocli.models.protocol import Recognizer
from emocli.posteriors import sigmoid, softmax

KNOWN_ANSWER = "known_answer.json"
TOLERANCE = 1e-3
"""How far logits may be from the recorded ones; fp32 on another machine differs by far less."""

PLAIN = "torch fp32"
"""The engine and number format that others are compared with."""

TOLERANCES = {"torch bf16": 2e-2, "openvino fp32": 1e-4}
"""How far posteriors of the other engines may be from it."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: a file, or ``"known answer"``.
        passed: whether it is as it should be; None where nothing says how it should be.
        detail: what was found.
    """

    what: str
    passed: bool | None
    detail: str


def verify(name: str, *, device: str = "auto") -> list[Check]:
    """What can be checked of a model that is on this machine.

    Args:
        name: as for `registry.resolve`.
        device: where the known-answer run computes.

    Raises:
        ModelUnavailable: it is not on this machine.
        ModelError: its configuration or its known answer cannot be read.
    """
    folder = registry.local_folder(registry.find(name), offline=True)
    recorded = _read(folder / KNOWN_ANSWER)
    checks = [
        _checksum(path, recorded.get("sha256", {}).get(path.name))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != KNOWN_ANSWER
    ]

    @cache  # both checks need it, and a large model takes long to load
    def plain() -> Recognizer:
        return registry.resolve(name, device=device, dtype="fp32", offline=True)

    if "logits" in recorded:
        checks.append(_known_answer(plain(), recorded))
    whole = all(check.passed is not False for check in checks)
    if whole and registry.describe(name).card.modality == "speech":
        checks += _by_itself(name, device, plain)
    return checks


def _by_itself(name: str, device: str, plain: Callable[[], Recognizer]) -> list[Check]:
    """How far what `predict` chooses by itself is from torch in fp32; nothing where it is that."""
    chosen = registry.resolve(name, device=device, engine="auto", offline=True)
    if chosen.engine in ("", PLAIN):
        return []
    apart = float(np.abs(_answers(chosen) - _answers(plain())).max())
    passed = apart <= TOLERANCES[chosen.engine]
    return [Check(f"{chosen.engine} beside {PLAIN}", passed, f"posteriors within {apart:.1e}")]


def _answers(model: Recognizer) -> NDArray[np.float64]:
    """Posteriors of the probes, or dimensions."""
    found = model.logits(probes(model))
    if model.card.dimensions:
        return found
    if model.card.multi_label:
        return sigmoid(found)
    return softmax(found)


def record_known_answer(folder: Path) -> Path:
    """Write what `verify` will expect of a model folder: checksums, and logits on the CPU.

    Returns:
        The file that was written.

    Raises:
        ModelError: the folder holds no model that can be loaded.
    """
    model = registry.resolve(str(folder), device="cpu", dtype="fp32", offline=True)
    weights = [path for path in folder.iterdir() if path.suffix in registry.WEIGHT_SUFFIXES]
    content = {
        "sha256": {path.name: file_sha256(path) for path in sorted(weights)},
        "logits": model.logits(probes(model)).round(6).tolist(),
    }
    path = folder / KNOWN_ANSWER
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return path


def _checksum(path: Path, recorded: str | None) -> Check:
    """Compare a file with the checksum that is recorded for it, or that the cache names it by."""
    if recorded is None and path.is_symlink():
        recorded = path.resolve().name
    if recorded is not None and re.fullmatch("[0-9a-f]{64}", recorded):
        found = file_sha256(path)
    elif recorded is not None and re.fullmatch("[0-9a-f]{40}", recorded):
        found = _git_name(path)
    else:
        return Check(path.name, None, "no checksum is recorded")
    if found == recorded:
        return Check(path.name, True, f"checksum {found[:12]}")
    return Check(path.name, False, f"checksum {found[:12]}, expected {recorded[:12]}")


def _git_name(path: Path) -> str:
    """Name that Git gives to a file with this content, its SHA-1 behind a short header."""
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _known_answer(model: Recognizer, recorded: dict[str, Any]) -> Check:
    found = model.logits(probes(model))
    try:
        expected = np.asarray(recorded["logits"], dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        expected = np.empty(0)
    if expected.shape != found.shape:
        return Check("known answer", False, f"{KNOWN_ANSWER} has other outputs than the model")
    apart = float(np.abs(found - expected).max())
    passed = apart <= TOLERANCE
    return Check("known answer", passed, f"logits within {apart:.1e} of the recorded ones")


def _read(path: Path) -> dict[str, Any]:
    """The content of a known answer; empty if there is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        content = None
    sums = content.get("sha256", {}) if isinstance(content, dict) else None
    if not isinstance(sums, dict) or not all(isinstance(one, str) for one in sums.values()):
        raise ModelError(
            f"{path} cannot be read as a known answer, expected a JSON object with sha256 and "
            f"logits. Install emocli again, or record it anew."
        )
    return content
