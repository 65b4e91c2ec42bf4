"""Training of the hashed text models on a handful of comments."""

import tomllib
from importlib.resources import files

import numpy as np
import pytest

from emocli.errors import RecipeError
from emocli.models.hashed_text import load_hashed_text
from emocli.networks.text_features import HashedLinear
from emocli.training.text import (
    TextFit,
    choose_vocabularies,
    fit_temperature,
    minimise,
    parse_text_recipe,
    quantize,
    read_comments,
    train_text,
)

GOOD = ["a good day", "good work", "so good", "really good!", "good, good"]
BAD = ["a bad day", "bad work", "so bad", "really bad!", "bad, bad"]


def lines(texts, label):
    return "".join(f"{text}\t{label}\tid\n" for text in texts)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "labels.txt").write_text("joy\nanger\nsurprise\n")
    (folder / "train.tsv").write_text(
        lines(GOOD, 0) + lines(BAD, 1) + lines(["what", "what?"], 2) + lines(["good bad"], "0,1")
    )
    (folder / "dev.tsv").write_text(
        lines(["good", "a good"], 0) + lines(["bad", "good!"], 1) + lines(["what"], 2)
    )
    (folder / "test.tsv").write_text(lines(["good"], 0) + lines(["so bad"], 1))
    return folder


@pytest.fixture
def recipe():
    return {
        "recipe": "hashed-text",
        "name": "tiny",
        "licence": "MIT",
        "groups": [
            {"name": "negative", "of": ["anger"]},
            {"name": "positive", "of": ["joy"]},
            {"name": "other", "of": ["surprise"], "predicted": False},
        ],
        "data": {"folder": "data", "test": "test.tsv"},
        "fit": {"least_single": 1, "least_pair": 2, "least_characters": 2, "l2": 0.1},
    }


def test_a_folder_that_loads_and_separates(recipe, data, tmp_path):
    calls = []
    figures = train_text(recipe, tmp_path, tmp_path / "out", lambda *call: calls.append(call))
    model = load_hashed_text(tmp_path / "out")
    assert model.card.labels == ("negative", "positive")
    assert model.logits(["so bad", "so good"]).argmax(axis=1).tolist() == [0, 1]
    assert figures["dev"]["n"] == 4
    assert figures["dev"]["accuracy"] == 0.75
    assert figures["test"] == figures["test"] | {"n": 2, "macro_f1": 1.0, "accuracy": 1.0}
    assert calls[0] == ("fitting the weights", 1, 60)
    assert calls == sorted(calls)


