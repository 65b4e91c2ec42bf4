"""The embedded text models: features, scores, files."""

import json
import zlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from emocli.errors import ModelError, ModelUnavailable
from emocli.models.hashed_text import MODEL_TYPE, load_hashed_text
from emocli.models.registry import resolve
from emocli.networks.text_features import (
    Block,
    HashedLinear,
    Vocabulary,
    character_features,
    normalize,
    pair_features,
    single_features,
    spoken,
    tokens_of,
)

REPAIR = "Fetch the checkpoint again, or repair the field."


def crc(*features):
    return [zlib.crc32(feature.encode()) for feature in features]


def vocabulary(*features, rarity=1.0):
    hashes = np.array(sorted(crc(*features)), np.uint32)
    return Vocabulary(hashes, np.full(len(hashes), rarity, np.float32))


def network():
    """Two labels; "good" speaks for the second with 1.27, "bad" for the first."""
    words = vocabulary("1good", "1bad")
    good = words.hashes.tolist().index(crc("1good")[0])
    weights = np.zeros((2, 2), np.int8)
    weights[good, 1] = weights[1 - good, 0] = 127
    character = Block(vocabulary("c<go"), np.zeros((1, 2), np.int8), np.zeros(1, np.float16))
    word = Block(words, weights, np.full(2, 0.01, np.float16))
    bias = np.array([0.5, -0.5], np.float32)
    prior = np.log(np.array([0.75, 0.25], np.float32))
    return HashedLinear({"word": word, "character": character}, bias, prior)


CONFIG = {
    "model_type": MODEL_TYPE,
    "name": "tiny",
    "labels": ["anger", "joy"],
    "temperature": 2.0,
    "licence": "MIT",
    "description": "two words",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(save(network().tensors()))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Oh my God!!! Really?? :)", ["oh", "my", "god", "!!", "really", "??", ":)"]),
        ("I don\u2019t know…", ["i", "don't", "know", ".."]),
        ("[NAME] dont like r/aww, u/bob @al", ["<name>", "don't", "like", ","]),
        ("see https://a.b/c?d=1 soooo café <3", ["see", "soo", "cafe", "<3"]),
        ("\U0001f602 ok", ["\U0001f602", "ok"]),
        ("", []),
        ("日本語", []),
    ],
)  # fmt: skip
def test_tokens(text, tokens):
    assert tokens_of(text) == tokens


def test_normalizing_twice_changes_nothing_more():
    once = normalize("Whaaaat, [NAME]?! I dont CARE\u2026")
    assert normalize(once) == once


def test_spoken_words_have_no_punctuation():
    assert spoken(["oh", ",", "<name>", "it's", "5", "!!", ":)", "\U0001f602"]) == [
        "oh",
        "it's",
        "5",
    ]


def test_a_negation_reaches_three_words_or_the_next_punctuation():
    found = single_features(["not", "a", "good", "old", "day"])
    assert set(crc("na", "ngood", "nold")) <= set(found)
    assert crc("nday")[0] not in found
    assert crc("ngood")[0] not in single_features(["don't", ",", "good"])


def test_features_are_the_crc_of_what_they_say():
    assert single_features(["hi"]) == [zlib.crc32(b"1hi")]
    assert pair_features(["hi"]) == crc("2^ hi", "2hi $")
    assert character_features(["hi", "!"]) == crc("c<hi", "chi>", "c<hi>")
    assert zlib.crc32(b"1hi") == 1134718694


def test_entries_are_unit_vectors_of_damped_counts():
    entries = vocabulary("a", "b").entries([crc("a", "a", "b"), crc("z"), []])
    assert entries.row.tolist() == [0, 0]
    damped = 1 + np.log(2)
    first = vocabulary("a", "b").hashes.tolist().index(crc("a")[0])
    expected = np.empty(2)
    expected[[first, 1 - first]] = np.array([damped, 1]) / np.hypot(damped, 1)
    np.testing.assert_allclose(entries.value, expected, rtol=1e-12)


def test_an_empty_vocabulary_knows_nothing():
    entries = Vocabulary(np.zeros(0, np.uint32), np.zeros(0, np.float32)).entries([crc("a")])
    assert entries.row.size == entries.value.size == 0


def test_logits_are_bias_and_weights_over_the_temperature(folder):
    model = load_hashed_text(folder)
    scale = float(np.float16(0.01))
    expected = [[0.5, -0.5 + 127 * scale], [0.5 + 127 * scale, -0.5], np.log([0.75, 0.25])]
    np.testing.assert_allclose(
        model.logits(["good", "Bad!", ""]), np.array(expected) / 2, rtol=1e-6
    )
    assert model.logits([]).shape == (0, 2)
    assert model.card.labels == ("angry", "happy")
    assert (model.card.name, model.card.modality, model.card.licence) == ("tiny", "text", "MIT")
    assert model.card.size_bytes == (folder / "model.safetensors").stat().st_size


