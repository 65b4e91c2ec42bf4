"""In every command: no output takes the place of an input or of somebody else's file."""

import os

import pandas as pd
import pytest
from fakes import write_tone
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.errors import TableError
from emocli.pipeline.inputs import read_inputs

PREDICTIONS = "file,model,label,p_happy,p_sad\na.wav,{m},sad,0.25,0.75\nb.wav,{m},happy,0.6,0.4\n"
LABELS = "file,emotion,who\na.wav,sad,ann\nb.wav,happy,bob\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p", "q"):
        (tmp_path / f"{name}.csv").write_text(PREDICTIONS.format(m=name))
    (tmp_path / "lab.csv").write_text(LABELS)
    (tmp_path / "notes.csv").write_text("my notes\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "1.csv").write_text(PREDICTIONS.format(m="p"))
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, list(words), env={"NO_COLOR": "1", "COLUMNS": "200"})


EVAL = ("eval", "p.csv", "--truth", "lab.csv", "--draws", "0", "-q", "-f", "csv")


@pytest.mark.parametrize(
    ("words", "option", "place"),
    [
        ((*EVAL, "-o", "lab.csv"), "-o", "lab.csv"),
        ((*EVAL, "--train-table", "q.csv", "-o", "./q.csv"), "-o", "./q.csv"),
        (("report", "p.csv", "-o", "p.csv"), "-o", "p.csv"),
        (("fuse", "p.csv", "q.csv", "-o", "q.csv"), "-o", "q.csv"),
        (("fuse", "p.csv", "q.csv", "--fit", "lab.csv", "--method", "ridge", "--save", "lab.csv"),
         "--save", "lab.csv"),
        (("fuse", "parts", "q.csv", "-o", "parts/1.csv"), "-o", "parts/1.csv"),
        (("calibrate", "p.csv", "--truth", "lab.csv", "-o", "lab.csv"), "-o", "lab.csv"),
        (("calibrate", "p.csv", "--abstain-above", "1", "-o", "p.csv"), "-o", "p.csv"),
        (("judge", "p.csv", "--dry-run", "-o", "p.csv"), "-o", "p.csv"),
        (("predict", "lab.csv", "-o", "lab.csv"), "-o", "lab.csv"),
        (("predict", "a.wav", "--speakers", "lab.csv", "-o", "lab.csv"), "-o", "lab.csv"),
        (("transcribe", "lab.csv", "-o", "lab.csv"), "-o", "lab.csv"),
        (("features", "lab.csv", "--pool", "mean", "-o", "lab.csv"), "-o", "lab.csv"),
    ],
)  # fmt: skip
def test_an_input_stays(words, option, place, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    for more in ((), ("--overwrite",)):
        done = run(*words, *more)
        assert (done.exit_code, done.stderr) == (
            1,
            f"emocli: {place} is both an input and the output, expected another output, for the "
            f"input would be lost. Choose another place with {option}.\n",
        )
    assert before == {path: path.read_bytes() for path in folder.rglob("*.csv")}


FOREIGN = (
    "emocli: notes.csv: there already and not made by emocli, expected a new file or one of its "
    "own. Choose another place with -o, or add --overwrite.\n"
)


@pytest.mark.parametrize(
    "words",
    [
        EVAL,
        ("report", "p.csv"),
        ("fuse", "p.csv", "q.csv"),
        ("calibrate", "p.csv", "--abstain-above", "1"),
        ("judge", "p.csv", "--dry-run"),
        ("predict", "a.wav"),
        ("transcribe", "a.wav"),
        ("features", "a.wav", "--pool", "mean"),
        ("data", "ravdess", "corpus"),
    ],
)
def test_what_others_have_made_stays(words, folder):
    done = run(*words, "-o", "notes.csv")
    assert (done.exit_code, done.stderr) == (1, FOREIGN)
    assert (folder / "notes.csv").read_text() == "my notes\n"


def test_overwrite_replaces_it_and_its_own_is_made_again(folder):
    for more in (("--overwrite",), ()):
        done = run(*EVAL, "-o", "notes.csv", *more)
        assert done.exit_code == 0
        assert (folder / "notes.csv").read_text().startswith("table,model,n,")
    for suffix in ("svg", "html"):
        for _ in range(2):
            flag = ("--plot", "x.svg") if suffix == "svg" else ("-o", "x.html")
            assert run("report", "p.csv", *flag, "-q").exit_code == 0


def test_a_label_track_takes_no_recording_and_no_turns(folder):
    write_tone(folder / "a.wav", 1.0)
    (folder / "a.txt").write_text("0\t1\tanna\n")
    done = run("predict", "a.wav", "-f", "audacity", "-o", ".", "-q")
    assert done.exit_code == 1
    assert done.stderr.startswith("emocli: ./a.txt: there already and not made by emocli")
    done = run("predict", "a.wav", "--speakers", "a.txt", "-f", "audacity", "-o", "a.txt", "-q")
    assert done.stderr.startswith("emocli: a.txt is both an input and the output")
    assert (folder / "a.txt").read_text() == "0\t1\tanna\n"


def test_a_label_track_of_nothing(folder):
    (folder / "empty.csv").write_text("file\n")
    for form in ("rttm", "srt", "textgrid", "eaf", "audacity"):
        done = run("predict", "empty.csv", "-f", form, "-q")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


def test_columns_that_are_named(folder):
    (folder / "own.csv").write_text("Datei;Gefühl;Sprecherin\na.wav;sad;ann\nb.wav;happy;bob\n")
    words = (
        "eval",
        "p.csv",
        "--truth",
        "own.csv",
        "--truth-column",
        "Gefühl",
        "--draws",
        "0",
        "-q",
    )
    done = run(*words, "--file-column", "Datei", "--speaker-column", "sprecherin",
               "--by", "speaker", "-f", "json")  # fmt: skip
    assert done.exit_code == 0
    assert '"ann"' in done.stdout
    done = run(*words, "--file-column", "Datei", "--text-column", "Text")
    assert (done.exit_code, done.stderr) == (
        1,
        "emocli: p.csv, own.csv: no column Text among file, model, label, p_happy, p_sad, entropy, "
        "varentropy, margin, normalized_entropy, Gefühl and 1 more, expected the one that "
        "--text-column names. Correct it.\n",
    )


def test_what_was_taken_for_what_is_said(folder):
    (folder / "old.csv").write_bytes(
        "file,emotion,who\na.wav,sad,Zoë\nb.wav,happy,x\n".encode("cp1252")
    )
    done = run("eval", "p.csv", "--truth", "old.csv", "--draws", "0", "-f", "csv")
    assert "old.csv: not UTF-8, read as Windows-1252." in done.stderr


def test_a_data_frame_is_a_manifest(folder):
    os.mkdir("sub")
    write_tone(folder / "sub" / "a.wav", 0.5)
    index = pd.MultiIndex.from_arrays(
        [["sub\\a.wav", "b.wav"], pd.to_timedelta(["0s", "1s"]), pd.to_timedelta(["0.5s", None])],
        names=["file", "start", "end"],
    )
    found = read_inputs(pd.DataFrame({"emotion": ["sad", None]}, index=index)).utterances
    assert [(one.file, one.start, one.end, dict(one.carried)) for one in found] == [
        ("sub/a.wav", 0.0, 0.5, {"emotion": "sad"}),
        ("b.wav", 1.0, None, {"emotion": ""}),
    ]


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (pd.DataFrame({"x": [1]}), "the data frame: no column file among x. A table needs a header "
         "line with at least file; --file-column names another."),
        (pd.DataFrame({"file": ["a", None]}), "the data frame: row 2 has no file name, expected "
         "a path in column file. Fill it in or remove the row."),
        (pd.DataFrame({"file": ["a"], "start": ["soon"]}), "the data frame: start of a is 'soon', "
         "expected a number. Correct it or leave it empty."),
        (5, "int among the inputs, expected paths of recordings, or one table: a PredictionTable "
         "or a pandas data frame with a column file. Convert it."),
        ([b"a.wav"], "bytes among the inputs, expected paths of recordings, or one table: a "
         "PredictionTable or a pandas data frame with a column file. Convert it."),
        ("t.pkl", "t.pkl: a pickle, which can run programs when it is read, expected a table as "
         "CSV, TSV, JSON, JSON Lines, Parquet or an Excel workbook (.xlsx). Save it in one of "
         "these forms."),
    ],
)  # fmt: skip
def test_inputs_that_are_none(value, sentence, folder):
    (folder / "t.pkl").write_bytes(b"\x80\x04\x95")
    with pytest.raises(TableError) as caught:
        read_inputs(value)
    assert str(caught.value) == sentence
