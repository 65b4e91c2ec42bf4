"""Folders of cross-modal networks and their stack: weights, cards, tables of outputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.fusion.features import Input
from emocli.fusion.stacking import Stacking, fit_stacking
from emocli.fusion.storage import dump_fuser
from emocli.metrics.registry import title
from emocli.models.checkpoint import Checkpoint
from emocli.models.cross_modal import (
    STACK_TYPE,
    FlatNetwork,
    network_facts,
    stacked_block,
)
from emocli.models.encoders import content_hash
from emocli.models.protocol import ModelCard
from emocli.models.registry import MULTIMODAL, STACK_FILE
from emocli.models.tunable import weights_of, write_folder
from emocli.pipeline.crossmodal_tasks import (
    MOST_OF_LABEL,
    N_BALANCED,
    Frames,
    Prepared,
    balanced_macro_f1,
    label_figures,
)
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.scoring import prediction_row
from emocli.pipeline.training_curves import write_curves
from emocli.pipeline.tuning_card import data_rows, toml_value
from emocli.posteriors import softmax
from emocli.splits import stratified_folds, told_apart
from emocli.table import PredictionTable
from emocli.table_io import write_table
from emocli.training.crossmodal import PREFIX, NetworkRecipe, Source
from emocli.training.fitting import HISTORY
from emocli.training.history import History, write_history

CURVES = "curves.svg"
OUT_OF_FOLD, ON_DEV = "out-of-fold.csv", "dev.csv"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the training of a network gave.

    Attributes:
        network: which one.
        module: with the best weights.
        history: of the training on all.
        dev: logits for the development set, shape (n_dev, n_labels).
        train: logits that the forests learn from for the training data, NaN where there are none;
            shape (n_train, n_labels).
        folds: of the training data's speakers, shape (n_train,).
    """

    network: NetworkRecipe
    module: FlatNetwork
    history: History
    dev: NDArray[np.float64]
    train: NDArray[np.float64]
    folds: NDArray[np.intp]


