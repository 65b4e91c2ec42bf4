"""Recordings and texts as what the training loop asks for."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.metrics.classification import (
    accuracy,
    confusion,
    macro_f1,
    unweighted_average_recall,
)
from emocli.metrics.regression import concordance_cc
from emocli.models.checkpoint import Checkpoint
from emocli.models.encoders import content_hash
from emocli.models.outputs import Outputs
from emocli.models.speech_network import NetworkRunner
from emocli.models.text_tokens import token_batches
from emocli.models.tunable import (
    TunableSpeech,
    TunableText,
    speech_config,
    text_config,
    weights_of,
    write_folder,
    write_mean_classifier,
)
from emocli.pipeline.listening import Heard, read_beginning
from emocli.training.examples import Examples
from emocli.training.fitting import Inputs
from emocli.training.objectives import Categorical, Dimensional, Objective
from emocli.training.samplers import Sampler, make_sampler
from emocli.training.tuning import PENALIZED, TuningRecipe

AT_ONCE = 64
"""Recordings of the development set that are in memory together."""


@dataclass(frozen=True)
class Prepared:
    """Recipe and data of a fine-tuning.

    Attributes:
        recipe: what to train.
        content: of the recipe's file, with what was set.
        examples: what to train it on.
        table: name of the table.
        checkpoint: holds the encoder.
        device: where to train.
        precision: ``fp32``, ``bf16`` or ``fp16``.
    """

    recipe: TuningRecipe
    content: Mapping[str, Any]
    examples: Examples
    table: str
    checkpoint: Checkpoint
    device: torch.device
    precision: str

    @property
    def outputs(self) -> Outputs:
        """What the network gives."""
        names = self.examples.names
        return Outputs(dimensions=names) if self.recipe.is_dimensional else Outputs(labels=names)

    @property
    def weights(self) -> Tensor:
        """Weights of the labels in the loss."""
        labels = self.examples.targets[self.examples.parts["train"]].astype(np.intp)
        names = self.examples.names
        sampler = make_sampler(self.recipe.sampling, labels, names)
        return sampler.weights(labels, len(names), self.recipe.class_weights)


class _Task:
    """What speech and text have in common: the truth, the loss and the figures."""

    def __init__(self, prepared: Prepared, *, penalized: Sequence[str] = ()) -> None:
        self.prepared = prepared
        examples, recipe = prepared.examples, prepared.recipe
        self._train, self._dev = examples.parts["train"], examples.parts["dev"]
        targets = examples.targets[self._train]
        checkpoint = prepared.checkpoint
        held = replace(recipe, save_every_minutes=0.0, workers=0, licence="", description="")
        encoder = checkpoint.revision or content_hash(checkpoint)
        self.identity = f"{examples.identity} {encoder} {held}"
        self.targets = torch.from_numpy(targets)
        self.objective: Objective
        penalty = {"penalized": penalized, "penalty": recipe.attention_penalty}
        if recipe.is_dimensional:
            self.sampler = Sampler(len(self._train))
            self.objective = Dimensional(**penalty)  # type: ignore[arg-type]
        else:
            self.sampler = make_sampler(recipe.sampling, targets.astype(np.intp), examples.names)
            self.objective = Categorical(
                prepared.weights,
                loss=recipe.loss,
                gamma=recipe.focal_gamma,
                **penalty,  # type: ignore[arg-type]
            )

    def figures(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Macro-F1, UAR and accuracy, or CCC; on the development set."""
        examples = self.prepared.examples
        truth = examples.targets[self._dev]
        if self.prepared.recipe.is_dimensional:
            own = {
                f"ccc_{name}": concordance_cc(truth[:, place], scores[:, place])
                for place, name in enumerate(examples.names)
            }
            return {"ccc": float(np.mean(list(own.values()))), **own}
        counts = confusion(truth.astype(np.intp), scores.argmax(1), len(examples.names))
        return {
            "macro_f1": float(macro_f1(counts)),
            "uar": float(unweighted_average_recall(counts)),
            "accuracy": float(accuracy(counts)),
        }


