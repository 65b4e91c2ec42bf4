from importlib.resources import files
from pathlib import Path

import pytest

from emocli.errors import RecipeError
from emocli.training.recipe import parse_recipe, read_recipe


def content(**changes):
    minimal = {
        "name": "mine",
        "labels": ["anger", "sadness"],
        "data": [{"name": "own", "table": "labels.csv"}],
        "members": [{"kind": "perceptron"}],
    }
    return minimal | changes


def refusal(**changes):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content(**changes), "r.toml")
    return str(caught.value)


def test_a_minimal_recipe_has_defaults_and_its_own_labels():
    recipe = parse_recipe(content(auxiliary_labels=["fear"]), "r.toml")
    assert recipe.trained_labels == ("anger", "sadness", "fear")
    assert recipe.members[0].epochs == 14
    assert (recipe.split.folds, recipe.augmentation.copies, recipe.temperature) == (0, 0, 1.0)


def test_the_shipped_recipe_can_be_read():
    folder = Path(str(files("emocli.training").joinpath("recipes")))
    recipe = read_recipe(folder / "builtin.toml")
    assert recipe.labels == ("angry", "happy", "neutral", "sad")
    assert recipe.licence == "CC BY-NC-SA 4.0"


def test_fingerprints_change_with_what_decides_the_weights():
    recipe = parse_recipe(content(), "r.toml")
    other = parse_recipe(content(members=[{"kind": "perceptron", "weight": 2}]), "r.toml")
    longer = parse_recipe(content(members=[{"kind": "perceptron", "epochs": 3}]), "r.toml")
    seeded = parse_recipe(content(seed=2), "r.toml")
    assert recipe.member_fingerprint(0) == other.member_fingerprint(0)
    assert recipe.member_fingerprint(0) != longer.member_fingerprint(0)
    assert recipe.fingerprint == other.fingerprint == longer.fingerprint
    assert recipe.fingerprint != seeded.fingerprint


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": ["angry"]},
         "r.toml: labels is 1 labels, expected two or more. Change the recipe."),
        ({"data": []}, "r.toml: data is no table, expected one or more. Change the recipe."),
        ({"members": []},
         "r.toml: members is no member, expected one or more. Change the recipe."),
        ({"split": {"folds": 1}},
         "r.toml: split.folds is 1, expected 0 or at least 2. Change the recipe."),
        ({"augmentation": {"copies": -1}},
         "r.toml: augmentation.copies is -1, expected 0 or more. Change the recipe."),
        ({"temperature": 0},
         'r.toml: temperature is 0.0, expected a number above 0, "held-out" or "left-out". '
         "Change the recipe."),
        ({"temperature": "warm"},
         "r.toml: temperature is 'warm', expected a number above 0, \"held-out\" or \"left-out\". "
         "Change the recipe."),
        ({"temperature": "left-out", "split": {"folds": 2}},
         "r.toml: temperature is 'left-out', expected \"held-out\" where there is only one table. "
         "Change the recipe."),
        ({"temperature": "held-out"},
         "r.toml: split.folds is 0, expected at least 2 for a temperature that is fitted. "
         "Change the recipe."),
        ({"members": [{"kind": "oracle"}]},
         "r.toml: members[0].kind is 'oracle', expected discriminant or perceptron or "
         "convolutional. Change the recipe."),
        ({"members": [{"kind": "perceptron", "epochs": 0}]},
         "r.toml: members[0].epochs is 0, expected 1 or more. Change the recipe."),
        ({"members": [{"kind": "perceptron", "batch_size": 1}]},
         "r.toml: members[0].batch_size is 1, expected 2 or more. Change the recipe."),
        ({"members": [{"kind": "perceptron", "utterances_per_epoch": 3}]},
         "r.toml: members[0].utterances_per_epoch is 3, expected at least batch_size. "
         "Change the recipe."),
        ({"members": [{"kind": "perceptron", "weight": 0}]},
         "r.toml: members[0].weight is 0.0, expected above 0. Change the recipe."),
        ({"members": [{"kind": "convolutional", "channels": 9}]},
         "r.toml: members[0].channels is 9, expected a multiple of heads. Change the recipe."),
        ({"colour": 1},
         "r.toml: colour is no key of a recipe, expected one of name, labels, data, members, "
         "auxiliary_labels, seed, output, temperature, licence, description, notes, split, "
         "augmentation, front_end. Correct or delete it."),
        ({"data": [{"name": "own"}]}, "r.toml: data[0].table is missing. Add it."),
        ({"seed": "x"}, "r.toml: seed is 'x' (str), expected int. Correct it."),
        ({"labels": "angry"}, "r.toml: labels is 'angry' (str), expected a list. Correct it."),
        ({"split": 3}, "r.toml: split is 3 (int), expected a table. Correct it."),
        ({"labels": ["angry", "Angry"]},
         "r.toml: labels has angry more than once, expected each once. Change the recipe."),
    ],
)  # fmt: skip
def test_refusals(changes, sentence):
    assert refusal(**changes) == sentence


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"{tmp_path}/none.toml: cannot be read (No such file or directory), expected a recipe in "
        f"TOML. Check the path."
    )
    (tmp_path / "bad.toml").write_text("name =")
    with pytest.raises(RecipeError) as caught:
        read_recipe(tmp_path / "bad.toml")
    assert str(caught.value) == (
        f"{tmp_path}/bad.toml: not TOML (Invalid value (at end of document)), expected a recipe. "
        f"Correct the line."
    )
