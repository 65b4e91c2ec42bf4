from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emocli.audio.windows import WindowPlan, cut_stream, window_bounds


@st.composite
def plans(draw):
    window = draw(st.integers(2, 60))
    return WindowPlan(
        window_samples=window,
        hop_samples=draw(st.integers(1, window)),
        min_samples=draw(st.integers(1, max(1, window // 2))),
    )


@given(st.integers(1, 500), plans())
def test_windows_cover_the_recording_in_order_and_none_is_too_long(n_samples, plan):
    bounds = window_bounds(n_samples, plan)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n_samples
    for (start, stop), (next_start, next_stop) in pairwise(bounds):
        assert start < next_start <= stop < next_stop
    assert all(0 < stop - start <= plan.window_samples for start, stop in bounds)


@given(st.integers(1, 500), plans())
def test_no_window_of_several_is_shorter_than_the_shortest(n_samples, plan):
    bounds = window_bounds(n_samples, plan)
    if len(bounds) > 1:
        assert min(stop - start for start, stop in bounds) >= plan.min_samples


@given(st.integers(1, 500), plans())
def test_durations_sum_to_the_recording_where_hop_is_window(n_samples, plan):
    plan = WindowPlan(plan.window_samples, plan.window_samples, plan.min_samples)
    assert sum(stop - start for start, stop in window_bounds(n_samples, plan)) == n_samples


@given(st.integers(1, 500), plans(), st.lists(st.integers(0, 500), max_size=8))
def test_a_stream_is_cut_like_the_whole_wherever_its_blocks_end(n_samples, plan, cuts):
    samples = np.arange(n_samples, dtype=np.float32)
    blocks = np.split(samples, sorted(min(cut, n_samples) for cut in cuts))
    found = list(cut_stream(blocks, plan))
    assert [(start, start + len(window)) for start, window in found] == window_bounds(
        n_samples, plan
    )
    for start, window in found:
        np.testing.assert_array_equal(window, samples[start : start + len(window)])