class SpeechTask(_Task):
    """Recordings for the loop; see `emocli.training.fitting.Task`.

    Args:
        prepared: recipe and data.
        tunable: the network.
        heard: what waveforms are standardised with.
    """

    def __init__(self, prepared: Prepared, tunable: TunableSpeech, heard: Heard) -> None:
        penalized = PENALIZED if prepared.recipe.attention_penalty else ()
        super().__init__(prepared, penalized=penalized)
        self.tunable, self.heard = tunable, heard
        self.identity += f" {heard.norm}"

    def inputs(self, indices: NDArray[np.intp]) -> Inputs:
        """Standardised waveforms, their mask and valid frames."""
        network = self.tunable.network
        waveforms = [self._waveform(self._train[index]) for index in indices]
        lengths = [max(len(waveform), network.min_samples) for waveform in waveforms]
        longest = max(*lengths, self.tunable.min_samples)
        stacked = np.zeros((len(waveforms), longest), np.float32)
        for row, waveform, length in zip(stacked, waveforms, lengths, strict=True):
            row[:length] = network.front_end(np.pad(waveform, (0, length - len(waveform))))
        return torch.from_numpy(stacked), *self.tunable.arguments(lengths, longest)

    def write(self, folder: Path, card: str, facts: Mapping[str, Any]) -> None:
        """The network as a folder that ``-m`` takes."""
        recipe, outputs = self.prepared.recipe, self.prepared.outputs
        if recipe.pooling == "mean":
            write_mean_classifier(folder, self.tunable, recipe.encoder, outputs, facts, card)
            return
        config = speech_config(self.tunable, recipe.encoder, outputs, self.heard.norm, facts)
        write_folder(folder, weights_of(self.tunable.module), config, card)

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Outputs as `emocli predict` would give them for what the recipe hears."""
        self.tunable.hear_all()
        prepared = self.prepared
        runner = NetworkRunner(
            prepared.recipe.name, self.tunable.network, prepared.device, torch.float32
        )
        scores = np.empty((len(self._dev), len(prepared.outputs)))
        with ThreadPoolExecutor(max(1, prepared.recipe.workers)) as pool:
            for start in range(0, len(self._dev), AT_ONCE):
                waveforms = list(pool.map(self._waveform, self._dev[start : start + AT_ONCE]))
                for places, outputs in runner.in_batches(runner.forward, waveforms):
                    scores[start + places] = outputs.double().cpu().numpy()
        return scores

    def _waveform(self, place: int) -> NDArray[np.float32]:
        """A recording as far as the recipe hears it, repeated up to there if it says so."""
        rate = self.tunable.network.sampling_rate
        limit = round(self.prepared.recipe.crop_seconds * rate) or None
        beginning = read_beginning(self.prepared.examples, place, rate, limit)
        if limit is None or not self.prepared.recipe.tiled:
            return beginning
        return np.resize(beginning, limit)


class TextTask(_Task):
    """Texts for the loop; see `emocli.training.fitting.Task`.

    Args:
        prepared: recipe and data.
        tunable: the network.
    """

    heard = None

    def __init__(self, prepared: Prepared, tunable: TunableText) -> None:
        super().__init__(prepared)
        self.tunable = tunable
        self._tokens = [tunable.tokens.of(text) for text in prepared.examples.texts]

    def inputs(self, indices: NDArray[np.intp]) -> Inputs:
        """Tokens and their mask."""
        return self.tunable.tokens.padded([self._tokens[place] for place in self._train[indices]])

    def write(self, folder: Path, card: str, facts: Mapping[str, Any]) -> None:
        """The network and its tokenizer as a folder that ``-m`` takes."""
        tokenizer = self.tunable.tokens.tokenizer
        tokenizer.model_max_length = self.tunable.tokens.max_tokens
        tokenizer.save_pretrained(folder)
        recipe = self.prepared.recipe
        config = text_config(self.tunable, recipe.encoder, self.prepared.outputs, facts)
        write_folder(folder, weights_of(self.tunable.module), config, card)

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Outputs as `emocli predict` would give them."""
        device = self.prepared.device
        scores = np.empty((len(self._dev), len(self.prepared.outputs)))
        tokens = [self._tokens[place] for place in self._dev]
        for batch in token_batches(tokens, device, None):
            ids, mask = self.tunable.tokens.padded([tokens[i] for i in batch])
            with torch.inference_mode():
                outputs = network(ids.to(device), mask.to(device))
            scores[batch] = outputs.double().cpu().numpy()
        return scores
