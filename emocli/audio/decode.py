"""Decoding: any recording to float32 mono at the rate a model wants, in blocks.

libsndfile takes plain samples and FLAC, where it is exact and quick; FFmpeg through PyAV takes the
rest. Recordings are read, mixed and resampled block by block, so that the length of a recording
does not decide how much memory it takes.
"""

import contextlib
import io
import math
import os
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
from emocli.audio.containers import read_at
from emocli.audio.downmix import Downmix
from emocli.audio.ffmpeg import open_with_ffmpeg
from emocli.audio.plain_headers import NO_LENGTH, PLAIN, Samples, find_samples
from emocli.audio.quality import Level, quality_remarks
from emocli.audio.sndfile import SoundFileFrames
from emocli.audio.stores import is_uri, open_stored
from emocli.errors import AudioError

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
_MALFORMED = 3  # SF_ERR_MALFORMED_FILE of sndfile.h


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of what a file holds is heard.

    Attributes:
        channel: the only one of a track, from 1 on; None for all, mixed as `Downmix` does.
        track: of a file with several, from 1 on; None for the default one.
        is_wish: a recording of one channel is heard, whatever the channel's number is.
    """

    channel: int | None = None
    track: int | None = None
    is_wish: bool = False


DEFAULT_SELECTION = Selection()


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
    n_channels: int
    n_frames: int | None
    """As the header has it or the decoder guesses, None where neither says; exact at the end."""

    remarks: list[str]
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
        selection: which track and channel to hear.

    Attributes:
        start: seconds at which the segment starts.
        expected_seconds: length by the header, or a guess from the size of the file; NaN until
            iteration starts and where neither says.
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
        selection: Selection = DEFAULT_SELECTION,
    ) -> None:
        self.name = name or os.fspath(path)
        self._selection = selection
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
        """
        self._check_segment()
        try:
            yield from self._read()
        except soundfile.LibsndfileError as error:
            raise faults.damaged(self.name, error.error_string) from None
        except OSError as error:  # a disk or a network that fails
            raise faults.damaged(self.name, error.strerror or str(error)) from None

    def _read(self) -> Iterator[NDArray[np.float32]]:
        with open_frames(self._path, self.name, self._selection.track) as source:
            self._check_source(source)
            first = round(self.start * source.sampling_rate)
            last = None if self._stop is None else round(self._stop * source.sampling_rate)
            self.expected_seconds = _expected_seconds(source, first, last)
            channel = self._selection.channel
            if self._selection.is_wish and source.n_channels == 1:
                channel = None
            mix = Downmix(self.name, source.sampling_rate, first, channel)
            heard = self._heard(mix.mixed(source.blocks(first, last)), source.sampling_rate)
            yield from self._resampled(heard, source.sampling_rate)
            self._check_end(source)
            ends = self._missing_end(source)
            remarks = [*quality_remarks(self.level), mix.remark, *source.remarks, ends]
            self.remarks = [remark for remark in remarks if remark]

    def _resampled(
        self, waveforms: Iterator[NDArray[np.float32]], rate: int
    ) -> Iterator[NDArray[np.float32]]:
        """Blocks at the wanted rate; nothing more once a sample turned out to be none."""
        resampler = None
        if rate != self._sampling_rate:
            resampler = soxr.ResampleStream(
                rate, self._sampling_rate, 1, dtype="float32", quality="HQ"
            )
        for waveform in waveforms:
            if not self._broken:
                yield resampler.resample_chunk(waveform) if resampler else waveform
        if resampler and not self._broken:
            rest = resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)
            yield rest
            if 0 < self.duration * self._sampling_rate < 1 and len(rest) == 0:
                raise AudioError(
                    f"{self.name}: {self.duration:.6f} s are less than one sample at "
                    f"{self._sampling_rate} Hz, expected a longer recording. "
                    f"Check its sampling rate of {rate} Hz."
                )

    def _heard(
        self,
        mixed: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]],
        sampling_rate: int,
    ) -> Iterator[NDArray[np.float32]]:
        """Waveforms, counted in."""
        for waveform, frames in mixed:
            level = Level.of(waveform, None if frames.shape[1] == 1 else frames)
            if not math.isfinite(level.total):
                broken = np.flatnonzero(~np.isfinite(waveform))
                self._broken += [self.level.n_samples + int(index) for index in broken]
            elif level.peak > LARGEST_SAMPLE:
                raise AudioError(
                    f"{self.name}: a sample is {level.peak:.3g} times full scale, expected about "
                    f"1 at most. Repair the recording or make it again."
                )
            self.level += level
            self.duration = self.level.n_samples / sampling_rate
            if self.duration > MAX_HOURS * 3600:
                raise AudioError(
                    f"{self.name}: longer than {MAX_HOURS} hours, expected a shorter recording. "
                    f"Split it, or read parts of it with start and end in a manifest."
                )
            yield waveform

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
    selection: Selection = DEFAULT_SELECTION,
) -> Waveform:
    """A whole recording, or a segment of it, as one waveform.

    Args:
        path: where the recording is.
        sampling_rate: Hz that the waveform shall have.
        start: seconds at which to start; the beginning by default.
        stop: seconds at which to stop; the end by default.
        name: what to call the recording in an error; the path by default.
        selection: which track and channel to hear.

    Raises:
        AudioError: the recording cannot be read, has no samples, has samples that are no numbers,
            or the segment lies outside of it.
    """
    stream = WaveformStream(
        path, sampling_rate, start=start, stop=stop, name=name, selection=selection
    )
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
def open_frames(path: str, name: str, track: int | None = None) -> Iterator[FrameSource]:
    """A recording opened by the decoder that suits it.

    Args:
        path: where it is.
        name: what to call it in an error.
        track: of a file with several, from 1 on; None for the default one.

    Raises:
        AudioError: there is no recording at the path, or no such track.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_opened(path, name))
        except OSError as error:
            raise faults.not_opened(name, path, error) from None
        stream = _seekable(file, name)
        n_bytes = stream.seek(0, os.SEEK_END)
        yield _source(stack, stream, name, n_bytes, track)


def _source(
    stack: contextlib.ExitStack, stream: BinaryIO, name: str, n_bytes: int, track: int | None
) -> FrameSource:
    """What decodes a file; the stack closes it.

    Text is not tried: FFmpeg would take some of it for a playlist.

    Raises:
        AudioError: nothing decodes it.
    """
    head = read_at(stream, 0, faults.HEAD_BYTES)
    reason, remarks = "", []
    plain: SoundFileFrames | None = None
    if head[:4] in PLAIN:
        samples = find_samples(stream, n_bytes)
        if samples is not None and samples.is_wrong:
            stream = samples.mended(stream)
        if samples is not None and samples.is_out_of_bounds:
            remarks = [NO_LENGTH]  # FFmpeg takes the largest size for none
        else:
            try:
                plain = _open_plain(stack, stream, samples)
            except soundfile.LibsndfileError as error:
                reason = str(error.error_string).rstrip(".")
                remarks = ["malformed, perhaps truncated"] if error.code == _MALFORMED else []
    elif faults.is_text(head):
        raise faults.not_audio(name, head, reason)
    if plain is not None and plain.is_exact:
        if track is not None and track > 1:
            raise faults.no_such_track(name, track, 1)
        return plain
    try:
        source = stack.enter_context(open_with_ffmpeg(stream, name, n_bytes, track, reason))
    except AudioError:
        if plain is None:
            raise
        return plain
    source.remarks += remarks
    return source


def _open_plain(
    stack: contextlib.ExitStack, stream: BinaryIO, samples: Samples | None
) -> SoundFileFrames:
    """A file that libsndfile opens.

    Raises:
        LibsndfileError: it does not.
    """
    stream.seek(0)
    # A descriptor, because libsndfile is given names in an encoding that not all have.
    handle = stream.fileno() if isinstance(stream, io.FileIO) else stream
    sound = soundfile.SoundFile(handle, closefd=False)
    return SoundFileFrames(stack.enter_context(sound), samples)


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


def _expected_seconds(source: FrameSource, first: int, stop: int | None) -> float:
    """Length of a segment by the header, NaN where it does not say."""
    bounds = [bound for bound in (source.n_frames, stop) if bound is not None]
    return max(0, min(bounds) - first) / source.sampling_rate if bounds else math.nan
