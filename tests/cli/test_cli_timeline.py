"""Timelines of `emocli predict`: smoothing, segments, speakers, label tracks, strips."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import FakeRecognizer, FakeTextRecognizer, sounding, tone
from rich.text import Text
from typer.testing import CliRunner

from emocli.calibration.disagreement import with_movement
from emocli.cli.app import app
from emocli.cli.timeline_view import movement_summary, strip, timeline_strips
from emocli.label_tracks import Mark
from emocli.pipeline.predict import predict
from emocli.pipeline.voice import VoiceActivity
from emocli.table import PredictionTable


@pytest.fixture(autouse=True)
def recognizers(monkeypatch):
    known = {
        "builtin": FakeRecognizer(),
        "second": FakeRecognizer(name="second"),
        "words": FakeTextRecognizer(),
        "moods": FakeRecognizer(name="moods", labels=(), dimensions=("arousal", "valence")),
    }

    def load(names, _options):
        return [known[name] for name in ([names] if isinstance(names, str) else names)]

    monkeypatch.setattr("emocli.cli.predict.load_recognizers", load)
    monkeypatch.setattr("emocli.pipeline.predict.load_recognizers", load)
    return known


@pytest.fixture
def talk(tmp_path, monkeypatch):
    """``talk.wav``: 2 s loud, 2 s faint, 2 s loud, 2 s of silence; the faint windows are sad."""
    monkeypatch.chdir(tmp_path)
    loud, faint = tone(2.0, 200, amplitude=0.5), tone(2.0, 2000, amplitude=0.02)
    samples = np.concatenate([loud, faint, loud, np.zeros(32000, np.float32)])
    soundfile.write("talk.wav", samples, 16000, subtype="FLOAT")
    return "talk.wav"


WINDOWS = ("--windows", "--window", "1")


def run(*arguments: str, **options):
    return CliRunner().invoke(app, ["predict", *arguments], **options)


def rows_of(done) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(done.stdout)))


def times(done):
    return [(float(row["start"]), float(row["end"]), row["label"]) for row in rows_of(done)]


def test_segments_of_windows(talk):
    labels = [label for *_, label in times(run(talk, *WINDOWS))]
    assert labels == ["angry", "angry", "happy", "happy", "angry", "angry", "", ""]
    done = run(talk, "--segments", "--window", "1")
    assert (done.exit_code, done.stderr) == (0, "")
    silence = [(6, 7, ""), (7, 8, "")]
    assert times(done) == [(0, 2, "angry"), (2, 4, "happy"), (4, 6, "angry"), *silence]
    done = run(talk, "--segments", "--window", "1", "--min-seconds", "3")
    # Short ones go into a neighbour, the shortest and earliest first.
    assert times(done) == [(0, 6, "happy"), *silence]
    probs = np.array([float(row["p_angry"]) for row in rows_of(run(talk, *WINDOWS))])
    assert float(rows_of(done)[0]["p_angry"]) == pytest.approx(probs[:6].mean())


def test_smoothing(talk):
    plain = rows_of(run(talk, *WINDOWS))
    median = rows_of(run(talk, *WINDOWS, "--smooth", "median:7"))
    assert [row["label"] for row in median] == ["angry"] * 6 + [""] * 2
    assert [row["p_angry"] for row in median] != [row["p_angry"] for row in plain]
    viterbi = rows_of(run(talk, *WINDOWS, "--smooth", "viterbi:inf"))
    assert [row["label"] for row in viterbi] == ["angry"] * 6 + [""] * 2
    for name in ("p_angry", "p_sad", "entropy", "margin", "start"):
        assert [row[name] for row in viterbi] == [row[name] for row in plain]
    assert rows_of(run(talk, *WINDOWS, "--smooth", "viterbi:0")) == plain


def test_voice_activity_says_what_it_left_out(talk, monkeypatch):
    monkeypatch.setattr("emocli.cli.timeline.VoiceActivity", lambda: VoiceActivity(sounding))
    done = run(talk, *WINDOWS, "--vad")
    assert times(done)[-1][1] == pytest.approx(6.1, abs=0.04)
    assert done.stderr == ("Voice activity: 1.9 of 8.0 s without speech were left out.\n")
    assert "talk.wav: 1.9 of 8.0 s without speech were left out." in run(talk, "--vad", "-v").stderr
    assert run(talk, "--vad", "-q").stderr == ""


def test_speakers(talk):
    Path("t.rttm").write_text(
        "SPEAKER talk 1 0.5 1.5 <NA> <NA> anna <NA> <NA>\n"
        "SPEAKER talk 1 1.5 2.5 <NA> <NA> bob <NA> <NA>\n"
        "SPEAKER talk 1 7 9 <NA> <NA> anna <NA> <NA>\n"
        "SPEAKER talk 1 9 1 <NA> <NA> eve <NA> <NA>\n"
    )
    done = run(talk, "--speakers", "t.rttm")
    rows = rows_of(done)
    assert done.exit_code == 3
    assert [(row["speaker"], row["start"], row["end"]) for row in rows] == [
        ("anna", "0.500", "2.000"),
        ("bob", "1.500", "4.000"),
        ("anna", "7.000", "16.000"),
        ("eve", "9.000", "10.000"),
    ]
    assert [row["note"] for row in rows] == [
        "overlaps bob (0.50 s)",
        "overlaps anna (0.50 s)",
        "overlaps eve (1.00 s); digital silence; recording ends at 8.000 s, within the segment; "
        "no label: nothing to hear",
        "overlaps anna (1.00 s)",
    ]
    assert rows[3]["error"] == (
        "talk.wav: segment starts at 9.000 s, expected before the recording's end at 8.000 s. "
        "Correct start and end."
    )
    assert done.stderr == f"emocli: {rows[3]['error']}\n"


def test_recordings_without_turns_are_named(talk):
    soundfile.write("other.wav", tone(1.0), 16000)
    Path("t.csv").write_text("file,speaker,start,end\ntalk.wav,anna,0,1\n")
    done = run(talk, "other.wav", "--speakers", "t.csv", "-q")
    assert [row["file"] for row in rows_of(done)] == ["talk.wav"]
    assert done.stderr == "warning: t.csv: no turns of other.wav, left out.\n"


def test_turns_of_other_recordings(talk):
    Path("t.csv").write_text("file,speaker,start,end\nb.wav,anna,0,1\n")
    done = run(talk, "--speakers", "t.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: t.csv: 1 of 1 files are not among the recordings: b.wav. Give these recordings "
        "too, or remove their turns.\n"
    )


@pytest.mark.parametrize(
    ("form", "first", "suffix"),
    [
        ("rttm", "SPEAKER talk 1 0.000 2.000 <NA> <NA> angry ", "rttm"),
        ("audacity", "0.000\t2.000\tangry ", "txt"),
        ("textgrid", 'File type = "ooTextFile"', "TextGrid"),
        ("srt", "1\n00:00:00,000 --> 00:00:02,000\nangry ", "srt"),
    ],
)
def test_label_tracks(talk, form, first, suffix):
    done = run(talk, "--segments", "--window", "1", "-f", form)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(first)
    text = done.stdout
    arguments = [talk, "--segments", "--window", "1", "-o", f"out.{suffix}"]
    done = run(*arguments, *(["-f", form] if form == "audacity" else []))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert Path(f"out.{suffix}").read_text() == text


def test_tracks_of_several_recordings_mirror_their_folders(talk):
    for name in ("x/a.wav", "y/b.wav"):
        Path(name).parent.mkdir()
        soundfile.write(name, tone(1.0), 16000)
    Path("y/broken.wav").write_bytes(b"")
    done = run("x", "y", "-f", "textgrid", "-o", "out")
    assert done.exit_code == 3
    found = sorted(str(path) for path in Path("out").rglob("*.*"))
    assert found == ["out/x/a.TextGrid", "out/y/b.TextGrid"]


def test_tracks_of_several_recordings_need_a_folder(talk):
    soundfile.write("b.wav", tone(1.0), 16000)
    done = run(talk, "b.wav", "-f", "srt", env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "-f srt makes one file for each recording and there are 2; add -o DIR" in done.stderr
    Path("file").touch()
    done = run(talk, "b.wav", "-f", "srt", "-o", "file")
    assert done.stderr == (
        "emocli: file is a file, expected a folder for the timelines of 2 recordings. "
        "Give -o the name of a folder.\n"
    )
    done = run(talk, "-f", "srt", "-o", "file/out/")
    assert done.stderr == (
        "emocli: file/out/: cannot be written (Not a directory), expected a folder that exists "
        "and may be written to. Make the folder or choose another place with -o.\n"
    )


def test_tracks_in_a_folder_that_cannot_be_made(talk, monkeypatch):
    def refuse(folder, **options):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert run(talk, "-f", "srt", "-o", "out/a.srt").stderr == (
        "emocli: out: cannot be made (Permission denied), expected a folder for timelines. Give -o "
        "another folder.\n"
    )


def test_tracks_of_several_models(talk):
    done = run(talk, "-m", "builtin", "-m", "second", "-f", "srt", env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "-f srt has room for one model and there are 2; give one, or -f textgrid" in done.stderr
    done = run(talk, "-m", "builtin", "-m", "second", "-f", "textgrid")
    assert [line.strip() for line in done.stdout.splitlines() if "name" in line] == [
        'name = "fake"',
        'name = "second"',
    ]


def test_tracks_need_labels(talk):
    done = run(talk, "-m", "moods", "-f", "srt")
    assert done.stderr == (
        "emocli: moods gives arousal, valence and no labels, expected a model of emotions for "
        "-f srt. Choose another with -m, or a table with -f.\n"
    )


def test_tracks_need_times(talk):
    table = "file,text\nnowhere.wav,I love it\n"
    done = run("-m", "words", "-f", "srt", "-", input=table)
    assert done.stderr == (
        "emocli: nowhere.wav: predictions without start and end, expected times for -f srt. "
        "Give a table with start and end, or a model of speech.\n"
    )


def test_subtitles_with_emotion_from_a_transcript(talk):
    table = "file,start,end,text\na.wav,0,2,I love it\na.wav,2,3,I hate it\n"
    done = run("-m", "words", "-f", "srt", "-", input=table)
    lines = done.stdout.splitlines()
    assert lines[1:3] == ["00:00:00,000 --> 00:00:02,000", "[happy 59%] I love it"]
    assert lines[6] == "[angry 59%] I hate it"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--smooth", "median:3"), "there are no windows to smooth; add --windows or --segments"),
        (("--window", "0"), "The window is 0 s, expected a number of seconds from 0.1 on."),
        (("--window", "2", "--hop", "3"), "The hop is 3 s, expected from 0.01 s to the window of"),
        (("--min-seconds", "1"), "there are no segments to be that long; add --segments"),
        (
            ("--windows", "--smooth", "median:2"),
            "The smoothing is 'median:2', expected median:N with an odd number of windows under "
            "100000 or viterbi:COST with nats of at least 0. Give for example median:3 or "
            "viterbi:1.",
        ),
    ],
)
def test_usage(talk, arguments, sentence):
    done = run(talk, *arguments, env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_a_strip_on_the_terminal(talk):
    done = run(talk, *WINDOWS, "-f", "table", env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert done.stdout.splitlines()[0].split()[:3] == ["file", "start", "end"]
    drawn = done.stderr.splitlines()[0]
    assert drawn.split() == ["talk.wav", "▏angry", "▏happy", "▏angry", "·" * 12, "0:00-0:08"]
    assert drawn.index("▏happy") - drawn.index("▏angry") == 12  # a quarter of 48 cells
    assert "fake  emotion moves by 0." in done.stderr
    quiet = run(talk, *WINDOWS, "-f", "table", "-q", env={"COLUMNS": "120"})
    assert "talk.wav  ▏" not in quiet.stderr


def test_strips():
    assert strip([Mark(0, 1, "sad"), Mark(1, 4, "happy")], 4) == Text.assemble(
        ("s", "reverse blue"), ("▏ha", "reverse yellow")
    )
    table = PredictionTable.from_rows(
        [
            {"file": f, "start": i, "end": i + 1, "model": "m", "p_a": p, "p_b": 1 - p}
            for f, i, p in [("x\x1b", 0, 1.0), ("x\x1b", 1, 0.0), ("y", 0, 1.0), ("y", 1, 1.0)]
        ]
    )
    assert timeline_strips(table).row_count == 2
    (line,) = movement_summary(with_movement(table)).renderables
    assert line.plain == (
        "m  emotion moves by 0.347 nats from window to window, most in x\\x1b (0.693)"
    )
    assert timeline_strips(table.select(np.array([0]))) is None
    assert movement_summary(with_movement(table.select(np.array([0])))) is None


def test_the_library_does_the_same(talk, monkeypatch):
    monkeypatch.setattr("emocli.pipeline.predict.VoiceActivity", lambda: VoiceActivity(sounding))
    Path("t.csv").write_text("speaker,start,end\nanna,0,4\nbob,4,8\n")
    said = []
    table = predict(
        talk,
        segments=True,
        window_seconds=1.0,
        smooth="viterbi:0",
        min_seconds=1.0,
        vad=True,
        speakers="t.csv",
        remark=said.append,
    )
    assert table["speaker"].tolist() == ["anna", "anna", "bob"]
    assert table["label"].tolist() == ["angry", "happy", "angry"]
    assert table["end"][-1] == pytest.approx(6.1, abs=0.04)
    assert len(said) == 1
    assert said[0].endswith("1.9 of 8.0 s without speech were left out.")


@pytest.mark.parametrize("what", ["vad", "segment", "gone"])
def test_a_textgrid_ends_with_the_sound(talk, what):
    """Praat opens a TextGrid with the sound of the same length."""
    Path("some.csv").write_text(f"file,start,end\n{talk},1,3\n")
    if what == "gone":
        Path("some.csv").write_text("file,start,end,text,label\ngone.wav,1,3,so,sad\n")
        done = run("some.csv", "-m", "words", "-f", "textgrid")
        assert done.stdout.splitlines()[4] == "xmax = 3.000 "
        return
    given = (talk, "--vad", "--segments") if what == "vad" else ("some.csv",)
    done = run(*given, "-f", "textgrid")
    assert done.stdout.splitlines()[3:5] == ["xmin = 0 ", "xmax = 8.000 "]
