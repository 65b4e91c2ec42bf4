"""Cross-modal networks against the equations, on padding, and in numbers of parameters."""

import dataclasses
import json

import pytest
import torch

from emocli.networks.cross_modal import AttentionPooling, CrossModalConfig, CrossModalNetwork
from emocli.schema import Fields

WHISPER_LARGE, ROBERTA_LARGE, PROSODY = 1280, 1024, 256
N_FRAMES = ((7, 3, 1, 5), (4, 9, 2, 1), (6, 2, 8, 3))
"""Valid frames of four utterances in up to three modalities."""


def small(n_modalities, **options):
    shape = {"n_channels": (5, 4, 3)[:n_modalities], "n_hidden": 6, "n_labels": 3}
    if n_modalities == 3:
        shape["n_heads"] = (1, 1, 2)
    return CrossModalConfig(**{**shape, **options})


def network_of(config, *, dtype=torch.float32):
    torch.manual_seed(11)
    network = CrossModalNetwork(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.eval().to(dtype)


def utterances(config, *, dtype=torch.float32):
    """Per utterance and modality, frames of shape (n_frames, n_channels)."""
    random = torch.Generator().manual_seed(5)
    counts = zip(*N_FRAMES[: len(config.n_channels)], strict=True)
    return [
        [
            torch.randn(count, width, generator=random, dtype=dtype)
            for count, width in zip(of_utterance, config.n_channels, strict=True)
        ]
        for of_utterance in counts
    ]


def batch_of(chosen, *, extra=0, filler=0.0):
    """Padded frames and the numbers of valid ones, per modality."""
    frames, n_frames = [], []
    for sequences in zip(*chosen, strict=True):
        counts = [len(sequence) for sequence in sequences]
        padded = torch.full((len(counts), max(counts) + extra, sequences[0].shape[1]), filler).to(
            sequences[0]
        )
        for row, sequence in zip(padded, sequences, strict=True):
            row[: len(sequence)] = sequence
        frames.append(padded)
        n_frames.append(torch.tensor(counts))
    return frames, n_frames


def one_by_one(network, chosen):
    scores = [network(*batch_of([utterance])) for utterance in chosen]
    neutral = [score.neutral for score in scores if score.neutral is not None]
    return torch.cat([s.logits for s in scores]), torch.cat(neutral) if neutral else None


# Padding.


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("neutral_head", [False, True])
@pytest.mark.parametrize("extra", [0, 1, 40])
def test_padding_never_changes_a_result(n_modalities, neutral_head, extra):
    config = small(n_modalities, neutral_head=neutral_head)
    network, chosen = network_of(config), utterances(config)
    logits, neutral = one_by_one(network, chosen)
    together = network(*batch_of(chosen, extra=extra))
    torch.testing.assert_close(together.logits, logits, atol=1e-5, rtol=0)
    if neutral_head:
        torch.testing.assert_close(together.neutral, neutral, atol=1e-5, rtol=0)
    else:
        assert together.neutral is None


@pytest.mark.parametrize("filler", [1e4, float("nan")])
def test_what_the_padding_holds_does_not_matter(filler):
    config = small(3)
    network, chosen = network_of(config), utterances(config)
    expected = network(*batch_of(chosen)).logits
    found = network(*batch_of(chosen, extra=3, filler=filler)).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_padding_never_changes_a_gradient():
    network = network_of(small(2), dtype=torch.float64)
    chosen = utterances(network.config, dtype=torch.float64)
    gradients = []
    for extra in (0, 13):
        network.zero_grad()
        network(*batch_of(chosen, extra=extra)).logits.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-10, rtol=1e-10)


