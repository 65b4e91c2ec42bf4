"""Headers that a recorder did not finish: what is there is read, with a note where it is due."""

import struct

import numpy as np
import pytest
from audio_files import patched, sound
from fakes import tone

from emocli.audio.decode import read_waveform
from emocli.audio.plain_headers import MendedStream, find_samples
from emocli.errors import AudioError

UNFINISHED = ("no length in its header",)
SAMPLES = tone(2.0)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(data, **options):
    with open("a.bin", "wb") as stream:
        stream.write(data)
    return read_waveform("a.bin", **options)


def with_sizes(form, *sizes):
    """A file of a form with whole numbers replaced, each a place, a form and a value."""
    data = sound(form, SAMPLES, subtype="PCM_16")
    for place, kind, value in sizes:
        offset = data.index(place[0]) + place[1] if isinstance(place, tuple) else place
        data = patched(data, offset, kind, value)
    return data


RIFF, DATA, DS64 = 4, (b"data", 4), (b"ds64", 16)
FORM, SSND, COMM = 4, (b"SSND", 4), (b"COMM", 10)


@pytest.mark.parametrize(
    ("form", "sizes", "remarks"),
    [
        ("WAV", [(RIFF, "<I", 0), (DATA, "<I", 0)], UNFINISHED),
        ("WAV", [(DATA, "<I", 0)], UNFINISHED),
        ("WAV", [(RIFF, "<I", 36), (DATA, "<I", 0)], UNFINISHED),
        ("WAV", [(RIFF, "<I", 8), (DATA, "<I", 0)], UNFINISHED),
        ("WAVEX", [(RIFF, "<I", 0), (DATA, "<I", 0)], UNFINISHED),
        ("WAV", [(RIFF, "<I", 0)], ()),
        ("WAV", [(RIFF, "<I", 0xFFFFFFFF), (DATA, "<I", 0xFFFFFFFF)], ()),
        ("WAV", [(RIFF, "<I", 0x7FFFF024), (DATA, "<I", 0x7FFFF000)], ()),
        ("WAV", [(DATA, "<I", 640000)], ("truncated: 2.0 of 20.0 s",)),
        ("RF64", [(DS64, "<q", 0)], UNFINISHED),
        ("RF64", [(DS64, "<q", -1)], ()),
        ("RF64", [(DS64, "<q", 128000)], ("truncated: 2.0 of 4.0 s",)),
        ("W64", [((b"data", 16), "<q", 0)], UNFINISHED),
        ("W64", [((b"data", 16), "<q", -1)], ()),
        ("AIFF", [(FORM, ">I", 0), (COMM, ">I", 0), (SSND, ">I", 0)], UNFINISHED),
        ("AIFF", [(SSND, ">I", 8)], UNFINISHED),
        ("AIFF", [(COMM, ">I", 0)], ()),
        ("AIFF", [(FORM, ">I", 0x7F000050), (SSND, ">I", 0x7F000008)], ()),
        ("AU", [(8, ">I", 0)], UNFINISHED),
        ("AU", [(8, ">I", 0xFFFFFFFF)], ()),
        ("AU", [(8, ">I", 256000)], ("truncated: 2.0 of 8.0 s",)),
        ("CAF", [((b"data", 4), ">q", -1)], ()),
        ("CAF", [((b"data", 4), ">q", 0)], UNFINISHED),
        ("CAF", [((b"data", 4), ">q", 4)], UNFINISHED),
        ("CAF", [((b"data", 4), ">q", 128004)], ("truncated: 2.0 of 4.0 s",)),
    ],
)
def test_what_is_there_is_read(form, sizes, remarks):
    found = read(with_sizes(form, *sizes))
    np.testing.assert_allclose(found.samples, SAMPLES, atol=4e-5)
    assert found.remarks == remarks
    part = read(with_sizes(form, *sizes), start=1.0, stop=1.5)
    np.testing.assert_array_equal(part.samples, found.samples[16000:24000])


def test_flac_without_a_length():
    data = bytearray(sound("FLAC", SAMPLES))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    found = read(bytes(data))
    assert (found.duration, found.remarks) == (2.0, ())
    assert read(bytes(data), start=1.0, stop=1.5).duration == 0.5


@pytest.mark.parametrize("tail", [b"", b"LIST\4\0\0\0INFO"])
def test_an_empty_recording_is_empty(tail):
    with pytest.raises(AudioError) as error:
        read(sound("WAV", np.zeros(0)) + tail)
    assert str(error.value) == (
        "a.bin: a header without samples, expected a recording. Record it or copy it again."
    )


def test_more_than_32_bits_hold(tmp_path):
    """A file of 5 GiB, nearly all of it a hole, whose header has what is left of its size."""
    n_bytes = 5 << 30
    with (tmp_path / "a.wav").open("w+b") as stream:
        stream.write(sound("WAV", SAMPLES, subtype="PCM_16")[:44])
        stream.seek(40)
        stream.write(struct.pack("<I", n_bytes & 0xFFFFFFFF))
        stream.truncate(44 + n_bytes)
        found = find_samples(stream, 44 + n_bytes)
    assert found.is_unknown
    part = read_waveform("a.wav", start=10.0, stop=11.0)
    assert (part.duration, part.remarks) == (1.0, ("digital silence", "no length in its header"))


def test_a_header_without_samples_has_none_to_find(tmp_path):
    for data in (
        b"",
        b"RIFF",
        b".snd\0\0\0\x18",
        b"no format",
        b"RIFF\0\0\0\0WAVEfmt \4\0\0\0abcd",
    ):
        with (tmp_path / "a.bin").open("w+b") as stream:
            stream.write(data)
            assert find_samples(stream, len(data)) is None


def test_a_mended_stream_differs_only_in_the_patch(tmp_path):
    with (tmp_path / "a.bin").open("w+b") as stream:
        stream.write(b"0123456789")
        mended = MendedStream(stream, 3, b"xyz")
        assert (mended.seekable(), mended.seek(0)) == (True, 0)
        assert mended.read() == b"012xyz6789"
        mended.seek(4)
        assert (mended.read(1), mended.tell()) == (b"y", 5)
