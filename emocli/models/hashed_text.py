"""The embedded text models: a linear classifier over hashed words and characters, without torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from emocli.errors import ModelError, ModelUnavailable
from emocli.labels import canonical_labels
from emocli.models.checkpoint import ConfigFields
from emocli.models.protocol import ModelCard, Recognizer
from emocli.networks.text_features import BLOCKS, HashedLinear

MODEL_TYPE = "emocli-hashed-text"
TEXTS_PER_BATCH = 1024


class HashedTextRecognizer(Recognizer):
    """A `Recognizer` of English texts.

    A text without anything that the model knows gets nearly the frequencies of the labels in the
    training data.

    Attributes:
        temperature: what the logits are divided by, fitted to held-out texts.
    """

    def __init__(self, card: ModelCard, network: HashedLinear, temperature: float) -> None:
        self.card = card
        self.temperature = temperature
        self._network = network

    def _logits(self, utterances: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated logits of texts, shape (n_texts, n_labels).

        The result of a text does not depend on the others.
        """
        parts = [
            self._network.logits(utterances[start : start + TEXTS_PER_BATCH])
            for start in range(0, len(utterances), TEXTS_PER_BATCH)
        ]
        empty = np.empty((0, len(self.card.labels)))
        return np.concatenate([empty, *parts]) / self.temperature


def load_hashed_text(folder: Path) -> HashedTextRecognizer:
    """The text model of a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        ModelUnavailable: a file is missing.
        ModelError: a file cannot be read, or the two do not fit.
    """
    config = _read_config(folder / "config.json")
    network = _read_network(folder / "model.safetensors")
    labels = canonical_labels(config.names("labels"))
    if len(labels) != len(network.bias):
        raise ModelError(
            f"{folder}: config.json names {len(labels)} labels, model.safetensors has "
            f"{len(network.bias)}. Take both files from one model."
        )
    card = ModelCard(
        name=config.text("name", folder.name),
        modality="text",
        labels=labels,
        sampling_rate=0,
        n_parameters=sum(block.weights.size for block in network.blocks.values()) + len(labels),
        size_bytes=(folder / "model.safetensors").stat().st_size,
        licence=config.text("licence", ""),
        source=config.text("source", ""),
        description=config.text("description", ""),
    )
    return HashedTextRecognizer(card, network, config.number("temperature", 0.0, open_=True))


def _read_config(path: Path) -> ConfigFields:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as problem:
        raise ModelError(
            f"{path}: cannot be read ({problem}). Fetch or train the model again."
        ) from problem
    fields = ConfigFields.parse(text, str(path))
    fields.constant("model_type", MODEL_TYPE)
    return fields


def _read_network(path: Path) -> HashedLinear:
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, SafetensorError) as problem:
        raise ModelError(
            f"{path}: cannot be read as safetensors ({problem}). Fetch or train the model again."
        ) from problem
    try:
        network = HashedLinear.from_tensors(tensors)
    except KeyError as missing:
        raise ModelError(
            f"{path}: has no tensor {missing}. Fetch or train the model again."
        ) from None
    n_labels = network.bias.size
    for name in BLOCKS:
        block = network.blocks[name]
        n_features = len(block.vocabulary.hashes)
        shapes = (block.weights.shape, block.scale.shape, block.vocabulary.rarity.shape)
        expected = ((n_features, n_labels), (n_features,), (n_features,))
        if shapes != expected:
            raise ModelError(
                f"{path}: weights, scale and rarity of the {name} block have the shapes {shapes}, "
                f"expected {expected}. Fetch or train the model again."
            )
    return network


def _missing(path: Path) -> ModelUnavailable:
    return ModelUnavailable(
        f"{path}: no such file. Name a folder with config.json and model.safetensors."
    )
