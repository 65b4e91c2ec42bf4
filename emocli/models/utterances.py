"""What callers hand to models, checked in one place before any network sees it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import ModelError


def check_texts(texts: Sequence[Any]) -> list[str]:
    """Texts as they are.

    Raises:
        ModelError: a text alone, or something else than text.
    """
    if isinstance(texts, str):
        raise ModelError("A text alone, expected a list of texts. Give [text].")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ModelError(
                f"Utterance {number} is {_kind(text)}, expected a text. Give a model of recordings "
                f"waveforms, and one of words strings."
            )
    return list(texts)


def check_waveforms(
    waveforms: Sequence[Any], wanted_rate: int, sampling_rate: int | None = None
) -> list[NDArray[np.float32]]:
    """Waveforms as float32 of shape (n_samples,) at the rate that a model takes.

    Args:
        waveforms: floating-point arrays of shape (n_samples,), full scale at 1.
        wanted_rate: Hz that the model takes.
        sampling_rate: Hz that they have; None for that of the model.

    Raises:
        ModelError: a waveform alone, one that is empty, of integers or of several channels, one
            with NaN or infinite samples, or a rate that is none.
    """
    if sampling_rate is not None and not 1 <= sampling_rate <= 10_000_000:
        raise ModelError(
            f"A sampling rate of {sampling_rate} Hz, expected 1 to 10,000,000. Correct it."
        )
    checked = [_check_waveform(one, number) for number, one in enumerate(waveforms)]
    if sampling_rate in (None, wanted_rate):
        return checked
    import soxr

    return [
        np.asarray(soxr.resample(one, sampling_rate, wanted_rate), dtype=np.float32)
        for one in checked
    ]


def _check_waveform(given: Any, number: int) -> NDArray[np.float32]:
    try:
        waveform = np.asarray(given)
    except ValueError:  # lists of unequal lengths
        waveform = np.empty((0, 0))
    if waveform.ndim == 0:
        raise ModelError(
            f"Utterance {number} is {_kind(given)}, expected a waveform of shape (n_samples,). "
            f"Give a list of waveforms."
        )
    shape = "×".join(map(str, waveform.shape))
    if waveform.ndim != 1:
        raise ModelError(
            f"Utterance {number} has {waveform.ndim} axes ({shape}), expected a waveform of shape "
            f"(n_samples,). Take one channel, or the mean of all."
        )
    if waveform.dtype.kind != "f":
        raise ModelError(
            f"Utterance {number} has samples of type {waveform.dtype}, expected floating-point "
            f"numbers with full scale at 1. Divide 16 bit samples by 32768."
        )
    if not len(waveform):
        raise ModelError(f"Utterance {number} has no samples, expected a waveform. Leave it out.")
    n_broken = int(np.count_nonzero(~np.isfinite(waveform)))
    if n_broken:
        raise ModelError(
            f"Utterance {number} has {n_broken} NaN or infinite samples of {len(waveform)}, "
            f"expected finite ones. Mend or cut them."
        )
    return np.ascontiguousarray(waveform, dtype=np.float32)


def _kind(value: Any) -> str:
    return "a number" if isinstance(value, (int, float, np.number)) else type(value).__name__
