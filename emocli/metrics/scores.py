"""All figures of one table as functions of weights, which is what makes them comparable.

A score takes weights of units (see `emocli.metrics.intervals`) and gives each figure once for each
row of weights. Ones give the figure itself, a row of the identity that of one group, ones without
one unit its spread. There is no second implementation that could disagree with the first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emocli.metrics import calibration, classification, regression
from emocli.metrics.intervals import (
    FEW_UNITS,
    Dice,
    Interval,
    Units,
    all_coin_weights,
    coin_weights,
    difference_p_value,
    gap_norm,
    jackknife_weights,
    mean_interval,
    permutation_p_value,
    score_interval,
)
from emocli.metrics.ratios import mean_defined, ratio
from emocli.metrics.registry import (
    BIAS,
    DEBIASED,
    METRICS,
    SHARE,
    UNBOUNDED,
    Needs,
    Trust,
    computed,
    in_order,
    metric_of,
)
from emocli.metrics.risk_coverage import Ranking

Figures = dict[str, NDArray[np.float64]]
"""Values by common short name, shape (n_draws,) each."""


@dataclass(frozen=True)
class Scored:
    """Figures, and what some of them are made of.

    Attributes:
        figures: by name, shape (n_draws,).
        parts: what a figure is a mean of (``recall``, ``precision``, ``f1`` of each label) or a
            sum of (the signed gaps of ``ece`` and its kin), shape (n_draws, n_parts, 2): the part,
            and what it rests on, which is utterances for the first and the least variance of a
            gap for the second.
    """

    figures: Figures
    parts: Figures = field(default_factory=dict)


Score = Callable[[NDArray[np.float64]], Scored]
"""From weights of shape (n_draws, n_units) to figures."""

_BLOCK = 1_000_000  # weights of utterances held at once: 8 MB


@dataclass(frozen=True)
class Sample:
    """Truth and prediction of the same utterances, as arrays; what a table lacks is missing.

    Attributes:
        truth: label indices, shape (n_utterances,); -1 where the emotion is not evaluated.
        predicted: label indices, shape (n_utterances,); -1 for a missing or other prediction.
        n_labels: number of labels; the first columns of ``probs``.
        probs: posteriors, shape (n_utterances, n_columns); NaN rows for missing ones.
        confidence: probability of the predicted label, shape (n_utterances,); NaN if unknown.
        votes: soft truth, shape (n_utterances, n_columns); NaN rows for missing ones.
        dimensions: truth and prediction by name, shape (n_utterances,) each; NaN if missing.
        words: errors and reference words, shape (n_utterances, 2); None without transcripts.
        characters: errors and reference characters, shape (n_utterances, 2).
    """

    truth: NDArray[np.intp]
    predicted: NDArray[np.intp]
    n_labels: int
    probs: NDArray[np.float64]
    confidence: NDArray[np.float64]
    votes: NDArray[np.float64] | None = None
    dimensions: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )
    words: NDArray[np.int64] | None = None
    characters: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.truth)

    def below(self, other: "Sample") -> "Sample":
        """The utterances of two samples one below another; columns and labels are the same."""
        stack = np.concatenate
        return Sample(
            stack([self.truth, other.truth]),
            stack([self.predicted, other.predicted]),
            self.n_labels,
            stack([self.probs, other.probs]),
            stack([self.confidence, other.confidence]),
            _stack_both(self.votes, other.votes),
            {
                name: (stack([x, other.dimensions[name][0]]), stack([y, other.dimensions[name][1]]))
                for name, (x, y) in self.dimensions.items()
                if name in other.dimensions
            },
            _stack_both(self.words, other.words),
            _stack_both(self.characters, other.characters),
        )


_Column = TypeVar("_Column", bound=NDArray[Any])


def _stack_both(first: _Column | None, second: _Column | None) -> _Column | None:
    return None if first is None or second is None else np.concatenate([first, second])  # type: ignore[return-value]


def score_of(sample: Sample, units: NDArray[np.intp], n_units: int) -> Score:
    """Every figure that a sample allows, as one function of the weights of its units.

    Args:
        sample: truth and predictions.
        units: index of each utterance's unit, shape (n_utterances,).
        n_units: number of units.
    """
    scores = [
        *_label_scores(sample, units, n_units),
        *_probability_scores(sample, units, n_units),
        *_confidence_scores(sample, units, n_units),
        *_vote_scores(sample, units, n_units),
        *_dimension_scores(sample, units, n_units),
        *_transcript_scores(sample, units, n_units),
    ]

    def score(weights: NDArray[np.float64]) -> Scored:
        found = [one(weights) for one in scores]
        figures = {name: value for one in found for name, value in one.figures.items()}
        parts = {name: value for one in found for name, value in one.parts.items()}
        return Scored(in_order(figures), parts)

    return score


def figures_of(sample: Sample) -> dict[str, float]:
    """Every figure that a sample allows."""
    score = score_of(sample, np.zeros(len(sample), dtype=np.intp), 1)
    return {name: float(value[0]) for name, value in score(np.ones((1, 1))).figures.items()}


def figures_by_group(sample: Sample, groups: NDArray[np.intp], n_groups: int) -> Figures:
    """Every figure of each group of utterances, shape (n_groups,) each.

    Args:
        sample: truth and predictions.
        groups: index of each utterance's group, shape (n_utterances,).
        n_groups: number of groups.
    """
    size = block_size(len(sample), n_groups)
    starts = np.arange(0, n_groups, size)
    rows = (np.eye(n_groups)[start : start + size] for start in starts)
    return over_blocks(score_of(sample, groups, n_groups), rows).figures


def over_blocks(score: Score, blocks: Iterable[NDArray[np.float64]]) -> Scored:
    """The figures of all blocks of weights, joined."""
    found = [score(block) for block in blocks]
    return Scored(
        {name: np.concatenate([one.figures[name] for one in found]) for name in found[0].figures},
        {name: np.concatenate([one.parts[name] for one in found]) for name in found[0].parts},
    )


def block_size(n_utterances: int, n_units: int) -> int:
    """How many rows of weights to hold at once."""
    return max(1, _BLOCK // max(n_utterances, n_units, 1))


@dataclass(frozen=True)
class Intervals:
    """How far the figures of a table may be trusted.

    Attributes:
        figures: 95 % interval of each figure that has one.
        labels: intervals of ``recall``, ``precision`` and ``f1``, one for each label.
        further: ``ece_debiased`` and ``ece_bias``, which follow from how much the table varies.
    """

    figures: Mapping[str, Interval]
    labels: Mapping[str, Sequence[Interval]]
    further: Mapping[str, float]


def intervals_of(sample: Sample, units: Units) -> Intervals:
    """The 95 % interval of every figure.

    Args:
        sample: truth and predictions.
        units: what varies, two or more.
    """
    score = score_of(sample, units.index, units.n)
    whole = score(np.ones((1, units.n)))
    left_out = over_blocks(score, jackknife_weights(units.n, block_size(len(sample), units.n)))
    labels = {
        name: _label_intervals(whole.parts[name][0], left_out.parts[name])
        for name in LABEL_PARTS
        if name in whole.parts
    }
    gaps = {
        name: gap_norm(parts[0, :, 0], left_out.parts[name][:, :, 0], parts[0, :, 1])
        for name, parts in whole.parts.items()
        if name in METRICS
    }
    n = float(np.sum(sample.truth >= 0) or len(sample))
    least = _least_variances(sample)
    found = {}
    for name, value in whole.figures.items():
        metric = metric_of(name)
        if metric is None or metric.trust is Trust.NONE:
            continue
        if metric.trust is Trust.GAPS and not np.isnan(gaps[name].interval[0]):
            low, high = gaps[name].interval
            found[name] = low, min(high, metric.bounds[1])
        elif metric.trust in _MEANS:
            part = _MEANS[metric.trust]
            values, without = whole.parts[part][0, :, 0], left_out.parts[part][:, :, 0]
            found[name] = mean_interval(values, labels[part], without)
        else:
            without = left_out.figures[name]
            found[name] = score_interval(
                float(value[0]), without, metric.bounds, n, least_variance=least.get(name, 0.0)
            )
    further = {}
    if "ece" in gaps:
        further = {f"ece{DEBIASED}": gaps["ece"].debiased}
        further[f"ece{BIAS}"] = float(whole.figures["ece"][0]) - gaps["ece"].debiased
        found[f"ece{DEBIASED}"] = found["ece"]
    return Intervals(found, labels, further)


LABEL_PARTS = ("recall", "precision", "f1")


def _label_intervals(
    parts: NDArray[np.float64], left_out: NDArray[np.float64]
) -> tuple[Interval, ...]:
    """Intervals of a share of each label; ``parts`` has shape (n_labels, 2)."""
    return tuple(
        score_interval(float(value), left_out[:, label, 0], SHARE, float(size))
        for label, (value, size) in enumerate(parts)
    )


_MEANS = {Trust.MEAN_RECALL: "recall", Trust.MEAN_F1: "f1"}


def _least_variances(sample: Sample) -> dict[str, float]:
    """Variance of NLL and the like where hardly any prediction was wrong.

    Few wrong predictions make most of such a figure, and a table without one by luck shows none
    of its variance. So the variance that the posteriors themselves expect counts as much as two
    wrong predictions.
    """
    rows = _has_posterior(sample) & (sample.truth >= 0)
    if not rows.any():
        return {}
    probs, n = sample.probs[rows], int(rows.sum())
    n_wrong = int(np.sum(sample.predicted[rows] != sample.truth[rows]))
    found = {}
    for metric in METRICS.values():
        if metric.needs is Needs.POSTERIORS:
            values = np.stack(
                [metric.compute(probs, np.full(n, label)) for label in range(probs.shape[1])],
                axis=1,
            )  # (n, n_columns)
            mean = (probs * values).sum(axis=1, keepdims=True)
            variance = float((probs * np.square(values - mean)).sum())
            found[metric.name] = variance / n**2 * 2.0 / (n_wrong + 2.0)
    return found


@dataclass(frozen=True)
class Difference:
    """How a figure differs between two systems on the same utterances.

    Attributes:
        difference: second minus first.
        low: lower end of the 95 % interval, by the jackknife and Student's t.
        high: upper end.
        p_value: two-sided, from exchanging the systems in units; with fewer than 8 units, which
            have too few exchanges, from Student's t.
    """

    difference: float
    low: float
    high: float
    p_value: float


def differences(
    first: Sample, second: Sample, units: Units, n_draws: int, seed: int = 0
) -> dict[str, Difference]:
    """Every figure of a second system minus that of a first on the same utterances.

    Both systems are varied together, so that what makes an utterance hard for both cancels.

    Args:
        first: truth and predictions of the first system.
        second: of the second, the same utterances in the same order.
        units: what varies and is exchanged.
        n_draws: number of exchanges, where there are more.
        seed: source of chance.
    """
    n, block = units.n, block_size(2 * len(first), 2 * units.n)
    both = score_of(first.below(second), np.concatenate([units.index, units.index + n]), 2 * n)

    def minus(to_second: NDArray[np.float64], to_first: NDArray[np.float64]) -> Scored:
        newer, older = both(to_second).figures, both(to_first).figures
        return Scored({name: newer[name] - older[name] for name in newer})

    def paired(weights: NDArray[np.float64]) -> Scored:
        none = np.zeros_like(weights)
        return minus(np.hstack([none, weights]), np.hstack([weights, none]))

    def exchanged(kept: NDArray[np.float64]) -> Scored:
        return minus(np.hstack([1.0 - kept, kept]), np.hstack([kept, 1.0 - kept]))

    whole = {name: float(value[0]) for name, value in paired(np.ones((1, n))).figures.items()}
    left_out = over_blocks(paired, jackknife_weights(n, block)).figures
    few, exhaustive = n < FEW_UNITS, 2.0**n <= n_draws
    permuted: Figures = {}
    if not few:
        coins = (
            all_coin_weights(n, block)
            if exhaustive
            else coin_weights(n, n_draws, Dice(seed), block)
        )
        permuted = over_blocks(exchanged, coins).figures
    return {
        name: Difference(
            value,
            *score_interval(value, left_out[name], UNBOUNDED, n),
            difference_p_value(value, left_out[name])
            if few
            else permutation_p_value(value, permuted[name], all_=exhaustive),
        )
        for name, value in whole.items()
    }


def _additive(
    sums: NDArray[np.float64] | NDArray[np.int64], view: Callable[[NDArray[np.float64]], Scored]
) -> Score:
    """A score of weighted sums: ``sums`` has shape (n_units, ...), ``view`` gets (n_draws, ...)."""
    flat = sums.reshape(len(sums), -1).astype(np.float64)
    return lambda weights: view((weights @ flat).reshape(len(weights), *sums.shape[1:]))


def _sums(terms: NDArray[np.float64], units: NDArray[np.intp], n_units: int) -> NDArray[np.float64]:
    """Terms of utterances, shape (n_utterances, n_terms), added up over each unit."""
    columns = [np.bincount(units, weights=term, minlength=n_units) for term in terms.T]
    return np.stack(columns, axis=1)


def _means(
    needs: Needs,
    columns: tuple[NDArray[Any], NDArray[Any]],
    units: NDArray[np.intp],
    n_units: int,
) -> Score:
    """A score of figures that are means of one value an utterance."""
    terms = computed(needs, *columns)
    sums = _sums(np.stack([np.ones(len(units)), *terms.values()], axis=1), units, n_units)

    def view(total: NDArray[np.float64]) -> Scored:
        return Scored(
            {name: ratio(total[:, place], total[:, 0]) for place, name in enumerate(terms, start=1)}
        )

    return _additive(sums, view)


def _label_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of the matrix of counts."""
    rows = sample.truth >= 0
    if not rows.any():
        return ()
    counts = classification.confusion(
        sample.truth[rows],
        sample.predicted[rows],
        sample.n_labels,
        units=units[rows],
        n_units=n_units,
    )

    def view(counts: NDArray[np.float64]) -> Scored:
        size, given = classification.support(counts), classification.predictions(counts)
        parts = {
            "recall": (classification.recall(counts), size),
            "precision": (classification.precision(counts), given),
            "f1": (classification.f1(counts), (size + given) / 2.0),
        }
        return Scored(
            computed(Needs.COUNTS, counts),
            {name: np.stack(both, axis=-1) for name, both in parts.items()},
        )

    return (_additive(counts, view),)


