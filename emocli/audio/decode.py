"""Decoding: any recording to float32 mono at the rate a model wants, in blocks.

libsndfile comes first, for it is everywhere, exact and quick; FFmpeg through PyAV takes what is
left. Recordings are read, mixed and resampled block by block, so that the length of a recording
does not decide how much memory it takes.
"""

import contextlib
import io
import math
import os
import re
import select
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from emocli.audio import faults
from emocli.audio.quality import Level, quality_remarks
from emocli.audio.stores import is_uri, open_stored
from emocli.errors import AudioError

BLOCK_SAMPLES = 1 << 18
"""Samples of all channels decoded at a time: 16 s of mono at 16 kHz, 1 MiB."""

LARGEST_SAMPLE = 1e9
"""180 dB above full scale, where there is no recording but a broken file."""

MIN_RATE_HZ = 1000
MAX_RATE_HZ = 3_000_000
"""Outside of these a sampling rate is a damaged header; the largest in use is 2.8 MHz of DSD."""

MAX_HOURS = 24
"""A compressed file of a few kilobytes can claim any length; a longer recording can be split."""

_END_TOLERANCE_SECONDS = 0.01
"""How far the end of a segment may lie after the recording's: tables round, and codecs pad."""

WRITER_SECONDS = 5
"""How long a pipe may have no other end."""
_MAX_PIPE_BYTES = 1 << 31
_HEAD_BYTES = 512
_MALFORMED = 3  # SF_ERR_MALFORMED_FILE of sndfile.h
_STREAMED_BYTES = 0x7FFF0000
"""Sizes from here on are not sizes: what writes to a pipe leaves the field at its largest."""


@dataclass(frozen=True)
class Waveform:
    """A decoded recording, or a segment of one.

    Attributes:
        samples: float32 mono, shape (n_samples,), full scale at 1.
        sampling_rate: Hz.
        start: seconds in the recording at which it starts.
        duration: seconds, measured before resampling.
        level: statistics of the samples before resampling.
        remarks: doubts about it, such as near silence or a truncated file.
    """

    samples: NDArray[np.float32]
    sampling_rate: int
    start: float
    duration: float
    level: Level
    remarks: tuple[str, ...]