def test_the_same_recipe_gives_the_same_bytes(recipe, data, tmp_path):
    for name in ("a", "b"):
        train_text(recipe, tmp_path, tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_comments_have_shares_of_groups(data):
    grouping = np.array([[0, 1], [1, 0], [1, 0]], float)
    comments = read_comments(data / "train.tsv", grouping)
    assert comments.targets[-1].tolist() == [0.5, 0.5]
    texts, truth = comments.sure([0, 1])
    assert len(texts) == 12
    assert truth.tolist() == [1] * 5 + [0] * 7
    assert comments.sure([1])[0] == GOOD


def test_the_minimum_has_no_slope(rng):
    """At the minimum the penalty's slope is that of the fit, worked out differently here."""
    from scipy import sparse

    matrix = rng.normal(size=(30, 4))
    truth = rng.integers(3, size=30)
    targets = np.eye(3)[truth]
    fit = TextFit(l2=0.7, iterations=500)
    weights, bias = minimise(sparse.csr_matrix(matrix), targets, fit)
    scores = np.exp(matrix @ weights + bias)
    probs = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(matrix.T @ (targets - probs), 0.7 * weights, atol=2e-3)
    np.testing.assert_allclose(probs.sum(axis=0), targets.sum(axis=0), atol=2e-3)


def test_rare_features_are_not_known():
    tokens = [["good", "day"], ["good", "work"], ["good"]]
    chosen = choose_vocabularies(tokens, TextFit(least_single=3, least_pair=3, least_characters=3))
    assert len(chosen["word"].hashes) == 2  # "good", and "good" at the start
    assert np.allclose(chosen["word"].rarity, 1.0)
    assert len(chosen["character"].hashes) == 9  # runs of 3 to 5 in "<good>": 4 + 3 + 2


def test_eight_bits_keep_weights_to_half_a_step(rng):
    weights = rng.normal(size=(50, 3))
    weights[7] = 0
    block = quantize(None, weights)
    step = block.scale.astype(float)[:, None]
    assert block.weights.flags.c_contiguous
    assert np.abs(block.weights * step - weights).max() <= 0.51 * step.max()
    assert not block.weights[7].any()


def test_the_temperature_softens_what_was_too_sure(monkeypatch):
    """Logits of 4 that are right 3 times in 4: the best temperature is 4 / ln 3."""
    logits = np.tile([4.0, 0.0], (40, 1))
    monkeypatch.setattr(HashedLinear, "logits", lambda self, texts: logits)
    truth = np.array([0, 0, 0, 1] * 10)
    found = fit_temperature(HashedLinear({}, *np.zeros((2, 2), np.float32)), [""] * 40, truth)
    assert found == pytest.approx(4 / np.log(3), abs=1e-3)


def test_evening_moves_the_biases_by_the_frequencies(recipe, data, tmp_path):
    recipe["fit"]["stripped_share"] = 0.0
    train_text(recipe, tmp_path, tmp_path / "natural")
    recipe["fit"]["evening"] = 1.0
    train_text(recipe, tmp_path, tmp_path / "even")
    biases = []
    for name in ("natural", "even"):
        model = load_hashed_text(tmp_path / name)
        biases.append(model.logits(["good"])[0] * model.temperature)
    share = np.array([5.5, 5.5]) / 13
    np.testing.assert_allclose(biases[1] - biases[0], -np.log(share), rtol=1e-5)


def message(recipe, base):
    with pytest.raises(RecipeError) as caught:
        train_text(recipe, base, base / "out")
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "key", "value", "problem"),
    [
        ("", "recipe", "x", "recipe is 'x', expected 'hashed-text'. Change the recipe."),
        ("fit", "l2", 0.0, "fit.l2 is 0.0, expected above 0. Change the recipe."),
        ("fit", "iterations", 0, "fit.iterations is 0, expected 1 or more. Change the recipe."),
        ("fit", "stripped_share", 2.0,
         "fit.stripped_share is 2.0, expected 0 to 1. Change the recipe."),
        ("fit", "evening", -1.0, "fit.evening is -1.0, expected 0 to 1. Change the recipe."),
        ("", "groups", [{"name": "a", "of": ["joy"]}],
         "groups is 1 that are predicted, expected 2 or more. Change the recipe."),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_followed(recipe, tmp_path, table, key, value, problem):
    (recipe[table] if table else recipe)[key] = value
    assert message(recipe, tmp_path) == f"tiny: {problem}"


def test_every_label_belongs_to_one_group(recipe, data, tmp_path):
    recipe["groups"][0]["of"] = ["anger", "envy"]
    assert message(recipe, tmp_path) == (
        "tiny: group negative has envy, which is no label of the data. "
        "Use one of joy, anger, surprise."
    )
    recipe["groups"][0]["of"] = ["anger", "joy"]
    assert message(recipe, tmp_path) == (
        "tiny: label joy is in 2 groups, expected 1. "
        "Put it in one, with predicted = false if the model shall not predict it."
    )


def test_two_groups_cannot_mean_the_same(recipe, tmp_path):
    recipe["groups"][1]["name"] = "neg"
    with pytest.raises(RecipeError, match=r"^tiny: .*negative"):
        parse_text_recipe(recipe)


@pytest.mark.parametrize("line", ["no labels", "text\tx\tid", "text\t7\tid", "text\t\tid"])
def test_a_line_in_another_form_is_named(recipe, data, tmp_path, line):
    (data / "train.tsv").write_text(f"good\t0\tid\n{line}\n")
    assert message(recipe, tmp_path) == (
        f"{data / 'train.tsv'}: line 2 is not a text, a tab and label numbers from 0 to 2 with "
        f"commas. Correct the line."
    )


def test_files_that_cannot_be_read_are_named(recipe, data, tmp_path):
    (data / "dev.tsv").write_text("")
    assert message(recipe, tmp_path) == (
        f"{data / 'dev.tsv'}: no comments, expected one a line. Name another file."
    )
    (data / "dev.tsv").write_bytes(b"\xff\t0\tid\n")
    assert message(recipe, tmp_path) == (
        f"{data / 'dev.tsv'}: not UTF-8 text ('utf-8' codec can't decode byte 0xff in position "
        f"0: invalid start byte). Convert the file."
    )
    (data / "dev.tsv").unlink()
    assert message(recipe, tmp_path) == (
        f"{data / 'dev.tsv'}: cannot be read (No such file or directory), expected a file that "
        f"the recipe names. Check data.folder, or give the folder of the data with --data."
    )


@pytest.mark.data
@pytest.mark.parametrize("name", ["sentiment", "emotion"])
def test_the_recipes_of_the_package_fit_the_data(name, data_dir):
    text = files("emocli.training").joinpath("recipes", f"builtin-{name}.toml").read_text("utf-8")
    recipe = parse_text_recipe(tomllib.loads(text))
    assert recipe.name == f"builtin-{name}"
    labels = (data_dir / recipe.data.folder / "labels.txt").read_text().split()
    assert sorted(label for group in recipe.groups for label in group.of) == sorted(labels)


@pytest.mark.data
def test_the_embedded_sentiment_reaches_its_figure(data_dir):
    """Comments of one sentiment, ambiguous ones left out: 4,539 of the test split."""
    text = files("emocli.training").joinpath("recipes", "builtin-sentiment.toml")
    recipe = parse_text_recipe(tomllib.loads(text.read_text("utf-8")))
    folder = data_dir / recipe.data.folder
    labels = (folder / "labels.txt").read_text().split()
    grouping = np.array([[label in group.of for group in recipe.groups] for label in labels])
    texts, truth = read_comments(folder / "test.tsv", grouping.astype(float)).sure([0, 1, 2])
    predicted = (
        load_hashed_text(files("emocli.models").joinpath("builtin", "text-sentiment"))
        .logits(texts)
        .argmax(axis=1)
    )
    assert len(texts) == 4539
    per_label = [
        2 * np.sum((truth == k) & (predicted == k)) / (np.sum(truth == k) + np.sum(predicted == k))
        for k in range(3)
    ]
    assert np.mean(per_label) >= 0.72
