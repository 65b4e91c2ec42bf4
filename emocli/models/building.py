"""Networks of the transformers library, built from a local checkpoint and nothing else.

The library builds the network from the configuration; which weights go where is decided here, so
that a head is never filled with random numbers. No code of a checkpoint is run and no other
repository is asked.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers.utils import logging as library_logging

from emocli.errors import ModelError
from emocli.models.checkpoint import Checkpoint, Shapes, check_complete, n_layers_held

# What a configuration says beyond the network: names of outputs are read by emocli itself, and
# remote code, quantisers and attention kernels are not for a file to choose.
_SET_ASIDE = {
    "_attn_implementation",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "auto_map",
    "dtype",
    "gradient_checkpointing",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "quantization_config",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "use_return_dict",
}
# What building raises for a configuration that makes no sense, all seen with real nonsense.
MOST_TIED = 4
"""Names that a tensor may have in a network: embeddings of encoder, decoder and output are one."""
_NONSENSE = (
    StrictDataclassError,
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def library_config(
    checkpoint: Checkpoint, model_type: str, facts: Mapping[str, Any], n_outputs: int = 2
) -> Any:
    """The library's configuration of a network.

    Args:
        checkpoint: what to build; its weights limit the number of layers.
        model_type: the library's name of the architecture.
        facts: what the configuration has to say; what is not about the network is left out.
        n_outputs: rows of the last layer.

    Raises:
        ModelError: the configuration makes no sense, or has more layers than there are weights.
    """
    config = _config(checkpoint, model_type, facts, n_outputs)
    n_layers = config.num_hidden_layers
    if type(n_layers) is not int:
        raise ModelError(
            f"{checkpoint.name}: config.json says {n_layers!r} layers, expected a whole number. "
            f"Fetch the checkpoint again, or repair config.json."
        )
    held = n_layers_held(checkpoint.shapes)
    if n_layers > held:
        raise ModelError(
            f"{checkpoint.name}: config.json says {n_layers} layers and the weights have {held}. "
            f"Fetch the checkpoint again, or repair config.json."
        )
    return config


def _config(
    checkpoint: Checkpoint, model_type: str, facts: Mapping[str, Any], n_outputs: int
) -> Any:
    kept = {key: value for key, value in facts.items() if key not in _SET_ASIDE}
    with _sense(checkpoint):
        return transformers.AutoConfig.for_model(model_type, **kept, num_labels=n_outputs)


def load_classifier(checkpoint: Checkpoint, kinds: Any, n_outputs: int) -> Any:
    """A classifier of any architecture that the library has, with the weights of a checkpoint.

    The library decides which tensor goes where, as it does in its own pipelines. What it would fill
    with random numbers is an error.

    Args:
        checkpoint: what to load.
        kinds: the library's classes by the class of the configuration.
        n_outputs: rows of the last layer.

    Returns:
        The network in fp32, ready to predict; its configuration is its attribute ``config``.

    Raises:
        ModelError: the configuration makes no sense, or tensors are missing, left over or of
            another shape.
    """
    config = _config(
        checkpoint, str(checkpoint.config.get("model_type")), checkpoint.config, n_outputs
    )
    with _sense(checkpoint):
        _check_size(checkpoint, config)
        kind = kinds[type(config)]
        expected = skeleton_shapes(checkpoint, lambda: kind(config))
        _check_weights(checkpoint, expected)
        network, found = fill(kind, config, checkpoint.load(), output_loading_info=True)
    missing, unused = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    check_complete(checkpoint.name, missing, unused)
    return network


def _check_size(checkpoint: Checkpoint, config: Any) -> None:
    """Refuse layers that there are no tensors for, before any is built.

    Raises:
        ModelError: there are more layers than tensors.
    """
    n_layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if n_layers > len(checkpoint.shapes):
        raise ModelError(
            f"{checkpoint.name}: config.json says {n_layers} layers and the weights have "
            f"{len(checkpoint.shapes)} tensors. Fetch the checkpoint again, or repair config.json."
        )


def _check_weights(checkpoint: Checkpoint, expected: Shapes) -> None:
    """Refuse a network much larger than its weights, before memory is taken for it.

    Raises:
        ModelError: it is.
    """
    n_expected = sum(math.prod(shape) for shape in expected.values())
    if n_expected > MOST_TIED * max(1, checkpoint.n_parameters):
        raise ModelError(
            f"{checkpoint.name}: config.json describes a network of {n_expected:,} weights and the "
            f"checkpoint has {checkpoint.n_parameters:,}. Fetch the checkpoint again, or repair "
            f"config.json."
        )


def skeleton_shapes(checkpoint: Checkpoint, build: Callable[[], nn.Module]) -> Shapes:
    """Names and shapes of a network's tensors, found without memory for them.

    Raises:
        ModelError: no network can be built from the configuration.
    """
    with _sense(checkpoint), torch.device("meta"):
        return {key: tuple(tensor.shape) for key, tensor in build().state_dict().items()}


def fill(kind: Any, config: Any, tensors: Mapping[str, Tensor], **options: Any) -> Any:
    """A network of the library with given weights, in fp32, ready to predict.

    Args:
        kind: class of the network.
        config: its configuration.
        tensors: all weights by the network's own names.
        options: what the class or the library takes beyond a configuration.
    """
    with silence():
        return kind.from_pretrained(
            None, config=config, state_dict=dict(tensors), dtype=torch.float32, **options
        )


def place_network(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Put a network on a device to predict in a number format.

    Only the library's model inside a classifier is changed to it. What comes behind, pooling and
    head, takes its states in fp32, for it costs no time and decides most of the digits.

    Returns:
        The network itself.
    """
    bodies = [part for part in module.children() if isinstance(part, transformers.PreTrainedModel)]
    module.to(device=device, dtype=torch.float32 if bodies else dtype).eval()
    if dtype != torch.float32:
        for body in bodies:
            nn.Module.to(body, dtype)  # the library wraps its own, and nothing here is quantised
            body.register_forward_hook(_give_fp32)
    return module


def _give_fp32(_module: nn.Module, _given: Any, output: Any) -> Any:
    """The states that a model gives, in fp32."""
    if isinstance(output, Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, dict):  # the library's ModelOutput is one
        parts = {key: _give_fp32(_module, _given, value) for key, value in output.items()}
        return type(output)(**parts)
    if isinstance(output, tuple):
        return tuple(_give_fp32(_module, _given, value) for value in output)
    return output


@contextmanager
def _sense(checkpoint: Checkpoint) -> Iterator[None]:
    """Turn what the library says about a senseless configuration into one sentence."""
    try:
        yield
    except ModelError:
        raise
    except _NONSENSE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{checkpoint.name}: config.json describes no network that can be built ({reason}). "
            f"Fetch the checkpoint again, or repair config.json."
        ) from error


@contextmanager
def silence() -> Iterator[None]:
    """Keep the library's progress bar, reports and warnings away from standard error."""
    verbosity = library_logging.get_verbosity()
    shows_progress = library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if shows_progress:
            library_logging.enable_progress_bar()
