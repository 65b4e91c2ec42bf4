"""Who speaks when, by pyannote.audio: an optional package with models of its own."""

import contextlib
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import MissingDependency, ModelUnavailable
from emocli.models.devices import choose_device

SAMPLING_RATE = 16000
DEFAULT_MODEL = "pyannote/speaker-diarization-community-1"
"""Licence CC BY 4.0; the hub asks for an account whose owner has accepted its conditions."""


class Diarizer:
    """A pipeline of pyannote.audio.

    Args:
        pipeline: called with ``{"waveform": (1, n_samples), "sample_rate": Hz}``.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def turns(self, waveform: NDArray[np.float32]) -> list[tuple[float, float, str]]:
        """Start and end in seconds and a name such as ``SPEAKER_00`` for each turn.

        Args:
            waveform: mono, shape (n_samples,), 16000 Hz.

        Returns:
            Turns in order of time; they may overlap.
        """
        import torch

        samples = torch.from_numpy(np.ascontiguousarray(waveform))[None]  # (1, n_samples)
        found = self._pipeline({"waveform": samples, "sample_rate": SAMPLING_RATE})
        # Since version 4 the pipelines for speakers give several annotations.
        annotation = getattr(found, "speaker_diarization", found)
        turns = [
            (float(turn.start), float(turn.end), str(speaker))
            for turn, _, speaker in annotation.itertracks(yield_label=True)
        ]
        return sorted(turns)


def load_diarizer(name: str = DEFAULT_MODEL, *, device: str = "auto") -> Diarizer:
    """A pipeline of pyannote.audio, from the hub or a folder.

    Args:
        name: ``owner/name[@revision]`` or a folder.
        device: see `choose_device`.

    Raises:
        MissingDependency: pyannote.audio is not installed.
        ModelUnavailable: the pipeline is not on this machine and could not be fetched.
        ModelError: there is no such device.
    """
    # Left alone, pyannote.audio tells its makers of each run.
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
    try:
        from pyannote.audio import Pipeline
    except ImportError:
        raise MissingDependency(
            "Turns of speakers by pyannote need the package pyannote.audio, which is not "
            'installed. Run pip install "emocli[speakers]", or give --speakers an RTTM file or '
            "a table."
        ) from None
    where = choose_device(device)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints what went wrong
            pipeline = Pipeline.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _unavailable(name, " ".join(str(error).split())) from None
    if pipeline is None:
        raise _unavailable(name, "the hub does not give it")
    pipeline.to(where)
    return Diarizer(pipeline)


def _unavailable(name: str, reason: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"{name}: cannot be had ({reason}), expected a pipeline of pyannote.audio. Accept its "
        f"conditions on the hub and set HF_TOKEN, or give a folder."
    )
