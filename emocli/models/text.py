"""Text recognisers from transformers checkpoints: BERT and its kin with a classification head."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from emocli.errors import MissingDependency, ModelError
from emocli.models.aliases import Alias
from emocli.models.batching import plan_batches
from emocli.models.building import fill, library_config, skeleton_shapes
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.outputs import name_outputs
from emocli.models.protocol import ModelCard

# Their position numbers start after the number of the padding token.
OFFSET_POSITIONS = {"camembert", "roberta", "xlm-roberta"}
TEXT_TYPES = OFFSET_POSITIONS | {"bert", "deberta", "deberta-v2", "distilbert", "electra"}
OUTPUT_LAYERS = ("classifier.out_proj.weight", "classifier.weight")
VOCABULARIES = {"tokenizer.json", "vocab.json", "vocab.txt"}
TOKENS_PER_BATCH = {"cpu": 2048, "mps": 8192, "cuda": 32768}
"""Most tokens in a batch with padding, unless the user says otherwise."""

Preprocess = Callable[[str], str]


class TextRecognizer:
    """A `Recognizer` of texts.

    Padding is masked, so a text's result is the same in any batch but for rounding.

    Attributes:
        card: what the model is.
        max_tokens: longest input with its special tokens; what is beyond is not read.
    """

    def __init__(
        self,
        card: ModelCard,
        network: Any,
        tokenizer: Any,
        preprocess: Preprocess,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
    ) -> None:
        self.card = card
        self.max_tokens = longest_input(tokenizer, network.config)
        self._network = network.to(device=device, dtype=dtype).eval()
        self._tokenizer, self._preprocess = tokenizer, preprocess
        self._device = device
        self._batch_size = batch_size

    @property
    def module(self) -> Any:
        """The network itself."""
        return self._network

    def logits(self, utterances: Sequence[str]) -> NDArray[np.float64]:
        """Scores of texts; see `Recognizer.logits`.

        Raises:
            ModelError: memory runs out.
        """
        result = np.empty((len(utterances), len(self.card.outputs)))
        tokens = [self._tokens(text, cut=True) for text in utterances]
        most = TOKENS_PER_BATCH.get(self._device.type, TOKENS_PER_BATCH["cpu"])
        for batch in plan_batches(
            [len(ids) for ids in tokens], batch_size=self._batch_size, max_total=most, mixed=True
        ):
            result[batch] = self._score([tokens[i] for i in batch])
        return result

    def remarks(self, utterances: Sequence[str]) -> list[str]:
        """What of each text the model does not read, empty where it reads all."""
        counts = [len(self._tokens(text, cut=False)) for text in utterances]
        return [
            f"text cut to {self.max_tokens} of {count} tokens" if count > self.max_tokens else ""
            for count in counts
        ]

    def _tokens(self, text: str, *, cut: bool) -> list[int]:
        encoded = self._tokenizer(
            self._preprocess(text),
            truncation=cut,
            max_length=self.max_tokens if cut else None,
            verbose=False,
        )
        return list(encoded["input_ids"])

    def _score(self, tokens: Sequence[list[int]]) -> NDArray[np.float64]:
        """Logits of one batch, shape (n_utterances, n_outputs)."""
        longest = max(1, *map(len, tokens))
        ids = torch.full((len(tokens), longest), self._network.config.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, (known, used) in zip(tokens, zip(ids, mask, strict=True), strict=True):
            known[: len(row)] = torch.tensor(row)
            used[: len(row)] = 1
        try:
            with torch.inference_mode():
                scored = self._network(
                    ids.to(self._device), attention_mask=mask.to(self._device)
                ).logits
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"{self.card.name}: memory of {self._device} ran out with {len(tokens)} texts of "
                f"up to {longest} tokens at once. Use a smaller --batch-size."
            ) from error
        return np.asarray(scored.double().cpu().numpy())


def load_text(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    *,
    alias: Alias | None = None,
    batch_size: int | None = None,
) -> TextRecognizer:
    """A text recogniser from a checkpoint.

    Args:
        checkpoint: what to load.
        device: where to compute.
        dtype: number format to compute in.
        alias: facts that the checkpoint itself may lack.
        batch_size: most texts at once; None for a size that suits the device.

    Raises:
        ModelError: the checkpoint or its tokenizer is incomplete, contradicts itself or is of an
            unknown kind.
    """
    shapes, name = checkpoint.shapes, checkpoint.name
    n_outputs = next((shapes[key][0] for key in OUTPUT_LAYERS if shapes.get(key)), 2)
    config = library_config(
        checkpoint,
        str(checkpoint.config.get("model_type")),
        checkpoint.config,
        n_outputs,
    )
    kind: Any = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    names = match_names(name, shapes, skeleton_shapes(checkpoint, lambda: kind(config)))
    outputs = name_outputs(name, checkpoint.config, n_outputs, alias)
    tokenizer = load_tokenizer(checkpoint, config)
    tensors = checkpoint.load()
    network = fill(kind, config, {target: tensors[key] for target, key in names.items()})
    card = ModelCard(
        name=name,
        revision=checkpoint.revision,
        modality="text",
        labels=outputs.labels,
        dimensions=outputs.dimensions,
        multi_label=outputs.multi_label,
        sampling_rate=0,
        n_parameters=checkpoint.n_parameters,
        size_bytes=checkpoint.size_bytes,
        licence=(alias.licence if alias else "") or checkpoint.licence,
        source=f"hf:{name}" if checkpoint.revision else str(checkpoint.folder),
        description=alias.description if alias else "",
    )
    return TextRecognizer(
        card,
        network,
        tokenizer,
        preprocessing_of(checkpoint),
        device,
        dtype,
        batch_size=batch_size,
    )


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


def preprocessing_of(checkpoint: Checkpoint) -> Preprocess:
    """What a checkpoint's card asks to be done to texts, known by where it comes from."""
    origins = (checkpoint.name, str(checkpoint.config.get("_name_or_path", "")))
    if any(origin.lower().startswith("cardiffnlp/twitter-") for origin in origins):
        return mask_users_and_links
    return str


def load_tokenizer(checkpoint: Checkpoint, config: Any) -> Any:
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
    if len(tokenizer) > config.vocab_size:
        raise ModelError(
            f"{checkpoint.name}: the tokenizer has {len(tokenizer)} tokens and the network "
            f"{config.vocab_size}. The files do not belong together; fetch the checkpoint again."
        )
    return tokenizer


def longest_input(tokenizer: Any, config: Any) -> int:
    """Longest input of a network that its tokenizer allows too."""
    positions = config.max_position_embeddings
    if config.model_type in OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    return int(min(positions, tokenizer.model_max_length))


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
