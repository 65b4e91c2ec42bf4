"""Entropy-aware score selection: the words are asked where the voice is doubtful.

A speech posterior whose entropy is high and whose varentropy is low is flat all over: the model
does not know. For such utterances the sentiment of the transcript decides instead, unless that
exchange of labels did more harm than good on the calibration set. Thresholds belong to the label
that the speech model predicted.

Source: arXiv 2508.20796, as its released program runs it.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.errors import LabelMismatch
from emocli.labels import SENTIMENT_OF, SENTIMENTS

N_GRID = 200
ENTROPY_QUANTILES = (0.65, 0.85)
VARENTROPY_QUANTILES = (0.15, 0.35)
REQUIRED = ("angry", "happy", "neutral", "sad")
"""The emotions that sentiments stand for before others."""


@dataclass(frozen=True)
class SentimentRule:
    """Which emotion a negative sentiment means: angry or sad.

    The *refer* rule takes the one that the speech posterior prefers, angry on a tie; of a model
    that knows fear, disgust and the like too, the one that it prefers of all these. The *simple*
    rule goes by the sentiment's own probability: up to the threshold angry, above it sad.

    Attributes:
        threshold: probability for the simple rule, from 0 to 1; None for the refer rule.
        flip: the simple rule the other way round: up to the threshold sad, above it angry.
    """

    threshold: float | None = None
    flip: bool = False


REFER = SentimentRule()
RULES = (
    *(SentimentRule(step / 20, flip) for flip in (True, False) for step in range(15)),
    REFER,
)
"""All settings in the order of the search; of equally good ones the first is taken."""


@dataclass(frozen=True)
class ClassRule:
    """When to ask the text about one predicted label, and how to read its answer.

    Attributes:
        entropy: least entropy in nats; infinite where the text is never asked.
        varentropy: largest varentropy in nats squared.
        sentiment: the reading of a negative sentiment.
    """

    entropy: float
    varentropy: float
    sentiment: SentimentRule = REFER


NEVER = ClassRule(float("inf"), 0.0)
"""For a label without a wrong prediction in the calibration set: nothing to learn from."""


Transition = tuple[str, str]
"""An exchange of one label for another: from, to."""


@dataclass(frozen=True)
class Tally:
    """How often an exchange of labels corrected a prediction, and how often it broke one."""

    corrected: int = 0
    broken: int = 0


@dataclass(frozen=True)
class Answers:
    """What the text model said: shape (n_utterances,) each.

    Attributes:
        sentiment: index into negative, neutral, positive (`emocli.labels.SENTIMENTS`); -1 where
            the text has no say.
        score: probability of that sentiment.
    """

    sentiment: NDArray[np.intp]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """The outcome of score selection, shape (n_utterances,) each.

    Attributes:
        speech: label index that the speech model predicts.
        text: label index that the sentiment stands for, -1 where the text has no say.
        consulted: whether the text was asked.
        label: label index after selection.
    """

    speech: NDArray[np.intp]
    text: NDArray[np.intp]
    consulted: NDArray[np.bool_]
    label: NDArray[np.intp]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Whether the text's emotion replaced another one."""
        return np.asarray(self.label != self.speech)


@dataclass(frozen=True)
class EntropySelection:
    """Calibrated, or hand-set, score selection.

    Attributes:
        labels: emotions in the order of the speech posterior's columns.
        rules: for each label when to ask the text.
        excluded: exchanges ``(from, to)`` of labels that are not made.
        transitions: exchanges that calibration proposed, and what they did there.
        inputs: identifiers of the speech and the text model; ``""`` where unknown.
        n_calibration: rows that the thresholds were calibrated on; 0 for thresholds set by hand.
    """

    labels: tuple[str, ...]
    rules: Mapping[str, ClassRule]
    excluded: tuple[Transition, ...] = ()
    transitions: Mapping[Transition, Tally] = field(default_factory=dict)
    inputs: tuple[str, str] = ("", "")
    n_calibration: int = 0

    def select(self, probs: NDArray[np.float64], answers: Answers) -> Selection:
        """The label of each utterance after score selection.

        Args:
            probs: speech posteriors, shape (n_utterances, n_labels), columns as in ``labels``.
            answers: what the text model said of the same utterances.
        """
        chosen = _propose(probs, answers, self.labels, [self.rules[name] for name in self.labels])
        barred = np.zeros((len(self.labels), len(self.labels)), dtype=bool)
        for before, after in self.excluded:
            barred[self.labels.index(before), self.labels.index(after)] = True
        kept = barred[chosen.speech, chosen.label]
        label = np.where(kept, chosen.speech, chosen.label)
        return Selection(chosen.speech, chosen.text, chosen.consulted, label)


