"""Whether doubt falls on the right predictions: errors among the most confident ones.

Utterances are ranked by confidence. Equal confidences have no order: each figure is its mean over
all orders of them, so no figure depends on the order of rows. Utterances may have whole weights,
which is how a resampled table is told from the table itself.

Source: Geifman and El-Yaniv 2017 (risk-coverage), Geifman et al. 2019 (E-AURC); Nguyen and
O'Connor 2015 (bins of equal mass).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.ratios import ratio


@dataclass(frozen=True)
class Ranking:
    """Utterances from the most to the least confident, equal ones in groups.

    Attributes:
        order: utterance by rank, shape (n_utterances,).
        starts: first rank of each group of equal confidence, shape (n_groups,).
        confidence: of each group, falling, shape (n_groups,).
        right: whether each ranked prediction is right, shape (n_utterances,), 0 or 1.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    confidence: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> "Ranking":
        """The ranking of predictions by confidence.

        Args:
            confidence: shape (n_utterances,), any measure that rises with trust.
            right: shape (n_utterances,).
        """
        order = np.argsort(-confidence, kind="stable")
        ranked = confidence[order]
        fresh = np.ones(len(ranked), dtype=bool)
        fresh[1:] = ranked[1:] != ranked[:-1]
        starts = np.flatnonzero(fresh)
        return cls(order, starts, ranked[starts], right[order].astype(np.float64))

    def bins_of_equal_mass(
        self, units: NDArray[np.intp], n_units: int, n_bins: int = 15
    ) -> NDArray[np.float64]:
        """Count, confidence and correctness of the bins of `adaptive_calibration_error`.

        Args:
            units: index of each *ranked* utterance's unit, shape (n_utterances,).
            n_units: number of units.
            n_bins: number of bins.

        Returns:
            Shape (n_units, n_bins, 3), as `emocli.metrics.calibration.bins`.
        """
        ends = np.append(self.starts[1:], len(self.order))
        borders = len(self.order) * np.linspace(0.0, 1.0, n_bins + 1)
        size = ends - self.starts
        group = np.repeat(np.arange(len(size)), size)
        confidence = self.confidence[group]
        found = np.empty((n_units, n_bins, 3))
        for place, (low, high) in enumerate(pairwise(borders)):
            inside = np.clip(np.minimum(ends, high) - np.maximum(self.starts, low), 0.0, None)
            rows = slice(*np.searchsorted(group, np.flatnonzero(inside)[[0, -1]] + [0, 1]))
            part = (inside / size)[group[rows]]
            for column, values in enumerate((1.0, confidence[rows], self.right[rows])):
                found[:, place, column] = np.bincount(
                    units[rows], weights=part * values, minlength=n_units
                )
        return found

    def curve(self, weights: NDArray[np.float64]) -> "RiskCurve":
        """Running sums over the groups for utterances with weights.

        Args:
            weights: shape (n_draws, n_utterances), how often each *ranked* utterance counts.
        """
        groups = [
            np.add.reduceat(values, self.starts, axis=1)
            for values in (weights, weights * self.right)
        ]
        mass, right = (np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1) for values in groups)
        return RiskCurve(self.confidence, mass, right)


