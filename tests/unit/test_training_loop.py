import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from emocli.errors import RecipeError
from emocli.training.batches import Batch
from emocli.training.loop import learning_rate, train_member
from emocli.training.losses import label_loss, soft_cross_entropy
from emocli.training.recipe import MemberRecipe
from emocli.training.temperature import fit_temperature

OPTIONS = MemberRecipe(kind="perceptron", epochs=4, averaging=0.9, learning_rate=0.01)


class Blobs:
    """Two clouds of points, three batches an epoch; an epoch can be made to fail."""

    n_batches = 3

    def __init__(self, fails_in_call=None):
        self.calls = itertools.count()
        self.fails_in_call = fails_in_call

    def epoch(self, rng):
        if next(self.calls) == self.fails_in_call:
            raise KeyboardInterrupt
        for _ in range(self.n_batches):
            label = rng.integers(0, 2, 8)
            points = rng.normal(0, 1, (8, 2)) + 3 * label[:, None]
            targets = torch.nn.functional.one_hot(torch.from_numpy(label), 2).float()
            yield Batch((torch.from_numpy(points).float(),), targets)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))


def trained(batches, state=None, net=None, seed=1, **options):
    net = net or network()
    train_member(net, batches, OPTIONS, 2, seed=seed, state=state, **options)
    return net.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_weights():
    first = trained(Blobs())
    torch.manual_seed(99)
    assert same(first, trained(Blobs()))
    assert not same(first, trained(Blobs(), seed=2))


def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path):
    state = tmp_path / "member.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(Blobs(fails_in_call=2), state)
    assert state.is_file()
    torch.manual_seed(1234)
    batches = Blobs()
    resumed = trained(batches, state)
    assert next(batches.calls) == 2  # the two epochs that were missing
    assert same(resumed, trained(Blobs()))


def test_training_lowers_the_loss_and_tells_how_far_it_is():
    net, told = network(), []
    batch = next(iter(Blobs().epoch(np.random.default_rng(5))))
    before = label_loss(net.eval()(*batch.inputs), batch.targets, 2, 0.0)
    trained(Blobs(), net=net, phase="fold-1", progress=lambda *state: told.append(state))
    assert not net.training
    assert label_loss(net(*batch.inputs), batch.targets, 2, 0.0) < before
    assert told == [("fold-1", epoch, 4) for epoch in range(5)]


def test_a_damaged_checkpoint(tmp_path):
    state = tmp_path / "member.pt"
    state.write_bytes(b"nothing")
    with pytest.raises(RecipeError) as caught:
        trained(Blobs(), state)
    assert str(caught.value) == (
        f"{state}: not a checkpoint of this training, expected one to go on from. "
        f"Delete it to start anew."
    )


def test_a_loss_that_is_no_number():
    class Broken(Blobs):
        def epoch(self, rng):
            yield Batch((torch.full((8, 2), torch.nan),), torch.full((8, 2), 0.5))

    with pytest.raises(RecipeError) as caught:
        trained(Broken())
    assert str(caught.value) == (
        "The loss at step 0 is nan, expected a number. Lower learning_rate."
    )


def test_learning_rate_rises_and_falls():
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == rates[15] == 1.0
    assert rates[-1] < 0.001
    assert rates[:16] == sorted(rates[:16])


def test_label_loss_is_cross_entropy_over_all_and_over_the_predicted():
    logits = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    over_all = (-math.log(math.e / (math.e + 1 + math.e**2)) + math.log(3)) / 2
    over_predicted = -math.log(math.e / (math.e + 1)) / 2  # the second is auxiliary
    assert label_loss(logits, targets, 2, 0.0).item() == pytest.approx(over_all + over_predicted)
    assert label_loss(logits, targets, 3, 0.0).item() == pytest.approx(over_all)


def test_smoothing_spreads_a_target():
    logits = torch.tensor([[2.0, 0.0]])
    log_probs = torch.log_softmax(logits, 1)[0]
    expected = -(0.9 * log_probs[0] + 0.1 * log_probs[1])
    found = soft_cross_entropy(logits, torch.tensor([[1.0, 0.0]]), 0.2)
    assert found.item() == pytest.approx(expected.item())


def test_temperature_is_found_again(rng):
    logits = rng.normal(0, 1, (4000, 3))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random((4000, 1)) > probs.cumsum(1)).sum(1)
    assert fit_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.08)
