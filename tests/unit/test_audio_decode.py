import builtins
import errno
import os
import socket
import threading

import av
import numpy as np
import pytest
import soundfile
from fakes import tone

from emocli.audio import decode, sndfile
from emocli.audio.decode import WaveformStream, read_waveform, resample
from emocli.audio.ffmpeg import Part
from emocli.errors import AudioError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def message(path, **options):
    with pytest.raises(AudioError) as error:
        read_waveform(path, **options)
    return str(error.value)


def write(path, samples, sampling_rate=16000, **options):
    soundfile.write(path, samples, sampling_rate, **options)
    return path


def cut(path, n_bytes):
    with open(path, "rb") as stream:
        content = stream.read()
    with open(path, "wb") as stream:
        stream.write(content[:n_bytes])
    return path


# --- what is decoded -------------------------------------------------------------------------


def test_16_khz_mono_is_read_as_it_is(rng):
    samples = rng.integers(-20000, 20000, 50000).astype(np.int16)
    found = read_waveform(write("a.flac", samples))
    assert found.samples.dtype == np.float32
    assert (found.sampling_rate, found.start, found.duration) == (16000, 0.0, 3.125)
    np.testing.assert_array_equal(found.samples, samples.astype(np.float32) / 32768)
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 8e-3),
        ("a.wav", "PCM_16", 4e-5),
        ("a.wav", "PCM_24", 2e-7),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 0.0),
        ("a.wav", "DOUBLE", 0.0),
        ("a.wav", "ULAW", 4e-3),
        ("a.wav", "ALAW", 4e-3),
        ("a.flac", "PCM_24", 2e-7),
        ("a.aiff", "PCM_16", 4e-5),
        ("a.au", "PCM_16", 4e-5),
        ("a.caf", "PCM_16", 4e-5),
        ("a.w64", "PCM_16", 4e-5),
    ],
)
def test_every_sample_width_gives_the_same_sound(name, subtype, tolerance):
    found = read_waveform(write(name, tone(), subtype=subtype))
    np.testing.assert_allclose(found.samples, tone(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("form", ["WAVEX", "RF64"])
def test_other_kinds_of_wav(form):
    found = read_waveform(write("a.wav", tone(), format=form, subtype="PCM_24"))
    np.testing.assert_allclose(found.samples, tone(), atol=2e-7)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.ogg", "VORBIS"), ("a.opus", "OPUS"), ("a.mp3", "MPEG_LAYER_III")]
)
def test_lossy_formats_keep_length_and_level(name, subtype):
    form = "OGG" if name.endswith("opus") else None
    found = read_waveform(write(name, tone(2.0), subtype=subtype, format=form))
    assert len(found.samples) == pytest.approx(32000, abs=1200)
    assert found.level.dbfs == pytest.approx(-23.0, abs=0.5)


def test_a_codec_that_cannot_seek_is_read_from_the_start_of_a_segment():
    write("a.wav", tone(3.0), subtype="GSM610")
    whole = read_waveform("a.wav").samples
    part = read_waveform("a.wav", start=1.0, stop=2.0).samples
    np.testing.assert_array_equal(part, whole[16000:32000])


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 1_000_000])
def test_any_rate_comes_out_at_16_khz(rate):
    found = read_waveform(write("a.wav", tone(sampling_rate=rate), rate, subtype="FLOAT"))
    assert len(found.samples) == 16000
    np.testing.assert_allclose(found.samples[1000:-1000], tone()[1000:-1000], atol=1e-4)
    assert found.duration == 1.0


@pytest.mark.parametrize("n_channels", [2, 6, 300])
def test_channels_are_averaged(n_channels):
    gains = np.linspace(0.0, 2.0, n_channels, dtype=np.float32)
    write("a.wav", tone()[:, np.newaxis] * gains, subtype="FLOAT")
    np.testing.assert_allclose(read_waveform("a.wav").samples, tone(), atol=1e-6)


def test_name_without_ascii_and_name_that_is_no_utf8(tmp_path):
    assert read_waveform(write("żółć 録音.wav", tone())).duration == 1.0
    raw = os.fsdecode(b"caf\xe9.wav")
    os.rename("żółć 録音.wav", raw)
    assert read_waveform(raw).duration == 1.0


def test_content_decides_not_the_ending():
    write("a.wav", tone(), format="FLAC")
    os.rename("a.wav", "a.raw")
    assert read_waveform("a.raw").duration == 1.0


