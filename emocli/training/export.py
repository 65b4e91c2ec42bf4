"""A trained network as a folder that ``-m`` takes: configuration, weights, card."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save

from emocli.networks.compact import CompactNetwork
from emocli.splits import told_apart
from emocli.training.data import Utterance
from emocli.training.recipe import Recipe

MODEL_TYPE = "emocli-compact"
HALF_FROM = 4096
"""Tensors from this size on are stored in 16 bits; they are computed with in 32."""


def write_model(
    folder: Path,
    network: CompactNetwork,
    recipe: Recipe,
    utterances: Sequence[Utterance],
    figures: Mapping[str, float],
) -> None:
    """Write a model folder; a file in it appears whole or not at all.

    Args:
        folder: made if it is not there.
        network: trained, with its temperature.
        recipe: names the model and its licence.
        utterances: that it was trained on.
        figures: by what they measure, for the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": MODEL_TYPE,
        "name": recipe.name,
        "sampling_rate": recipe.front_end.sampling_rate,
        "licence": recipe.licence,
        "description": recipe.description,
        **dataclasses.asdict(network.config),
    }
    tensors = {
        name: _stored(value)
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_tensors(folder / "model.safetensors", tensors)
    _write_text(folder / "README.md", card(recipe, utterances, figures))
    _write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write named tensors so that the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_bytes(save(tensors))
    partial.replace(path)


def _stored(value: torch.Tensor) -> torch.Tensor:
    large = value.is_floating_point() and value.numel() >= HALF_FROM
    return value.half().contiguous() if large else value.contiguous()


def _write_text(path: Path, text: str) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def card(recipe: Recipe, utterances: Sequence[Utterance], figures: Mapping[str, float]) -> str:
    """A model card in Markdown.

    Args:
        recipe: names model, labels and licence.
        utterances: that it was trained on.
        figures: by what they measure.
    """
    lines = [f"# {recipe.name}", "", recipe.description or "A compact speech emotion model.", ""]
    lines += [f"Labels: {', '.join(recipe.labels)}.", ""]
    if recipe.licence:
        lines += [f"Licence of the weights: {recipe.licence}.", ""]
    lines += [
        "## Trained on",
        "",
        "| corpus | utterances | speakers | labels |",
        "|---|---|---|---|",
    ]
    for source in recipe.data:
        own = [utterance for utterance in utterances if utterance.corpus == source.name]
        counts = ", ".join(f"{n} {label}" for label, n in Counter(u.label for u in own).items())
        n_unnamed = sum(not utterance.speaker for utterance in own)
        voices = str(len({utterance.speaker for utterance in own} - {""}))
        voices += f" and {n_unnamed} unnamed" if n_unnamed else ""
        lines.append(f"| {source.name} | {len(own)} | {voices} | {counts} |")
    if figures:
        apart = told_apart([utterance.speaker for utterance in utterances])
        lines += ["", f"## Measured on {apart} that it had not heard", ""]
        lines += [f"- {what}: {value:.3f}" for what, value in figures.items()]
    if recipe.notes:
        lines += ["", recipe.notes.strip()]
    return "\n".join(lines) + "\n"
