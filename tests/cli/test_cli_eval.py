"""``emocli eval`` as users meet it: forms of output, sentences and exit status."""

import csv
import io
import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from emocli.cli.app import app

LABELS = ("angry", "happy", "sad")
EMOTIONS = ["angry", "angry", "happy", "happy", "sad", "sad"]
PREDICTED = ["angry", "happy", "happy", "happy", "sad", "angry"]
FEW = (
    "warning: Under 20 utterances of angry (2), happy (2), sad (2): one of them moves the recall "
    "by more than 0.05.\n"
)


def predictions(labels, model="fake"):
    rows = ["file,model,p_angry,p_happy,p_sad"]
    for row, label in enumerate(labels):
        probs = ",".join("0.8" if name == label else "0.1" for name in LABELS)
        rows.append(f"{row}.wav,{model},{probs}")
    return "\n".join(rows) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "p.csv").write_text(predictions(PREDICTED))
    (tmp_path / "q.csv").write_text(predictions(EMOTIONS, "best"))
    speakers = "aabbcc"
    lines = [f"{row}.wav,{name},{speakers[row]}" for row, name in enumerate(EMOTIONS)]
    (tmp_path / "t.csv").write_text("\n".join(["file,emotion,speaker", *lines]) + "\n")
    return tmp_path


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, ["eval", *arguments], input=stdin)


def test_json_has_every_figure_as_a_key_of_its_own(folder):
    done = run("p.csv", "--truth", "t.csv", "-f", "json", "--cluster", "none", "--by", "speaker")
    assert (done.exit_code, done.stderr) == (0, FEW)
    found = json.loads(done.stdout)
    assert found["uar"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["n"] == 6
    assert found["per_class"]["sad"]["recall"] == 0.5
    assert found["confusion"]["counts"] == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert {"macro_f1", "weighted_f1", "ece", "nll", "brier", "aurc"} <= found.keys()
    assert found["intervals"].keys() >= {"uar", "ece", "aurc"}
    assert found["interval_units"] == "6 utterances"
    assert found["groups"]["speaker"]["b"]["uar"] == 1.0
    assert found["model"] == "fake"


def test_a_pipe_gets_csv_with_one_row(folder):
    done = run("-", "--truth", "t.csv", "--cluster", "none", stdin=predictions(PREDICTED))
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["table"] == "standard input"
    assert float(row["uar"]) == pytest.approx(2 / 3)
    assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])


def test_figures_for_people(folder):
    done = run(
        *("p.csv", "--truth", "t.csv", "-f", "table", "--by", "speaker", "--draws", "20"),
        *("--balanced-draws", "5", "--per-label", "1", "--compare", "q.csv"),
    )
    assert done.exit_code == 0
    shown = [line.rstrip() for line in done.stdout.splitlines()]
    assert shown[0] == "p.csv · fake · 6 utterances"
    assert any(line.startswith("UAR") and " 0.6667 " in line for line in shown)
    assert any("95 % interval (3 speakers)" in line for line in shown)
    (angry,) = (line.split() for line in shown if line.startswith("angry   0.5000"))
    assert (angry[0], angry[1], angry[3], angry[-3:]) == (
        *("angry", "0.5000", "to"),
        ["0.5000", "0.5000", "2"],
    )
    told = " ".join(shown)
    assert "Intervals: jackknife over 3 speakers, Student's t; they take the speakers" in told
    assert "Noise only adds to ECE: of 6 utterances it is about" in told
    assert "p: Student's t, for with fewer than 8 there are too few ways to exchange" in told
    assert any(line.split() == ["angry", "1", "1", "0"] for line in shown)
    assert any(line.startswith("b ") and line.split()[1:3] == ["2", "1.0000"] for line in shown)
    assert any(line.startswith("5 samples of 1 a label") for line in shown)
    assert any(line.startswith("difference from q.csv · best") for line in shown)
    assert "McNemar: 0 only here right, 2 only there, p = 0.5" in shown


