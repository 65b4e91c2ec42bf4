"""Fine-tune a pretrained encoder on a table of recordings or texts, and write it as a model."""

import json
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.audio.decode import WaveformStream
from emocli.errors import RecipeError
from emocli.metrics.classification import (
    accuracy,
    confusion,
    macro_f1,
    unweighted_average_recall,
)
from emocli.metrics.regression import concordance_cc
from emocli.models.batching import plan_batches
from emocli.models.checkpoint import Checkpoint
from emocli.models.devices import choose_device
from emocli.models.encoders import content_hash
from emocli.models.outputs import Outputs
from emocli.models.registry import modality_of, open_checkpoint
from emocli.models.speech_features import CorpusNorm
from emocli.models.speech_network import NetworkRunner, count_frames, sampling_rate_of
from emocli.models.text import TOKENS_PER_BATCH
from emocli.models.tunable import (
    TunableSpeech,
    TunableText,
    speech_config,
    text_config,
    tunable_speech,
    tunable_text,
    weights_of,
    write_folder,
)
from emocli.pipeline.training_curves import write_curves
from emocli.pipeline.tuning_card import tuning_card
from emocli.table_io import read_table
from emocli.training.examples import Examples, read_examples
from emocli.training.fitting import HISTORY, Inputs, fit
from emocli.training.history import History
from emocli.training.losses import class_weights
from emocli.training.objectives import Categorical, Dimensional, Objective
from emocli.training.plan import Memory, Shape, count_parameters, estimate_memory
from emocli.training.progress import Progress, tell
from emocli.training.recipe import read_content, with_settings
from emocli.training.samplers import Sampler, make_sampler
from emocli.training.tuning import PENALIZED, RECIPE_KIND, TuningRecipe, parse_tuning_recipe

WORK, CURVES, STATISTICS = "training", "curves.svg", "statistics.json"
AT_ONCE = 64
"""Recordings of the development set that are in memory together."""


@dataclass(frozen=True)
class Heard:
    """What one listening to all recordings tells.

    Attributes:
        norm: mean and deviation over all samples of the training recordings, before cutting.
        n_cut: recordings of each part that are longer than the recipe hears.
        seconds: of each part, whole.
    """

    norm: CorpusNorm
    n_cut: Mapping[str, int]
    seconds: Mapping[str, float]


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
        counts = self.examples.counts("train")
        if not self.recipe.class_weights:
            return torch.ones(len(counts))
        return class_weights(counts.tolist())


