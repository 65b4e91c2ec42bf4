"""Losses against their formulas, written as loops, and where the formulas break down."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from emocli.metrics.regression import concordance_cc
from emocli.training.losses import (
    class_weights,
    concordance_loss,
    focal_loss,
    neutral_soft_margin,
    squared_norm,
    weighted_cross_entropy,
)

LOGITS = [[1.0, -0.5, 0.2], [0.3, 2.0, -1.0], [-0.7, 0.1, 0.4], [2.0, 1.9, -3.0]]
LABELS = [0, 2, 1, 0]
WEIGHTS = [0.5, 3.0, 1.2]
MSP_PODCAST = [6731, 6306, 16717, 2948, 1120, 1432, 2495, 29243]
"""Training utterances of angry, sad, happy, surprised, fearful, disgust, contempt, neutral."""


def posterior(row, label):
    return math.exp(row[label]) / sum(math.exp(value) for value in row)


def tensors():
    return torch.tensor(LOGITS), torch.tensor(LABELS), torch.tensor(WEIGHTS)


def losses_of(logits, labels):
    """Every loss on logits, by name."""
    weights = torch.full((logits.shape[1],), 2.0)
    return {
        "weighted cross-entropy": weighted_cross_entropy(logits, labels, weights),
        **{
            f"focal {gamma:g}": focal_loss(logits, labels, alpha=weights, gamma=gamma)
            for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)
        },
        "soft margin": neutral_soft_margin(logits[:, 0], labels == 0),
    }


# Against the formulas.


def test_class_weights_of_the_challenge():
    weights = class_weights(MSP_PODCAST)
    published = [1.2441, 1.3279, 0.5009, 2.8406, 7.4768, 5.8478, 3.3563, 0.2864]
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(published, abs=5e-5)
    assert weights.numpy() @ np.array(MSP_PODCAST) == pytest.approx(sum(MSP_PODCAST))


def test_a_label_that_does_not_occur_has_no_weight():
    assert class_weights([30, 0, 10]).tolist() == pytest.approx([40 / 60, 0.0, 2.0])
    assert class_weights([5]).tolist() == [1.0]


def test_weighted_cross_entropy_follows_the_formula():
    above = below = 0.0
    for row, label in zip(LOGITS, LABELS, strict=True):
        above += WEIGHTS[label] * -math.log(posterior(row, label))
        below += WEIGHTS[label]
    found = weighted_cross_entropy(*tensors())
    assert found.item() == pytest.approx(above / below, abs=1e-6)
    assert found.item() == pytest.approx(cross_entropy(*tensors()).item(), abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.7])
@pytest.mark.parametrize("over_alpha", [False, True])
def test_focal_loss_follows_the_formula(gamma, over_alpha):
    total = alphas = 0.0
    for row, label in zip(LOGITS, LABELS, strict=True):
        p = posterior(row, label)
        total -= WEIGHTS[label] * (1 - p) ** gamma * math.log(p)
        alphas += WEIGHTS[label]
    logits, labels, weights = tensors()
    found = focal_loss(logits, labels, alpha=weights, gamma=gamma, over_alpha=over_alpha)
    assert found.item() == pytest.approx(total / (alphas if over_alpha else 4), abs=1e-6)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    logits, labels, weights = tensors()
    plain = focal_loss(logits, labels, gamma=0.0)
    assert plain.item() == pytest.approx(cross_entropy(logits, labels).item(), abs=1e-6)
    weighted = focal_loss(logits, labels, alpha=weights, gamma=0.0, over_alpha=True)
    expected = weighted_cross_entropy(logits, labels, weights)
    assert weighted.item() == pytest.approx(expected.item(), abs=1e-6)


def test_soft_margin_follows_the_formula():
    scores, neutral = [0.4, -2.0, 3.1, 0.0], [True, True, False, False]
    total = sum(
        math.log(1 + math.exp(-(1 if is_neutral else -1) * score))
        for score, is_neutral in zip(scores, neutral, strict=True)
    )
    found = neutral_soft_margin(torch.tensor(scores), torch.tensor(neutral))
    assert found.item() == pytest.approx(total / 4, abs=1e-6)


def concordance(x, y):
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    var_x = sum((value - mean_x) ** 2 for value in x) / n
    var_y = sum((value - mean_y) ** 2 for value in y) / n
    pearson = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    pearson /= n * math.sqrt(var_x * var_y)
    deviations = math.sqrt(var_x) * math.sqrt(var_y)
    return 2 * pearson * deviations / (var_x + var_y + (mean_x - mean_y) ** 2)


def test_concordance_loss_follows_the_formula(rng):
    truth = rng.uniform(0, 1, (20, 3)).astype(np.float32)
    predicted = (0.5 * truth + rng.normal(0.1, 0.2, (20, 3))).astype(np.float32)
    columns = zip(predicted.T.tolist(), truth.T.tolist(), strict=True)
    expected = sum(1 - concordance(x, y) for x, y in columns)
    found = concordance_loss(torch.from_numpy(predicted), torch.from_numpy(truth))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected, abs=1e-5)
    measured = sum(1 - concordance_cc(truth[:, d], predicted[:, d]) for d in range(3))
    assert found.item() == pytest.approx(measured, abs=1e-5)


def test_concordance_loss_of_one_dimension_is_that_of_a_column(rng):
    x, y = (torch.from_numpy(rng.uniform(0, 1, 9)) for _ in range(2))
    column = concordance_loss(x[:, None], y[:, None])
    assert concordance_loss(x, y).item() == pytest.approx(column.item())


def test_squared_norm_sums_all_squares():
    values = [torch.tensor([[1.0, -2.0], [0.0, 3.0]]), torch.tensor([0.5])]
    assert squared_norm(values).item() == 14.25


# Where the formulas break down.


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_posteriors_of_0_and_1_give_numbers_and_gradients(size):
    labels = torch.tensor([0, 1])
    for name in losses_of(torch.zeros(2, 3), labels):
        # The true label of the first utterance has posterior 0, that of the second 1.
        logits = torch.tensor([[-size, size, 0.0], [-size, size, 0.0]], requires_grad=True)
        loss = losses_of(logits, labels)[name]
        loss.backward()
        assert torch.isfinite(loss), name
        assert torch.isfinite(logits.grad).all(), name


def test_a_wrong_answer_without_doubt_costs_as_much_in_focal_loss():
    logits = torch.tensor([[-300.0, 300.0]])
    assert focal_loss(logits, torch.tensor([0]), gamma=2.0).item() == pytest.approx(600.0)
    assert focal_loss(logits, torch.tensor([1]), gamma=2.0).item() == 0.0


def test_focal_loss_of_what_is_almost_certain_keeps_its_digits():
    """1 minus a posterior in float32 would have one digit here."""
    logits, label = torch.tensor([[15.0, 0.0]]), torch.tensor([0])
    doubt = 1 / (1 + math.exp(15))
    expected = -(doubt**2) * math.log1p(-doubt)
    # What is left is the rounding of log softmax itself, which reaches 1e-7 of 15.
    assert focal_loss(logits, label, gamma=2.0).item() == pytest.approx(expected, rel=0.2)
    exact = focal_loss(logits.double(), label, gamma=2.0)
    assert exact.item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n_labels", [1, 8])
def test_a_batch_of_one_label_gives_numbers_and_gradients(n_labels):
    labels = torch.zeros(5, dtype=torch.int64)
    for name in losses_of(torch.zeros(5, n_labels), labels):
        logits = torch.linspace(-2, 2, 5 * n_labels).reshape(5, n_labels).requires_grad_()
        loss = losses_of(logits, labels)[name]
        loss.backward()
        assert torch.isfinite(loss), name
        assert torch.isfinite(logits.grad).all(), name
        if n_labels == 1 and name != "soft margin":
            assert loss.item() == 0.0, name


def test_labels_without_weight_cost_nothing():
    logits = torch.tensor([[1.0, 2.0]], requires_grad=True)
    weights, labels = torch.tensor([0.0, 1.0]), torch.tensor([0])
    for loss in (
        weighted_cross_entropy(logits, labels, weights),
        focal_loss(logits, labels, alpha=weights, over_alpha=True),
    ):
        loss.backward()
        assert loss.item() == 0.0
        assert logits.grad.abs().max() == 0.0


@pytest.mark.parametrize(
    ("predicted", "truth", "silent"),
    [
        ([0.4] * 6, [0.4] * 6, True),
        ([0.4] * 6, [0.7] * 6, True),
        ([0.1, 0.9, 0.3, 0.2, 0.5, 0.6], [0.7] * 6, True),
        ([0.4] * 6, [0.1, 0.9, 0.3, 0.2, 0.5, 0.6], False),
        ([0.3], [0.5], True),
    ],
)
def test_concordance_of_constant_batches_is_0(predicted, truth, silent):
    values = torch.tensor(predicted, requires_grad=True)
    loss = concordance_loss(values, torch.tensor(truth))
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(values.grad).all()
    assert (values.grad.abs().max() < 1e-4) == silent


def test_concordance_of_a_batch_with_itself_is_1():
    values = torch.tensor([0.1, 0.9, 0.3])
    assert concordance_loss(values, values).item() == pytest.approx(0.0, abs=1e-6)
    assert concordance_loss(1 - values, values).item() > 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels, weights = tensors()
    for loss in losses_of(logits.to(dtype), labels).values():
        assert loss.dtype == torch.float32
    # 300 squared is beyond float16.
    values = torch.tensor([300.0, -300.0, 100.0], dtype=dtype)
    assert concordance_loss(values, values).item() == pytest.approx(0.0, abs=1e-6)
    found = weighted_cross_entropy(logits.to(dtype), labels, weights)
    expected = weighted_cross_entropy(logits.to(dtype).float(), labels, weights)
    assert found.item() == expected.item()


def test_gradients_are_those_of_finite_differences():
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    labels, alpha = torch.tensor(LABELS), torch.tensor(WEIGHTS, dtype=torch.float64)
    truth = torch.tensor(LOGITS, dtype=torch.float64).flip(0)
    functions = [
        lambda x: weighted_cross_entropy(x, labels, alpha),
        lambda x: focal_loss(x, labels, alpha=alpha, gamma=2.0),
        lambda x: focal_loss(x, labels, alpha=alpha, gamma=0.5, over_alpha=True),
        lambda x: neutral_soft_margin(x[:, 0], labels == 0),
        lambda x: concordance_loss(x, truth),
        lambda x: squared_norm([x]).double(),
    ]
    for function in functions[:-1]:
        assert torch.autograd.gradcheck(function, (logits,))
    functions[-1](logits).backward()
    torch.testing.assert_close(logits.grad, 2 * logits.detach())


# Mistakes.

EMPTY = "a loss over no utterances, expected at least one."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_weights([]), "no label has an utterance, expected at least one."),
        (lambda: class_weights([0, 0]), "no label has an utterance, expected at least one."),
        (
            lambda: weighted_cross_entropy(
                torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.ones(3)
            ),
            EMPTY,
        ),
        (lambda: focal_loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)), EMPTY),
        (lambda: neutral_soft_margin(torch.zeros(0), torch.zeros(0, dtype=torch.bool)), EMPTY),
        (lambda: concordance_loss(torch.zeros(0, 3), torch.zeros(0, 3)), EMPTY),
        (
            lambda: weighted_cross_entropy(torch.zeros(4, 3), torch.zeros(4, 1), torch.ones(3)),
            "logits of shape (4, 3) and labels of shape (4, 1), expected (n_utterances, n_labels) "
            "and (n_utterances,).",
        ),
        (
            lambda: focal_loss(torch.zeros(3), torch.zeros(3)),
            "logits of shape (3,) and labels of shape (3,), expected (n_utterances, n_labels) "
            "and (n_utterances,).",
        ),
        (
            lambda: focal_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), gamma=-1.0),
            "gamma -1, expected 0 or more.",
        ),
        (
            lambda: neutral_soft_margin(torch.zeros(4, 1), torch.zeros(4, dtype=torch.bool)),
            "shapes (4, 1) and (4,), expected the same.",
        ),
        (
            lambda: concordance_loss(torch.zeros(4, 1), torch.zeros(4)),
            "shapes (4, 1) and (4,), expected the same.",
        ),
    ],
)
def test_mistakes_are_refused(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call()
    assert str(caught.value) == message
