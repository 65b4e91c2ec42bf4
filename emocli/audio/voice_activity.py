"""Where somebody speaks, by Silero's network in the form that faster-whisper brings.

Source: Silero Team, "Silero VAD", https://github.com/snakers4/silero-vad (weights MIT).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE = 16000

SPEECH_THRESHOLD = 0.5
RELEASE_THRESHOLD = 0.35
"""Speech starts above the first and goes on until it falls below the second, as Silero advises."""

SILENCE_DBFS = -60.0
"""Frames with a level below it are silent; room noise of a usable recording is above."""
FRAME_SAMPLES = 512  # 32 ms

MIN_SPEECH_SECONDS = 0.1
MIN_PAUSE_SECONDS = 0.3
PAD_SECONDS = 0.1

Detector = Callable[[NDArray[np.float32]], tuple[tuple[float, float], ...]]


def find_speech(waveform: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """Stretches of speech.

    Args:
        waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].

    Returns:
        Start and end of each stretch in seconds, in order, apart from each other.
    """
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    chosen = VadOptions(
        threshold=SPEECH_THRESHOLD,
        neg_threshold=RELEASE_THRESHOLD,
        min_speech_duration_ms=round(1000 * MIN_SPEECH_SECONDS),
        min_silence_duration_ms=round(1000 * MIN_PAUSE_SECONDS),
        speech_pad_ms=round(1000 * PAD_SECONDS),
    )
    found = get_speech_timestamps(waveform, chosen, SAMPLING_RATE)
    return tuple((one["start"] / SAMPLING_RATE, one["end"] / SAMPLING_RATE) for one in found)


def has_sound(waveform: NDArray[np.float32]) -> bool:
    """Whether any frame of 32 ms is louder than -60 dBFS.

    The constant part of a frame is no sound and does not count.
    """
    n_frames = -(-len(waveform) // FRAME_SAMPLES)
    frames = np.pad(waveform, (0, n_frames * FRAME_SAMPLES - len(waveform)), mode="edge")
    levels = frames.reshape(n_frames, FRAME_SAMPLES).std(axis=1, dtype=np.float64)
    return bool((levels > 10 ** (SILENCE_DBFS / 20)).any())


def is_digital_silence(waveform: NDArray[np.float32]) -> bool:
    """Whether every sample is the same, so that there is nothing at all to hear."""
    return not len(waveform) or bool(np.ptp(waveform) == 0.0)
