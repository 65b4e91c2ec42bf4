"""Train a model from a recipe, and find out how it does on voices it has not heard."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emocli.audio.decode import read_waveform
from emocli.calibration.adaptation import ADAPTATION_FILE, Adaptation
from emocli.errors import RecipeError
from emocli.metrics.calibration import (
    bins,
    expected_calibration_error,
    negative_log_likelihood,
)
from emocli.metrics.classification import accuracy, confusion, unweighted_average_recall
from emocli.pipeline.model_folder import claim_folder, release_folder
from emocli.posteriors import softmax
from emocli.table import PredictionTable
from emocli.table_io import read_table, read_tables
from emocli.training.adaptation import fit_adaptation, write_adaptation
from emocli.training.data import (
    Split,
    Utterance,
    cross_validation,
    final_split,
    fit_to_tables,
    leave_corpus_out,
    read_utterances,
)
from emocli.training.export import MODEL_TYPE, write_model
from emocli.training.features import compute_features
from emocli.training.progress import Progress
from emocli.training.recipe import FITTED, parse_recipe, read_content, with_settings
from emocli.training.runs import Data, held_out_scores, predicted, temperature_of, train
from emocli.training.temperature import fit_temperature
from emocli.training.text import MODEL_TYPE as TEXT_TYPE
from emocli.training.text import RECIPE_KIND, train_text
from emocli.user_cache import cache_folder


@dataclass(frozen=True)
class Trained:
    """What a training command gives.

    Attributes:
        table: predictions for held-out speakers with their truth; empty if nobody was held out.
        figures: by what they measure.
        folder: of the model; None if only a validation was asked for.
    """

    table: PredictionTable
    figures: dict[str, float]
    folder: Path | None = None


def prepare(
    recipe_file: Path,
    *,
    settings: Sequence[str] = (),
    data: Sequence[str] = (),
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Data:
    """Recipe, utterances and features.

    Args:
        recipe_file: TOML.
        settings: ``key=value``, instead of what the recipe says.
        data: tables to train on instead of the recipe's; or a folder that the recipe's are relative
            to, by default its own.
        cache: folder for features and checkpoints; `default_cache` by default.
        progress: what to tell.

    Raises:
        RecipeError: the recipe or the data cannot be followed.
        TableError: a table cannot be read.
        AudioError: a recording cannot be read.
    """
    content = with_settings(read_content(recipe_file), settings, str(recipe_file))
    remarks: list[str] = []
    base = Path(data[0]) if data else recipe_file.parent
    if data and not base.is_dir():
        given = {setting.partition("=")[0].strip() for setting in settings}
        content, remarks = fit_to_tables(content, read_tables(data), given)
        base = Path()
    recipe = parse_recipe(content, str(recipe_file))
    utterances: list[Utterance] = []
    for source in recipe.data:
        utterances += read_utterances(read_table(str(base / source.table)), source, recipe)
    spoken = {one.label for one in utterances}
    if absent := [label for label in recipe.labels if label not in spoken]:
        raise RecipeError(
            f"{recipe_file}: no row is {', '.join(absent)}, expected some of every label. Correct "
            f"labels, or give more data."
        )
    place = cache or default_cache()
    features = compute_features(utterances, recipe, place / "features", _samples, progress)
    return Data(recipe, utterances, features, place / "runs", tuple(remarks))


def _samples(path: Path, sampling_rate: int) -> NDArray[np.float32]:
    return read_waveform(path, sampling_rate).samples


def default_cache() -> Path:
    """``training`` in the user's cache folder."""
    return cache_folder() / "training"


def cross_validate(prepared: Data, progress: Progress | None = None) -> Trained:
    """Predictions for every speaker by a network that was trained on others.

    Raises:
        RecipeError: the recipe asks for no folds, or a checkpoint is damaged.
    """
    return _validated(prepared, cross_validation(prepared.utterances, prepared.recipe), progress)


