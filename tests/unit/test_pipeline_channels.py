"""Channels and tracks as rows of their own, and recordings on standard input."""

import io
import sys

import numpy as np
import pytest
import typer
from audio_files import film, sound
from fakes import tone, write_tone
from typer.testing import CliRunner

import emocli
from emocli.cli.options import channel_of
from emocli.errors import AudioError, TableError
from emocli.pipeline.inputs import SPLIT, Selection, is_binary, read_inputs, select_sound
from emocli.table import PredictionTable
from emocli.table_io import match_tables, write_table


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_call(path="call.wav"):
    sides = np.stack([tone(2.0, 300.0), tone(2.0, 900.0, amplitude=0.3)], axis=1)
    with open(path, "wb") as stream:
        stream.write(sound("WAV", sides))
    return path


def predicted(path, **options):
    return emocli.predict(path, **options)


def test_each_channel_has_a_row_of_its_own():
    write_call()
    table = predicted("call.wav", channel=SPLIT)
    assert table["channel"].tolist() == ["1", "2"]
    alone = [predicted("call.wav", channel=number) for number in (1, 2)]
    assert [one["channel"].tolist() for one in alone] == [["1"], ["2"]]
    np.testing.assert_allclose(table.probs, np.concatenate([one.probs for one in alone]), atol=1e-6)
    assert np.abs(table.probs[0] - table.probs[1]).max() > 0.01


def test_a_table_of_channels_is_read_as_such():
    write_call()
    table = predicted("call.wav", channel=SPLIT)
    write_table(table, "p.csv", "csv")
    again = predicted("p.csv")
    np.testing.assert_allclose(again.probs, table.probs, atol=1e-6)
    table.check_unique_keys()
    assert match_tables(table, again).right.tolist() == [0, 1]


def test_channels_of_one_side_alone_do_not_part_tables():
    split = PredictionTable.from_columns({"file": ["a", "a"], "channel": ["1", "2"]})
    whole = PredictionTable.from_columns({"file": ["a"]})
    one = PredictionTable.from_columns({"file": ["a"], "channel": ["2"]})
    assert match_tables(one, whole).right.tolist() == [0]
    assert match_tables(split, one).right.tolist() == [-1, 0]
    assert match_tables(split, one, match="stem").right.tolist() == [-1, 0]
    with pytest.raises(TableError, match="repeat an utterance"):
        match_tables(split, whole)


@pytest.mark.parametrize(
    ("value", "selection"),
    [
        ("2", Selection(channel=2, is_wish=True)),
        ("0", Selection()),
        ("left", Selection()),
        ("1.5", Selection()),
        ("", Selection()),
    ],
)
def test_a_column_of_channels_that_may_mean_something_else(value, selection):
    table = PredictionTable.from_columns({"file": ["a.wav"], "channel": [value]})
    (one,) = read_inputs(table).utterances
    assert one.selection == selection


def test_a_mono_recording_of_a_table_is_heard_whatever_its_channel_was(tmp_path):
    write_tone(tmp_path / "a.wav")
    table = PredictionTable.from_columns({"file": ["a.wav"], "channel": ["2"]})
    assert predicted(table)["error"].tolist() == [""]
    assert predicted("a.wav", channel=2)["error"].tolist() == [
        "a.wav: no channel 2, expected 1. Choose another --channel."
    ]


def test_what_cannot_be_read_is_one_row_when_split(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    write_call()
    table = predicted(["a.wav", "call.wav"], channel=SPLIT)
    assert table["file"].tolist() == ["a.wav", "call.wav", "call.wav"]
    assert table["channel"].tolist() == ["", "1", "2"]
    assert table.failed.tolist() == [True, False, False]


def test_another_track(tmp_path):
    data = film("matroska", "aac", [tone(2.0), np.zeros(32000, np.float32)], default=0)
    (tmp_path / "a.mkv").write_bytes(data)
    first, second = predicted("a.mkv", track=1), predicted("a.mkv", track=2)
    assert first["note"].tolist() == ["2 sound tracks, heard is number 1"]
    assert "digital silence" in second["note"][0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"channel": 0}, "No channel is number 0, expected 1 or more. Choose another."),
        ({"track": 0}, "No track is number 0, expected 1 or more. Choose another."),
        (
            {"channel": "left"},
            "Channel 'left' is none, expected mix, split or a number from 1 on. Choose one.",
        ),
    ],
)
def test_no_such_choice(options, sentence):
    with pytest.raises(AudioError) as error:
        select_sound(read_inputs("a.wav"), **options)
    assert str(error.value) == sentence


