"""The mean of all maps: no single one is right, and their errors differ."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.beta import Beta
from emocli.calibration.isotonic import Isotonic
from emocli.calibration.temperature import Temperature
from emocli.calibration.vector import VectorScaling
from emocli.posteriors import log_softmax


@dataclass(frozen=True)
class Average:
    """The mean of the posteriors of temperature, vector, isotonic and beta calibration.

    Temperature cannot learn which label a model neglects; the others can, and on few speakers
    learn what is true of those speakers alone. The mean keeps half of what is learned and half of
    the caution. Its surprisal is never above the mean of theirs (Jensen's inequality).

    Attributes:
        temperature: the first map.
        vector: the second.
        isotonic: the third.
        beta: the fourth.
    """

    method: ClassVar[str] = "mean"
    temperature: Temperature
    vector: VectorScaling
    isotonic: Isotonic
    beta: Beta

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors, shape (n_utterances, n_labels); NaN rows stay NaN."""
        maps = (self.temperature, self.vector, self.isotonic, self.beta)
        mean = np.mean([np.exp(each.apply(log_probs)) for each in maps], axis=0)
        return log_softmax(np.log(mean))

    @classmethod
    def fit(cls, log_probs: NDArray[np.float64], truth: NDArray[np.intp]) -> "Average":
        """All four maps, fitted on the same predictions.

        Args:
            log_probs: shape (n_utterances, n_labels).
            truth: label indices, shape (n_utterances,).
        """
        return cls(
            Temperature.fit(log_probs, truth),
            VectorScaling.fit(log_probs, truth),
            Isotonic.fit(log_probs, truth),
            Beta.fit(log_probs, truth),
        )
