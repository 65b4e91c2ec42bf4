"""What every model looks like from outside: a card, and logits for utterances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a model without running it.

    Attributes:
        name: identifier that the table's ``model`` column shows.
        revision: commit or content hash; empty if unknown.
        modality: ``"speech"``, ``"text"``, or ``"multimodal"`` for recordings with their texts.
        labels: canonical label names in the order of the logits; empty for dimensional models.
        dimensions: names such as ``"arousal"`` in the order of the outputs; empty for
            categorical models.
        multi_label: labels are scored one by one with a sigmoid instead of a softmax.
        sampling_rate: Hz that waveforms must have; 0 for text models.
        min_seconds: shortest waveform that the network takes; shorter ones are zero-padded.
        n_parameters: number of weights; 0 if unknown.
        size_bytes: size of the weights on disk; 0 if unknown.
        licence: licence of the weights as their authors state it.
        source: hub identifier, folder or paper.
        description: what it was trained on and for, with its figures and limits.
    """

    name: str
    revision: str = ""
    modality: str = "speech"
    labels: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    multi_label: bool = False
    sampling_rate: int = 16000
    min_seconds: float = 0.0
    n_parameters: int = 0
    size_bytes: int = 0
    licence: str = ""
    source: str = ""
    description: str = ""

    @property
    def identifier(self) -> str:
        """The name with the first 12 characters of the revision, ``name@revision``."""
        return f"{self.name}@{self.revision[:12]}" if self.revision else self.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns of `Recognizer.logits`."""
        return self.labels or self.dimensions


class Recognizer(Protocol):
    """A loaded model."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    def logits(self, utterances: Sequence[Any]) -> "NDArray[np.float64]":
        """Scores of utterances, each independent of the others in the call.

        Args:
            utterances: float32 mono waveforms of shape (n_samples,) at
                ``card.sampling_rate`` for speech models, strings for text models,
                `emocli.models.cross_modal.Spoken` for multimodal ones.

        Returns:
            Logits of shape (n_utterances, n_labels), or values of shape
            (n_utterances, n_dimensions) for dimensional models.
        """
        ...
