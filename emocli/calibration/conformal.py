"""Sets of labels that hold the truth as often as was promised.

Split conformal prediction: on utterances that no map was fitted on, each true label gets a score
of how strange it looks; the threshold is the score that the promised share of them stays below,
corrected for there being finitely many. A set holds every label whose score is no higher. For new
utterances that are drawn as those were, the set holds the truth with at least the promised
probability, whatever the model. New speakers are not drawn as the old ones were: what
they get is measured by leaving speakers out.

Two scores. *Plain* sets (LAC) take ``1 - p``: the smallest sets on average. *Adaptive* sets (APS)
take the probability of all likelier labels, plus a random part of the label's own: sets that grow
where the posterior is flat, with a coverage that is more even over easy and hard utterances. The
random part is what makes the promise exact: without it a sure prediction, whose top label alone
exceeds the threshold, would have an empty set or one that is too large. It is drawn from the
utterance's name, so the same recording has the same set on every run. A penalty for each label
after the first (RAPS) keeps adaptive sets from trailing off.

Source: Sadinle et al. 2019 (LAC); Romano et al. 2020 (APS); Angelopoulos et al. 2021 (RAPS, here
with k_reg = 1); Vovk 2012 (per class).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SetRule:
    """Which sets are wanted.

    Attributes:
        coverage: how often the set shall hold the truth, above 0 and below 1.
        adaptive: adaptive rather than plain sets.
        penalty: what each label after the first adds to its score in adaptive sets, at least 0.
        per_class: promise the coverage for each true label, not only for all together.
    """

    coverage: float
    adaptive: bool = False
    penalty: float = 0.0
    per_class: bool = False


@dataclass(frozen=True)
class LabelSets:
    """Conformal label sets with their thresholds.

    Attributes:
        rule: which sets they are.
        thresholds: the highest score that is let in, one for each label; infinite where too few
            utterances were seen to promise anything, and then the label is in every set.
    """

    rule: SetRule
    thresholds: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        probs: NDArray[np.float64],
        truth: NDArray[np.intp],
        draws: NDArray[np.float64],
        rule: SetRule,
    ) -> "LabelSets":
        """Thresholds from utterances that took no part in fitting the map.

        Args:
            probs: calibrated posteriors, shape (n_utterances, n_labels).
            truth: label indices, shape (n_utterances,).
            draws: the random part of each utterance, from 0 to 1, shape (n_utterances,).
            rule: which sets are wanted.
        """
        own = np.take_along_axis(scores(probs, draws, rule), truth[:, np.newaxis], axis=1)[:, 0]
        n_labels = probs.shape[1]
        if not rule.per_class:
            return cls(rule, (finite_sample_quantile(own, rule.coverage),) * n_labels)
        return cls(
            rule,
            tuple(
                finite_sample_quantile(own[truth == label], rule.coverage)
                for label in range(n_labels)
            ),
        )

    def members(self, probs: NDArray[np.float64], draws: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels are in the set of each utterance.

        The likeliest label is always in it: a set without any label would be shorter, and useless.

        Args:
            probs: calibrated posteriors, shape (n_utterances, n_labels).
            draws: the random part of each utterance, shape (n_utterances,).

        Returns:
            Shape (n_utterances, n_labels); nothing for a NaN row.
        """
        inside = scores(probs, draws, self.rule) <= np.array(self.thresholds)
        known = np.asarray(~np.isnan(probs).any(axis=1))
        best = np.argmax(np.nan_to_num(probs, nan=-1.0), axis=1)
        inside[np.arange(len(probs)), best] = True
        return np.asarray(inside & known[:, np.newaxis])


def scores(
    probs: NDArray[np.float64], draws: NDArray[np.float64], rule: SetRule
) -> NDArray[np.float64]:
    """How strange each label would be as the truth, shape (n_utterances, n_labels).

    Of equally likely labels the earlier counts as the likelier one.
    """
    if not rule.adaptive:
        return 1.0 - probs
    order = np.argsort(-probs, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")  # 0 for the likeliest
    ranked = np.take_along_axis(probs, order, axis=1)
    before = np.take_along_axis(np.cumsum(ranked, axis=1) - ranked, rank, axis=1)
    return before + draws[:, np.newaxis] * probs + rule.penalty * rank


def finite_sample_quantile(values: NDArray[np.float64], coverage: float) -> float:
    """The value that a new one stays below or meets with at least the given probability.

    The ``ceil((n + 1) coverage)``-th smallest of n values; infinite where that is beyond n.

    Example:
        >>> finite_sample_quantile(np.arange(1.0, 10.0), 0.9)
        9.0
        >>> finite_sample_quantile(np.arange(1.0, 9.0), 0.9)
        inf
    """
    place = math.ceil((len(values) + 1) * coverage - 1e-9)  # 10 * 0.9 is 9, not a bit more
    return float(np.sort(values)[place - 1]) if place <= len(values) else math.inf


def coverage_of(members: NDArray[np.bool_], truth: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each set holds the truth, shape (n_utterances,)."""
    return np.asarray(np.take_along_axis(members, truth[:, np.newaxis], axis=1)[:, 0])
