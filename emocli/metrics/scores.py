"""All figures of one table as functions of weights, which is what makes them comparable.

A score takes weights of units (see `emocli.metrics.intervals`) and gives each figure once for each
row of weights. Ones give the figure itself, a row of the identity that of one group, resampled
weights its spread. There is no second implementation that could disagree with the first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emocli.metrics import calibration, classification, regression, soft
from emocli.metrics.intervals import (
    Dice,
    Units,
    bca_interval,
    bootstrap_weights,
    coin_weights,
    jackknife_weights,
    permutation_p_value,
)
from emocli.metrics.ratios import mean_defined, ratio
from emocli.metrics.risk_coverage import Ranking, RiskCurve

Figures = dict[str, NDArray[np.float64]]
"""Values by common short name, shape (n_draws,) each."""
Score = Callable[[NDArray[np.float64]], Figures]
"""From weights of shape (n_draws, n_units) to figures."""

COVERAGES = (0.5, 0.8, 0.9)
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
    parts = [
        *_label_scores(sample, units, n_units),
        *_probability_scores(sample, units, n_units),
        *_confidence_scores(sample, units, n_units),
        *_vote_scores(sample, units, n_units),
        *_dimension_scores(sample, units, n_units),
        *_transcript_scores(sample, units, n_units),
    ]
    return lambda weights: {name: value for part in parts for name, value in part(weights).items()}


def figures_of(sample: Sample) -> dict[str, float]:
    """Every figure that a sample allows."""
    score = score_of(sample, np.zeros(len(sample), dtype=np.intp), 1)
    return {name: float(value[0]) for name, value in score(np.ones((1, 1))).items()}


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
    return over_blocks(score_of(sample, groups, n_groups), rows)


def over_blocks(score: Score, blocks: Iterable[NDArray[np.float64]]) -> Figures:
    """The figures of all blocks of weights, joined; shape (n_draws,) each."""
    found = [score(block) for block in blocks]
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def block_size(n_utterances: int, n_units: int) -> int:
    """How many rows of weights to hold at once."""
    return max(1, _BLOCK // max(n_utterances, n_units, 1))


@dataclass(frozen=True)
class Spread:
    """A score under resampling.

    Attributes:
        estimates: each figure itself.
        draws: of resampled tables, shape (n_draws,) each.
        left_out: of tables without one unit, or without a group of units.
    """

    estimates: Mapping[str, float]
    draws: Figures
    left_out: Figures

    def interval(self, name: str) -> tuple[float, float]:
        """The BCa interval of a figure."""
        return bca_interval(self.estimates[name], self.draws[name], self.left_out[name])


def spread_of(sample: Sample, units: Units, n_draws: int, seed: int = 0) -> Spread:
    """Every figure under resampling of units.

    Args:
        sample: truth and predictions.
        units: what is resampled.
        n_draws: number of resampled tables, at least 1.
        seed: source of chance.
    """
    score = score_of(sample, units.index, units.n)
    return _spread(score, units.n, n_draws, block_size(len(sample), units.n), seed)


def _spread(score: Score, n_units: int, n_draws: int, block: int, seed: int) -> Spread:
    estimates = score(np.ones((1, n_units)))
    return Spread(
        {name: float(value[0]) for name, value in estimates.items()},
        over_blocks(score, bootstrap_weights(n_units, n_draws, Dice(seed), block)),
        over_blocks(score, jackknife_weights(n_units, block)),
    )


@dataclass(frozen=True)
class Difference:
    """How a figure differs between two systems on the same utterances.

    Attributes:
        difference: second minus first.
        low: lower end of the 95 % interval, BCa.
        high: upper end.
        p_value: two-sided, from exchanging the systems in random units.
    """

    difference: float
    low: float
    high: float
    p_value: float


def differences(
    first: Sample, second: Sample, units: Units, n_draws: int, seed: int = 0
) -> dict[str, Difference]:
    """Every figure of a second system minus that of a first on the same utterances.

    Both systems are resampled together, so that what makes an utterance hard for both cancels.

    Args:
        first: truth and predictions of the first system.
        second: of the second, the same utterances in the same order.
        units: what is resampled and exchanged.
        n_draws: number of resampled tables, and of exchanges.
        seed: source of chance.
    """
    n, block = units.n, block_size(2 * len(first), 2 * units.n)
    both = score_of(first.below(second), np.concatenate([units.index, units.index + n]), 2 * n)

    def minus(to_second: NDArray[np.float64], to_first: NDArray[np.float64]) -> Figures:
        newer, older = both(to_second), both(to_first)
        return {name: newer[name] - older[name] for name in newer}

    def paired(weights: NDArray[np.float64]) -> Figures:
        none = np.zeros_like(weights)
        return minus(np.hstack([none, weights]), np.hstack([weights, none]))

    def exchanged(kept: NDArray[np.float64]) -> Figures:
        return minus(np.hstack([1.0 - kept, kept]), np.hstack([kept, 1.0 - kept]))

    spread = _spread(paired, n, n_draws, block, seed)
    coins = coin_weights(n, n_draws, Dice(seed), block)
    permuted = over_blocks(exchanged, coins)
    return {
        name: Difference(value, *spread.interval(name), permutation_p_value(value, permuted[name]))
        for name, value in spread.estimates.items()
    }


def _additive(
    sums: NDArray[np.float64] | NDArray[np.int64], view: Callable[[NDArray[np.float64]], Figures]
) -> Score:
    """A score of weighted sums: ``sums`` has shape (n_units, ...), ``view`` gets (n_draws, ...)."""
    flat = sums.reshape(len(sums), -1).astype(np.float64)
    return lambda weights: view((weights @ flat).reshape(len(weights), *sums.shape[1:]))


def _sums(terms: NDArray[np.float64], units: NDArray[np.intp], n_units: int) -> NDArray[np.float64]:
    """Terms of utterances, shape (n_utterances, n_terms), added up over each unit."""
    columns = [np.bincount(units, weights=term, minlength=n_units) for term in terms.T]
    return np.stack(columns, axis=1)


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
    return (_additive(counts, label_figures),)


def label_figures(counts: classification.Counts) -> Figures:
    """Figures of matrices of counts, shape (n_draws, n_labels, n_labels + 1)."""
    return {
        "uar": classification.unweighted_average_recall(counts),
        "accuracy": classification.accuracy(counts),
        "macro_f1": classification.macro_f1(counts),
        "weighted_f1": classification.weighted_f1(counts),
        "kappa": classification.cohens_kappa(counts),
    }


def _probability_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of whole posteriors."""
    rows = _has_posterior(sample) & (sample.truth >= 0)
    if not rows.any():
        return ()
    probs, truth, units = sample.probs[rows], sample.truth[rows], units[rows]
    terms = np.stack(
        [
            np.ones(len(truth)),
            calibration.negative_log_likelihood(probs, truth),
            calibration.brier_score(probs, truth),
            classification.top_k_hits(probs, truth).astype(np.float64),
        ],
        axis=1,
    )
    labels = np.stack(
        [
            calibration.bins(probs[:, label], truth == label, units=units, n_units=n_units)
            for label in range(probs.shape[1])
        ],
        axis=1,
    )  # (n_units, n_columns, n_bins, 3)
    together = np.concatenate([_sums(terms, units, n_units), labels.reshape(n_units, -1)], axis=1)
    shape = labels.shape[1:]

    def view(sums: NDArray[np.float64]) -> Figures:
        return _probability_figures(sums[:, :4], sums[:, 4:].reshape(len(sums), *shape))

    return (_additive(together, view),)