def test_the_published_form_agrees_where_there_is_no_padding():
    config = small(3, neutral_head=True)
    masked, chosen = network_of(config), utterances(config)
    unmasked = CrossModalNetwork(dataclasses.replace(config, masked=False)).eval()
    unmasked.load_state_dict(masked.state_dict())
    for utterance in chosen:
        twice = batch_of([utterance, utterance])
        torch.testing.assert_close(masked(*twice), unmasked(*twice), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(masked(*twice), masked(twice[0]), atol=1e-6, rtol=1e-6)


def test_the_published_form_depends_on_padding():
    network = network_of(small(2, masked=False))
    chosen = utterances(network.config)
    alone, _ = one_by_one(network, chosen)
    together = network(*batch_of(chosen)).logits
    padded = network(*batch_of(chosen, extra=4)).logits
    assert (together - alone).abs().max() > 1e-3
    assert (padded - together).abs().max() > 1e-3
    # Padded frames are frames: what is valid is not asked.
    frames, _ = batch_of(chosen, extra=4)
    assert torch.equal(padded, network(frames).logits)


# Against the equations.


def recurrence(weights, suffix, inputs):
    """A gated recurrent layer in one direction, one frame after the other."""
    w_in, w_state = weights[f"gru.weight_ih_l0{suffix}"], weights[f"gru.weight_hh_l0{suffix}"]
    b_in, b_state = weights[f"gru.bias_ih_l0{suffix}"], weights[f"gru.bias_hh_l0{suffix}"]
    state = torch.zeros(w_state.shape[1], dtype=inputs.dtype)
    states = []
    for frame in inputs:
        r_in, z_in, n_in = (w_in @ frame + b_in).chunk(3)
        r_state, z_state, n_state = (w_state @ state + b_state).chunk(3)
        reset, update = torch.sigmoid(r_in + r_state), torch.sigmoid(z_in + z_state)
        new = torch.tanh(n_in + reset * n_state)
        state = (1 - update) * new + update * state
        states.append(state)
    return torch.stack(states)


def layer_norm(values, weights, name):
    centred = values - values.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(values, weights, name):
    return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attention(weights, n_heads, queries, keys):
    rows, biases = weights["in_proj_weight"].chunk(3), weights["in_proj_bias"].chunk(3)
    q, k, v = (
        (x @ w.T + b).chunk(n_heads, dim=1)
        for x, w, b in zip((queries, keys, keys), rows, biases, strict=True)
    )
    found = []
    for head in range(n_heads):
        for query in q[head]:
            scores = torch.stack([query @ key for key in k[head]]) / len(query) ** 0.5
            exponentials = scores.exp()
            shares = exponentials / exponentials.sum()
            found.append(sum(share * value for share, value in zip(shares, v[head], strict=True)))
    mixed = torch.cat(torch.stack(found).chunk(n_heads), dim=1)
    return linear(mixed, weights, "out_proj")


def below(weights, prefix):
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def by_the_equations(config, weights, utterance):
    """Logits of one utterance and of its being neutral."""
    states = []
    for position, frames in enumerate(utterance):
        own = below(weights, f"encoders.{position}.")
        projected = layer_norm(linear(frames, own, "projection"), own, "norm")
        ahead = recurrence(own, "", projected)
        back = recurrence(own, "_reverse", projected.flip(0)).flip(0)
        states.append(torch.cat([ahead, back], dim=1))
    pooled = []
    for query, own in enumerate(states):
        modules = below(weights, f"attentions.{query}.")
        heads = (config.n_heads or (1,) * len(states))[query]
        total = own
        for key, others in enumerate(states):
            if key != query:
                total = total + attention(modules, heads, own, others)
        scores = linear(total, weights, f"poolings.{query}.score")[:, 0]
        if config.pooling_scaled:
            scores = scores / total.shape[1] ** 0.5
        shares = scores.exp() / scores.exp().sum()
        pooled.append(sum(share * frame for share, frame in zip(shares, total, strict=True)))
    z = layer_norm(torch.cat(pooled), weights, "norm")
    return [
        linear(torch.relu(linear(z, weights, f"{name}.0")), weights, f"{name}.3")
        for name in ("classifier", "neutral_classifier")
    ]


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_scores_follow_the_equations(n_modalities, scaled):
    config = small(n_modalities, neutral_head=True, pooling_scaled=scaled)
    network = network_of(config, dtype=torch.float64)
    chosen = utterances(config, dtype=torch.float64)
    with torch.no_grad():
        scores = network(*batch_of(chosen, extra=2))
        for row, utterance in enumerate(chosen):
            logits, neutral = by_the_equations(config, network.state_dict(), utterance)
            torch.testing.assert_close(scores.logits[row], logits, atol=1e-10, rtol=0)
            torch.testing.assert_close(scores.neutral[row], neutral[0], atol=1e-10, rtol=0)


def test_the_published_form_follows_the_equations_with_padding_as_frames():
    config = small(2, neutral_head=True, masked=False)
    network = network_of(config, dtype=torch.float64)
    frames, n_frames = batch_of(utterances(config, dtype=torch.float64), extra=2)
    with torch.no_grad():
        scores = network(frames, n_frames)
        for row, utterance in enumerate(zip(*frames, strict=True)):
            logits, _ = by_the_equations(config, network.state_dict(), utterance)
            torch.testing.assert_close(scores.logits[row], logits, atol=1e-10, rtol=0)


def test_the_bias_of_the_pooling_cancels():
    torch.manual_seed(1)
    pooling, frames = AttentionPooling(4), torch.randn(2, 5, 4)
    before = pooling(frames, None)
    with torch.no_grad():
        pooling.score.bias.add_(3.0)
    torch.testing.assert_close(pooling(frames, None), before, atol=1e-6, rtol=0)


# Numbers of parameters.


def n_parameters(config):
    with torch.device("meta"):
        network = CrossModalNetwork(config)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("n_channels", "n_heads", "whole", "head"),
    [
        ((WHISPER_LARGE, ROBERTA_LARGE), (), 16_942_602, 1_049_601),
        ((WHISPER_LARGE, ROBERTA_LARGE, PROSODY), (1, 1, 2), 24_952_843, 1_573_889),
        ((WHISPER_LARGE, ROBERTA_LARGE, PROSODY), (), 24_952_843, 1_573_889),
    ],
)
def test_numbers_of_parameters_are_those_of_the_paper(n_channels, n_heads, whole, head):
    config = CrossModalConfig(n_channels=n_channels, n_heads=n_heads)
    assert n_parameters(config) == whole
    assert n_parameters(dataclasses.replace(config, neutral_head=True)) == whole + head


