"""What training makes small."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

CONCORDANCE_FLOOR = 1e-8
"""What keeps the concordance of two constant series from being 0 / 0."""


def label_loss(logits: Tensor, targets: Tensor, n_labels: int, smoothing: float) -> Tensor:
    """Cross-entropy over all outputs plus cross-entropy over the predicted labels alone.

    The first teaches auxiliary labels; the second is what a prediction is read from, and an
    utterance counts in it by the share of its target that is on predicted labels.

    Args:
        logits: shape (n_utterances, n_outputs).
        targets: the same shape, rows sum to 1.
        n_labels: the first so many outputs are predicted.
        smoothing: share of each target that is spread evenly.

    Returns:
        Mean over the utterances, a scalar in nats.
    """
    loss = soft_cross_entropy(logits, targets, smoothing)
    if n_labels < logits.shape[1]:
        loss = loss + soft_cross_entropy(logits[:, :n_labels], targets[:, :n_labels], smoothing)
    return loss


def soft_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy with targets that are distributions, or parts of one.

    Args:
        logits: shape (n_utterances, n_outputs).
        targets: the same shape, rows sum to 1 or less.
        smoothing: share of each target that is spread evenly.
    """
    share = targets.sum(1, keepdim=True)
    smooth = targets * (1 - smoothing) + share * smoothing / logits.shape[1]
    return -(smooth * torch.log_softmax(logits, dim=1)).sum(1).mean()


def class_weights(counts: Sequence[float]) -> Tensor:
    """Weights that give every label the same share of a loss, ``w_c = N / (K n_c)``.

    Args:
        counts: training utterances of each label, N in all.

    Returns:
        float32, shape (n_labels,). K counts the labels that occur, so the mean weight of an
        utterance is 1; a label that does not occur gets 0.

    Raises:
        ValueError: no label occurs.
    """
    found = torch.tensor(counts, dtype=torch.float64)
    occurs = found > 0
    if not occurs.any():
        raise ValueError("no label has an utterance, expected at least one.")
    weights = found.sum() / (occurs.sum() * torch.where(occurs, found, 1.0))
    return torch.where(occurs, weights, 0.0).float()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of cross-entropies, ``sum_i w_i (-log p_i) / sum_i w_i``.

    ``p_i`` is the posterior of the true label of utterance i and ``w_i`` the weight of that label.

    Args:
        logits: shape (n_utterances, n_labels).
        labels: positions of the true labels, shape (n_utterances,).
        weights: of the labels, 0 or more, shape (n_labels,).

    Returns:
        A scalar in nats; 0 if all weights that occur are 0.

    Raises:
        ValueError: there is no utterance, or the shapes do not fit.
    """
    _check_labels(logits, labels)
    surprise = -_true_log_probs(_wide(logits), labels)
    return _weighted_mean(surprise, weights.to(surprise)[labels])


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: Tensor | None = None,
    gamma: float = 2.0,
    over_alpha: bool = False,
) -> Tensor:
    """Cross-entropy with less weight on what is known, ``-alpha_y (1 - p_y)^gamma log p_y``.

    ``1 - p_y`` is the sum of the other posteriors in the logarithmic domain, so neither a posterior
    of 0 nor one of 1 makes the loss or its gradient anything but a number.

    Args:
        logits: shape (n_utterances, n_labels).
        labels: positions of the true labels, shape (n_utterances,).
        alpha: weights of the labels, 0 or more, shape (n_labels,); None for 1.
        gamma: 0 or more; 0 gives cross-entropy.
        over_alpha: whether the sum is divided by the sum of the utterances' alpha, as
            `weighted_cross_entropy` does, and not by their number.

    Returns:
        A scalar in nats.

    Raises:
        ValueError: there is no utterance, the shapes do not fit, or gamma is negative.

    Source: Lin et al. 2017, "Focal loss for dense object detection", equation 5.
    """
    _check_labels(logits, labels)
    if gamma < 0:
        raise ValueError(f"gamma {gamma:g}, expected 0 or more.")
    log_probs = torch.log_softmax(_wide(logits), dim=1)
    truth = labels[:, None]
    # Not -inf: with no other label, gamma 0 would make it 0 * inf.
    others = log_probs.scatter(1, truth, torch.finfo(log_probs.dtype).min)
    doubt = torch.exp(gamma * torch.logsumexp(others, dim=1))  # (1 - p_y)^gamma
    losses = -doubt * log_probs.gather(1, truth).squeeze(1)
    weights = torch.ones_like(losses) if alpha is None else alpha.to(losses)[labels]
    return _weighted_mean(losses, weights) if over_alpha else (weights * losses).mean()


def neutral_soft_margin(scores: Tensor, neutral: Tensor) -> Tensor:
    """Logistic loss of neutral against expressive, mean of ``log(1 + exp(-t s))``.

    ``t`` is 1 for neutral utterances and -1 for all others. There is no margin and no pair.

    Args:
        scores: logits of being neutral, shape (n_utterances,).
        neutral: bool, the same shape.

    Returns:
        A scalar in nats.

    Raises:
        ValueError: there is no utterance, or the shapes differ.

    Source: the UNICAMP system of the Interspeech 2025 challenge (arXiv 2505.20007).
    """
    _check_same(scores, neutral)
    scores = _wide(scores)
    return -logsigmoid(torch.where(neutral, scores, -scores)).mean()


def concordance_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Sum over the dimensions of 1 minus the concordance correlation coefficient.

    ``CCC = 2 s_xy / (s_x² + s_y² + (m_x - m_y)² + 1e-8)`` with population statistics over the
    batch, in float32 or better. A dimension whose prediction or truth is constant has CCC 0, and
    where the truth is constant, such as in a batch of one, the gradient is 0 as well.

    Args:
        predicted: shape (n_utterances, n_dimensions), or (n_utterances,) for one dimension.
        truth: the same shape.

    Returns:
        A scalar from 0 to twice the number of dimensions.

    Raises:
        ValueError: there is no utterance, or the shapes differ.

    Source: Lin 1989. `emocli.metrics.regression.concordance_cc` is the measure that goes with it;
    the constant in the denominator is what it lacks.
    """
    _check_same(predicted, truth)
    x, y = _wide(predicted), _wide(truth)
    gap = x.mean(0) - y.mean(0)  # (n_dimensions,)
    x, y = x - x.mean(0), y - y.mean(0)
    spread = x.square().mean(0) + y.square().mean(0) + gap.square()
    return (1.0 - 2.0 * (x * y).mean(0) / (spread + CONCORDANCE_FLOOR)).sum()


def squared_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of the squares of all values, for an l2 penalty.

    What is penalised must not be under the optimiser's weight decay too.

    Args:
        parameters: one tensor or more, of any shapes.
    """
    return torch.stack([values.float().square().sum() for values in parameters]).sum()


def _true_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Log posterior of each utterance's true label, shape (n_utterances,)."""
    return torch.log_softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Mean under weights; 0 if all of them are 0."""
    return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def _wide(values: Tensor) -> Tensor:
    """The values in float32, in float64 if they already were."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_labels(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and labels of shape {tuple(labels.shape)}, "
            f"expected (n_utterances, n_labels) and (n_utterances,)."
        )
    _check_some(logits)


def _check_same(values: Tensor, truth: Tensor) -> None:
    # One of shape (n, 1) and the other (n,) would broadcast to (n, n).
    if values.shape != truth.shape:
        raise ValueError(
            f"shapes {tuple(values.shape)} and {tuple(truth.shape)}, expected the same."
        )
    _check_some(values)


def _check_some(values: Tensor) -> None:
    if len(values) == 0:
        raise ValueError("a loss over no utterances, expected at least one.")