def _probability_figures(terms: NDArray[np.float64], bins: NDArray[np.float64]) -> Figures:
    n, likelihood, brier, hits = terms.T
    parts = calibration.brier_decomposition(bins, ratio(brier, n))
    return {
        "top2": ratio(hits, n),
        "nll": ratio(likelihood, n),
        "brier": ratio(brier, n),
        **{f"brier_{name}": value for name, value in parts.items()},
        "classwise_ece": calibration.classwise_calibration_error(bins),
    }


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
    return (
        _additive(binned, _bin_figures),
        lambda weights: _ranking_figures(ranking.curve(weights[:, ranked_units])),
    )


def _bin_figures(bins: NDArray[np.float64]) -> Figures:
    return {
        "ece": calibration.expected_calibration_error(bins),
        "mce": calibration.maximum_calibration_error(bins),
    }


def _ranking_figures(curve: RiskCurve) -> Figures:
    area = curve.aurc()
    return {
        "adaptive_ece": curve.adaptive_calibration_error(calibration.N_BINS),
        "aurc": area,
        "eaurc": area - curve.least_aurc(),
        **{f"accuracy_at_{round(100 * c)}": curve.accuracy_at(c) for c in COVERAGES},
        "error_auroc": curve.error_auroc(),
    }


def _vote_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Figures of soft truth."""
    if sample.votes is None:
        return ()
    rows = _has_posterior(sample) & ~np.isnan(sample.votes).any(axis=1)
    if not rows.any():
        return ()
    votes, probs = sample.votes[rows], sample.probs[rows]
    terms = np.stack(
        [
            np.ones(len(votes)),
            soft.kl_divergence(votes, probs),
            soft.jensen_shannon(votes, probs),
            soft.cosine_similarity(votes, probs),
        ],
        axis=1,
    )

    def view(sums: NDArray[np.float64]) -> Figures:
        return {
            name: ratio(sums[:, column], sums[:, 0])
            for column, name in enumerate(("kl", "js", "cosine"), start=1)
        }

    return (_additive(_sums(terms, units[rows], n_units), view),)


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

    def view(stacked: NDArray[np.float64]) -> Figures:
        return _dimension_figures(names, stacked)

    return (_additive(np.stack(list(sums.values()), axis=1), view),)


REGRESSION_FIGURES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "ccc": regression.ccc_of_sums,
    "pearson": regression.pearson_of_sums,
    "rmse": regression.rmse_of_sums,
    "mae": regression.mae_of_sums,
    "bias": regression.bias_of_sums,
}


def _dimension_figures(names: Sequence[str], sums: NDArray[np.float64]) -> Figures:
    """``ccc``, the mean over dimensions, then ``ccc_arousal`` and so on.

    Args:
        names: of the dimensions.
        sums: shape (n_draws, n_dimensions, 9).
    """
    found: Figures = {}
    for figure, of_sums in REGRESSION_FIGURES.items():
        values = of_sums(sums)  # (n_draws, n_dimensions)
        found[figure] = mean_defined(values)
        found |= {f"{figure}_{name}": values[:, column] for column, name in enumerate(names)}
    return found


def _transcript_scores(sample: Sample, units: NDArray[np.intp], n_units: int) -> Sequence[Score]:
    """Word and character error rates."""

    def rate(name: str, errors: NDArray[np.int64] | NDArray[np.float64]) -> Score:
        def view(sums: NDArray[np.float64]) -> Figures:
            return {name: ratio(sums[:, 0], sums[:, 1])}

        return _additive(_sums(errors.astype(np.float64), units, n_units), view)

    known = (("wer", sample.words), ("cer", sample.characters))
    return [rate(name, errors) for name, errors in known if errors is not None]