def test_tensors_make_the_same_network_again(folder):
    again = HashedLinear.from_tensors(load_file(folder / "model.safetensors"))
    texts = ["good", "a bad good day"]
    np.testing.assert_array_equal(again.logits(texts), network().logits(texts))


def message(folder):
    with pytest.raises(ModelError) as caught:
        load_hashed_text(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelUnavailable) as caught:
        load_hashed_text(folder)
    assert str(caught.value) == (
        f"{folder / name}: no such file. Name a folder with config.json and model.safetensors."
    )


def test_garbled_files_are_named(folder):
    (folder / "model.safetensors").write_bytes(b"garbage")
    assert message(folder) == (
        f"{folder / 'model.safetensors'}: cannot be read as safetensors (Error while "
        f"deserializing header: header too small). Fetch or train the model again."
    )
    (folder / "config.json").write_text("{")
    assert message(folder) == (
        f"{folder / 'config.json'}: not JSON (line 1: Expecting property name enclosed in "
        f"double quotes), expected a checkpoint that its authors wrote. Check the path, or fit it "
        f"again."
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"model_type": "bert"},
            'model_type is "bert", expected "emocli-hashed-text". Fetch the checkpoint again, or '
            "repair the field.",
        ),
        ({"labels": "joy"}, 'labels is "joy", expected a list of different names. ' + REPAIR),
        ({"labels": [1, 2]}, "labels is [1, 2], expected a list of different names. " + REPAIR),
        ({"temperature": 0}, "temperature is 0, expected a number above 0. " + REPAIR),
        ({"temperature": "x"}, 'temperature is "x", expected a number above 0. ' + REPAIR),
    ],
)
def test_a_wrong_configuration_is_explained(folder, change, problem):
    (folder / "config.json").write_text(json.dumps(CONFIG | change))
    assert message(folder) == f"{folder / 'config.json'}: {problem}"


def test_labels_and_weights_must_be_as_many(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"labels": ["a", "b", "c"]}))
    assert message(folder) == (
        f"{folder}: config.json names 3 labels, model.safetensors has 2. "
        f"Take both files from one model."
    )


def test_missing_and_misshapen_tensors_are_named(folder):
    path = folder / "model.safetensors"
    tensors = network().tensors()
    path.write_bytes(save({**tensors, "word.scale": np.zeros(3, np.float16)}))
    assert message(folder) == (
        f"{path}: weights, scale and rarity of the word block have the shapes "
        f"((2, 2), (3,), (2,)), expected ((2, 2), (2,), (2,)). Fetch or train the model again."
    )
    del tensors["word.scale"]
    path.write_bytes(save(tensors))
    assert message(folder) == (
        f"{path}: has no tensor 'word.scale'. Fetch or train the model again."
    )


TEXTS = ["I love this!", "", "What?", "You lied to me, get out!", "it is on the table " * 40]


@pytest.mark.parametrize("name", ["builtin-sentiment", "builtin-emotion"])
class TestEmbedded:
    def test_a_text_does_not_depend_on_the_batch(self, name):
        model = resolve(name)
        together = model.logits(TEXTS * 500)
        alone = np.concatenate([model.logits([text]) for text in TEXTS])
        np.testing.assert_array_equal(together, np.tile(alone, (500, 1)))

    def test_a_text_without_known_words_is_near_the_frequencies(self, name):
        model = resolve(name)
        probs = np.exp(model.logits(["", "日本語"]))
        probs /= probs.sum(axis=1, keepdims=True)
        assert np.isfinite(probs).all()
        assert probs.max() < 0.5
        np.testing.assert_array_equal(probs[0], probs[1])

    def test_weights_are_small(self, name):
        assert resolve(name).card.size_bytes < 1_750_000


def test_embedded_models_read_plain_cases():
    sentiment, emotion = resolve("builtin-sentiment"), resolve("builtin-emotion")
    texts = ["Thank you, I love it!", "I hate you, you liar.", "The bus leaves at six."]
    assert sentiment.card.labels == ("negative", "neutral", "positive")
    assert sentiment.logits(texts).argmax(axis=1).tolist() == [2, 0, 1]
    assert emotion.card.labels == (
        "angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised",
    )  # fmt: skip
    texts = ["I'm so scared", "That's disgusting", "I'm so sad, I miss her", "I hate you"]
    assert emotion.logits(texts).argmax(axis=1).tolist() == [2, 1, 5, 0]
