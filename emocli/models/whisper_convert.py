"""Checkpoints of Whisper as CTranslate2, the engine of faster-whisper, wants them.

Both kinds go through the network of transformers, whose names CTranslate2's converter knows.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from ctranslate2.converters import Converter
from ctranslate2.converters.transformers import WhisperLoader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from emocli.errors import ModelError
from emocli.models.whisper_faster import FACTS
from emocli.models.whisper_openai import OpenAIWhisper
from emocli.models.whisper_transformers import TransformersWhisper

_NAMES = (
    (r"\.blocks\.", ".layers."),
    (r"\.cross_attn_ln\.", ".encoder_attn_layer_norm."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.attn\.", ".self_attn."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.query\.", ".q_proj."),
    (r"\.key\.", ".k_proj."),
    (r"\.value\.", ".v_proj."),
    (r"\.out\.", ".out_proj."),
    (r"\.ln_post\.|\.ln\.", ".layer_norm."),
    (r"\.token_embedding\.", ".embed_tokens."),
    (r"\.positional_embedding$", ".embed_positions.weight"),
)
"""Names of tensors in openai-whisper, and in transformers."""


def convert_openai(network: OpenAIWhisper, folder: Path) -> Path:
    """A network of openai-whisper, converted into a folder.

    Raises:
        ModelError: the folder cannot be written.
    """
    model = network.model
    dims = model.dims
    config = transformers.WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer,
        encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
        max_source_positions=dims.n_audio_ctx,
        max_target_positions=dims.n_text_ctx,
    )
    with torch.device("meta"):
        other = transformers.WhisperForConditionalGeneration(config)
    weights = {_renamed(name): value for name, value in model.state_dict().items()}
    other.load_state_dict(weights, strict=False, assign=True)
    other.tie_weights()
    words = network._tokenizer
    generation = {
        "begin_suppress_tokens": [*words.encode(" "), words.eot],
        "alignment_heads": model.alignment_heads.indices().T.tolist(),
        "lang_to_id": dict(zip(words.all_language_codes, words.all_language_tokens, strict=True)),
    }
    tokenizer = _as_tokenizer(words.encoding)
    return _convert(other, network.card.n_parameters, generation, tokenizer, folder)


def convert_transformers(network: TransformersWhisper, folder: Path) -> Path:
    """A network of transformers, converted into a folder.

    Raises:
        ModelError: the folder cannot be written.
    """
    generation = {
        "begin_suppress_tokens": list(network._vocabulary.blank),
        "alignment_heads": [list(head) for head in network._aligned_heads],
        "lang_to_id": network._languages,
    }
    tokenizer = network.tokenizer.backend_tokenizer
    return _convert(network.model, network.card.n_parameters, generation, tokenizer, folder)


def _renamed(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return f"model.{name}"


def _as_tokenizer(encoding: Any) -> Tokenizer:
    """A vocabulary of openai-whisper in the form of the hub."""
    ranks: Mapping[bytes, int] = encoding._mergeable_ranks
    letters = _byte_letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        (spelled[first], spelled[second])
        for token in ranks
        if len(token) > 1
        for first, second in [_merged_from(token, ranks)]
    ]
    made = Tokenizer(
        models.BPE(vocab={spelled[token]: rank for token, rank in ranks.items()}, merges=merges)
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = sorted(encoding._special_tokens.items(), key=lambda entry: entry[1])
    made.add_tokens(
        [AddedToken(text, special=not text[2].isdigit(), normalized=False) for text, _ in special]
    )
    return made


def _byte_letters() -> dict[int, str]:
    """The printable letter that stands for each byte in vocabularies of this kind."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + index) for index, byte in enumerate(rest)
    }


def _merged_from(token: bytes, ranks: Mapping[bytes, int]) -> Sequence[bytes]:
    """The two tokens that a token was merged from, always those of the lowest rank first."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        known = [ranks.get(parts[i] + parts[i + 1], len(ranks)) for i in range(len(parts) - 1)]
        at = known.index(min(known))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


class _LoadedConverter(Converter):
    """The converter of transformers' Whisper, for a network that is loaded already."""

    def __init__(self, model: Any, vocabulary: Mapping[str, int]) -> None:
        self._model = model
        self._vocabulary = vocabulary

    def get_vocab(self) -> Mapping[str, int]:
        return self._vocabulary

    def _load(self) -> Any:
        with torch.no_grad():
            return WhisperLoader()(self._model, self)


def _convert(
    model: Any, n_parameters: int, generation: Mapping[str, Any], tokenizer: Tokenizer, folder: Path
) -> Path:
    """Convert into a folder beside and move it into place, so that no half of one is ever used."""
    for name, value in {"suppress_tokens": [], **generation}.items():
        setattr(model.generation_config, name, value)
    vocabulary = {
        token: number
        for token, number in tokenizer.get_vocab().items()
        if number < model.config.vocab_size
    }
    halves = all(value.dtype == torch.float16 for value in model.state_dict().values())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            made = scratch / "made"
            _LoadedConverter(model, vocabulary).convert(
                str(made), quantization="float16" if halves else None
            )
            tokenizer.save(str(made / "tokenizer.json"))
            (made / "preprocessor_config.json").write_text(
                json.dumps({"feature_size": model.config.num_mel_bins})
            )
            (made / FACTS).write_text(
                json.dumps(
                    {
                        "n_text_ctx": model.config.max_target_positions,
                        "n_parameters": n_parameters,
                    }
                )
            )
            if not folder.is_dir():
                made.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ModelError(
            f"{folder}: the converted checkpoint cannot be written ({error.strerror or error}), "
            f"expected a folder with space. Name another with EMOCLI_CACHE."
        ) from None
    return folder
