"""What has no exact length or is no plain samples (mp3, ogg, m4a, mkv, ...), through FFmpeg.

A stream is decoded to its end, whatever length its container claims or a decoder guesses. Where
the container has time stamps, sound lies where they say: what is missing becomes silence.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emocli.audio import faults
from emocli.audio.containers import (
    OGG,
    Link,
    is_cut,
    is_mp3_frame_cut,
    lacks_index,
    mp3_seconds,
    ogg_links,
    read_at,
)
from emocli.errors import AudioError

if TYPE_CHECKING:
    import av
    from av.audio.frame import AudioFrame
    from av.container import InputContainer

GATHERED_SAMPLES = 1 << 16
"""Samples of all channels in a block; packets hold about 20 ms, too little to work with."""

JITTER_SECONDS = 0.1
"""How far time stamps may be from the samples so far: Matroska rounds them, and clocks drift."""

LONGEST_GAP_SECONDS = 3600.0
"""A time stamp that is further ahead than this is damaged, or counts from another beginning."""

_RESET_SECONDS = 1.0
"""Time stamps that go back further than this start anew."""

_TOLD_GAP_SECONDS = 0.5
_TAIL_SECONDS = 0.25
"""Damage so near to the end is the end: a decoder keeps back a frame or two."""

_PADDING_SECONDS = 0.2
"""More than what encoders of MP3 add at both ends and decoders leave out."""

_OPTIONS = {"protocol_whitelist": "none"}
"""A playlist must not lead to other files, nor into the network."""

_GENERIC_INDEX, _DISCONTINUOUS = 0x0100, 0x0200  # AVFMT_GENERIC_INDEX and AVFMT_TS_DISCONT
_DEFAULT = 1  # AV_DISPOSITION_DEFAULT


@contextlib.contextmanager
def open_with_ffmpeg(
    stream: BinaryIO, name: str, n_bytes: int, track: int | None, reason: str
) -> Iterator["FFmpegFrames"]:
    """A sound track of a file.

    Args:
        stream: the open file.
        name: what to call it in an error.
        n_bytes: its length.
        track: which one, from 1 on; None for the one that is marked as the default, else the first.
        reason: why libsndfile did not take it, for an error.

    Raises:
        AudioError: FFmpeg finds no sound in it.
    """
    is_ogg = read_at(stream, 0, len(OGG)) == OGG
    links = ogg_links(stream, n_bytes) if is_ogg else [Link(0, n_bytes, True)]
    with contextlib.ExitStack() as stack:
        tracks: list[Track] = []
        for link in links:
            part = Part(stream, link.start, link.stop)
            try:
                tracks.append(_open_track(stack, part, name, track, reason, tracks))
            except AudioError:
                if link is links[-1] and not tracks:
                    raise
        lost = len(links) - len(tracks)
        cut = not links[-1].is_ended or is_cut(stream, n_bytes)
        promised = mp3_seconds(stream) if tracks[0].form == "mp3" else 0.0
        source = FFmpegFrames(tracks, is_cut=cut, promised=promised)
        if lost:
            source.remarks.append(f"damaged: {lost} of {len(links)} joined recordings are lost")
        yield source


def _open_track(
    stack: contextlib.ExitStack,
    part: "Part",
    name: str,
    track: int | None,
    reason: str,
    before: "list[Track]",
) -> "Track":
    """A sound track that can be decoded, the one that is marked as the default if it can be.

    Raises:
        AudioError: there is none.
    """
    with contextlib.closing(_open_container(part, name, reason)) as container:
        tracks = container.streams.audio
        if not tracks:
            raise faults.no_track(name)
        if track is not None and track > len(tracks):
            raise faults.no_such_track(name, track, len(tracks))
        marks = [int(one.disposition) & _DEFAULT for one in tracks]
    order = sorted(range(len(marks)), key=lambda index: -marks[index])
    if track is not None:
        order = [track - 1]
    for index in order:
        container = _open_container(part, name, reason)
        try:
            found = Track(container, index, name, before[0] if before else None)
        except AudioError:
            container.close()
            if index == order[-1]:
                raise
        else:
            stack.callback(container.close)
            break
    return found


def _open_container(part: "Part", name: str, reason: str) -> "InputContainer":
    """A file from its start.

    Raises:
        AudioError: FFmpeg does not know what it is.
    """
    import av

    part.seek(0)
    head = part.read(faults.HEAD_BYTES)
    part.seek(0)
    try:
        return av.open(part, mode="r", metadata_errors="replace", options=_OPTIONS)
    except (av.FFmpegError, ValueError, OSError):
        if part.lacks_index:
            raise faults.no_index(name) from None
        raise faults.not_audio(name, head, reason) from None


class Part:
    """A stretch of a file as a file, which answers a senseless position as FFmpeg expects.

    PyAV prints an exception from here, with its traceback, and then carries on all the same.

    Args:
        stream: the file.
        start: first byte.
        stop: the byte after the last.
    """

    def __init__(self, stream: BinaryIO, start: int, stop: int) -> None:
        self._stream, self._start, self._stop = stream, start, stop
        self._place = start

    @property
    def lacks_index(self) -> bool:
        """Whether it is an MP4 without its index."""
        return self._start == 0 and lacks_index(self._stream, self._stop)

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        left = self._stop - self._place
        self._stream.seek(self._place)
        data = self._stream.read(left if size < 0 else min(size, left))
        self._place += len(data)
        return data

    def tell(self) -> int:
        """The position."""
        return self._place - self._start

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position, -1 where there is no such position."""
        place = offset + (self._start, self._place, self._stop)[whence]
        if not self._start <= place < 1 << 62:
            return -1
        self._place = min(place, self._stop)
        return self._place - self._start


