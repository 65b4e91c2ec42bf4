"""What holds of every timeline."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emocli.audio.speech_windows import cut_speech
from emocli.audio.windows import WindowPlan
from emocli.table import PredictionTable
from emocli.timeline.segments import Span, absorb_short, join_spans
from emocli.timeline.smoothing import LEAST_PROBABILITY, smooth_by_median, viterbi_path
from emocli.timeline.tables import meet, segmented


@st.composite
def posteriors(draw, max_windows=12):
    """Posteriors of windows, of shape (n_windows, n_labels), some with zeros."""
    n_windows = draw(st.integers(1, max_windows))
    n_labels = draw(st.integers(2, 4))
    weight = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    rows = st.lists(weight, min_size=n_labels, max_size=n_labels).filter(sum)
    values = np.array(draw(st.lists(rows, min_size=n_windows, max_size=n_windows)))
    return values / values.sum(axis=1, keepdims=True)


odd = st.integers(0, 6).map(lambda half: 2 * half + 1)
costs = st.floats(0, 50) | st.just(np.inf)


@given(posteriors(), odd)
def test_medians_are_posteriors(probs, n_windows):
    smoothed = smooth_by_median(probs, n_windows)
    assert smoothed.shape == probs.shape
    assert (smoothed >= 0).all()
    np.testing.assert_allclose(smoothed.sum(axis=1), 1, atol=1e-12)


@given(posteriors(), odd, costs)
def test_what_does_not_change_stays(probs, n_windows, cost):
    constant = np.repeat(probs[:1], len(probs), axis=0)
    np.testing.assert_allclose(smooth_by_median(constant, n_windows), constant, atol=1e-12)
    assert (viterbi_path(constant, cost) == constant[0].argmax()).all()


@given(posteriors())
def test_a_median_of_one_window_changes_nothing(probs):
    np.testing.assert_allclose(smooth_by_median(probs, 1), probs, atol=1e-12)


@given(posteriors(), odd)
def test_medians_do_not_know_before_from_after(probs, n_windows):
    np.testing.assert_allclose(
        smooth_by_median(probs[::-1], n_windows)[::-1], smooth_by_median(probs, n_windows)
    )


@given(posteriors())
def test_changes_that_cost_nothing_give_the_top_labels(probs):
    assert viterbi_path(probs, 0.0).tolist() == probs.argmax(axis=1).tolist()
    cheap = viterbi_path(probs, 1e-9)
    chosen = np.take_along_axis(probs, cheap[:, np.newaxis], axis=1)[:, 0]
    np.testing.assert_allclose(chosen, probs.max(axis=1), atol=1e-6)


@given(posteriors())
def test_changes_that_cost_everything_give_the_best_label_of_all(probs):
    totals = np.log(np.maximum(probs, LEAST_PROBABILITY)).sum(axis=0)
    path = viterbi_path(probs, np.inf)
    assert len(set(path.tolist())) == 1
    np.testing.assert_allclose(totals[path[0]], totals.max())


def worth(probs, path, cost):
    """What Viterbi maximises, written down as it is defined."""
    log_probs = np.log(np.maximum(probs, LEAST_PROBABILITY))
    changes = int(np.sum(path[1:] != path[:-1]))
    return log_probs[np.arange(len(path)), path].sum() - (cost * changes if changes else 0.0)


@settings(max_examples=50)
@given(posteriors(max_windows=5), costs)
def test_no_path_is_better_than_viterbis(probs, cost):
    n_windows, n_labels = probs.shape
    paths = np.stack(np.meshgrid(*[np.arange(n_labels)] * n_windows), axis=-1)
    best = max(worth(probs, path, cost) for path in paths.reshape(-1, n_windows))
    np.testing.assert_allclose(worth(probs, viterbi_path(probs, cost), cost), best, atol=1e-9)


@given(posteriors(), costs, st.floats(1.0, 3.0))
def test_dearer_changes_are_not_more(probs, cost, factor):
    def changes(price):
        path = viterbi_path(probs, price)
        return int(np.sum(path[1:] != path[:-1]))

    assert changes(cost * factor + 1e-6) <= changes(cost)


@st.composite
def timelines(draw):
    """Windows of a file that touch, overlap or leave gaps, in thousandths of a second."""
    probs = draw(posteriors())
    start, end, rows = 0, 0, []
    for p in probs:
        start = max(start + 200, end + draw(st.sampled_from([0, 0, 0, -500, 700])))
        end = max(end + 200, start + draw(st.integers(200, 3000)))
        rows.append(
            {
                "file": "x.wav",
                "start": start / 1000,
                "end": end / 1000,
                **{f"p_{name}": float(value) for name, value in zip("abcd", p, strict=False)},
            }
        )
    return PredictionTable.from_rows(rows)


def covered(table):
    """Which milliseconds rows cover, with how often."""
    times = np.round(np.stack([table["start"], table["end"]], axis=1) * 2000).astype(int)
    counts = np.zeros(times.max() + 1, dtype=int)
    for start, end in times:
        counts[start:end] += 1
    return counts


@settings(max_examples=50)
@given(timelines(), st.floats(0, 4))
def test_segments_tile_the_windows(table, min_seconds):
    for found in (meet(table), segmented(table, min_seconds)):
        counts = covered(found)
        assert counts.max() <= 2  # halves of milliseconds, which segments round, may count twice
        assert abs((counts > 0).sum() - (covered(table) > 0).sum()) <= 2 * len(table)
        lengths = (found["end"] - found["start"]).sum()
        assert abs(lengths - (covered(table) > 0).sum() / 2000) <= 0.001 * len(table)
        np.testing.assert_allclose(np.nansum(found.probs, axis=1), 1, atol=1e-9)


@settings(max_examples=50)
@given(timelines(), st.floats(0, 4))
def test_segments_that_touch_have_other_labels_and_are_long_enough(table, min_seconds):
    found = segmented(table, min_seconds)
    starts, ends, labels = found["start"], found["end"], found["label"]
    touching = starts[1:] - ends[:-1] <= 0.001
    assert (labels[1:] != labels[:-1])[touching].all()
    alone = np.concatenate([[True], ~touching]) & np.concatenate([~touching, [True]])
    assert ((ends - starts >= min_seconds - 0.002) | alone).all()


@settings(max_examples=50)
@given(timelines())
def test_segments_of_segments_are_the_same(table):
    once = segmented(table)
    again = segmented(once)
    assert once["start"].tolist() == again["start"].tolist()
    assert once["label"].tolist() == again["label"].tolist()
    np.testing.assert_allclose(once.probs, again.probs)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 2)), max_size=30), st.floats(0, 30))
def test_absorbing_loses_no_window(given_spans, min_seconds):
    ends = np.cumsum([seconds for seconds, _ in given_spans])
    spans = [
        Span(float(end - seconds), float(end), label, np.full(3, 1 / 3), (index,))
        for index, ((seconds, label), end) in enumerate(zip(given_spans, ends, strict=True))
    ]
    for found in (join_spans(spans), absorb_short(spans, min_seconds)):
        assert [window for one in found for window in one.windows] == list(range(len(spans)))
        assert sum(one.seconds for one in found) == (ends[-1] if len(ends) else 0)


def loud(waveform):
    """Seconds of a waveform at 16 kHz that are not 0."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], waveform != 0, [0]])))
    return tuple((a / 16000, b / 16000) for a, b in edges.reshape(-1, 2))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 60), st.integers(6, 30)), min_size=1, max_size=6),
    st.sampled_from([(1.0, 1.0), (2.0, 0.5), (1.2, 1.2)]),
    st.integers(3000, 50000),
)
def test_windows_of_speech_cover_speech_and_nothing_else(pieces, lengths, block):
    waveform = np.concatenate(
        [np.concatenate([np.ones(a * 1600), np.zeros(b * 1600)]) for a, b in pieces]
    ).astype(np.float32)
    window, hop = (round(seconds * 16000) for seconds in lengths)
    plan = WindowPlan(window, hop, 4800)
    blocks = [waveform[i : i + block] for i in range(0, len(waveform), block)]
    heard = np.zeros(len(waveform), dtype=bool)
    for start, samples in cut_speech(blocks, plan, 16000, loud, stretch_seconds=8.0):
        np.testing.assert_array_equal(samples, waveform[start : start + len(samples)])
        assert len(samples) <= window
        heard[start : start + len(samples)] = True
    np.testing.assert_array_equal(heard, waveform > 0)
