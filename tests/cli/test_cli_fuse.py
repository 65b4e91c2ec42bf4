"""``emocli fuse``: what is typed, what comes out on which stream, and every refusal."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.cli.fuse import Criterion
from emocli.cli.fuse_method import Method
from emocli.cli.fusers import _rule_told
from emocli.fusion.entropy_selection import ClassRule
from emocli.fusion.fused import METHODS
from emocli.fusion.logistic import CRITERIA
from emocli.fusion.sides import Side, align_union
from emocli.fusion.trained import TRAINED
from emocli.table import PredictionTable
from emocli.table_io import read_table

SPEECH = """\
file,model,p_angry,p_happy,p_neutral,p_sad,speaker
a.wav,builtin,0.97,0.01,0.01,0.01,x
b.wav,builtin,0.28,0.22,0.24,0.26,x
c.wav,builtin,0.28,0.22,0.24,0.26,y
"""
TEXT = """\
file,label,score
b.wav,positive,0.9
a.wav,positive,0.9
c.wav,negative,0.9
"""
TRUTH = "file,emotion\na.wav,angry\nb.wav,happy\nc.wav,angry\n"


SELECT = ["--method", "entropy-selection", "--fit"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in (("speech", SPEECH), ("text", TEXT), ("truth", TRUTH)):
        (tmp_path / f"{name}.csv").write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, ["fuse", *arguments], input=stdin, env={"COLUMNS": "200"})


def refused(*arguments):
    """The sentence of an error, exit status 1 and nothing on standard output."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr.removeprefix("emocli: ").rstrip("\n")


def misused(*arguments):
    """The sentence of a usage error, without the box around it."""
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return " ".join(done.stderr.replace("│", " ").split())


def test_the_methods_are_those_of_the_library():
    assert {method.value for method in Method} == {*METHODS, *TRAINED}
    assert {criterion.value for criterion in Criterion} == set(CRITERIA)