def _probability_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of whole posteriors."""
    rows = _has_posterior(sample) & (sample.truth >= 0)
    if not rows.any():
        return ()
    probs, truth, units = sample.probs[rows], sample.truth[rows], units[rows]
    brier = calibration.brier_score(probs, truth)[:, np.newaxis]
    labels = np.stack(
        [
            calibration.bins(probs[:, label], truth == label, units=units, n_units=n_units)
            for label in range(probs.shape[1])
        ],
        axis=1,
    )  # (n_units, n_columns, n_bins, 3)
    shape = labels.shape[1:]

    def view(sums: NDArray[np.float64]) -> Scored:
        bins = sums[:, 1:].reshape(len(sums), *shape)
        mean_brier = ratio(sums[:, 0], bins[:, 0, :, 0].sum(axis=-1))
        return Scored(
            computed(Needs.LABEL_BINS, bins, mean_brier),
            {"classwise_ece": calibration.classwise_gaps(bins)},
        )

    together = np.concatenate([_sums(brier, units, n_units), labels.reshape(n_units, -1)], axis=1)
    return (
        _means(Needs.POSTERIORS, (probs, truth), units, n_units),
        _additive(together, view),
    )


def _has_posterior(sample: Sample) -> NDArray[np.bool_]:
    if sample.probs.shape[1] == 0:
        return np.zeros(len(sample), dtype=bool)
    return np.asarray(~np.isnan(sample.probs).any(axis=1))


def _confidence_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of how sure each prediction was."""
    rows = (sample.truth >= 0) & ~np.isnan(sample.confidence)
    if not rows.any():
        return ()
    confidence, units = sample.confidence[rows], units[rows]
    right = sample.predicted[rows] == sample.truth[rows]
    binned = calibration.bins(confidence, right, units=units, n_units=n_units)
    ranking = Ranking.of(confidence, right)
    ranked_units = units[ranking.order]

    def of_bins(bins: NDArray[np.float64]) -> Scored:
        return Scored(computed(Needs.CONFIDENCE_BINS, bins), {"ece": calibration.gaps(bins)})

    def of_ranking(weights: NDArray[np.float64]) -> Scored:
        return Scored(computed(Needs.RANKING, ranking.curve(weights[:, ranked_units])))

    def of_equal_bins(bins: NDArray[np.float64]) -> Scored:
        return Scored({}, {"adaptive_ece": calibration.gaps(bins)})

    if n_units == 1:  # nothing can be left out, so there is no use for the parts of adaptive ECE
        return _additive(binned, of_bins), of_ranking
    # The borders stay where they are when a unit is left out: where they move, utterances on
    # them change sides, which no new table does in the same way.
    equal = ranking.bins_of_equal_mass(ranked_units, n_units, calibration.N_BINS)
    return _additive(binned, of_bins), of_ranking, _additive(equal, of_equal_bins)