def leave_each_corpus_out(prepared: Data, progress: Progress | None = None) -> Trained:
    """Predictions for every corpus by a network that was trained on the others.

    A temperature that the recipe wants fitted is 1 here, for nothing of the corpus may be known.

    Raises:
        RecipeError: there is but one corpus, or two share a speaker.
    """
    recipe = prepared.recipe
    if isinstance(recipe.temperature, str):
        recipe = dataclasses.replace(recipe, temperature=1.0)
    prepared = dataclasses.replace(prepared, recipe=recipe)
    return _validated(prepared, leave_corpus_out(prepared.utterances), progress)


def train_text_model(
    recipe_file: Path,
    *,
    settings: Sequence[str] = (),
    data: Path | None = None,
    output: Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """A model of texts, by a recipe with ``recipe = "hashed-text"``.

    Args:
        recipe_file: TOML.
        settings: ``key=value``, instead of what the recipe says.
        data: folder that the recipe's data folder is relative to; that of the recipe by default.
        output: folder of the model; the recipe's own by default.
        progress: what to tell.

    Raises:
        RecipeError: the recipe or its data cannot be followed.
    """
    content = with_settings(read_content(recipe_file), settings, str(recipe_file))
    folder = output or Path(str(content.get("output", "model")))
    claim_folder(folder, replaces=TEXT_TYPE)
    found = train_text(content, data or recipe_file.parent, folder, progress)
    release_folder(folder)
    figures = {
        f"{split} {name}": value
        for split, values in found.items()
        for name, value in values.items()
    }
    return Trained(PredictionTable.from_columns({"file": []}), figures, folder)


def is_text_recipe(recipe_file: Path) -> bool:
    """Whether a recipe trains a model of texts.

    Raises:
        RecipeError: the file cannot be read or is not TOML.
    """
    return read_content(recipe_file).get("recipe") == RECIPE_KIND


def train_model(prepared: Data, output: Path, progress: Progress | None = None) -> Trained:
    """A model folder, trained on all speakers but the recipe's development speakers.

    A temperature that the recipe wants fitted is fitted by cross-validation first, and by leaving
    corpora out if it says so, unless their runs are there already.

    Args:
        prepared: from `prepare`.
        output: folder of the model.
        progress: what to tell.

    Raises:
        RecipeError: the split cannot be made, or a checkpoint is damaged.
    """
    claim_folder(output, replaces=MODEL_TYPE)
    recipe, utterances = prepared.recipe, prepared.utterances
    split = final_split(utterances, recipe)
    folds: list[Split] = []
    figures: dict[str, float] = {}
    if recipe.temperature in FITTED:
        folds = cross_validation(utterances, recipe)
        figures |= _validated(prepared, folds, progress).figures
    left_out = leave_corpus_out(utterances) if recipe.temperature == "left-out" else []
    temperature = temperature_of(prepared, [*folds, *left_out], progress)
    if left_out:  # what the validation by speakers says of a temperature of its own gives way
        figures["temperature"] = temperature
        figures |= _honesty(prepared, folds, temperature, "", progress)
        figures |= _honesty(prepared, left_out, temperature, " on left-out corpora", progress)
    network = train(prepared, split, progress)
    network.config = dataclasses.replace(network.config, temperature=temperature)
    table = PredictionTable.from_columns({"file": []})
    if split.held_out:
        indices, scores = held_out_scores(prepared, [split], progress)
        chosen, logits, truth = predicted(prepared, indices, scores)
        table = _table(prepared, chosen, softmax(logits, temperature), [split])
        figures |= _figures(prepared, chosen, softmax(logits, temperature), truth, "dev ")
    heard = [utterances[index] for index in split.train]
    beside = output / ADAPTATION_FILE
    beside.unlink(missing_ok=True)  # those of an earlier training are of other weights
    write_model(output, network, recipe, heard, figures)
    adaptation = _adaptation(prepared, left_out, temperature, progress) if left_out else None
    if adaptation is not None:
        write_adaptation(beside, adaptation)
    release_folder(output)
    return Trained(table, figures, output)


def _adaptation(
    prepared: Data, splits: Sequence[Split], temperature: float, progress: Progress | None
) -> Adaptation | None:
    """Figures for ``--adapt`` of corpora that were left out; None where they are too few."""
    chosen, logits, truth = predicted(prepared, *held_out_scores(prepared, splits, progress))
    functionals = prepared.features.functionals[0, chosen]
    heard = [prepared.utterances[index] for index in chosen]
    return fit_adaptation(logits / temperature, functionals, truth, heard)


def _honesty(
    prepared: Data,
    splits: Sequence[Split],
    temperature: float,
    suffix: str,
    progress: Progress | None,
) -> dict[str, float]:
    """Calibration of held-out predictions under a temperature."""
    _, logits, truth = predicted(prepared, *held_out_scores(prepared, splits, progress))
    return _calibration(softmax(logits, temperature), truth, suffix)


def _validated(prepared: Data, splits: Sequence[Split], progress: Progress | None) -> Trained:
    indices, scores = held_out_scores(prepared, splits, progress)
    chosen, logits, truth = predicted(prepared, indices, scores)
    temperature = prepared.recipe.temperature
    figures: dict[str, float] = {}
    if isinstance(temperature, str):
        temperature = fit_temperature(logits, truth)
        figures["temperature"] = temperature
        figures |= _calibration(softmax(logits), truth, " before the temperature")
    probs = softmax(logits, temperature)
    figures = _figures(prepared, chosen, probs, truth) | figures
    figures |= _calibration(probs, truth, "")
    return Trained(_table(prepared, chosen, probs, splits), figures)


def _figures(
    prepared: Data,
    indices: Sequence[int],
    probs: NDArray[np.float64],
    truth: NDArray[np.intp],
    prefix: str = "",
) -> dict[str, float]:
    """UAR and accuracy of each corpus."""
    corpora = np.array([prepared.utterances[index].corpus for index in indices])
    figures = {}
    for corpus in dict.fromkeys(corpora):
        own = corpora == corpus
        counts = confusion(truth[own], probs[own].argmax(1), len(prepared.recipe.labels))
        figures[f"{prefix}UAR {corpus}"] = float(unweighted_average_recall(counts))
        figures[f"{prefix}accuracy {corpus}"] = float(accuracy(counts))
    return figures


def _calibration(
    probs: NDArray[np.float64], truth: NDArray[np.intp], suffix: str
) -> dict[str, float]:
    sums = bins(probs.max(1), probs.argmax(1) == truth)
    return {
        f"ECE{suffix}": float(expected_calibration_error(sums)),
        f"NLL{suffix}": float(negative_log_likelihood(probs, truth).mean()),
    }


def _table(
    prepared: Data,
    indices: Sequence[int],
    probs: NDArray[np.float64],
    splits: Sequence[Split],
) -> PredictionTable:
    """Predictions with the truth and who made them, in the order of the data's tables."""
    split_of = {index: split.name for split in splits for index in split.held_out}
    order = np.argsort(indices, kind="stable")
    chosen = [prepared.utterances[indices[place]] for place in order]
    columns: dict[str, Sequence[object] | NDArray[np.float64]] = {
        "file": [utterance.file for utterance in chosen],
        "model": [prepared.recipe.name] * len(chosen),
        "split": [split_of[indices[place]] for place in order],
        "emotion": [utterance.label for utterance in chosen],
        "speaker": [utterance.speaker for utterance in chosen],
        "corpus": [utterance.corpus for utterance in chosen],
    }
    for column, label in enumerate(prepared.recipe.labels):
        columns[f"p_{label}"] = probs[order, column]
    return PredictionTable.from_columns(columns)