@dataclass(frozen=True)
class RiskCurve:
    """Running sums from the most confident group on; column 0 stands before the first.

    Attributes:
        confidence: of each group, shape (n_groups,).
        mass: utterances so far, shape (n_draws, n_groups + 1).
        right: right ones so far, shape (n_draws, n_groups + 1).
    """

    confidence: NDArray[np.float64]
    mass: NDArray[np.float64]
    right: NDArray[np.float64]

    def aurc(self) -> NDArray[np.float64]:
        """Area under the risk-coverage curve: mean over k of the error rate of the k surest.

        Returns:
            Shape (n_draws,), from 0 to 1; lower is better.
        """
        total = self.mass[:, -1]
        harmonic = _harmonic(int(total.max(initial=0)))
        wrong = self.mass - self.right
        size, errors = np.diff(self.mass, axis=1), np.diff(wrong, axis=1)
        # With j of a group's members taken, the expected errors are e + j r, and the sum over j of
        # (e + j r) / (m + j) is r size + (e - r m) (H[m + size] - H[m]).
        rate = np.nan_to_num(ratio(errors, size))
        before = wrong[:, :-1] - rate * self.mass[:, :-1]
        steps = np.diff(harmonic[np.rint(self.mass).astype(np.intp)], axis=1)
        return ratio((errors + before * steps).sum(axis=1), total)

    def least_aurc(self) -> NDArray[np.float64]:
        """Area if every right prediction were ranked before every wrong one, shape (n_draws,)."""
        total, right = self.mass[:, -1], self.right[:, -1]
        harmonic = _harmonic(int(total.max(initial=0)))
        ends, starts = (harmonic[np.rint(values).astype(np.intp)] for values in (total, right))
        return ratio((total - right) - right * (ends - starts), total)

    def accuracy_at(self, coverage: float) -> NDArray[np.float64]:
        """Accuracy of the most confident share of utterances, shape (n_draws,).

        Where the share is not a whole number of utterances, the last one counts in part.

        Args:
            coverage: above 0, at most 1.
        """
        wanted = self.mass[:, -1:] * coverage
        return ratio(_interpolate(wanted, self.mass, self.right)[:, 0], wanted[:, 0])

    def error_auroc(self) -> NDArray[np.float64]:
        """Chance that a wrong prediction is less confident than a right one; equal counts half.

        Returns:
            Shape (n_draws,), 0.5 for blind confidence; NaN where all are right or all wrong.
        """
        wrong_here = np.diff(self.mass - self.right, axis=1)
        surer = (self.right[:, :-1] + self.right[:, 1:]) / 2.0
        right = self.right[:, -1]
        return ratio((wrong_here * surer).sum(axis=1), right * (self.mass[:, -1] - right))

    def adaptive_calibration_error(self, n_bins: int = 15) -> NDArray[np.float64]:
        """Calibration error in bins of equal mass, shape (n_draws,), from 0 to 1.

        Each bin holds exactly ``n / n_bins`` utterances: one on a border counts in part on
        either side, and so do equal confidences, which have no order.
        """
        total = self.mass[:, -1:]
        said = np.cumsum(np.diff(self.mass, axis=1) * self.confidence, axis=1)
        gap = self.right - np.pad(said, ((0, 0), (1, 0)))
        borders = total * np.linspace(0.0, 1.0, n_bins + 1)
        within = np.abs(np.diff(_interpolate(borders, self.mass, gap), axis=1))
        return ratio(within.sum(axis=1), total[:, 0])


def risk_coverage(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The risk-coverage curve at each distinct confidence.

    Args:
        confidence: shape (n_utterances,).
        right: shape (n_utterances,).

    Returns:
        Coverage, rising to 1, and the error rate of the predictions covered; shape (n_groups,).
    """
    curve = Ranking.of(confidence, right).curve(np.ones((1, len(right))))
    mass, hits = curve.mass[0, 1:], curve.right[0, 1:]
    return mass / max(len(right), 1), 1.0 - hits / mass


def aurc(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Area under the risk-coverage curve of one table, from 0 to 1; NaN without utterances."""
    if len(right) == 0:
        return float("nan")
    return float(Ranking.of(confidence, right).curve(np.ones((1, len(right)))).aurc()[0])


def _harmonic(n: int) -> NDArray[np.float64]:
    """Harmonic numbers H(0) = 0 to H(n), shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, n + 1))])


def _interpolate(
    at: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation row by row.

    All rows are laid end to end, for which whole numbers lose nothing, and looked up at once.

    Args:
        at: shape (n_draws, n_at), from 0 to the last of ``x``.
        x: whole numbers from 0 that never fall, shape (n_draws, n_known).
        y: shape (n_draws, n_known).

    Returns:
        Shape (n_draws, n_at).
    """
    lengths = x[:, -1:] + 1.0
    starts = np.cumsum(lengths, axis=0) - lengths
    return np.interp((starts + at).ravel(), (starts + x).ravel(), y.ravel()).reshape(at.shape)
