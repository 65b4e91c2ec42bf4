"""Fitting a calibration, and finding out what it is worth on speakers it has not heard."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.calibration.average import Average
from emocli.calibration.beta import Beta
from emocli.calibration.conformal import LabelSets, SetRule, coverage_of
from emocli.calibration.isotonic import Isotonic
from emocli.calibration.temperature import Temperature
from emocli.calibration.vector import VectorScaling
from emocli.errors import CalibrationError
from emocli.metrics import calibration as measures
from emocli.metrics.risk_coverage import aurc


class Map(Protocol):
    """What turns log posteriors into calibrated ones."""

    method: ClassVar[str]

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors, shape (n_utterances, n_labels)."""
        ...

    @classmethod
    def fit(cls, log_probs: NDArray[np.float64], truth: NDArray[np.intp]) -> Self:
        """The map that fits predictions and their truth best."""
        ...


MAPS: Mapping[str, type[Map]] = {
    each.method: each for each in (Temperature, VectorScaling, Isotonic, Beta, Average)
}
"""Every method by its name, the simplest first."""


@dataclass(frozen=True)
class Sample:
    """Predictions whose truth is known.

    Attributes:
        log_probs: shape (n_utterances, n_labels).
        truth: label indices, shape (n_utterances,).
        draws: the random part of each utterance's label set, from 0 to 1, shape (n_utterances,).
    """

    log_probs: NDArray[np.float64]
    truth: NDArray[np.intp]
    draws: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.truth)

    def select(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Sample":
        """Some of the utterances."""
        return Sample(self.log_probs[rows], self.truth[rows], self.draws[rows])


@dataclass(frozen=True)
class Fitted:
    """A map, and label sets if they were asked for."""

    map: Map
    sets: LabelSets | None = None


def fit(sample: Sample, method: str, rule: SetRule | None = None, seed: int = 0) -> Fitted:
    """A map, and label sets for its posteriors.

    The promise of label sets holds only for thresholds from utterances that the map has not been
    fitted on. So with a rule the map is fitted on a random half, and the thresholds on the other.

    Args:
        sample: predictions whose truth is known.
        method: a name in `MAPS`.
        rule: which label sets are wanted, None for none.
        seed: of the halves.

    Raises:
        CalibrationError: fewer than two utterances, or four with label sets.
    """
    least = 2 if rule is None else 4
    if len(sample) < least:
        raise CalibrationError(
            f"{len(sample)} predictions have a known truth, expected {least} or more to fit a "
            f"calibration. Give more recordings that are labelled."
        )
    if rule is None:
        return Fitted(MAPS[method].fit(sample.log_probs, sample.truth))
    shuffled = np.random.default_rng(seed).permutation(len(sample))
    middle = len(sample) // 2
    first, second = sample.select(shuffled[:middle]), sample.select(shuffled[middle:])
    found = MAPS[method].fit(first.log_probs, first.truth)
    probs = np.exp(found.apply(second.log_probs))
    return Fitted(found, LabelSets.fit(probs, second.truth, second.draws, rule))


@dataclass(frozen=True)
class Outcome:
    """Calibrated posteriors, and label sets if there are any.

    Attributes:
        log_probs: shape (n_utterances, n_labels).
        members: which labels are in each set, shape (n_utterances, n_labels).
    """

    log_probs: NDArray[np.float64]
    members: NDArray[np.bool_] | None = None


def outcome(fitted: Fitted, sample: Sample) -> Outcome:
    """What a fitted calibration makes of predictions."""
    log_probs = fitted.map.apply(sample.log_probs)
    if fitted.sets is None:
        return Outcome(log_probs)
    return Outcome(log_probs, fitted.sets.members(np.exp(log_probs), sample.draws))


def held_out(
    sample: Sample, folds: NDArray[np.intp], method: str, rule: SetRule | None = None
) -> Outcome:
    """What calibrations make of predictions that they were not fitted on.

    Args:
        sample: predictions whose truth is known.
        folds: of each utterance, from `even_folds` or `random_folds`; two or more of them.
        method: a name in `MAPS`.
        rule: which label sets are wanted.
    """
    log_probs = np.empty_like(sample.log_probs)
    members = np.zeros(sample.log_probs.shape, dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        found = outcome(fit(sample.select(~inside), method, rule), sample.select(inside))
        log_probs[inside] = found.log_probs
        if found.members is not None:
            members[inside] = found.members
    return Outcome(log_probs, members if rule is not None else None)


def choose(sample: Sample, folds: NDArray[np.intp]) -> dict[str, float]:
    """The held-out surprisal of every method, in nats, the best first.

    Args:
        sample: predictions whose truth is known.
        folds: of each utterance; two or more of them.
    """
    losses = {
        method: figures(held_out(sample, folds, method), sample.truth)["nll"] for method in MAPS
    }
    return dict(sorted(losses.items(), key=lambda item: item[1]))


def figures(found: Outcome, truth: NDArray[np.intp]) -> dict[str, float]:
    """How honest and how useful posteriors are, by common short name.

    ``accuracy``, ``ece`` (15 bins of equal width), ``nll`` in nats, ``brier``, ``aurc`` by the top
    probability; for label sets also ``coverage`` and ``set_size``.

    Args:
        found: posteriors and sets.
        truth: label indices, shape (n_utterances,).
    """
    probs = np.exp(found.log_probs)
    confidence, right = probs.max(axis=1), posteriors.top(probs) == truth
    values = {
        "accuracy": float(right.mean()),
        "ece": float(measures.expected_calibration_error(measures.bins(confidence, right))),
        "nll": float(measures.negative_log_likelihood(probs, truth).mean()),
        "brier": float(measures.brier_score(probs, truth).mean()),
        "aurc": aurc(confidence, right),
    }
    if found.members is not None:
        values["coverage"] = float(coverage_of(found.members, truth).mean())
        values["set_size"] = float(found.members.sum(axis=1).mean())
    return values
