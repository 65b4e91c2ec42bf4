import numpy as np
import pytest

from emocli.errors import TimelineError
from emocli.timeline.smoothing import Smoothing, running_median, smooth_by_median, viterbi_path


def test_rules_are_read():
    assert Smoothing.parse("median:3") == Smoothing("median", 3)
    assert Smoothing.parse("viterbi:0.5") == Smoothing("viterbi", 0.5)
    assert str(Smoothing.parse("viterbi:inf")) == "viterbi:inf"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mean:3",
        "median",
        "median:2",
        "median:0",
        "median:inf",
        "median:2.5",
        "median:x",
        "viterbi",
        "viterbi:-1",
        "viterbi:nan",
    ],
)
def test_other_rules_are_refused(text):
    with pytest.raises(TimelineError) as caught:
        Smoothing.parse(text)
    assert str(caught.value) == (
        f"The smoothing is {text!r}, expected median:N with an odd number of windows under 100000 "
        f"or viterbi:COST with nats of at least 0. Give for example median:3 or viterbi:1."
    )


def test_a_single_odd_window_goes_and_a_lasting_change_stays():
    first = np.array([0.9, 0.9, 0.2, 0.9, 0.9, 0.1, 0.1, 0.1])
    smoothed = smooth_by_median(np.stack([first, 1 - first], axis=1), 3)
    np.testing.assert_allclose(smoothed[:, 0], [0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1])


def test_medians_are_scaled_to_sum_to_one():
    probs = np.array([[0.6, 0.3, 0.1], [0.3, 0.1, 0.6], [0.1, 0.6, 0.3]])
    # The medians are 0.3 each; the ends have two windows, whose medians are means.
    np.testing.assert_allclose(
        smooth_by_median(probs, 3), [[0.45, 0.2, 0.35], [1 / 3] * 3, [0.2, 0.35, 0.45]]
    )


def test_windows_that_are_sure_of_three_labels_have_their_mean():
    np.testing.assert_allclose(smooth_by_median(np.eye(3), 3)[1], [1 / 3] * 3)


def test_a_median_longer_than_the_recording():
    values = np.array([[1.0], [2.0], [9.0]])
    assert running_median(values, 99).tolist() == [[2.0], [2.0], [2.0]]
    assert running_median(np.empty((0, 2)), 3).shape == (0, 2)


def test_viterbi_by_hand():
    sure, odd = np.log(0.8 / 0.2), np.log(0.7 / 0.3)
    probs = np.array([[0.8, 0.2], [0.3, 0.7], [0.8, 0.2]])
    # One change and back costs twice; the odd window is worth ln(0.7 / 0.3) = 0.85 nats.
    assert viterbi_path(probs, 0.99 * odd / 2).tolist() == [0, 1, 0]
    assert viterbi_path(probs, 1.01 * odd / 2).tolist() == [0, 0, 0]
    lasting = np.array([[0.8, 0.2], [0.2, 0.8], [0.2, 0.8]])
    assert viterbi_path(lasting, 0.99 * sure).tolist() == [0, 1, 1]
    assert viterbi_path(lasting, 1.01 * sure).tolist() == [1, 1, 1]


def test_viterbi_of_nothing():
    assert viterbi_path(np.empty((0, 3)), 1.0).tolist() == []


def test_a_window_that_rules_a_label_out_does_not_do_so_for_good():
    probs = np.array([[1.0, 0.0]] + [[0.01, 0.99]] * 9)
    assert viterbi_path(probs, np.inf).tolist() == [1] * 10