@dataclass(frozen=True)
class Piece:
    """Decoded sound.

    Attributes:
        samples: shape (n_frames, n_channels).
        seconds: where it belongs by its time stamp, NaN where it has none.
        lost_seconds: sound before it that could not be decoded.
        is_damaged: whether there was any such.
    """

    samples: NDArray[np.float32]
    seconds: float = math.nan
    lost_seconds: float = 0.0
    is_damaged: bool = False


class Track:
    """A sound track as decoded pieces.

    Args:
        container: the open file.
        index: of the track among the sound tracks.
        name: what to call the file in an error.
        like: the track whose rate and channels to take; those of the first frame by default.

    Attributes:
        sampling_rate: Hz.
        n_channels: of the samples.
        form: FFmpeg's name of the container.
        seconds: length by the header of the track or the file, 0 where neither says; for some
            formats a guess.
        remark: which track it is where there are several.
        reason: what FFmpeg said of the first packet that it could not decode, else empty.
        is_damaged: whether nothing could be decoded after the last such packet.

    Raises:
        AudioError: nothing can be decoded.
    """

    def __init__(
        self, container: "InputContainer", index: int, name: str, like: "Track | None" = None
    ) -> None:
        self._container = container
        self._stream = container.streams.audio[index]
        self._converters: dict[tuple[int, str, str], av.AudioResampler] = {}
        self.form: str = container.format.name
        n_tracks = len(container.streams.audio)
        self.remark = f"{n_tracks} sound tracks, heard is number {index + 1}" * (n_tracks > 1)
        self.seconds = 0.0
        if self._stream.duration is not None and self._stream.time_base is not None:
            self.seconds = float(self._stream.duration * self._stream.time_base)
        elif container.duration is not None:
            self.seconds = container.duration / 1e6
        flags = container.format.flags
        self._has_time_stamps = bool(flags & _DISCONTINUOUS) or not flags & _GENERIC_INDEX
        self._origin = self._first_time_stamp()
        self.reason = ""
        self.is_damaged = False
        self._packet: av.Packet | None = None
        self._lost_seconds = 0.0
        if self._stream.codec_context is None:
            raise faults.no_decoder(name)
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            raise faults.damaged(name, self.reason) if self.reason else faults.no_samples(name)
        self.sampling_rate: int = like.sampling_rate if like else first.sample_rate
        self.n_channels: int = like.n_channels if like else first.layout.nb_channels
        self._frames = chain([first], frames)

    def _first_time_stamp(self) -> float:
        """The time stamp of what a player shows as the beginning.

        Where time stamps may start anywhere, as in a broadcast, it is the first one of all tracks.
        Elsewhere it is 0, and sound that starts later has something before it, such as a picture.
        """
        start: int | None = self._container.start_time
        if start is None or (start > 0 and not self._container.format.flags & _DISCONTINUOUS):
            return 0.0
        return start / 1e6

    def pieces(self) -> Iterator[Piece]:
        """The sound of the track, once."""
        for frame in self._frames:
            seconds = math.nan
            if self._has_time_stamps and frame.pts is not None and frame.time_base is not None:
                seconds = float(frame.pts * frame.time_base) - self._origin
            for one in self._readable(frame):
                yield Piece(
                    _samples(one, self.n_channels), seconds, self._lost_seconds, self.is_damaged
                )
                seconds, self._lost_seconds, self.is_damaged = math.nan, 0.0, False

    def ends_in_a_frame(self) -> bool:
        """Whether the last frame of an MP3 is not whole."""
        return (
            self.form == "mp3"
            and self._packet is not None
            and is_mp3_frame_cut(bytes(self._packet))
        )

    def _decoded(self) -> Iterator["AudioFrame"]:
        """Decoded frames; packets that cannot be decoded are noted."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError, OSError) as error:
                self._damage(error)
                return
            if packet.size:
                self._packet = packet
            try:
                yield from packet.decode()
            except (av.FFmpegError, ValueError, OSError) as error:
                seconds = max(0.0, float((packet.duration or 0) * (packet.time_base or 0)))
                if self._is_pause(packet):
                    yield self._silent(seconds)
                else:
                    self._damage(error, seconds)

    def _is_pause(self, packet: "av.Packet") -> bool:
        """Whether a packet of AMR says that nothing is said, which FFmpeg does not decode."""
        least = _AMR_PAUSES.get(self._stream.codec_context.name)
        return least is not None and packet.size > 0 and (bytes(packet)[0] >> 3 & 15) >= least

    def _silent(self, seconds: float) -> "AudioFrame":
        """A frame of silence."""
        import av

        rate = self._stream.rate
        samples = np.zeros((1, round(seconds * rate)), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = rate
        return frame

    def _damage(self, error: Exception, seconds: float = 0.0) -> None:
        # What FFmpeg said, without number and file name.
        self.reason = self.reason or str(getattr(error, "strerror", None) or error)
        self.is_damaged = True
        self._lost_seconds += seconds

    def _readable(self, frame: "AudioFrame") -> list["AudioFrame"]:
        """A frame at the rate of the track, in a form that PyAV reads; none if it is damaged."""
        is_safe = frame.layout.nb_channels < _UNSAFE_PLANES or not frame.format.is_planar
        if is_safe and frame.sample_rate == self.sampling_rate:
            return [frame]
        import av

        key = (frame.sample_rate, frame.layout.name, frame.format.name)
        try:
            if key not in self._converters:  # recordings that were joined may differ
                self._converters[key] = av.AudioResampler("flt", frame.layout, self.sampling_rate)
            return self._converters[key].resample(frame)
        except (av.FFmpegError, ValueError) as error:
            self._damage(error, frame.samples / frame.sample_rate)
            return []


_UNSAFE_PLANES = 8
"""From so many channels on, each in a plane of its own, PyAV takes what lies behind the planes for
more of them and crashes."""

_AMR_PAUSES = {"amrnb": 8, "amrwb": 9}
"""Kinds of frames from which on none has speech: comfort noise, or nothing at all."""

_SCALES = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0, "i8": 9223372036854775808.0}


def _samples(frame: "AudioFrame", n_channels: int) -> NDArray[np.float32]:
    """A frame as float32 of shape (n_frames, n_channels), full scale at 1."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    kind = values.dtype.str[1:]
    if kind in _SCALES:
        values = (values - np.float64(128.0 if kind == "u1" else 0.0)) / _SCALES[kind]
    if values.shape[1] != n_channels:
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that are none are told later
            values = np.tile(values.mean(axis=1, keepdims=True), (1, n_channels))
    return np.asarray(values, np.float32)


