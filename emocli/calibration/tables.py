"""Calibrations that know what they were fitted on, and tables that pass through them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.calibration.conformal import LabelSets
from emocli.calibration.fitting import Map
from emocli.calibration.numerics import LEAST_LOG
from emocli.errors import CalibrationError
from emocli.table import PROBABILITY_PREFIX, UNNAMED, Column, Key, PredictionTable

SET_SEPARATOR = "|"


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Attributes:
        labels: in the order of the map's columns.
        model: identifier of the model whose posteriors it calibrates; ``""`` if it has none.
        map: from log posteriors to calibrated ones.
        sets: label sets of the calibrated posteriors, None if there are none.
        n_fitted: utterances that it was fitted on.
    """

    labels: tuple[str, ...]
    model: str
    map: Map
    sets: LabelSets | None = None
    n_fitted: int = 0

    @property
    def method(self) -> str:
        """Name of the map's method."""
        return self.map.method

    def apply(self, log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated log posteriors.

        Args:
            log_probs: shape (n_utterances, n_labels), columns as in ``labels``; NaN rows stay NaN.
        """
        return self.map.apply(log_probs)


def apply_calibration(
    table: PredictionTable, calibration: Calibration, name: str = "table"
) -> PredictionTable:
    """A table with calibrated posteriors, and with label sets if the calibration has them.

    The label is again the likeliest one, unless something else than the posterior had chosen it
    (a judge, for example): then it stays. ``model`` becomes ``method(model)``, so that no table is
    calibrated twice and no fuser mistakes one for the other. Rows without a posterior pass
    through.

    Args:
        table: predictions of the model that the calibration was fitted on.
        calibration: what to apply.
        name: what to call the table in an error.

    Returns:
        The table; with label sets ``label_set`` (likeliest first, as ``sad|neutral``) and
        ``set_size``.

    Raises:
        CalibrationError: the table has other labels or another model.
    """
    if table.failed.all():
        return table
    log_probs = log_posteriors(table, calibration.labels, name)
    known = np.asarray(~np.isnan(log_probs).any(axis=1))
    _check_model(table, known, calibration, name)
    probs = np.exp(calibration.apply(log_probs))
    columns: dict[str, Sequence[str] | Column] = {
        f"{PROBABILITY_PREFIX}{label}": probs[:, index]
        for index, label in enumerate(calibration.labels)
    }
    columns["model"] = [
        f"{calibration.method}({model or UNNAMED})" if is_known else model
        for model, is_known in zip(table.column("model"), known, strict=True)
    ]
    columns["label"] = new_labels(table, probs, calibration.labels)
    if calibration.sets is not None:
        columns |= _set_columns(calibration.sets, probs, draws_of(table.keys()), calibration.labels)
    return table.with_columns(columns)


def log_posteriors(
    table: PredictionTable, labels: Sequence[str], name: str = "table"
) -> NDArray[np.float64]:
    """Log posteriors of a table, no lower than -36.04, in a given order of labels.

    Returns:
        Shape (n_rows, n_labels); NaN rows where there is no posterior.

    Raises:
        CalibrationError: a row's label set is another one.
    """
    own = labels_of(table)
    if set(own) != set(labels):
        raise CalibrationError(
            f"{name} has the labels {', '.join(own) or '(none)'}, the calibration was fitted on "
            f"{', '.join(labels)}. Fit another calibration on such a table."
        )
    probs = np.stack([table[f"{PROBABILITY_PREFIX}{label}"] for label in labels], axis=1)
    absent = np.isnan(probs)
    partial = np.flatnonzero(absent.any(axis=1) & ~absent.all(axis=1))
    if len(partial):
        lacking = [label for label, gone in zip(labels, absent[partial[0]], strict=True) if gone]
        raise CalibrationError(
            f"{name}: {table['file'][partial[0]]} has no probability of {', '.join(lacking)}, "
            f"expected all of {', '.join(labels)}. Calibrate the rows of one model at a time."
        )
    with np.errstate(divide="ignore"):  # p = 0 is bounded
        return np.maximum(np.log(probs), LEAST_LOG)


def labels_of(table: PredictionTable) -> tuple[str, ...]:
    """The labels that any row of a table has a probability of."""
    known = np.asarray(~np.isnan(table.probs).all(axis=0))
    return tuple(label for label, has in zip(table.labels, known, strict=True) if has)


def draws_of(keys: Sequence[Key]) -> NDArray[np.float64]:
    """The random part of each utterance's label set, from 0 up to 1; shape (n_rows,).

    It follows from file, start and end alone, so it does not depend on the other rows or the run.
    """
    digests = (
        hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=6).digest() for key in keys
    )
    return np.array([int.from_bytes(digest, "big") / 2**48 for digest in digests])


def _check_model(
    table: PredictionTable, known: NDArray[np.bool_], calibration: Calibration, name: str
) -> None:
    for model in dict.fromkeys(table.column("model")[known].tolist()):
        if model != calibration.model:
            raise CalibrationError(
                f"{name} comes from model {model or '(not named)'}, the calibration was fitted on "
                f"{calibration.model or '(not named)'}. "
                f"Predict with that model, or fit another calibration."
            )


def new_labels(table: PredictionTable, probs: NDArray[np.float64], labels: Sequence[str]) -> Column:
    """The new top labels, where the old label was the old top one."""
    before = np.array([*table.labels, ""], dtype=object)[posteriors.top(table.probs)]
    after = np.array([*labels, ""], dtype=object)[posteriors.top(probs)]
    given = table.column("label")
    return np.where(given == before, after, given)


def _set_columns(
    sets: LabelSets,
    probs: NDArray[np.float64],
    draws: NDArray[np.float64],
    labels: Sequence[str],
) -> dict[str, Sequence[str]]:
    """``label_set`` and ``set_size`` of each row; empty without a posterior."""
    members = sets.members(probs, draws)
    order = np.argsort(-np.nan_to_num(probs), axis=1, kind="stable")
    names = [
        SET_SEPARATOR.join(labels[label] for label in ranked if inside[label])
        for ranked, inside in zip(order, members, strict=True)
    ]
    sizes = members.sum(axis=1).tolist()
    return {"label_set": names, "set_size": [str(size) if size else "" for size in sizes]}
