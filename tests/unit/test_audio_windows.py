import numpy as np
import pytest

from emocli.audio.windows import WindowPlan, cut_stream, plan_windows, window_bounds
from emocli.errors import AudioError

PLAN = plan_windows(10, window_seconds=12, hop_seconds=None)


def test_plan_is_in_samples():
    assert plan_windows(16000) == WindowPlan(192000, 192000, 16000)
    assert plan_windows(16000, window_seconds=3, hop_seconds=1.5) == WindowPlan(48000, 24000, 16000)


def test_shortest_window_is_at_most_half_a_window():
    assert plan_windows(16000, window_seconds=1).min_samples == 8000
    assert plan_windows(16000, min_seconds=2.0).min_samples == 32000


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, []),
        (0.1, [(0, 1)]),
        (12, [(0, 120)]),
        (24, [(0, 120), (120, 240)]),
        (25, [(0, 120), (120, 240), (240, 250)]),
        (24.9, [(0, 120), (120, 185), (185, 249)]),
        (12.1, [(0, 61), (61, 121)]),
    ],
)
def test_last_window_ends_with_the_recording(seconds, expected):
    assert window_bounds(round(seconds * 10), PLAN) == expected


def test_overlap_is_kept_where_the_last_two_windows_share():
    plan = WindowPlan(window_samples=100, hop_samples=98, min_samples=10)
    assert window_bounds(200, plan) == [(0, 100), (98, 150), (148, 200)]


def test_overlapping_windows_stop_at_the_end():
    plan = WindowPlan(window_samples=100, hop_samples=50, min_samples=10)
    assert window_bounds(210, plan) == [(0, 100), (50, 150), (100, 200), (150, 210)]


def test_stream_is_cut_as_the_whole_is():
    samples = np.arange(249, dtype=np.float32)
    windows = list(cut_stream(np.array_split(samples, 7), PLAN))
    assert [(start, len(window)) for start, window in windows] == [(0, 120), (120, 65), (185, 64)]
    assert all((window == samples[start : start + len(window)]).all() for start, window in windows)


def test_windows_come_before_the_recording_ends():
    blocks = iter([np.zeros(131, np.float32)])
    assert next(cut_stream(blocks, PLAN))[0] == 0


@pytest.mark.parametrize("window", [0.0, 0.05, -1.0, float("nan"), float("inf")])
def test_window_out_of_range(window):
    with pytest.raises(AudioError) as error:
        plan_windows(16000, window_seconds=window)
    assert str(error.value) == (
        f"The window is {window:g} s, expected a number of seconds from 0.1 on. Give another "
        f"--window."
    )


@pytest.mark.parametrize("hop", [0.0, 0.001, -2.0, 13.0, float("nan")])
def test_hop_out_of_range(hop):
    with pytest.raises(AudioError) as error:
        plan_windows(16000, hop_seconds=hop)
    assert str(error.value) == (
        f"The hop is {hop:g} s, expected from 0.01 s to the window of 12 s, or parts would go "
        f"unheard. Give another --hop."
    )
