"""Fitting a calibration on a table whose truth is known, and measuring what it is worth."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.conformal import SetRule
from emocli.calibration.fitting import (
    MAPS,
    Outcome,
    Sample,
    choose,
    figures,
    fit,
    held_out,
    outcome,
)
from emocli.calibration.tables import Calibration, draws_of, labels_of, log_posteriors
from emocli.errors import CalibrationError
from emocli.pipeline.pairing import Paired, Pairing, pair
from emocli.splits import even_folds, named, random_folds, units
from emocli.table import PredictionTable

AUTO = "auto"
METHODS = (AUTO, *MAPS)
CAUTIOUS = "mean"
"""What auto takes where speakers are not known. Held-out recordings of the same speakers choose
the map that learns most about these speakers, which on IEMOCAP was the worst for the next one."""
LEAST_FOR_FOLDS = 20
"""Utterances below which nothing can be held out and figures are those of the fitted rows."""


class Measured(StrEnum):
    """Which predictions the figures after calibration come from."""

    SPEAKERS = "speakers that were left out"
    RECORDINGS = "recordings that were left out"
    ITSELF = "the recordings that it was fitted on"


@dataclass(frozen=True)
class CalibrationOptions:
    """How to fit.

    Attributes:
        method: one of `METHODS`; auto takes the one of least surprisal on held-out speakers, and
            mean where speakers are not known.
        rule: which label sets are wanted, None for none.
        pairing: how predictions meet the truth.
        speaker_column: column of either table that names the speaker.
    """

    method: str = AUTO
    rule: SetRule | None = None
    pairing: Pairing = field(default_factory=Pairing)
    speaker_column: str = "speaker"


@dataclass(frozen=True)
class CalibrationReport:
    """What a calibration was fitted on and what it is worth.

    Attributes:
        calibration: the calibration.
        measured: which predictions ``after`` comes from.
        before: figures of the model's own posteriors, by common short name.
        after: figures of calibrated posteriors.
        losses: held-out surprisal of each method in nats, if one was chosen; the best first.
        n_groups: speakers, 0 where they are not known.
        n_unnamed: predictions whose speaker is not known where others are; each is a group.
        n_silent: rows of the truth without a prediction.
        foreign: count of each true label that the model does not know.
        unseen: labels of the model that are never true.
    """

    calibration: Calibration
    measured: Measured
    before: Mapping[str, float]
    after: Mapping[str, float]
    losses: Mapping[str, float]
    n_groups: int
    n_unnamed: int
    n_silent: int
    foreign: Mapping[str, int]
    unseen: tuple[str, ...]


def fit_calibration(
    table: PredictionTable,
    truth: PredictionTable,
    options: CalibrationOptions,
    *,
    names: tuple[str, str] = ("predictions", "truth"),
) -> CalibrationReport:
    """A calibration fitted on all rows, with the figures that it reaches on held-out ones.

    Speakers are held out where two or more are known, up to ten groups of them in turn; else
    recordings. A recording whose speaker is not known is held out by itself. Below 20 rows nothing
    is held out.

    Args:
        table: predictions of one model.
        truth: true emotions of the same recordings.
        options: how to fit.
        names: what to call the two tables in an error.

    Raises:
        CalibrationError: several models, no posteriors, or too few rows.
        TableError: tables that do not meet.
    """
    found = _only_model(pair(table, truth, options.pairing, names=names), names[0])
    labels = labels_of(found.predictions)
    if len(labels) < 2:
        raise CalibrationError(
            f"{names[0]} has probabilities of {', '.join(labels) or 'no label'}, expected two or "
            f"more columns p_LABEL. Predict with a model of emotions."
        )
    sample, rows = _sample(found, labels, names[0])
    speakers = _speakers(found, rows, options.speaker_column)
    measured, folds = _folds(sample, speakers)
    losses = {}
    if options.method == AUTO and measured == Measured.SPEAKERS and folds is not None:
        losses = choose(sample, folds)
    method = next(iter(losses), CAUTIOUS) if options.method == AUTO else options.method
    fitted = fit(sample, method, options.rule)
    after = (
        outcome(fitted, sample) if folds is None else held_out(sample, folds, method, options.rule)
    )
    known = set(sample.truth.tolist())
    return CalibrationReport(
        calibration=Calibration(labels, found.model, fitted.map, fitted.sets, len(sample)),
        measured=measured,
        before=figures(Outcome(sample.log_probs), sample.truth),
        after=figures(after, sample.truth),
        losses=losses,
        n_groups=len(set(speakers) - {""}),
        n_unnamed=speakers.count(""),
        n_silent=int((~_has_posterior(found, labels, names[0])).sum()),
        foreign=Counter(name for name in found.emotions.tolist() if name and name not in labels),
        unseen=tuple(label for index, label in enumerate(labels) if index not in known),
    )


def _only_model(found: list[Paired], name: str) -> Paired:
    if len(found) > 1:
        models = ", ".join(one.model or "(not named)" for one in found)
        raise CalibrationError(
            f"{name} holds the rows of {len(found)} models ({models}), expected those of one. "
            f"Predict with one model, or remove the other rows."
        )
    return found[0]


def _posteriors(found: Paired, labels: tuple[str, ...], name: str) -> NDArray[np.float64]:
    """Log posteriors beside the truth; NaN rows where there is none."""
    log_probs = log_posteriors(found.predictions, labels, name)
    return np.concatenate([log_probs, np.full((1, len(labels)), np.nan)])[found.row]


def _has_posterior(found: Paired, labels: tuple[str, ...], name: str) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(_posteriors(found, labels, name)).any(axis=1))


def _sample(found: Paired, labels: tuple[str, ...], name: str) -> tuple[Sample, NDArray[np.intp]]:
    """Predictions that have a posterior and a true label of the model, and their rows."""
    log_probs = _posteriors(found, labels, name)
    index = {label: column for column, label in enumerate(labels)}
    truth = np.array([index.get(label, -1) for label in found.emotions.tolist()], dtype=np.intp)
    rows = np.flatnonzero((truth >= 0) & ~np.isnan(log_probs).any(axis=1))
    keys = found.predictions.keys()
    draws = draws_of([keys[row] for row in found.row[rows]])
    return Sample(log_probs[rows], truth[rows], draws), rows


def _speakers(found: Paired, rows: NDArray[np.intp], column: str) -> list[str]:
    """The speaker of each utterance, "" where unknown; nothing where fewer than two can be told."""
    given = found.attribute(column)
    if given is None:
        return []
    names = [named(name) for name in given[rows].tolist()]
    return names if any(names) and len(set(units(names))) > 1 else []


def _folds(sample: Sample, speakers: list[str]) -> tuple[Measured, NDArray[np.intp] | None]:
    """What is held out in turn, if anything can be."""
    if len(sample) < LEAST_FOR_FOLDS:
        return Measured.ITSELF, None
    if speakers:
        return Measured.SPEAKERS, even_folds(units(speakers))
    return Measured.RECORDINGS, random_folds(len(sample))
