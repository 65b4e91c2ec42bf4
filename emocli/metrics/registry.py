"""Every figure there is, each described once: its name, what it means, how it is computed.

A new figure is one entry here. It states which sums of a table it needs, and everything else
follows: evaluations, intervals, leaderboards and pages show it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emocli.metrics import calibration, classification, regression, soft
from emocli.metrics.ratios import ratio
from emocli.metrics.risk_coverage import RiskCurve

_Value = TypeVar("_Value")

SHARE = (0.0, 1.0)
CORRELATION = (-1.0, 1.0)
AT_LEAST_0 = (0.0, float("inf"))
UNBOUNDED = (float("-inf"), float("inf"))
LARGEST_SURPRISAL = -float(np.log(soft.SMALLEST))


class Needs(Enum):
    """What a figure is computed from, and thereby what its function gets."""

    COUNTS = auto()
    """The matrix of counts, shape (n_draws, n_labels, n_labels + 1)."""
    POSTERIORS = auto()
    """Posteriors and truth of utterances: gives one value each, and the figure is their mean."""
    LABEL_BINS = auto()
    """Bins of each label's probability, shape (n_draws, n_labels, n_bins, 3), and the mean Brier
    score, shape (n_draws,)."""
    CONFIDENCE_BINS = auto()
    """Bins of the predicted label's probability, shape (n_draws, n_bins, 3)."""
    RANKING = auto()
    """A `RiskCurve`."""
    VOTES = auto()
    """Soft truth and posteriors of utterances: one value each, and the figure is their mean."""
    DIMENSION = auto()
    """Sums of `regression.regression_terms`, shape (n_draws, n_dimensions, 9)."""
    WORDS = auto()
    """Word errors and reference words, shape (n_draws, 2)."""
    CHARACTERS = auto()
    """Character errors and reference characters, shape (n_draws, 2)."""


class Trust(Enum):
    """How the interval of a figure is made (see `emocli.metrics.intervals`)."""

    SCORE = auto()
    MEAN_RECALL = auto()
    MEAN_F1 = auto()
    GAPS = auto()
    """As a sum of absolute gaps, which noise only adds to."""
    NONE = auto()
    """There is none: the figure is the largest of many, or mostly tells how many rows there are."""


@dataclass(frozen=True)
class Metric:
    """A figure of a table of predictions.

    Attributes:
        name: common short name, the key in JSON and CSV.
        title: what it is called in print.
        explanation: what it means, in a few words.
        needs: what it is computed from.
        compute: from that to the figure.
        bounds: least and largest value that it can have.
        falls: whether it falls as predictions get better.
        trust: how its interval is made.
    """

    name: str
    title: str
    explanation: str
    needs: Needs
    compute: Callable[..., NDArray[Any]]
    bounds: tuple[float, float] = SHARE
    falls: bool = False
    trust: Trust = Trust.SCORE


def _brier_part(name: str) -> Callable[..., NDArray[np.float64]]:
    def part(bins: NDArray[np.float64], brier: NDArray[np.float64]) -> NDArray[np.float64]:
        return calibration.brier_decomposition(bins, brier)[name]

    return part


def _accuracy_at(coverage: float) -> Callable[[RiskCurve], NDArray[np.float64]]:
    return lambda curve: curve.accuracy_at(coverage)


