"""What to doubt in an evaluation, in sentences."""

from collections.abc import Iterator, Sequence

import numpy as np

from emocli.metrics.intervals import Units
from emocli.metrics.scores import Sample
from emocli.pipeline.pairing import Paired, Pairing
from emocli.table import PredictionTable, listing

FEW_UTTERANCES = 20
"""Support below which a label's recall moves by more than 0.05 with one utterance."""
NEAR_CONSTANT = 0.95
"""Share of one predicted label from which predictions look constant."""
FEW_SPEAKERS = 5
"""Speakers below which an interval over speakers is little more than a guess."""
LEAKS = {"file": "recordings", "speaker": "speakers", "text": "sentences", "sentence": "sentences"}
"""Columns whose values should not occur in both training and evaluation."""


def label_warnings(
    found: Paired, sample: Sample, labels: Sequence[str], how: Pairing, truth_name: str
) -> Iterator[str]:
    """What to doubt in figures of emotions."""
    if not found.has_emotions:
        return
    yield from _unknown_labels(found, how, truth_name)
    yield from _absent_labels(found, how, truth_name)
    unlabelled = int(np.sum(found.emotions == ""))
    if unlabelled:
        yield (
            f"{truth_name}: {unlabelled} of {len(found.emotions)} utterances have no "
            f"{how.truth_column} and are not evaluated."
        )
    sizes = np.bincount(sample.truth[sample.truth >= 0], minlength=len(labels))
    few = [
        f"{labels[int(row)]} ({sizes[row]})"
        for row in np.flatnonzero(sizes)
        if sizes[row] < FEW_UTTERANCES
    ]
    if few:
        yield (
            f"Under {FEW_UTTERANCES} utterances of {', '.join(few)}: one of them moves the recall "
            f"by more than 0.05."
        )
    yield from _constant_predictions(found, sample, labels)
    without = int(np.sum((sample.truth >= 0) & ~found.missing & np.isnan(sample.confidence)))
    if without and not np.isnan(sample.confidence).all():
        yield (
            f"{found.name}: {without} predictions without probabilities are left out of the "
            f"figures that need them."
        )


def _unknown_labels(found: Paired, how: Pairing, truth_name: str) -> Iterator[str]:
    """True emotions that the model cannot predict."""
    models = found.model_labels
    outside = np.array([bool(name) and name not in models for name in found.emotions.tolist()])
    if not models or how.labels or not outside.any():
        return
    names = sorted(set(found.emotions[outside].tolist()))
    common = [label for label in models if label in set(found.emotions.tolist())]
    yield (
        f"{truth_name}: {int(outside.sum())} of {len(outside)} utterances are {', '.join(names)}, "
        f"which {found.model or found.name} cannot predict; they count as wrong."
        + (f" Leave them out with --labels {','.join(common)}." if common else "")
    )


def _absent_labels(found: Paired, how: Pairing, truth_name: str) -> Iterator[str]:
    """Labels that were asked for and occur nowhere, as a wrong name does."""
    known = {*found.emotions.tolist(), *found.predicted("label").tolist(), *found.model_labels}
    if absent := [label for label in how.labels if label not in known]:
        yield (
            f"{', '.join(absent)} of --labels occurs neither in {truth_name} nor in {found.name}: "
            f"check how it is written."
        )


def _constant_predictions(found: Paired, sample: Sample, labels: Sequence[str]) -> Iterator[str]:
    given = sample.predicted[(sample.truth >= 0) & (sample.predicted >= 0)]
    if len(given) < FEW_UTTERANCES or len(np.unique(sample.truth[sample.truth >= 0])) < 2:
        return
    sizes = np.bincount(given, minlength=len(labels))
    if sizes.max() >= NEAR_CONSTANT * len(given):
        yield (
            f"{found.name}: {sizes.max() / len(given):.0%} of the predictions are "
            f"{labels[int(sizes.argmax())]}; they are nearly constant."
        )


def interval_warnings(units: Units, cluster: str, n_draws: int) -> Iterator[str]:
    """What to doubt in intervals, or why there are none."""
    if n_draws and units.n < 2:
        yield (
            f"No intervals: only one {cluster} to resample. `emocli eval --cluster none` resamples "
            f"single recordings."
        )
    elif n_draws and units.clustered and units.n < FEW_SPEAKERS:
        yield f"Intervals rest on {units.n} {cluster}s only; do not rely on them."


def leakage_warnings(found: Paired, train: PredictionTable) -> Iterator[str]:
    """What the models may have seen before."""
    for column, what in LEAKS.items():
        ours = found.attribute(column)
        if ours is None or column not in train:
            continue
        shared = sorted((set(ours.tolist()) & set(train[column].tolist())) - {""})
        if shared:
            yield (
                f"{len(shared)} of {len(set(ours.tolist()))} {what} also occur in training: "
                f"{listing(shared)}."
            )
