"""``emocli calibrate``: fitting, applying, abstaining, and every refusal."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.posteriors import log_softmax
from emocli.table_io import read_table

LABELS = ("angry", "happy", "neutral", "sad")


def write_tables(folder, n=120, n_speakers=6, labels=LABELS, seed=5):
    """Posteriors twice as sharp as they should be, and the truth."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(scale=1.5, size=(n, len(labels)))
    truth = [rng.choice(labels, p=row) for row in np.exp(log_softmax(honest))]
    lines = ["file,model," + ",".join(f"p_{label}" for label in labels)]
    for row, probs in enumerate(np.exp(log_softmax(2 * honest))):
        lines.append(f"{row}.wav,m," + ",".join(f"{p:.9g}" for p in probs))
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    speakers = [f"{row}.wav,{truth[row]},s{row % n_speakers}" for row in range(n)]
    (folder / "truth.csv").write_text("file,emotion,speaker\n" + "\n".join(speakers) + "\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_tables(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(
        app, ["calibrate", *arguments], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )


def fit(*arguments):
    return run("t.csv", "--truth", "truth.csv", *arguments)


def test_fit_and_apply(folder):
    done = fit("--method", "temperature", "-o", "cal.json")
    assert (done.exit_code, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[:2] == [
        "temperature calibration, fitted on 120 predictions of 6 speakers.",
        "After calibration measured on speakers that were left out:",
    ]
    figures = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in lines[4:9]}
    assert list(figures) == ["accuracy", "ECE, 15 bins", "NLL, nats", "Brier score", "AURC"]
    assert float(figures["NLL, nats"][1]) < float(figures["NLL, nats"][0])
    written = json.loads((folder / "cal.json").read_text())
    assert written["map"]["temperature"] == pytest.approx(2.0, abs=0.5)
    assert (written["model"], written["n_fitted"], written["sets"]) == ("m", 120, None)
    done = run("t.csv", "--apply", "cal.json", "-o", "out.csv")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    before, after = read_table("t.csv"), read_table("out.csv")
    assert set(after["model"]) == {"temperature(m)"}
    assert after["entropy"].mean() > before["entropy"].mean()
    assert after["label"].tolist() == before["label"].tolist()


def test_the_calibration_goes_to_standard_output_and_its_figures_do_not(folder):
    done = fit("-q", "--method", "beta")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["method"] == "beta"


def test_auto_tells_what_it_compared(folder):
    done = fit("-o", "cal.json")
    told = done.stderr.splitlines()[1]
    assert told.startswith("Held-out NLL of each method: ")
    best = told.removeprefix("Held-out NLL of each method: ").split()[0]
    assert json.loads((folder / "cal.json").read_text())["method"] == best


def test_without_speakers_recordings_are_held_out_and_auto_takes_the_mean(folder):
    for name in ("t.csv", "truth.csv"):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace("speaker", "room", 1))
    done = fit("-o", "cal.json")
    assert done.stderr.splitlines()[:2] == [
        "mean calibration, fitted on 120 predictions.",
        "After calibration measured on recordings that were left out:",
    ]
    assert done.stderr.splitlines()[-1] == (
        "warning: No two speakers are known, so the figures hold for the speakers at hand and "
        "flatter for others. Name their column with --speaker-column."
    )


def test_rows_without_a_speaker_are_left_out_by_themselves_and_that_is_said(folder):
    truth = (folder / "truth.csv").read_text()
    (folder / "truth.csv").write_text(truth.replace(",s0\n", ",Unknown\n", 2))
    done = fit("--method", "temperature", "-o", "cal.json")
    lines = done.stderr.splitlines()
    assert lines[:2] == [
        "temperature calibration, fitted on 120 predictions of 6 speakers.",
        "After calibration measured on speakers that were left out:",
    ]
    assert lines[-1] == (
        "warning: The speakers of 2 predictions are not known: each of these was left out by "
        "itself, so somebody fitted on may have spoken it."
    )


