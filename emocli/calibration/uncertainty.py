"""What the model does not know, and what nobody can know.

Several posteriors of the same utterance, from a network whose dropout stays on or from several
checkpoints, are several opinions. Where each is sure and they differ, the model lacks knowledge,
and more data would help. Where all agree that it could be either, the utterance itself is
ambiguous.

Source: Depeweg et al. 2018; Gal 2016.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.posteriors import entropy
from emocli.table import PredictionTable


@dataclass(frozen=True)
class Uncertainty:
    """Entropies of several posteriors in nats, shape (n_utterances,) each.

    Attributes:
        predictive: entropy of the mean posterior: all uncertainty together.
        expected: mean entropy of the posteriors: what nobody can know.
        mutual_information: the difference: what the model does not know.
    """

    predictive: NDArray[np.float64]
    expected: NDArray[np.float64]
    mutual_information: NDArray[np.float64]


def mean_posterior(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the posteriors that are there.

    Args:
        probs: shape (n_draws, n_utterances, n_labels); NaN where a draw has no posterior.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1; NaN where no draw has one.
    """
    there = ~np.isnan(probs).all(axis=2, keepdims=True)  # (n_draws, n_utterances, 1)
    count = there.sum(axis=0)
    total = np.where(there, np.nan_to_num(probs), 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def uncertainty(probs: NDArray[np.float64]) -> Uncertainty:
    """Predictive entropy, and its two parts.

    Args:
        probs: shape (n_draws, n_utterances, n_labels), rows sum to 1; NaN where a draw has no
            posterior of an utterance.

    Returns:
        Entropies from 0 to ln n_labels; NaN for utterances without any posterior.
    """
    predictive = entropy(mean_posterior(probs))
    each = entropy(probs)  # (n_draws, n_utterances)
    there = ~np.isnan(each)
    count = there.sum(axis=0)
    total = np.where(there, each, 0.0).sum(axis=0)
    expected = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return Uncertainty(predictive, expected, np.maximum(predictive - expected, 0.0))


def with_uncertainty(table: PredictionTable, probs: NDArray[np.float64]) -> PredictionTable:
    """A table of mean posteriors with the two parts of their entropy.

    The predictive entropy is the table's own ``entropy``, for its posteriors are the means.

    Args:
        table: rows whose posteriors are `mean_posterior` of the draws.
        probs: the draws, shape (n_draws, n_rows, n_labels).

    Returns:
        The table with ``expected_entropy`` and ``mutual_information``, in nats; empty without a
        posterior.
    """
    parts = uncertainty(probs)
    columns = {
        "expected_entropy": parts.expected,
        "mutual_information": parts.mutual_information,
    }
    return table.with_columns(columns)
