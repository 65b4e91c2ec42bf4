"""Train cross-modal networks on frozen features, and stack them; write them as models.

Features are computed once for each encoder and shared by all networks. A stack's forests learn
from outputs for speakers that the networks had not heard: each network is trained once more without
each fold of speakers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.errors import EmocliError, MissingText, RecipeError
from emocli.files import place_of
from emocli.labels import match_label
from emocli.models.cross_modal import FlatNetwork
from emocli.models.devices import choose_device
from emocli.models.encoders import BUILTIN, FACODEC, FACODEC_FILE, SHORT_NAMES, load_encoder
from emocli.models.registry import open_checkpoint
from emocli.pipeline.crossmodal_models import Outcome, write_network, write_stack
from emocli.pipeline.crossmodal_tasks import (
    CrossModalTask,
    Frames,
    Part,
    Prepared,
    network_config,
    new_network,
)
from emocli.pipeline.extract import extract_recordings, extract_texts, feature_folder
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.model_folder import WORK, claim_folder, release_folder
from emocli.pipeline.progress import ProgressCallback
from emocli.pipeline.texts import find_text
from emocli.pipeline.train import default_cache
from emocli.pipeline.tuning import choose_precision, read_labelled
from emocli.splits import stratified_folds
from emocli.table import PredictionTable, listing
from emocli.training.crossmodal import (
    NEUTRAL,
    CrossModalRecipe,
    NetworkRecipe,
    Source,
    parse_crossmodal_recipe,
)
from emocli.training.examples import read_examples
from emocli.training.fitting import BEST, STATE, fit
from emocli.training.history import History
from emocli.training.plan import Memory, count_parameters
from emocli.training.progress import Progress, tell
from emocli.training.recipe import with_settings
from emocli.training.sequences import SequenceStore

KNOWN_DIMS = {
    "facebook/hubert-xlarge-ls960-ft": 1280,
    "openai/whisper-large-v3": 1280,
    "microsoft/wavlm-large": 1024,
    "FacebookAI/roberta-large": 1024,
    "microsoft/deberta-v2-xlarge": 1536,
    FACODEC: 256,
}
"""Values per frame of the paper's encoders, so that a plan needs none of them."""
SLOW_FRAMES = 10.0
"""Frames a second below which none are averaged."""
EXAMPLE_SECONDS = 12.0
EXAMPLE_RATES = {"speech": 50.0, "prosody": 80.0}


@dataclass(frozen=True)
class NetworkPlan:
    """What the training of a network would take.

    Attributes:
        network: which one.
        dims: values per frame of its encoders.
        n_parameters: all are trained.
        n_steps: of the optimiser.
        memory: on the device.
    """

    network: NetworkRecipe
    dims: tuple[int, ...]
    n_parameters: int
    n_steps: int
    memory: Memory


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        folder: of the model.
        outcomes: of the networks.
        stacked: figures of the stack on the development set; None for a single network.
        prepared: recipe and data.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]
    stacked: Mapping[str, float] | None
    prepared: Prepared


def prepare_crossmodal(
    content: Mapping[str, Any],
    name: str,
    data: str | Sequence[str],
    *,
    settings: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    cache: Path | None = None,
    offline: bool = False,
) -> Prepared:
    """Recipe and data, checked; no encoder is loaded and nothing is trained.

    Args:
        content: of the recipe.
        name: what to call the recipe in an error.
        data: path of a table, or of several. What is said is in its column ``text``, or in
            ``name.txt`` beside ``name.wav``.
        settings: ``key=value``, instead of what the recipe says.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` for what the recipe says, ``fp32``, ``bf16`` or ``fp16``.
        cache: folder of features; one in the user's cache by default.
        offline: use only encoders that are on this machine.

    Raises:
        RecipeError: the recipe or the data cannot be followed.
        TableError: the table cannot be read.
    """
    whole = with_settings(content, settings, name)
    recipe = parse_crossmodal_recipe(whole, name)
    table, shown = read_labelled(data)
    if recipe.reads_texts:
        table = with_texts(table)
    examples = read_examples(table, shown, recipe)
    has_neutral = match_label(NEUTRAL, examples.names) in examples.names
    if any(one.has_neutral_head for one in recipe.networks) and not has_neutral:
        raise RecipeError(
            f"{shown}: no emotion {NEUTRAL}, expected some for design ii, which tells {NEUTRAL} "
            f"from expressive. Use design i."
        )
    place = choose_device(device)
    precision = choose_precision(dtype, recipe.precision, place)
    features = cache or default_cache() / "sequences"
    return Prepared(recipe, whole, examples, shown, place, precision, features, offline)


