"""Lengths: streams are read to their end, and only what was cut is called so."""

import struct

import numpy as np
import pytest
from audio_files import film, sound
from fakes import tone

from emocli.audio.containers import is_cut, is_mp3_frame_cut, mp3_seconds, ogg_links
from emocli.audio.decode import read_waveform
from emocli.errors import AudioError

SECONDS = 3.0
SAMPLES = tone(SECONDS)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(data, **options):
    with open("a.bin", "wb") as stream:
        stream.write(data)
    return read_waveform("a.bin", **options)


MP3 = {
    "constant": {"bit_rate": 64000},
    "variable": {"b": "0", "global_quality": "0", "flags": "+qscale"},
    "average": {"bit_rate": 64000, "abr": "1"},
}


def mp3(rate, samples=None, **options):
    samples = tone(SECONDS, sampling_rate=rate) if samples is None else samples
    return film("mp3", "libmp3lame", [samples], sampling_rate=rate, **options)


@pytest.mark.parametrize("kind", MP3)
@pytest.mark.parametrize("header", ["1", "0"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_of_any_bit_rate_is_read_to_its_end_without_a_note(kind, header, rate):
    options = {"write_xing": header, "id3v2_version": "3"}
    found = read(mp3(rate, options=options, **MP3[kind]))
    assert found.duration == pytest.approx(SECONDS, abs=0.001 if header == "1" else 0.12)
    assert found.remarks == ()


@pytest.mark.parametrize("header", ["1", "0"])
@pytest.mark.parametrize("part", [0.3, 0.77])
def test_cut_mp3(header, part):
    data = mp3(16000, options={"write_xing": header}, bit_rate=64000)
    found = read(data[: round(part * len(data))])
    assert found.duration == pytest.approx(part * SECONDS, abs=0.15)
    (remark,) = found.remarks
    assert remark.startswith("truncated: ")


def test_tags_after_an_mp3_are_no_damage():
    data = mp3(16000, options={"write_xing": "0"})
    tags = b"APETAGEX" + bytes(range(24)) + b"TAG" + b"x" * 125
    assert read(data + tags).remarks == ()


def test_joined_mp3_files_are_read_to_the_end():
    short, long = mp3(16000, tone(1.0)), mp3(16000, tone(4.0))
    assert mp3_seconds_of(short) == pytest.approx(1.0, abs=0.15)
    found = read(short + long)
    assert found.duration == pytest.approx(5.0, abs=0.2)
    assert found.remarks == ()
    part = read(short + long, start=3.0, stop=4.0)  # beyond the end by the first header
    assert (part.duration, part.remarks) == (1.0, ())
    assert part.level.dbfs == pytest.approx(-23.0, abs=0.5)


def test_joined_mp3_files_of_different_rates_and_channels():
    stereo = mp3(44100, tone(2.0, sampling_rate=44100, n_channels=2))
    found = read(mp3(16000, tone(1.0)) + stereo)
    assert found.duration == pytest.approx(3.0, abs=0.2)
    assert found.level.dbfs == pytest.approx(-23.3, abs=0.5)  # with what encoders pad


def mp3_seconds_of(data):
    with open("b.bin", "w+b") as stream:
        stream.write(data)
        return mp3_seconds(stream)


def test_length_in_a_header_of_fraunhofer():
    frame = bytes([0xFF, 0xFB, 0x90, 0x00]) + bytes(32) + b"VBRI" + bytes(10)
    frame += (1000).to_bytes(4) + bytes(300)
    assert mp3_seconds_of(b"ID3\4\0\0\0\0\0\x05hello" + frame) == 1000 * 1152 / 44100


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfb\x90", bytes(400), b"\xff\xeb\x90\0" + bytes(400), b"\xff\xfb\x9c" * 99]
)
def test_no_length_in_a_header(data):
    assert mp3_seconds_of(data) == 0.0


@pytest.mark.parametrize(
    "frame", [b"", b"TAG!", b"\xff\xfb\xf0\0", b"\xff\xfb\x00\0", b"\xff\xeb\x90\0"]
)
def test_what_is_no_frame_is_no_cut_frame(frame):
    assert not is_mp3_frame_cut(frame)


@pytest.mark.parametrize(
    ("header", "n_bytes"), [(b"\xff\xfb\x90\x00", 417), (b"\xff\xf3\x88\x00", 288)]
)
def test_length_of_a_frame(header, n_bytes):
    assert is_mp3_frame_cut(header.ljust(n_bytes - 1, b"\0"))
    assert not is_mp3_frame_cut(header.ljust(n_bytes, b"\0"))


# --- Ogg -------------------------------------------------------------------------------------


def ogg(seconds, subtype="VORBIS", sampling_rate=16000, **options):
    return sound(
        "OGG", tone(seconds, **options, sampling_rate=sampling_rate), sampling_rate, subtype=subtype
    )


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_links_of_an_ogg_are_read_one_after_another(subtype):
    data = ogg(1.0, subtype) + ogg(2.5, subtype)
    found = read(data)
    assert found.duration == pytest.approx(3.5, abs=0.03)
    assert found.remarks == ()
    assert read(data, start=2.0, stop=3.0).duration == 1.0


def test_links_of_flac_in_ogg():
    data = film("ogg", "flac", [tone(1.0)]) + film("ogg", "flac", [tone(2.0)])
    found = read(data)
    assert found.duration == 3.0
    np.testing.assert_allclose(found.samples[16000:17000], tone()[:1000], atol=1e-4)


def test_links_of_different_rates_and_channels():
    data = ogg(1.0) + ogg(2.0, sampling_rate=44100, n_channels=2)
    found = read(data)
    assert found.duration == pytest.approx(3.0, abs=0.03)
    assert found.level.dbfs == pytest.approx(-23.0, abs=0.5)


def test_a_link_without_sound_costs_no_other_its_sound():
    data, page = ogg(1.0), ogg(1.0)[:58]  # the first of three headers
    found = read(data + page + ogg(2.0))
    assert found.duration == pytest.approx(3.0, abs=0.05)
    found = read(data + page)
    assert found.duration == pytest.approx(1.0, abs=0.03)
    assert found.remarks == (
        "damaged: 1 of 2 joined recordings are lost",
        "truncated: ends without a mark after 1.0 s",
    )


def test_cut_ogg(rng):
    noise = sound("OGG", rng.normal(0, 0.1, 160000), subtype="VORBIS")
    (remark,) = read(ogg(1.0) + noise[: len(noise) // 2]).remarks
    assert remark.startswith("truncated: ends without a mark after 5.")


def test_pages_of_an_ogg_are_found_behind_damage():
    data = ogg(1.0)
    with open("a.bin", "w+b") as stream:
        stream.write(data[:58] + bytes(100_000) + data[58:] + b"tail")
        (link,) = ogg_links(stream, len(data) + 100_004)
    assert (link.start, link.is_ended) == (0, True)


# --- boxes, elements and chunks --------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "codec", "options"),
    [
        ("ipod", "aac", {"movflags": "+faststart"}),
        ("mp4", "aac", {"movflags": "+frag_keyframe+empty_moov", "frag_duration": "500000"}),
        ("matroska", "flac", {}),
        ("webm", "libopus", {}),
        ("asf", "wmav2", {}),
        ("adts", "aac", {}),
        ("wav", "adpcm_ms", {}),
    ],
)
def test_whole_files_have_no_note_and_cut_ones_have_one(form, codec, options, rng):
    rate = 48000 if codec == "libopus" else 16000
    noise = rng.normal(0, 0.1, round(SECONDS * rate)).astype(np.float32)
    data = film(form, codec, [noise], sampling_rate=rate, options=options, bit_rate=64000)
    whole = read(data)
    assert whole.remarks == ()
    assert whole.duration == pytest.approx(SECONDS, abs=0.15)
    for part in (0.4, 0.7, 0.9):
        found = read(data[: round(part * len(data))])
        assert [remark.startswith("truncated: ") for remark in found.remarks] == [True]
        assert found.duration < SECONDS


def test_mp4_without_its_index():
    data = film("mp4", "aac", [SAMPLES])
    sentence = (
        "a.bin: no index (moov box), without which an MP4 cannot be read, expected a recording "
        "that was finished or copied to its end. Copy it again, or repair it with untrunc."
    )
    for part in (0.5, 0.99):
        with pytest.raises(AudioError) as error:
            read(data[: round(part * len(data))])
        assert str(error.value) == sentence


def box(name, size, content=b""):
    return struct.pack(">I", size) + name + content


@pytest.mark.parametrize(
    ("data", "cut"),
    [
        (box(b"ftyp", 8) + box(b"mdat", 0), False),
        (box(b"ftyp", 8) + box(b"mdat", 1, struct.pack(">Q", 16)), False),
        (box(b"ftyp", 8) + box(b"mdat", 1, struct.pack(">Q", 17)), True),
        (box(b"ftyp", 8) + box(b"mdat", 4), False),
        (b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x81", True),
        (b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff" + bytes(8), False),
        (b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\x89" + bytes(8), True),
        (b"\x1a\x45\xdf\xa3\x80" + bytes(20), False),
        (b"caff\0\1\0\0desc" + struct.pack(">q", 9) + bytes(8), True),
        (b"caff\0\1\0\0data" + struct.pack(">q", -1) + bytes(8), False),
        (b"no format at all", False),
    ],
)
def test_where_a_structure_ends(data, cut, tmp_path):
    with open("a.bin", "w+b") as stream:
        stream.write(data)
        assert is_cut(stream, len(data)) == cut


def test_a_broadcast_in_asf_has_no_length():
    data = film("asf", "wmav2", [SAMPLES], bit_rate=64000)
    place = data.index(bytes.fromhex("a1dcab8c47a9")) + 24
    with open("a.bin", "w+b") as stream:
        stream.write(data)
        assert is_cut(stream, len(data) - 1)
        stream.seek(place + 64)
        stream.write(struct.pack("<I", 1))
        assert not is_cut(stream, len(data) - 1)
        stream.seek(30)
        stream.write(bytes(16))  # without file properties
        assert not is_cut(stream, len(data) - 1)
