"""The heads of the challenge's baseline and of EmoJudge, and what pools for them."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from emocli.networks.attentive_statistics import AttentiveStatisticsPooling
from emocli.networks.masked_norm import MaskedGroupNorm
from emocli.networks.residual_head import ResidualHead, ResidualHeadConfig
from emocli.networks.speech_heads import ChallengeBaseline, FullyConnected, pool_frames

SMALL = ResidualHeadConfig(n_inputs=8, n_hidden=6, n_outputs=3)


class TwoSamplesAFrame(nn.Module):
    """An encoder of which a frame sees its own two samples and no other."""

    def __init__(self, n_channels):
        super().__init__()
        self.frame = nn.Linear(2, n_channels)

    def forward(self, inputs, attention_mask=None):
        return SimpleNamespace(last_hidden_state=self.frame(inputs.unflatten(1, (-1, 2))))


def small_baseline(head):
    torch.manual_seed(2)
    network = ChallengeBaseline(TwoSamplesAFrame(4), 4, head)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def small_heads():
    torch.manual_seed(9)
    return [ResidualHead(SMALL), FullyConnected(8, 6, 3, 2, 0.5)]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


# Numbers of parameters and their names.


def test_numbers_of_parameters_are_those_of_the_baseline():
    with torch.device("meta"):
        pooling = AttentiveStatisticsPooling(1024)
        head = FullyConnected(2048, 1024, 8, 1, 0.5)
        same = ResidualHead(ResidualHeadConfig(n_residual_blocks=0))
        residual = ResidualHead(ResidualHeadConfig())
    assert count(pooling) == 1024 * 1024 + 1024 + 1024
    assert count(head) == 2_108_424  # 2048 * 1024 + 1024, 2 * 1024, 1024 * 8 + 8
    assert count(pooling) + count(head) == 3_159_048
    assert count(same) == 2_108_424
    assert count(residual) == 2_108_424 + 2 * (1024 * 1024 + 1024 + 2 * 1024)


@pytest.mark.parametrize(
    "head",
    [
        lambda: FullyConnected(2048, 1024, 8, 1, 0.5),
        lambda: ResidualHead(ResidualHeadConfig(n_residual_blocks=0)),
    ],
)
def test_names_are_those_of_the_published_weights(head):
    with torch.device("meta"):
        network = ChallengeBaseline(nn.Linear(1, 1), 1024, head())
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert {k: v for k, v in shapes.items() if not k.startswith("ssl_model.")} == {
        "pool_model.sap_linear.weight": (1024, 1024),
        "pool_model.sap_linear.bias": (1024,),
        "pool_model.attention": (1024, 1),
        "ser_model.fc.0.0.weight": (1024, 2048),
        "ser_model.fc.0.0.bias": (1024,),
        "ser_model.fc.0.1.weight": (1024,),
        "ser_model.fc.0.1.bias": (1024,),
        "ser_model.out.0.weight": (8, 1024),
        "ser_model.out.0.bias": (8,),
    }


# Against the equations.


def block(layers, values):
    linear, norm = layers[0], layers[1]
    hidden = values @ linear.weight.T + linear.bias
    centred = hidden - hidden.mean()
    scaled = centred / (centred.square().mean() + 1e-5).sqrt() * norm.weight + norm.bias
    return scaled.clamp(min=0.0)


@torch.no_grad()
def test_residual_head_follows_the_equations():
    torch.manual_seed(3)
    head = ResidualHead(SMALL).eval()
    pooled = torch.randn(5, 8)
    found = head(pooled)
    for row, values in enumerate(pooled):
        first = block(head.fc[0], values)
        second = first + block(head.fc[1], first)
        third = second + block(head.fc[2], second)
        expected = head.out[0].weight @ third + head.out[0].bias
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)


def test_without_residual_blocks_it_is_the_baselines_head():
    torch.manual_seed(3)
    config = ResidualHeadConfig(n_inputs=8, n_hidden=6, n_outputs=3, n_residual_blocks=0)
    head, baseline = ResidualHead(config).eval(), FullyConnected(8, 6, 3, 1).eval()
    baseline.load_state_dict(head.state_dict())
    pooled = torch.randn(5, 8)
    assert torch.equal(head(pooled), baseline(pooled))


@torch.no_grad()
def test_pooling_follows_the_equations():
    torch.manual_seed(4)
    pooling = AttentiveStatisticsPooling(4)
    frames = torch.randn(1, 6, 4)
    shares = []
    for frame in frames[0]:
        hidden = torch.tanh(pooling.sap_linear.weight @ frame + pooling.sap_linear.bias)
        shares.append(torch.exp(hidden @ pooling.attention[:, 0]))
    shares = torch.stack(shares) / sum(shares)
    mean = sum(share * frame for share, frame in zip(shares, frames[0], strict=True))
    square = sum(share * frame**2 for share, frame in zip(shares, frames[0], strict=True))
    deviation = (square - mean**2).clamp(min=1e-5).sqrt()
    found = pooling(frames, torch.ones(1, 6, dtype=torch.bool))[0]
    torch.testing.assert_close(found, torch.cat([mean, deviation]), atol=1e-5, rtol=0)


def test_of_one_frame_the_deviation_is_the_floor():
    pooling = AttentiveStatisticsPooling(4)
    frames = torch.ones(1, 1, 4, requires_grad=True)
    pooled = pooling(frames, torch.ones(1, 1, dtype=torch.bool))
    assert pooled[0, 4:].tolist() == pytest.approx([1e-5**0.5] * 4)
    pooled.sum().backward()
    assert torch.isfinite(frames.grad).all()


def test_the_penalised_parameters_are_the_attentions_without_bias():
    pooling = AttentiveStatisticsPooling(4)
    weight, vector = pooling.attention_weights()
    assert weight is pooling.sap_linear.weight
    assert vector is pooling.attention


# Padding.


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("extra", [0, 40])
@torch.no_grad()
def test_padding_never_changes_a_result(position, extra):
    network = small_baseline(small_heads()[position]).eval()
    lengths = (5, 1, 8)
    waveforms = [torch.randn(1, 2 * length) for length in lengths]
    alone = [
        network(waveform, None, torch.ones(1, length, dtype=torch.bool))
        for waveform, length in zip(waveforms, lengths, strict=True)
    ]
    padded = torch.zeros(3, 2 * (8 + extra))
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: waveform.shape[1]] = waveform[0]
    valid = torch.arange(8 + extra) < torch.tensor(lengths)[:, None]
    together = network(padded, None, valid)
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)


# Training.


@pytest.mark.parametrize("position", [0, 1])
def test_gradients_flow_to_every_parameter(position):
    network = small_baseline(small_heads()[position]).train()
    valid = torch.arange(9) < torch.tensor([[9], [4], [6], [7], [2], [8]])
    network(torch.randn(6, 18), None, valid).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 1e-6, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("head", small_heads())
def test_dropout_is_before_the_first_layer_and_after_each_block(head):
    rates = [module.p for module in head.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.5] * (1 + len(head.fc))
    torch.manual_seed(10)
    pooled = torch.randn(2, 8)
    assert not torch.equal(head.train()(pooled), head(pooled))
    assert torch.equal(head.eval()(pooled), head(pooled))


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [("mean", [[2.0, -1.5], [5.0, -1.0]]), ("sum", [[4.0, -3.0], [5.0, -1.0]]),
     ("max", [[3.0, -1.0], [5.0, -1.0]])],
)  # fmt: skip
def test_frames_beyond_the_end_are_not_pooled(pooling, pooled):
    frames = torch.tensor([[[1.0, -2.0], [3.0, -1.0]], [[5.0, -1.0], [99.0, 99.0]]])
    valid = torch.tensor([[True, True], [True, False]])
    assert pool_frames(frames, valid, pooling).tolist() == pooled


def test_norms_of_several_channels_are_not_masked():
    with pytest.raises(ValueError, match="one group for each channel expected"):
        MaskedGroupNorm(nn.GroupNorm(2, 4))