def with_texts(table: PredictionTable) -> PredictionTable:
    """A table with a column ``text``, read from files beside the recordings if it has none.

    A row without any text has an empty one.
    """
    if "text" in table.columns:
        return table
    return table.with_columns({"text": [_text_of(row, table.folder) for row in table.rows()]})


def _text_of(row: Mapping[str, Any], folder: str) -> str:
    try:
        return find_text(Utterance(row["file"], place_of(row["file"], folder))).strip()
    except MissingText:
        return ""


def plan_crossmodal(prepared: Prepared) -> list[NetworkPlan]:
    """What the training of each network would take.

    Raises:
        ModelError: an encoder cannot be used.
    """
    recipe = prepared.recipe
    dims = {source: _dim(source, prepared.offline) for source in recipe.all_sources}
    return [_plan(prepared, network, dims) for network in recipe.networks]


def _plan(prepared: Prepared, network: NetworkRecipe, dims: Mapping[Source, int]) -> NetworkPlan:
    recipe, examples = prepared.recipe, prepared.examples
    own = tuple(dims[source] for source in recipe.sources(network))
    with torch.device("meta"):
        module = FlatNetwork(network_config(recipe, network, own, len(examples.names)))
    n_parameters, _ = count_parameters(module)
    options = recipe.fit_options(network, prepared.precision)
    per_epoch = options.steps_per_epoch(len(examples.parts["train"]))
    activations = _activations(recipe, network) * (2 if prepared.precision != "fp32" else 4)
    memory = Memory(4 * n_parameters, 4 * n_parameters, 8 * n_parameters, activations)
    return NetworkPlan(network, own, n_parameters, per_epoch * options.epochs, memory)


def _activations(recipe: CrossModalRecipe, network: NetworkRecipe) -> int:
    """Values that a micro-batch of utterances of 12 s leaves behind for its gradients.

    A frame leaves its projection and its norm (2 h), gates and states of the recurrent layer in
    both directions (10 h), and for each other modality queries, keys, values, mixture and output
    of the attention (10 h); two modalities leave their attention's weights, with and without
    dropout.
    """
    sources = recipe.sources(network)
    lengths = [
        recipe.max_tokens
        if source.group == "text"
        else math.ceil(EXAMPLE_SECONDS * EXAMPLE_RATES[source.group] / recipe.mean_of)
        for source in sources
    ]
    others = len(sources) - 1
    frames = sum(lengths) * recipe.hidden * (12 + 10 * others)
    weights = sum(2 * a * b for i, a in enumerate(lengths) for j, b in enumerate(lengths) if i != j)
    return recipe.micro_batch * (frames + weights)


def _dim(source: Source, offline: bool) -> int:
    """Values per frame of an encoder, without its weights."""
    name = source.encoder
    if name in BUILTIN:
        return load_encoder(name).identity.dim
    if name == FACODEC or Path(name).name == FACODEC_FILE:
        return KNOWN_DIMS[FACODEC]
    hub = SHORT_NAMES.get(name.partition("@")[0], name.removeprefix("hf:").partition("@")[0])
    if hub in KNOWN_DIMS and not Path(name).exists():
        return KNOWN_DIMS[hub]
    if Path(name).is_file():
        return load_encoder(name, offline=offline).identity.dim
    config = open_checkpoint(SHORT_NAMES.get(name, name), offline=offline)[1].config
    dim = config.get("hidden_size", config.get("d_model"))
    return dim if isinstance(dim, int) else load_encoder(name, offline=offline).identity.dim


