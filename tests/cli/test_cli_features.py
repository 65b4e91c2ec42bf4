"""`emocli features` as a user meets it."""

import csv
import io

import checkpoints
import numpy as np
import pyarrow.parquet
import pytest
from fakes import write_tone
from safetensors.numpy import load_file
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.models.encoders import load_encoder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "takes" / "loud.wav", 1.5, amplitude=0.5)
    write_tone(tmp_path / "takes" / "soft.flac", 1.0, amplitude=0.05)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["features", *arguments], env={"COLUMNS": "100"})


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_sequences_of_recordings(folder):
    done = run("takes", "-o", "out")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == (
        "2 sequences of logmel layer last (80 values, 50 a second) are in out, see files.csv.\n"
    )
    rows = rows_of((folder / "out/files.csv").read_text())
    assert [row["file"] for row in rows] == ["takes/loud.wav", "takes/soft.flac"]
    assert [row["n_frames"] for row in rows] == ["75", "50"]
    assert {row["model"] for row in rows} == {"logmel:last"}
    frames = load_file(folder / "out" / rows[1]["features"])["frames"]
    assert (frames.shape, frames.dtype) == ((50, 80), np.float32)


def test_a_second_run_adds_and_another_encoder_is_refused(folder):
    assert run("takes/loud.wav", "-o", "out", "-q", "--storage", "fp16").exit_code == 0
    assert run("takes", "-o", "out", "-q", "--storage", "fp16").stderr == ""
    assert len(list((folder / "out").glob("??/*.safetensors"))) == 2
    done = run("takes", "-e", "prosody", "-o", "out", "--storage", "fp16")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: out holds features of logmel layer last (80 values, 50 a second), expected "
        "prosody layer last (8 values, 100 a second). Features of different encoders, layers or "
        "settings are not mixed; choose another folder.\n"
    )


def test_a_broken_file_costs_no_other_its_features(folder):
    (folder / "takes/broken.wav").write_text("this is not audio")
    done = run("takes", "-o", "out", "-q")
    assert done.exit_code == 3
    rows = rows_of((folder / "out/files.csv").read_text())
    assert [bool(row["features"]) for row in rows] == [False, True, True]
    assert done.stderr == f"emocli: {rows[0]['error']}\n"


def test_a_recording_that_is_named_twice_is_taken_once(folder):
    done = run("takes/loud.wav", "takes/loud.wav", "--pool", "mean")
    assert (done.exit_code, len(rows_of(done.stdout))) == (0, 1)
    assert done.stderr == "Named more than once and taken once: takes/loud.wav.\n"


def test_vectors_in_a_pipe(folder):
    done = run("takes", "-e", "prosody", "--pool", "mean-sd")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = rows_of(done.stdout)
    values = ("pitch", "voiced", "periodicity", "level")
    values = [*values, *(f"{value}_slope" for value in values)]
    names = [f"feature.{value}_{kind}" for kind in ("mean", "sd") for value in values]
    assert [name for name in rows[0] if name.startswith("feature.")] == names
    found = np.array([[float(row[name]) for name in names] for row in rows])
    import soundfile

    encoder = load_encoder("prosody")
    waveform, rate = soundfile.read(folder / "takes/loud.wav", dtype="float32")
    (frames,) = encoder.encode([waveform])
    assert rate == 16000
    wanted = np.concatenate([frames.mean(0), frames.std(0)])
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5, atol=1e-6)


def test_vectors_as_parquet_are_numbers(folder):
    assert run("takes", "--pool", "mean", "-o", "f.parquet", "-q").exit_code == 0
    table = pyarrow.parquet.read_table(folder / "f.parquet")
    assert table.num_rows == 2
    assert str(table.schema.field("feature.mel79").type) == "double"
    assert "feature.mel80" not in table.column_names


def test_vectors_for_people(folder):
    done = run("takes", "--pool", "mean", "-f", "table")
    assert done.exit_code == 0
    assert "takes/soft.flac" in done.stdout
    assert "80 values each; -o FILE writes them all" in done.stdout
    assert "feature.mel5" not in done.stdout


def test_a_layer_of_a_checkpoint(folder):
    network = checkpoints.speech_network("hubert")
    checkpoints.save_network(folder / "net", network)
    done = run("takes", "-e", "net:1", "-o", "out", "--device", "cpu", "-v", "--offline")
    assert done.exit_code == 0
    encoder = load_encoder("net", layer=1, device="cpu")
    assert done.stderr.startswith(f"{encoder.identity} is loaded.\n")
    rows = rows_of((folder / "out/files.csv").read_text())
    assert rows[0]["model"] == f"net@{encoder.identity.revision[:12]}:1"
    import soundfile

    waveform, _ = soundfile.read(folder / "takes/soft.flac", dtype="float32")
    frames = load_file(folder / "out" / rows[1]["features"])["frames"]
    np.testing.assert_allclose(frames, encoder.encode([waveform])[0], atol=1e-5)


def test_transcripts(folder):
    (folder / "takes/loud.txt").write_text("so happy today")
    done = run("takes", "-e", "words", "-o", "out", "-q")
    assert done.exit_code == 3
    rows = rows_of((folder / "out/files.csv").read_text())
    assert [row["n_frames"] for row in rows] == ["3", ""]
    assert done.stderr == f"emocli: {rows[1]['error']}\n"
    assert rows[1]["error"].startswith("takes/soft.flac: no transcript, expected a column text")


def test_cut_transcripts_are_told(folder):
    network = checkpoints.text_network("roberta")
    checkpoints.save_tokenizer(checkpoints.save_network(folder / "net", network, {}, None))
    (folder / "t.csv").write_text("file,text\na.wav,i am not sad !\nb.wav,sad\n")
    done = run("t.csv", "-e", "net", "--max-tokens", "4", "-o", "out", "--device", "cpu", "-q")
    assert done.exit_code == 0
    assert done.stderr == (
        "warning: 1 of 2 texts were cut, the column note says where. --max-tokens reads more if "
        "the encoder does.\n"
    )
    rows = rows_of((folder / "out/files.csv").read_text())
    assert [row["note"] for row in rows] == ["text cut to 4 of 7 tokens", ""]


def test_sequences_need_a_folder(folder):
    done = run("takes")
    assert done.exit_code == 2
    assert "sequences need a folder; give one, or add --pool" in done.stderr


def test_a_folder_of_sequences_is_not_named_like_a_table():
    done = run("a.wav", "--encoder", "logmel", "-o", "f.csv")
    assert done.exit_code == 2
    assert "f.csv is a table's name, and only --pool makes one" in done.stderr