def test_wav_with_odd_chunks_and_empty_metadata():
    write("a.wav", tone())
    with open("a.wav", "rb") as stream:
        content = stream.read()
    extra = b"LIST" + (4).to_bytes(4, "little") + b"INFO" + b"junk" + (3).to_bytes(4, "little")
    with open("a.wav", "wb") as stream:
        stream.write(content[:36] + extra + b"abc\0" + content[36:] + b"tail")
    found = read_waveform("a.wav")
    assert (found.duration, found.remarks) == (1.0, ())


def test_wav_of_unknown_length_is_not_called_truncated():
    write("a.wav", tone())
    with open("a.wav", "r+b") as stream:
        stream.seek(4)
        stream.write(b"\xff\xff\xff\xff")
        stream.seek(40)
        stream.write(b"\xff\xff\xff\xff")
    found = read_waveform("a.wav")
    assert (found.duration, found.remarks) == (1.0, ())


@pytest.mark.parametrize("n_channels", [1, 2])
def test_blocks_do_not_change_the_waveform(monkeypatch, n_channels):
    samples = tone(5.0, sampling_rate=44100, n_channels=n_channels)
    write("a.wav", samples, 44100, subtype="FLOAT")
    whole = read_waveform("a.wav")
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 2000)
    np.testing.assert_array_equal(read_waveform("a.wav").samples, whole.samples)


def test_stream_knows_its_length_before_it_ends():
    stream = WaveformStream(write("a.wav", tone(20.0)), start=1.0, stop=30.0)
    assert np.isnan(stream.expected_seconds)
    next(iter(stream))
    assert stream.expected_seconds == 19.0


def test_resample_keeps_a_waveform_of_the_right_rate():
    samples = tone()
    assert resample(samples, 16000, 16000) is samples
    assert len(resample(samples, 16000, 8000)) == 8000


def test_pipe(tmp_path):
    content = (tmp_path / write("a.flac", tone())).read_bytes()
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    assert read_waveform("pipe").duration == 1.0
    writer.join()


def test_pipe_whose_writer_writes_nothing(tmp_path):
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b""))
    writer.start()
    assert message("pipe") == (
        "pipe: empty (0 bytes), expected a recording. Record it or copy it again."
    )
    writer.join()


def test_pipe_whose_writer_takes_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr("emocli.audio.decode.WRITER_SECONDS", 0)
    write("a.wav", tone(1.0))
    content = (tmp_path / "a.wav").read_bytes()
    os.mkfifo("pipe")
    begun = threading.Event()

    def write_late():
        with (tmp_path / "pipe").open("wb") as pipe:
            begun.wait()
            pipe.write(content)

    # Both ends, so that the writer is there before the recording is opened.
    both = os.open("pipe", os.O_RDWR)
    writer = threading.Thread(target=write_late)
    writer.start()
    threading.Timer(0.2, begun.set).start()
    threading.Timer(0.1, lambda: os.close(both)).start()
    assert read_waveform("pipe").duration == 1.0
    writer.join()


def test_pipe_without_another_end(monkeypatch):
    monkeypatch.setattr("emocli.audio.decode.WRITER_SECONDS", 0)
    os.mkfifo("pipe")
    with pytest.raises(AudioError) as error:
        read_waveform("pipe")
    assert str(error.value) == (
        "pipe: a pipe that nobody has written to for 0 s, expected a recording. Start what writes "
        "to it, or check the path."
    )


def promise_too_much(path, other):
    """A copy of a FLAC whose header has the largest length there is."""
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # STREAMINFO: 36 bits of length, all set
    content[22:26] = b"\xff" * 4
    other.write_bytes(content)


def test_a_header_that_promises_too_much_makes_nothing_up(tmp_path):
    write("a.flac", tone(1.0))
    promise_too_much(tmp_path / "a.flac", tmp_path / "b.flac")
    found, whole = read_waveform("b.flac"), read_waveform("a.flac")
    np.testing.assert_array_equal(found.samples, whole.samples)
    assert found.duration == 1.0
    assert found.remarks == ("truncated: 1.0 of 4294967.3 s",)


# --- segments --------------------------------------------------------------------------------


def test_segment():
    write("a.wav", tone(3.0), subtype="FLOAT")
    found = read_waveform("a.wav", start=1.25, stop=2.0)
    assert (found.start, found.duration) == (1.25, 0.75)
    np.testing.assert_array_equal(found.samples, tone(3.0)[20000:32000])


