"""Our figures against those of other libraries on the same inputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from emocli.metrics import classification as cls
from emocli.metrics import regression as reg
from emocli.metrics import soft, text
from emocli.metrics.intervals import mcnemar
from emocli.metrics.scores import Sample, figures_of
from emocli.pipeline.evaluate import EvalOptions, evaluate
from emocli.table_io import read_table

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text())
TRUTH = np.array(EXPECTED["truth"])
PROBS = np.array(EXPECTED["probs"])
PREDICTED = PROBS.argmax(axis=1)
FIGURES = figures_of(Sample(TRUTH, PREDICTED, PROBS.shape[1], PROBS, PROBS.max(axis=1)))


@pytest.fixture(scope="module")
def counts():
    return cls.confusion(TRUTH, PREDICTED, PROBS.shape[1])


def test_confusion_is_that_of_scikit_learn(counts):
    assert counts[:, :-1].tolist() == EXPECTED["classification"]["confusion"]
    assert not counts[:, -1].any()


@pytest.mark.parametrize("name", ["recall", "precision", "f1"])
def test_figures_of_each_label_are_those_of_scikit_learn(counts, name):
    expected = np.array(EXPECTED["classification"][name])
    np.testing.assert_allclose(getattr(cls, name)(counts), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["uar", "accuracy", "macro_f1", "weighted_f1", "kappa"])
def test_figures_of_classification_are_those_of_scikit_learn(name):
    assert FIGURES[name] == pytest.approx(EXPECTED["classification"][name], abs=1e-12)


def test_uar_is_that_of_audmetric_where_all_labels_occur():
    assert FIGURES["uar"] == pytest.approx(EXPECTED["classification"]["uar_audmetric"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("top2", 1e-12),
        ("nll", 1e-9),
        ("brier", 1e-9),
        ("ece", 1e-6),  # single precision over there
        ("mce", 1e-6),
        ("adaptive_ece", 1e-9),
        ("aurc", 1e-6),
        ("error_auroc", 1e-12),
    ],
)
def test_figures_of_confidence_are_those_of_other_libraries(name, tolerance):
    assert FIGURES[name] == pytest.approx(EXPECTED["calibration"][name], abs=tolerance)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("kl", soft.kl_divergence),
        ("js", soft.jensen_shannon),
        ("cosine", soft.cosine_similarity),
    ],
)
def test_figures_of_soft_truth_are_those_of_scipy(name, function):
    shares = np.array(EXPECTED["soft_truth"]["votes"]) / 5.0
    np.testing.assert_allclose(function(shares, PROBS), EXPECTED["soft_truth"][name], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("ccc", reg.ccc_of_sums),
        ("pearson", reg.pearson_of_sums),
        ("rmse", reg.rmse_of_sums),
        ("mae", reg.mae_of_sums),
        ("bias", reg.bias_of_sums),
    ],
)
def test_figures_of_dimensions_are_those_of_other_libraries(name, function):
    given = EXPECTED["dimensions"]
    sums = reg.regression_terms(given["truth"], given["predicted"]).sum(axis=0)
    assert function(sums) == pytest.approx(given[name], abs=1e-12)


def test_error_rates_are_those_of_jiwer():
    given = EXPECTED["transcripts"]
    sides = given["references"], given["hypotheses"]
    for name, errors in (("wer", text.word_errors), ("cer", text.character_errors)):
        wrong, said = errors(*sides).sum(axis=0)
        assert wrong / said == pytest.approx(given[name], abs=1e-12)


def test_mcnemar_is_the_binomial_test_of_scipy():
    given = EXPECTED["intervals"]
    found = mcnemar(np.array(given["first"]), np.array(given["second"]))
    assert found.p_value == pytest.approx(given["mcnemar_p"], abs=1e-12)


@pytest.mark.data
@pytest.mark.parametrize("fold", ["fold_0", "fold_2", "fold_4", "fold_6", "fold_8"])
def test_figures_of_speech_alone_are_those_of_the_authors(data_dir, fold):
    folder = data_dir / "entropy-selection"
    expected = json.loads((folder / "expected.json").read_text())
    speech, truth = (
        read_table(str(folder / fold / "test" / name)) for name in ("speech.csv", "truth.csv")
    )
    (found,) = evaluate([("speech", speech)], truth, EvalOptions(n_draws=0))
    before = expected[fold]["speech_only"]
    for name in ("uar", "accuracy", "macro_f1"):
        assert found.figures[name] == pytest.approx(before[name], abs=1e-5)
