"""What every model looks like from outside: a card, and logits for utterances."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emocli.calibration.adaptation import Adaptation


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
        cut_seconds: what is heard of a recording where no windows are asked for, as the model's
            authors hear it; 0 for all, in windows.
        number_format: that the network computes in; other than ``fp32`` is part of the identifier.
        prepares_text: whether it is given English texts as `emocli.english.prepare` makes them,
            which is part of the identifier too.
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
    cut_seconds: float = 0.0
    number_format: str = "fp32"
    prepares_text: bool = False

    @property
    def identifier(self) -> str:
        """The name with the first 12 characters of the revision, and what moves its figures.

        Example:
            >>> ModelCard(name="a/b", revision="0" * 40, number_format="bf16").identifier
            'a/b@000000000000+bf16'
        """
        at = f"@{self.revision[:12]}" if self.revision else ""
        moved = [self.number_format] if self.number_format != "fp32" else []
        moved += ["prepared"] if self.prepares_text else []
        return "+".join([self.name + at, *moved])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns of `Recognizer.logits`."""
        return self.labels or self.dimensions


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load models.

    Attributes:
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: number format, see `emocli.models.devices.number_formats`.
        engine: ``auto``, ``torch`` or ``openvino``; see `emocli.models.engines`.
        batch_size: most utterances at once; None for a size that suits the device.
        offline: use only what is on this machine, and keep the hub's library off the network.
        mc_dropout: answers with dropout on; None for one answer without.
        label_names: of the outputs in their order, for checkpoints that name none.
        prepare_text: give text models English texts as `emocli.english.prepare` makes them.
    """

    device: str = "auto"
    dtype: str = "auto"
    engine: str = "auto"
    batch_size: int | None = None
    offline: bool = False
    mc_dropout: int | None = None
    label_names: tuple[str, ...] = ()
    prepare_text: bool = False


DEFAULT_LOADING = LoadOptions()


class Recognizer(ABC):
    """A loaded model.

    Attributes:
        card: what the model is.
        engine: what computes, and in which number format; empty where there is no choice.
        engine_remark: why no other engine runs it; empty if none was tried.
        module: the network, for those that run on torch; None for others.
        n_draws: answers for each utterance; 0 for a single one without an axis of draws.
        max_seconds: longest recording that it takes at once; 0 for any.
        pool_seconds: of audio that it is best given at once.
        needs_text: whether a multimodal model cannot do without words.
        one_core: it is too small for more than one core; others are best used by more processes.
        adaptation: how it errs on recordings unlike those of its training; None if nobody knows.
    """

    card: ModelCard
    engine: str = ""
    engine_remark: str = ""
    module: Any = None
    n_draws: int = 0
    max_seconds: float = 0.0
    pool_seconds: float = math.inf
    needs_text: bool = False
    one_core: bool = False
    adaptation: "Adaptation | None" = None

    def logits(
        self, utterances: Sequence[Any], sampling_rate: int | None = None
    ) -> "NDArray[np.float64]":
        """Scores of utterances, each independent of the others in the call.

        Args:
            utterances: mono waveforms of floating-point samples, shape (n_samples,), for speech
                models; strings for text models; `emocli.models.cross_modal.Spoken` for multimodal
                ones.
            sampling_rate: Hz of the waveforms, which are resampled where the model takes others;
                None where they are at ``card.sampling_rate``.

        Returns:
            Logits of shape (n_utterances, n_labels), or values of shape
            (n_utterances, n_dimensions) for dimensional models; with an axis of draws in the
            middle where ``n_draws`` is not 0.

        Raises:
            ModelError: an utterance is not what the model takes, or memory runs out.
        """
        from emocli.models.utterances import check_texts, check_waveforms

        if self.card.modality == "text":
            return self._logits(check_texts(utterances))
        if self.card.modality == "speech":
            rate = self.card.sampling_rate
            return self._logits(check_waveforms(utterances, rate, sampling_rate))
        return self._logits(utterances)

    @abstractmethod
    def _logits(self, utterances: Sequence[Any]) -> "NDArray[np.float64]":
        """The same for utterances as the model takes them."""

    def remarks(self, utterances: Sequence[Any]) -> list[str]:
        """What of each utterance is not taken in, empty where all is."""
        return [""] * len(utterances)

    def traits(self, utterances: Sequence[Any]) -> "NDArray[np.float64]":
        """Traits of a model with an ``adaptation``, shape (n_utterances, n_traits).

        Args:
            utterances: as for `logits`.
        """
        raise NotImplementedError(f"{self.card.identifier} has no traits.")