def test_few_rows_are_measured_in_sample_and_that_is_said(folder):
    write_tables(folder, n=12)
    done = fit("--method", "temperature", "-o", "cal.json")
    assert "After calibration measured on the recordings that it was fitted on:" in done.stderr
    assert (
        "warning: The figures after calibration are in-sample, so they flatter. "
        "Give 20 labelled recordings or more."
    ) in done.stderr


def test_label_sets(folder):
    done = fit("--conformal", "0.8", "--adaptive", "--penalty", "0.01", "-o", "cal.json")
    titles = [line.strip() for line in done.stderr.splitlines()]
    coverage = next(line for line in titles if line.startswith("coverage of the label sets"))
    assert float(coverage.split()[-1]) == pytest.approx(0.8, abs=0.12)
    sets = json.loads((folder / "cal.json").read_text())["sets"]
    assert (sets["coverage"], sets["adaptive"], sets["penalty"]) == (0.8, True, 0.01)
    run("t.csv", "--apply", "cal.json", "-o", "out.csv")
    table = read_table("out.csv")
    for label, names, size in zip(
        table["label"], table["label_set"], table["set_size"], strict=True
    ):
        assert names.split("|")[0] == label
        assert len(names.split("|")) == int(size)


def test_too_few_for_a_promise(folder):
    done = fit("--conformal", "0.99", "--per-class", "-o", "cal.json")
    assert done.stderr.splitlines()[-1] == (
        "warning: Too few recordings to promise 0.99 for angry, happy, neutral, sad, so every set "
        "holds it. Give more of them."
    )


def test_abstaining_with_and_without_a_calibration(folder):
    done = run("t.csv", "--abstain-below", "0.6", "-o", "out.csv")
    table = read_table("out.csv")
    n = int((read_table("t.csv").probs.max(axis=1) < 0.6).sum())
    assert done.stderr == f"{n} of 120 predictions have no label; see note.\n"
    assert table["abstained"].tolist().count("yes") == n > 0
    assert table["label"].tolist().count("") == n
    fit("-q", "--method", "temperature", "-o", "cal.json")
    run("t.csv", "--apply", "cal.json", "--abstain-above", "1", "-o", "out.csv")
    calibrated = read_table("out.csv")
    assert (calibrated["label"] == "").tolist() == (calibrated["entropy"] > 1).tolist()


def test_rows_that_take_no_part_are_counted(folder):
    header, _, *rest = (folder / "truth.csv").read_text().splitlines()
    lines = [header, "0.wav,fear,s0", *rest, "silent.wav,sad,s1"]
    (folder / "truth.csv").write_text("\n".join(lines) + "\n")
    done = fit("--method", "temperature", "-o", "cal.json")
    assert done.stderr.splitlines()[0] == (
        "temperature calibration, fitted on 119 predictions of 6 speakers. 1 rows without a "
        "prediction took no part. 1 rows with other labels took no part: fearful 1."
    )


def test_an_emotion_that_never_occurs_is_told(folder):
    lines = (folder / "truth.csv").read_text().splitlines()
    kept = [line for line in lines if ",sad," not in line]
    (folder / "truth.csv").write_text("\n".join(kept) + "\n")
    done = fit("--ignore-extra", "--method", "vector", "-o", "cal.json")
    assert done.stderr.splitlines()[-1] == (
        "warning: No recording is truly sad, so nothing was learned of such. "
        "Give recordings of every emotion."
    )


def test_predictions_without_a_truth_are_refused(folder):
    with (folder / "t.csv").open("a") as stream:
        stream.write("new.wav,m,1,0,0,0\n")
    done = fit()
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: t.csv (m): 1 of 121 predictions have no truth in truth.csv: new.wav. Complete the "
        "truth, or leave them out with --ignore-extra.\n"
    )


def test_several_models_are_refused(folder):
    with (folder / "t.csv").open("a") as stream:
        stream.write("".join(f"{row}.wav,other,1,0,0,0\n" for row in range(120)))
    done = fit()
    assert (done.exit_code, done.stderr) == (1, (
        "emocli: t.csv holds the rows of 2 models (m, other), expected those of one. "
        "Predict with one model, or remove the other rows.\n"
    ))  # fmt: skip


