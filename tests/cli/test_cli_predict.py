"""`emocli predict` as a user meets it: streams, statuses, forms and pictures."""

import csv
import io
import json
import sys

import numpy as np
import pytest
import soundfile
from fakes import FakeRecognizer, FakeTextRecognizer, tone, write_tone
from typer.testing import CliRunner

from emocli.cli import render
from emocli.cli.app import app
from emocli.cli.cautions import Cautions, cautions
from emocli.cli.progress import clock, pace
from emocli.pipeline.predict import load_recognizers
from emocli.pipeline.progress import Progress
from emocli.table import PredictionTable


@pytest.fixture(autouse=True)
def recognizers(monkeypatch):
    """Fake models under the names ``builtin``, ``second``, ``words`` and ``moods``."""
    known = {
        "builtin": FakeRecognizer(),
        "second": FakeRecognizer(name="second"),
        "words": FakeTextRecognizer(),
        "moods": FakeRecognizer(name="moods", labels=(), dimensions=("arousal", "valence")),
    }

    def load(names, _options):
        return [known[name] for name in ([names] if isinstance(names, str) else names)]

    monkeypatch.setattr("emocli.cli.predict.load_recognizers", load)
    return known


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two tones and a text file that is named like a recording."""
    monkeypatch.chdir(tmp_path)
    write_tone(tmp_path / "takes" / "loud.wav", 1.5, amplitude=0.5)
    write_tone(tmp_path / "takes" / "soft.flac", 1.0, amplitude=0.05)
    return tmp_path / "takes"


def run(*arguments: str, **options):
    return CliRunner().invoke(app, ["predict", *arguments], **options)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_in_a_pipe_is_csv_and_silence(folder):
    done = run("takes")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = rows_of(done.stdout)
    assert [row["file"] for row in rows] == ["takes/loud.wav", "takes/soft.flac"]
    assert (rows[0]["start"], rows[0]["end"], rows[0]["model"]) == ("0.000", "1.500", "fake")
    for row in rows:
        probs = [float(row[f"p_{label}"]) for label in ("angry", "happy", "neutral", "sad")]
        assert sum(probs) == pytest.approx(1, abs=1e-6)
        entropy = -sum(p * np.log(p) for p in probs)
        assert float(row["entropy"]) == pytest.approx(entropy, abs=1e-6)


def test_a_broken_file_costs_no_other_its_row(folder):
    (folder / "broken.wav").write_text("this is not audio")
    done = run("takes", "-q")
    assert done.exit_code == 3
    rows = rows_of(done.stdout)
    assert [bool(row["label"]) for row in rows] == [False, True, True]
    assert rows[0]["file"] == "takes/broken.wav"
    assert rows[0]["p_angry"] == rows[0]["entropy"] == ""
    assert done.stderr == f"emocli: {rows[0]['error']}\n"
    assert rows[0]["error"].startswith("takes/broken.wav: ")


def test_a_table_for_people(folder):
    done = run("takes", "-f", "table", env={"COLUMNS": "120", "NO_COLOR": "1"})
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["file", "label", "probability", "entropy", "varentropy", "remarks"]
    assert lines[2].split()[:2] == ["takes/loud.wav", "angry"]
    assert lines[3].split()[:2] == ["takes/soft.flac", "angry"]
    assert lines[3].split()[-1] == "unsure"
    assert "fake  2 predictions" in done.stderr
    assert "mean entropy" in done.stderr
    assert "least certain: takes/soft.flac (1.3" in done.stderr


def test_what_failed_is_counted_for_people(folder):
    (folder / "broken.wav").write_text("this is not audio")
    done = run("takes", "-f", "table", env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert done.exit_code == 3
    assert done.stdout.splitlines()[2].split() == ["takes/broken.wav", "failed"]
    assert "1 of 3 rows have no prediction.\n" in done.stderr


def test_quiet_says_nothing(folder):
    assert run("takes", "-f", "table", "-q").stderr == ""


@pytest.mark.parametrize("piece_rows", [1, 2, 100])
def test_a_table_written_in_pieces_is_the_one_in_a_pipe(folder, monkeypatch, piece_rows):
    """Models with other columns, a recording that fails, columns of a manifest, notes."""
    monkeypatch.setattr("emocli.pipeline.scoring.PIECE_ROWS", piece_rows)
    (folder / "broken.wav").write_text("this is not audio")
    (folder / "list.csv").write_text(
        "file,text,who\nloud.wav,well,a\nbroken.wav,,\nsoft.flac,oh,b\nnone.wav,so,c\n"
    )
    models = [word for name in ("moods", "builtin", "words") for word in ("-m", name)]
    options = ("--abstain-below", "0.4")
    for form in ("csv", "tsv", "jsonl"):
        piped = run("takes/list.csv", *models, *options, "-f", form)
        kept = run("takes/list.csv", *models, *options, "-o", f"out.{form}")
        assert (piped.exit_code, kept.exit_code, kept.stdout) == (3, 3, "")
        assert kept.stderr == piped.stderr
        with open(f"out.{form}", encoding="utf-8", newline="") as stream:
            assert stream.read() == piped.stdout
        assert piped.stdout.count("\n") == 12 + (form != "jsonl")


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_form_in_a_file(folder, form):
    done = run("takes", "-o", f"out.{form}")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    from emocli.table_io import read_table

    assert read_table(f"out.{form}")["label"].tolist() == ["angry", "angry"]


def test_json_has_numbers_and_nulls(folder):
    (folder / "broken.wav").write_bytes(b"")
    first, second, _ = json.loads(run("takes", "-f", "json").stdout)
    assert first["p_angry"] is None
    assert first["end"] is None
    assert second["end"] == 1.5
    assert isinstance(second["p_angry"], float)


def test_windows_make_a_timeline(folder):
    write_tone(folder / "long.wav", 5.0)
    rows = rows_of(run("takes/long.wav", "--windows", "--window", "2", "--hop", "2").stdout)
    times = [(row["start"], row["end"]) for row in rows]
    assert times == [("0.000", "2.000"), ("2.000", "4.000"), ("4.000", "5.000")]
    assert all(float(row["movement"]) == pytest.approx(0, abs=1e-3) for row in rows)


def test_a_timeline_for_people_shows_times(folder):
    write_tone(folder / "long.wav", 5.0)
    done = run("takes/long.wav", "--windows", "--window", "2", "-f", "table")
    assert done.stdout.splitlines()[0].split()[:3] == ["file", "start", "end"]


def test_several_models_several_rows(folder):
    done = run("takes", "-m", "builtin", "-m", "second", "-m", "moods", "-f", "csv")
    assert [row["model"] for row in rows_of(done.stdout)][:3] == ["fake", "second", "moods"]
    shown = run("takes", "-m", "builtin", "-m", "moods", "-f", "table", env={"COLUMNS": "150"})
    assert "mean arousal" in shown.stderr
    assert "model" in shown.stdout.splitlines()[0]


def test_the_model_from_the_environment(folder):
    done = run("takes", env={"EMOCLI_MODEL": "second"})
    assert {row["model"] for row in rows_of(done.stdout)} == {"second"}


def test_texts_of_a_table_on_standard_input(folder):
    table = "file,text,speaker\nnowhere.wav,I love love it,anna\n"
    done = run("-m", "words", "-", input=table)
    assert rows_of(done.stdout)[0]["label"] == "happy"
    assert rows_of(done.stdout)[0]["speaker"] == "anna"


def test_prepared_texts_from_the_command_line(folder, monkeypatch):
    monkeypatch.setattr("emocli.cli.predict.load_recognizers", load_recognizers)
    table = "file,text,language\na.wav,He's hated it,en\nb.wav,Es war gut,de\n"
    done = run("-m", "builtin-sentiment", "-", "--prepare-text", input=table)
    first, second = rows_of(done.stdout)
    assert (first["text"], first["note"]) == ("He's hated it", "")
    assert first["model"] == second["model"] == "builtin-sentiment+prepared"
    assert second["note"] == "text not prepared: de is not English"
    monkeypatch.setitem(sys.modules, "simplemma", None)
    done = run("-m", "builtin-sentiment", "-", "--prepare-text", input=table)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: Preparing texts needs simplemma, which is not installed. Install it with pip "
        'install "emocli[lemmas]" or leave out --prepare-text.\n'
    )


def test_a_text_model_without_text_says_what_to_do(folder):
    done = run("takes", "-m", "words")
    assert done.exit_code == 3
    assert done.stderr.count("emocli: ") == 2


def test_a_folder_without_recordings(tmp_path):
    done = run(str(tmp_path))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"emocli: {tmp_path}: ")


def test_an_unknown_suffix_is_said_before_any_work(folder, recognizers):
    done = run("takes", "-o", "out.xyz")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: out.xyz: suffix .xyz names no table format, expected one of .csv, .tsv, .json, "
        ".jsonl, .parquet. Rename the file or add -f.\n"
    )
    assert recognizers["builtin"].calls == []


def test_a_table_that_names_the_recordings_is_not_overwritten(folder):
    (folder.parent / "m.csv").write_text("file,speaker\na.wav,anna\n")
    for path in ("m.csv", "./m.csv"):
        done = run("m.csv", "-o", path)
        assert (done.exit_code, done.stderr) == (
            1,
            f"emocli: {path} is both an input and the output, expected another output, for the "
            f"input would be lost. Choose another place with -o.\n",
        )
    assert (folder.parent / "m.csv").read_text() == "file,speaker\na.wav,anna\n"


def test_a_folder_is_no_table(folder):
    (folder.parent / "out").mkdir()
    done = run("takes", "-o", "out", "-f", "csv")
    assert (done.exit_code, done.stderr) == (
        1,
        "emocli: out is a folder, expected a file for the table. Give -o a file's name.\n",
    )


def test_a_batch_size_that_is_none(folder):
    done = run("takes", "--batch-size", "none")
    assert done.exit_code == 2
    assert "'none' is neither auto nor a whole" in done.stderr


def test_a_run_that_collapsed_is_said(folder):
    for index in range(12):
        write_tone(folder / f"{index}.wav", 0.5, amplitude=0.4)
    done = run("takes", "-q")
    assert done.exit_code == 0
    assert (
        "warning: fake gives 14 of 14 rows the same label, angry. Either they are alike, or the "
        "model does not fit these recordings." in done.stderr
    )


def test_a_near_uniform_run_is_said():
    rows = [{"file": str(i), "model": "m", "p_a": 0.5, "p_b": 0.5} for i in range(10)]
    rows[0] |= {"p_a": 0.4, "p_b": 0.6}
    found = cautions(PredictionTable.from_rows(rows))
    assert found == [
        "m is near uniform: the mean entropy is 100% of the largest possible. "
        "Its labels say next to nothing about these recordings."
    ]


def test_cautions_do_not_depend_on_the_pieces():
    rows = [
        {"file": str(i), "model": "mn"[i % 2], "p_a": 0.5 + shift, "p_b": 0.5 - shift}
        for i, shift in enumerate(np.linspace(0.002, 0.145, 30))
    ]
    rows[7] = {"file": "7", "model": "n", "error": "broken"}
    run = Cautions()
    for first in range(0, 30, 4):
        run.add(PredictionTable.from_rows(rows[first : first + 4]))
    assert run.n_failed == 1
    assert list(run.sentences()) == cautions(PredictionTable.from_rows(rows))
    assert list(run.sentences()) == [
        f"{model} {end}"
        for model, n_rows, even in (("m", 15, "98%"), ("n", 14, "98%"))
        for end in (
            f"gives {n_rows} of {n_rows} rows the same label, a. Either they are alike, or the "
            f"model does not fit these recordings.",
            f"is near uniform: the mean entropy is {even} of the largest possible. Its labels say "
            "next to nothing about these recordings.",
        )
    ]


def test_labels_that_were_left_out_are_not_one_label():
    rows = [{"file": str(i), "model": "m", "p_a": 0.9, "p_b": 0.1, "label": ""} for i in range(20)]
    assert cautions(PredictionTable.from_rows(rows)) == []
    kept = [{**row, "label": "a"} for row in rows[:10]]
    assert cautions(PredictionTable.from_rows(kept + rows[10:])) == [
        "m gives 10 of 10 rows the same label, a. Either they are alike, or the model does not "
        "fit these recordings."
    ]


def test_few_rows_are_no_reason_for_caution():
    rows = [{"file": str(i), "model": "m", "p_a": 1.0, "p_b": 0.0} for i in range(9)]
    assert cautions(PredictionTable.from_rows(rows)) == []


def test_names_cannot_drive_the_terminal(folder):
    soundfile.write(folder / "evil\x1b[2J[bold].wav", tone(0.5), 16000)
    done = run("takes", "-f", "table", env={"COLUMNS": "150"})
    assert "\x1b[2J" not in done.stdout
    assert "evil\\x1b[2J[bold].wav" in done.stdout


@pytest.mark.parametrize(
    ("share", "picture"),
    [(0, ""), (1, "██████████"), (0.5, "█████"), (0.06, "▋"), (2.0, "██████████")],
)
def test_bar(share, picture):
    assert render.bar(share).rstrip() == picture


def test_histogram():
    values = np.array([0.0, 0.1, 0.1, 0.1, 0.9, np.nan])
    assert render.histogram(values, 1.0, bins=4) == "█  ▂"
    assert render.histogram(np.array([]), 1.0, bins=3) == "   "


def test_pace():
    assert clock(75) == "1:15"
    assert clock(3675) == "1:01:15"
    assert pace(Progress(0, 10), 1.0) == ""
    assert pace(Progress(5, 10, 100.0, 200.0), 2.0) == "50 s/s, 0:02 left"
    assert pace(Progress(5, 10), 2.0) == "0:02 left"
    assert pace(Progress(10, 10, 200.0, 200.0), 2.0) == "100 s/s"


@pytest.mark.parametrize("way", [(), ("-o", "out.csv"), ("-f", "tsv")])
def test_formulas_are_guarded_on_request(folder, way):
    (folder.parent / "m.csv").write_text("file,text\ntakes/loud.wav,=1+1\n", encoding="utf-8")
    done = run("m.csv", *way, "--csv-safe")
    text = (folder.parent / "out.csv").read_text() if "-o" in way else done.stdout
    assert "'=1+1" in text
    assert ",=1+1," in run("m.csv").stdout
    assert '"text": "=1+1"' in run("m.csv", "-f", "jsonl", "--csv-safe").stdout


def test_labels_of_interest(folder):
    (folder / "broken.wav").write_text("this is not audio")
    done = run("takes", "--labels", "sad,angry")
    assert done.exit_code == 3
    rows = rows_of(done.stdout)
    assert [name for name in rows[0] if name.startswith("p_")] == ["p_angry", "p_sad"]
    assert rows[0]["error"]
    assert float(rows[1]["p_angry"]) + float(rows[1]["p_sad"]) == pytest.approx(1)
    assert rows[1]["note"].startswith("labels sad, angry only, ")


@pytest.mark.parametrize("more", [[], ["-o", "t.csv"], ["--windows", "-o", "w.csv"]])
def test_labels_that_the_model_lacks_are_told_before_any_work(folder, recognizers, more):
    done = run("takes", "--labels", "sad,bored", *more)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: --labels names sad, bored, expected two or more of angry, happy, neutral, sad. "
        "Choose labels that the model has.\n"
    )
    assert not recognizers["builtin"].calls


def test_a_reason_that_many_share_is_said_a_few_times_and_counted(folder):
    for number in range(7):
        (folder / f"broken{number}.wav").write_text("this is not audio")
    (folder / "empty.wav").write_bytes(b"")
    done = run("takes", "-m", "builtin", "-m", "second")
    assert done.exit_code == 3
    told = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "takes/broken0.wav",
        "takes/broken1.wav",
        "takes/broken2.wav",
        "takes/empty.wav",
        "4 more files",
    ]
    assert told[-1] == (
        "emocli: 4 more files: holds text, expected audio. "
        "Check how the file was made or downloaded."
    )


def test_a_hint_where_minutes_get_one_label(folder):
    write_tone(folder / "long.wav", 61.0)
    hint = (
        "1 of the recordings last a minute or more and have one label each; --windows shows how "
        "the emotion moves.\n"
    )
    assert run("takes").stderr == hint
    assert run("takes", "--windows").stderr == ""
    assert run("takes", "-q").stderr == ""