def test_segment_that_goes_on_after_the_end():
    write("a.wav", tone(3.0))
    assert read_waveform("a.wav", start=1.0, stop=3.005).remarks == ()
    assert read_waveform("a.wav", start=1.0, stop=5.0).remarks == (
        "recording ends at 3.000 s, within the segment",
    )


def test_segment_after_the_end():
    write("a.wav", tone(3.0))
    assert message("a.wav", start=3.0) == (
        "a.wav: segment starts at 3.000 s, expected before the recording's end at 3.000 s. "
        "Correct start and end."
    )


def test_segment_after_the_end_of_what_cannot_seek(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "seekable", lambda sound: False)
    write("a.flac", tone(1.0))
    promise_too_much(tmp_path / "a.flac", tmp_path / "b.flac")
    assert message("b.flac", start=2.0) == (
        "b.flac: segment starts at 2.000 s, expected before the recording's end. Correct start and "
        "end."
    )


def test_segment_that_ends_before_it_starts():
    assert message("a.wav", start=2.0, stop=2.0) == (
        "a.wav: segment ends at 2 s, expected after its start at 2 s. Correct start and end."
    )


@pytest.mark.parametrize("start", [-1.0, float("inf")])
def test_segment_that_is_none(start):
    assert message("a.wav", start=start) == (
        f"a.wav: segment from {start:g} s, expected seconds of at least 0. Correct start and end."
    )


