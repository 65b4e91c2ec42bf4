"""A blend of Bayes' rule and logistic regression that trusts the voice as a new speaker deserves.

    p(y | voice, text)  is proportional to
        sqrt(p_bayes(y | voice, text) * p_logistic(y | voice, text)) / p(y | voice) ** discount

A speech model is too sure of the speakers that it was trained on. What is fitted on their
recordings learns that the voice is nearly always right, and that is wrong for whoever comes next.
Among the speakers to fit on there may be some whom the model never heard, and nobody has to say
which: the discount is what the speaker needs whose posteriors deserve the most of it, as seen by
fusers that were fitted without that speaker. Bayes' rule counts the text's answers apart from the
voice and so errs in other places than the regression does.

Equal weights and the rule for the discount were chosen on validation speakers, see
`tests/benchmarks/fusers.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.fusion.bayes import Bayes, fit_bayes
from emocli.fusion.features import Input
from emocli.fusion.logistic import Logistic, fit_logistic
from emocli.fusion.softmax_regression import balanced_weights

N_ERRORS = 2.0
"""Standard errors that the discount stays below what a speaker seems to need."""
FEWEST = 30
"""Rows of a speaker below which nobody is asked: a few errors must not decide for everyone."""
LARGEST = 1.0
"""Discount beyond which no speaker is followed; at 1 the voice counts once less than learned."""
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Blend:
    """A fitted blend.

    Attributes:
        labels: emotions in the order of the speech posteriors.
        inputs: the voice and the text.
        n_fit: rows that it was fitted on.
        bayes: Bayes' rule on both.
        logistic: class-balanced logistic regression on both.
        discount: exponent of the voice's posterior that is taken back, 0 to `LARGEST`.
    """

    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    n_fit: int
    bayes: Bayes
    logistic: Logistic
    discount: float

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
            Shape (n_utterances, n_labels), rows sum to 1. A voice without a say takes nothing
            back.
        """
        logits = _blended(self.bayes.probs(blocks), self.logistic.probs(blocks))
        return posteriors.softmax(logits - self.discount * np.nan_to_num(blocks[0]))


def fit_blend(
    blocks: Sequence[NDArray[np.float64]],
    truth: NDArray[np.intp],
    labels: Sequence[str],
    inputs: Sequence[Input],
    folds: NDArray[np.intp],
    *,
    speakers: Sequence[str] | None = None,
    criterion: str = "uar",
    temper: float = 1.0,
) -> tuple[Blend, NDArray[np.float64]]:
    """Both fusers, and the discount that the least familiar speaker asks for.

    Args:
        blocks: log posteriors of the voice and the text's features, without NaN.
        truth: label index of each row, shape (n_rows,).
        labels: names of the indices.
        inputs: the voice and the text.
        folds: cross-validation fold of each row, shape (n_rows,).
        speakers: of each row; where they are unknown nothing is discounted.
        criterion: what decides the regression's penalty, see `emocli.fusion.logistic`.
        temper: exponent of the likelihood in Bayes' rule.

    Returns:
        The blend on all rows, and for each row the posterior of fusers that were fitted without
        its fold; shape (n_rows, n_labels). The discount is the same for both: it is one number,
        and a fold without the unfamiliar speaker could not find it.
    """
    common = (blocks, truth, labels, inputs, folds)
    bayes, bayes_held = fit_bayes(*common, speakers=speakers, temper=temper)
    logistic, logistic_held = fit_logistic(*common, criterion=criterion, balanced=True)
    held = _blended(bayes_held, logistic_held)
    discount = 0.0
    if speakers is not None:
        discount = find_discount(held, blocks[0], truth, speakers)
    blend = Blend(tuple(labels), tuple(inputs), len(truth), bayes, logistic, discount)
    return blend, posteriors.softmax(held - discount * blocks[0])


def find_discount(
    logits: NDArray[np.float64],
    voice: NDArray[np.float64],
    truth: NDArray[np.intp],
    speakers: Sequence[str],
) -> float:
    """The largest exponent of the voice that some speaker surely needs taken back.

    For each speaker the exponent is the one of the least surprisal, all labels weighing the same,
    less `N_ERRORS` standard errors. Speakers with fewer than `FEWEST` rows are not asked.

    Args:
        logits: held-out log posteriors, shape (n_rows, n_labels).
        voice: log posteriors of the voice, shape (n_rows, n_labels).
        truth: label index of each row, shape (n_rows,).
        speakers: of each row.

    Returns:
        From 0, where nobody needs any, to `LARGEST`.
    """
    everyone = np.asarray(speakers).astype(str)
    names, counts = np.unique(everyone, return_counts=True)
    needed = [0.0]
    for name in names[counts >= FEWEST]:
        own = everyone == name
        needed.append(_surely_needed(logits[own], voice[own], truth[own]))
    return float(min(max(needed), LARGEST))


def _surely_needed(
    logits: NDArray[np.float64], voice: NDArray[np.float64], truth: NDArray[np.intp]
) -> float:
    """One speaker's exponent less its error; found by bisection, for the surprisal is convex."""
    weights = balanced_weights(truth, logits.shape[1])

    def slope(discount: float) -> float:
        probs = posteriors.softmax(logits - discount * voice)
        own = voice[np.arange(len(truth)), truth]
        return float(weights @ (own - (probs * voice).sum(axis=1)))

    low, high = 0.0, LARGEST
    if slope(low) >= 0:
        return 0.0
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    probs = posteriors.softmax(logits - low * voice)
    spread = (probs * voice**2).sum(axis=1) - (probs * voice).sum(axis=1) ** 2
    information = len(truth) * float(weights @ spread) / float(weights.sum())
    return low - N_ERRORS / np.sqrt(information) if information > 0 else 0.0


def _blended(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the geometric mean of two posteriors; not normalised."""
    smallest = float(np.finfo(np.float64).tiny)
    return np.asarray(np.log(np.maximum(first * second, smallest)) / 2)
