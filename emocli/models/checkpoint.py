"""A checkpoint on disk: its configuration, the names and shapes of its tensors, its weights.

Nothing in a checkpoint is run. The configuration is read as JSON, safetensors headers are read
without torch, and ``.bin`` files are opened with ``weights_only``. What a checkpoint claims is
compared with what it holds before any memory is taken for it.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emocli.errors import ModelError
from emocli.schema import Fields

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = ("model.safetensors.index.json", "model.safetensors")
PICKLED = ("pytorch_model.bin.index.json", "pytorch_model.bin")
CTRANSLATE2 = "model.bin"
"""Weights of Whisper that were converted for faster-whisper."""
MAX_HEADER_BYTES = 100_000_000
"""Longest header that the safetensors format allows."""

Shapes = dict[str, tuple[int, ...]]


class ConfigFields(Fields):
    """A JSON file of a checkpoint that is read field by field."""

    error = ModelError
    kind = "checkpoint"
    writer = "its authors"

    @property
    def _remedy(self) -> str:
        return "Fetch the checkpoint again, or repair the field."


@dataclass(frozen=True)
class Checkpoint:
    """A folder with ``config.json`` and weights.

    Attributes:
        folder: where it is.
        name: identifier for the table and for messages.
        revision: commit of the hub; empty for a folder of the user's.
        weights: a weight file that the user chose; by default it is looked for in the folder.
    """

    folder: Path
    name: str
    revision: str = ""
    weights: Path | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``.

        Raises:
            ModelError: the file is missing or is not a JSON object.
        """
        return self._json(self.folder / "config.json")

    @property
    def fields(self) -> ConfigFields:
        """``config.json``, to be read field by field."""
        return ConfigFields(f"{self.name}: config.json", "", self.config)

    @property
    def preprocessor_fields(self) -> ConfigFields:
        """``preprocessor_config.json``, to be read field by field; empty if there is none."""
        return ConfigFields(f"{self.name}: preprocessor_config.json", "", self.preprocessor)

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """The content of ``preprocessor_config.json``, empty if there is none.

        Raises:
            ModelError: the file is not a JSON object.
        """
        path = self.folder / "preprocessor_config.json"
        if path.is_file():
            return self._json(path)
        combined = self.folder / "processor_config.json"  # transformers 5 puts it in there
        inner = self._json(combined).get("feature_extractor") if combined.is_file() else None
        return inner if isinstance(inner, dict) else {}

    @cached_property
    def licence(self) -> str:
        """The licence that the head of ``README.md`` declares; empty if it does not."""
        try:
            text = (self.folder / "README.md").read_text("utf-8", errors="replace")
        except OSError:
            return ""
        head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = re.search(r"^license:\s*(\S+)", head[1] if head else "", re.MULTILINE)
        return found[1].strip("'\"") if found else ""

    @cached_property
    def weight_files(self) -> tuple[Path, ...]:
        """Files that hold the weights; safetensors go before pickled ones.

        Raises:
            ModelError: there are none, or an index names files that are not there.
        """
        if self.weights is not None:
            return (self.weights,)
        for name in (*SAFETENSORS, *PICKLED):
            path = self.folder / name
            if path.is_file():
                return self._shards(path) if name.endswith(".json") else (path,)
        raise ModelError(
            f"{self.name}: folder {self.folder} has no weights, expected model.safetensors or "
            f"pytorch_model.bin. Point to a folder that holds a complete checkpoint."
        )

    @property
    def size_bytes(self) -> int:
        """Size of the weights on disk."""
        return sum(path.stat().st_size for path in self.weight_files)

    @cached_property
    def shapes(self) -> Shapes:
        """Names and shapes of all tensors.

        Raises:
            ModelError: a weight file cannot be read.
        """
        found: Shapes = {}
        for path in self.weight_files:
            if path.suffix == ".safetensors":
                found |= self._safetensors_shapes(path)
            else:
                tensors = self._unpickle(path, "meta").items()
                found |= {name: tuple(tensor.shape) for name, tensor in tensors}
        return found

    @property
    def n_parameters(self) -> int:
        """Number of values in all tensors."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def load(self) -> dict[str, "Tensor"]:
        """All tensors, on the CPU.

        Raises:
            ModelError: a weight file cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        tensors: dict[str, Tensor] = {}
        for path in self.weight_files:
            try:
                tensors |= (
                    load_file(path)
                    if path.suffix == ".safetensors"
                    else self._unpickle(path, "cpu")
                )
            except (SafetensorError, OSError) as error:
                raise self._unreadable(path, error) from error
        return tensors

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text("utf-8"))
        except FileNotFoundError as error:
            raise ModelError(
                f"{self.name}: folder {self.folder} has no {path.name}, expected a checkpoint. "
                f"Point to a folder that holds {path.name} and weights."
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(
                f"{self.name}: {path} cannot be read as JSON. Fetch the checkpoint again."
            ) from error
        if not isinstance(content, dict):
            raise ModelError(
                f"{self.name}: {path} holds a JSON {type(content).__name__}, expected an object. "
                f"Fetch the checkpoint again."
            )
        return content

    def _shards(self, index: Path) -> tuple[Path, ...]:
        places = self._json(index).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
            raise ModelError(
                f"{self.name}: {index} has no weight_map, expected tensor names and the files "
                f"that hold them. Fetch the checkpoint again."
            )
        names = sorted(set(places.values()))
        shards = tuple(self.folder / name for name in names)
        missing = [
            name
            for name, path in zip(names, shards, strict=True)
            if Path(name).name != name or not path.is_file()
        ]
        if missing:
            raise ModelError(
                f"{self.name}: weight files {_first(missing)} are missing from {self.folder}. "
                f"Fetch the checkpoint again."
            )
        return shards

    def _safetensors_shapes(self, path: Path) -> Shapes:
        try:
            with path.open("rb") as file:
                n_bytes = int.from_bytes(file.read(8), "little")
                if n_bytes > min(MAX_HEADER_BYTES, path.stat().st_size):
                    raise ValueError("header longer than the file")
                header = json.loads(file.read(n_bytes))
            header.pop("__metadata__", None)
            fields = ConfigFields(str(path), "", header)
            return {name: fields.inner(name).counts("shape") for name in header}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise self._unreadable(path, error) from error

    def _unpickle(self, path: Path, device: str) -> "dict[str, Tensor]":
        import torch

        try:
            content = torch.load(path, map_location=device, weights_only=True)
        except torch.serialization.pickle.UnpicklingError as error:
            if "weights_only" not in str(error):
                raise self._unreadable(path, error) from error
            raise ModelError(
                f"{self.name}: {path} holds code beside tensors, which is never run here, expected "
                f"tensors alone. Do not trust it; ask for the model as safetensors."
            ) from error
        except (
            OSError,
            RuntimeError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
        ) as error:
            raise self._unreadable(path, error) from error
        if not isinstance(content, dict) or not all(
            isinstance(tensor, torch.Tensor) for tensor in content.values()
        ):
            raise ModelError(
                f"{self.name}: {path} holds more than tensors by name. "
                f"Convert it to safetensors, or use a checkpoint that has them."
            )
        return content

    def _unreadable(self, path: Path, error: BaseException) -> ModelError:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return ModelError(
            f"{self.name}: weight file {path} cannot be read ({reason}). "
            f"Fetch the checkpoint again."
        )


def is_complete(folder: Path) -> bool:
    """Whether a folder has a configuration and all files of its weights; none is checked."""
    try:
        has_weights = (folder / CTRANSLATE2).is_file() or bool(
            Checkpoint(folder, str(folder)).weight_files
        )
    except ModelError:
        return False
    return has_weights and (folder / "config.json").is_file()


# Tensors of training that predictions do not need: the mask of SpecAugment, quantisers and
# projections of pretraining, language model heads, and buffers that old library versions saved.
_LEFTOVERS = re.compile(
    r"(^|\.)(masked_spec_embed|position_ids|token_type_ids|num_batches_tracked|inv_freq)$"
    r"|^(cls|lm_head|lm_predictions|mask_predictions|quantizer|project_q|project_hid|final_proj)\."
    r"|^(label_embeddings_concat|proj_out\.weight)$"
    r"|^(roberta|bert|xlm_roberta)\.pooler\."
)
_OPTIONAL = re.compile(r"(^|\.)(masked_spec_embed|position_ids|num_batches_tracked)$")
_RENAMES = (
    # The weight norm of the positional convolution, before and after torch 2.0.
    (re.compile(r"\.weight_g$"), ".parametrizations.weight.original0"),
    (re.compile(r"\.weight_v$"), ".parametrizations.weight.original1"),
    (re.compile(r"\.parametrizations\.weight\.original0$"), ".weight_g"),
    (re.compile(r"\.parametrizations\.weight\.original1$"), ".weight_v"),
    # Layer norms of checkpoints that were converted from TensorFlow.
    (re.compile(r"\.LayerNorm\.gamma$"), ".LayerNorm.weight"),
    (re.compile(r"\.LayerNorm\.beta$"), ".LayerNorm.bias"),
)


def match_names(name: str, held: Shapes, expected: Shapes, *, ignored: str = "") -> dict[str, str]:
    """Which tensor of a checkpoint goes where in a network.

    Args:
        name: of the checkpoint, for messages.
        held: tensors of the checkpoint.
        expected: tensors of the network.
        ignored: a pattern of further tensors that may stay unused.

    Returns:
        Name in the network to name in the checkpoint, without the tensors that are not needed.

    Raises:
        ModelError: tensors are missing, left over or of another shape.
    """
    places = {_renamed(key, expected): key for key in held}
    missing = [key for key in expected if key not in places and not _OPTIONAL.search(key)]
    unused = [
        key
        for target, key in places.items()
        if target not in expected
        and not _LEFTOVERS.search(key)
        and not (ignored and re.search(ignored, key))
    ]
    _refuse_faults(name, missing, unused)
    used = {target: key for target, key in places.items() if target in expected}
    _check_shapes(name, held, expected, used)
    return used


def check_complete(name: str, missing: Sequence[str], unused: Sequence[str]) -> None:
    """Make sure that a network has all its weights, and that none were left over but harmless ones.

    Args:
        name: of the checkpoint, for messages.
        missing: tensors of the network that the checkpoint lacks.
        unused: tensors of the checkpoint that the network lacks.

    Raises:
        ModelError: it has not.
    """
    _refuse_faults(
        name,
        [key for key in missing if not _OPTIONAL.search(key)],
        [key for key in unused if not _LEFTOVERS.search(key)],
    )


def _refuse_faults(name: str, missing: Sequence[str], unused: Sequence[str]) -> None:
    if missing or unused:
        raise ModelError(
            f"{name}: the weights do not fit the network: {_faults(missing, unused)}. "
            f"The checkpoint is incomplete or of a kind that emocli does not know; use another "
            f"one, for example from `emocli models list`."
        )


def _faults(missing: Sequence[str], unused: Sequence[str]) -> str:
    said = [f"missing {_first(missing)}"] if missing else []
    return "; ".join(said + ([f"unexpected {_first(unused)}"] if unused else []))


def _renamed(key: str, expected: Mapping[str, object]) -> str:
    if key in expected:
        return key
    candidates = (pattern.sub(new, key) for pattern, new in _RENAMES)
    return next((candidate for candidate in candidates if candidate in expected), key)


def _check_shapes(name: str, held: Shapes, expected: Shapes, used: Mapping[str, str]) -> None:
    differing = [
        f"{used[target]} {list(held[used[target]])} instead of {list(shape)}"
        for target, shape in expected.items()
        if target in used and held[used[target]] != shape
    ]
    if differing:
        raise ModelError(
            f"{name}: shapes of weights differ from what config.json says: "
            f"{_first(differing)}. Fetch the checkpoint again, or repair config.json."
        )


def n_layers_held(keys: Iterable[str]) -> int:
    """How many transformer layers have weights."""
    numbers = (re.search(r"\.layers?\.(\d+)\.", key) for key in keys)
    return len({found[1] for found in numbers if found})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first(names: Sequence[str], n: int = 10) -> str:
    """The first ten of many names, and how many more there are."""
    shown = ", ".join(names[:n])
    return f"{shown} and {len(names) - n} more" if len(names) > n else shown
