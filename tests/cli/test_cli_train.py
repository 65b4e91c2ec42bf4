import json
import os
import re

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.models.compact import load_compact
from emocli.models.hashed_text import load_hashed_text
from emocli.table_io import read_table

RECIPE = """
name = "mine"
labels = ["angry", "sad"]
output = "made"
temperature = "left-out"
licence = "CC0"
description = "Two emotions."
notes = "Of tones."

[split]
folds = 2

[augmentation]
copies = 1

[[data]]
name = "one"
table = "one.csv"

[[data]]
name = "two"
table = "two.csv"

[[members]]
kind = "discriminant"

[[members]]
kind = "perceptron"
hidden = [8]
epochs = 2
utterances_per_epoch = 64

[[members]]
kind = "convolutional"
channels = 8
dilations = [1]
epochs = 2
utterances_per_epoch = 32
batch_size = 8
averaging = 0.9
"""


def voice(hz, rng):
    time = np.arange(6400) / 16000
    wave = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 6))
    return 0.1 * wave + rng.normal(0, 0.005, len(time))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two corpora of two speakers, who are high when angry and low when sad."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        lines = ["file,emotion,speaker"]
        for speaker in ("a", "b"):
            for index in range(6):
                label, hz = (("anger", 300), ("sad", 110))[index % 2]
                file = f"{name}-{speaker}-{index}.wav"
                soundfile.write(folder / file, voice(hz * rng.uniform(0.9, 1.1), rng), 16000)
                lines.append(f"{file},{label},{name}-{speaker}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def run(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(corpus, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    result = run(corpus / "recipe.toml", "--cache", cache, "-o", folder)
    assert result.exit_code == 0, result.stderr
    return folder, result


def test_a_recipe_gives_a_model(made, corpus):
    folder, result = made
    assert result.stdout == ""
    assert result.stderr.endswith(f"Wrote the model to {folder}; predict with -m {folder}\n")
    assert "UAR one: 1.000\n" in result.stderr
    model = load_compact(folder)
    assert (model.card.name, model.card.labels) == ("mine", ("angry", "sad"))
    assert model.card.licence == "CC0"
    waveforms = [soundfile.read(corpus / f"one-a-{i}.wav", dtype="float32")[0] for i in range(6)]
    assert model.logits(waveforms).argmax(1).tolist() == [0, 1, 0, 1, 0, 1]


def test_the_card_says_what_it_was_trained_on_and_how_it_did(made):
    text = (made[0] / "README.md").read_text()
    assert "| one | 12 | 2 | 6 angry, 6 sad |" in text
    assert "Licence of the weights: CC0." in text
    assert text.endswith("\n\nOf tones.\n")
    assert re.search(r"- UAR two: \d\.\d{3}", text)


def test_a_label_that_no_row_has_is_told(corpus, cache, tmp_path):
    labels = 'labels=["angry", "sad", "bored"]'
    done = run(corpus / "recipe.toml", "--cache", cache, "-o", tmp_path / "m", "--set", labels)
    assert (done.exit_code, done.stderr) == (
        1,
        f"emocli: {corpus / 'recipe.toml'}: no row is bored, expected some of every label. Correct "
        f"labels, or give more data.\n",
    )


def test_the_same_recipe_gives_the_same_weights(made, corpus, cache, tmp_path):
    fresh = tmp_path / "elsewhere"
    (fresh / "features").parent.mkdir()
    os.symlink(cache / "features", fresh / "features")  # the runs are made anew
    assert run(corpus / "recipe.toml", "--cache", fresh, "-o", tmp_path / "again").exit_code == 0
    for name in ("model.safetensors", "config.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (made[0] / name).read_bytes()


def test_the_model_predicts_at_the_command_line(made, corpus):
    result = CliRunner().invoke(
        app, ["predict", "-m", str(made[0]), str(corpus / "one-a-0.wav"), "-f", "json"]
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[0]["label"] == "angry"


def test_cross_validation_writes_predictions_for_everybody(corpus, cache, made, tmp_path):
    table = tmp_path / "held-out.csv"
    result = run(corpus / "recipe.toml", "--cache", cache, "--cross-validate", "-o", table)
    assert result.exit_code == 0, result.stderr
    assert (result.stdout, "ECE before the temperature" in result.stderr) == ("", True)
    rows = read_table(str(table))
    assert len(rows) == 24
    assert rows.labels == ("angry", "sad")
    folds = dict(zip(rows.columns["speaker"], rows.columns["split"], strict=True))
    assert sorted(folds.values()) == ["fold-1", "fold-1", "fold-2", "fold-2"]
    evaluated = CliRunner().invoke(app, ["eval", str(table), "--truth", str(table), "-f", "json"])
    assert json.loads(evaluated.stdout)["uar"] == 1.0


def test_leaving_each_corpus_out_goes_to_a_pipe(corpus, cache):
    result = run(corpus / "recipe.toml", "--cache", cache, "--leave-corpus-out", "-q")
    assert result.exit_code == 0, result.stderr
    header, *rows = result.stdout.splitlines()
    assert header.startswith("file,model,label,p_angry,p_sad")
    assert len(rows) == 24
    assert sum(",without-one," in row for row in rows) == 12
    assert result.stderr == ""


def test_development_speakers_are_reported(corpus, cache, tmp_path):
    text = RECIPE.replace("folds = 2", 'dev_speakers = ["one-b"]')
    text = text.replace('temperature = "left-out"', "temperature = 1.5")
    (tmp_path / "dev.toml").write_text(text)
    result = run(
        tmp_path / "dev.toml", "--data", corpus, "--cache", cache, "-o", tmp_path / "model"
    )
    assert result.exit_code == 0, result.stderr
    assert "dev UAR one: 1.000" in result.stderr
    assert "| one | 6 | 1 |" in (tmp_path / "model" / "README.md").read_text()


def test_both_validations_at_once_are_a_usage_error(corpus):
    result = run(corpus / "recipe.toml", "--cross-validate", "--leave-corpus-out")
    assert result.exit_code == 2
    assert "choose one of --cross-validate and --leave-corpus-out" in result.stderr


def test_a_validation_needs_a_table(corpus):
    result = run(corpus / "recipe.toml", "--cross-validate", "-o", "folder")
    assert result.exit_code == 1
    assert result.stderr == (
        "emocli: folder: no suffix of a table, expected one such as .csv for the predictions of a "
        "validation. Name a table, or leave out --output.\n"
    )


def test_a_recipe_that_is_not_there():
    result = run("nowhere.toml")
    assert result.exit_code == 1
    assert result.stderr == (
        "emocli: nowhere.toml: cannot be read (No such file or directory), expected a recipe in "
        "TOML. Check the path.\n"
    )


TEXT_RECIPE = """
recipe = "hashed-text"
"""


TEXTS_WITH_DATA = """
recipe = "hashed-text"
name = "tiny"
licence = "MIT"
groups = [{name = "negative", of = ["anger"]}, {name = "positive", of = ["joy"]}]
data = {folder = "."}
fit = {least_single = 1, least_pair = 2, least_characters = 2, l2 = 0.1}
"""


def test_a_recipe_of_texts_has_no_cross_validation(tmp_path):
    (tmp_path / "t.toml").write_text(TEXT_RECIPE)
    done = CliRunner().invoke(app, ["train", str(tmp_path / "t.toml"), "--cross-validate"])
    assert done.exit_code == 2
    assert "a recipe of texts has a development split" in done.stderr


def test_a_recipe_of_texts_is_checked_by_its_own_rules(tmp_path):
    (tmp_path / "t.toml").write_text(TEXT_RECIPE)
    done = CliRunner().invoke(app, ["train", str(tmp_path / "t.toml")])
    assert done.exit_code == 1
    assert done.stderr.startswith("emocli: ")
    assert "recipe is no key" not in done.stderr


def test_a_recipe_of_texts_gives_a_model(tmp_path):
    good, bad = ("a good day", "good work", "so good"), ("a bad day", "bad work", "so bad")
    content = "".join(f"{text}\t0\tid\n" for text in good)
    content += "".join(f"{text}\t1\tid\n" for text in bad)
    (tmp_path / "labels.txt").write_text("joy\nanger\n")
    for part in ("train", "dev"):
        (tmp_path / f"{part}.tsv").write_text(content)
    (tmp_path / "t.toml").write_text(TEXTS_WITH_DATA)
    done = CliRunner().invoke(app, ["train", str(tmp_path / "t.toml"), "-o", str(tmp_path / "m")])
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    *figures, wrote = done.stderr.splitlines()
    assert figures[:3] == ["dev n: 6", "dev macro_f1: 1.000", "dev accuracy: 1.000"]
    assert [line.partition(":")[0] for line in figures[3:]] == ["dev ece", "dev ece_before"]
    assert wrote == f"Wrote the model to {tmp_path / 'm'}; predict with -m {tmp_path / 'm'}"
    assert load_hashed_text(tmp_path / "m").card.labels == ("negative", "positive")
