"""What holds for every loss."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emocli.metrics.regression import concordance_cc
from emocli.training.losses import (
    class_weights,
    concordance_loss,
    focal_loss,
    neutral_soft_margin,
    weighted_cross_entropy,
)


@st.composite
def labelled(draw, largest=50.0):
    """Logits, labels and positive weights of the labels."""
    n_utterances, n_labels = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    values = st.floats(-largest, largest, width=32)
    logits = draw(arrays.arrays(np.float32, (n_utterances, n_labels), elements=values))
    labels = draw(arrays.arrays(np.int64, n_utterances, elements=st.integers(0, n_labels - 1)))
    positive = st.floats(0.125, 8, width=32)
    weights = draw(arrays.arrays(np.float32, n_labels, elements=positive))
    return tuple(map(torch.from_numpy, (logits, labels, weights)))


gammas = st.floats(0, 6)
ratings = arrays.arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1, width=16))


@given(labelled(largest=2.0**100), gammas)
def test_losses_and_gradients_are_numbers_and_losses_not_negative(batch, gamma):
    logits, labels, weights = batch
    logits.requires_grad_()
    for loss in (
        weighted_cross_entropy(logits, labels, weights),
        focal_loss(logits, labels, alpha=weights, gamma=gamma),
        neutral_soft_margin(logits[:, 0], labels == 0),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert loss >= 0
        assert torch.isfinite(gradient).all()


@given(labelled(), gammas)
def test_focal_loss_lies_between_0_and_cross_entropy(batch, gamma):
    logits, labels, weights = batch
    focal = focal_loss(logits, labels, alpha=weights, gamma=gamma, over_alpha=True)
    plain = weighted_cross_entropy(logits, labels, weights)
    assert focal <= plain * (1 + 1e-5)
    unfocused = focal_loss(logits, labels, alpha=weights, gamma=0.0, over_alpha=True)
    torch.testing.assert_close(unfocused, plain)


@given(labelled(), st.floats(-50, 50), gammas)
def test_a_constant_added_to_logits_changes_nothing(batch, constant, gamma):
    logits, labels, weights = (values.double() for values in batch)
    labels = labels.long()
    for loss in (
        lambda x: weighted_cross_entropy(x, labels, weights),
        lambda x: focal_loss(x, labels, alpha=weights, gamma=gamma),
    ):
        torch.testing.assert_close(loss(logits + constant), loss(logits), atol=1e-9, rtol=1e-9)


@given(labelled(), st.floats(0.125, 8))
def test_the_scale_of_the_weights_does_not_matter_to_a_weighted_mean(batch, scale):
    logits, labels, weights = batch
    torch.testing.assert_close(
        weighted_cross_entropy(logits, labels, scale * weights),
        weighted_cross_entropy(logits, labels, weights),
    )


@given(labelled())
def test_soft_margin_is_the_same_with_both_sides_exchanged(batch):
    logits, labels, _ = batch
    scores, neutral = logits[:, 0], labels == 0
    torch.testing.assert_close(
        neutral_soft_margin(scores, neutral), neutral_soft_margin(-scores, ~neutral)
    )


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_class_weights_give_each_label_that_occurs_the_same_share(counts):
    assume(any(counts))
    shares = class_weights(counts).double().numpy() * np.array(counts)
    present = np.array(counts) > 0
    assert shares[present] == pytest.approx(sum(counts) / present.sum(), rel=1e-6)
    assert (shares[~present] == 0).all()


@given(ratings, st.data())
def test_concordance_loss_is_1_minus_the_measure(truth, data):
    predicted = data.draw(
        arrays.arrays(np.float64, truth.shape, elements=st.floats(-1, 2, width=16))
    )
    # The measure has no constant in its denominator.
    assume(truth.std() > 1e-2)
    loss = concordance_loss(*(torch.from_numpy(x.astype(np.float32)) for x in (predicted, truth)))
    assert loss.item() == pytest.approx(1 - concordance_cc(truth, predicted), abs=2e-4)


@given(ratings, ratings, st.floats(-3, 3, width=16))
def test_concordance_loss_stays_in_range_and_its_gradient_a_number(one, other, offset):
    n = min(len(one), len(other))
    predicted = torch.from_numpy(one[:n].astype(np.float32) + np.float32(offset))
    truth = torch.from_numpy(other[:n].astype(np.float32))
    predicted.requires_grad_()
    loss = concordance_loss(predicted, truth)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert -1e-5 <= loss.item() <= 2 + 1e-5
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(loss, concordance_loss(truth, predicted))
