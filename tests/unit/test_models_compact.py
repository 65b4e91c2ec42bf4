import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emocli.calibration.adaptation import Adaptation, GroupFigures, TraitDirections
from emocli.errors import ModelError
from emocli.models.builtin_encoders import FunctionalsEncoder
from emocli.models.compact import load_compact
from emocli.networks.compact import CompactConfig, CompactNetwork, MemberConfig
from emocli.training.adaptation import write_adaptation
from emocli.training.data import Utterance
from emocli.training.export import write_model
from emocli.training.recipe import parse_recipe

RECIPE = parse_recipe(
    {
        "name": "tiny",
        "labels": ["angry", "happy", "sad"],
        "data": [{"name": "own", "table": "labels.csv"}],
        "members": [{"kind": "perceptron"}],
        "licence": "CC0",
        "description": "A tiny one.",
    },
    "r.toml",
)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(5)
    config = CompactConfig(
        labels=RECIPE.labels,
        members=(
            MemberConfig(kind="perceptron", n_outputs=3, hidden=(16,)),
            MemberConfig(kind="convolutional", n_outputs=3, channels=16, dilations=(1,)),
        ),
        temperature=1.3,
    )
    network = CompactNetwork(config).eval()
    heard = [Utterance("a.wav", tmp_path / "a.wav", "own", "sad", "1")]
    write_model(tmp_path, network, RECIPE, heard, {"UAR own": 0.5})
    return tmp_path


def noise(rng, seconds):
    return rng.normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


def test_logits_do_not_depend_on_the_others_of_the_call(folder, rng):
    model = load_compact(folder)
    waveforms = [noise(rng, seconds) for seconds in (2, 0.1, 1.1, 0.6, 3.2, 1, 0.4, 2.7)]
    together = model.logits(waveforms)
    alone = np.concatenate([model.logits([waveform]) for waveform in waveforms])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.isfinite(together).all()


def test_logits_do_not_depend_on_the_level(folder, rng):
    model = load_compact(folder)
    waveform = noise(rng, 1)
    assert model.logits([waveform]) == pytest.approx(model.logits([waveform * 0.01]), abs=1e-3)


def test_silence_has_uniform_posteriors_and_no_call_is_too_small(folder):
    model = load_compact(folder)
    assert model.logits([np.zeros(16000, np.float32)]).tolist() == [[0.0, 0.0, 0.0]]
    assert model.logits([]).shape == (0, 3)


def test_the_card_tells_what_the_folder_says(folder):
    card = load_compact(folder).card
    assert (card.name, card.labels, card.licence) == ("tiny", RECIPE.labels, "CC0")
    assert (card.modality, card.sampling_rate, card.min_seconds) == ("speech", 16000, 0.1)
    assert card.size_bytes == (folder / "model.safetensors").stat().st_size
    assert card.n_parameters > 7000


def test_weights_that_are_not_there(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError) as caught:
        load_compact(folder)
    assert str(caught.value).startswith(f"{folder}/model.safetensors: no weights in it (")
    assert str(caught.value).endswith(
        "), expected those of a compact model. Train the model again."
    )


def test_weights_of_another_network(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["members.0.mean"]
    tensors["members.1.classifier.bias"] = torch.zeros(7)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        load_compact(folder)
    assert str(caught.value) == (
        f"{folder}/model.safetensors: members.0.mean, members.1.classifier.bias are not as "
        f"config.json says, expected weights of the same network. Train the model again."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "config.json: cannot be read (No such file or directory), expected the "
         "configuration of a compact model. Name the folder that `emocli train` wrote."),
        ("{", "config.json: not JSON (line 1: Expecting property name enclosed in double quotes), "
         "expected a checkpoint that its authors wrote. Check the path, or fit it again."),
        ("[]", "config.json: JSON without fields, expected a checkpoint that its authors wrote. "
         "Check the path, or fit it again."),
    ],
)  # fmt: skip
def test_configurations_that_are_none(folder, text, sentence):
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        load_compact(folder)
    assert str(caught.value) == f"{folder}/{sentence}"


def test_configuration_with_a_member_of_another_version(folder):
    config = json.loads((folder / "config.json").read_text())
    config["members"][0]["colour"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="colour is colour, expected one of the fields kind, n_"):
        load_compact(folder)


ADAPTATION = Adaptation(
    TraitDirections(np.zeros(472), np.ones(472), np.eye(472)[:, :5]),
    *2 * [GroupFigures(np.eye(3)[:, :2], np.eye(2), np.eye(2), np.array(0.4))],
)


def test_traits_are_features_along_the_directions_of_the_adaptation(folder, rng):
    assert load_compact(folder).adaptation is None
    write_adaptation(folder / "adaptation.safetensors", ADAPTATION)
    model = load_compact(folder)
    waveforms = [noise(rng, 1), np.zeros(1600, np.float32), noise(rng, 2)]
    found = model.traits(waveforms)
    (features,) = FunctionalsEncoder().encode(waveforms[:1])
    np.testing.assert_allclose(found[0], np.clip(features[0, :5], -6, 6), rtol=1e-3, atol=1e-3)
    assert found[1].tolist() == [0.0] * 5
    np.testing.assert_allclose(found[[0, 2]], model.traits(waveforms[::2]), atol=1e-4)
    assert not model.traits(waveforms[1:2]).any()


def test_figures_for_adaptation_that_are_none_are_an_error(folder):
    path = folder / "adaptation.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="not the figures of this model's adaptation"):
        load_compact(folder)
    save_file({"run.means": torch.zeros(3, 2)}, path)
    with pytest.raises(ModelError, match=r"\(directions\.mean\)"):
        load_compact(folder)
