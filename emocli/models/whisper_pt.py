"""Checkpoints of openai-whisper, one ``.pt`` file, seen as checkpoints of the transformers library.

Only the encoder is: its tensors go by the library's names.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from emocli.errors import ModelError
from emocli.models.checkpoint import Checkpoint, Shapes

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".pt"
_RENAMES = (
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".cross_attn.", ".encoder_attn."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    (".mlp_ln.", ".final_layer_norm."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    (".ln_post.", ".layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".token_embedding.", ".embed_tokens."),
    (".positional_embedding", ".embed_positions.weight"),
)
_SIZES = {
    "d_model": "n_audio_state",
    "encoder_attention_heads": "n_audio_head",
    "encoder_layers": "n_audio_layer",
    "max_source_positions": "n_audio_ctx",
    "num_mel_bins": "n_mels",
}


class WhisperFile(Checkpoint):
    """A ``.pt`` file, named in ``weights``."""

    @cached_property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` would say of the encoder.

        Raises:
            ModelError: the file is none of openai-whisper's.
        """
        sizes = {own: int(self._content["dims"][theirs]) for own, theirs in _SIZES.items()}
        return {
            "model_type": "whisper",
            "encoder_ffn_dim": 4 * sizes["d_model"],
            "activation_function": "gelu",
            **sizes,
        }

    @cached_property
    def preprocessor(self) -> dict[str, Any]:
        """Nothing, for all of them take 16 kHz."""
        return {}

    @cached_property
    def shapes(self) -> Shapes:
        """Names and shapes of the encoder's tensors."""
        return {name: tuple(tensor.shape) for name, tensor in self.load().items()}

    def load(self) -> dict[str, "Tensor"]:
        """The encoder's tensors, on the CPU, by the library's names."""
        tensors = self._content["model_state_dict"]
        return {hub_name(key): value.float() for key, value in tensors.items() if _is_wanted(key)}

    @cached_property
    def _content(self) -> dict[str, Any]:
        import torch

        path = self.weight_files[0]
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if set(_SIZES.values()) <= set(content["dims"]) and content["model_state_dict"]:
                return dict(content)
        except (
            torch.serialization.pickle.UnpicklingError,
            OSError,
            RuntimeError,
            EOFError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
        ):
            pass
        raise ModelError(
            f"{path} holds no checkpoint of openai-whisper, expected its dims and weights. "
            f"Fetch it again, or name a folder with config.json and weights."
        )


def _is_wanted(key: str) -> bool:
    return key.startswith("encoder.")


def hub_name(key: str) -> str:
    """What transformers calls a tensor of openai-whisper.

    Example:
        >>> hub_name("encoder.blocks.0.attn.query.weight")
        'encoder.layers.0.self_attn.q_proj.weight'
    """
    for old, new in _RENAMES:
        key = key.replace(old, new)
    return key
