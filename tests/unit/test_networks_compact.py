import dataclasses
import json

import numpy as np
import pytest
import torch

from emocli.networks.compact import CompactConfig, CompactNetwork, MemberConfig, combine
from emocli.schema import Fields

CONFIG = CompactConfig(
    labels=("angry", "sad"),
    members=(
        MemberConfig(kind="perceptron", n_outputs=3, hidden=(8,)),
        MemberConfig(kind="convolutional", n_outputs=3, channels=8, dilations=(1, 2), weight=2.0),
    ),
    temperature=2.0,
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    network = CompactNetwork(CONFIG)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def noise(rng, seconds):
    return torch.from_numpy(rng.normal(0, 0.1, int(16000 * seconds)).astype(np.float32))


def test_logits_do_not_depend_on_the_batch(network, rng):
    waveforms = [noise(rng, seconds) for seconds in (0.1, 0.5, 1.3, 2.0, 0.03, 1.0, 0.7, 1.9)]
    together = network(waveforms)
    alone = torch.cat([network([waveform]) for waveform in waveforms])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.isfinite(together).all()


def test_logits_of_silence_are_zero(network, rng):
    logits = network([torch.zeros(16000), noise(rng, 1.0)])
    assert logits[0].tolist() == [0.0, 0.0]
    assert logits[1].abs().sum() > 0
    assert network([torch.zeros(400)]).tolist() == [[0.0, 0.0]]


def test_combine_averages_log_posteriors_by_weight():
    scores = [torch.tensor([[1.0, 0.0, 9.0]]), torch.tensor([[0.0, 2.0, 9.0]])]
    first = np.array([1.0, 0.0]) - np.log(np.exp(1) + 1)
    second = np.array([0.0, 2.0]) - np.log(np.exp(2) + 1)
    expected = (first + 2 * second) / 3 / 2.0
    assert combine(scores, CONFIG)[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_configuration_survives_json():
    content = json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert Fields("c", "", content).build(CompactConfig) == CONFIG
