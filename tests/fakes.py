"""Stand-ins for models and recordings, small and exact."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from emocli.errors import ModelError
from emocli.models.protocol import ModelCard, Recognizer

LABELS = ("angry", "happy", "neutral", "sad")


class FakeRecognizer(Recognizer):
    """A speech model whose logits are statistics of the waveform.

    The logits are the level, the share of sign changes, zero, and minus the level. A waveform
    whose largest sample is ``refuses`` is refused, with all that are in the same call.
    """

    def __init__(self, refuses: float = -1.0, **card: Any) -> None:
        self.card = ModelCard(**{"name": "fake", "labels": LABELS, **card})
        self.refuses = refuses
        self.calls: list[list[int]] = []

    def _logits(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        self.calls.append([len(waveform) for waveform in utterances])
        if any(np.isclose(np.abs(one).max(initial=0), self.refuses) for one in utterances):
            raise ModelError("the fake refuses this recording. Give another.")
        return np.array([self.statistics(one) for one in utterances])

    def statistics(self, waveform: np.ndarray) -> list[float]:
        assert waveform.dtype == np.float32
        level = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))
        changes = float(np.mean(np.diff(np.sign(waveform)) != 0))
        values = [10 * level, 4 * changes, 0.0, -10 * level]
        return values[: len(self.card.outputs)]


class FakeTextRecognizer(Recognizer):
    """A text model that counts words of joy and anger."""

    def __init__(self, **card: Any) -> None:
        self.card = ModelCard(
            **{
                "name": "fake-text",
                "modality": "text",
                "labels": LABELS,
                "sampling_rate": 0,
                **card,
            }
        )

    def _logits(self, utterances: Sequence[str]) -> np.ndarray:
        return np.array(
            [
                [2.0 * text.count("hate"), 2.0 * text.count("love"), 0.5, 0.1 * len(text)]
                for text in utterances
            ]
        )

    def remarks(self, utterances: Sequence[str]) -> list[str]:
        return ["text cut to 40 letters" if len(text) > 40 else "" for text in utterances]


def tone(
    seconds: float = 1.0,
    hertz: float = 440.0,
    *,
    amplitude: float = 0.1,
    sampling_rate: int = 16000,
    n_channels: int = 1,
) -> np.ndarray:
    """A sine of shape (n_samples,), or (n_samples, n_channels)."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    wave = (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
    return wave if n_channels == 1 else np.tile(wave[:, np.newaxis], (1, n_channels))


def sounding(waveform: np.ndarray) -> tuple[tuple[float, float], ...]:
    """A detector of speech to which tones are speech: frames of 32 ms above -60 dBFS, padded."""
    frames = np.pad(waveform, (0, -len(waveform) % 512)).reshape(-1, 512)
    loud = np.concatenate([[False], frames.std(axis=1) > 1e-3, [False]]).astype(int)
    edges = np.flatnonzero(np.diff(loud)).reshape(-1, 2) * 512 / 16000
    last = len(waveform) / 16000
    return tuple((max(0.0, start - 0.1), min(last, end + 0.1)) for start, end in edges)


def write_tone(path: Path, seconds: float = 1.0, hertz: float = 440.0, **options: Any) -> Path:
    """A recording of a sine; ``subtype`` and ``format`` are soundfile's."""
    sampling_rate = options.get("sampling_rate", 16000)
    written = {key: options.pop(key) for key in ("subtype", "format") if key in options}
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hertz, **options), sampling_rate, **written)
    return path