def test_a_table_without_probabilities_is_refused(folder):
    (folder / "t.csv").write_text("file,label\n0.wav,sad\n")
    done = fit()
    assert (done.exit_code, done.stderr) == (1, (
        "emocli: t.csv has probabilities of no label, expected two or more columns p_LABEL. "
        "Predict with a model of emotions.\n"
    ))  # fmt: skip


def test_too_few_rows_are_refused(folder):
    write_tables(folder, n=3)
    done = fit("--conformal", "0.9")
    assert (done.exit_code, done.stderr) == (1, (
        "emocli: 3 predictions have a known truth, expected 4 or more to fit a calibration. "
        "Give more recordings that are labelled.\n"
    ))  # fmt: skip


def test_a_calibration_of_another_model_is_refused(folder):
    fit("-q", "-o", "cal.json")
    (folder / "u.csv").write_text((folder / "t.csv").read_text().replace(",m,", ",n,"))
    done = run("u.csv", "--apply", "cal.json")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", (
        "emocli: u.csv comes from model n, the calibration was fitted on m. "
        "Predict with that model, or fit another calibration.\n"
    ))  # fmt: skip


def test_a_table_without_a_model_gives_one_of_an_unnamed_model(folder):
    (folder / "t.csv").write_text((folder / "t.csv").read_text().replace(",m,", ",,"))
    assert fit("-q", "--method", "temperature", "-o", "cal.json").exit_code == 0
    assert run("t.csv", "--apply", "cal.json", "-o", "out.csv").exit_code == 0
    assert set(read_table("out.csv")["model"]) == {"temperature(unnamed)"}


def test_files_that_cannot_be_read_or_written(folder):
    done = run("t.csv", "--apply", "none.json")
    assert (done.exit_code, done.stderr) == (1, (
        "emocli: none.json: cannot be read (No such file or directory), expected a calibration "
        "that emocli calibrate -o wrote. Check the path.\n"
    ))  # fmt: skip
    (folder / "latin.json").write_bytes(b"\xff\xfe\xff")
    assert run("t.csv", "--apply", "latin.json").stderr == (
        "emocli: latin.json: cannot be read (not UTF-8), expected a calibration that emocli "
        "calibrate -o wrote. Check the path.\n"
    )
    done = fit("-q", "-o", "nowhere/cal.json")
    assert done.exit_code == 1
    assert "nowhere/cal.json: cannot be written" in done.stderr


@pytest.mark.parametrize(("arguments", "sentence"), [
    ([], "nothing to do without --truth TABLE, --apply FILE, --abstain-above or --abstain-below"),
    (["--truth", "truth.csv", "--apply", "c.json"],
     "--truth fits a calibration; --apply and --abstain make a table, in a second step"),
    (["--truth", "truth.csv", "--abstain-above", "1"],
     "--truth fits a calibration; --apply and --abstain make a table, in a second step"),
    (["--truth", "truth.csv", "-f", "csv"],
     "--format is for tables, and a calibration is JSON"),
    (["--truth", "truth.csv", "--conformal", "1"], "1 is not above 0 and below 1"),
    (["--truth", "truth.csv", "--conformal", "0.9", "--penalty", "1"],
     "--penalty belongs to --adaptive sets"),
    (["--truth", "truth.csv", "--adaptive"],
     "--adaptive speaks of label sets, and there is no --conformal COVERAGE"),
    (["--truth", "truth.csv", "--per-class"],
     "--per-class speaks of label sets, and there is no --conformal COVERAGE"),
    (["--truth", "truth.csv", "--penalty", "0.1"],
     "--penalty speaks of label sets, and there is no --conformal COVERAGE"),
    *[(["--apply", "c.json", *options], f"{options[0]} is for fitting, and there is no --truth")
      for options in (["--method", "beta"], ["--conformal", "0.9"], ["--adaptive"],
                      ["--penalty", "1"], ["--per-class"], ["--ignore-extra"])],
    (["--abstain-below", "2"], "Invalid value for '--abstain-below'"),
    (["--abstain-above", "-1"], "Invalid value for '--abstain-above'"),
])  # fmt: skip
def test_options_that_contradict_one_another(folder, arguments, sentence):
    done = run("t.csv", *arguments)
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
