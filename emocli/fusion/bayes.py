"""Bayes' rule: the voice's posterior times the likelihood of the text's answer.

    p(y | voice, text)  is proportional to  p(y | voice)' * p(answer | y) ** temper

The answer is the top sentiment and the quarter that its score falls into. Its likelihood given an
emotion is counted, apart from the voice: a speech model is too sure of the recordings that it was
trained on, and a regression on both would learn from them that the text is hardly worth asking.
For the same reason the voice's posterior is recalibrated (p') only a little: its log
probabilities go through a matrix that is held close to the identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.fusion.features import POSTERIORS, Input
from emocli.fusion.softmax_regression import fit_softmax
from emocli.labels import SENTIMENTS

N_BINS = 4
"""Quarters of the scores of each sentiment."""
PSEUDO_COUNT = 20.0
"""Rows that each emotion's answers are mixed with, distributed as those of all emotions."""
MATRIX_PENALTY = 0.2
BIAS_PENALTY = 0.02
"""Penalties on what is learned beyond Bayes' rule, beside a mean loss: with 5000 rows each matrix
element is held as if by 1000 more rows that say 1 or 0."""
SPEAKER_PSEUDO_COUNT = 10.0
"""Keeps the few rows that a speaker has of an emotion from weighing as much as many."""


