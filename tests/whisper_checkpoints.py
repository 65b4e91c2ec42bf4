"""Tiny random Whisper checkpoints, the same weights in the forms of both libraries."""

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
import whisper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import bytes_to_unicode
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.tokenizer import get_tokenizer

N_VOCABULARY = 51865
N_ENGLISH = 51864  # of the models that know English only
N_CONTEXT = 448  # faster-whisper counts on that of the published models
WIDTH, N_HEADS = 16, 2


@cache
def network(n_vocabulary: int = N_VOCABULARY) -> Any:
    """A network of openai-whisper with random weights that are the same each time.

    Positions point at a few tokens of text and then at the end, so that texts are short.
    """
    dims = whisper.model.ModelDimensions(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=WIDTH,
        n_audio_head=N_HEADS,
        n_audio_layer=1,
        n_vocab=n_vocabulary,
        n_text_ctx=N_CONTEXT,
        n_text_state=WIDTH,
        n_text_head=N_HEADS,
        n_text_layer=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = whisper.model.Whisper(dims).eval()
        for name, weights in made.named_parameters():
            torch.nn.init.normal_(weights, std=0.3)
            if "ln" in name and name.endswith("weight"):
                torch.nn.init.ones_(weights)
        words = vocabulary(n_vocabulary)
        start = words.timestamp_begin
        said = [start, *words.encode(" He had not seen the harbour."), start + 1000, words.eot]
        if made.is_multilingual:
            said = [words.to_language_token("en"), words.transcribe, *said]
        tokens = made.decoder.token_embedding.weight.data
        for place, position in enumerate(made.decoder.positional_embedding.data):
            position += 100 * tokens[said[place % len(said)]]
    return made


@cache
def vocabulary(n_vocabulary: int = N_VOCABULARY) -> Any:
    """The vocabulary of a network; the package leaves its file for Python to close."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return get_tokenizer(n_vocabulary > N_ENGLISH, num_languages=99)


def write_openai(path: Path, n_vocabulary: int = N_VOCABULARY) -> Path:
    """The network as a ``.pt`` file."""
    made = network(n_vocabulary)
    torch.save({"dims": vars(made.dims), "model_state_dict": made.state_dict()}, path)
    return path


def write_hub(folder: Path, n_vocabulary: int = N_VOCABULARY) -> Path:
    """The network as a folder of the hub, with its tokenizer."""
    made, tokenizer = network(n_vocabulary), vocabulary(n_vocabulary)
    config = transformers.WhisperConfig(
        vocab_size=n_vocabulary,
        num_mel_bins=80,
        d_model=WIDTH,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=N_HEADS,
        decoder_attention_heads=N_HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        max_source_positions=1500,
        max_target_positions=N_CONTEXT,
        decoder_start_token_id=tokenizer.sot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        pad_token_id=tokenizer.eot,
    )
    same = transformers.WhisperForConditionalGeneration(config).eval()
    weights = {renamed(name): value for name, value in made.state_dict().items()}
    assert same.load_state_dict(weights, strict=False).unexpected_keys == []
    same.tie_weights()
    same.save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    task = DecodingTask(made, DecodingOptions(language="en", fp16=False))
    generation |= {
        "is_multilingual": made.is_multilingual,
        "suppress_tokens": list(task._get_suppress_tokens()),
        "begin_suppress_tokens": [*tokenizer.encode(" "), tokenizer.eot],
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "prev_sot_token_id": tokenizer.sot_prev,
        "max_initial_timestamp_index": 50,
    }
    if made.is_multilingual:
        codes, tokens = tokenizer.all_language_codes, tokenizer.all_language_tokens
        generation |= {
            "lang_to_id": {f"<|{code}|>": token for code, token in zip(codes, tokens, strict=True)},
            "task_to_id": {
                "transcribe": tokenizer.transcribe,
                "translate": tokenizer.translate,
            },
        }
    (folder / "generation_config.json").write_text(json.dumps(generation))
    write_tokenizer(folder, n_vocabulary)
    return folder


_NAMES = (
    ("blocks", "layers"),
    ("cross_attn_ln", "encoder_attn_layer_norm"),
    ("cross_attn", "encoder_attn"),
    ("attn_ln", "self_attn_layer_norm"),
    ("attn.query", "attn.q_proj"),
    ("attn.key", "attn.k_proj"),
    ("attn.value", "attn.v_proj"),
    ("attn.out", "attn.out_proj"),
    (".attn.", ".self_attn."),
    ("mlp_ln", "final_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
    ("ln_post", "layer_norm"),
    ("decoder.ln.", "decoder.layer_norm."),
    ("token_embedding", "embed_tokens"),
    ("positional_embedding", "embed_positions.weight"),
)


def renamed(name: str) -> str:
    """The name of a tensor in transformers."""
    for old, new in _NAMES:
        name = name.replace(old, new)
    return f"model.{name}"


@cache
def tokenizer_json(n_vocabulary: int) -> str:
    """A published vocabulary, from the copy in openai-whisper's package."""
    tokenizer = vocabulary(n_vocabulary)
    ranks = tokenizer.encoding._mergeable_ranks
    letters = bytes_to_unicode()

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        tuple(spell(part) for part in _parts(token, ranks)) for token in ranks if len(token) > 1
    ]
    spelled = {spell(token): rank for token, rank in ranks.items()}
    made = Tokenizer(models.BPE(vocab=spelled, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = sorted(tokenizer.special_tokens.items(), key=lambda entry: entry[1])
    made.add_tokens(
        [AddedToken(text, special=not text[2].isdigit(), normalized=False) for text, _ in special]
    )
    return made.to_str()


def write_tokenizer(folder: Path, n_vocabulary: int) -> None:
    """The vocabulary of a network as files of the hub."""
    (folder / "tokenizer.json").write_text(tokenizer_json(n_vocabulary), "utf-8")
    end = "<|endoftext|>"
    names = {f"{kind}_token": end for kind in ("bos", "eos", "unk", "pad")}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "WhisperTokenizer", **names})
    )


def _parts(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens that a token was merged from."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        known = [ranks.get(parts[i] + parts[i + 1], N_VOCABULARY) for i in range(len(parts) - 1)]
        at = known.index(min(known))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts
