"""What training makes small."""

import torch
from torch import Tensor


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
