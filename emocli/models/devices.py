"""Where a model computes, and in which number format."""

import re
from typing import TYPE_CHECKING

from emocli.errors import ModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "fp32", "bf16", "fp16")
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


def choose_dtype(name: str = "auto") -> "torch.dtype":
    """The number format of a name.

    ``auto`` is fp32 everywhere, so that a table does not depend on the machine that made it; half
    precision is for those who ask for it.

    Raises:
        ModelError: the name is not one of `DTYPES`.
    """
    if name not in DTYPES:
        raise ModelError(
            f"Number format {name!r} is unknown, expected one of {', '.join(DTYPES)}. "
            f"Choose one with --dtype."
        )
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name, torch.float32)
