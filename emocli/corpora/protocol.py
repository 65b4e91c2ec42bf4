"""What a reader of a corpus gives, and what it has to offer for that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

NO_AGREEMENT = "no agreement"
"""Why an utterance on whose emotion listeners did not agree is of no use for emotions."""


@dataclass(frozen=True)
class Labelled:
    """An utterance and what its corpus says of it.

    Attributes:
        path: where the recording is.
        emotion: canonical.
        speaker: the same name is the same person, in all corpora; empty if nobody knows.
        gender: ``f``, ``m`` or empty.
        language: two letters.
        text: what is said.
        arousal: on the corpus's own scale; NaN where it has none.
        dominance: likewise.
        valence: likewise.
        session: in which recordings with the same people were made.
        strength: how strongly the emotion was to be played.
        scenario: how the utterance came about.
        sentiment: negative, neutral or positive.
        split: part of the corpus's own split.
        left_out: why the row is wanted only if all are; empty if it always is.
    """

    path: Path
    emotion: str
    speaker: str = ""
    gender: str = ""
    language: str = ""
    text: str = ""
    arousal: float = float("nan")
    dominance: float = float("nan")
    valence: float = float("nan")
    session: str = ""
    strength: str = ""
    scenario: str = ""
    sentiment: str = ""
    split: str = ""
    left_out: str = ""

    @property
    def has_dimensions(self) -> bool:
        """Whether it has an arousal, a dominance or a valence."""
        return not all(map(math.isnan, (self.arousal, self.dominance, self.valence)))


@dataclass(frozen=True)
class Reading:
    """What a corpus's folder holds.

    Attributes:
        utterances: in natural order of their paths, or as the corpus's table has them.
        missing: recordings that the corpus's tables name and that are not there.
        remarks: sentences for the user.
    """

    utterances: tuple[Labelled, ...]
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """A choice of utterances that papers share, so that their figures can be compared.

    Attributes:
        merged: emotions that count as another one.
        emotions: that are kept.
        n_utterances: how many there are in the complete corpus.
        folds: ``session`` or ``speaker``, what is held out by default.
    """

    merged: Mapping[str, str]
    emotions: tuple[str, ...]
    n_utterances: int
    folds: str


@dataclass(frozen=True)
class About:
    """A corpus in words.

    Attributes:
        name: that a user types.
        title: of the corpus.
        layout: what is expected on disk.
        scale: of arousal, dominance and valence, lowest and highest; None without them.
        split: whether the corpus comes with a split.
        anywhere: whether files say by their names what they are, so that any folder will do.
        protocols: choices of utterances by name.
    """

    name: str
    title: str
    layout: str
    scale: tuple[float, float] | None = None
    split: bool = False
    anywhere: bool = False
    protocols: Mapping[str, Selection] = field(default_factory=dict)


class Corpus(Protocol):
    """A reader of one corpus."""

    @property
    def about(self) -> About:
        """The corpus in words."""

    def is_root(self, folder: Path) -> bool:
        """Whether a folder is the one that the corpus's files start from."""

    def read(self, folder: Path) -> Reading:
        """The utterances of the corpus in its folder.

        Raises:
            CorpusError: labels are there that the corpus does not have, or a table is damaged.
        """