class FrameSource(Protocol):
    """An open recording at its own rate and with its own channels."""

    sampling_rate: int
    n_frames: int | None
    """As the header has it, None where it does not say."""

    remark: str
    """What turned out wrong, complete when all blocks were read."""

    def blocks(self, first: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from ``first`` to before ``stop``, in blocks of shape (n_frames, n_channels)."""
        ...


class WaveformStream:
    """A recording as blocks of a mono waveform; iterate once, then ask how it was.

    Args:
        path: where the recording is.
        sampling_rate: Hz that the blocks shall have.
        start: seconds at which to start; the beginning by default.
        stop: seconds at which to stop; the end by default.
        name: what to call the recording in an error; the path by default.

    Attributes:
        start: seconds at which the segment starts.
        expected_seconds: length by the header, NaN until iteration starts and where it is silent.
        level: statistics of what was read so far, before resampling.
        duration: seconds read so far.
        remarks: doubts about the recording, complete after the last block.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sampling_rate: int = 16000,
        *,
        start: float | None = None,
        stop: float | None = None,
        name: str = "",
    ) -> None:
        self.name = name or os.fspath(path)
        self.start = start or 0.0
        self.expected_seconds = math.nan
        self.level = Level()
        self.duration = 0.0
        self.remarks: list[str] = []
        self._path = os.fspath(path)
        self._sampling_rate = sampling_rate
        self._stop = stop
        self._broken: list[int] = []

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Blocks of float32 of shape (n_samples,).

        Raises:
            AudioError: the recording cannot be read, has no samples, has samples that are no
                numbers, or the segment lies outside of it.
            MissingDependency: its format needs PyAV.
        """
        self._check_segment()
        try:
            yield from self._read()
        except soundfile.LibsndfileError as error:
            raise faults.damaged(self.name, error.error_string) from None
        except OSError as error:  # a disk or a network that fails
            raise faults.damaged(self.name, error.strerror or str(error)) from None

    def _read(self) -> Iterator[NDArray[np.float32]]:
        with open_frames(self._path, self.name) as source:
            self._check_source(source)
            first = round(self.start * source.sampling_rate)
            last = None if self._stop is None else round(self._stop * source.sampling_rate)
            self.expected_seconds = _expected_seconds(source, first, last)
            yield from self._resampled(source, first, last)
            self._check_end(source)
            self.remarks = quality_remarks(self.level) + [
                remark for remark in (source.remark, self._missing_end(source)) if remark
            ]

    def _resampled(
        self, source: FrameSource, first: int, stop: int | None
    ) -> Iterator[NDArray[np.float32]]:
        """Mono blocks at the wanted rate; nothing more once a sample turned out to be none."""
        resampler = None
        if source.sampling_rate != self._sampling_rate:
            resampler = soxr.ResampleStream(
                source.sampling_rate, self._sampling_rate, 1, dtype="float32", quality="HQ"
            )
        for frames in source.blocks(first, stop):  # (n_frames, n_channels)
            waveform = self._heard(frames, source.sampling_rate)
            if not self._broken:
                yield resampler.resample_chunk(waveform) if resampler else waveform
        if resampler and not self._broken:
            rest = resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)
            yield rest
            if 0 < self.duration * self._sampling_rate < 1 and len(rest) == 0:
                raise AudioError(
                    f"{self.name}: {self.duration:.6f} s are less than one sample at "
                    f"{self._sampling_rate} Hz, expected a longer recording. "
                    f"Check its sampling rate of {source.sampling_rate} Hz."
                )

    def _heard(self, frames: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
        """The mean over channels, counted in."""
        mono = frames.shape[1] == 1
        with np.errstate(over="ignore", invalid="ignore"):
            waveform = frames[:, 0] if mono else frames.mean(axis=1, dtype=np.float32)
        level = Level.of(waveform, None if mono else frames)
        if not math.isfinite(level.total):
            broken = np.flatnonzero(~np.isfinite(waveform))
            self._broken += [self.level.n_samples + int(index) for index in broken]
        elif level.peak > LARGEST_SAMPLE:
            raise AudioError(
                f"{self.name}: a sample is {level.peak:.3g} times full scale, expected about 1 at "
                f"most. Repair the recording or make it again."
            )
        self.level += level
        self.duration = self.level.n_samples / sampling_rate
        if self.duration > MAX_HOURS * 3600:
            raise AudioError(
                f"{self.name}: longer than {MAX_HOURS} hours, expected a shorter recording. "
                f"Split it, or read parts of it with start and end in a manifest."
            )
        return waveform

    def _check_segment(self) -> None:
        bounds = [self.start] if self._stop is None else [self.start, self._stop]
        if not all(math.isfinite(bound) for bound in bounds) or self.start < 0:
            raise AudioError(
                f"{self.name}: segment from {self.start:g} s, expected seconds of at least 0. "
                f"Correct start and end."
            )
        if self._stop is not None and self._stop <= self.start:
            raise AudioError(
                f"{self.name}: segment ends at {self._stop:g} s, expected after its start at "
                f"{self.start:g} s. Correct start and end."
            )

    def _check_source(self, source: FrameSource) -> None:
        if not MIN_RATE_HZ <= source.sampling_rate <= MAX_RATE_HZ:
            raise AudioError(
                f"{self.name}: sampling rate {source.sampling_rate} Hz, expected {MIN_RATE_HZ} to "
                f"{MAX_RATE_HZ} Hz. Correct the header or record it again."
            )

    def _check_end(self, source: FrameSource) -> None:
        n_samples = self.level.n_samples
        if self._broken:
            raise AudioError(
                f"{self.name}: {len(self._broken)} of {n_samples} samples are not numbers (NaN or "
                f"infinite), the first at {self.start + self._broken[0] / source.sampling_rate:.3f}"
                f" s, expected finite samples. Repair the recording or make it again."
            )
        if n_samples == 0 and self.start > 0:
            end = math.nan if source.n_frames is None else source.n_frames / source.sampling_rate
            # A header that promises more than there is does not know the end.
            known = f" at {end:.3f} s" if end <= self.start else ""
            raise AudioError(
                f"{self.name}: segment starts at {self.start:.3f} s, expected before the "
                f"recording's end{known}. Correct start and end."
            )
        if n_samples == 0:
            raise faults.no_samples(self.name)

    def _missing_end(self, source: FrameSource) -> str:
        """A remark on a segment that goes on after the recording has ended."""
        if self._stop is None or self._stop - self.start - self.duration < _END_TOLERANCE_SECONDS:
            return ""
        return f"recording ends at {self.start + self.duration:.3f} s, within the segment"


def read_waveform(
    path: str | os.PathLike[str],
    sampling_rate: int = 16000,
    *,
    start: float | None = None,
    stop: float | None = None,
    name: str = "",
) -> Waveform:
    """A whole recording, or a segment of it, as one waveform.

    Args:
        path: where the recording is.
        sampling_rate: Hz that the waveform shall have.
        start: seconds at which to start; the beginning by default.
        stop: seconds at which to stop; the end by default.
        name: what to call the recording in an error; the path by default.

    Raises:
        AudioError: the recording cannot be read, has no samples, has samples that are no numbers,
            or the segment lies outside of it.
        MissingDependency: its format needs PyAV.
    """
    stream = WaveformStream(path, sampling_rate, start=start, stop=stop, name=name)
    blocks = list(stream)
    samples = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return Waveform(
        samples, sampling_rate, stream.start, stream.duration, stream.level, tuple(stream.remarks)
    )


def resample(
    waveform: NDArray[np.float32], sampling_rate: int, wanted_rate: int
) -> NDArray[np.float32]:
    """A waveform at another sampling rate.

    Args:
        waveform: shape (n_samples,).
        sampling_rate: Hz that it has.
        wanted_rate: Hz that it shall have.
    """
    if sampling_rate == wanted_rate:
        return waveform
    resampled: NDArray[np.float32] = soxr.resample(waveform, sampling_rate, wanted_rate)
    return resampled


@contextlib.contextmanager
def open_frames(path: str, name: str) -> Iterator[FrameSource]:
    """A recording opened by the first decoder that takes it.

    Args:
        path: where it is.
        name: what to call it in an error.

    Raises:
        AudioError: there is no recording at the path.
        MissingDependency: its format needs PyAV.
    """
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(_opened(path, name))
        except OSError as error:
            raise faults.not_opened(name, path, error) from None
        seekable = _seekable(stream, name)
        try:
            # A descriptor, because libsndfile is given names in an encoding that not all have.
            handle: int | BinaryIO = stream.fileno() if seekable is stream else seekable
            sound = stack.enter_context(soundfile.SoundFile(handle, closefd=False))
        except soundfile.LibsndfileError as error:
            seekable.seek(0)
            source = stack.enter_context(_open_with_ffmpeg(seekable, name, path, error))
            if error.code == _MALFORMED:
                source.remark = "malformed, perhaps truncated"
            yield source
            return
        yield SoundFileFrames(sound)


def _opened(path: str, name: str) -> io.FileIO:
    """A file, one that is fetched from a store, or a pipe once somebody writes to it.

    Raises:
        OSError: there is none, or it may not be read.
        AudioError: a pipe that nobody writes to, or a store that does not give it out.
        MissingDependency: the package for the store is not installed.
    """
    if is_uri(path):
        return open_stored(path, name)
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return open(path, "rb", buffering=0)
    stream = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "r")  # or it would wait here
    events = select.poll()
    events.register(stream, select.POLLIN)
    try:
        # None: somebody will write, and has not yet.
        if not events.poll(1000 * WRITER_SECONDS) and stream.read(1) is not None:
            raise faults.nobody_writes(name, WRITER_SECONDS)
        os.set_blocking(stream.fileno(), True)
    except BaseException:
        stream.close()
        raise
    return stream


def _seekable(stream: io.FileIO, name: str) -> BinaryIO:
    """The stream itself if it is a file with content; the content of a pipe."""
    status = os.fstat(stream.fileno())
    unfit = faults.not_a_file(name, status.st_mode)
    if unfit:
        raise unfit
    if stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            raise faults.empty(name)
        return stream
    with open(stream.fileno(), "rb", closefd=False) as pipe:
        content = pipe.read(_MAX_PIPE_BYTES)
    if not content:
        raise faults.empty(name)
    return io.BytesIO(content)


def _open_with_ffmpeg(
    stream: BinaryIO, name: str, path: str, refusal: soundfile.LibsndfileError
) -> contextlib.AbstractContextManager[FrameSource]:
    """The recording opened by FFmpeg, or the reason why nothing opens it.

    Text is not tried: FFmpeg would take some of it for a playlist and follow its links.
    """
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    reason = str(refusal.error_string).rstrip(".")
    if faults.is_text(head):
        raise faults.not_audio(name, head, reason)
    from emocli.audio.ffmpeg import open_with_ffmpeg

    return open_with_ffmpeg(stream, name, os.path.splitext(path)[1], head, reason)


def _expected_seconds(source: FrameSource, first: int, stop: int | None) -> float:
    """Length of a segment by the header, NaN where it does not say."""
    bounds = [bound for bound in (source.n_frames, stop) if bound is not None]
    return max(0, min(bounds) - first) / source.sampling_rate if bounds else math.nan


class SoundFileFrames:
    """A recording that libsndfile decodes.

    Args:
        sound: the open file.
    """

    def __init__(self, sound: soundfile.SoundFile) -> None:
        self.sampling_rate: int = sound.samplerate
        # What writes to a pipe cannot know the length and leaves the largest number there is.
        self.n_frames: int | None = sound.frames if sound.frames < 2**62 else None
        self.remark = ""
        self._sound = sound
        self._position = 0
        self._block_frames = max(1, BLOCK_SAMPLES // sound.channels)

    def blocks(self, first: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from ``first`` to before ``stop``, in blocks of shape (n_frames, n_channels)."""
        last = min(bound for bound in (stop, self.n_frames, 2**62) if bound is not None)
        self._go_to(min(first, last))
        while self._position < last:
            wanted = min(self._block_frames, last - self._position)
            frames = self._read(wanted)
            if len(frames):
                yield frames
            if len(frames) < wanted:
                break
        if stop is None or self._position < stop:
            self.remark = cut_short(self._sound, self._position)

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


