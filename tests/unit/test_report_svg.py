"""Marks, scales and axes: what ends up in the SVG, and that it is SVG."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from emocli.report import palette, svg

SPACE = "{http://www.w3.org/2000/svg}"


def drawing(body="", **attributes):
    return svg.Drawing(100, 50, body, "a picture", tuple(attributes.items()))


def test_a_scale_maps_both_ends_and_the_middle():
    scale = svg.Scale(0.0, 2.0, 300.0, 100.0)
    assert scale([0.0, 1.0, 2.0]).tolist() == [300.0, 200.0, 100.0]


def test_a_scale_without_extent_stays_at_its_start():
    assert svg.Scale(1.0, 1.0, 10.0, 90.0).at(1.0) == 10.0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.0, 2.08, [0.0, 1.0, 2.0]),
        (-1.0, 1.0, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (3.0, 3.0, [3.0]),
        (0.0, 0.034, [0.0, 0.01, 0.02, 0.03]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert svg.ticks(low, high) == expected


def test_equal_dots_are_drawn_once():
    x, y = np.array([1.0, 1.1, 40.0]), np.array([2.0, 2.1, 7.26])
    assert svg.dots(x, y) == "M1 2h0M40 7.5h0"


def test_texts_and_attributes_are_escaped():
    body = svg.label(1, 2, "<b>&", "end", 'a"b')
    assert body == """<text x="1" y="2" text-anchor="end" class='a"b'>&lt;b&gt;&amp;</text>"""
    assert svg.title("\x1b]0;") == "<title>\\x1b]0;</title>"


def test_a_file_of_its_own_is_svg_with_colours():
    root = ET.fromstring(svg.as_file(drawing(svg.label(1, 2, "x & y")), "Heading <1>"))
    assert root.tag == f"{SPACE}svg"
    assert (root.get("width"), root.get("height")) == ("100", "90")
    texts = [node.text for node in root.iter(f"{SPACE}text")]
    assert texts == ["Heading <1>", "x & y"]
    assert root.find(f"{SPACE}title").text == "a picture"
    assert ".c0 { color: #d55e00; }" in root.find(f"{SPACE}style").text


def test_an_inline_drawing_has_its_attributes_and_a_summary():
    root = ET.fromstring(svg.inline(drawing(**{"data-kind": "scatter"})))
    assert root.get("viewBox") == "0 0 100 50"
    assert root.get("data-kind") == "scatter"
    assert root.get("width") is None
    assert root.get("aria-label") == "a picture"


def test_a_legend_breaks_its_line():
    body, bottom = svg.legend([("c0", "angry"), ("c1", "happy"), ("c2", "neutral")], 0, 0, 140)
    assert bottom == 40
    assert body.count("<rect") == 3


def test_shortened_names_keep_both_ends():
    assert svg.shortened("a" * 22) == "a" * 22
    assert svg.shortened("a" * 20 + "b" * 20, 9) == "aaaa…bbbb"


def test_colours_are_fixed_and_others_take_turns():
    assert palette.slots(["happy", "angry"]) == (1, 0)
    assert palette.slots(["angry"]) == (0,)
    others = [f"label{n}" for n in range(7)]
    assert palette.slots(others) == (10, 11, 12, 13, 14, 15, 10)


def test_shades_cover_the_whole_range():
    assert [palette.shade(share) for share in (0.0, 0.05, 0.55, 1.0)] == ["q0", "q0", "q5", "q9"]