def train_crossmodal(prepared: Prepared, folder: Path, progress: Progress | None = None) -> Trained:
    """Train all networks and grow the stack; write them as a folder that ``-m`` takes.

    An interrupted training goes on where it was when it is started again with the same folder.

    Args:
        prepared: from `prepare_crossmodal`.
        folder: of the model; made if it is not there.
        progress: what to tell.

    Raises:
        RecipeError: the folder holds a model, recordings cannot be used, or the training cannot
            go on.
        ModelError: an encoder cannot be used.
        TableError: too few speakers or utterances for folds.
    """
    claim_folder(folder)
    recipe = prepared.recipe
    frames = extract_features(prepared, progress)
    runs = _Runs(prepared, frames, folder, progress)
    outcomes = tuple(runs.outcome(network) for network in recipe.networks)
    stacked = None
    for outcome in outcomes:
        name = outcome.network.name
        write_network(folder / name if recipe.is_stack else folder, prepared, outcome, frames)
    if recipe.is_stack:
        stacked = write_stack(folder, prepared, outcomes)
    release_folder(folder)
    return Trained(folder, outcomes, stacked, prepared)


def extract_features(prepared: Prepared, progress: Progress | None) -> dict[Source, Frames]:
    """Frames of all examples by each encoder, from the cache or computed.

    Encoders are in memory one after the other.

    Raises:
        RecipeError: recordings or texts that cannot be used.
        ModelError: an encoder cannot be used.
    """
    examples, recipe = prepared.examples, prepared.recipe
    utterances = [
        Utterance(file, path, _given(start), _given(end), {"text": text})
        for file, path, start, end, text in zip(
            examples.files, examples.paths, examples.starts, examples.ends, examples.texts,
            strict=True,
        )
    ]  # fmt: skip
    found = {}
    for source in recipe.all_sources:
        is_single = source.encoder in (*BUILTIN, FACODEC) or source.encoder.endswith(FACODEC_FILE)
        encoder = load_encoder(
            source.encoder,
            layer="auto" if is_single else recipe.layer,
            max_tokens=recipe.max_tokens,
            keeps_padding=recipe.keeps_padding,
            device=str(prepared.device),
            offline=prepared.offline,
        )
        facts: dict[str, Any] = {
            "encoder": _lasting(source.encoder),
            "layer": encoder.identity.layer,
            "max_tokens": recipe.max_tokens,
            "keeps_padding": recipe.keeps_padding,
        }
        is_text = encoder.identity.modality == "text"
        if is_text != (source.group == "text"):
            kind = "texts" if is_text else "recordings"
            raise RecipeError(
                f"{source.encoder} takes {kind}, expected an encoder for {source.group}. Change "
                f"the recipe, or choose another with --set {source.group}=NAME."
            )
        is_slow = encoder.identity.frames_per_second < SLOW_FRAMES
        facts["mean_of"] = 1 if is_text or is_slow else recipe.mean_of
        place = feature_folder(prepared.cache, encoder.identity, recipe.features)
        shown = _shown(progress, f"features of {encoder.identity.name}")
        store = (
            extract_texts(examples.texts, encoder, place, dtype=recipe.features, progress=shown)
            if is_text
            else extract_recordings(
                utterances, encoder, place, dtype=recipe.features, progress=shown
            )
        )
        _check_store(store, prepared)
        found[source] = Frames(store, {**facts, "identity": encoder.identity.facts()})
    return found


def _check_store(store: SequenceStore, prepared: Prepared) -> None:
    if store.errors:
        files = [prepared.examples.files[index] for index in store.errors]
        raise RecipeError(
            f"{prepared.table}: {len(files)} rows without features: {listing(files)}; the first: "
            f"{next(iter(store.errors.values()))} Leave such rows out."
        )


def _given(seconds: float) -> float | None:
    return None if np.isnan(seconds) else float(seconds)


def _lasting(encoder: str) -> str:
    """An encoder's name that means the same from every working folder."""
    path = Path(encoder).expanduser()
    is_named = encoder in (*BUILTIN, FACODEC) or encoder in SHORT_NAMES
    return encoder if is_named or not path.exists() else str(path.resolve())