def _error_rate(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(sums[..., 0], sums[..., 1])


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            *("uar", "UAR", "mean recall of the labels", Needs.COUNTS),
            classification.unweighted_average_recall,
            trust=Trust.MEAN_RECALL,
        ),
        Metric("accuracy", "accuracy", "right, of all", Needs.COUNTS, classification.accuracy),
        Metric(
            *("macro_f1", "macro F1", "mean F1 of the labels", Needs.COUNTS),
            classification.macro_f1,
            trust=Trust.MEAN_F1,
        ),
        Metric(
            *("weighted_f1", "weighted F1", "mean F1 by how often a label is true", Needs.COUNTS),
            classification.weighted_f1,
        ),
        Metric(
            *("kappa", "Cohen's kappa", "agreement beyond chance", Needs.COUNTS),
            classification.cohens_kappa,
            CORRELATION,
        ),
        Metric(
            *("top2", "top-2 accuracy", "truth among the two likeliest", Needs.POSTERIORS),
            classification.top_k_hits,
        ),
        Metric(
            *("nll", "NLL, nats", "surprisal of the truth", Needs.POSTERIORS),
            calibration.negative_log_likelihood,
            (0.0, LARGEST_SURPRISAL),
            falls=True,
        ),
        Metric(
            *("brier", "Brier score", "squared distance to the truth", Needs.POSTERIORS),
            calibration.brier_score,
            (0.0, 2.0),
            falls=True,
        ),
        *(
            Metric(
                *(f"brier_{part}", f"  {part.replace('_bin', ' bins')}", explanation),
                Needs.LABEL_BINS,
                _brier_part(part),
                UNBOUNDED,
                falls=part != "resolution",
                trust=Trust.NONE,
            )
            for part, explanation in (
                ("reliability", "gap of probability and frequency, squared"),
                ("resolution", "how far the bins' frequencies differ"),
                ("uncertainty", "what the labels' frequencies leave open"),
                ("within_bin", "what the bins hide"),
            )
        ),
        Metric(
            *("classwise_ece", "class-wise ECE", "mean ECE of each label's probability"),
            Needs.LABEL_BINS,
            lambda bins, _: calibration.classwise_calibration_error(bins),
            falls=True,
            trust=Trust.GAPS,
        ),
        Metric(
            *("ece", "ECE, 15 bins", "gap of confidence and accuracy", Needs.CONFIDENCE_BINS),
            calibration.expected_calibration_error,
            falls=True,
            trust=Trust.GAPS,
        ),
        Metric(
            *("mce", "largest gap (MCE)", "gap of the worst bin", Needs.CONFIDENCE_BINS),
            calibration.maximum_calibration_error,
            falls=True,
            trust=Trust.NONE,
        ),
        Metric(
            *("adaptive_ece", "adaptive ECE", "ECE with bins of equal size", Needs.RANKING),
            RiskCurve.adaptive_calibration_error,
            falls=True,
            trust=Trust.GAPS,
        ),
        Metric(
            *("aurc", "AURC", "error where doubt is heeded", Needs.RANKING),
            RiskCurve.aurc,
            falls=True,
        ),
        Metric(
            *("eaurc", "E-AURC", "AURC above the best order's", Needs.RANKING),
            lambda curve: curve.aurc() - curve.least_aurc(),
            falls=True,
        ),
        *(
            Metric(
                *(f"accuracy_at_{share}", f"accuracy, surest {share} %", "right, of the surest"),
                Needs.RANKING,
                _accuracy_at(share / 100),
            )
            for share in (50, 80, 90)
        ),
        Metric(
            *("error_auroc", "error AUROC", "doubt is greater where wrong", Needs.RANKING),
            RiskCurve.error_auroc,
        ),
        Metric(
            *("kl", "KL from votes, nats", "divergence from the annotators", Needs.VOTES),
            soft.kl_divergence,
            (0.0, LARGEST_SURPRISAL),
            falls=True,
        ),
        Metric(
            *("js", "JS to votes, nats", "divergence from the annotators", Needs.VOTES),
            soft.jensen_shannon,
            (0.0, float(np.log(2.0))),
            falls=True,
        ),
        Metric(
            *("cosine", "cosine to votes", "likeness to the annotators", Needs.VOTES),
            soft.cosine_similarity,
        ),
        Metric(
            *("ccc", "CCC", "mean over the dimensions", Needs.DIMENSION),
            regression.ccc_of_sums,
            CORRELATION,
        ),
        Metric(
            *("pearson", "pearson", "correlation", Needs.DIMENSION),
            regression.pearson_of_sums,
            CORRELATION,
        ),
        Metric(
            *("rmse", "RMSE", "root mean square error", Needs.DIMENSION),
            regression.rmse_of_sums,
            AT_LEAST_0,
            falls=True,
        ),
        Metric(
            *("mae", "MAE", "mean absolute error", Needs.DIMENSION),
            regression.mae_of_sums,
            AT_LEAST_0,
            falls=True,
        ),
        Metric(
            *("bias", "bias", "mean of prediction minus truth", Needs.DIMENSION),
            regression.bias_of_sums,
            UNBOUNDED,
        ),
        Metric(
            *("wer", "WER", "wrong words, of those said", Needs.WORDS),
            _error_rate,
            AT_LEAST_0,
            falls=True,
        ),
        Metric(
            *("cer", "CER", "wrong characters, of those said", Needs.CHARACTERS),
            _error_rate,
            AT_LEAST_0,
            falls=True,
        ),
    )
}
"""Every figure by its name, in the order in which they are shown."""

LEADING = ("uar", "accuracy", "macro_f1", "ece", "aurc", "ccc", "wer", "cer")
"""Figures of leaderboards and tiles; the first one that the tables have decides the order."""

DEBIASED = "_debiased"
BIAS = "_bias"


def metric_of(figure: str) -> Metric | None:
    """The entry of a figure, also of one dimension's or of a debiased one; None if there is none.

    Example:
        >>> metric_of("ccc_valence").name, metric_of("brier_reliability").name
        ('ccc', 'brier_reliability')
    """
    if figure in METRICS:
        return METRICS[figure]
    return METRICS.get(figure.split("_")[0])


def title(figure: str) -> str:
    """What a figure is called in print; a dimension's name is set apart.

    Example:
        >>> title("macro_f1"), title("ccc_valence"), title("ece_debiased"), title("n")
        ('macro F1', 'CCC valence', '  debiased', 'n')
    """
    if figure in METRICS:
        return METRICS[figure].title
    found = metric_of(figure)
    if found is None:
        return figure
    if found.trust is Trust.GAPS:
        return "  debiased" if figure.endswith(DEBIASED) else "  bias at this size"
    return f"{found.title} {figure.partition('_')[2]}"


def falls(figure: str) -> bool:
    """Whether a figure falls as predictions get better.

    Example:
        >>> falls("wer"), falls("rmse_valence"), falls("ccc_valence")
        (True, True, False)
    """
    found = metric_of(figure)
    return found is not None and found.falls


def in_order(figures: Mapping[str, _Value]) -> dict[str, _Value]:
    """Figures in the order in which they are shown; those of one entry keep theirs."""
    places = {name: place for place, name in enumerate(METRICS)}

    def place(name: str) -> int:
        return places[found.name] if (found := metric_of(name)) else len(places)

    return {name: figures[name] for name in sorted(figures, key=place)}


def computed(needs: Needs, *sums: Any) -> dict[str, NDArray[np.float64]]:
    """Every figure that needs some sums, from these sums."""
    return {
        metric.name: metric.compute(*sums) for metric in METRICS.values() if metric.needs is needs
    }
