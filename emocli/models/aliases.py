"""The table of short names for published checkpoints."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from emocli.models.protocol import ModelCard


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A short name and what is known of its checkpoint without having it.

    Attributes:
        name: what a user types.
        hub: ``owner/name`` on the hub; empty for a model of the package.
        folder: folder of a model of the package; empty for one of the hub.
        revision: pinned commit; empty where none is known.
        modality: ``"speech"`` or ``"text"``.
        labels: canonical label names in the order of the outputs.
        dimensions: names of the outputs of a dimensional model.
        multi_label: labels have a sigmoid each.
        sampling_rate: Hz; 0 for text models.
        size_bytes: size of the weights; 0 if not known.
        licence: licence of the weights; empty if not declared.
        description: one or two sentences.
    """

    name: str
    hub: str = ""
    folder: str = ""
    revision: str = ""
    modality: str = "speech"
    labels: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    multi_label: bool = False
    sampling_rate: int = 0
    size_bytes: int = 0
    licence: str = ""
    description: str = ""

    @property
    def card(self) -> ModelCard:
        """The card as far as it is known without the checkpoint."""
        return ModelCard(
            name=self.hub or self.name,
            revision=self.revision,
            modality=self.modality,
            labels=self.labels,
            dimensions=self.dimensions,
            multi_label=self.multi_label,
            sampling_rate=self.sampling_rate,
            size_bytes=self.size_bytes,
            licence=self.licence,
            source=f"hf:{self.hub}" if self.hub else "part of emocli",
            description=self.description,
        )


@cache
def aliases() -> dict[str, Alias]:
    """All short names in the order of the table."""
    text = Path(__file__).with_name("aliases.toml").read_text("utf-8")
    return {
        name: Alias(name=name, **_hashable(facts)) for name, facts in tomllib.loads(text).items()
    }


def _hashable(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}


def alias_of_hub(hub: str) -> Alias | None:
    """The entry of a hub identifier, whose case does not count; None if the table lacks it."""
    return next((a for a in aliases().values() if a.hub and a.hub.lower() == hub.lower()), None)
