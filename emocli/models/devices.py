"""Where a model computes, and in which number format."""

import re
from typing import TYPE_CHECKING

from emocli.errors import ModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "fp32", "bf16", "fp16")
FAST = "fast"
"""Stands for whichever of fp32 and bf16 is quicker here."""
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def choose_device(name: str = "auto") -> "torch.device":
    """The device of a name; ``auto`` is the first CUDA device, else MPS, else the CPU.

    Args:
        name: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.

    Raises:
        ModelError: there is no such device here, or the name is none.
    """
    if not _DEVICE.fullmatch(name):
        raise ModelError(
            f"Device {name!r} is unknown, expected auto, cpu, mps, cuda or cuda:N. "
            f"Choose one with --device."
        )
    import torch

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda:0" if n_cuda else "mps" if has_mps else "cpu")
    kind, _, number = name.partition(":")
    found = {"cuda": n_cuda, "mps": int(has_mps), "cpu": 1}[kind]
    if int(number or 0) >= found:
        raise ModelError(
            f"Device {name} is not there, this machine has {found} of its kind. "
            f"Use --device auto or --device cpu."
        )
    return torch.device("cuda:0" if name == "cuda" else name)


def cpu_has_bf16() -> bool:
    """Whether this machine's CPU has instructions for bf16 (AMX or AVX-512)."""
    import torch

    # torch names no public way before 2.9.
    asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, one, bool)() for one in asked)


def has_bf16(device: "torch.device") -> bool:
    """Whether a device has units for bf16."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_has_bf16()


def dtype_name(dtype: "torch.dtype") -> str:
    """The name of a number format among `DTYPES`."""
    import torch

    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]


def choose_dtype(name: str = "auto", device: "torch.device | None" = None) -> "torch.dtype":
    """The number format of a name.

    Args:
        name: one of `DTYPES`.
        device: where ``auto`` is bf16, if it is a GPU with units for it; None for fp32 everywhere.
            On a CPU ``auto`` is fp32, so that the same command gives the same table on each.

    Raises:
        ModelError: the name is not one of `DTYPES`.
    """
    if name not in DTYPES:
        raise ModelError(
            f"Number format {name!r} is unknown, expected one of {', '.join(DTYPES)}. "
            f"Choose one with --dtype."
        )
    import torch

    if name == "auto" and device is not None and device.type == "cuda" and has_bf16(device):
        return torch.bfloat16
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)


def number_formats(name: str, device: "torch.device") -> "tuple[torch.dtype, ...]":
    """The number formats of a name, of which the quickest is to be taken.

    Units for bf16 do not make every network quicker: with AVX-512 alone wav2vec2-base took a
    quarter longer than in fp32. So ``fast`` leaves it to a trial.

    Args:
        name: one of `DTYPES`, or ``fast``.
        device: where the network computes.

    Raises:
        ModelError: the name is none of these.
    """
    if name != FAST:
        return (choose_dtype(name, device),)
    import torch

    return (torch.float32, torch.bfloat16) if has_bf16(device) else (torch.float32,)
