"""What a sequence of features was made with, so that different ones are never mixed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from emocli.schema import Fields


@dataclass(frozen=True, kw_only=True)
class EncoderIdentity:
    """All that decides the values of an encoder's frames, but for the input.

    Attributes:
        name: hub identifier, name of the folder, or name of a built-in encoder.
        revision: commit of the hub, or a hash of the checkpoint's files; empty for a built-in.
        layer: ``last``, ``weighted`` or the number of a layer.
        modality: ``speech``, ``prosody`` or ``text``.
        dim: values per frame.
        frames_per_second: 0 for text, whose frames are tokens.
        sampling_rate: Hz of the waveforms that it takes; 0 for text.
        settings: what else was chosen, names and values in alphabetical order.
        version: of the code; counts up when the same settings give other values.
    """

    name: str
    revision: str = ""
    layer: str = "last"
    modality: str
    dim: int
    frames_per_second: float = 0.0
    sampling_rate: int = 0
    settings: tuple[tuple[str, str], ...] = ()
    version: int = 1

    @property
    def value_numbers(self) -> tuple[str, ...]:
        """Names of the values of a frame that have no names: their places from 0."""
        return tuple(str(place) for place in range(self.dim))

    @property
    def key(self) -> str:
        """A hash of all attributes, 64 hexadecimal digits."""
        return sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """The attributes as a JSON object; `from_facts` reads it back."""
        return {**asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "EncoderIdentity":
        """The identity that `facts` wrote.

        Raises:
            TypeError: attributes are missing or unknown.
            ValueError: the settings are no object.
        """
        settings = tuple(sorted(dict(facts["settings"]).items())) if "settings" in facts else ()
        return cls(**{**facts, "settings": settings})

    @classmethod
    def from_fields(cls, fields: Fields) -> "EncoderIdentity":
        """The same from a JSON object whose types are not known.

        Raises:
            EmocliError: a field is missing, unknown or of another type.
        """
        settings = fields.inner("settings").values if "settings" in fields.values else {}
        listed = [list(item) for item in sorted(settings.items())]
        whole = type(fields)(fields.name, fields.path, {**fields.values, "settings": listed})
        return whole.build(cls)

    def __str__(self) -> str:
        """The identity on one line.

        Example:
            >>> str(EncoderIdentity(name="a/b", revision="0" * 40, modality="text", dim=8))
            'a/b@000000000000 layer last (8 values)'
        """
        at = f"@{self.revision[:12]}" if self.revision else ""
        rate = [f"{self.frames_per_second:g} a second"] if self.frames_per_second else []
        facts = [f"{self.dim} values", *rate, *(f"{name} {value}" for name, value in self.settings)]
        version = [f"version {self.version}"] if self.version != 1 else []
        return f"{self.name}{at} layer {self.layer} ({', '.join([*facts, *version])})"
