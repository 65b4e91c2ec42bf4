"""``emocli transcribe`` at the command line."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeTextRecognizer, write_tone
from typer.testing import CliRunner

from emocli.asr.transcriber import Transcriber
from emocli.cli.app import app
from emocli.cli.transcribe import subtitle_places, transcribe
from emocli.errors import TableError
from emocli.models.protocol import ModelCard
from emocli.transcript import Segment, Transcript

SAID = Transcript(
    "en",
    (
        Segment(0.0, 0.4, " Hello, & welcome.", -0.25, 0.05, 1.1, 4),
        Segment(0.4, 0.9, " Good bye.", -0.25, 0.05, 1.1, 3),
    ),
)


class FakeTranscriber(Transcriber):
    card = ModelCard(name="fake", revision="abc")
    languages = ("en", "pl")

    def __init__(self):
        self.options = []

    def check(self, options):
        self.options.append(options)

    def transcribe(self, waveform, options, on_window=None):
        return SAID


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """A model that says the same of every recording, under every name."""
    made = FakeTranscriber()
    monkeypatch.setattr("emocli.cli.transcribe.load_transcriber", lambda *_, **__: made)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "takes" / "a.wav", 1.0)
    write_tone(tmp_path / "takes" / "b" / "a.wav", 1.0)
    return tmp_path / "takes"


def run(*arguments, **options):
    return CliRunner().invoke(app, ["transcribe", *arguments], env={"COLUMNS": "200"}, **options)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("piece_rows", [1, 2, 100])
@pytest.mark.parametrize("options", [("--no-vad",), ("--no-vad", "--segments")])
def test_a_table_written_in_pieces_is_the_one_in_a_pipe(folder, monkeypatch, piece_rows, options):
    monkeypatch.setattr("emocli.pipeline.scoring.PIECE_ROWS", piece_rows)
    (folder / "broken.wav").write_text("this is not audio")
    piped = run("takes", *options)
    kept = run("takes", *options, "-o", "out.csv")
    assert (piped.exit_code, kept.exit_code, kept.stdout) == (3, 3, "")
    assert kept.stderr == piped.stderr
    with open("out.csv", encoding="utf-8", newline="") as stream:
        assert stream.read() == piped.stdout
    assert len(rows_of(piped.stdout)) == (5 if "--segments" in options else 3)


def test_a_recording_that_is_named_twice_is_taken_once(folder):
    done = run("takes/a.wav", "takes/a.wav")
    assert (done.exit_code, len(rows_of(done.stdout))) == (0, 1)
    assert done.stderr == "Named more than once and taken once: takes/a.wav.\n"


def test_a_folder_in_a_pipe(folder):
    done = run("takes", "--no-vad")
    assert (done.exit_code, done.stderr) == (0, "")
    first, second = rows_of(done.stdout)
    assert (first["file"], second["file"]) == ("takes/a.wav", "takes/b/a.wav")
    assert (first["text"], first["language"]) == ("Hello, & welcome. Good bye.", "en")
    assert (first["start"], first["end"], first["model"]) == ("0.000", "1.000", "fake@abc")
    assert float(first["avg_logprob"]) == -0.25


def test_segments(folder):
    rows = rows_of(run("takes/a.wav", "--segments", "--no-vad").stdout)
    assert [(row["start"], row["end"], row["text"]) for row in rows] == [
        ("0.000", "0.400", "Hello, & welcome."),
        ("0.400", "0.900", "Good bye."),
    ]


def test_a_table_for_people(folder):
    done = run("takes", "-f", "table", "--no-vad")
    assert "Hello, & welcome. Good bye." in done.stdout


def test_options_reach_the_model(folder, fake):
    run(
        *("takes", "--no-vad", "--language", "Polish", "--task", "translate"),
        *("--initial-prompt", "Ola", "--beam-size", "5", "--temperature", "0,0.5"),
        *("--word-timestamps", "--no-condition-on-previous-text"),
    )
    (options,) = fake.options
    assert (options.language, options.task, options.initial_prompt) == ("pl", "translate", "Ola")
    assert (options.beam_size, options.temperatures) == (5, (0.0, 0.5))
    assert options.word_timestamps
    assert not options.condition_on_previous_text


def test_the_machine_is_asked_for(folder, monkeypatch):
    asked = []

    def load(name, machine, **_):
        asked.append((name, machine.backend, machine.device, machine.dtype))
        return FakeTranscriber()

    monkeypatch.setattr("emocli.cli.transcribe.load_transcriber", load)
    run("takes", "--no-vad")
    machine = ("--backend", "faster-whisper", "--dtype", "int8", "--device", "cpu")
    run("takes", "--no-vad", "-m", "small", *machine)
    assert asked == [
        ("base", "auto", "auto", "auto"),
        ("small", "faster-whisper", "cpu", "int8"),
    ]
    assert run("takes", "--backend", "whisper.cpp").exit_code == 2


def test_defaults_are_those_of_the_reference(folder, fake):
    run("takes", "--no-vad")
    (options,) = fake.options
    assert options.temperatures == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert (options.language, options.beam_size) == (None, None)
    assert options.condition_on_previous_text


def test_a_broken_file_costs_no_other_its_row(folder):
    (folder / "broken.wav").touch()
    done = run("takes", "--no-vad")
    assert done.exit_code == 3
    by_file = {row["file"]: row for row in rows_of(done.stdout)}
    error = by_file.pop("takes/broken.wav")["error"]
    assert done.stderr == f"emocli: {error}\n"
    assert error.startswith("takes/broken.wav: ")
    assert [row["text"] for row in by_file.values()] == ["Hello, & welcome. Good bye."] * 2


def test_subtitles_of_one_recording(folder):
    done = run("takes/a.wav", "-f", "srt", "--no-vad")
    assert done.stdout == (
        "1\n00:00:00,000 --> 00:00:00,400\nHello, & welcome.\n\n"
        "2\n00:00:00,400 --> 00:00:00,900\nGood bye.\n\n"
    )
    done = run("takes/a.wav", "-o", "out.vtt", "--no-vad")
    assert (done.exit_code, done.stdout) == (0, "")
    assert Path("out.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.400\nHello,")
    assert run("takes/a.wav", "-f", "txt", "--no-vad").stdout == ("Hello, & welcome.\nGood bye.\n")


def test_subtitles_of_several_recordings_mirror_their_folders(folder):
    done = run("takes", "-f", "srt", "-o", "subs", "--no-vad")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    found = sorted(str(path) for path in Path("subs").rglob("*") if path.is_file())
    assert found == ["subs/a.srt", "subs/b/a.srt"]


def test_a_recording_that_fails_has_no_subtitles(folder):
    (folder / "broken.wav").touch()
    done = run("takes", "-f", "txt", "-o", "subs", "--no-vad")
    assert done.exit_code == 3
    assert not Path("subs/broken.txt").exists()
    assert Path("subs/a.txt").exists()


def test_segments_of_a_manifest_share_their_subtitles(folder):
    Path("list.csv").write_text(
        "file,start,end\ntakes/b/a.wav,0.5,1\ntakes/b/a.wav,0,0.5\n", encoding="utf-8"
    )
    done = run("list.csv", "-f", "txt", "--no-vad")
    assert done.stdout.splitlines()[0] == "Hello, & welcome."
    assert done.exit_code == 0


def test_subtitles_of_several_recordings_need_a_folder(folder):
    done = run("takes", "-f", "srt", "--no-vad")
    assert done.exit_code == 2
    assert "-f srt makes one file for each recording and there are 2; add -o DIR" in done.stderr
    Path("file").touch()
    done = run("takes", "-f", "srt", "-o", "file", "--no-vad")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: file is a file, expected a folder for the subtitles of 2 recordings. "
        "Give -o the name of a folder.\n"
    )


def test_a_folder_that_cannot_be_made(folder):
    Path("file").touch()
    done = run("takes", "-f", "srt", "-o", "file/subs", "--no-vad")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: file/subs: cannot be written (Not a directory), expected a folder that exists "
        "and may be written to. Make the folder or choose another place with -o.\n"
    )


def test_places_of_subtitles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert subtitle_places(["x/a.wav", "x/a.flac", "x/A.ogg", "y/b.wav"], "out", "srt") == {
        "x/a.wav": "out/x/a.wav.srt",
        "x/a.flac": "out/x/a.flac.srt",
        "x/A.ogg": "out/x/A.ogg.srt",
        "y/b.wav": "out/y/b.srt",
    }
    assert subtitle_places(["../z/a.wav", "b.wav"], "out", "vtt") == {
        "../z/a.wav": "out/z/a.vtt",
        "b.wav": f"out/{tmp_path.name}/b.vtt",
    }
    assert subtitle_places(["x/a.wav"], "out/", "txt") == {"x/a.wav": "out/a.txt"}
    assert subtitle_places(["x/a.wav"], "a.txt", "txt") == {"x/a.wav": "a.txt"}
    assert subtitle_places(["x/a.wav"], str(tmp_path), "txt") == {"x/a.wav": f"{tmp_path}/a.txt"}
    (tmp_path / "file").touch()
    with pytest.raises(TableError):
        subtitle_places(["x/a.wav"], "file/", "txt") and subtitle_places(["a", "b"], "file", "txt")


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--language", "polsh", "Did you mean polish or welsh?"),
        ("--temperature", "hot", "'hot' is not a list of numbers from 0 to 1"),
        ("--temperature", "0,2", "'0,2' is not a list of numbers from 0 to 1"),
        ("--beam-size", "0", "Invalid value for"),
    ],
)
def test_usage(folder, option, value, sentence):
    done = run("takes", option, value)
    assert done.exit_code == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert sentence in said


def test_transcripts_go_on_to_a_text_model(folder, monkeypatch):
    Path("takes/broken.wav").touch()
    piped = run("takes", "--no-vad").stdout
    monkeypatch.setattr(
        "emocli.cli.predict.load_recognizers", lambda *_, **__: [FakeTextRecognizer()]
    )
    done = CliRunner().invoke(app, ["predict", "-m", "words", "-"], input=piped)
    assert done.exit_code == 3
    rows = {row["file"]: row for row in rows_of(done.stdout)}
    assert rows["takes/a.wav"]["text"] == "Hello, & welcome. Good bye."
    assert rows["takes/a.wav"]["language"] == "en"
    assert rows["takes/a.wav"]["label"]
    assert rows["takes/broken.wav"]["error"]


def test_a_model_that_is_nowhere_exits_with_4(tmp_path):
    write_tone(tmp_path / "a.wav", 0.5)
    done = subprocess.run(
        [sys.executable, "-m", "emocli", "transcribe", "a.wav", "-m", "tiny", "--offline"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")},
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"emocli: Whisper tiny is not on this machine ({tmp_path}/whisper/tiny.pt and "
        f"{tmp_path}/hub/models--openai--whisper-tiny are not there) and --offline forbids the "
        f"network. Fetch it with `emocli models pull hf:openai/whisper-tiny` where there is a "
        f"network, or put openai-whisper's tiny.pt into {tmp_path}/whisper.\n"
    )


def test_the_command_has_help():
    assert "emocli transcribe recordings/" in (transcribe.__doc__ or "")
    done = run("--help")
    assert done.exit_code == 0
    assert "--initial-prompt" in done.stdout


def test_transcripts_are_kept_and_not_made_again(folder, monkeypatch):
    whole = run("takes", "-o", "out.csv", "--no-vad")
    first = Path("out.csv").read_bytes()
    monkeypatch.setattr(
        "emocli.pipeline.transcribe._transcribe", lambda *_: pytest.fail("heard again")
    )
    again = run("takes", "-o", "out.csv", "--no-vad")
    assert (whole.exit_code, again.exit_code) == (0, 0)
    assert again.stderr == "out.csv: 2 results are from before; --overwrite makes them anew.\n"
    assert Path("out.csv").read_bytes() == first


def test_streamed_transcripts_are_those_of_the_table(folder):
    assert run("takes", "-o", "out.csv", "--no-vad", "--segments").exit_code == 0
    done = run("takes", "-f", "csv", "--no-vad", "--segments")
    assert done.stdout == Path("out.csv").read_text()
