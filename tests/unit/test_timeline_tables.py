import numpy as np
import pytest

from emocli.table import PredictionTable
from emocli.timeline.smoothing import Smoothing
from emocli.timeline.tables import chains, meet, segmented, smooth

NAN = float("nan")


def windows(*given, **columns):
    """A table of (file, start, end, p_a) with labels a and b."""
    rows = [
        {"file": file, "start": start, "end": end, "model": "m", "p_a": p, "p_b": 1 - p}
        for file, start, end, p in given
    ]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return PredictionTable.from_rows(rows)


def times(table):
    return list(zip(table["start"].tolist(), table["end"].tolist(), strict=True))


def test_chains_end_with_files_speakers_long_gaps_and_windows_inside_others():
    table = windows(
        ("x", 0, 2, 0.9),
        ("y", 0, 2, 0.9),
        ("x", 2, 4, 0.9),
        ("x", 9, 11, 0.9),
        ("x", 9.5, 10, 0.9),
        ("x", 11.001, 12, 0.9),
        ("x", 12, 13, 0.9),
        ("x", 13, 14, NAN),
        speaker=["", "", "", "", "", "", "anna", ""],
    )
    found = [chain.tolist() for chain in chains(table, 2.0)]
    assert found == [[0, 2], [3], [4, 5], [1], [6]]
    assert chains(table, 5.0)[0].tolist() == [0, 2, 3]


def test_median_changes_posteriors_and_what_follows_from_them():
    table = windows(*[("x", i, i + 1, p) for i, p in enumerate([0.9, 0.2, 0.9, 0.8])])
    found = smooth(table, Smoothing.parse("median:3"), 1.0)
    np.testing.assert_allclose(found["p_a"], [0.55, 0.9, 0.8, 0.85])
    assert found["label"].tolist() == ["a"] * 4
    np.testing.assert_allclose(found["margin"], [0.1, 0.8, 0.6, 0.7])
    assert table["p_a"].tolist() == [0.9, 0.2, 0.9, 0.8]


def test_viterbi_changes_labels_only():
    table = windows(*[("x", i, i + 1, p) for i, p in enumerate([0.9, 0.4, 0.9])])
    found = smooth(table, Smoothing.parse("viterbi:1"), 1.0)
    assert table["label"].tolist() == ["a", "b", "a"]
    assert found["label"].tolist() == ["a", "a", "a"]
    for name in ("p_a", "p_b", "entropy", "varentropy", "margin"):
        assert found[name].tolist() == table[name].tolist()


@pytest.mark.parametrize("rule", ["median:3", "viterbi:5"])
def test_smoothing_crosses_no_gap_and_no_file(rule):
    table = windows(
        ("x", 0, 1, 0.9), ("x", 1, 2, 0.9), ("x", 5, 6, 0.2), ("y", 2, 3, 0.3), ("y", 3, 4, 0.3)
    )
    found = smooth(table, Smoothing.parse(rule), 1.0)
    np.testing.assert_allclose(found.probs, table.probs)
    assert found["label"].tolist() == table["label"].tolist()


def test_labels_of_other_models_and_failed_rows_stay_out_of_it():
    table = PredictionTable.from_rows(
        [
            {"file": "x", "start": i, "end": i + 1, "model": "m", "p_a": p, "p_b": 1 - p}
            for i, p in enumerate([0.9, 0.4, 0.9])
        ]
        + [
            {"file": "x", "start": i, "end": i + 1, "model": "n", "p_b": p, "p_c": 1 - p}
            for i, p in enumerate([0.9, 0.4, 0.9])
        ]
        + [{"file": "broken", "model": "m", "error": "broken: empty. Copy it again."}]
    )
    for rule in ("median:3", "viterbi:1"):
        found = smooth(table, Smoothing.parse(rule), 1.0)
        assert np.isnan(found.probs).tolist() == np.isnan(table.probs).tolist()
        assert found["label"].tolist()[1::3] == ["a", "b"]
        assert found["label"].tolist()[-1] == ""


def test_dimensions_have_medians_and_no_viterbi():
    rows = [{"file": "x", "start": i, "end": i + 1, "valence": v} for i, v in enumerate([1, 9, 2])]
    table = PredictionTable.from_rows(rows)
    assert smooth(table, Smoothing.parse("median:3"), 1.0)["valence"].tolist() == [5.0, 2.0, 5.5]
    assert smooth(table, Smoothing.parse("viterbi:1"), 1.0)["valence"].tolist() == [1, 9, 2]
    assert len(segmented(table)) == 3


def test_segments():
    table = windows(
        ("x", 0, 12, 0.9),
        ("x", 12, 18, 0.6),
        ("x", 18, 24, 0.2),
        ("x", 30, 36, 0.2),
        ("y", 36, 40, 0.1),
        note=["near silence", "near silence; odd", "", "", ""],
        speaker=["anna"] * 5,
        disagreement=["0.1", "0.2", "", "", ""],
    )
    found = segmented(table)
    assert times(found) == [(0, 18), (18, 24), (30, 36), (36, 40)]
    assert found["label"].tolist() == ["a", "b", "b", "b"]
    assert found["p_a"][0] == pytest.approx((12 * 0.9 + 6 * 0.6) / 18)
    assert found["note"].tolist() == ["near silence; odd", "", "", ""]
    assert found["speaker"].tolist() == ["anna"] * 4
    assert found["entropy"][0] == pytest.approx(-0.8 * np.log(0.8) - 0.2 * np.log(0.2))
    assert "disagreement" not in found


def test_segments_of_windows_that_overlap_share_no_time():
    table = windows(("x", 0, 4, 0.9), ("x", 2, 6, 0.9), ("x", 4, 8, 0.1), text=["one", "two", "x"])
    found = segmented(table)
    assert times(found) == [(0, 5), (5, 8)]
    assert found["text"].tolist() == ["one two", "x"]
    assert times(meet(table)) == [(0, 3), (3, 5), (5, 8)]


def test_segments_keep_rows_without_a_label_in_their_place():
    table = windows(("x", 0, 1, 0.9), ("x", 1, 2, NAN), ("x", 2, 3, 0.9), ("y", NAN, NAN, NAN))
    found = segmented(table)
    assert found["label"].tolist() == ["a", "", "a", ""]
    assert times(found)[:3] == [(0, 1), (1, 2), (2, 3)]


def test_segments_after_viterbi_keep_its_labels():
    table = windows(*[("x", i, i + 1, p) for i, p in enumerate([0.55, 0.1, 0.55])])
    smoothed = smooth(table, Smoothing.parse("viterbi:inf"), 1.0)
    assert smoothed["label"].tolist() == ["b"] * 3
    found = segmented(smoothed)
    assert (found["label"].tolist(), found["p_a"].tolist()) == (["b"], [pytest.approx(0.4)])


def test_figures_of_segments_are_means():
    table = windows(("x", 0, 3, 0.9), ("x", 3, 4, 0.9), valence=[1.0, 5.0], avg_logprob=[NAN, -1])
    found = segmented(table)
    assert (found["valence"].tolist(), found["avg_logprob"].tolist()) == ([2.0], [-1.0])


def test_an_empty_table():
    table = PredictionTable.from_rows([])
    assert len(smooth(table, Smoothing.parse("median:3"), 1.0)) == len(segmented(table)) == 0