def test_turns_of_speakers_in_each_channel(tmp_path):
    write_call()
    (tmp_path / "t.csv").write_text("speaker,start,end\nann,0,1\nbob,1,2\n")
    table = predicted("call.wav", channel=SPLIT, speakers="t.csv")
    assert table["speaker"].tolist() == ["ann", "ann", "bob", "bob"]
    assert table["channel"].tolist() == ["1", "2", "1", "2"]
    assert len(predicted("call.wav", channel=2, speakers="t.csv")) == 2


def test_features_of_channels_are_kept_apart(tmp_path):
    from emocli.models.encoders import load_encoder
    from emocli.pipeline.features import pool_features, store_features

    write_call()
    inputs = select_sound(read_inputs("call.wav"), SPLIT)
    encoder = load_encoder("prosody")
    table = pool_features(inputs.utterances, encoder)
    assert table["feature.pitch"][0] != table["feature.pitch"][1]
    stored = store_features(inputs.utterances, encoder, tmp_path / "f")
    assert len(set(stored["features"].tolist())) == 2


# --- standard input --------------------------------------------------------------------------


def given(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


FORMS = {
    "flac": lambda: sound("FLAC", tone(2.0)),
    "wav": lambda: sound("WAV", tone(2.0)),
    "ogg": lambda: sound("OGG", tone(2.0)),
    "mp3": lambda: film("mp3", "libmp3lame", [tone(2.0)]),
    "mp4": lambda: film("mp4", "aac", [tone(2.0)]),
    "mkv": lambda: film("matroska", "aac", [tone(2.0)]),
    "adts": lambda: film("adts", "aac", [tone(2.0)]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_a_recording_on_standard_input(form, platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    given(monkeypatch, FORMS[form]())
    (one,) = read_inputs("-").utterances
    assert one.file == "-"
    for _ in range(2):  # by several readers
        assert sum(map(len, one.stream(16000))) == pytest.approx(32000, abs=2500)


def test_binary_that_is_no_recording(monkeypatch, rng):
    given(monkeypatch, rng.bytes(3000))
    with pytest.raises(AudioError) as error:
        read_inputs("-")
    assert str(error.value) == (
        "standard input: no audio format that libsndfile or FFmpeg knows, expected a recording. "
        "Convert it to WAV or FLAC."
    )


@pytest.mark.parametrize(
    ("data", "binary"),
    [
        (b"a.wav\nb.wav\n", False),
        ("żółć.wav\n".encode(), False),
        (b"caf\xe9.wav\0b.wav\0", False),
        ("file\na.wav\n".encode("utf-16"), False),
        (b"PAR1\x15\x04", False),
        (b"OggS\0\x02", True),
        (b"\x1a\x45\xdf\xa3", True),
        (b"#!AMR\n\x04", True),
    ],
)
def test_what_is_binary(data, binary):
    assert is_binary(data) == binary


def test_the_same_row_as_from_the_file(monkeypatch, tmp_path):
    data = sound("FLAC", tone(2.0))
    (tmp_path / "a.flac").write_bytes(data)
    given(monkeypatch, data)
    found, known = predicted("-"), predicted("a.flac")
    np.testing.assert_array_equal(found.probs, known.probs)
    assert found["end"].tolist() == [2.0]


@pytest.mark.parametrize(("text", "choice"), [("mix", "mix"), ("split", "split"), ("2", 2)])
def test_the_option_for_channels(text, choice):
    assert channel_of(text) == choice


@pytest.mark.parametrize("text", ["0", "left", "-1", "²", ""])
def test_an_option_for_channels_that_is_none(text):
    with pytest.raises(typer.BadParameter, match="is neither mix, split nor a number from 1 on"):
        channel_of(text)


def test_channels_on_the_command_line(tmp_path):
    from emocli.cli.app import app

    write_call()
    result = CliRunner().invoke(app, ["predict", "call.wav", "--channel", "split", "-f", "csv"])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].endswith(",channel")
    assert [line[-2:] for line in result.stdout.splitlines()[1:]] == [",1", ",2"]
