"""Checkpoints of transformers and of openai-whisper, converted once for CTranslate2."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
import whisper
from ctranslate2.converters import TransformersConverter
from safetensors.torch import save_file
from transformers.convert_slow_tokenizer import TikTokenConverter
from whisper.tokenizer import get_tokenizer

from emocli.asr.languages import LANGUAGES
from emocli.errors import ModelError
from emocli.models.building import silence
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.whisper_pt import hub_name


class _Converter(TransformersConverter):
    """CTranslate2's converter; a checkpoint must hold all weights of the network and no others."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(str(checkpoint.folder))
        self._checkpoint = checkpoint

    def load_model(self, model_class: Any, name: str, **kwargs: Any) -> Any:
        """The network with its weights."""
        checkpoint = self._checkpoint
        with torch.device("meta"):
            network = model_class(kwargs["config"])
        expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        del expected["proj_out.weight"]  # the same as the embedding of tokens
        places = match_names(checkpoint.name, checkpoint.shapes, expected)
        weights = checkpoint.load()
        network.load_state_dict(
            {target: weights[key] for target, key in places.items()}, strict=False, assign=True
        )
        network.tie_weights()
        self._network = network
        return network

    def load_tokenizer(self, tokenizer_class: Any, name: str, **kwargs: Any) -> Any:
        """The vocabulary, which the converted folder and the network's rules need too."""
        self.tokenizer = transformers.WhisperTokenizer.from_pretrained(name, local_files_only=True)
        tokens = self.tokenizer.get_vocab()
        if "<|startoftranscript|>" not in tokens:
            raise ValueError("the tokenizer has no <|startoftranscript|>")
        languages = {mark: tokens[mark] for code in LANGUAGES if (mark := f"<|{code}|>") in tokens}
        space = self.tokenizer.encode(" ", add_special_tokens=False)
        rules = {
            "suppress_tokens": [],
            "begin_suppress_tokens": [*space, tokens["<|endoftext|>"]],
            "lang_to_id": languages,
        }
        described = self._checkpoint.folder / "generation_config.json"
        if described.is_file():
            rules |= json.loads(described.read_text("utf-8"))
        for key in ("suppress_tokens", "begin_suppress_tokens", "lang_to_id", "alignment_heads"):
            if key in rules:
                setattr(self._network.generation_config, key, rules[key])
        return self.tokenizer


def convert_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Convert a checkpoint into a folder, which is there only when all of it is.

    Raises:
        ModelError: it is no Whisper checkpoint that writes text, its weights do not fit its
            configuration, it has no tokenizer, or the folder cannot be written.
    """
    found = checkpoint.config.get("model_type")
    if found != "whisper":
        raise ModelError(
            f"{checkpoint.name}: a model of type {found or 'unknown'}, expected whisper. "
            f"Choose a Whisper checkpoint, such as openai/whisper-base."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"{folder}: the converted checkpoint cannot be written ({error.strerror or error}), "
            f"expected a folder with space. Name another with EMOCLI_CACHE."
        ) from None
    try:
        _convert(checkpoint, scratch / "made")
        if not folder.is_dir():
            (scratch / "made").rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _convert(checkpoint: Checkpoint, folder: Path) -> None:
    converter = _Converter(checkpoint)
    try:
        with silence():
            converter.convert(str(folder))
        converter.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
        n_mels = checkpoint.config.get("num_mel_bins", 80)
        (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": n_mels}))
    except ModelError:
        raise
    except Exception as error:  # transformers and tokenizers raise nothing narrower
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{checkpoint.name}: cannot be converted for faster-whisper ({reason}), expected "
            f"config.json, weights and a tokenizer of a Whisper checkpoint. Fetch it again."
        ) from error


def convert_network(network: whisper.model.Whisper, name: str, folder: Path) -> None:
    """Convert a network of openai-whisper into a folder, by way of the form of transformers.

    Raises:
        ModelError: see `convert_checkpoint`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _write_hub_form(network, Path(scratch))
        convert_checkpoint(Checkpoint(Path(scratch), name), folder)


def _write_hub_form(network: whisper.model.Whisper, folder: Path) -> None:
    dims = network.dims
    transformers.WhisperConfig(
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
    ).save_pretrained(folder)
    tensors = {f"model.{hub_name(key)}": value for key, value in network.state_dict().items()}
    save_file(
        {key: value.clone().contiguous() for key, value in tensors.items()},
        folder / "model.safetensors",
    )
    heads = network.alignment_heads.indices().T.tolist()
    (folder / "generation_config.json").write_text(json.dumps({"alignment_heads": heads}))
    words = get_tokenizer(network.is_multilingual, num_languages=network.num_languages)
    vocabulary = "multilingual" if network.is_multilingual else "gpt2"
    TikTokenConverter(
        vocab_file=str(Path(whisper.__file__).parent / "assets" / f"{vocabulary}.tiktoken"),
        pattern=words.encoding._pat_str,
        extra_special_tokens=sorted(words.special_tokens, key=words.special_tokens.__getitem__),
    ).converted().save(str(folder / "tokenizer.json"))
    marks = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    (folder / "tokenizer_config.json").write_text(json.dumps(marks))
