import json
import re

import pytest
from tuning_data import roberta, settings, tones, wavlm
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.cli.console import Talk
from emocli.cli.progress import phases_shown
from emocli.table_io import read_table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with labels.csv, recordings, and two encoders."""
    folder = tmp_path_factory.mktemp("place")
    tones(folder)
    wavlm(folder / "wavlm")
    roberta(folder / "roberta")
    return folder


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def train(recipe, place, *words, encoder="wavlm", **more):
    chosen = settings(f"encoder={place / encoder}", *(f"{k}={v}" for k, v in more.items()))
    return run("train", recipe, "--data", place / "labels.csv", *chosen, *words)


def test_a_recipe_of_the_package_gives_a_model_that_predicts(place, tmp_path):
    result = train("odyssey-baseline", place, "-o", tmp_path / "m", crop_seconds=0.35)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    cut, best, wrote = result.stderr.splitlines()
    assert re.fullmatch(r"Heard only the first 0\.35 s of \d+ recordings", cut)
    assert re.fullmatch(
        r"Best after epoch \d of 3: macro F1 [01]\.\d{3}, UAR [01]\.\d{3}, accuracy [01]\.\d{3} "
        r"on dev",
        best,
    )
    assert wrote == f"Wrote the model to {tmp_path / 'm'}; predict with -m {tmp_path / 'm'}"
    assert (tmp_path / "m" / "curves.svg").read_text().startswith("<svg")
    shown = run(
        "predict", "-m", tmp_path / "m", place / "a0.wav", "-f", "json", "--engine", "torch"
    )
    assert json.loads(shown.stdout)[0]["p_sad"] > 0
    assert "## Measured on the development set" in run("models", "show", tmp_path / "m").stdout


def test_texts_and_dimensions(place, tmp_path):
    result = train(
        "emojudge-dimensional", place, "-o", tmp_path / "m", "-q",
        encoder="roberta", modality="text", micro_batch=8,
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    out = tmp_path / "values.csv"
    done = run("predict", "-m", tmp_path / "m", place / "labels.csv", "-o", out)
    assert done.exit_code == 0, done.stderr
    assert {"arousal", "dominance", "valence"} <= set(read_table(str(out)).columns)


def test_a_plan_is_printed_and_nothing_trained(place, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = train(
        "odyssey-baseline", place, "--dry-run", "--dtype", "bf16", "--device", "cpu",
        "-o", tmp_path / "m",
        schedule="linear", warm_up=0.1,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    lines = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in result.stdout.splitlines())
    assert not (tmp_path / "m").exists()
    assert lines["recipe"] == "odyssey-baseline"
    assert lines["encoder"] == f"{place / 'wavlm'} (speech), frozen: front-end"
    assert lines["gives"] == "anger, sad"
    assert lines["train"] == "24 utterances, 3 speakers: 12 anger, 12 sad"
    assert lines["dev"] == "8 utterances, 1 speaker: 4 anger, 4 sad"
    assert lines["class weights"] == "anger 1, sad 1"
    assert lines["parameters"] == "6,846 trained, 1,216 frozen"
    assert lines["steps"] == "9: 3 epochs of 3, each of 2 x 4 utterances"
    assert lines["learning rates"] == (
        "encoder 0.001, pooling 0.01, head 0.01; linear, warm-up over 10% of the steps"
    )
    assert lines["computes on"] == "cpu in bf16"
    assert lines["memory, AdamW's moments"] == "0.1 MiB"
    assert lines["memory, activations (estimate)"].endswith(" MiB")
    dimensional = train(
        "emojudge-dimensional", place, "--dry-run", accumulation=4, allow_unknown_speakers="true"
    )
    assert "class weights" not in dimensional.stdout
    assert "CCC" not in dimensional.stdout


def test_what_is_left_out_is_said(place, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    table = place / "more.csv"
    rows = (place / "labels.csv").read_text() + "x.wav,other,a,1,1,1,hm\n"
    table.write_text(rows)
    words = [*settings(f"encoder={place / 'wavlm'}", "epochs=9", "patience=1"), "--data", table]
    planned = run("train", "odyssey-baseline", *words, "--dry-run")
    assert re.search(r"left out +1 with emotion other", planned.stdout)
    result = run("train", "odyssey-baseline", *words, "-o", tmp_path / "m")
    assert result.exit_code == 0, result.stderr
    said = result.stderr.splitlines()
    assert said[:2] == [
        "Left out 1 row with emotion other",
        "Stopped early: nothing better in 1 evaluation",
    ]


def test_the_recipes_of_the_package_are_listed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    result = run("train", "--list")
    assert result.exit_code == 0
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert {"builtin", "builtin-emotion", "odyssey-baseline", "emojudge-text"} <= set(names)
    assert "The MSP-Podcast challenge's baseline: WavLM" in result.stdout


def test_an_interrupted_training_says_that_it_goes_on(place, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "state.pt").write_bytes(b"noise")
    result = train("odyssey-baseline", place, "-o", tmp_path)
    assert result.exit_code == 1
    state = tmp_path / "training" / "state.pt"
    assert result.stderr == (
        f"Going on from {state}\n"
        f"emocli: {state}: not the state of a training, expected one to go on from. Delete it to "
        f"start anew.\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "missing argument RECIPE; --list names those of the package"),
        (["odyssey-baseline"], "a recipe that fine-tunes needs a table of recordings"),
        (["odyssey-baseline", "--cross-validate"],
         "a recipe that fine-tunes has a development split; leave the validation"),
        (["builtin", "--dry-run"], "only recipes that fine-tune have a plan to print"),
    ],
)  # fmt: skip
def test_usage_errors(words, sentence, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = run("train", *words)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("recipe", "setting", "sentence"),
    [
        ("odyssey-baselin", "epochs=1",
         "No recipe is called odyssey-baselin, and no file is: did you mean odyssey-baseline? "
         "`emocli train --list` names those of the package."),
        ("zzz", "epochs=1",
         "No recipe is called zzz, and no file is: `emocli train --list` names those of the "
         "package."),
        ("odyssey-baseline", "epochs",
         "{recipe}: setting 'epochs', expected key=value. Write it as in --set epochs=5."),
        ("odyssey-baseline", "epochs.more=1",
         "{recipe}: epochs in setting 'epochs.more=1' is no table, expected one. Change the key in "
         "a copy of the recipe."),
        ("odyssey-baseline", "epochs=many",
         "{recipe}: epochs is 'many' (str), expected int. Correct it."),
    ],
)  # fmt: skip
def test_errors_of_a_recipe(recipe, setting, sentence, place):
    from emocli.training.shipped import FOLDER

    result = run("train", recipe, "--data", place / "labels.csv", "--set", setting)
    assert result.exit_code == 1
    path = FOLDER / f"{recipe}.toml"
    assert result.stderr == f"emocli: {sentence.replace('{recipe}', str(path))}\n"


def test_an_unknown_key_is_told_the_known_ones(place):
    result = run("train", "odyssey-baseline", "--data", place / "labels.csv", "--set", "epoch=1")
    assert result.exit_code == 1
    assert "odyssey-baseline.toml: epoch is no key of a recipe, expected one of recipe, name, " in (
        result.stderr
    )
    assert "micro_batch, accumulation" in result.stderr


def test_settings_change_recipes_of_other_kinds_too(tmp_path):
    (tmp_path / "t.toml").write_text('recipe = "hashed-text"\n')
    result = run("train", tmp_path / "t.toml", "--set", "nothing=1")
    assert result.exit_code == 1
    assert "nothing is no key of a recipe" in result.stderr
    (tmp_path / "r.toml").write_text('name = "r"\n')
    result = run("train", tmp_path / "r.toml", "--set", "labels=[1, 2]")
    assert result.exit_code == 1
    assert "r.toml: data is missing. Add it." in result.stderr


def test_a_model_that_is_not_here_is_named(place, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    result = run("train", "odyssey-baseline", "--data", place / "labels.csv", "--offline")
    assert result.exit_code == 4
    assert "microsoft/wavlm-large is not on this machine" in result.stderr


class _Terminal(Talk):
    live = True


def test_progress_has_a_bar_for_each_phase(capsys):
    with phases_shown(Talk(quiet=True)) as draw:
        assert draw is None
    with phases_shown(_Terminal()) as draw:
        draw("listening", 1, 2)
        draw("training", 0, 5)
        draw("listening", 2, 2)
    assert "Traceback" not in capsys.readouterr().err
