"""Named arrays as the bytes of a safetensors file."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dump_tensors(
    arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The content of a safetensors file.

    safetensors writes an array's memory as it lies: transposed where the array is in Fortran
    order, and as other values where it is a view with gaps. So each is laid out in C order first.

    Args:
        arrays: by name, of any layout.
        metadata: texts beside them.
    """
    from safetensors.numpy import save

    laid_out = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(save(laid_out, metadata=dict(metadata) if metadata else None))
