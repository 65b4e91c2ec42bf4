"""Utterances that are the same on every machine, to try models with."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.models.protocol import Recognizer

TEXTS = ("What a wonderful day, thank you!", "Leave me alone. I hate this.")


def probes(model: Recognizer) -> Sequence[Any]:
    """Two utterances that are the same on every machine, of the kind that a model takes.

    Returns:
        Two texts; or two waveforms of 2 s and 0.7 s, a voice-like tone whose pitch and loudness
        rise and fall, the second an octave higher; or both together for multimodal models.
    """
    if model.card.modality == "text":
        return TEXTS
    rate = model.card.sampling_rate
    voices = [_voice(rate, 2.0, 130.0), _voice(rate, 0.7, 260.0)]
    if model.card.modality == "multimodal":
        from emocli.models.cross_modal import Spoken

        return [Spoken(voice, text) for voice, text in zip(voices, TEXTS, strict=True)]
    return voices


def _voice(sampling_rate: int, seconds: float, pitch_hz: float) -> NDArray[np.float32]:
    """A glide of ten harmonics with a syllable-like envelope, peak below 0.5."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    phase = 2 * np.pi * pitch_hz * (time + 0.05 * np.sin(2 * np.pi * 0.9 * time))
    tone = sum(np.sin(k * phase) / k for k in range(1, 11))
    envelope = 0.25 * np.sin(np.pi * 3.1 * time) ** 2
    return np.asarray(envelope * tone, dtype=np.float32)


def seconds_taken(model: Recognizer, n_rounds: int = 3) -> float:
    """Seconds that a model takes for its probes: the shortest of some rounds after a first one."""
    utterances = probes(model)
    model.logits(utterances)
    taken = []
    for _ in range(n_rounds):
        began = time.perf_counter()
        model.logits(utterances)
        taken.append(time.perf_counter() - began)
    return min(taken)
