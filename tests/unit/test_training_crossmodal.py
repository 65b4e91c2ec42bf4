"""Recipes of cross-modal networks: the paper's twelve, and what a recipe cannot say."""

import pytest

from emocli.errors import RecipeError
from emocli.training.crossmodal import Source, parse_crossmodal_recipe, single_recipes
from emocli.training.recipe import with_settings
from emocli.training.shipped import find_recipe, open_recipe, shipped_recipes

STACK = open_recipe("crossmodal-stack").content


def parse(*settings, content=STACK):
    return parse_crossmodal_recipe(with_settings(content, settings, "r"), "r")


def test_the_twelve_networks_in_the_order_of_the_stack():
    recipe = parse()
    assert [network.name for network in recipe.networks] == [
        "hubert-roberta-i", "whisper-roberta-i", "wavlm-roberta-i", "whisper-deberta-i",
        "whisper-hubert-i", "whisper-roberta-prosody-i", "hubert-roberta-ii",
        "whisper-deberta-ii", "whisper-roberta-ii", "wavlm-roberta-ii", "whisper-hubert-ii",
        "whisper-roberta-prosody-ii",
    ]  # fmt: skip
    assert [network.epochs for network in recipe.networks[:6]] == [30, 20, 30, 20, 30, 20]
    assert len(recipe.all_sources) == 6
    assert recipe.sources(recipe.networks[5]) == (
        Source("speech", "whisper-large-v3"),
        Source("text", "roberta-large"),
        Source("prosody", "facodec"),
    )
    assert recipe.heads(recipe.networks[5]) == (1, 1, 2)
    assert [network.drawn for network in recipe.networks[5:7]] == ["shuffle", "neutral-expressive"]


def test_the_training_is_the_paper_s():
    options = parse().fit_options(parse().networks[1], "fp32")
    (group,) = options.groups
    assert (group.learning_rate, group.weight_decay) == (1e-5, 1e-6)
    assert (options.schedule, options.final_rate, options.epochs) == ("cosine-by-epoch", 0.1, 20)
    assert (options.effective_batch, options.select, options.patience) == (64, "macro_f1", 0)


def test_each_network_is_a_recipe_of_its_own():
    singles = single_recipes(STACK)
    assert len(singles) == 12
    names = {recipe.name: recipe for recipe in shipped_recipes()}
    for name, content in singles.items():
        recipe = parse(content=content)
        assert (recipe.name, recipe.is_stack, len(recipe.networks)) == (name, False, 1)
        assert names[name].description == content["description"]
    assert find_recipe("crossmodal-wavlm-roberta-ii").name == "crossmodal-stack.toml"
    with pytest.raises(RecipeError, match="did you mean crossmodal-wavlm-roberta-i"):
        open_recipe("crossmodal-wavlm-robertai")


def test_encoders_are_replaced_one_by_one_or_by_kind():
    recipe = parse("speech.whisper=logmel", "text=words", "epochs=3")
    assert recipe.sources(recipe.networks[4]) == (
        Source("speech", "logmel"),
        Source("speech", "hubert-xlarge"),
    )
    assert recipe.sources(recipe.networks[3]) == (
        Source("speech", "logmel"),
        Source("text", "words"),
    )
    options = [recipe.fit_options(network, "fp32") for network in recipe.networks]
    assert {one.epochs for one in options} == {3}
    assert [one.seed for one in options] == list(range(7, 19))
    singles = single_recipes(STACK)
    assert parse(content=singles["crossmodal-whisper-roberta-i"]).modality == "text"
    assert parse(content=singles["crossmodal-whisper-hubert-i"]).modality == "speech"


NETWORK = "networks=[{name = 'n', speech = ['logmel'], text = ['words']%s}]"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("speech=3", "r: speech is 3, expected the name of an encoder, or a table of such names. "
         "Write it as in --set speech=logmel."),
        ("stack_on=luck", "r: stack_on is 'luck', expected folds or dev or train. Change the "
         "recipe."),
        ("networks=[]", "r: networks is empty, expected one or more. Change the recipe."),
        ("folds=1", "r: folds is 1, expected 2 or more. Change the recipe."),
        ("mean_of=0", "r: mean_of is 0, expected 1 or more. Change the recipe."),
        ("hidden=0", "r: hidden is 0, expected 1 or more. Change the recipe."),
        ("prosody_heads=3", "r: prosody_heads is 3, expected a divisor of twice hidden. Change the "
         "recipe."),
        ("patience=-1", "r: a number is negative, expected 0 or more. Change the recipe."),
        ("labels=['angry']", "r: labels is ('angry',), expected two or more, or none for all. "
         "Change the recipe."),
        ("labels=['angry', 'Angry']", "r: "),
        (NETWORK % ", design = 'iii'", "r: network n: design is 'iii', expected i or ii. Change "
         "the recipe."),
        (NETWORK % ", sampling = 'none'", "r: network n: sampling is 'none', expected shuffle or "
         "class-balanced or neutral-expressive. Change the recipe."),
        (NETWORK % ", epochs = 0", "r: network n: epochs is 0, expected 1 or more. Change the "
         "recipe."),
        ("networks=[{name = 'n', text = ['words', 'x']}]", "r: network n: encoders is of texts "
         "alone, expected one for recordings. Change the recipe."),
        ("networks=[{name = 'n', speech = ['logmel']}]", "r: network n: encoders is 1, expected "
         "two or more. Change the recipe."),
        ("networks=[{name = 'a/b', speech = ['logmel', 'x']}]", "r: network a/b: name is 'a/b', "
         "expected one for a folder, other than training. Change the recipe."),
        ("networks=[{name = 'n', speech = ['a', 'b']}, {name = 'n', speech = ['a', 'b']}]",
         "r: two networks of one name, expected different names. Change the recipe."),
    ],
)  # fmt: skip
def test_what_a_recipe_cannot_say(setting, said):
    with pytest.raises(RecipeError) as caught:
        parse(setting)
    assert str(caught.value).startswith(said)
    assert len(said) < 5 or str(caught.value) == said
