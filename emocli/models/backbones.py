"""The encoder inside a checkpoint: bare, or under a classifier, a recogniser or pretraining heads.

Tensors of the encoder have to be there to the last one; those of heads are left alone.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emocli.models.building import fill, library_config, skeleton_shapes
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.encoders import parse_layer
from emocli.models.speech import CHALLENGE_TYPE, WHISPER_TYPE, challenge_encoder

LAYER_WEIGHTS = "layer_weights"
"""Name of the weights that a classifier of the library averages hidden states by."""


@dataclass(frozen=True)
class Backbone:
    """An encoder without heads, ready to predict.

    Attributes:
        module: the network.
        config: its configuration.
        layer_weights: what the checkpoint averages hidden states by, summing to 1, shape
            (n_layers + 1,); None if it has no such weights.
    """

    module: Any
    config: Any
    layer_weights: Tensor | None = None

    @property
    def n_layers(self) -> int:
        """Blocks of the network."""
        return int(self.config.num_hidden_layers)

    @property
    def usual_layer(self) -> str:
        """The layer that suits emotion best where none is named.

        The later blocks of Whisper's encoder leave out what words do not need, the voice among it.
        Logistic regressions on its middle blocks (base and tiny.en; RAVDESS and nEMO, speakers
        apart) had a UAR 0.035 to 0.087 above those on its last one;
        ``tests/benchmarks/encoder_layers.py`` measures it. No other family was measured, so the
        others give what they were trained to give.
        """
        if isinstance(self.module, WhisperEncoder):
            return str(self.n_layers // 2)
        return "last"


@dataclass(frozen=True)
class LayerReader:
    """Takes one sequence of hidden states out of what a network gives.

    Attributes:
        layer: ``last``, ``weighted`` or a number.
        weights: for ``weighted``; None to average evenly.
    """

    layer: str
    weights: Tensor | None = None

    @property
    def needs_all(self) -> bool:
        """Whether the network has to give its hidden states."""
        return self.layer != "last"

    def __call__(self, given: Any) -> Tensor:
        """Shape (n_utterances, n_frames, dim)."""
        if self.layer == "last":
            return given.last_hidden_state
        if self.layer != "weighted":
            return given.hidden_states[int(self.layer)]
        stacked = torch.stack(given.hidden_states, dim=1)  # (n_utterances, n_layers + 1, T, dim)
        if self.weights is None:
            return stacked.mean(1)
        weights = self.weights.to(stacked)
        return (stacked * weights[:, None, None]).sum(1)


def load_backbone(checkpoint: Checkpoint) -> Backbone:
    """The encoder of a checkpoint.

    Raises:
        ModelError: its tensors are incomplete or do not fit the configuration; names them.
    """
    model_type = str(checkpoint.config.get("model_type"))
    facts = checkpoint.config
    if model_type == CHALLENGE_TYPE:
        model_type, facts = challenge_encoder(checkpoint)
    config = library_config(checkpoint, model_type, facts)
    kind: Any = WhisperEncoder if model_type == WHISPER_TYPE else _kind(config)
    options = _options(kind)
    prefix = _prefix(checkpoint, kind)
    held = {
        key.removeprefix(prefix): shape
        for key, shape in checkpoint.shapes.items()
        if key.startswith(prefix)
    }
    expected = skeleton_shapes(checkpoint, lambda: kind(config, **options))
    # Poolers come after the last hidden state. A checkpoint without a prefix may have heads.
    ignored = "" if prefix else f"^({LAYER_WEIGHTS}|projector|classifier)"
    names = match_names(
        checkpoint.name, held, expected, ignored="|".join(filter(None, [r"^pooler\.", ignored]))
    )
    tensors = checkpoint.load()
    network = fill(
        kind, config, {target: tensors[prefix + key] for target, key in names.items()}, **options
    )
    weights = tensors.get(LAYER_WEIGHTS)
    return Backbone(network, config, None if weights is None else weights.float().softmax(0))


def layer_reader(name: str, backbone: Backbone, layer: str) -> LayerReader:
    """What takes a layer out of the hidden states of a backbone, ``auto`` the usual one.

    Raises:
        ModelError: the network has no such layer.
    """
    wanted = backbone.usual_layer if layer == "auto" else layer
    return LayerReader(parse_layer(name, wanted, backbone.n_layers), backbone.layer_weights)


def leave_out_later_blocks(backbone: Backbone, read: LayerReader) -> None:
    """Take blocks out of a network that come after the layer that is read.

    One block more than needed stays, for what leaves the last may be normalised once more.
    """
    if not read.layer.isdecimal():
        return
    for parent in list(backbone.module.modules()):
        for name, blocks in list(parent.named_children()):
            if name in ("layer", "layers") and isinstance(blocks, nn.ModuleList):
                setattr(parent, name, blocks[: int(read.layer) + 1])


def _kind(config: Any) -> Any:
    return transformers.MODEL_MAPPING[type(config)]


def _options(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def _prefix(checkpoint: Checkpoint, kind: Any) -> str:
    """What the names of the encoder's tensors begin with in the checkpoint."""
    if kind is WhisperEncoder:
        candidates = ["model.encoder.", "encoder."]
    else:
        candidates = ["ssl_model.", f"{kind.base_model_prefix}."]
    return next(
        (
            prefix
            for prefix in candidates
            if any(key.startswith(prefix) for key in checkpoint.shapes)
        ),
        "",
    )