def test_missing_predictions_are_a_column_of_the_matrix(folder):
    (folder / "short.csv").write_text(predictions(PREDICTED[:5]))
    done = run("short.csv", "--truth", "t.csv", "--allow-missing", "--draws", "0", "-f", "table")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["truth", "↓", "predicted", "→", "angry", "happy", "sad", "none"] in lines
    assert ["sad", "0", "0", "1", "1"] in lines
    assert done.stderr == (
        "warning: short.csv (fake): 1 of 6 utterances have no prediction and count as wrong; "
        "figures of probabilities are of the others.\n" + FEW
    )


def test_csv_has_a_row_for_each_group_and_columns_for_all_that_was_asked_for(folder):
    done = run(
        *("p.csv", "--truth", "t.csv", "-f", "csv", "--by", "speaker", "--draws", "20"),
        *("--balanced-draws", "5", "--per-label", "1", "--compare", "q.csv"),
    )
    whole, *groups = csv.DictReader(io.StringIO(done.stdout))
    assert (whole["by"], whole["group"], whole["n"]) == ("", "", "6")
    assert [(row["by"], row["group"], row["n"]) for row in groups] == [
        ("speaker", name, "2") for name in "abc"
    ]
    assert [float(row["accuracy"]) for row in groups] == [0.5, 1.0, 0.5]
    assert {row["uar_low"] for row in groups} == {""}
    assert 0 <= float(whole["uar_balanced_mean"]) <= 1
    assert float(whole["uar_balanced_sd"]) >= 0
    assert (whole["compared_with"], whole["compared_model"]) == ("q.csv", "best")
    assert float(whole["accuracy_difference"]) == pytest.approx(-2 / 6)
    low, high, p = (float(whole[f"accuracy_difference_{name}"]) for name in ("low", "high", "p"))
    assert low <= -2 / 6 <= high
    assert 0 < p <= 1
    assert float(whole["mcnemar_p"]) == pytest.approx(0.5)


def test_several_tables_in_groups(folder):
    done = run("p.csv", "q.csv", "--truth", "t.csv", "-f", "table", "--by", "speaker")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("p.csv ·", "q.csv ·"))] == [
        "p.csv · fake · 6 utterances",
        "q.csv · best · 6 utterances",
    ]
    assert [line.split()[:3] for line in lines if line.startswith("a ")] == [
        ["a", "2", "0.5000"],
        ["a", "2", "1.0000"],
    ]


def test_labels_that_were_left_out_on_purpose_are_told_apart_from_missing_ones(folder):
    lines = (folder / "p.csv").read_text().splitlines()
    doubtful = [line.replace("0.8", "0.5").replace("0.1", "0.25") for line in lines[-2:]]
    (folder / "p.csv").write_text("\n".join([*lines[:-2], *doubtful]) + "\n")
    kept = CliRunner().invoke(app, ["calibrate", "p.csv", "--abstain-below", "0.6"]).stdout
    done = run("-", "--truth", "t.csv", "-f", "json", "--draws", "0", stdin=kept)
    found = json.loads(done.stdout)
    assert (found["n"], found["n_abstained"], found["n_missing"]) == (4, 2, 0)
    assert found["coverage"] == pytest.approx(4 / 6)
    assert found["accuracy"] == pytest.approx(3 / 4)
    assert done.stderr.splitlines()[0] == (
        "standard input (fake): 2 of 6 utterances have no label (column note says why); the "
        "figures are of the other 4."
    )
    both = run("q.csv", "--truth", "t.csv", "--compare", "-", stdin=kept)
    assert (both.exit_code, both.stderr) == (
        1,
        "emocli: A comparison is of the same utterances, and some have an answer without a label. "
        "Give the tables from before --abstain-above and --abstain-below.\n",
    )


