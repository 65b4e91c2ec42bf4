"""What a loaded speech recogniser looks like from outside, whichever library computes it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from emocli.asr.languages import LANGUAGES
from emocli.errors import ModelError
from emocli.models.protocol import ModelCard
from emocli.transcript import TranscribeOptions, Transcript

SAMPLING_RATE = 16000

OnWindow = Callable[[float], None]
"""Called before each window with the seconds heard so far; may raise `Abandoned`."""


class Abandoned(Exception):
    """Nobody waits for the transcript any more."""


def no_report(seconds: float) -> None:
    """Do nothing; the `OnWindow` of a caller that does not follow the progress."""


class Transcriber(ABC):
    """A loaded speech recogniser."""

    card: ModelCard
    """What the model is."""
    languages: Sequence[str]
    """Codes of the languages that it knows; only ``"en"`` for an English model."""

    @abstractmethod
    def transcribe(
        self,
        waveform: NDArray[np.float32],
        options: TranscribeOptions,
        on_window: OnWindow = no_report,
    ) -> Transcript:
        """What the library writes down. The same waveform gives the same text every time.

        Args:
            waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].
            options: how to transcribe.
            on_window: follows the progress.

        Raises:
            Abandoned: ``on_window`` did.
        """

    def n_lanes(self, options: TranscribeOptions) -> int:
        """Recordings that are best transcribed at a time, in as many threads."""
        return 1

    def shared(self, n_lanes: int) -> AbstractContextManager[Callable[[], None] | None]:
        """Deals the processor over lanes; gives what each of their threads calls first, if any."""
        return nullcontext()

    def check(self, options: TranscribeOptions) -> None:
        """Make sure that the model can do what is asked.

        Raises:
            ModelError: it does not know the language, or cannot translate.
        """
        known, asked = tuple(self.languages), options.language
        if known == ("en",) and (asked not in (None, "en") or options.task == "translate"):
            wish = "translate" if options.task == "translate" else LANGUAGES.get(asked or "", asked)
            raise ModelError(
                f"{self.card.name} knows English only, asked for {wish}. "
                f"Choose a model without .en in its name."
            )
        if asked is not None and asked not in known:
            raise ModelError(
                f"{self.card.name} knows {len(known)} languages, and {LANGUAGES.get(asked, asked)} "
                f"is not one of them. Choose another model, or leave the language out."
            )
