"""What becomes of a label after a review, how many became what, and what that was worth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from emocli.judging.reply import Opinion, Unusable
from emocli.metrics import classification

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # 0.5 to 0.95
ARROW = "->"


class Outcome(StrEnum):
    """What a review came to."""

    CONFIRMED = "confirmed"
    CHANGED = "changed"
    UNSURE = "unsure"
    REFUSED = "refused"
    MALFORMED = "malformed"
    OFF_LIST = "off-list"
    LATE = "late"
    FAILED = "failed"
    NOT_ASKED = "not asked"


NO_OPINION = (Outcome.REFUSED, Outcome.MALFORMED, Outcome.OFF_LIST, Outcome.LATE, Outcome.FAILED)
NO_ANSWER = (Outcome.LATE, Outcome.FAILED)
"""Outcomes in which the judge did not get to say anything."""


@dataclass(frozen=True)
class Review:
    """One row before and after.

    Attributes:
        before: the fused label.
        found: the opinion, or why there is none; None for a row that was not up for review.
        outcome: what came of it; None for a row that was not up for review.
        opinions: all of them, where the judge was asked several times.
    """

    before: str
    found: Opinion | Unusable | None = None
    outcome: Outcome | None = None
    opinions: Sequence[Opinion] = ()

    @property
    def after(self) -> str:
        """The label that counts."""
        if self.outcome is Outcome.CHANGED and isinstance(self.found, Opinion):
            return self.found.label
        return self.before

    @property
    def reason(self) -> str:
        """The judge's reason, or why there is no opinion."""
        if isinstance(self.found, Opinion):
            return self.found.reason
        return self.found.why if self.found else ""

    @property
    def change(self) -> str:
        """The exchange of labels, as ``angry->sad``; ``""`` if there is none."""
        return f"{self.before}{ARROW}{self.after}" if self.after != self.before else ""


def decide(before: str, found: Opinion | Unusable, threshold: float) -> Review:
    """Change the label only if the judge's confidence exceeds the threshold.

    Args:
        before: the fused label.
        found: the opinion, or why there is none.
        threshold: confidence that has to be exceeded, from 0 to 1.
    """
    if isinstance(found, Unusable):
        return Review(before, found, Outcome(found.fault.value))
    if found.label == before:
        return Review(before, found, Outcome.CONFIRMED)
    sure = found.confidence > threshold
    return Review(before, found, Outcome.CHANGED if sure else Outcome.UNSURE)


def agreed(opinions: Sequence[Opinion]) -> Opinion:
    """What several opinions on the same utterance come to.

    The label is the one that most of them give, and of equally frequent ones that with the
    greater confidence. Its confidence is the sum of theirs through the number of all opinions: no
    greater than the share of them that give it.

    Args:
        opinions: at least one.
    """
    sums: dict[str, list[float]] = {}
    for one in opinions:
        sums.setdefault(one.label, []).append(one.confidence)
    label = max(sums, key=lambda name: (len(sums[name]), sum(sums[name])))
    surest = max((one for one in opinions if one.label == label), key=lambda one: one.confidence)
    return Opinion(label, sum(sums[label]) / len(opinions), surest.reason)


def posterior(opinions: Sequence[Opinion], labels: Sequence[str]) -> NDArray[np.float64]:
    """The share of opinions that give each label, shape (n_labels,); NaN without an opinion.

    Args:
        opinions: on the same utterance.
        labels: all that may be given.
    """
    given = Counter(one.label for one in opinions)
    if not opinions:
        return np.full(len(labels), np.nan)
    return np.array([given[name] / len(opinions) for name in labels])


@dataclass(frozen=True)
class Tally:
    """How often an exchange of labels was made, and what it did.

    Attributes:
        n: rows.
        corrected: rows that were wrong and are right; None where the truth is not known.
        broken: rows that were right and are wrong; None where the truth is not known.
    """

    n: int
    corrected: int | None = None
    broken: int | None = None


def outcomes_of(reviews: Sequence[Review]) -> dict[Outcome, int]:
    """How many rows came to what, in the order of `Outcome`; rows not up for review left out."""
    found = Counter(one.outcome for one in reviews if one.outcome is not None)
    return {outcome: found[outcome] for outcome in Outcome if found[outcome]}


def changes_of(
    reviews: Sequence[Review], truth: Sequence[str] | None = None
) -> dict[tuple[str, str], Tally]:
    """Each exchange of labels that was made, the most frequent first.

    Args:
        reviews: of all rows.
        truth: true label of each row.
    """
    made: dict[tuple[str, str], list[int]] = {}
    for row, one in enumerate(reviews):
        if one.change:
            made.setdefault((one.before, one.after), []).append(row)
    ordered = sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))
    return {pair: _tally(pair, rows, truth) for pair, rows in ordered}


def _tally(pair: tuple[str, str], rows: Sequence[int], truth: Sequence[str] | None) -> Tally:
    if truth is None:
        return Tally(len(rows))
    before, after = (sum(truth[row] == label for row in rows) for label in pair)
    return Tally(len(rows), corrected=after, broken=before)


@dataclass(frozen=True)
class Worth:
    """How good the labels are at one threshold.

    Attributes:
        threshold: confidence above which labels changed; infinite for the fused labels.
        changed: rows whose label is another one.
        corrected: of these, rows that are right now.
        broken: of these, rows that were right before.
        figures: accuracy, uar and macro_f1, from 0 to 1.
    """

    threshold: float
    changed: int
    corrected: int
    broken: int
    figures: Mapping[str, float]


def sweep(
    reviews: Sequence[Review], truth: Sequence[str], thresholds: Sequence[float]
) -> list[Worth]:
    """What the opinions would have been worth at other thresholds; asks nobody again.

    The judge was told one threshold, and might have answered otherwise to another one.

    Args:
        reviews: of all rows.
        truth: true label of each row.
        thresholds: from 0 to 1; infinity stands for no change at all.
    """
    labels = list(dict.fromkeys(truth))
    codes = {label: code for code, label in enumerate(labels)}
    true = np.array([codes[name] for name in truth], dtype=np.intp)
    before = _coded([one.before for one in reviews], codes)
    worths = []
    for threshold in thresholds:
        after = _coded([_label_at(one, threshold) for one in reviews], codes)
        counts = classification.confusion(true, after, len(labels))
        moved = np.array([_label_at(one, threshold) != one.before for one in reviews], dtype=bool)
        worths.append(
            Worth(
                threshold=threshold,
                changed=int(moved.sum()),
                corrected=int((moved & (after == true)).sum()),
                broken=int((moved & (before == true)).sum()),
                figures={
                    "accuracy": float(classification.accuracy(counts)),
                    "uar": float(classification.unweighted_average_recall(counts)),
                    "macro_f1": float(classification.macro_f1(counts)),
                },
            )
        )
    return worths


def _label_at(one: Review, threshold: float) -> str:
    return one.before if one.found is None else decide(one.before, one.found, threshold).after


def _coded(names: Sequence[str], codes: Mapping[str, int]) -> NDArray[np.intp]:
    return np.array([codes.get(name, -1) for name in names], dtype=np.intp)