def test_a_column_to_resample_by_that_is_not_there(folder):
    done = run("p.csv", "--truth", "t.csv", "--cluster", "speker")
    assert (done.exit_code, done.stderr) == (
        1,
        "emocli: No column speker to group by, neither in the truth (file, emotion, speaker) "
        "nor in p.csv (file, model, label, p_angry, p_happy, p_sad, entropy, varentropy, margin, "
        "normalized_entropy). Correct --cluster.\n",
    )


def test_a_label_that_occurs_nowhere_is_told(folder):
    done = run("p.csv", "--truth", "t.csv", "--labels", "angry,hapy", "--draws", "0")
    assert (
        "warning: hapy of --labels occurs neither in t.csv nor in p.csv: check how it is written.\n"
    ) in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--per-label", "5"], "--per-label is the size of balanced samples"),
        (["--fail-under", "uar=nan"], "'uar=nan' is not of the form figure=number"),
        (["--fail-over", "uar"], "'uar' is not of the form figure=number"),
    ],
)
def test_options_without_a_meaning_are_refused(folder, options, sentence):
    done = run("p.csv", "--truth", "t.csv", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_several_tables_are_a_ranking(folder):
    done = run("p.csv", "q.csv", "--truth", "t.csv", "-f", "table", "--draws", "0")
    lines = [line.split() for line in done.stdout.splitlines() if ".csv" in line]
    assert [line[:3] for line in lines] == [["q.csv", "best", "6"], ["p.csv", "fake", "6"]]
    assert lines[0][3] == "1.0000"


def test_a_ranking_as_json_csv_and_lines(folder):
    both = ("p.csv", "q.csv", "--truth", "t.csv", "--draws", "0")
    board = json.loads(run(*both, "-f", "json").stdout)["leaderboard"]
    assert [one["table"] for one in board] == ["p.csv", "q.csv"]
    rows = list(csv.DictReader(io.StringIO(run(*both, "-f", "tsv").stdout), delimiter="\t"))
    assert [row["model"] for row in rows] == ["fake", "best"]
    lines = run(*both, "-f", "jsonl").stdout.splitlines()
    assert [json.loads(line)["uar"] for line in lines] == [one["uar"] for one in board]


def test_dimensions_and_transcripts_for_people(folder):
    (folder / "d.csv").write_text("file,valence,text\n0.wav,1,a b\n1.wav,2,c\n2.wav,4,d\n")
    (folder / "r.csv").write_text("file,valence,reference\n0.wav,1,a b\n1.wav,2,c\n2.wav,3,e\n")
    done = run("d.csv", "--truth", "r.csv", "-f", "table", "--draws", "0")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["WER", "0.2500"] in lines
    assert any(line[:2] == ["CCC", "valence"] for line in lines)
    ranked = run("d.csv", "d.csv", "--truth", "r.csv", "-f", "table", "--draws", "0").stdout
    assert ranked.split()[:6] == ["table", "model", "n", "CCC", "WER", "CER"]


def test_a_table_without_the_deciding_figure_comes_last(folder):
    (folder / "d.csv").write_text("file,valence,model\n0.wav,1,v\n1.wav,2,v\n2.wav,4,v\n")
    truth = (folder / "t.csv").read_text().replace("\n", ",3\n")
    (folder / "both.csv").write_text(truth.replace("speaker,3", "speaker,valence"))
    tables = ("d.csv", "p.csv", "--truth", "both.csv", "--allow-missing")
    done = run(*tables, "-f", "table", "--draws", "0")
    lines = [line.split()[:3] for line in done.stdout.splitlines() if ".csv" in line]
    assert lines == [["p.csv", "fake", "6"], ["d.csv", "v", "3"]]


def test_a_label_that_nobody_has_is_a_column_and_no_row_of_the_matrix(folder):
    lines = (folder / "t.csv").read_text().replace(",sad,", ",happy,")
    (folder / "two.csv").write_text(lines)
    done = run("p.csv", "--truth", "two.csv", "-f", "table", "--draws", "0")
    shown = [line.split() for line in done.stdout.splitlines()]
    start = next(i for i, line in enumerate(shown) if line[:1] == ["truth"])
    assert shown[start][-3:] == ["angry", "happy", "sad"]
    assert shown[start + 2 : start + 4] == [["angry", "1", "1", "0"], ["happy", "1", "2", "1"]]
    assert not any(line[:1] == ["sad"] and len(line) == 4 for line in shown)


def test_a_comparison_of_dimensions_has_no_test_of_labels(folder):
    (folder / "d.csv").write_text("file,valence\n0.wav,1\n1.wav,2\n2.wav,4\n")
    (folder / "e.csv").write_text("file,valence\n0.wav,2\n1.wav,2\n2.wav,3\n")
    (folder / "r.csv").write_text("file,valence\n0.wav,1\n1.wav,2\n2.wav,3\n")
    done = run("d.csv", "--truth", "r.csv", "-f", "table", "--compare", "e.csv", "--draws", "20")
    assert done.exit_code == 0
    assert "difference from e.csv" in done.stdout
    assert "CCC valence" in done.stdout.partition("difference from e.csv")[2]
    assert "McNemar" not in done.stdout


def test_a_large_table_has_no_intervals_unless_they_are_asked_for(folder, monkeypatch):
    for module in ("emocli.cli.eval", "emocli.pipeline.evaluate"):
        monkeypatch.setattr(f"{module}.LARGE", 5)
    done = run("p.csv", "--truth", "t.csv", "-f", "json")
    assert (done.exit_code, json.loads(done.stdout)["intervals"]) == (0, {})
    assert done.stderr == (
        "p.csv (fake): no intervals for 6 utterances; ask with --draws 1000.\n" + FEW
    )


def test_a_missing_dimension_cannot_be_wrong(folder):
    (folder / "r.csv").write_text("file,valence\n0.wav,1\n1.wav,2\n2.wav,3\n")
    table = "file,valence\n0.wav,1\n1.wav,2\n"
    done = run("-", "--truth", "r.csv", "--allow-missing", "--draws", "0", stdin=table)
    assert done.stderr == (
        "warning: standard input: 1 utterances without a prediction are left out.\n"
    )


def test_what_is_left_out_is_said(folder):
    done = run(
        "p.csv", "--truth", "t.csv", "--labels", "Anger,sadness", "--draws", "0", "-f", "json"
    )
    assert json.loads(done.stdout)["n"] == 4
    assert done.stderr.startswith("p.csv (fake): 2 utterances with other labels are left out.\n")
    (folder / "long.csv").write_text(predictions([*PREDICTED, "sad"]))
    done = run("long.csv", "--truth", "t.csv", "--ignore-extra", "--draws", "0", "-f", "json")
    assert done.stderr.startswith("long.csv (fake): 1 predictions without a truth are left out.\n")


def test_a_table_that_came_out_short_fails_loudly(folder):
    done = run("-", "--truth", "t.csv", stdin=predictions(PREDICTED[:3]))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: standard input (fake): 3 of 6 utterances of t.csv have no prediction: 3.wav, "
        "4.wav, 5.wav. Predict them, or count them as wrong with --allow-missing.\n"
    )


