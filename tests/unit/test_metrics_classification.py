"""The matrix of counts and its ratios; expected values by hand."""

import numpy as np
import pytest

from emocli.metrics import classification as cls

TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
PREDICTED = np.array([0, 0, 1, -1, 1, 1, 0, 2, 0, 3])
COUNTS = cls.confusion(TRUTH, PREDICTED, 4)


def test_confusion_counts_truth_by_prediction_and_none_last():
    assert COUNTS.tolist() == [
        [2, 1, 0, 0, 1],
        [1, 2, 0, 0, 0],
        [1, 0, 1, 1, 0],
        [0, 0, 0, 0, 0],
    ]


def test_confusion_by_unit_adds_up_to_the_whole():
    units = np.arange(10) % 3
    parts = cls.confusion(TRUTH, PREDICTED, 4, units=units, n_units=3)
    assert parts.shape == (3, 4, 5)
    assert (parts.sum(axis=0) == COUNTS).all()
    assert (parts[1] == cls.confusion(TRUTH[1::3], PREDICTED[1::3], 4)).all()


def test_recall_precision_and_f1_of_each_label():
    np.testing.assert_allclose(cls.recall(COUNTS), [2 / 4, 2 / 3, 1 / 3, np.nan])
    np.testing.assert_allclose(cls.precision(COUNTS), [2 / 4, 2 / 3, 1 / 1, 0 / 1])
    np.testing.assert_allclose(cls.f1(COUNTS), [4 / 8, 4 / 6, 2 / 4, 0 / 1])


def test_a_label_that_occurs_nowhere_has_no_figures():
    counts = cls.confusion(np.array([0]), np.array([0]), 2)
    for view in (cls.recall, cls.precision, cls.f1):
        assert np.isnan(view(counts)[1])


def test_uar_averages_over_labels_of_the_truth_alone():
    assert cls.unweighted_average_recall(COUNTS) == pytest.approx((1 / 2 + 2 / 3 + 1 / 3) / 3)


def test_uar_where_audmetric_differs():
    counts = cls.confusion(np.array([0, 0]), np.array([0, 1]), 2)
    assert cls.unweighted_average_recall(counts) == 0.5


def test_macro_f1_averages_over_labels_of_truth_and_prediction():
    assert cls.macro_f1(COUNTS) == pytest.approx((1 / 2 + 2 / 3 + 1 / 2 + 0) / 4)


def test_weighted_f1_weighs_by_support():
    assert cls.weighted_f1(COUNTS) == pytest.approx((4 * 1 / 2 + 3 * 2 / 3 + 3 * 1 / 2) / 10)


def test_accuracy_counts_a_missing_prediction_as_wrong():
    assert cls.accuracy(COUNTS) == pytest.approx(5 / 10)


def test_kappa_by_hand():
    expected = (4 * 4 + 3 * 3 + 3 * 1 + 0 * 1) / 100
    assert cls.cohens_kappa(COUNTS) == pytest.approx((0.5 - expected) / (1 - expected))


def test_kappa_of_two_equal_constants_is_undefined():
    assert np.isnan(cls.cohens_kappa(cls.confusion(np.array([0, 0]), np.array([0, 0]), 2)))


def test_figures_without_utterances_are_undefined():
    empty = np.zeros((2, 3), dtype=np.int64)
    views = (cls.accuracy, cls.unweighted_average_recall, cls.macro_f1, cls.weighted_f1)
    assert all(np.isnan(view(empty)) for view in (*views, cls.cohens_kappa))


def test_figures_of_a_stack_are_those_of_its_parts():
    stack = np.stack([COUNTS, COUNTS[::-1], 2 * COUNTS])
    for view in (cls.unweighted_average_recall, cls.macro_f1, cls.cohens_kappa, cls.accuracy):
        np.testing.assert_allclose(view(stack), [view(counts) for counts in stack])


@pytest.mark.parametrize(
    ("probs", "truth", "hit"),
    [
        ([0.5, 0.3, 0.2], 1, True),
        ([0.5, 0.3, 0.2], 2, False),
        ([0.4, 0.3, 0.3], 1, True),  # of equal ones the earlier
        ([0.4, 0.3, 0.3], 2, False),
    ],
)
def test_top_two(probs, truth, hit):
    assert cls.top_k_hits(np.array([probs]), np.array([truth])).tolist() == [hit]


def test_balanced_draws_take_as_many_of_each_label(rng):
    counts = np.array([[30, 5, 0, 0], [10, 20, 0, 5], [0, 0, 0, 0]])
    drawn = cls.balanced_draws(counts, 500, 15, rng)
    assert drawn.shape == (500, 3, 4)
    assert (drawn.sum(axis=2) == [15, 15, 0]).all()
    assert (drawn <= counts).all()
    np.testing.assert_allclose(drawn[:, 0].mean(axis=0), 15 * counts[0] / 35, atol=0.2)


def test_balanced_draws_of_everything_are_the_matrix_itself(rng):
    counts = np.array([[3, 1, 0], [2, 1, 1]])
    assert (cls.balanced_draws(counts, 5, 4, rng) == counts).all()