def _vote_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of soft truth."""
    if sample.votes is None:
        return ()
    rows = _has_posterior(sample) & ~np.isnan(sample.votes).any(axis=1)
    if not rows.any():
        return ()
    both = (sample.votes[rows], sample.probs[rows])
    return (_means(Needs.VOTES, both, units[rows], n_units),)


def _dimension_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of arousal, dominance and valence by name, and their means over the dimensions."""
    sums = {}
    for name, (truth, predicted) in sample.dimensions.items():
        rows = ~(np.isnan(truth) | np.isnan(predicted))
        terms = regression.regression_terms(truth[rows], predicted[rows])
        sums[name] = _sums(terms, units[rows], n_units)
    if not sums:
        return ()
    names = tuple(sums)

    def view(stacked: NDArray[np.float64]) -> Scored:
        return Scored(_dimension_figures(names, stacked))

    return (_additive(np.stack(list(sums.values()), axis=1), view),)


def _dimension_figures(names: Sequence[str], sums: NDArray[np.float64]) -> Figures:
    """``ccc``, the mean over dimensions, then ``ccc_arousal`` and so on.

    Args:
        names: of the dimensions.
        sums: shape (n_draws, n_dimensions, 9).
    """
    found: Figures = {}
    for figure, values in computed(Needs.DIMENSION, sums).items():  # (n_draws, n_dimensions)
        found[figure] = mean_defined(values)
        found |= {f"{figure}_{name}": values[:, column] for column, name in enumerate(names)}
    return found


def _transcript_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Word and character error rates."""

    def rate(needs: Needs, errors: NDArray[np.int64] | NDArray[np.float64]) -> Score:
        return _additive(
            _sums(errors.astype(np.float64), units, n_units),
            lambda sums: Scored(computed(needs, sums)),
        )

    known = ((Needs.WORDS, sample.words), (Needs.CHARACTERS, sample.characters))
    return [rate(needs, errors) for needs, errors in known if errors is not None]
