"""``--csv-safe`` of every command that writes texts from outside into CSV and TSV."""

import csv
from types import SimpleNamespace

import corpus_trees
import pytest
from fakes import write_tone
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.pipeline import train
from emocli.table import PredictionTable

PREDICTED = """\
file,model,label,p_angry,p_sad,text,clash
a.wav,=cmd(),sad,0.25,0.75,=1+1,yes
b.wav,=cmd(),angry,0.75,0.25,-1.5,no
"""
TRUE = "file,emotion\na.wav,sad\nb.wav,sad\n"
JUDGE = "judge p.csv --endpoint http://localhost:1 --judge-model m --max-calls 0 --cache kept"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p.csv", "q.csv"):
        (tmp_path / name).write_text(PREDICTED)
    (tmp_path / "t.csv").write_text(TRUE)
    corpus_trees.podcast(tmp_path / "podcast")
    corpus_trees.write(tmp_path, "podcast/Transcripts/MSP-PODCAST_0001_0009.txt", "=1+1\n")
    write_tone(tmp_path / "=1+1.wav", 0.5)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (JUDGE, "=1+1"),
        ("calibrate p.csv --abstain-below 0.5", "=1+1"),
        ("data msp-podcast podcast", "=1+1"),
        ("features =1+1.wav --pool mean", "=1+1.wav"),
        ("eval p.csv --truth t.csv --draws 0", "=cmd()"),
        ("fuse p.csv q.csv --method mean", "=1+1"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_formulas_are_guarded_on_request(folder, command, text, form):
    separator = {"csv": ",", "tsv": "\t"}[form]
    plain, safe = (
        CliRunner().invoke(app, [*command.split(), "-q", "-f", form, *more])
        for more in ([], ["--csv-safe"])
    )
    assert (plain.exit_code, safe.exit_code) == (0, 0)
    cells = list(csv.reader(plain.stdout.splitlines(), delimiter=separator))
    assert any(text in row for row in cells)
    guarded = list(csv.reader(safe.stdout.splitlines(), delimiter=separator))
    assert guarded == [
        [f"'{cell}" if cell.startswith("=") else cell for cell in row] for row in cells
    ]


@pytest.mark.parametrize(("asked", "text"), [([], "=a"), (["--csv-safe"], "'=a")])
def test_so_are_those_of_a_validation(folder, monkeypatch, asked, text):
    (folder / "recipe.toml").write_text('name = "mine"\n')
    table = PredictionTable.from_columns({"file": ["a.wav"], "speaker": ["=a"]})
    data = SimpleNamespace(utterances=[], work="", remarks=())
    monkeypatch.setattr(train, "prepare", lambda *_, **__: data)
    monkeypatch.setattr(train, "leave_each_corpus_out", lambda *_: train.Trained(table, {}))
    done = CliRunner().invoke(app, ["train", "recipe.toml", "--leave-corpus-out", *asked])
    assert (done.exit_code, done.stdout) == (0, f"file,speaker\na.wav,{text}\n")
