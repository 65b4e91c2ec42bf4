"""What the outputs of a checkpoint mean: labels or dimensions, by name and never by index."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import LabelMismatch, ModelError
from emocli.labels import canonical_labels
from emocli.models.aliases import Alias
from emocli.schema import is_text

DIMENSIONS = ("arousal", "dominance", "valence")
_DIMENSION_NAMES = {
    **{name: name for name in DIMENSIONS},
    "activation": "arousal",
    "act": "arousal",
    "aro": "arousal",
    "dom": "dominance",
    "val": "valence",
}
_NUMBER = re.compile("[0-9]{1,6}")
_PLACEHOLDER = re.compile(r"label_?\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Outputs:
    """Names of a network's outputs.

    Attributes:
        labels: canonical label names, empty for a dimensional model.
        dimensions: names among `DIMENSIONS`, empty for a categorical model.
        multi_label: labels have a sigmoid each.
        is_binary: the network has one logit, for the first of two labels and against the second.
    """

    labels: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    multi_label: bool = False
    is_binary: bool = False

    def __len__(self) -> int:
        return len(self.labels or self.dimensions)

    @property
    def n_logits(self) -> int:
        """Values that the network gives for an utterance."""
        return 1 if self.is_binary else len(self)

    def logits(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """One column for each output, from what the network gives.

        Of a single logit ``l`` it is ``l`` and 0, whose softmax is the sigmoid of ``l``, as the
        library's pipelines take it, and the rest.
        """
        return np.hstack([values, np.zeros_like(values)]) if self.is_binary else values


def name_outputs(
    name: str, config: Mapping[str, Any], n_outputs: int, alias: Alias | None = None
) -> Outputs:
    """The meaning of the outputs of a checkpoint.

    Args:
        name: of the checkpoint, for messages.
        config: the content of ``config.json``; its ``id2label`` decides.
        n_outputs: rows of the last layer.
        alias: facts about the checkpoint, used where ``id2label`` is absent or has only
            placeholders.

    Raises:
        ModelError: the outputs have no names, or not as many as there are, or two that mean the
            same.
    """
    names = _own_names(config)
    known = tuple(alias.labels or alias.dimensions) if alias else ()
    source, remedy = "config.json names", "Repair id2label in config.json."
    if names is None and known:
        names, source, remedy = known, "there are names for", "Correct --label-names."
    if names is None:
        raise ModelError(
            f"{name}: config.json gives the {n_outputs} outputs no names (id2label), and without "
            f"names nobody knows which emotion is which. Name them in their order with "
            f"--label-names, or add id2label to config.json."
        )
    if len(names) != n_outputs:
        raise ModelError(
            f"{name}: {source} {len(names)} outputs ({', '.join(names)}) and the weights "
            f"have {n_outputs}. {remedy}"
        )
    dimensions = [_DIMENSION_NAMES.get(n.strip().casefold()) for n in names]
    if all(dimensions):
        return Outputs(dimensions=tuple(str(d) for d in dimensions))
    if config.get("problem_type") == "regression":
        raise ModelError(
            f"{name}: a regression onto {', '.join(names)}, expected the dimensions "
            f"{', '.join(DIMENSIONS)}. Use a model for emotions or these dimensions."
        )
    if config.get("labels") == list(names):  # trained here, on these words
        labels = tuple(names)
    else:
        try:
            labels = canonical_labels(names)
        except LabelMismatch as error:
            raise ModelError(f"{name}: {error}") from error
    if len(labels) == 1:
        return Outputs(labels=(labels[0], f"not_{labels[0]}"), is_binary=True)
    multi_label = config.get("problem_type") == "multi_label_classification"
    return Outputs(labels=labels, multi_label=multi_label or bool(alias and alias.multi_label))


def count_outputs(config: Mapping[str, Any], alias: Alias | None = None) -> int:
    """How many outputs a checkpoint says that it has; 2, as the library has it, if it does not."""
    names = config.get("id2label")
    count = config.get("num_labels")
    if isinstance(names, Mapping) and names:
        return len(names)
    if type(count) is int and count > 0:
        return count
    return len(alias.card.outputs) if alias and alias.card.outputs else 2


def _own_names(config: Mapping[str, Any]) -> Sequence[str] | None:
    """Names by number as ``id2label`` has them; None if it is absent or only placeholders."""
    table = config.get("id2label")
    if not isinstance(table, Mapping) or not table:
        return None
    for number, label in table.items():
        if not _NUMBER.fullmatch(str(number)) or not is_text(label):
            return None
    numbered = sorted((int(number), label) for number, label in table.items())
    if [number for number, _ in numbered] != list(range(len(numbered))):
        return None
    names = [label for _, label in numbered]
    return None if all(_PLACEHOLDER.fullmatch(label) for label in names) else names
