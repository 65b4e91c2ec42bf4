"""Start and end are seconds of the source as a player shows them; and which track is heard."""

import numpy as np
import pytest
from audio_files import beep_places, beeps, film
from fakes import tone

from emocli.audio.decode import Selection, read_waveform
from emocli.errors import AudioError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(data, **options):
    with open("a.bin", "wb") as stream:
        stream.write(data)
    return read_waveform("a.bin", **options)


FORMS = [("matroska", "aac"), ("mp4", "aac"), ("mpegts", "aac"), ("webm", "libopus")]


def made(form, codec, samples, **options):
    rate = 48000 if codec == "libopus" else 16000
    return film(form, codec, [samples(rate)], sampling_rate=rate, **options)


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_sound_that_starts_late_in_a_film(form, codec):
    if form == "webm":
        form = "matroska"
    data = made(
        form,
        codec,
        lambda rate: beeps(3.0, 1.0, sampling_rate=rate),
        starts=[2.5],
        picture_seconds=6.0,
    )
    found = read(data)
    assert beep_places(found.samples) == pytest.approx([3.5], abs=0.1)
    assert found.duration == pytest.approx(5.5, abs=0.15)
    (remark,) = found.remarks
    assert remark in ("nothing recorded from 0.0 to 2.4 s", "nothing recorded from 0.0 to 2.5 s")
    part = read(data, start=3.4, stop=4.0)
    assert beep_places(part.samples) == pytest.approx([0.1], abs=0.1)
    assert part.remarks == ()


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_a_gap_in_the_time_stamps_becomes_silence(form, codec):
    data = made(
        form, codec, lambda rate: beeps(4.0, 1.0, 3.0, sampling_rate=rate), gaps=[(2.0, 10.0)]
    )
    found = read(data)
    assert beep_places(found.samples) == pytest.approx([1.0, 13.0], abs=0.1)
    assert found.duration == pytest.approx(14.0, abs=0.15)
    assert len(found.remarks) == 1
    assert found.remarks[0].startswith("nothing recorded from 2.")
    assert beep_places(read(data, start=12.5, stop=13.5).samples) == pytest.approx([0.5], abs=0.1)
    assert read(data, start=0.5, stop=1.5).remarks == ()


def test_several_gaps():
    data = made("matroska", "aac", lambda rate: beeps(4.0, 3.0), gaps=[(1.0, 2.0), (2.0, 3.0)])
    found = read(data)
    assert beep_places(found.samples) == pytest.approx([8.0], abs=0.1)
    (remark,) = found.remarks
    assert remark in [
        f"nothing recorded in 2 places, {total} s in all" for total in (4.9, 5.0, 5.1)
    ]


def test_a_time_stamp_that_is_far_ahead_is_not_believed():
    data = made("matroska", "aac", lambda rate: beeps(4.0, 1.0, 3.0), gaps=[(2.0, 100000.0)])
    assert beep_places(read(data).samples) == pytest.approx([1.0, 3.0], abs=0.12)


def test_time_stamps_that_start_anew_lose_nothing():
    one = made("mpegts", "aac", lambda rate: beeps(2.0, 1.0), starts=[20.0])
    found = read(one + made("mpegts", "aac", lambda rate: beeps(2.0, 1.0)))
    assert beep_places(found.samples) == pytest.approx([1.0, 3.0], abs=0.2)


def test_jitter_of_time_stamps_changes_nothing():
    data = made(
        "matroska", "aac", lambda rate: beeps(4.0, 1.0, 3.0), gaps=[(1.5, 0.05), (2.0, -0.05)]
    )
    assert beep_places(read(data).samples) == pytest.approx([1.0, 3.0], abs=0.07)


@pytest.mark.parametrize("form", ["ipod", "matroska", "mp3", "ogg", "asf"])
def test_what_encoders_put_before_the_sound_shifts_nothing(form):
    codec = {"mp3": "libmp3lame", "ogg": "libopus", "asf": "wmav2"}.get(form, "aac")
    rate = 48000 if codec == "libopus" else 16000
    samples = beeps(3.0, 1.0, sampling_rate=rate)
    found = read(film(form, codec, [samples], sampling_rate=rate, bit_rate=64000))
    assert beep_places(found.samples) == pytest.approx([1.0], abs=0.1)
    assert found.remarks == ()


def test_eight_channels():
    samples = tone(2.0, 300.0, n_channels=8)
    data = film("mp4", "aac", [samples], bit_rate=256000)
    found = read(data, selection=Selection(channel=8))
    assert found.duration == pytest.approx(2.0, abs=0.15)
    with pytest.raises(AudioError, match="no channel 9, expected 1 to 8"):
        read(data, selection=Selection(channel=9))


def two_tracks(default):
    tracks = [tone(2.0, 300.0), tone(2.0, 1200.0)]
    return film("matroska", "aac", tracks, default=default)


def hertz(samples):
    return np.argmax(np.abs(np.fft.rfft(samples[8000:24000])))


@pytest.mark.parametrize(("default", "heard", "track"), [(0, 300, 1), (1, 1200, 2), (None, 300, 1)])
def test_the_track_that_is_marked_as_default_is_heard(default, heard, track):
    found = read(two_tracks(default))
    assert hertz(found.samples) == heard
    assert found.remarks == (f"2 sound tracks, heard is number {track}",)


@pytest.mark.parametrize(("track", "heard"), [(1, 300), (2, 1200)])
def test_another_track(track, heard):
    found = read(two_tracks(1), selection=Selection(track=track))
    assert hertz(found.samples) == heard


def test_a_track_that_is_not_there():
    with pytest.raises(AudioError) as error:
        read(two_tracks(1), selection=Selection(track=3))
    assert str(error.value) == "a.bin: no sound track 3, expected 1 to 2. Choose another --track."
    import soundfile

    soundfile.write("a.wav", tone(), 16000)
    assert read_waveform("a.wav", selection=Selection(track=1)).duration == 1.0
    with pytest.raises(AudioError) as error:
        read_waveform("a.wav", selection=Selection(track=2))
    assert str(error.value) == "a.wav: no sound track 2, expected 1. Choose another --track."


def test_a_playlist_leads_nowhere(tmp_path):
    film_file = tmp_path / "b.ts"
    film_file.write_bytes(film("mpegts", "aac", [tone(2.0)]))
    playlist = (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nb.ts\n#EXT-X-ENDLIST\n\xff\xfe\xfd\xfc\xfb"
    )
    with pytest.raises(AudioError):
        read(playlist + b"\xff\xfe\xfd\xfc\xfb")


def test_damage_costs_what_is_damaged_and_shifts_nothing(rng):
    data = bytearray(film("matroska", "aac", [beeps(6.0, 0.5, 1.5, 2.5, 3.5, 5.5)], bit_rate=64000))
    place = round(0.45 * len(data))
    data[place : place + len(data) // 5] = rng.bytes(len(data) // 5)
    found = read(bytes(data))
    places = beep_places(found.samples)
    assert places[:2] == pytest.approx([0.5, 1.5], abs=0.1)
    assert places[-1] == pytest.approx(5.5, abs=0.1)


def test_damage_says_where_it_is():
    samples = beeps(3.0, 0.5, 1.5, 2.5)
    packets = film("matroska", "flac", [samples])
    first = packets.index(b"\xff\xf8", len(packets) // 2)
    data = packets[: first + 20] + bytes(60) + packets[first + 80 :]
    found = read(data)
    assert beep_places(found.samples)[-1] == pytest.approx(2.5, abs=0.1)
    assert found.duration == pytest.approx(3.0, abs=0.05)
