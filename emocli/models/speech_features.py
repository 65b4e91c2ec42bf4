"""What speech networks take in: waveforms, standardised in one of several ways, or spectrograms.

Each front end turns one waveform into one array whose first axis is time. None looks at any other
utterance.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class FrontEnd(Protocol):
    """Turns a waveform into what a network takes in."""

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Input of the network, shape (n_samples,) or (n_frames, n_bins)."""
        ...


@dataclass(frozen=True)
class UtteranceNorm:
    """The waveform, scaled to zero mean and unit variance over itself if ``enabled``.

    ``(x - mean(x)) / sqrt(var(x) + 1e-7)``, as `transformers.Wav2Vec2FeatureExtractor` does with
    ``do_normalize``.
    """

    enabled: bool

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_samples,) to the same."""
        if not self.enabled:
            return waveform
        scaled = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
        return np.asarray(scaled, dtype=np.float32)


@dataclass(frozen=True)
class CorpusNorm:
    """The waveform under the mean and deviation of the training corpus.

    ``(x - mean) / (std + 1e-6)``.

    Source: the MSP-Podcast challenge's baseline, whose checkpoints carry both numbers.
    """

    mean: float
    std: float

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_samples,) to the same."""
        return np.asarray((waveform - self.mean) / (self.std + 1e-6), dtype=np.float32)


@dataclass(frozen=True)
class StackedFilterbank:
    """Log-mel filter bank as in Kaldi, normalised by bin, neighbouring frames stacked.

    Attributes:
        extractor: a `transformers.SeamlessM4TFeatureExtractor`.
    """

    extractor: Any

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_samples,) to (n_frames // stride, stride * n_bins).

        Frames at the end that do not fill a stack are left out: the library fills the stack with
        zeros and then masks it, which comes to the same.
        """
        features = self.extractor(
            [waveform], sampling_rate=self.extractor.sampling_rate, return_tensors="np"
        )
        n_valid = int(features["attention_mask"][0].sum())
        return np.asarray(features["input_features"][0, :n_valid], dtype=np.float32)


@dataclass(frozen=True)
class WhisperSpectrogram:
    """Whisper's log-mel spectrogram, filled with silence to the length that the encoder takes.

    Attributes:
        extractor: a `transformers.WhisperFeatureExtractor`.
        n_samples: length that a waveform is filled or cut to.
    """

    extractor: Any
    n_samples: int

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_samples,) to (n_bins, n_frames); here time comes last."""
        features = self.extractor(
            [waveform],
            sampling_rate=self.extractor.sampling_rate,
            max_length=self.n_samples,
            return_tensors="np",
        )
        return np.asarray(features["input_features"][0], dtype=np.float32)


@dataclass(frozen=True)
class LibraryFeatures:
    """Whatever a feature extractor of the library makes of a waveform.

    Attributes:
        extractor: gives what its network takes in under the first of its ``model_input_names``.
    """

    extractor: Any

    @property
    def max_samples(self) -> int:
        """Samples that fill the frames that the network takes; 0 if it takes any number.

        The frames are those of Kaldi, 25 ms every 10 ms.
        """
        n_frames = getattr(self.extractor, "max_length", 0) or 0
        rate = self.extractor.sampling_rate
        return max(0, n_frames - 1) * (rate // 100) + rate // 40 if n_frames else 0

    def __call__(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_samples,) to (n_frames, n_bins), of one length for every waveform."""
        features = self.extractor(
            waveform, sampling_rate=self.extractor.sampling_rate, return_tensors="np"
        )
        return np.asarray(features[self.extractor.model_input_names[0]][0], dtype=np.float32)
