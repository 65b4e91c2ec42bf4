"""Pictures: that what they show is what the numbers say."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from emocli.report import figures, truth_figures
from emocli.report.svg import inline
from emocli.report.truth_figures import Exchange

SPACE = "{http://www.w3.org/2000/svg}"
LABELS = ("angry", "happy", "sad")


def parsed(drawing):
    return ET.fromstring(inline(drawing))


def texts(drawing):
    return [node.text for node in parsed(drawing).iter(f"{SPACE}text")]


def tips(drawing):
    return [node.text for node in parsed(drawing).iter(f"{SPACE}title")]


def rects(drawing, class_):
    return [
        {key: float(node.get(key)) for key in ("x", "y", "width", "height")}
        for node in parsed(drawing).iter(f"{SPACE}rect")
        if node.get("class") == class_
    ]


def test_label_bars_are_as_long_as_their_counts():
    drawing = figures.label_counts(LABELS, [40, 20, 0])
    angry, happy = rects(drawing, "fill c0")[0], rects(drawing, "fill c1")[0]
    assert angry["width"] == pytest.approx(2 * happy["width"], abs=0.1)
    assert "40 · 67%" in texts(drawing)
    assert "0 · 0%" in texts(drawing)


def test_true_counts_are_upright_marks():
    drawing = figures.label_counts(LABELS, [40, 20, 0], [20, 20, 20])
    marks = [node for node in parsed(drawing).iter(f"{SPACE}path") if node.get("class") == "rings"]
    assert len(marks) == 3


def test_the_scatter_carries_its_scales_and_thresholds():
    drawing = figures.entropy_scatter(
        np.array([0.1, 1.0]),
        np.array([0.2, 0.1]),
        ["angry", "sad"],
        LABELS,
        thresholds={"sad": (0.9, 0.15), "awe": (0.1, 0.1)},
        ringed=np.array([False, True]),
    )
    root = parsed(drawing)
    low, high, start, stop = map(float, root.get("data-x").split())
    assert (low, high, start, stop) == (0.0, np.log(3), figures.LEFT, figures.RIGHT)
    (ring,) = root.iter(f"{SPACE}circle")
    assert float(ring.get("cx")) == pytest.approx(start + 1.0 / high * (stop - start), abs=0.05)
    assert tips(drawing) == ["sad: the text is asked from entropy 0.900 and up to varentropy 0.150"]


def test_labels_without_a_probability_are_in_the_scatter_too():
    drawing = figures.entropy_scatter(np.array([0.1]), np.array([0.2]), ["awe"], LABELS)
    assert texts(drawing)[-1] == "awe"
    assert 'class="dots c10"' in inline(drawing)


def test_no_posterior_lies_above_the_broken_line(rng):
    from emocli import posteriors

    probs = posteriors.softmax(rng.normal(0, 3, (5000, 4)))
    entropy, limit = figures._one_against_others(4)
    reached = np.interp(posteriors.entropy(probs), entropy, limit)
    assert (posteriors.varentropy(probs) <= reached + 1e-3).all()


def test_dimensions_span_their_own_range():
    drawing = figures.dimension_scatter(
        np.array([1.0, 5.0]), np.array([0.2, 0.4]), ("valence", "arousal")
    )
    assert parsed(drawing).get("data-x").startswith("0.8 5.2 ")
    assert parsed(drawing).get("data-y").startswith("0.0 1.0 ")


def test_the_timeline_stacks_to_one_and_cuts_overlaps():
    starts, ends = np.array([0.0, 8.0, 30.0]), np.array([12.0, 20.0, 40.0])
    probs = np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [np.nan] * 3])
    drawing = figures.timeline(starts, ends, probs, LABELS, ["angry", "happy", ""])
    stacked = re.findall(r'<path d="([^"]+z)" class="fill c0"/>', inline(drawing))[0]
    first = re.match(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)", stacked).groups()
    x0, y0, x1, y1 = map(float, first)
    scale = (figures.RIGHT - figures.LEFT) / 40.0
    assert (x0, x1) == pytest.approx((figures.LEFT, figures.LEFT + 10 * scale), abs=0.1)
    assert (y1 - y0) == pytest.approx(0.5 * (176 - 44), abs=0.1)
    assert texts(drawing)[-2:] == ["angry", "happy"]  # sad has no share, so no entry


def test_clock_ticks():
    assert figures.time_ticks(0.0, 90.0) == [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0]
    assert figures.clock(3599.6) == "1:00:00"


def test_confusion_shows_shares_of_the_row_and_skips_rows_without_truth():
    counts = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 1]])
    drawing = truth_figures.confusion(LABELS, counts)
    assert "angry predicted as happy: 1 of 4, 25%" in tips(drawing)
    assert "sad predicted as none: 1 of 4, 25%" in tips(drawing)
    assert len(tips(drawing)) == 8
    assert texts(drawing).count("75%") == 1


def test_confusion_without_missing_predictions_has_no_column_for_them():
    drawing = truth_figures.confusion(LABELS, np.eye(3, 4, dtype=np.int64))
    assert "none" not in texts(drawing)


def test_many_long_labels_are_written_aslant():
    labels = [f"a rather long emotion {n}" for n in range(9)]
    drawing = truth_figures.confusion(labels, np.eye(9, 10, dtype=np.int64))
    assert inline(drawing).count("rotate(-38)") == 9


def test_reliability_bins_by_hand():
    confidence = np.array([0.61, 0.65, 0.95, 0.95])
    drawing = truth_figures.reliability(confidence, np.array([True, False, True, True]))
    assert tips(drawing) == [
        "confidence 0.63, accuracy 0.50, 2 predictions",
        "confidence 0.95, accuracy 1.00, 2 predictions",
    ]
    assert drawing.summary == "Expected calibration error 0.0900 in 15 bins."
    assert len(rects(drawing, "fill bad pale")) == 1  # only the first claims too much


def test_risk_curves_name_their_areas():
    right = np.array([True, True, False, False])
    drawing = truth_figures.risk_curves({"probability": np.array([0.9, 0.8, 0.7, 0.6])}, right)
    # errors of the surest k: 0, 0, 1/3, 1/2
    assert texts(drawing)[-1] == f"probability, AURC {(1 / 3 + 1 / 2) / 4:.4f}"
    assert drawing.summary.startswith("Error rate 50.0% of all")


def test_groups_mark_each_value_once():
    drawing = truth_figures.groups(["a", ""], [10, 2000], {"UAR": [0.5, 0.75]}, {"UAR": 0.6})
    assert tips(drawing) == ["a: 0.500", ": 0.750"]
    assert {"a 10", "(empty) 2,000", "40%", "80%"} <= set(texts(drawing))


def test_transitions_tell_their_worth():
    drawing = truth_figures.transitions([Exchange("angry", "sad", 9, 5, 3)])
    assert tips(drawing) == [
        "angry → sad: 5 corrected",
        "angry → sad: 1 without effect on the score",
        "angry → sad: 3 broken",
    ]


def test_transitions_without_truth_are_counts():
    drawing = truth_figures.transitions([Exchange("angry", "sad", 9)])
    assert tips(drawing) == ["angry → sad: 9 made"]
    assert texts(drawing) == ["angry → sad", "9"]