class FFmpegFrames:
    """A sound track that FFmpeg decodes, or several that follow one another in a file.

    Args:
        tracks: at least one, all of one rate and number of channels.
        is_cut: whether the file ends before its structure does.
        promised: seconds of sound that an MP3's header promises, 0 if it does not.
    """

    def __init__(self, tracks: list[Track], *, is_cut: bool, promised: float) -> None:
        self.sampling_rate = tracks[0].sampling_rate
        self.n_channels = tracks[0].n_channels
        seconds = promised or sum(one.seconds for one in tracks)
        self.n_frames = round(seconds * self.sampling_rate) if seconds > 0 else None
        self.remarks = [tracks[0].remark] if tracks[0].remark else []
        self._tracks = tracks
        self._is_cut = is_cut
        self._promised = promised
        self._position = 0
        self._gaps: list[tuple[int, int]] = []
        self._damage: list[tuple[int, float]] = []

    def blocks(self, first: int, stop: int | None) -> Iterator[NDArray[np.float32]]:
        """Frames from ``first`` to before ``stop``, in blocks of shape (n_frames, n_channels).

        Everything from the beginning is decoded: positions that FFmpeg seeks to are not exact.
        """
        end, is_whole = 0, True
        for frames in _gathered(self._placed()):
            start, end = end, end + len(frames)
            wanted = frames[max(0, first - start) : None if stop is None else max(0, stop - start)]
            if len(wanted):
                yield wanted
            if stop is not None and end >= stop:
                is_whole = False
                break
        last = end if stop is None else stop
        gaps = [(max(a, first), min(b, last)) for a, b in self._gaps if b > first and a < last]
        self.remarks += self._about_end() if is_whole else []
        self.remarks += self._about_damage(first, last)
        self.remarks += self._about_gaps(gaps)
        if is_whole:
            self.n_frames = end

    def _placed(self) -> Iterator[NDArray[np.float32]]:
        """Frames of all tracks, with silence where something is missing."""
        rate = self.sampling_rate
        for track in self._tracks:
            shift = self._position / rate  # by which time stamps are too small
            for piece in track.pieces():
                if piece.is_damaged:
                    self._damage.append((self._position, piece.lost_seconds))
                missing = piece.lost_seconds if self._position else 0.0
                if not math.isnan(piece.seconds):
                    missing = piece.seconds + shift - self._position / rate
                    if not -_RESET_SECONDS <= missing <= LONGEST_GAP_SECONDS:
                        shift, missing = shift - missing, 0.0
                    elif missing <= JITTER_SECONDS and not piece.is_damaged:
                        missing = 0.0
                    elif not piece.is_damaged:
                        self._gaps.append((self._position, self._position + round(missing * rate)))
                yield from self._silence(round(missing * rate))
                self._position += len(piece.samples)
                yield piece.samples
            if track.is_damaged:
                self._damage.append((self._position, 0.0))

    def _silence(self, n_frames: int) -> Iterator[NDArray[np.float32]]:
        """Blocks of silence; none for less than one frame."""
        longest = max(1, GATHERED_SAMPLES // self.n_channels)
        for done in range(0, n_frames, longest):
            n_now = min(longest, n_frames - done)
            self._position += n_now
            yield np.zeros((n_now, self.n_channels), np.float32)

    def _about_end(self) -> list[str]:
        """Whether there should have been more; damage there is no other fault."""
        seconds, promised = self._position / self.sampling_rate, self._promised
        if self._is_cut and self.n_frames is not None:
            promised = self.n_frames / self.sampling_rate
        tail = self._position - _TAIL_SECONDS * self.sampling_rate
        at_end = any(place > tail for place, _ in self._damage)
        self._damage = [one for one in self._damage if one[0] <= tail]
        if promised - seconds > _PADDING_SECONDS:
            return [f"truncated: {seconds:.1f} of {promised:.1f} s"]
        if self._is_cut or self._tracks[-1].ends_in_a_frame():
            return [f"truncated: ends without a mark after {seconds:.1f} s"]
        return [f"truncated: damaged after {seconds:.1f} s ({self._reason})"] * at_end

    def _about_damage(self, first: int, last: int) -> list[str]:
        """Where in a segment something could not be decoded.

        Nothing where it was short: an MP3 that was joined begins with what its decoder lacks.
        """
        found = [(place, lost) for place, lost in self._damage if first <= place <= last]
        if sum(lost for _, lost in found) < JITTER_SECONDS:
            return []
        more = f" and in {len(found) - 1} more places" if len(found) > 1 else ""
        return [f"damaged at {found[0][0] / self.sampling_rate:.1f} s{more} ({self._reason})"]

    @property
    def _reason(self) -> str:
        return next((track.reason for track in self._tracks if track.reason), "")

    def _about_gaps(self, gaps: list[tuple[int, int]]) -> list[str]:
        """Where in a segment time stamps say that there is no sound."""
        total = sum(stop - start for start, stop in gaps) / self.sampling_rate
        if total < _TOLD_GAP_SECONDS:
            return []
        start, stop = (frame / self.sampling_rate for frame in gaps[0])
        if len(gaps) == 1:
            return [f"nothing recorded from {start:.1f} to {stop:.1f} s"]
        return [f"nothing recorded in {len(gaps)} places, {total:.1f} s in all"]


def _gathered(parts: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The same frames in larger blocks."""
    held: list[NDArray[np.float32]] = []
    n_samples = 0
    for part in parts:
        held.append(part)
        n_samples += part.size
        if n_samples >= GATHERED_SAMPLES:
            yield np.concatenate(held)
            held, n_samples = [], 0
    if held:
        yield np.concatenate(held)
