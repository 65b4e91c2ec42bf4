"""--calibration, --abstain-above, --abstain-below and --mc-dropout where predictions are made."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from fakes import write_tone
from typer.testing import CliRunner

from emocli.cli.app import app

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SAMPLES, tmp_path / "takes")
    return tmp_path


def run(*arguments: str, status: int = 0) -> list[dict[str, str]]:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == status, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


def text_calibration(folder: Path, temperature: float) -> str:
    """A temperature for builtin-sentiment, fitted and then set by hand."""
    run("predict", "-m", "builtin-sentiment", "takes", "-o", "text.csv")
    truth = "file,sentiment\n" + "".join(
        f"takes/{name}.flac,{mood}\n"
        for name, mood in [("grandmother", "negative"), ("keys", "negative"), ("won", "positive"),
                           ("letter", "neutral"), ("platform", "positive")]
    )  # fmt: skip
    (folder / "truth.csv").write_text(truth)
    run("calibrate", "text.csv", "--truth", "truth.csv", "--truth-column", "sentiment",
        "--method", "temperature", "-o", "cal.json", "-q")  # fmt: skip
    content = json.loads((folder / "cal.json").read_text())
    assert content["map"]["temperature"] > 0
    content["map"]["temperature"] = temperature
    (folder / "cal.json").write_text(json.dumps(content))
    return "cal.json"


def test_predict_applies_a_calibration(folder):
    path = text_calibration(folder, 4.0)
    plain = run("predict", "-m", "builtin-sentiment", "takes")
    flat = run("predict", "-m", "builtin-sentiment", "takes", "--calibration", path)
    assert [row["label"] for row in flat] == [row["label"] for row in plain]
    assert all(float(a["entropy"]) > float(b["entropy"]) for a, b in zip(flat, plain, strict=True))
    assert flat[0]["model"] == "temperature(builtin-sentiment)"


def test_a_calibration_of_another_model_is_refused(folder):
    path = text_calibration(folder, 1.0)
    done = CliRunner().invoke(
        app, ["predict", "-m", "builtin-emotion", "takes", "--calibration", path]
    )
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "calibration" in done.stderr


def test_doubtful_labels_are_left_out_and_said(folder):
    rows = run("predict", "-m", "builtin-sentiment", "takes", "--abstain-below", "0.9")
    for row in rows:
        top = max(float(row[f"p_{label}"]) for label in ("negative", "neutral", "positive"))
        assert (row["label"] == "") == (top < 0.9)
        assert row["abstained"] == ("yes" if top < 0.9 else "no")
    assert 0 < sum(row["label"] == "" for row in rows) < len(rows)
    by_entropy = run("predict", "-m", "builtin-sentiment", "takes", "--abstain-above", "0.5")
    assert [row["label"] == "" for row in by_entropy] == [
        float(row["entropy"]) > 0.5 for row in by_entropy
    ]


def test_fuse_tells_how_far_its_sides_lie_apart_and_abstains(folder):
    run("predict", "takes", "-o", "speech.csv")
    run("predict", "-m", "builtin-sentiment", "takes", "-o", "text.csv")
    rows = run("fuse", "speech.csv", "text.csv", "--abstain-below", "0.99")
    assert {row["clash"] for row in rows} <= {"yes", "no"}
    assert all(0 <= float(row["disagreement"]) <= 0.6932 for row in rows)
    assert any(row["abstained"] == "yes" for row in rows)


def test_dropout_parts_the_entropy(folder):
    rows = run("predict", "takes/won.flac", "takes/keys.flac", "--mc-dropout", "4")
    for row in rows:
        known, unknown = float(row["expected_entropy"]), float(row["mutual_information"])
        assert known + unknown == pytest.approx(float(row["entropy"]), abs=1e-6)
        assert unknown > 0
    again = run("predict", "takes/keys.flac", "--mc-dropout", "4", "--batch-size", "1")
    assert again[0]["entropy"] == rows[1]["entropy"]


def test_a_model_without_dropout_says_so(folder):
    write_tone(folder / "a.wav")
    done = CliRunner().invoke(
        app, ["predict", "takes", "-m", "builtin-emotion", "--mc-dropout", "4"]
    )
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: builtin-emotion has no dropout layers, expected some for --mc-dropout. "
        "Leave it out, or fuse several checkpoints instead.\n"
    )


def test_predictions_are_adapted_to_one_another(folder):
    plain = run("predict", "takes")
    done = CliRunner().invoke(app, ["predict", "takes", "--adapt", "all"], catch_exceptions=False)
    adapted = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["file"] for row in adapted] == [row["file"] for row in plain]
    assert {row["model"] for row in adapted} == {"adapted(builtin)"}
    assert list(adapted[0]) == list(plain[0])
    assert f"builtin: {len(plain)} rows of 1 group adapted to one another; " in done.stderr


def test_an_adapted_table_is_taken_up_where_it_was_left(folder):
    def probs():
        run("predict", "takes", "--adapt", "all", "-o", "a.csv")
        rows = list(csv.DictReader(io.StringIO((folder / "a.csv").read_text())))
        return {row["file"]: float(row["p_angry"]) for row in rows}

    shutil.move("takes/keys.flac", "keys.flac")
    fewer = probs()
    shutil.move("keys.flac", "takes/keys.flac")
    assert probs().keys() == fewer.keys() | {"takes/keys.flac"}
    taken_up = probs()
    (folder / "a.csv").unlink()
    (folder / ".a.csv.journal").unlink(missing_ok=True)
    assert taken_up == pytest.approx(probs(), rel=1e-4)


def test_windows_are_adapted_to_their_file(folder):
    rows = run("predict", "takes", "--adapt", "file", "--windows", "--window", "1")
    notes = {row["file"]: row["note"] for row in rows if "adapted to" in row["note"]}
    for file, note in notes.items():
        n_rows = sum(row["file"] == file for row in rows)
        assert f"adapted to {n_rows} rows, " in note
    assert notes


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--adapt", "all", "--shard", "1/2"], "leave out --shard and --cluster"),
        (["--adapt", "all", "--mc-dropout", "5"], "the draws of --mc-dropout cannot be adapted"),
        (["--adapt", "file"], "add --windows or --segments"),
        (["--adapt", "mood"], "mood"),
    ],
)
def test_what_cannot_be_adapted_is_a_misuse(folder, options, reason):
    done = CliRunner().invoke(app, ["predict", "takes", *options])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert reason in " ".join(done.stderr.replace("│", " ").split())


def test_a_model_without_figures_is_not_adapted(folder):
    done = CliRunner().invoke(
        app, ["predict", "-m", "builtin-sentiment", "takes", "--adapt", "all"]
    )
    assert done.exit_code == 1
    assert done.stderr.startswith("emocli: builtin-sentiment: no figures for adaptation, ")