def manual(
    labels: Sequence[str], rule: ClassRule, *, inputs: tuple[str, str] = ("", "")
) -> EntropySelection:
    """Score selection by a rule set by hand, the same for all labels, without exclusions.

    Args:
        labels: emotions in the order of the speech posterior's columns.
        rule: when to ask the text.
        inputs: identifiers of the speech and the text model.

    Raises:
        LabelMismatch: an emotion that sentiments stand for is not among the labels.
    """
    _check_labels(labels)
    return EntropySelection(tuple(labels), dict.fromkeys(labels, rule), inputs=inputs)


def fit(
    probs: NDArray[np.float64],
    answers: Answers,
    truth: NDArray[np.intp],
    labels: Sequence[str],
    *,
    inputs: tuple[str, str] = ("", ""),
) -> EntropySelection:
    """Score selection calibrated on utterances whose emotion is known.

    Args:
        probs: speech posteriors, shape (n_utterances, n_labels), rows sum to 1.
        answers: what the text model said of the same utterances.
        truth: label index of each utterance, shape (n_utterances,).
        labels: the order of the columns of ``probs``.
        inputs: identifiers of the speech and the text model.

    Returns:
        Thresholds and sentiment rule for each label, and the count of every exchange. A label
        that was never predicted wrongly never asks the text.

    Raises:
        LabelMismatch: an emotion that sentiments stand for is not among the labels.
    """
    _check_labels(labels)
    predicted = posteriors.top(probs)
    rules = [
        _fit_class(probs[rows], _answers_of(answers, rows), truth[rows], labels, index)
        for index in range(len(labels))
        for rows in [np.flatnonzero(predicted == index)]
    ]
    tallies = tally_transitions(_propose(probs, answers, labels, rules), truth, labels)
    return EntropySelection(
        labels=tuple(labels),
        rules=dict(zip(labels, rules, strict=True)),
        excluded=tuple(pair for pair, tally in tallies.items() if tally.broken > tally.corrected),
        transitions=tallies,
        inputs=inputs,
        n_calibration=len(truth),
    )


def tally_transitions(
    selection: Selection, truth: NDArray[np.intp], labels: Sequence[str]
) -> dict[Transition, Tally]:
    """What each exchange of labels did, by ``(from, to)`` in alphabetical order.

    Args:
        selection: outcome of score selection.
        truth: label index of each utterance, -1 for a label outside the set.
        labels: names of the indices.
    """
    n_labels = len(labels)
    changed = selection.changed
    pair = (selection.speech * n_labels + selection.label)[changed]
    made, corrected, broken = (
        np.bincount(codes, minlength=n_labels * n_labels).tolist()
        for codes in (
            pair,
            pair[(selection.label == truth)[changed]],
            pair[(selection.speech == truth)[changed]],
        )
    )
    tallies = {
        (before, after): Tally(corrected[code], broken[code])
        for code, (before, after) in enumerate(itertools.product(labels, repeat=2))
        if made[code]
    }
    return dict(sorted(tallies.items()))


def mapped_emotions(
    rule: SentimentRule,
    answers: Answers,
    probs: NDArray[np.float64],
    labels: Sequence[str],
) -> NDArray[np.intp]:
    """The emotion that each sentiment stands for.

    ``neutral -> neutral``, ``positive -> happy``, negative by the rule. A model may know other
    emotions of a sentiment (`emocli.labels.SENTIMENT_OF`): then the one that it prefers.

    Args:
        rule: the reading of a negative sentiment.
        answers: what the text model said.
        probs: speech posteriors, shape (n_utterances, n_labels).
        labels: the order of the columns of ``probs``.

    Returns:
        Label index, shape (n_utterances,); -1 where the text has no say.
    """
    meanings = np.stack([_preferred(name, probs, labels) for name in SENTIMENTS])
    if rule.threshold is not None:  # meanings: (3, n_utterances)
        is_angry = (answers.score <= rule.threshold) != rule.flip
        angry, sad = list(labels).index("angry"), list(labels).index("sad")
        meanings[SENTIMENTS.index("negative")] = np.where(is_angry, angry, sad)
    mapped = meanings[answers.sentiment, np.arange(len(probs))]
    return np.where(answers.sentiment >= 0, mapped, -1)


def _preferred(
    sentiment: str, probs: NDArray[np.float64], labels: Sequence[str]
) -> NDArray[np.intp]:
    """The likeliest emotion of a sentiment, shape (n_utterances,); of equal ones the usual one."""
    usual = (*REQUIRED, *(label for label in labels if label not in REQUIRED))
    own = [list(labels).index(name) for name in usual if SENTIMENT_OF.get(name) == sentiment]
    return np.array(own, dtype=np.intp)[np.argmax(probs[:, own], axis=1)]