_SIZE = re.compile(r"^ *(?:(?i:data|data size)|riff) *: (\d+) \(should be (\d+)\)", re.M)
_FRAMES = re.compile(r"(?:'COMM' chunk \(|'ds64' chunk of )(\d+)")
_NO_LOG = frozenset(("FLAC", "MP3"))


def cut_short(sound: soundfile.SoundFile, n_read: int) -> str:
    """A remark on a recording that ended before its header says it does, else nothing.

    For formats of plain samples libsndfile corrects the length in silence and tells of it only in
    its log. Ogg has no length, but a mark at the end.

    Args:
        sound: the open file.
        n_read: frames that could be read.
    """
    promised = sound.frames if sound.frames < 2**62 else 0
    if sound.format not in _NO_LOG:
        log = sound.extra_info
        size, frames = _SIZE.search(log), _FRAMES.search(log)
        if size and 0 < int(size[2]) < int(size[1]) < _STREAMED_BYTES:
            promised = round(n_read * int(size[1]) / int(size[2]))
        elif frames:
            promised = int(frames[1])
        elif "End-Of-Stream flag" in log or "lacks an end-of-stream bit" in log:
            return f"truncated: ends without a mark after {n_read / sound.samplerate:.1f} s"
    if n_read >= promised:
        return ""
    return f"truncated: {n_read / sound.samplerate:.1f} of {promised / sound.samplerate:.1f} s"
