"""Posteriors and their confidence, against hand arithmetic and scipy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from emocli import posteriors


def test_softmax_of_hand_computed_logits():
    np.testing.assert_allclose(posteriors.softmax([[0.0, np.log(3.0)]]), [[0.25, 0.75]])


def test_log_softmax_agrees_with_scipy(rng):
    logits = rng.normal(scale=50, size=(100, 8))
    np.testing.assert_allclose(
        posteriors.log_softmax(logits), scipy.special.log_softmax(logits, axis=1), atol=1e-12
    )


def test_huge_logits_do_not_overflow():
    assert posteriors.softmax([[1e4, 0.0], [-1e4, 0.0]]).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_label_outside_the_row_s_set_takes_no_part():
    probs = posteriors.softmax([[0.0, np.nan, 0.0], [0.0, 0.0, np.nan]])
    np.testing.assert_array_equal(probs, [[0.5, np.nan, 0.5], [0.5, 0.5, np.nan]])


def test_a_row_without_labels_stays_missing():
    assert np.isnan(posteriors.softmax([[np.nan, np.nan]])).all()


def test_temperature_flattens():
    assert posteriors.softmax([[0.0, 2.0]], temperature=2.0)[0, 1] == pytest.approx(
        1 / (1 + np.exp(-1))
    )


def test_shares_of_sigmoids():
    logits = np.array([[0.0, 2.0, -1.0]])
    sigmoids = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(posteriors.sigmoid(logits), sigmoids, atol=1e-15)
    np.testing.assert_allclose(posteriors.shares(sigmoids), sigmoids / sigmoids.sum(), atol=1e-15)
    assert posteriors.sigmoid([-1e9, 0.0, 1e9]).tolist() == [0.0, 0.5, 1.0]
    assert posteriors.shares([[0.0, 0.0], [1.0, 3.0]]).tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_entropy_agrees_with_scipy(rng):
    probs = rng.dirichlet(np.ones(6), size=200)
    np.testing.assert_allclose(
        posteriors.entropy(probs), scipy.stats.entropy(probs, axis=1), atol=1e-12
    )


def test_varentropy_of_a_coin_with_three_to_one():
    # H = ln 4 - 0.75 ln 3; V = p q (ln p - ln q)^2 = 0.1875 (ln 3)^2
    assert posteriors.entropy([0.25, 0.75]) == pytest.approx(np.log(4) - 0.75 * np.log(3))
    assert posteriors.varentropy([0.25, 0.75]) == pytest.approx(0.1875 * np.log(3) ** 2)


@pytest.mark.parametrize(
    ("probs", "entropy", "varentropy", "margin", "top"),
    [
        ([0.0, 1.0, 0.0], 0.0, 0.0, 1.0, 1),
        ([0.5, 0.5, 0.0], np.log(2), 0.0, 0.0, 0),
        ([0.5, np.nan, 0.5], np.log(2), 0.0, 0.0, 0),
        ([np.nan, np.nan, np.nan], np.nan, np.nan, np.nan, -1),
    ],
)
def test_edge_cases(probs, entropy, varentropy, margin, top):
    np.testing.assert_allclose(posteriors.entropy([probs]), [entropy], atol=1e-15)
    np.testing.assert_allclose(posteriors.varentropy([probs]), [varentropy], atol=1e-15)
    np.testing.assert_allclose(posteriors.margin([probs]), [margin], atol=1e-15)
    assert posteriors.top([probs]).tolist() == [top]


def test_normalized_entropy_counts_the_row_s_own_labels():
    probs = [[0.5, 0.5, np.nan, np.nan], [0.25, 0.25, 0.25, 0.25], [1.0, np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(posteriors.normalized_entropy(probs), [1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        ([0.25] * 4, True),
        ([1 / 3, 1 / 3, 1 - 2 / 3], True),
        ([0.5, 0.5, np.nan], True),
        ([0.5, 0.5, 0.0], False),
        ([1.0], False),
        ([1.0, np.nan], False),
        ([np.nan] * 3, False),
        ([], False),
    ],
)
def test_undecided_is_where_all_labels_are_equally_likely(probs, expected):
    assert posteriors.undecided(probs) == expected
    assert posteriors.undecided([probs, probs]).tolist() == [expected] * 2


def test_no_labels_at_all():
    nothing = np.empty((2, 0))
    assert np.isnan(posteriors.margin(nothing)).all()
    assert posteriors.top(nothing).tolist() == [-1, -1]