def test_nothing_from_the_left_side_fails_loudly(folder):
    done = run("-", "--truth", "t.csv", stdin="")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: standard input: empty, expected a table with a header line. Check that the "
        "command before it succeeded.\n"
    )


def test_a_figure_below_its_limit_ends_with_status_1(folder):
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "-f", "json", "--fail-under", "uar=0.7")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["n"] == 6
    assert done.stderr == FEW + "emocli: p.csv: uar is 0.6667, under 0.7.\n"


def test_limits_that_hold(folder):
    limits = ("--fail-under", "uar=0.6", "--fail-under", "accuracy=0.6", "--fail-over", "nll=2")
    assert run("p.csv", "--truth", "t.csv", "--draws", "0", *limits).exit_code == 0


def test_a_figure_above_its_limit_ends_with_status_1(folder):
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "--fail-over", "nll=0.5")
    assert done.exit_code == 1
    assert done.stderr.endswith("emocli: p.csv: nll is 0.9163, over 0.5.\n")


def test_a_limit_of_no_figure(folder):
    table = "file,text\n0.wav,hello\n"
    (folder / "r.csv").write_text("file,reference\n0.wav,hello\n")
    done = run("-", "--truth", "r.csv", "--fail-under", "war=0.6", stdin=table)
    assert done.exit_code == 1
    assert done.stderr.endswith(
        "emocli: standard input: no figure war, expected one of wer, cer. Correct --fail-under or "
        "--fail-over.\n"
    )


