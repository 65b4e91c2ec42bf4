"""Text recognisers from transformers checkpoints: BERT and its kin with a classification head."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from emocli.errors import ModelError
from emocli.models.aliases import Alias
from emocli.models.building import (
    fill,
    library_config,
    load_classifier,
    place_network,
    skeleton_shapes,
)
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.devices import dtype_name
from emocli.models.outputs import Outputs, count_outputs, name_outputs
from emocli.models.protocol import ModelCard, Recognizer
from emocli.models.text_tokens import (
    TextTokens,
    load_tokens,
    telling_of_memory,
    token_batches,
)

TEXT_TYPES = {
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "roberta",
    "xlm-roberta",
}
"""Kinds whose padding is masked exactly; others share a batch with texts of their own length."""
OUTPUT_LAYERS = ("classifier.out_proj.weight", "classifier.weight")


class TextRecognizer(Recognizer):
    """A `Recognizer` of texts.

    Padding is masked, so a text's result is the same in any batch but for rounding.

    Attributes:
        max_tokens: longest input with its special tokens; what is beyond is not read.
    """

    def __init__(
        self,
        card: ModelCard,
        outputs: Outputs,
        network: Any,
        tokens: TextTokens,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
    ) -> None:
        self.card = replace(card, number_format=dtype_name(dtype))
        self.engine = f"torch {dtype_name(dtype)}"
        self.max_tokens = tokens.max_tokens
        self.module = place_network(network, device, dtype)
        self._outputs = outputs
        self._tokens = tokens
        self._device = device
        self._batch_size = batch_size

    def _logits(self, utterances: Sequence[str]) -> NDArray[np.float64]:
        """Scores of texts; see `Recognizer.logits`.

        Raises:
            ModelError: memory runs out.
        """
        result = np.empty((len(utterances), self._outputs.n_logits))
        tokens = [self._tokens.of(text) for text in utterances]
        for batch in token_batches(tokens, self._device, self._batch_size):
            result[batch] = self._score([tokens[i] for i in batch])
        return self._outputs.logits(result)

    def remarks(self, utterances: Sequence[str]) -> list[str]:
        """What of each text the model does not read, empty where it reads all."""
        return self._tokens.remarks(utterances)

    def _score(self, tokens: Sequence[list[int]]) -> NDArray[np.float64]:
        """Logits of one batch, shape (n_utterances, n_outputs)."""
        with telling_of_memory(self.card.name, self._device, tokens), torch.inference_mode():
            ids, mask = (one.to(self._device) for one in self._tokens.padded(tokens))
            scored = self.module(ids, attention_mask=mask).logits
        return np.asarray(scored.double().cpu().numpy())


class LibraryTextRecognizer(TextRecognizer):
    """A `Recognizer` of texts with any classifier of the library.

    It is given what the library's own pipeline would give it. Texts of one length share a batch, so
    nothing is padded; without a padding token each is alone.
    """

    def _logits(self, utterances: Sequence[str]) -> NDArray[np.float64]:
        """Scores of texts; see `Recognizer.logits`.

        Raises:
            ModelError: memory runs out, or the network cannot take a text.
        """
        result = np.empty((len(utterances), self._outputs.n_logits))
        tokens = [self._tokens.of(text) for text in utterances]
        alone = self.module.config.get_text_config().pad_token_id is None
        size = 1 if alone else self._batch_size
        for batch in token_batches(tokens, self._device, size, mixed=False):
            with telling_of_memory(self.card.name, self._device, [tokens[i] for i in batch]):
                result[batch] = self._answers([utterances[i] for i in batch])
        return self._outputs.logits(result)

    def _answers(self, texts: Sequence[str]) -> NDArray[np.float64]:
        inputs = self._tokens.library_inputs(texts)
        accepted = inspect.signature(self.module.forward).parameters
        given = {key: one.to(self._device) for key, one in inputs.items() if key in accepted}
        try:
            with torch.inference_mode():
                scored = self.module(**given).logits
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{self.card.name}: the network cannot take a text of "
                f"{given['input_ids'].shape[1]} tokens ({reason}). Use another checkpoint."
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
    name = checkpoint.name
    is_known = checkpoint.config.get("model_type") in TEXT_TYPES
    network = _exact_network(checkpoint) if is_known else _library_network(checkpoint, alias)
    outputs = name_outputs(name, checkpoint.config, network.config.num_labels, alias)
    tokens = load_tokens(checkpoint, network.config)
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
    kind = TextRecognizer if is_known else LibraryTextRecognizer
    return kind(card, outputs, network, tokens, device, dtype, batch_size=batch_size)


def _exact_network(checkpoint: Checkpoint) -> Any:
    """A network of `TEXT_TYPES`."""
    shapes = checkpoint.shapes
    n_outputs = next((shapes[key][0] for key in OUTPUT_LAYERS if shapes.get(key)), 2)
    model_type = str(checkpoint.config.get("model_type"))
    config = library_config(checkpoint, model_type, checkpoint.config, n_outputs)
    kind: Any = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    names = match_names(checkpoint.name, shapes, skeleton_shapes(checkpoint, lambda: kind(config)))
    tensors = checkpoint.load()
    return fill(kind, config, {target: tensors[key] for target, key in names.items()})


def _library_network(checkpoint: Checkpoint, alias: Alias | None) -> Any:
    """A network of any other kind that the library has."""
    kinds = transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    return load_classifier(checkpoint, kinds, count_outputs(checkpoint.config, alias))
