"""Where somebody speaks: Silero's network where it is installed, the level of the sound elsewhere.

Silero's own Python package changes torch's number of threads for the whole process when it is
imported, and runs its network frame by frame. So only its network is taken from it, in the form
that takes many frames at once, which needs neither that package's code nor torch. The level can
only tell sound from silence, not speech from music.

Source: Silero Team, "Silero VAD", https://github.com/snakers4/silero-vad (weights MIT).
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import MissingDependency

SAMPLING_RATE = 16000
FRAME_SAMPLES = 512  # 32 ms, the frame of Silero's network
FRAME_SECONDS = FRAME_SAMPLES / SAMPLING_RATE
CONTEXT_SAMPLES = 64  # samples of the frame before that the network sees too
FRAMES_AT_ONCE = 1024  # 33 s, which take 27 MB within the network
STATE_SHAPE = (1, 1, 128)
_NETWORK = Path("data") / "silero_vad_16k_sequence.onnx"

SPEECH_THRESHOLD = 0.5
RELEASE_THRESHOLD = 0.35
"""Speech starts above the first and goes on until it falls below the second, as Silero advises."""

SILENCE_DBFS = -60.0
"""Frames with a level below it are silent; room noise of a usable recording is above."""

MIN_SPEECH_SECONDS = 0.1
MIN_PAUSE_SECONDS = 0.3
PAD_SECONDS = 0.1

Detector = Callable[[NDArray[np.float32]], tuple[tuple[float, float], ...]]


def find_detector(method: str = "auto") -> Detector | None:
    """The function that finds speech, by name.

    Args:
        method: ``"silero"``, ``"energy"``, ``"off"`` or ``"auto"``: silero where its packages are
            installed, else energy.

    Returns:
        `speech_by_silero`, `speech_by_energy` or, for ``"off"``, None.

    Raises:
        MissingDependency: silero was asked for by name and is not installed.
    """
    if method == "off":
        return None
    installed = _silero_file() is not None
    if method == "silero" and not installed:
        raise MissingDependency(
            "Voice activity by silero needs the packages silero-vad (6.2.2 or later) and "
            "onnxruntime, which are not both installed. Run `pip install 'emocli[vad]'`, or "
            "choose --vad energy."
        )
    return speech_by_silero if installed and method != "energy" else speech_by_energy


def speech_by_silero(waveform: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """Stretches of speech as Silero's network hears them.

    Args:
        waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].

    Returns:
        Start and end of each stretch in seconds, in order, apart from each other.
    """
    probs = speech_probabilities(waveform)
    return _stretches(probs, SPEECH_THRESHOLD, RELEASE_THRESHOLD, len(waveform))


def speech_by_energy(waveform: NDArray[np.float32]) -> tuple[tuple[float, float], ...]:
    """Stretches that are not silent: level above -60 dBFS in frames of 32 ms.

    Args:
        waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].

    Returns:
        Start and end of each stretch in seconds, in order, apart from each other.
    """
    levels = frame_levels(waveform)
    return _stretches(levels, SILENCE_DBFS, SILENCE_DBFS, len(waveform))


def frame_levels(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square of each frame of 512 samples in dBFS, shape (n_frames,).

    The constant part of a frame is no sound and does not count; digital silence is -inf.
    """
    frames = _frames(waveform).astype(np.float64)  # (n_frames, 512)
    with np.errstate(divide="ignore"):
        return np.asarray(20.0 * np.log10(frames.std(axis=1)))


def is_digital_silence(waveform: NDArray[np.float32]) -> bool:
    """Whether every sample is the same, so that there is nothing at all to hear."""
    return not len(waveform) or bool(np.ptp(waveform) == 0.0)


def speech_probabilities(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of speech in each frame of 512 samples, by Silero's network.

    Args:
        waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].

    Returns:
        Shape (n_frames,); the last frame is filled up with zeros.
    """
    frames = _frames(waveform)  # (n_frames, 512)
    probs = np.zeros(len(frames))
    before = np.zeros(CONTEXT_SAMPLES, np.float32)
    hidden = cell = np.zeros(STATE_SHAPE, np.float32)
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        some = frames[first : first + FRAMES_AT_ONCE]
        ends = np.concatenate([before[None], some[:, -CONTEXT_SAMPLES:]])
        inputs = {"input": np.concatenate([ends[:-1], some], axis=1), "h": hidden, "c": cell}
        probs[first : first + len(some)], hidden, cell = _silero().run(None, inputs)
        before = ends[-1]
    return probs


def _frames(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """The waveform in frames, shape (n_frames, 512), filled up with zeros."""
    n_frames = -(-len(waveform) // FRAME_SAMPLES)
    padded = np.zeros(n_frames * FRAME_SAMPLES, dtype=np.float32)
    padded[: len(waveform)] = waveform
    return padded.reshape(n_frames, FRAME_SAMPLES)


def _stretches(
    values: NDArray[np.float64], enter: float, leave: float, n_samples: int
) -> tuple[tuple[float, float], ...]:
    """Runs of frames that start above one value and last until below another, in seconds."""
    runs: list[list[int]] = []
    inside = False
    for index, value in enumerate(values):
        if not inside and value > enter:
            runs.append([index, index])
            inside = True
        inside = inside and value >= leave
        if inside:
            runs[-1][1] = index + 1
    return _tidy([(start * FRAME_SECONDS, end * FRAME_SECONDS) for start, end in runs], n_samples)


def _tidy(runs: Sequence[tuple[float, float]], n_samples: int) -> tuple[tuple[float, float], ...]:
    """Runs without pauses too short to matter and without blips, padded on both sides."""
    merged: list[tuple[float, float]] = []
    for start, end in runs:
        if merged and start - merged[-1][1] < MIN_PAUSE_SECONDS:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    last = n_samples / SAMPLING_RATE
    return tuple(
        (max(0.0, start - PAD_SECONDS), min(last, end + PAD_SECONDS))
        for start, end in merged
        if end - start >= MIN_SPEECH_SECONDS
    )


def _silero_file() -> Path | None:
    """Silero's network inside its package, found without importing it."""
    spec = find_spec("silero_vad") if find_spec("onnxruntime") else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for folder in folders if (path := Path(folder) / _NETWORK).is_file()), None)


@cache
def _silero() -> Any:
    """Silero's network for 16 kHz; threads may share it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # frame after frame anyway
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(_silero_file()), options, providers=["CPUExecutionProvider"]
    )