def test_a_limit_that_cannot_be_read(folder):
    done = run("p.csv", "--truth", "t.csv", "--fail-under", "uar")
    assert done.exit_code == 2
    assert "'uar' is not of the form figure=number, such as uar=0.6" in " ".join(
        done.stderr.replace("│", " ").split()
    )


def test_figures_go_to_a_file_in_the_form_of_its_suffix(folder):
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "-o", "out.json")
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads((folder / "out.json").read_text())["n"] == 6


def test_figures_do_not_fit_parquet(folder):
    done = run("p.csv", "--truth", "t.csv", "-o", "out.parquet")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: out.parquet: figures cannot be written as parquet, expected one of table, csv, "
        "tsv, json, jsonl. Choose another suffix or add -f.\n"
    )


def test_training_data_is_looked_through(folder):
    done = run("p.csv", "--truth", "t.csv", "--train-table", "t.csv", "--draws", "0", "-f", "json")
    assert done.stderr == FEW + (
        "warning: 6 of 6 recordings also occur in training: 0.wav, 1.wav, 2.wav, 3.wav, 4.wav, "
        "5.wav.\nwarning: 3 of 3 speakers also occur in training: a, b, c.\n"
    )


def test_quiet_keeps_warnings_alone(folder):
    done = run("p.csv", "--truth", "t.csv", "--labels", "sad", "--draws", "0", "-q", "-f", "json")
    assert done.stderr == (
        "warning: Under 20 utterances of sad (2): one of them moves the recall by more than 0.05.\n"
    )


def test_verbose_says_what_was_compared(folder):
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "-v", "-f", "json")
    assert done.stderr == "p.csv (fake): 6 utterances, labels angry, happy, sad.\n" + FEW


def test_eval_loads_nothing_heavy(folder):
    code = (
        "import sys; from emocli.cli import main\n"
        "try: main(['eval', 'p.csv', '--truth', 't.csv', '-q'])\n"
        "finally: sys.stderr.write(repr(sorted({'torch', 'transformers', 'sklearn', 'pandas', "
        "'scipy', 'pyarrow', 'jiwer'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("[]")


def test_predictions_given_as_truth(folder):
    done = run("p.csv", "--truth", "p.csv")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: p.csv holds predictions of fake, expected what is true. Give the table of the "
        "labels, or name its column of true emotions with --truth-column; `emocli eval --compare` "
        "takes the predictions of another model.\n"
    )


@pytest.mark.parametrize("command", ["eval", "report", "calibrate"])
def test_a_mistyped_column_of_truth(folder, command):
    done = CliRunner().invoke(app, [command, "p.csv", "--truth", "t.csv", "--truth-column", "emo"])
    assert done.exit_code == 1
    assert "t.csv: no column emo, found file, emotion" in done.stderr
    assert "Correct --truth-column." in done.stderr


@pytest.mark.parametrize("command", ["report", "calibrate"])
def test_predictions_given_as_truth_elsewhere(folder, command):
    done = CliRunner().invoke(app, [command, "p.csv", "--truth", "q.csv"])
    assert done.exit_code == 1
    assert "q.csv holds predictions of best, expected what is true." in done.stderr
