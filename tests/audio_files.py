"""Recordings in many forms, made here: whole, joined, cut, and with headers nobody finished."""

import io
import struct
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import soundfile
from fakes import tone


def sound(form: str, samples: np.ndarray, sampling_rate: int = 16000, **options: Any) -> bytes:
    """A file as libsndfile writes it."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, sampling_rate, format=form, **options)
    return stream.getvalue()


def film(
    form: str,
    codec: str,
    tracks: Sequence[np.ndarray],
    *,
    sampling_rate: int = 16000,
    starts: Sequence[float] = (),
    gaps: Sequence[tuple[float, float]] = (),
    picture_seconds: float = 0.0,
    default: int | None = None,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
    **codec_options: str,
) -> bytes:
    """A file as FFmpeg writes it.

    Args:
        form: FFmpeg's name of the container.
        codec: of the sound.
        tracks: waveforms of shape (n_samples,) or (n_samples, n_channels).
        sampling_rate: Hz.
        starts: seconds at which each track starts; 0 by default.
        gaps: seconds of sound after which time stamps jump, and by how much.
        picture_seconds: of a black picture from the start; 0 for none.
        default: the track that is marked as default; None leaves it to FFmpeg.
        options: of the container.
        bit_rate: of the sound.
        codec_options: of the encoder.
    """
    with (
        tempfile.NamedTemporaryFile() as file,  # by its name, for faststart opens it twice
        av.open(file.name, "w", format=form, options=options or {}) as container,
    ):
        picture = _picture_stream(container) if picture_seconds else None
        streams = []
        for index, samples in enumerate(tracks):
            layout = {1: "mono", 2: "stereo", 8: "7.1"}[
                1 if samples.ndim == 1 else samples.shape[1]
            ]
            track = container.add_stream(codec, rate=sampling_rate, layout=layout)
            track.options = codec_options
            if bit_rate:
                track.bit_rate = bit_rate
            if default is not None:
                track.disposition = int(index == default)
            streams.append(track)
        if picture is not None:
            for index in range(round(10 * picture_seconds)):
                frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 10)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        for index, (track, samples) in enumerate(zip(streams, tracks, strict=True)):
            start = starts[index] if starts else 0.0
            for packet in _encoded(track, samples, sampling_rate):
                seconds = float((packet.pts or 0) * packet.time_base)
                later = start + sum(by for after, by in gaps if seconds >= after)
                packet.pts += round(later / packet.time_base)
                packet.dts = packet.pts
                container.mux(packet)
        container.close()
        return file.read()


def _picture_stream(container: Any) -> Any:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 16
    stream.pix_fmt = "yuv420p"
    return stream


def _encoded(track: Any, samples: np.ndarray, sampling_rate: int) -> list[Any]:
    """Packets of a waveform."""
    resampler = av.AudioResampler(track.format.name, track.layout.name, sampling_rate)
    channels = samples[:, np.newaxis] if samples.ndim == 1 else samples
    packets = []
    for first in range(0, len(channels), 8000):
        part = channels[first : first + 8000].reshape(1, -1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=track.layout.name)
        frame.sample_rate, frame.pts = sampling_rate, first
        frame.time_base = Fraction(1, sampling_rate)
        for one in resampler.resample(frame):
            packets += track.encode(one)
    return packets + track.encode(None)


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    """The bytes with a whole number replaced."""
    changed = bytearray(data)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


def beeps(seconds: float, *places: float, sampling_rate: int = 16000) -> np.ndarray:
    """Silence with a tone of 0.2 s at each place."""
    samples = np.zeros(round(seconds * sampling_rate), np.float32)
    beep = tone(0.2, 1000.0, amplitude=0.5, sampling_rate=sampling_rate)
    for place in places:
        first = round(place * sampling_rate)
        samples[first : first + len(beep)] = beep
    return samples


def beep_places(samples: np.ndarray, sampling_rate: int = 16000) -> list[float]:
    """Seconds at which tones start, to a hundredth."""
    step = sampling_rate // 100
    frames = np.abs(samples[: len(samples) // step * step].reshape(-1, step)).max(axis=1)
    loud = np.concatenate([[False], frames > 0.15])
    return [index / 100 for index in np.flatnonzero(loud[1:] & ~loud[:-1]).tolist()]
