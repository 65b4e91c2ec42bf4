"""Calibration on published scores; see the README beside this file."""

import numpy as np
import pytest

from emocli.calibration.fitting import (
    MAPS,
    Outcome,
    Sample,
    choose,
    figures,
    fit,
    outcome,
)
from emocli.calibration.tables import log_posteriors
from emocli.fusion.sides import align_truth
from emocli.splits import even_folds
from emocli.table_io import read_table

FOLDS = (0, 2, 4, 6, 8)
LABELS = ("angry", "happy", "neutral", "sad")
EXPECTED = {
    "": (0.0851, 0.8858, 0.4829, 0.2122),
    "temperature": (0.0819, 0.8808, 0.4799, 0.2127),
    "vector": (0.0780, 0.8807, 0.4813, 0.2219),
    "isotonic": (0.1036, 0.9472, 0.4932, 0.2270),
    "beta": (0.0807, 0.8894, 0.4856, 0.2210),
    "mean": (0.0668, 0.8698, 0.4773, 0.2180),
}


@pytest.fixture(scope="module")
def folds(data_dir):
    root = data_dir / "entropy-selection"
    return [
        {name: split(root / f"fold_{fold}" / name) for name in ("train", "val", "test")}
        for fold in FOLDS
    ]


def split(folder):
    table = read_table(str(folder / "speech.csv"))
    truth = read_table(str(folder / "truth.csv"))
    emotions = align_truth(table, truth, "emotion")
    speakers = dict(zip(truth["file"], truth["speaker"], strict=True))
    index = np.array([LABELS.index(name) for name in emotions])
    sample = Sample(log_posteriors(table, LABELS), index, np.zeros(len(table)))
    return sample, [speakers[file] for file in table["file"]]


@pytest.mark.parametrize("method", EXPECTED)
def test_figures_on_test_after_fitting_on_val(folds, method):
    found = []
    for fold in folds:
        val, test = fold["val"][0], fold["test"][0]
        after = outcome(fit(val, method), test) if method else Outcome(test.log_probs)
        found.append(figures(after, test.truth))
    names = ("ece", "nll", "brier", "aurc")
    means = [np.mean([one[name] for one in found]) for name in names]
    np.testing.assert_allclose(means, EXPECTED[method], atol=2e-4)


def test_held_out_speakers_of_train_and_val_choose_the_mean(folds):
    losses = []
    for fold in folds[:2]:  # two of them, for time; the README has all five
        (train, first), (val, second) = fold["train"], fold["val"]
        both = Sample(
            np.concatenate([train.log_probs, val.log_probs]),
            np.concatenate([train.truth, val.truth]),
            np.concatenate([train.draws, val.draws]),
        )
        losses.append(choose(both, even_folds([*first, *second])))
    means = {method: np.mean([one[method] for one in losses]) for method in MAPS}
    assert min(means, key=means.get) == "mean"