def test_without_bias_the_pooling_has_one_parameter_less_for_each_modality():
    config = CrossModalConfig(n_channels=(WHISPER_LARGE, ROBERTA_LARGE), pooling_bias=False)
    assert n_parameters(config) == 16_942_600


# Training.


@pytest.mark.parametrize("n_modalities", [2, 3])
@pytest.mark.parametrize("masked", [True, False])
def test_gradients_flow_to_every_parameter(n_modalities, masked):
    config = small(n_modalities, neutral_head=True, masked=masked, dropout=0.1)
    network = network_of(config).train()
    scores = network(*batch_of(utterances(config)))
    (scores.logits.square().sum() + scores.neutral.square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        # The bias of the pooling cancels, so what is left of its gradient is rounding.
        if not name.endswith("score.bias"):
            assert parameter.grad.abs().max() > 1e-6, name


def test_scores_are_numbers_in_half_precision():
    config = small(3, neutral_head=True)
    network, (frames, n_frames) = network_of(config), batch_of(utterances(config))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(frames, n_frames)
    expected = network(frames, n_frames)
    torch.testing.assert_close(scores.logits.float(), expected.logits, atol=0.1, rtol=0.05)
    torch.testing.assert_close(scores.neutral.float(), expected.neutral, atol=0.1, rtol=0.05)


# Configurations and mistakes.


def test_configuration_survives_json():
    config = small(3, neutral_head=True, masked=False)
    content = json.loads(json.dumps(dataclasses.asdict(config)))
    assert Fields("c", "", content).build(CrossModalConfig) == config


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"n_channels": (5,)}, "1 modalities, expected two or more."),
        ({"n_channels": (5, 4), "n_heads": (1,)}, "1 values in n_heads, expected 2."),
        (
            {"n_channels": (5, 4), "n_heads": (1, 3)},
            "n_heads (1, 3), expected divisors of 1024.",
        ),
    ],
)
def test_impossible_shapes_are_refused(shape, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        CrossModalConfig(**shape)
    assert str(caught.value) == message


def test_another_number_of_modalities_is_refused():
    network = network_of(small(3))
    frames, n_frames = batch_of(utterances(network.config))
    with pytest.raises(ValueError, match=r"^2 to 3 modalities, expected 3\.$"):
        network(frames, n_frames[:2])
    with pytest.raises(ValueError, match=r"^2 to 3 modalities, expected 3\.$"):
        network(frames[:2])


@pytest.mark.parametrize("count", [0, 10])
def test_an_utterance_without_frames_is_refused(count):
    network = network_of(small(2))
    frames, n_frames = batch_of(utterances(network.config))
    n_frames[1][1] = count
    message = (
        rf"^modality 2: {min(1, count)} to {max(4, count)} valid frames, expected 1 to 9\. Leave "
        r"utterances without frames out\.$"
    )
    with pytest.raises(ValueError, match=message):
        network(frames, n_frames)