@dataclass(frozen=True)
class Bayes:
    """A fitted Bayes' rule.

    Attributes:
        labels: emotions in the order of the speech posteriors.
        inputs: the voice and the text.
        n_fit: rows that it was fitted on.
        edges: inner borders of the score's bins of each sentiment, shape (3, N_BINS - 1).
        log_likelihood: of each bin's answer given an emotion, relative to the mean over emotions;
            shape (3, N_BINS, n_labels).
        matrix: recalibration of the voice, shape (n_labels, n_labels).
        bias: added to the recalibrated log posterior, shape (n_labels,).
        temper: exponent of the likelihood.
    """

    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    n_fit: int
    edges: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    matrix: NDArray[np.float64]
    bias: NDArray[np.float64]
    temper: float = 1.0

    @property
    def prior(self) -> NDArray[np.float64]:
        """The class mix that its posteriors stand for: all emotions equally frequent."""
        return np.full(len(self.labels), 1.0 / len(self.labels))

    def probs(self, blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Fused posteriors.

        Args:
            blocks: log posteriors of the voice, shape (n_utterances, n_labels), and the text's
                features, shape (n_utterances, 3); NaN without a say.

        Returns:
            Shape (n_utterances, n_labels), rows sum to 1. A side without a say is left out.
        """
        voice = np.nan_to_num(blocks[0] @ self.matrix + self.bias)
        words = answer_likelihood(blocks[1], self.inputs[1].kind, self.edges, self.log_likelihood)
        return posteriors.softmax(voice + self.temper * words)


def fit_bayes(
    blocks: Sequence[NDArray[np.float64]],
    truth: NDArray[np.intp],
    labels: Sequence[str],
    inputs: Sequence[Input],
    folds: NDArray[np.intp],
    *,
    speakers: Sequence[str] | None = None,
    temper: float = 1.0,
) -> tuple[Bayes, NDArray[np.float64]]:
    """Bayes' rule with likelihoods that are counted, and a recalibrated voice.

    Args:
        blocks: log posteriors of the voice and the text's features, without NaN.
        truth: label index of each row, shape (n_rows,).
        labels: names of the indices.
        inputs: the voice and the text.
        folds: cross-validation fold of each row, shape (n_rows,).
        speakers: of each row; all of them count the same.
        temper: exponent of the likelihood, below 1 where the two sides say the same thing twice.

    Returns:
        The rule on all rows, and for each row the posterior of the one that was fitted without
        its fold; shape (n_rows, n_labels).
    """
    people = np.zeros(len(truth), dtype=object) if speakers is None else np.asarray(speakers)

    def fitted(rows: NDArray[Any]) -> Bayes:
        voice, words = blocks[0][rows], blocks[1][rows]
        edges, table = _count_answers(words, inputs[1].kind, truth[rows], len(labels))
        offset = voice + temper * answer_likelihood(words, inputs[1].kind, edges, table)
        matrix, bias = _recalibrate(voice, offset, truth[rows], people[rows], len(labels))
        return Bayes(tuple(labels), tuple(inputs), len(rows), edges, table, matrix, bias, temper)

    held_out = np.empty((len(truth), len(labels)))
    for fold in np.unique(folds):
        apart = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        held_out[apart] = fitted(rest).probs([block[apart] for block in blocks])
    return fitted(np.arange(len(truth))), held_out


def answer_likelihood(
    words: NDArray[np.float64],
    kind: str,
    edges: NDArray[np.float64],
    table: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Log likelihood of each answer given the emotions, shape (n_utterances, n_labels).

    Args:
        words: the text's features, shape (n_utterances, 3); NaN gives 0 for all emotions.
        kind: what they are, see `emocli.fusion.features`.
        edges: inner borders of the score's bins, shape (3, N_BINS - 1).
        table: log likelihoods, shape (3, N_BINS, n_labels).
    """
    silent = np.isnan(words).any(axis=1, keepdims=True)
    sentiment, score_bin = _answer_of(words, kind, edges)
    return np.where(silent, 0.0, table[sentiment, score_bin])


def _top(words: NDArray[np.float64], kind: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Top sentiment and its score, shape (n_utterances,) each."""
    known = np.nan_to_num(words)
    largest = known.max(axis=1)
    return np.argmax(known, axis=1), np.exp(largest) if kind == POSTERIORS else largest


def _answer_of(
    words: NDArray[np.float64], kind: str, edges: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    sentiment, score = _top(words, kind)
    return sentiment, np.sum(score[:, np.newaxis] > edges[sentiment], axis=1)


def _count_answers(
    words: NDArray[np.float64], kind: str, truth: NDArray[np.intp], n_labels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Borders of the bins, and the log likelihood of each answer given each emotion."""
    sentiment, score = _top(words, kind)
    inner = np.arange(1, N_BINS) / N_BINS
    edges = np.stack(
        [
            np.quantile(score[sentiment == index], inner) if (sentiment == index).any() else inner
            for index in range(len(SENTIMENTS))
        ]
    )
    counts = np.zeros((len(SENTIMENTS), N_BINS, n_labels))
    np.add.at(counts, (*_answer_of(words, kind, edges), truth), 1.0)
    share = counts.sum(axis=2, keepdims=True) / len(truth)  # of each answer among all rows
    totals = counts.sum(axis=(0, 1))
    likelihood = (counts + PSEUDO_COUNT * share) / (totals + PSEUDO_COUNT)
    mean = likelihood.mean(axis=2, keepdims=True)
    relative = np.divide(likelihood, mean, out=np.ones_like(likelihood), where=mean > 0)
    return edges, np.log(relative)


def _recalibrate(
    voice: NDArray[np.float64],
    offset: NDArray[np.float64],
    truth: NDArray[np.intp],
    speakers: NDArray[np.generic],
    n_labels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and bias that take the voice's log posterior to equally frequent emotions.

    Without evidence against it the matrix is the identity, and the bias divides by the class mix.
    """
    bias = -np.log(np.bincount(truth, minlength=n_labels) / len(truth))
    design = np.concatenate([voice, np.ones((len(voice), 1))], axis=1)
    learned = fit_softmax(
        design,
        truth,
        n_labels,
        penalty=np.append(np.full(n_labels, MATRIX_PENALTY), BIAS_PENALTY),
        weights=_weights(truth, speakers, n_labels),
        offset=offset + bias,
    )
    return np.eye(n_labels) + learned[:-1], bias + learned[-1]


def _weights(
    truth: NDArray[np.intp], speakers: NDArray[np.generic], n_labels: int
) -> NDArray[np.float64]:
    """Weights that sum to 1, the same for every emotion and nearly so for its speakers."""
    _, person = np.unique(speakers.astype(str), return_inverse=True)
    cell = person * n_labels + truth
    weights = 1.0 / (np.bincount(cell) + SPEAKER_PSEUDO_COUNT)[cell]
    mass = np.bincount(truth, weights, minlength=n_labels)
    return np.asarray(weights / mass[truth] / n_labels)