def write_network(
    folder: Path, prepared: Prepared, outcome: Outcome, frames: Mapping[Source, Frames]
) -> None:
    """The folder of a network.

    Args:
        folder: made if it is not there.
        prepared: recipe and data.
        outcome: of the training.
        frames: know the facts of the encoders.
    """
    recipe, network = prepared.recipe, outcome.network
    name = PREFIX + network.name if recipe.is_stack else recipe.name
    used = [frames[source].facts for source in recipe.sources(network)]
    config = network_facts(
        name, outcome.module.config, prepared.examples.names, used, _facts(prepared)
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_curves(folder / CURVES, outcome.history, name, recipe.select)
    write_history(folder / HISTORY, outcome.history)
    card = _network_card(name, prepared, outcome)
    write_folder(folder, weights_of(outcome.module), config, card)


def write_stack(folder: Path, prepared: Prepared, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The folder of a stack, whose members are there; its figures on the development set.

    Raises:
        TableError: too few speakers or utterances for folds.
        MissingDependency: scikit-learn is not installed.
    """
    recipe, examples = prepared.recipe, prepared.examples
    names = [outcome.network.name for outcome in outcomes]
    members = [Checkpoint(folder / name, name) for name in names]
    revisions = [content_hash(member) for member in members]
    cards = [
        ModelCard(name=PREFIX + name, revision=revision, modality=MULTIMODAL, labels=examples.names)
        for name, revision in zip(names, revisions, strict=True)
    ]
    fuser = _grow(prepared, outcomes, cards)
    data = dump_fuser(fuser)
    (folder / STACK_FILE).write_bytes(data)
    for file, part, logits in (
        (OUT_OF_FOLD, "train", [outcome.train for outcome in outcomes]),
        (ON_DEV, "dev", [outcome.dev for outcome in outcomes]),
    ):
        if not np.isnan(logits[0]).any():
            table = _table(prepared, part, cards, logits)
            write_table(table, str(folder / file), "csv")
    kind = recipe.stack_features
    posteriors = fuser.probs([stacked_block(outcome.dev, kind) for outcome in outcomes])
    truth = examples.targets[examples.parts["dev"]].astype(np.intp)
    figures = label_figures(truth, posteriors, len(examples.names))
    balanced = [
        balanced_macro_f1(truth, scores, len(examples.names))
        for scores in (*(outcome.dev for outcome in outcomes), posteriors)
    ]
    from hashlib import sha256

    config = {
        "model_type": STACK_TYPE,
        "name": recipe.name,
        "revision": sha256(data).hexdigest(),
        "labels": list(fuser.labels),
        "members": names,
        **_facts(prepared),
    }
    card = _stack_card(prepared, outcomes, figures, balanced, fuser.n_fit)
    (folder / "README.md").write_text(card, "utf-8")
    partial = folder / "config.json.tmp"
    partial.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(folder / "config.json")
    return figures


def _grow(prepared: Prepared, outcomes: Sequence[Outcome], cards: Sequence[ModelCard]) -> Stacking:
    """Forests on what the recipe wants them to learn from."""
    recipe, examples = prepared.recipe, prepared.examples
    part = "dev" if recipe.stack_on == "dev" else "train"
    places = examples.parts[part]
    truth = examples.targets[places].astype(np.intp)
    speakers = [examples.speakers[index] for index in places]
    folds = stratified_folds(truth, speakers)
    kind = recipe.stack_features
    blocks = [
        stacked_block(outcome.dev if part == "dev" else outcome.train, kind) for outcome in outcomes
    ]
    inputs = [Input(card.identifier, kind, examples.names) for card in cards]
    return fit_stacking(blocks, truth, examples.names, inputs, folds)[0]


def _table(
    prepared: Prepared,
    part: str,
    cards: Sequence[ModelCard],
    logits: Sequence[NDArray[np.float64]],
) -> PredictionTable:
    """Outputs of networks for a part of the data as `emocli predict` writes them."""
    examples = prepared.examples
    rows = []
    for card, own in zip(cards, logits, strict=True):
        for place, probs in zip(examples.parts[part], softmax(own), strict=True):
            carried = {
                "emotion": examples.names[int(examples.targets[place])],
                "speaker": examples.speakers[place],
            }
            utterance = Utterance(examples.files[place], examples.paths[place], carried=carried)
            start, end = (
                None if np.isnan(value) else float(value)
                for value in (examples.starts[place], examples.ends[place])
            )
            rows.append(prediction_row(utterance, card, probs, start=start, end=end))
    return PredictionTable.from_rows(rows, name=part)


def _facts(prepared: Prepared) -> dict[str, Any]:
    recipe = prepared.recipe
    facts = {"licence": recipe.licence, "description": recipe.description}
    return {key: value for key, value in facts.items() if value}


def _network_card(name: str, prepared: Prepared, outcome: Outcome) -> str:
    recipe, network = prepared.recipe, outcome.network
    best = outcome.history.evaluations[outcome.history.best]
    encoders = ", ".join(source.encoder for source in recipe.sources(network))
    return _card(
        name,
        prepared,
        [
            f"Design {network.design} on frozen {encoders} (layer {recipe.layer}); utterances "
            f"drawn by {network.drawn}.",
        ],
        [
            *(f"- {title(key)}: {value:.4f}" for key, value in best.figures.items()),
            "",
            f"Best of {len(outcome.history.evaluations)} evaluations by "
            f"{title(recipe.select)}, after epoch {best.epoch:g}. The epoch was chosen by "
            f"this figure, which makes it optimistic.",
        ],
    )


def _stack_card(
    prepared: Prepared,
    outcomes: Sequence[Outcome],
    figures: Mapping[str, float],
    balanced: Sequence[float],
    n_fit: int,
) -> str:
    recipe = prepared.recipe
    heads = [*(title(key) for key in figures), f"{title('macro_f1')}, balanced"]
    rows = [["network", *heads], ["---"] * (len(heads) + 1)]
    for outcome, even in zip(outcomes, balanced, strict=False):
        best = outcome.history.evaluations[outcome.history.best].figures
        own = [*(best[key] for key in figures), even]
        rows.append([outcome.network.name, *(f"{value:.4f}" for value in own)])
    rows.append(["stack", *(f"{value:.4f}" for value in (*figures.values(), balanced[-1]))])
    examples = prepared.examples
    unheard = told_apart([examples.speakers[index] for index in examples.parts["train"]])
    learned = {
        "folds": f"outputs by networks that had not heard the fold at hand; {recipe.folds} folds "
        f"part {unheard}",
        "dev": "outputs for the development set, so the stack's figures below are flattered",
        "train": "the networks' outputs on their own training data",
    }[recipe.stack_on]
    said = [
        f"Networks: {', '.join(outcome.network.name for outcome in outcomes)}.",
        "",
        f"The forests were grown on {n_fit} utterances, as many of each label, with {learned}. "
        f"They see the networks' {'log ' * (recipe.stack_features != 'logits')}"
        f"{recipe.stack_features}. Their posteriors stand for labels that are equally frequent.",
    ]
    note = (
        "The networks' epochs were chosen by these figures, the forests were not. Balanced is the "
        f"mean over {N_BALANCED} draws of as many of each label, at most {MOST_OF_LABEL}."
    )
    measured = [*(f"| {' | '.join(row)} |" for row in rows), "", note]
    return _card(recipe.name, prepared, said, measured)


def _card(name: str, prepared: Prepared, said: Sequence[str], measured: Sequence[str]) -> str:
    recipe, examples = prepared.recipe, prepared.examples
    licence = [f"Licence of the weights: {recipe.licence}.", ""] if recipe.licence else []
    left_out = [f"{n} with {why}" for why, n in examples.left_out.items()]
    lines = [
        f"# {name}", "", recipe.description or "Cross-attention on frozen encoders.", "",
        f"Labels: {', '.join(examples.names)}.", "", *said, "", *licence,
        "## Data", "", *data_rows(examples),
        *(["", f"Rows left out: {', '.join(left_out)}."] if left_out else []),
        "", "## Measured on the development set", "", *measured,
        "", "## Recipe", "", "```",
        *(f"{key}: {toml_value(value)}" for key, value in prepared.content.items()),
        "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