def test_the_mean_is_the_default(folder):
    done = run("speech.csv", "text.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    header, first, *_ = csv.reader(done.stdout.splitlines())
    assert header == [
        "file", "model", "label", "p_angry", "p_happy", "p_neutral", "p_sad", "entropy",
        "varentropy", "margin", "normalized_entropy", "speaker", "disagreement", "clash",
        "expected_entropy", "mutual_information",
    ]  # fmt: skip
    # Negative has (1 - 0.9) / 2 = 0.05, of which 0.97 / 0.98 are angry: (0.97 + 0.0494898) / 2.
    assert first[:7] == [
        "a.wav", "mean(builtin,text)", "angry", "0.509744898", "0.455", "0.03", "0.00525510204",
    ]  # fmt: skip
    assert (first[-5], first[-3]) == ("x", "yes")


@pytest.mark.parametrize("method", ["mean", "product", "entropy-weighted", "max-confidence"])
def test_every_average_gives_a_row_for_each_utterance(folder, method):
    done = run("speech.csv", "text.csv", "--method", method, "-f", "json")
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == ["a.wav", "b.wav", "c.wav"]
    assert {row["model"] for row in rows} == {f"{method}(builtin,text)"}


def test_a_fit_without_a_truth_is_refused(folder):
    assert "--fit needs the truth that it learns from" in misused(
        "speech.csv", "text.csv", "--fit", ""
    )


def test_weights_and_labels(folder):
    done = run("speech.csv", "text.csv", "--weights", "1,3", "-f", "json")
    assert json.loads(done.stdout)[1]["p_happy"] == pytest.approx(0.25 * 0.22 + 0.75 * 0.9)
    (folder / "wide.csv").write_text(
        "file,p_angry,p_awe,p_sad,p_happy,p_neutral\na.wav,0.1,0.5,0.2,0.1,0.1\n"
        "b.wav,0,0,1,0,0\nc.wav,0,0,1,0,0\n"
    )
    done = run("speech.csv", "wide.csv", "--labels", "sad, anger,happy", "-f", "json")
    assert done.stderr == (
        "builtin: without neutral, the rest scaled to sum to 1.\n"
        "wide: without awe, neutral, the rest scaled to sum to 1.\n"
    )
    first = json.loads(done.stdout)[0]
    assert first["p_sad"] == pytest.approx((0.01 / 0.99 + 0.5) / 2)
    assert "p_neutral" not in first


def test_a_table_of_several_models_is_enough(folder):
    table = "file,model,p_sad,p_happy\na,x,0.5,0.5\na,y,0.9,0.1\n"
    done = run("-", "-f", "json", stdin=table)
    assert json.loads(done.stdout)[0]["model"] == "mean(x,y)"
    assert json.loads(done.stdout)[0]["p_sad"] == pytest.approx(0.7)


def test_thresholds_set_by_hand(folder):
    done = run(
        "text.csv", "speech.csv", "--entropy-threshold", "1", "--varentropy-threshold", "9",
        "--truth", "truth.csv", "-f", "json",
    )  # fmt: skip
    assert done.stderr == (
        "3 rows, 2 consulted, 1 changed (angry->happy 1); 1 corrected, 0 broken.\n"
    )
    rows = json.loads(done.stdout)
    assert [row["file"] for row in rows] == ["b.wav", "a.wav", "c.wav"]  # as in the first table
    assert [row["label"] for row in rows] == ["happy", "angry", "angry"]
    assert [row["changed"] for row in rows] == ["angry->happy", "", ""]


def test_a_rule_for_negative_sentiments(folder):
    options = ["--entropy-threshold", "1", "--varentropy-threshold", "9", "-f", "json"]
    for rule, label in (
        ("refer", "angry"),
        ("simple:0.5", "sad"),
        ("simple:0.5:flip", "angry"),
        ("simple:1", "angry"),
    ):
        done = run("speech.csv", "text.csv", *options, "--sentiment-rule", rule)
        assert json.loads(done.stdout)[2]["label"] == label, rule


def test_fit_save_and_fuse_again(folder):
    learned = run(
        "speech.csv", "text.csv", "--method", "entropy-selection", "--fit", "truth.csv",
        "--save", "fuser.json", "-o", "fitted.csv", "-v",
    )  # fmt: skip
    assert (learned.exit_code, learned.stdout) == (0, "")
    assert learned.stderr == (
        "Fitted on 3 rows.\n"
        "angry: entropy from 1.382286, varentropy to 0.007975, negative is sad up to 0.00, angry "
        "above\n"
        "happy: the text is never asked\n"
        "neutral: the text is never asked\n"
        "sad: the text is never asked\n"
        "excluded: none\n"
        "3 rows, 2 consulted, 1 changed (angry->happy 1); 1 corrected, 0 broken.\n"
    )
    again = run("speech.csv", "text.csv", "--fuser", "fuser.json", "-q")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout == (folder / "fitted.csv").read_text()
    added = [
        name for name in read_table("fitted.csv").columns if name not in ("disagreement", "clash")
    ]
    assert added[-5:] == [
        "source", "consulted", "changed", "speech_label", "text_label",
    ]  # fmt: skip


def test_every_kind_of_rule_is_told(folder):
    (folder / "truth.csv").write_text(TRUTH.replace("c.wav,angry", "c.wav,sad"))
    done = run("speech.csv", "text.csv", *SELECT, "truth.csv", "--save", "fuser.json", "-v")
    assert "negative is angry up to 0.00, sad above" in done.stderr
    content = json.loads((folder / "fuser.json").read_text())
    assert content["inputs"] == {"speech": "builtin", "text": ""}
    assert _rule_told(ClassRule(1.0, 0.5)) == (
        "entropy from 1.000000, varentropy to 0.500000, negative is the likelier of angry and sad"
    )


def test_rows_that_took_no_part_are_told(folder):
    (folder / "truth.csv").write_text(TRUTH.replace("a.wav,angry", "a.wav,calm"))
    (folder / "text.csv").write_text(TEXT.replace("c.wav,negative,0.9", "c.wav,,"))
    done = run("speech.csv", "text.csv", *SELECT, "truth.csv")
    assert done.stderr == (
        "Fitted on 1 rows. 1 rows without a prediction took no part. 1 rows with other labels "
        "took no part: calm 1.\n"
        "3 rows, 1 consulted, 1 changed (angry->happy 1); 1 corrected, 0 broken.\n"
    )


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Forty rows of four speakers in which the words know what the voice does not."""
    rng = np.random.default_rng(5)
    names = ["angry", "happy", "neutral", "sad"]
    meant = dict(zip(names, ["negative", "positive", "neutral", "negative"], strict=True))
    tables = {"speech": "file,model,p_angry,p_happy,p_neutral,p_sad\n"}
    tables |= {"text": "file,label,score\n", "truth": "file,emotion,speaker,arousal\n"}
    for row in range(40):
        name = names[row % 4]
        probs = rng.dirichlet(np.ones(4)).round(4)
        probs[0] += 1 - probs.sum()
        tables["speech"] += f"{row}.wav,voice," + ",".join(f"{p:.4f}" for p in probs) + "\n"
        tables["text"] += f"{row}.wav,{meant[name]},{rng.uniform(0.5, 1):.3f}\n"
        tables["truth"] += f"{row}.wav,{name},s{row % 5},{rng.uniform():.3f}\n"
    for name, content in tables.items():
        (tmp_path / f"{name}.csv").write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_auto_fits_a_blend_and_keeps_it(corpus):
    learned = run("speech.csv", "text.csv", "--fit", "truth.csv", "--save", "f.json", "-v")
    assert learned.exit_code == 0
    assert learned.stderr == (
        "blend: Fitted on 40 rows.\n"
        "Rows that took part are fused by fusers that had not seen their speakers.\n"
    )
    assert json.loads((corpus / "f.json").read_text())["method"] == "blend"
    again = run("speech.csv", "text.csv", "--fuser", "f.json", "--method", "auto")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout != learned.stdout
    seen = run("speech.csv", "text.csv", "--fit", "truth.csv", "--in-sample", "-q")
    assert seen.stdout == again.stdout


def test_speakers_may_be_unknown(corpus):
    truth = (corpus / "truth.csv").read_text()
    for speaker in range(5):
        truth = truth.replace(f",s{speaker},", ",,")
    (corpus / "truth.csv").write_text(truth)
    done = run("speech.csv", "text.csv", "--fit", "truth.csv", "-v")
    assert "fusers that had not seen their rows." in done.stderr


@pytest.mark.parametrize("written", ["", "Unknown", "nan"])
@pytest.mark.parametrize("method", ["blend", "logistic", "ridge"])
def test_one_row_without_a_speaker_costs_nobody_else_their_separation(corpus, written, method):
    truth = (corpus / "truth.csv").read_text()
    lines = [line.replace(",s0,", f",{written},", 1) if line.startswith("5.wav") else line
             for line in truth.splitlines()]  # fmt: skip
    (corpus / "truth.csv").write_text("\n".join(lines) + "\n")
    done = run("speech.csv", "text.csv", "--method", method, "--fit", "truth.csv", "-v")
    assert done.stderr == (
        f"{method}: Fitted on 40 rows.\n"
        "warning: No speaker is named for 1 of 40 rows: each of these is held out by itself, so "
        "the fuser may have seen who speaks.\n"
        "Rows that took part are fused by fusers that had not seen their speakers.\n"
    )


def test_rows_without_a_label_take_no_part_in_a_fit(corpus):
    truth = (corpus / "truth.csv").read_text()
    (corpus / "truth.csv").write_text(truth.replace("\n5.wav,happy,", "\n5.wav,nan,"))
    done = run("speech.csv", "text.csv", "--fit", "truth.csv")
    assert done.stderr == (
        "blend: Fitted on 39 rows. 1 rows with other labels took no part: none 1.\n"
    )
    empty = "\n".join(",".join([line.split(",")[0], "", "s"]) for line in truth.splitlines()[1:])
    (corpus / "truth.csv").write_text(f"file,emotion,speaker\n{empty}\n")
    assert refused("speech.csv", "text.csv", "--fit", "truth.csv").endswith(
        "and 30 more, expected a label for every row. Fill it in, or leave the row out of all "
        "tables."
    )


@pytest.mark.parametrize("method", ["logistic", "ridge", "bayes", "blend"])
def test_every_fuser_is_kept_and_used_again(corpus, method):
    options = ["--balanced", "--select-by", "macro-f1", "--temper", "0.5"]
    fit = run(
        "speech.csv", "text.csv", "--method", method, "--fit", "truth.csv", "--save", "f", *options
    )
    assert fit.exit_code == 0
    done = run("text.csv", "speech.csv", "--fuser", "f", "-f", "json")
    rows = json.loads(done.stdout)
    assert rows[0]["model"] == f"{method}(voice,text)"
    assert ("arousal" in rows[0]) == (method == "ridge")


def test_models_without_names_are_known_by_their_order_alone(corpus):
    nameless = (corpus / "speech.csv").read_text().replace("model,", "").replace("voice,", "")
    (corpus / "one.csv").write_text(nameless)
    (corpus / "two.csv").write_text(nameless)
    run("one.csv", "two.csv", "--method", "logistic", "--fit", "truth.csv", "--save", "f", "-q")
    warning = (
        "warning: Some tables name no model and have the same labels: they are taken for those of "
        "--fit in the order in which they are given.\n"
    )
    assert run("one.csv", "two.csv", "--fuser", "f").stderr == warning
    run("one.csv", "speech.csv", "--method", "logistic", "--fit", "truth.csv", "--save", "g", "-q")
    assert run("speech.csv", "one.csv", "--fuser", "g").stderr == ""


def test_one_speaker_alone_is_no_hindrance(corpus):
    truth = (corpus / "truth.csv").read_text()
    for number in range(5):
        truth = truth.replace(f",s{number},", ",s0,")
    (corpus / "truth.csv").write_text(truth)
    done = run("speech.csv", "text.csv", "--fit", "truth.csv")
    assert done.exit_code == 0
    assert done.stderr == (
        "warning: All rows are of one speaker: rows are held out, and others may be harder.\n"
        "blend: Fitted on 40 rows.\n"
    )


def test_dimensions_are_not_averaged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(f"file,model,arousal\na.wav,{name},0.5\n")
    done = run("one.csv", "two.csv")
    assert (done.exit_code, done.stderr) == (
        1,
        "emocli: one: arousal and no labels, expected probabilities of labels. Fuse dimensions "
        "with --method ridge --fit TRUTH.\n",
    )


def test_another_class_mix_is_told(corpus):
    (corpus / "mix.csv").write_text("file,emotion\na,angry\nb,sad\nc,sad\nd,sad\n")
    done = run("speech.csv", "text.csv", "--fit", "truth.csv", "--prior", "mix.csv")
    assert done.stderr.splitlines()[1].startswith(
        "For the mix angry 25.0%, happy 0.0%, neutral 0.0%, sad 75.0% instead of angry 25.0%, "
        "happy 25.0%, neutral 25.0%, sad 25.0%: "
    )
    assert {row["label"] for row in csv.DictReader(done.stdout.splitlines())} <= {"angry", "sad"}
    done = run(
        "speech.csv", "text.csv", "--method", "logistic", "--fit", "truth.csv",
        "--prior", "uniform",
    )  # fmt: skip
    assert done.stderr.splitlines()[1].endswith(": 0 labels change.")


def test_a_fuser_of_another_method(corpus):
    run("speech.csv", "text.csv", "--fit", "truth.csv", "--save", "f.json", "-q")
    assert "--fuser holds blend; leave out --method" in misused(
        "speech.csv", "text.csv", "--fuser", "f.json", "--method", "stacking"
    )
    assert "blend finds its own weights; leave out --weights" in misused(
        "speech.csv", "text.csv", "--fuser", "f.json", "--weights", "1,1"
    )
    assert "--truth counts what entropy-selection changed; for other methods use" in misused(
        "speech.csv", "text.csv", "--fuser", "f.json", "--truth", "truth.csv"
    )


def test_rows_without_any_prediction_give_status_3(folder):
    speech = SPEECH.replace("speaker", "error").replace(",x\n", ",\n").replace(",y\n", ",\n")
    (folder / "speech.csv").write_text(
        speech.replace("a.wav,builtin,0.97,0.01,0.01,0.01,", "a.wav,builtin,,,,,0 bytes")
    )
    (folder / "text.csv").write_text(TEXT.replace("a.wav,positive,0.9", "a.wav,,"))
    done = run("speech.csv", "text.csv", "-f", "json")
    assert done.exit_code == 3
    first = json.loads(done.stdout)[0]
    assert first["error"] == "builtin: 0 bytes; text: no probabilities"


def test_the_readable_table_shows_what_the_text_changed(folder):
    done = run(
        "speech.csv", "text.csv", "--entropy-threshold", "1", "--varentropy-threshold", "9",
        "-f", "table", "-q",
    )  # fmt: skip
    assert done.exit_code == 0
    assert "text: angry->happy" in done.stdout


def test_tables_meet_by_stem(folder):
    (folder / "text.csv").write_text(TEXT.replace(".wav", ".txt"))
    assert refused("speech.csv", "text.csv") == (
        "builtin and text speak of different utterances, expected the same in both; 3 of builtin "
        "are missing from text: a.wav, b.wav, c.wav; 3 of text are missing from builtin: b.txt, "
        "a.txt, c.txt. Name the folder that both start from with --root, or compare names alone "
        "with --match stem, or add --allow-missing to fuse what is there."
    )
    done = run("speech.csv", "text.csv", "--match", "stem", "-f", "json")
    assert [row["label"] for row in json.loads(done.stdout)] == ["angry", "happy", "angry"]


def test_errors(folder):
    assert refused("speech.csv") == (
        "speech holds the rows of one model, expected two or more models to fuse. "
        "Give another table."
    )
    assert refused("speech.csv", "truth.csv") == (
        "truth: no probabilities among columns file, emotion, expected p_ columns, or label and "
        "score of sentiments. Give tables that emocli predict wrote."
    )
    assert refused("speech.csv", "text.csv", "--weights", "1") == (
        "--weights are 1, expected 2 numbers above 0, one for each model. "
        "Leave a table out to give it no weight."
    )
    assert refused("speech.csv", "text.csv", "--fuser", "none.json") == (
        "none.json: cannot be read (No such file or directory), expected a fuser that emocli fuse "
        "--save wrote. Check the path."
    )
    assert run("speech.csv", "text.csv", *SELECT, "truth.csv", "--save", "no/f.json").stderr == (
        "emocli: no/f.json: cannot be written (No such file or directory), expected a folder that "
        "exists and may be written to. Make the folder or choose another place with --save.\n"
    )
    assert refused("speech.csv", "text.csv", "--fit", "truth.csv", "--truth-column", "emo") == (
        "The truth has no column emo among file, emotion. "
        "Name the one that holds the label with --truth-column."
    )


HAND = ["--entropy-threshold", "1", "--varentropy-threshold", "1"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--fit", "truth.csv", "--fuser", "f.json"],
            "--fit, --fuser and thresholds set by hand exclude one another",
        ),
        (
            ["--fit", "truth.csv", *HAND],
            "--fit, --fuser and thresholds set by hand exclude one another",
        ),
        (["--save", "f.json"], "--save keeps what --fit TRUTH learned, and there is no --fit"),
        (
            ["--method", "mean", *HAND],
            "--method mean has nothing to learn; leave out --fit, --fuser and thresholds",
        ),
        (
            ["--method", "entropy-selection"],
            "entropy-selection needs --fit TRUTH or --fuser FUSER, or --entropy-threshold with "
            "--varentropy-threshold",
        ),
        (["--method", "bayes"], "bayes needs --fit TRUTH or --fuser FUSER"),
        (["--method", "bayes", *HAND], "thresholds belong to entropy-selection, not to bayes"),
        (
            [*HAND, "--weights", "1,1"],
            "entropy-selection finds its own weights; leave out --weights",
        ),
        (
            [*HAND, "--prior", "uniform"],
            "--prior needs posteriors that were learned from a known class mix, and "
            "entropy-selection has none",
        ),
        (
            ["--prior", "uniform"],
            "--prior needs posteriors that were learned from a known class mix, and an average "
            "has none",
        ),
        (
            ["--entropy-threshold", "1"],
            "a rule set by hand needs both --entropy-threshold and --varentropy-threshold",
        ),
        (
            ["--sentiment-rule", "refer"],
            "a rule set by hand needs both --entropy-threshold and --varentropy-threshold",
        ),
        (["--weights", "1,x"], "'1,x' is not a list of numbers such as 2,1"),
        (
            ["--truth", "truth.csv"],
            "--truth counts what entropy-selection changed; for other methods use emocli eval",
        ),
    ],
)
def test_options_that_contradict_one_another(folder, options, sentence):
    assert sentence in misused("speech.csv", "text.csv", *options)


@pytest.mark.parametrize(
    "rule", ["guess", "simple", "simple:x", "simple:2", "simple:0.5:flop", "refer:1"]
)
def test_a_sentiment_rule_that_is_none(folder, rule):
    assert (
        f"{rule!r} is neither refer nor simple:T nor simple:T:flip with T from 0 to 1"
        in misused("speech.csv", "text.csv", *HAND, "--sentiment-rule", rule)
    )


def test_in_a_pipe(folder):
    done = subprocess.run(
        f"{sys.executable} -m emocli fuse speech.csv - < text.csv | head -n 1",
        shell=True, capture_output=True, text=True, cwd=folder, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith("file,model,label,p_angry")
    assert done.stderr == ""


def test_sides_without_labels_in_common_have_no_disagreement(corpus):
    text = (corpus / "text.csv").read_text().splitlines()
    moods = ["file,model,p_calm,p_tense"]
    for n, line in enumerate(text[1:]):
        moods.append(f"{line.partition(',')[0]},moods,0.{3 + n % 5},0.{7 - n % 5}")
    (corpus / "moods.csv").write_text("\n".join(moods) + "\n")
    options = ("--method", "logistic", "--fit", "truth.csv")
    done = run("speech.csv", "moods.csv", *options)
    assert done.exit_code == 0
    header = done.stdout.partition("\n")[0].split(",")
    assert not {"disagreement", "clash"} & set(header)


def test_sides_that_never_speak_together_have_no_disagreement(folder):
    rows = "".join(f"{name}.wav,,,,broken\n" for name in "abc")
    (folder / "other.csv").write_text(f"file,p_negative,p_neutral,p_positive,error\n{rows}")
    done = run("speech.csv", "other.csv")
    header = done.stdout.partition("\n")[0].split(",")
    assert done.exit_code == 0
    assert not {"disagreement", "clash"} & set(header)


def test_tables_may_lack_recordings_of_one_another(folder):
    lines = TEXT.splitlines()
    (folder / "text.csv").write_text(
        "\n".join([*lines[:1], *lines[2:], "d.wav,negative,0.8"]) + "\n"
    )
    assert refused("speech.csv", "text.csv").endswith(
        "1 of text are missing from builtin: d.wav. Add --allow-missing to fuse what is there."
    )
    done = run("speech.csv", "text.csv", "--allow-missing", "-f", "json")
    assert done.exit_code == 0
    fused = {row["file"]: row for row in json.loads(done.stdout)}
    assert list(fused) == ["a.wav", "b.wav", "c.wav", "d.wav"]
    (missing,) = [line.split(",")[0] for line in lines[1:2]]
    assert fused[missing]["note"] == "text has no say (no row in text)"
    assert fused["d.wav"]["note"] == "builtin has no say (no row in builtin)"
    assert fused["d.wav"]["p_angry"] == pytest.approx(0.8 / 2, abs=0.06)
    assert done.stderr == (
        "warning: builtin lacks 1 of 4 recordings; the other models decide there.\n"
        "warning: text lacks 1 of 4 recordings; the other models decide there.\n"
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_sides_over_all_utterances_of_three_tables(order):
    tables = [
        PredictionTable.from_rows([{"file": file, "p_a": p, "p_b": 1 - p} for file in files])
        for files, p in ((["a", "b"], 0.9), (["b", "c"], 0.6), (["d"], 0.2))
    ]
    sides = align_union([Side(f"m{i}", tables[i]) for i in order])
    files = sides[0].table["file"].tolist()
    assert sorted(files) == ["a", "b", "c", "d"]
    for side in sides:
        assert side.table["file"].tolist() == files
        own = tables[int(side.name[1])]["file"].tolist()
        assert {file for file, has in zip(files, side.has_say, strict=True) if has} == set(own)
