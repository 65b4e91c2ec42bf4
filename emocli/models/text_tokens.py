"""Texts as the tokens that text networks read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from emocli.errors import MissingDependency, ModelError
from emocli.models.batching import plan_batches
from emocli.models.checkpoint import Checkpoint

# Their position numbers start after the number of the padding token.
OFFSET_POSITIONS = {
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}
MOST_TOKENS = 8192
"""Of a text for networks that set no limit, whose memory grows with the square."""
VOCABULARIES = {"tokenizer.json", "vocab.json", "vocab.txt"}
TOKENS_PER_BATCH = {"cpu": 2048, "mps": 8192, "cuda": 32768}
"""Most tokens in a batch with padding, unless the user says otherwise."""

Preprocess = Callable[[str], str]


@dataclass(frozen=True)
class TextTokens:
    """How a network reads texts.

    Attributes:
        tokenizer: of the network.
        preprocess: what is done to a text first.
        max_tokens: longest input with its special tokens; what is beyond is not read.
        padding: token that fills up the shorter texts of a batch.
    """

    tokenizer: Any
    preprocess: Preprocess
    max_tokens: int
    padding: int

    def of(self, text: str) -> list[int]:
        """The tokens of a text, those beyond the longest input left out."""
        return self._encoded(text, truncation=True, max_length=self.max_tokens)

    def remarks(self, texts: Sequence[str]) -> list[str]:
        """What of each text is not read, empty where all is."""
        counts = [len(self._encoded(text)) for text in texts]
        return [
            f"text cut to {self.max_tokens} of {count} tokens" if count > self.max_tokens else ""
            for count in counts
        ]

    def padded(
        self, tokens: Sequence[Sequence[int]], *, at_least: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Padded tokens and their mask, shape (n_texts, n_tokens), on the CPU.

        Args:
            tokens: of each text.
            at_least: positions to fill up.
        """
        longest = max(at_least, *map(len, tokens))
        ids = torch.full((len(tokens), longest), self.padding)
        mask = torch.zeros_like(ids)
        for place, own in enumerate(tokens):
            ids[place, : len(own)] = torch.tensor(own)
            mask[place, : len(own)] = 1
        return ids, mask

    def library_inputs(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """All that the library's tokenizer gives for texts of one length, on the CPU."""
        cleaned = [self.preprocess(text) for text in texts]
        return dict(
            self.tokenizer(
                cleaned,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
                verbose=False,
            )
        )

    def _encoded(self, text: str, **limits: Any) -> list[int]:
        encoded = self.tokenizer(self.preprocess(text), verbose=False, **limits)
        return list(encoded["input_ids"])


def token_batches(
    tokens: Sequence[Sequence[int]],
    device: torch.device,
    batch_size: int | None,
    *,
    mixed: bool = True,
) -> Iterator[NDArray[np.intp]]:
    """Places of texts that go through a network at once, the longest texts first.

    Args:
        tokens: of each text.
        device: decides how many tokens a batch has, unless ``batch_size`` says how many texts.
        batch_size: most texts at once.
        mixed: whether lengths may differ in a batch.
    """
    most = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
    return plan_batches(list(map(len, tokens)), batch_size=batch_size, max_total=most, mixed=mixed)


@contextmanager
def telling_of_memory(
    name: str, device: torch.device, tokens: Sequence[Sequence[int]]
) -> Iterator[None]:
    """Say which batch of texts the memory did not hold.

    Raises:
        ModelError: memory runs out.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{name}: memory of {device} ran out with {len(tokens)} texts of up to "
            f"{max(1, *map(len, tokens))} tokens at once. Use a smaller --batch-size."
        ) from error


def mask_users_and_links(text: str) -> str:
    """A text with user names as ``@user`` and links as ``http``.

    Source: the model cards of the ``cardiffnlp/twitter-*`` checkpoints, which were trained so.

    Example:
        >>> mask_users_and_links("@ada look: https://example.org @ 5")
        '@user look: http @ 5'
    """
    return " ".join(
        "@user"
        if word.startswith("@") and len(word) > 1
        else "http"
        if word.startswith("http")
        else word
        for word in text.split(" ")
    )


def _preprocessing_of(checkpoint: Checkpoint) -> Preprocess:
    """What a checkpoint's card asks to be done to texts, known by where it comes from."""
    origins = (checkpoint.name, str(checkpoint.config.get("_name_or_path", "")))
    if any(origin.lower().startswith("cardiffnlp/twitter-") for origin in origins):
        return mask_users_and_links
    return str


def load_tokens(checkpoint: Checkpoint, config: Any, max_tokens: int | None = None) -> TextTokens:
    """How a checkpoint's network reads texts.

    Args:
        checkpoint: what to load.
        config: of the network, as the library has it.
        max_tokens: of a text; no more than the network takes, which None stands for.

    Raises:
        ModelError: there is no tokenizer, it cannot be read, or it has more tokens than the
            network.
        MissingDependency: it takes further packages to read.
    """
    tokenizer = _load_tokenizer(checkpoint, config)
    longest = _longest_input(tokenizer, config)
    most = longest if max_tokens is None else min(max_tokens, longest)
    return TextTokens(tokenizer, _preprocessing_of(checkpoint), most, config.pad_token_id or 0)


def _load_tokenizer(checkpoint: Checkpoint, config: Any) -> Any:
    """The tokenizer that a checkpoint's folder holds.

    Raises:
        ModelError: there is none, it cannot be read, or it has more tokens than the network.
        MissingDependency: it takes further packages to read.
    """
    _check_tokenizer_files(checkpoint)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, config=config, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the tokenizers library raises nothing narrower
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{checkpoint.name}: no tokenizer can be read from {checkpoint.folder} ({reason}). "
            f"Fetch the checkpoint again with its tokenizer files."
        ) from error
    if len(tokenizer) > getattr(config, "vocab_size", len(tokenizer)):
        raise ModelError(
            f"{checkpoint.name}: the tokenizer has {len(tokenizer)} tokens and the network "
            f"{config.vocab_size}. The files do not belong together; fetch the checkpoint again."
        )
    return tokenizer


def _longest_input(tokenizer: Any, config: Any) -> int:
    """Longest input of a network that its tokenizer allows too."""
    positions = getattr(config, "max_position_embeddings", None) or 0
    if positions < 1:  # some say that there is no limit by -1
        positions = MOST_TOKENS
    if config.model_type in OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    return int(min(positions, tokenizer.model_max_length, MOST_TOKENS))


def _check_tokenizer_files(checkpoint: Checkpoint) -> None:
    """Refuse a folder whose tokenizer the library would replace by one without words.

    Raises:
        ModelError: there is no vocabulary.
        MissingDependency: there is one that takes further packages to read.
    """
    held = {path.name for path in checkpoint.folder.iterdir()}
    if held & VOCABULARIES:
        return
    if not any(name.endswith(".model") for name in held):
        raise ModelError(
            f"{checkpoint.name}: folder {checkpoint.folder} has no tokenizer, expected one of "
            f"{', '.join(sorted(VOCABULARIES))} or a SentencePiece model. Fetch the checkpoint "
            f"again with its tokenizer files."
        )
    if any(not _is_installed(package) for package in ("sentencepiece", "google.protobuf")):
        raise MissingDependency(
            f"{checkpoint.name}: its tokenizer is a SentencePiece model, and the packages "
            f"sentencepiece and protobuf that read it are not installed. Install them with "
            f"`pip install sentencepiece protobuf`."
        )


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False
