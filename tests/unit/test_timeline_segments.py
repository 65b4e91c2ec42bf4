import numpy as np

from emocli.timeline.segments import Span, absorb_short, join_spans, meet_in_the_middle


def spans(*given):
    """Spans of (start, end, label, probability of label 0)."""
    return [
        Span(start, end, label, np.array([p, 1 - p]), (index,))
        for index, (start, end, label, p) in enumerate(given)
    ]


def shown(found):
    return [(one.start, one.end, one.label, one.windows) for one in found]


def test_neighbours_of_one_label_are_one():
    found = join_spans(spans((0, 2, 0, 0.9), (2, 3, 0, 0.6), (3, 4, 1, 0.2), (5, 6, 1, 0.4)))
    assert shown(found) == [(0, 3, 0, (0, 1)), (3, 4, 1, (2,)), (5, 6, 1, (3,))]
    np.testing.assert_allclose(found[0].probs, [0.8, 0.2])  # (2 * 0.9 + 0.6) / 3


def test_a_pause_within_speech_is_inside_a_segment_and_weighs_nothing():
    given = spans((0, 2, 0, 0.9), (2.5, 3.5, 0, 0.6), (3.9, 4.9, 0, 0.5), (5.5, 6, 0, 0.4))
    found = join_spans(given)
    assert shown(found) == [(0, 4.9, 0, (0, 1, 2)), (5.5, 6, 0, (3,))]
    np.testing.assert_allclose(found[0].pauses, 0.9)
    np.testing.assert_allclose(found[0].probs[0], (2 * 0.9 + 0.6 + 0.5) / 4)


def test_windows_that_overlap_meet_in_the_middle():
    starts, ends = meet_in_the_middle(np.array([0.0, 2, 4, 9]), np.array([4.0, 6, 8, 10]))
    assert starts.tolist() == [0, 3, 5, 9]
    assert ends.tolist() == [3, 5, 8, 10]


def test_a_short_segment_goes_where_its_own_posterior_leans():
    probs = [(0, 5, 0), (5, 6, 1), (6, 9, 2)]
    given = [
        Span(start, end, label, np.array(p), (index,))
        for index, ((start, end, label), p) in enumerate(
            zip(probs, [[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]], strict=True)
        )
    ]
    found = absorb_short(given, 2.0)
    assert shown(found) == [(0, 5, 0, (0,)), (5, 9, 2, (1, 2))]
    np.testing.assert_allclose(found[1].probs, [0.1, 0.225, 0.675])


def test_of_equal_neighbours_the_longer_then_the_earlier():
    tie = np.array([0.2, 0.6, 0.2])
    around = [Span(0, 3, 0, np.eye(3)[0], (0,)), Span(3, 4, 1, tie, (1,))]
    assert shown(absorb_short([*around, Span(4, 9, 2, np.eye(3)[2], (2,))], 2)) == [
        (0, 3, 0, (0,)),
        (3, 9, 2, (1, 2)),
    ]
    assert shown(absorb_short([*around, Span(4, 7, 2, np.eye(3)[2], (2,))], 2)) == [
        (0, 4, 0, (0, 1)),
        (4, 7, 2, (2,)),
    ]


def test_what_is_the_same_on_both_sides_of_a_short_segment_becomes_one():
    found = absorb_short(spans((0, 5, 0, 0.9), (5, 6, 1, 0.3), (6, 9, 0, 0.9)), 2.0)
    assert shown(found) == [(0, 9, 0, (0, 1, 2))]


def test_a_short_segment_in_silence_stays():
    found = absorb_short(spans((0, 5, 0, 0.9), (6, 6.5, 1, 0.3), (7.1, 9.1, 0, 0.9)), 2.0)
    assert [one.seconds for one in found] == [5, 0.5, 2]


def test_the_shortest_goes_first():
    found = absorb_short(
        spans((0, 1, 0, 0.9), (1, 1.5, 1, 0.2), (1.5, 2.5, 0, 0.9), (2.5, 9, 1, 0.1)), 2.0
    )
    assert shown(found) == [(0, 2.5, 0, (0, 1, 2)), (2.5, 9, 1, (3,))]


def test_nothing():
    assert absorb_short([], 1.0) == []