def _shown(progress: Progress | None, phase: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda state: progress(phase, state.utterances_done, state.n_utterances)


class _Runs:
    """All trainings of a recipe, told as one."""

    def __init__(
        self,
        prepared: Prepared,
        frames: Mapping[Source, Frames],
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self._prepared, self._frames = prepared, frames
        self._work, self._progress = folder / WORK, progress
        examples = prepared.examples
        train, dev = examples.parts["train"], examples.parts["dev"]
        self._parts = {"all": Part(train, dev)}
        self.folds = np.zeros(len(train), dtype=np.intp)
        if prepared.has_folds:
            speakers = [examples.speakers[index] for index in train]
            self.folds = stratified_folds(
                examples.targets[train].astype(np.intp),
                speakers,
                n_folds=prepared.recipe.folds,
                seed=prepared.recipe.seed,
            )
            for fold in np.unique(self.folds).tolist():
                self._parts[f"fold-{fold}"] = Part(train[self.folds != fold], dev)
        self._done, self._total = 0, sum(
            self._n_steps(network, part)
            for network in prepared.recipe.networks
            for part in self._parts.values()
        )  # fmt: skip

    def outcome(self, network: NetworkRecipe) -> Outcome:
        """The network trained on all, and what ones that had not heard a speaker say of them."""
        prepared = self._prepared
        train, dev = prepared.examples.parts["train"], prepared.examples.parts["dev"]
        module, history, task = self._train(network, "all")
        unheard = np.full((len(train), len(prepared.examples.names)), np.nan)
        if prepared.recipe.is_stack and prepared.recipe.stack_on == "train":
            unheard = task.logits(module, train)
        on_dev = task.logits(module, dev)
        for fold in np.unique(self.folds).tolist() if prepared.has_folds else ():
            unheard[self.folds == fold] = self._held_out(network, fold)
        task.settle(module)
        return Outcome(network, module, history, on_dev, unheard, self.folds)

    def _held_out(self, network: NetworkRecipe, fold: int) -> NDArray[np.float64]:
        """Logits for a fold's speakers by a network that was trained without them."""
        name, train = f"fold-{fold}", self._prepared.examples.parts["train"]
        work = self._work / network.name / name
        task = self._task(network, name)
        kept = work / f"logits-{self._fingerprint(network, task)}.npy"
        if kept.is_file():
            self._done += self._n_steps(network, self._parts[name])
            return np.load(kept, allow_pickle=False)
        module, _, task = self._train(network, name)
        logits = task.logits(module, train[self.folds == fold])
        partial = kept.with_suffix(".tmp")
        with partial.open("wb") as file:
            np.save(file, logits, allow_pickle=False)
        partial.replace(kept)
        for left in (STATE, BEST):  # a state is four times as large as the network
            (work / left).unlink(missing_ok=True)
        return logits

    def _train(
        self, network: NetworkRecipe, name: str
    ) -> tuple[FlatNetwork, History, CrossModalTask]:
        prepared = self._prepared
        task = self._task(network, name)
        module = self._new(network)
        options = prepared.recipe.fit_options(network, prepared.precision)
        try:
            history = fit(
                module.to(prepared.device),
                task,
                options,
                folder=self._work / network.name / name,
                progress=self._advance,
            )
        except EmocliError as error:
            raise type(error)(f"{network.name}: {error}") from error
        self._done += self._n_steps(network, self._parts[name])
        return module, history, task

    def _task(self, network: NetworkRecipe, name: str) -> CrossModalTask:
        prepared = self._prepared
        part = self._parts[name]
        return CrossModalTask(prepared.recipe, network, prepared.examples, self._frames, part)

    def _new(self, network: NetworkRecipe) -> FlatNetwork:
        recipe = self._prepared.recipe
        dims = [self._frames[source].dim for source in recipe.sources(network)]
        config = network_config(recipe, network, dims, len(self._prepared.examples.names))
        return new_network(config, recipe.fit_options(network, "fp32").seed)

    def _fingerprint(self, network: NetworkRecipe, task: CrossModalTask) -> str:
        from hashlib import sha256

        options = self._prepared.recipe.fit_options(network, self._prepared.precision)
        held = f"{task.identity} {options} {self._prepared.recipe.hidden}"
        return sha256(held.encode()).hexdigest()[:16]

    def _n_steps(self, network: NetworkRecipe, part: Part) -> int:
        options = self._prepared.recipe.fit_options(network, self._prepared.precision)
        return options.steps_per_epoch(len(part.train)) * options.epochs

    def _advance(self, phase: str, done: int, total: int) -> None:
        tell(self._progress, "training", self._done + done, self._total)
