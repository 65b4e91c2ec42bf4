"""Channels mixed to one so that nothing said is lost.

The mean is right for channels that say the same at the same time, and for channels that have
nothing to do with one another, such as the two sides of a call. It is wrong for channels with the
same sound out of phase: a cable with its poles swapped, or two microphones at different distances,
whose mean is silence or a comb filter. There the louder channel is heard alone.

Each stretch of two seconds is decided for itself, counted from the start of the recording, so that
neither the size of blocks nor the start of a segment changes what is heard.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from emocli.audio import faults

STRETCH_SECONDS = 2.0
_MOST_SAMPLES = 1 << 21
"""Of all channels in a stretch, 8 MiB; with many channels stretches are shorter."""

COHERENT = 0.3
"""From this coherence on two channels have the same sound.

Two voices at once have 0.04 to 0.2 over two seconds, and one voice at two microphones of a room,
by synthetic responses of 0.2 to 0.7 s, 0.44 to 0.89.
"""

IN_PHASE = 0.8
"""Share of the common sound that has to be in phase, or a mean loses too much of it."""

_SURELY_IN_PHASE = 0.9
_SPARSE = 8
"""Every eighth sample tells whether channels agree as well as all of them."""

HARMLESS_POWER = 1 / 16
"""A channel 12 dB below another takes 2.5 dB of it away at most."""

_FRAME_SECONDS = 0.064
"""Long against the way of sound between two microphones of a room, 3 ms a metre."""

_LEAST_FRAMES = 16
"""Fewer are always coherent by chance."""

_FADE_SECONDS = 0.02


class Downmix:
    """Blocks of several channels as blocks of one.

    Args:
        name: what to call the recording in an error.
        sampling_rate: Hz.
        first: position in the recording of the first frame.
        channel: the only one to hear, from 1 on; None for all.
    """

    def __init__(self, name: str, sampling_rate: int, first: int, channel: int | None) -> None:
        self._name, self._rate, self._channel = name, sampling_rate, channel
        self._position = first
        self._kept: tuple[int, ...] | None = None
        self._n_frames = 0
        self._n_alone = 0
        self._heard: set[tuple[int, ...]] = set()

    def mixed(
        self, blocks: Iterable[NDArray[np.float32]]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Each block with the waveform that it comes to.

        Args:
            blocks: of shape (n_frames, n_channels).

        Yields:
            The waveform, of shape (n_frames,), and the channels that are in it, of shape
            (n_frames, n_channels).

        Raises:
            AudioError: there is no such channel.
        """
        blocks = iter(blocks)
        head = next(blocks, None)
        if head is None:
            return
        n_channels = head.shape[1]
        if self._channel is not None and self._channel > n_channels:
            raise faults.no_such_channel(self._name, self._channel, n_channels)
        blocks = chain([head], blocks)
        if self._channel is not None or n_channels == 1:
            index = (self._channel or 1) - 1
            for frames in blocks:
                yield np.ascontiguousarray(frames[:, index]), frames[:, index : index + 1]
            return
        for frames in self._stretches(blocks, n_channels):
            yield self._mix(frames), frames

    @property
    def remark(self) -> str:
        """What was done where it was not the mean of all channels."""
        if not self._n_alone:
            return ""
        if self._n_alone == self._n_frames and len(self._heard) == 1:
            (kept,) = self._heard
            numbers = " and ".join(str(index + 1) for index in kept)
            return f"channels cancel each other, heard is number {numbers}"
        seconds, total = self._n_alone / self._rate, self._n_frames / self._rate
        return (
            f"channels cancel each other in {seconds:.1f} of {total:.1f} s, "
            f"heard is the louder one there"
        )

    def _stretches(
        self, blocks: Iterable[NDArray[np.float32]], n_channels: int
    ) -> Iterator[NDArray[np.float32]]:
        """The same frames, parted at multiples of two seconds of the recording."""
        length = max(1, min(round(STRETCH_SECONDS * self._rate), _MOST_SAMPLES // n_channels))
        held: list[NDArray[np.float32]] = []
        wanted = length - self._position % length
        if 2 * wanted < length:  # too short to tell anything by itself
            wanted += length
        for block in blocks:
            while len(block) >= wanted:
                yield np.concatenate([*held, block[:wanted]]) if held else block[:wanted]
                block, held, wanted = block[wanted:], [], length
            if len(block):
                held.append(block)
                wanted -= len(block)
        if held:
            yield np.concatenate(held)

    def _mix(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """The waveform of a stretch, faded where other channels are heard than before."""
        is_short = len(frames) < STRETCH_SECONDS / 2 * self._rate
        kept = self._kept
        if not (self._n_frames and is_short):
            with np.errstate(over="ignore", invalid="ignore"):  # what is no sound is told later
                kept = in_phase_channels(frames, self._rate)
        waveform = _mean(frames, kept)
        if self._n_frames and kept != self._kept:
            n_faded = min(len(frames), round(_FADE_SECONDS * self._rate))
            share = np.linspace(0, 1, n_faded, endpoint=False, dtype=np.float32)
            before = _mean(frames[:n_faded], self._kept)
            waveform[:n_faded] = before + share * (waveform[:n_faded] - before)
        self._kept = kept
        self._n_frames += len(frames)
        if kept is not None:
            self._n_alone += len(frames)
            self._heard.add(kept)
        return waveform


def in_phase_channels(frames: NDArray[np.float32], sampling_rate: int) -> tuple[int, ...] | None:
    """Channels of which the mean loses nothing that was said.

    From the loudest to the softest, a channel is among them unless it has the same sound as those
    that are, out of phase.

    Args:
        frames: shape (n_frames, n_channels).
        sampling_rate: Hz.

    Returns:
        Their indices, None for all.
    """
    if _agree(np.ascontiguousarray(frames[::_SPARSE].T)):
        return None
    channels = np.ascontiguousarray(frames.T)
    power = _powers(channels)
    if not np.isfinite(power).all() or np.count_nonzero(power) < 2:
        return None
    order = np.argsort(-power, kind="stable")
    kept = [int(order[0])]
    mixed = channels[kept[0]]
    for index in order[1:].tolist():
        other = channels[index]
        if power[index] < HARMLESS_POWER * power[order[0]] or _adds_up(mixed, other, sampling_rate):
            kept.append(index)
            mixed = mixed + other
    return None if len(kept) == len(channels) else tuple(sorted(kept))


def _agree(channels: NDArray[np.float32]) -> bool:
    """Whether all channels go with the loudest or are far softer, as in most recordings."""
    power = _powers(channels)
    loudest = int(np.argmax(power))
    product = np.einsum("ij,j->i", channels, channels[loudest])
    in_phase = product >= _SURELY_IN_PHASE * np.sqrt(power) * np.sqrt(power[loudest])
    return bool((in_phase | (power < HARMLESS_POWER * power[loudest])).all())


def _powers(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    # Not as a product of matrices: BLAS would start threads, which takes the cores that decode.
    return np.einsum("ij,ij->i", channels, channels)


def _adds_up(one: NDArray[np.float32], other: NDArray[np.float32], sampling_rate: int) -> bool:
    """Whether the sum of two waveforms keeps what is in them."""
    powers = _powers(np.stack([one, other, one + other])).astype(np.float64)
    product = (powers[2] - powers[0] - powers[1]) / 2
    if product >= IN_PHASE * np.sqrt(powers[0] * powers[1]):
        return True
    common, in_phase = coherence(one, other, sampling_rate)
    return common < COHERENT or in_phase >= IN_PHASE * common


def coherence(
    one: NDArray[np.float32], other: NDArray[np.float32], sampling_rate: int
) -> tuple[float, float]:
    """How much of the sound of two waveforms is the same.

    Args:
        one: shape (n_samples,).
        other: shape (n_samples,).
        sampling_rate: Hz.

    Returns:
        The magnitude of their cross spectrum, averaged over frames and then summed over
        frequencies, through the geometric mean of their powers, 0 to 1; and its real part, -1 to 1.
    """
    most = min(_FRAME_SECONDS * sampling_rate, len(one) / _LEAST_FRAMES)
    length = 1 << max(1, int(np.log2(max(2.0, most))))
    window = np.hanning(length).astype(np.float32)
    spectra = [
        np.fft.rfft(wave[: len(wave) // length * length].reshape(-1, length) * window)
        for wave in (one, other)
        if len(wave) >= length
    ]
    if not spectra:
        return 0.0, 0.0
    first, second = spectra  # (n_frames, n_bins)
    cross = (first * second.conj()).mean(axis=0)
    powers = [(np.abs(one) ** 2).mean(axis=0).sum() for one in spectra]
    scale = np.sqrt(powers[0] * powers[1])
    if not scale > 0:
        return 0.0, 0.0
    return float(np.abs(cross).sum() / scale), float(cross.real.sum() / scale)


def _mean(frames: NDArray[np.float32], kept: tuple[int, ...] | None) -> NDArray[np.float32]:
    """The mean over some channels, None for all."""
    if kept is not None and len(kept) == 1:
        return frames[:, kept[0]].copy()
    some = frames if kept is None else frames[:, kept]
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(some.mean(axis=1, dtype=np.float32))
