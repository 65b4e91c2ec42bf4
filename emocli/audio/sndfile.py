"""Plain samples and FLAC, through libsndfile, which is exact and quick there."""

import io
from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from emocli.audio.plain_headers import NO_LENGTH, Samples

BLOCK_SAMPLES = 1 << 18
"""Samples of all channels decoded at a time: 16 s of mono at 16 kHz, 1 MiB."""

_EXACT = frozenset(
    (
        *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32"),
        *("FLOAT", "DOUBLE", "ULAW", "ALAW"),
    )
)


def wav_bytes(waveform: NDArray[np.float32], sampling_rate: int) -> bytes:
    """A WAV file of 16 bits.

    Args:
        waveform: shape (n_samples,), mono, clipped to [-1, 1].
        sampling_rate: Hz.
    """
    file = io.BytesIO()
    soundfile.write(file, waveform, sampling_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


class SoundFileFrames:
    """A recording that libsndfile decodes.

    Args:
        sound: the open file.
        samples: what the header says of them, None in FLAC.

    Attributes:
        is_exact: whether each sample is kept as it is; libsndfile knows other encodings too, which
            FFmpeg decodes more safely.
    """

    def __init__(self, sound: soundfile.SoundFile, samples: Samples | None) -> None:
        self.sampling_rate: int = sound.samplerate
        self.n_channels: int = sound.channels
        # FLAC that was written to a pipe: the largest number there is.
        self.n_frames: int | None = sound.frames if sound.frames < 1 << 62 else None
        self.remarks: list[str] = []
        self.is_exact: bool = sound.subtype in _EXACT
        self._sound = sound
        self._samples = samples
        self._position = 0
        self._block_frames = max(1, BLOCK_SAMPLES // sound.channels)

    def blocks(self, first: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from ``first`` to before ``stop``, in blocks of shape (n_frames, n_channels)."""
        last = self._sound.frames if stop is None else min(stop, self._sound.frames)
        self._go_to(min(first, last))
        while self._position < last:
            wanted = min(self._block_frames, last - self._position)
            frames = self._read(wanted)
            if len(frames):
                yield frames
            if len(frames) < wanted:
                break
        if stop is None or self._position < stop:
            self.remarks += self._end_remarks()

    def _go_to(self, first: int) -> None:
        """Move to a frame; some codecs can only be read from the start."""
        if first and self._sound.seekable():
            self._position = self._sound.seek(first)
        while self._position < first:
            if len(self._read(min(self._block_frames, first - self._position))) == 0:
                break

    def _read(self, n_frames: int) -> NDArray[np.float32]:
        """The next frames, fewer at the end or where the data is damaged."""
        frames = np.full((n_frames, self._sound.channels), np.nan, dtype=np.float32)
        try:
            n_read = len(self._sound.read(out=frames))
        except soundfile.LibsndfileError:
            # What was decoded before the damage is in place. The library's position is of no use:
            # where the header promises more than there is, it does not know it any more.
            missing = np.flatnonzero(np.isnan(frames).any(axis=1))
            n_read = int(missing[0]) if len(missing) else n_frames
        self._position += n_read
        return frames[:n_read]

    def _end_remarks(self) -> list[str]:
        """Whether there should have been more, or the header does not say."""
        seconds = self._position / self.sampling_rate
        if self.n_frames is not None and self._position < self.n_frames:
            promised = self.n_frames / self.sampling_rate
            return [f"truncated: {seconds:.1f} of {promised:.1f} s"]
        if self._samples is None:
            return []
        if self._samples.is_unknown and not self._samples.is_streamed:
            return [NO_LENGTH]
        missing = self._samples.missing_of(seconds)
        return [missing] if missing else []