def _check_labels(labels: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in labels]
    if missing:
        raise LabelMismatch(
            f"Entropy selection needs the emotions {', '.join(REQUIRED)}, and "
            f"{', '.join(missing)} is missing from {', '.join(labels)}. "
            f"Use a speech model that has all four."
        )


def _answers_of(answers: Answers, rows: NDArray[np.intp]) -> Answers:
    return Answers(answers.sentiment[rows], answers.score[rows])


def _propose(
    probs: NDArray[np.float64],
    answers: Answers,
    labels: Sequence[str],
    rules: Sequence[ClassRule],
) -> Selection:
    """Score selection before any exchange is barred."""
    speech = posteriors.top(probs)
    floor = np.array([rule.entropy for rule in rules])
    ceiling = np.array([rule.varentropy for rule in rules])
    doubtful = posteriors.entropy(probs) >= floor[speech]
    doubtful &= posteriors.varentropy(probs) <= ceiling[speech]
    text = np.full(len(speech), -1, dtype=np.intp)
    for index, rule in enumerate(rules):
        text = np.where(
            speech == index, mapped_emotions(rule.sentiment, answers, probs, labels), text
        )
    consulted = doubtful & (text >= 0) & (speech >= 0)
    return Selection(speech, text, consulted, np.where(consulted, text, speech))


def _fit_class(
    probs: NDArray[np.float64],
    answers: Answers,
    truth: NDArray[np.intp],
    labels: Sequence[str],
    predicted: int,
) -> ClassRule:
    """Thresholds and sentiment rule for the utterances that were predicted as one label."""
    entropy, varentropy = posteriors.entropy(probs), posteriors.varentropy(probs)
    pair = best_thresholds(entropy, varentropy, truth != predicted)
    if pair is None:
        return NEVER
    rows = np.flatnonzero((entropy >= pair[0]) & (varentropy <= pair[1]))

    def n_right(rule: SentimentRule) -> int:
        mapped = mapped_emotions(rule, _answers_of(answers, rows), probs[rows], labels)
        return int(np.sum(mapped == truth[rows]))

    # The rows that are not consulted keep their labels, so they cannot decide between rules;
    # max takes the first of equally good ones.
    return ClassRule(*pair, max(RULES, key=n_right))


def best_thresholds(
    entropy: NDArray[np.float64], varentropy: NDArray[np.float64], wrong: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """The pair of thresholds that singles out wrong predictions best.

    Both grids span quantiles of the wrong predictions. A pair consults the utterances with at
    least that entropy and at most that varentropy; its merit is the share of wrong ones among
    them. All pairs are counted at once: each utterance falls into one cell of the grid, and
    cumulative sums over cells give the counts of every pair.

    Args:
        entropy: nats, shape (n_utterances,).
        varentropy: nats squared, shape (n_utterances,).
        wrong: which predictions are wrong, shape (n_utterances,).

    Returns:
        Entropy and varentropy, of equally good pairs the one with the lowest entropy and then the
        lowest varentropy; None where no prediction is wrong or no pair consults anything.
    """
    if not wrong.any():
        return None
    floors = _grid(entropy[wrong], ENTROPY_QUANTILES)
    ceilings = _grid(varentropy[wrong], VARENTROPY_QUANTILES)
    # An utterance is consulted by the first n_floors entropies and from n_below varentropies on.
    n_floors = np.searchsorted(floors, entropy, side="right")
    n_below = np.searchsorted(ceilings, varentropy, side="left")
    n_consulted = _count_pairs(n_floors, n_below)  # (N_GRID, N_GRID)
    n_wrong = _count_pairs(n_floors[wrong], n_below[wrong])  # (N_GRID, N_GRID)
    if not n_consulted.any():
        return None
    share = np.where(n_consulted > 0, n_wrong / np.maximum(n_consulted, 1), -1.0)
    row, column = np.unravel_index(np.argmax(share), share.shape)
    return float(floors[row]), float(ceilings[column])


def _grid(values: NDArray[np.float64], quantiles: tuple[float, float]) -> NDArray[np.float64]:
    """Evenly spaced thresholds between two quantiles, shape (N_GRID,)."""
    low, high = np.quantile(values, quantiles).tolist()
    return np.linspace(low, high, N_GRID)


def _count_pairs(n_floors: NDArray[np.intp], n_below: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many utterances each pair of thresholds consults, shape (N_GRID, N_GRID)."""
    side = N_GRID + 1
    cells = np.bincount(n_floors * side + n_below, minlength=side * side).reshape(side, side)
    at_least = np.cumsum(cells[::-1], axis=0)[::-1]  # row i: utterances with n_floors >= i
    both = np.cumsum(at_least, axis=1)  # column j: and with n_below <= j
    return both[1:, :N_GRID]
