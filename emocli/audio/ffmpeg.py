"""What libsndfile does not know (m4a, mp4, webm, wma, ...), through FFmpeg as PyAV brings it."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emocli.audio import faults
from emocli.errors import AudioError, MissingDependency

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer


@contextlib.contextmanager
def open_with_ffmpeg(
    stream: BinaryIO, name: str, suffix: str, head: bytes, reason: str
) -> Iterator["FFmpegFrames"]:
    """The first sound track of a file.

    Args:
        stream: the open file, from its start.
        name: what to call it in an error.
        suffix: its ending, for an error.
        head: its first bytes, for an error.
        reason: why libsndfile did not take it, for an error.

    Raises:
        AudioError: FFmpeg finds no sound in it.
        MissingDependency: PyAV is not installed, and the file might need it.
    """
    av = _import_av(name, suffix, head, reason)
    try:
        container = av.open(TolerantStream(stream), mode="r", metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError):
        raise faults.not_audio(name, head, reason) from None
    with container:
        if not container.streams.audio:
            raise AudioError(
                f"{name}: no sound track, expected one. Give the file that has the sound."
            )
        track = container.streams.audio[0]
        if track.codec_context is None:  # a codec without a decoder
            raise faults.not_audio(name, head, reason)
        yield FFmpegFrames(container, track)


class TolerantStream:
    """A stream that answers a senseless position with -1, as FFmpeg expects of it.

    PyAV prints an exception from here, with its traceback, and then carries on all the same.

    Args:
        stream: what to read from.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read = stream.read
        self.tell = stream.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position, -1 where there is no such position."""
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError):
            return -1


def _import_av(name: str, suffix: str, head: bytes, reason: str) -> Any:
    """PyAV, or the error that a recording gets without it."""
    try:
        import av
    except ImportError:
        if faults.known_form(head):
            raise faults.not_audio(name, head, reason) from None
        raise MissingDependency(
            f"{name}: {suffix or 'this kind of'} audio needs PyAV, which is not installed. "
            f'Install it with pip install "emocli[video]" or convert the file to WAV or FLAC.'
        ) from None
    return av


def _told(error: Exception) -> str:
    """What FFmpeg said, without number and file name."""
    return str(getattr(error, "strerror", None) or error)


class FFmpegFrames:
    """A sound track that FFmpeg decodes.

    Args:
        container: the open file.
        track: its sound track.
    """

    def __init__(self, container: "InputContainer", track: "AudioStream") -> None:
        self.sampling_rate: int = track.rate or 0
        self.n_frames: int | None = None
        self.remark = ""
        self._container = container
        self._track = track
        self._n_decoded = 0
        if track.duration is not None and track.time_base is not None:
            self.n_frames = round(float(track.duration * track.time_base) * self.sampling_rate)
        elif container.duration is not None:  # microseconds
            self.n_frames = round(container.duration / 1e6 * self.sampling_rate)

    def blocks(self, first: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from ``first`` to before ``stop``, in blocks of shape (n_frames, n_channels).

        Everything from the beginning is decoded: positions that FFmpeg seeks to are not exact.
        """
        for frames in self._decoded():
            start = self._n_decoded
            self._n_decoded += len(frames)
            wanted = frames[max(0, first - start) : None if stop is None else max(0, stop - start)]
            if len(wanted):
                yield wanted
            if stop is not None and self._n_decoded >= stop:
                return
        seconds = self._n_decoded / self.sampling_rate
        promised = (self.n_frames or 0) / self.sampling_rate
        # Containers round their lengths, and encoders pad the first and last packet.
        if not self.remark and promised - seconds > max(0.25, 0.01 * promised):
            self.remark = f"truncated: {seconds:.1f} of {promised:.1f} s"

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Decoded frames of shape (n_frames, n_channels), up to the first that is damaged."""
        import av

        convert = av.AudioResampler(format="flt")  # interleaved float32; rate and layout stay
        try:
            for packet in self._container.demux(self._track):
                for raw in packet.decode():
                    yield from (_samples(frame) for frame in convert.resample(raw))
            yield from (_samples(frame) for frame in convert.resample(None))
        except (av.FFmpegError, ValueError, OSError) as error:
            seconds = self._n_decoded / self.sampling_rate
            self.remark = f"truncated: damaged after {seconds:.1f} s ({_told(error)})"


def _samples(frame: "av.AudioFrame") -> NDArray[np.float32]:
    """An interleaved frame as shape (n_frames, n_channels)."""
    return np.asarray(frame.to_ndarray(), np.float32).reshape(-1, len(frame.layout.channels))
