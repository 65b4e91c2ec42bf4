"""The card of a fine-tuned model: data, figures, recipe."""

import json
from collections.abc import Mapping
from typing import Any

from emocli.metrics.registry import title
from emocli.training.examples import PARTS, Examples
from emocli.training.history import History
from emocli.training.tuning import TuningRecipe


def tuning_card(
    recipe: TuningRecipe,
    content: Mapping[str, Any],
    examples: Examples,
    history: History,
    n_cut: Mapping[str, int],
) -> str:
    """A card in Markdown.

    Args:
        recipe: what was trained.
        content: of the recipe, as it was set.
        examples: what it was trained on.
        history: of the training.
        n_cut: recordings of each part that were cut.
    """
    best = history.evaluations[history.best]
    outputs = "Dimensions, from 0 to 1" if recipe.is_dimensional else "Labels"
    lines = [f"# {recipe.name}", "", recipe.description or "A fine-tuned model.", ""]
    lines += [f"{outputs}: {', '.join(examples.names)}. Encoder: {recipe.encoder}.", ""]
    if recipe.licence:
        lines += [f"Licence of the weights: {recipe.licence}.", ""]
    lines += ["## Data", "", *data_rows(examples, is_dimensional=recipe.is_dimensional)]
    if any(n_cut.values()):
        said = ", ".join(f"{n} of {part}" for part, n in n_cut.items() if n)
        lines += ["", f"Only the first {recipe.crop_seconds:g} s were heard of longer recordings: "
                  f"{said}."]  # fmt: skip
    if examples.left_out:
        said = ", ".join(f"{n} with {why}" for why, n in examples.left_out.items())
        lines += ["", f"Rows left out: {said}."]
    lines += ["", "## Measured on the development set", ""]
    lines += [f"- {title(name)}: {value:.4f}" for name, value in best.figures.items()]
    lines += [
        "",
        f"Best of {len(history.evaluations)} evaluations by {title(recipe.select)}, after "
        f"epoch {best.epoch:g}. The epoch was chosen by this figure, which makes it optimistic.",
        "",
        "## Recipe",
        "",
        "```toml",
        *(f"{key} = {toml_value(value)}" for key, value in content.items()),
        "```",
    ]
    return "\n".join(lines) + "\n"


def data_rows(examples: Examples, *, is_dimensional: bool = False) -> list[str]:
    """Utterances and speakers of each part as a table in Markdown."""
    head = ["part", "utterances", "speakers"]
    head += [] if is_dimensional else list(examples.names)
    rows = [head, ["---"] * len(head)]
    for part in PARTS:
        if len(examples.parts[part]):
            voices = examples.voices(part).replace(" speakers", "").replace(" speaker", "")
            row = [part, str(len(examples.parts[part])), voices]
            if not is_dimensional:
                row += [str(n) for n in examples.counts(part)]
            rows.append(row)
    return [f"| {' | '.join(row)} |" for row in rows]


def toml_value(value: Any) -> str:
    """A value as TOML writes it; JSON does the same for all that a recipe holds."""
    return json.dumps(value, ensure_ascii=False)
