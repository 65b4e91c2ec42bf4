"""Fine-tune a pretrained encoder on a table of recordings or texts, and write it as a model."""

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from emocli.errors import RecipeError
from emocli.models.devices import choose_device
from emocli.models.registry import modality_of, open_checkpoint
from emocli.models.speech_features import CorpusNorm
from emocli.models.speech_network import count_frames, sampling_rate_of
from emocli.models.tunable import (
    TunableSpeech,
    TunableText,
    tunable_speech,
    tunable_text,
)
from emocli.pipeline.listening import Heard, listen
from emocli.pipeline.model_folder import WORK, claim_folder, release_folder
from emocli.pipeline.training_curves import write_curves
from emocli.pipeline.tuning_card import tuning_card
from emocli.pipeline.tuning_tasks import Prepared, SpeechTask, TextTask
from emocli.table import PredictionTable, listing
from emocli.table_io import read_table, read_tables
from emocli.training.examples import read_examples
from emocli.training.fitting import HISTORY, fit
from emocli.training.history import History
from emocli.training.plan import Memory, Shape, count_parameters, estimate_memory
from emocli.training.progress import Progress
from emocli.training.recipe import read_content, with_settings
from emocli.training.tuning import RECIPE_KIND, TuningRecipe, parse_tuning_recipe

CURVES, STATISTICS = "curves.svg", "statistics.json"


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
    data: str | Sequence[str],
    *,
    settings: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
) -> Prepared:
    """Recipe, data and encoder, checked; nothing is trained or listened to.

    Args:
        recipe_file: TOML.
        data: path of a table, or of several.
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
    table, name = read_labelled(data)
    examples = read_examples(table, name, recipe)
    _, checkpoint = open_checkpoint(recipe.encoder, offline=offline)
    found = modality_of(checkpoint)
    if found != recipe.modality:
        raise RecipeError(
            f"{recipe.encoder} is a {found} model, expected one for {recipe.modality}. Change "
            f"encoder or modality in the recipe."
        )
    place = choose_device(device)
    precision = choose_precision(dtype, recipe.precision, place)
    return Prepared(recipe, content, examples, name, checkpoint, place, precision)


def read_labelled(data: str | Sequence[str]) -> tuple[PredictionTable, str]:
    """One table, or the rows of several one below another, and what to call it.

    Raises:
        TableError: a table cannot be read, or two have a row for the same utterance.
    """
    paths = [data] if isinstance(data, str) else [*data]
    if len(paths) == 1:
        return read_table(paths[0]), paths[0]
    found = [
        replace(table, folder="").with_columns(
            {"file": [os.path.join(table.folder, file) for file in table["file"]]}
        )
        for table in read_tables(paths).values()
    ]
    return PredictionTable.concat(found), listing(paths)


def choose_precision(dtype: str, wanted: str, device: torch.device) -> str:
    """What to compute in: what the user says, else what the recipe wants and the device can.

    Args:
        dtype: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        wanted: ``fp32`` or ``mixed``.
        device: where to train.
    """
    if dtype != "auto":
        return dtype
    if wanted == "fp32" or device.type != "cuda":
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
            n_positions=text.tokens.max_tokens,
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
    claim_folder(folder)
    work = folder / WORK
    recipe = prepared.recipe
    task: SpeechTask | TextTask
    if recipe.modality == "speech":
        heard = listen(
            prepared.examples,
            prepared.table,
            sampling_rate_of(prepared.checkpoint),
            recipe.crop_seconds,
            kept=work / STATISTICS,
            n_workers=max(1, recipe.workers),
            progress=progress,
        )
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
    release_folder(folder)


def _speech(prepared: Prepared, norm: CorpusNorm) -> TunableSpeech:
    recipe = prepared.recipe
    return tunable_speech(
        prepared.checkpoint,
        prepared.outputs,
        norm,
        pooling=recipe.pooling,
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


@contextmanager
def _silent_about_masks() -> Iterator[None]:
    with warnings.catch_warnings():
        # WavLM hands torch a bool mask and a float bias, which gives the same numbers.
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        yield