@dataclass(frozen=True)
class Plan:
    """What a fine-tuning would do.

    Attributes:
        prepared: recipe and data.
        n_trained: values that are trained.
        n_frozen: values that are not.
        steps_per_epoch: steps of the optimiser.
        memory: on the device.
    """

    prepared: Prepared
    n_trained: int
    n_frozen: int
    steps_per_epoch: int
    memory: Memory


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning gave.

    Attributes:
        folder: of the model.
        history: of the training.
        heard: what was told by listening; None for texts.
        prepared: recipe and data.
    """

    folder: Path
    history: History
    heard: Heard | None
    prepared: Prepared


def is_tuning_recipe(path: Path) -> bool:
    """Whether a recipe fine-tunes an encoder.

    Raises:
        RecipeError: the file cannot be read or is not TOML.
    """
    return read_content(path).get("recipe") == RECIPE_KIND


def prepare_tuning(
    recipe_file: Path,
    data: str,
    *,
    settings: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
) -> Prepared:
    """Recipe, data and encoder, checked; nothing is trained or listened to.

    Args:
        recipe_file: TOML.
        data: path of a table.
        settings: ``key=value``, instead of what the recipe says.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` for what the recipe says, ``fp32``, ``bf16`` or ``fp16``.
        offline: use only an encoder that is on this machine.

    Raises:
        RecipeError: the recipe or the data cannot be followed.
        TableError: the table cannot be read.
        ModelError: the encoder cannot be used.
    """
    content = with_settings(read_content(recipe_file), settings, str(recipe_file))
    recipe = parse_tuning_recipe(content, str(recipe_file))
    examples = read_examples(read_table(data), data, recipe)
    _, checkpoint = open_checkpoint(recipe.encoder, offline=offline)
    found = modality_of(checkpoint)
    if found != recipe.modality:
        raise RecipeError(
            f"{recipe.encoder} is a {found} model, expected one for {recipe.modality}. Change "
            f"encoder or modality in the recipe."
        )
    place = choose_device(device)
    precision = _precision(dtype, recipe, place)
    return Prepared(recipe, content, examples, data, checkpoint, place, precision)


def _precision(dtype: str, recipe: TuningRecipe, device: torch.device) -> str:
    if dtype != "auto":
        return dtype
    if recipe.precision == "fp32" or device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def plan_tuning(prepared: Prepared) -> Plan:
    """What a fine-tuning would do and take.

    Raises:
        ModelError: the encoder cannot be used.
    """
    recipe = prepared.recipe
    if recipe.modality == "speech":
        speech = _speech(prepared, CorpusNorm(0.0, 1.0))
        module, shape = speech.module, _speech_shape(speech, recipe)
    else:
        text = _text(prepared)
        module = text.module
        shape = Shape(
            n_layers=text.config.num_hidden_layers,
            width=text.config.hidden_size,
            n_heads=text.config.num_attention_heads,
            n_positions=text.max_tokens,
            is_trained=recipe.frozen != "encoder",
        )
    n_trained, n_frozen = count_parameters(module)
    options = recipe.fit_options(prepared.precision)
    return Plan(
        prepared,
        n_trained,
        n_frozen,
        options.steps_per_epoch(len(prepared.examples.parts["train"])),
        estimate_memory(
            n_trained, n_frozen, shape, recipe.micro_batch, is_half=prepared.precision != "fp32"
        ),
    )


def _speech_shape(speech: TunableSpeech, recipe: TuningRecipe) -> Shape:
    """The shape for a recording as long as the recipe hears, 12 s where it hears all."""
    config, convolutions = speech.config, speech.network.convolutions
    n_samples = round((recipe.crop_seconds or 12.0) * speech.network.sampling_rate)
    (first,) = count_frames([n_samples], convolutions[:1])
    (n_frames,) = count_frames([n_samples], convolutions)
    return Shape(
        n_layers=config.num_hidden_layers,
        width=config.hidden_size,
        n_heads=config.num_attention_heads,
        n_positions=n_frames,
        first_values=first * config.conv_dim[0],
        is_trained=recipe.frozen != "encoder",
    )


def tune(prepared: Prepared, folder: Path, progress: Progress | None = None) -> Tuned:
    """Train, and write the best network as a folder that ``-m`` takes.

    An interrupted training goes on where it was when it is started again with the same folder.

    Args:
        prepared: from `prepare_tuning`.
        folder: of the model; made if it is not there.
        progress: what to tell.

    Raises:
        RecipeError: the folder holds a model, or the training cannot go on.
        AudioError: a recording cannot be read.
    """
    if (folder / "config.json").exists():
        raise RecipeError(
            f"{folder}: holds a model already, expected a folder for a new one. Choose another "
            f"with -o, or delete it."
        )
    work = folder / WORK
    recipe = prepared.recipe
    task: SpeechTask | TextTask
    if recipe.modality == "speech":
        heard = _listen(prepared, work, progress)
        task = SpeechTask(prepared, _speech(prepared, heard.norm), heard)
    else:
        task = TextTask(prepared, _text(prepared))
    module = task.tunable.module.to(prepared.device)
    with _silent_about_masks():
        history = fit(
            module,
            task,
            recipe.fit_options(prepared.precision),
            folder=work,
            progress=progress,
        )
    tuned = Tuned(folder, history, task.heard, prepared)
    _write(tuned, task)
    return tuned


def _write(tuned: Tuned, task: "SpeechTask | TextTask") -> None:
    """The model's folder; the state of the training goes last."""
    prepared, folder, work = tuned.prepared, tuned.folder, tuned.folder / WORK
    recipe = prepared.recipe
    facts = {"licence": recipe.licence, "description": recipe.description}
    n_cut = tuned.heard.n_cut if tuned.heard else {}
    card = tuning_card(recipe, prepared.content, prepared.examples, tuned.history, n_cut)
    write_curves(folder / CURVES, tuned.history, recipe.name, recipe.select)
    shutil.copyfile(work / HISTORY, folder / HISTORY)
    task.write(folder, card, {key: value for key, value in facts.items() if value})
    shutil.rmtree(work)


def _speech(prepared: Prepared, norm: CorpusNorm) -> TunableSpeech:
    recipe = prepared.recipe
    return tunable_speech(
        prepared.checkpoint,
        prepared.outputs,
        norm,
        hidden=recipe.hidden,
        residual_blocks=recipe.residual_blocks,
        dropout=recipe.dropout,
        frozen=recipe.frozen,
        masking=recipe.masking,
        seed=recipe.seed,
    )


def _text(prepared: Prepared) -> TunableText:
    recipe = prepared.recipe
    return tunable_text(
        prepared.checkpoint,
        prepared.outputs,
        dropout=recipe.dropout,
        frozen=recipe.frozen,
        max_tokens=recipe.max_tokens,
        seed=recipe.seed,
    )


# Tasks for the loop.


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
        config = speech_config(self.tunable, recipe.encoder, outputs, self.heard.norm, facts)
        write_folder(folder, weights_of(self.tunable.module), config, card)

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Outputs as `emocli predict` would give them."""
        self.tunable.hear_all()
        prepared = self.prepared
        runner = NetworkRunner(
            prepared.recipe.name, self.tunable.network, prepared.device, torch.float32
        )
        scores = np.empty((len(self._dev), len(prepared.outputs)))
        with ThreadPoolExecutor(max(1, prepared.recipe.workers)) as pool:
            for start in range(0, len(self._dev), AT_ONCE):
                waveforms = list(pool.map(self._waveform, self._dev[start : start + AT_ONCE]))
                for places, inputs in runner.batches(waveforms):
                    outputs = runner.forward(inputs).double().cpu().numpy()
                    scores[start + places] = outputs
        return scores

    def _waveform(self, place: int) -> NDArray[np.float32]:
        """A recording as far as the recipe hears it."""
        rate = self.tunable.network.sampling_rate
        limit = round(self.prepared.recipe.crop_seconds * rate) or None
        return _read(self.prepared.examples, place, rate, limit)


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
        self._tokens = [tunable.tokens(text) for text in prepared.examples.texts]

    def inputs(self, indices: NDArray[np.intp]) -> Inputs:
        """Tokens and their mask."""
        return self.tunable.arguments([self._tokens[place] for place in self._train[indices]])

    def write(self, folder: Path, card: str, facts: Mapping[str, Any]) -> None:
        """The network and its tokenizer as a folder that ``-m`` takes."""
        tokenizer = self.tunable.tokenizer
        tokenizer.model_max_length = self.tunable.max_tokens
        tokenizer.save_pretrained(folder)
        recipe = self.prepared.recipe
        config = text_config(self.tunable, recipe.encoder, self.prepared.outputs, facts)
        write_folder(folder, weights_of(self.tunable.module), config, card)

    def score(self, network: nn.Module) -> NDArray[np.float64]:
        """Outputs as `emocli predict` would give them."""
        device = self.prepared.device
        scores = np.empty((len(self._dev), len(self.prepared.outputs)))
        most = TOKENS_PER_BATCH.get(device.type, TOKENS_PER_BATCH["cpu"])
        tokens = [self._tokens[place] for place in self._dev]
        lengths = [len(own) for own in tokens]
        for batch in plan_batches(lengths, batch_size=None, max_total=most, mixed=True):
            ids, mask = self.tunable.arguments([tokens[i] for i in batch])
            with torch.inference_mode():
                outputs = network(ids.to(device), mask.to(device))
            scores[batch] = outputs.double().cpu().numpy()
        return scores


# Listening.


def _read(
    examples: Examples, place: int, sampling_rate: int, limit: int | None
) -> NDArray[np.float32]:
    """A recording, at most a number of its first samples."""
    blocks, n_samples = [], 0
    for block in _stream(examples, place, sampling_rate):
        blocks.append(block)
        n_samples += len(block)
        if limit is not None and n_samples >= limit:
            break
    return np.concatenate(blocks)[:limit]


def _stream(examples: Examples, place: int, sampling_rate: int) -> WaveformStream:
    start, end = examples.starts[place], examples.ends[place]
    return WaveformStream(
        examples.paths[place],
        sampling_rate,
        start=None if math.isnan(start) else float(start),
        stop=None if math.isnan(end) else float(end),
        name=examples.files[place],
    )


def _listen(prepared: Prepared, work: Path, progress: Progress | None) -> Heard:
    """Mean and deviation of the training recordings, and how long all are; kept in a file.

    Raises:
        AudioError: a recording cannot be read.
        RecipeError: all are silent.
    """
    examples, kept = prepared.examples, work / STATISTICS
    key = f"{examples.identity} {prepared.recipe.crop_seconds}"
    found = _kept(kept, key)
    if found is not None:
        return found
    rate = sampling_rate_of(prepared.checkpoint)
    n_cut, seconds = {"train": 0, "dev": 0}, {"train": 0.0, "dev": 0.0}
    total = _Moments()
    limit = prepared.recipe.crop_seconds or math.inf
    n_all = sum(len(examples.parts[part]) for part in n_cut)
    n_done = 0
    with ThreadPoolExecutor(max(1, prepared.recipe.workers)) as pool:
        for part in n_cut:

            def hear(place: int) -> _Moments:
                return _Moments.of(_stream(examples, place, rate))

            for moments in pool.map(hear, examples.parts[part]):
                tell(progress, "listening", n_done, n_all)
                n_done += 1
                seconds[part] += moments.n / rate
                n_cut[part] += moments.n > limit * rate
                if part == "train":
                    total = total + moments
    tell(progress, "listening", n_all, n_all)
    std = math.sqrt(total.squares / max(1, total.n))
    if std == 0:
        raise RecipeError(
            f"{prepared.table}: all training recordings are silent, expected some sound. Check "
            f"the recordings."
        )
    heard = Heard(CorpusNorm(total.mean, std), n_cut, seconds)
    work.mkdir(parents=True, exist_ok=True)
    content = {"key": key, "mean": total.mean, "std": std, "n_cut": n_cut, "seconds": seconds}
    kept.write_text(json.dumps(content), "utf-8")
    return heard


def _kept(path: Path, key: str) -> Heard | None:
    """What an earlier listening to the same recordings told; None if there was none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["key"] != key:
            return None
        norm = CorpusNorm(content["mean"], content["std"])
        return Heard(norm, content["n_cut"], content["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class _Moments:
    """Number, mean and sum of squared deviations of samples, which add up without loss."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, stream: WaveformStream) -> "_Moments":
        """The moments of a recording, block by block."""
        total = cls()
        for block in stream:
            if len(block):
                wide = block.astype(np.float64)
                mean = float(wide.mean())
                total = total + cls(len(block), mean, float(np.square(wide - mean).sum()))
        return total

    def __add__(self, other: "_Moments") -> "_Moments":
        """Moments of both together (Chan et al. 1979)."""
        n = self.n + other.n
        if not n:
            return self
        gap = other.mean - self.mean
        return _Moments(
            n,
            self.mean + gap * other.n / n,
            self.squares + other.squares + gap * gap * self.n * other.n / n,
        )


@contextmanager
def _silent_about_masks() -> Iterator[None]:
    with warnings.catch_warnings():
        # WavLM hands torch a bool mask and a float bias, which gives the same numbers.
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        yield
