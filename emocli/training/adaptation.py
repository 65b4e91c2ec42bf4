"""Figures for adapting a model to strangers' recordings, of corpora that it was not trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.calibration.adaptation import Adaptation, fit_group_figures, fit_trait_directions
from emocli.posteriors import log_softmax
from emocli.training.data import Utterance
from emocli.training.export import write_tensors

FEWEST_CORPORA = 3
"""Corpora that tell how far shifts go."""
EVENNESS = 0.5
"""Share of the corpora's covariance that is made alike in all directions, for they are few."""


def fit_adaptation(
    logits: NDArray[np.float64],
    features: NDArray[np.floating],
    truth: NDArray[np.intp],
    utterances: Sequence[Utterance],
) -> Adaptation | None:
    """Figures for `emocli.calibration.adaptation`; None where there are too few corpora.

    Args:
        logits: of models that have not heard the utterance's corpus, at the temperature of the
            model that is shipped, shape (n_utterances, n_labels).
        features: what the model hears, shape (n_utterances, n_features).
        truth: index of the true label, shape (n_utterances,).
        utterances: name corpora and speakers.
    """
    corpus = _numbers([one.corpus for one in utterances])
    speaker = _numbers([one.speaker for one in utterances])
    if corpus.max() + 1 < FEWEST_CORPORA:
        return None
    inputs = np.asarray(features, dtype=np.float64)
    directions = fit_trait_directions(inputs)
    given = (log_softmax(logits), directions.traits(inputs), truth)
    weights = balanced_weights(utterances, truth)
    return Adaptation(
        directions,
        fit_group_figures(*given, corpus, corpus, weights, evenness=EVENNESS),
        fit_group_figures(*given, speaker, corpus, weights),
    )


def write_adaptation(path: Path, adaptation: Adaptation) -> None:
    """Write the figures so that the file is there whole or not at all."""
    tensors = {
        name: torch.from_numpy(np.array(value, dtype=np.float32, order="C"))
        for name, value in adaptation.arrays().items()
    }
    name = "directions.directions"
    write_tensors(path, tensors | {name: tensors[name].to(torch.int8)})


def _numbers(names: Sequence[str]) -> NDArray[np.intp]:
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], dtype=np.intp)


def balanced_weights(
    utterances: Sequence[Utterance], truth: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Weights by which corpora count as the root of their size, and the labels of one alike.

    Args:
        utterances: name the corpora.
        truth: index of the true label, shape (n_utterances,).
    """
    corpus = _numbers([one.corpus for one in utterances])
    n_labels = int(truth.max()) + 1
    cell = corpus * n_labels + truth
    sizes, cells = np.bincount(corpus), np.bincount(cell, minlength=(corpus.max() + 1) * n_labels)
    n_present = (cells.reshape(-1, n_labels) > 0).sum(axis=1)
    return np.asarray(np.sqrt(sizes[corpus]) / n_present[corpus] / cells[cell])