# --- truncated and damaged -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "remark"),
    [
        ("a.wav", {}, "truncated: 3.3 of 10.0 s"),
        ("a.wav", {"subtype": "ULAW"}, "truncated: 3.3 of 10.0 s"),
        ("a.wav", {"format": "RF64"}, "truncated: 3.3 of 10.0 s"),
        ("a.flac", {}, "truncated: 3.3 of 10.0 s"),
        ("a.aiff", {}, "truncated: 3.3 of 10.0 s"),
        ("a.au", {}, "truncated: 3.3 of 10.0 s"),
        ("a.w64", {}, "truncated: 3.3 of 10.0 s"),
        ("a.ogg", {}, "truncated: ends without a mark after 2.6 s"),
        ("a.caf", {}, "truncated: 3.2 of 10.0 s"),
    ],
)
def test_what_is_left_of_a_truncated_recording_is_read_and_marked(rng, name, options, remark):
    noise = (0.3 * rng.standard_normal(160000)).clip(-1, 1).astype(np.float32)
    write(name, noise, **options)
    found = read_waveform(cut(name, os.path.getsize(name) // 3))
    assert found.remarks == (remark,)
    assert 2.5 < found.duration < 3.4


def test_truncated_flac_loses_no_frame_before_the_damage(rng):
    samples = rng.integers(-9000, 9000, 160000).astype(np.int16)
    cut(write("a.flac", samples), os.path.getsize("a.flac") // 3)
    found = read_waveform("a.flac").samples
    assert len(found) == 53248  # 13 of libFLAC's blocks of 4096
    np.testing.assert_array_equal(found, samples[: len(found)].astype(np.float32) / 32768)


def test_a_segment_before_the_damage_has_no_remark():
    cut(write("a.wav", tone(10.0)), 200_000)
    assert read_waveform("a.wav", start=1.0, stop=2.0).remarks == ()


def test_decoder_that_gives_up(monkeypatch):
    write("a.wav", tone())

    def fail(*arguments, **options):
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile.SoundFile, "seek", fail)
    assert message("a.wav", start=0.5) == (
        "a.wav: damaged (Format not recognised), expected a recording that can be read to its "
        "end. Record it or copy it again."
    )


def test_disk_that_fails(monkeypatch):
    write("a.wav", tone())

    def fail(*arguments, **options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    assert message("a.wav") == (
        "a.wav: damaged (Input/output error), expected a recording that can be read to its end. "
        "Record it or copy it again."
    )


def test_quality_is_in_the_remarks():
    assert read_waveform(write("a.wav", np.zeros(16000))).remarks == ("digital silence",)


# --- what cannot be read ---------------------------------------------------------------------


def test_no_such_file():
    assert message("a.wav") == "a.wav: no such file, expected a recording. Check the path."


def test_the_name_of_the_table_stands_in_the_error():
    assert message("/nowhere/a.wav", name="m/a.wav").startswith("m/a.wav: no such file")


def test_dangling_link():
    os.symlink("gone.wav", "a.wav")
    assert message("a.wav") == (
        "a.wav: a link to gone.wav, which does not exist, expected a recording. "
        "Restore the target or remove the link."
    )


def test_link_to_itself():
    os.symlink("a.wav", "a.wav")
    assert message("a.wav") == (
        "a.wav: cannot be opened (Too many levels of symbolic links), expected a recording. "
        "Check the path."
    )


def test_no_permission(monkeypatch):
    write("a.wav", tone())

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)
    assert message("a.wav") == (
        "a.wav: no permission to read it, expected a readable recording. "
        "Change its permissions or run as its owner."
    )


def test_folder():
    os.mkdir("a.wav")
    assert message("a.wav") == (
        "a.wav: a folder, expected a recording. "
        "Give the folder as an argument, or the recordings in it."
    )


def test_device():
    assert message("/dev/null") == (
        "/dev/null: neither a file nor a pipe, expected a recording. Check the path."
    )


def test_empty_file():
    open("a.wav", "wb").close()
    assert message("a.wav") == (
        "a.wav: empty (0 bytes), expected a recording. Record it or copy it again."
    )


def test_text():
    with open("a.wav", "w", encoding="utf-8") as stream:
        stream.write("#EXTM3U\nhttp://example.org/ä\n" * 40)
    assert message("a.wav") == (
        "a.wav: holds text, expected audio. Check how the file was made or downloaded."
    )


def test_text_whose_first_bytes_end_within_a_letter():
    with open("a.wav", "w", encoding="utf-8") as stream:
        stream.write("x" + "ä" * 400)  # the 512th byte is the first half of a letter
    assert message("a.wav") == (
        "a.wav: holds text, expected audio. Check how the file was made or downloaded."
    )


def test_header_cut_short():
    cut(write("a.wav", tone()), 30)
    assert message("a.wav") == (
        "a.wav: the WAV header is cut short or damaged (Error in WAV file. No 'data' chunk "
        "marker), expected a whole recording. Record it or copy it again."
    )


def test_no_samples():
    assert message(write("a.wav", np.zeros(0))) == (
        "a.wav: a header without samples, expected a recording. Record it or copy it again."
    )


def test_unknown_format():
    with open("a.wav", "wb") as stream:
        stream.write(bytes(range(256)) * 4)
    assert message("a.wav") == (
        "a.wav: no audio format that libsndfile or FFmpeg knows, expected "
        "a recording. Convert it to WAV or FLAC."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(value):
    samples = tone(40.0, n_channels=2)
    samples[8000:8003, 1] = value
    samples[500_000] = value
    write("a.wav", samples, subtype="FLOAT")
    assert message("a.wav") == (
        "a.wav: 4 of 640000 samples are not numbers (NaN or infinite), the first at 0.500 s, "
        "expected finite samples. Repair the recording or make it again."
    )
    assert message("a.wav", start=10.0).startswith("a.wav: 1 of 480000 samples are not numbers")


@pytest.mark.parametrize(("value", "found"), [(2.5e9, "1.25e+09"), (-3e38, "1.5e+38")])
def test_a_sample_beyond_any_level(value, found):
    samples = tone(1.0, n_channels=2)
    samples[8000, 1] = value
    write("a.wav", samples, subtype="FLOAT")
    assert message("a.wav") == (
        f"a.wav: a sample is {found} times full scale, expected about 1 at most. "
        f"Repair the recording or make it again."
    )


def test_channels_whose_sum_is_beyond_any_number():
    samples = tone(1.0, n_channels=2)
    samples[8000] = 3e38
    write("a.wav", samples, subtype="FLOAT")
    assert message("a.wav").startswith("a.wav: 1 of 16000 samples are not numbers")


def test_absurd_rate():
    assert message(write("a.wav", tone(), 1)) == (
        "a.wav: sampling rate 1 Hz, expected 1000 to 3000000 Hz. "
        "Correct the header or record it again."
    )


def test_fewer_samples_than_make_one():
    assert message(write("a.wav", tone()[:10], 1_000_000)) == (
        "a.wav: 0.000010 s are less than one sample at 16000 Hz, expected a longer recording. "
        "Check its sampling rate of 1000000 Hz."
    )


def test_longer_than_a_day(monkeypatch):
    monkeypatch.setattr(decode, "MAX_HOURS", 0.001)
    assert message(write("a.wav", tone(20.0))) == (
        "a.wav: longer than 0.001 hours, expected a shorter recording. "
        "Split it, or read parts of it with start and end in a manifest."
    )


# --- through FFmpeg --------------------------------------------------------------------------


def write_with_ffmpeg(path, codec, samples=None, sampling_rate=16000):
    samples = tone(2.0) if samples is None else samples
    with av.open(path, "w") as container:
        track = container.add_stream(codec, rate=sampling_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = sampling_rate
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.mkv", "aac"),
        ("a.webm", "libopus"),
    ],
)
def test_what_libsndfile_does_not_know(name, codec):
    rate = 48000 if codec == "libopus" else 16000
    write_with_ffmpeg(name, codec, tone(2.0, sampling_rate=rate), rate)
    found = read_waveform(name)
    assert found.duration == pytest.approx(2.0, abs=0.15)
    assert found.level.dbfs == pytest.approx(-23.0, abs=0.6)
    assert found.remarks == ()


def test_segment_through_ffmpeg():
    write_with_ffmpeg("a.m4a", "aac")
    whole = read_waveform("a.m4a").samples
    part = read_waveform("a.m4a", start=0.5, stop=1.5)
    np.testing.assert_array_equal(part.samples, whole[8000:24000])
    assert part.remarks == ()


def test_truncated_through_ffmpeg():
    write_with_ffmpeg("a.mkv", "aac", tone(10.0))
    cut("a.mkv", os.path.getsize("a.mkv") // 3)
    (remark,) = read_waveform("a.mkv").remarks
    assert remark.startswith("truncated: ")


def test_positions_that_a_part_of_a_file_cannot_have_are_answered_not_raised():
    write("a.wav", tone())
    with open("a.wav", "rb", buffering=0) as stream:
        part = Part(stream, 4, 100)
        assert part.seek(40) == part.tell() == 40
        assert (part.seek(-41, 1), part.seek(2**62)) == (-1, -1)
        assert len(part.read(3)) == 3
        assert (part.seek(0, 2), part.read()) == (96, b"")


def test_film_without_sound():
    with av.open("a.mp4", "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width = track.height = 16
        track.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(track.encode(picture))
        container.mux(track.encode(None))
    assert message("a.mp4") == (
        "a.mp4: no sound track, expected one. Give the file that has the sound."
    )


def test_sound_of_a_codec_without_a_decoder():
    write_with_ffmpeg("a.mkv", "aac")
    with open("a.mkv", "r+b") as stream:
        content = stream.read()
        stream.seek(content.index(b"A_AAC"))
        stream.write(b"A_XYZ")
    assert message("a.mkv") == (
        "a.mkv: a sound track in an encoding that FFmpeg does not decode, expected another. "
        "Convert it to WAV or FLAC."
    )


def test_socket_cannot_be_opened(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.wav")
        assert message("a.wav") == (
            "a.wav: cannot be opened (No such device or address), expected a recording. "
            "Check the path."
        )


# --- recordings that change while they are read -----------------------------------------------


def read_while(change, name="a.wav", seconds=60.0):
    """What comes of a recording that something happens to after its first block."""
    write(name, np.tile(tone(1.0), round(seconds)))
    stream = WaveformStream(name, 16000)
    blocks = iter(stream)
    samples = [next(blocks)]
    change()
    samples += list(blocks)
    return np.concatenate(samples), stream.remarks


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_recording_that_is_cut_while_it_is_read_says_so(name):
    samples, remarks = read_while(lambda: os.truncate(name, 100_000), name)
    assert 0 < len(samples) / 16000 < 60
    assert [remark.startswith("truncated: ") for remark in remarks] == [True]
    assert remarks[0].endswith(" of 60.0 s")


def test_a_recording_that_is_removed_while_it_is_read_is_read_to_its_end():
    samples, remarks = read_while(lambda: os.unlink("a.wav"))
    assert (len(samples), remarks) == (960_000, [])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOENT])
def test_a_drive_that_is_gone(number, monkeypatch):
    write("a.wav", tone(1.0))

    def gone(path):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("emocli.audio.decode.os.stat", gone)
    with pytest.raises(AudioError) as error:
        read_waveform("a.wav")
    assert str(error.value).startswith("a.wav: ")
    assert error.value.args[0].count(". ") == 1
