"""Whatever a table says, it stays text: in the page's data, in its HTML, and in its pictures."""

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from emocli.report import svg
from emocli.report.page import text as page_text
from emocli.report.rows import as_script

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=30)


class Tags(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.found = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)


@given(st.lists(ANYTHING))
def test_data_comes_back_as_it_was_and_ends_no_element(values):
    written = as_script(values)
    assert not set("<>&") & set(written)
    assert json.loads(written) == values


@given(ANYTHING)
def test_text_of_a_page_makes_no_element(content):
    assert Tags(f"<p>{page_text(content)}</p>").found == ["p"]
    assert Tags(f'<p title="{page_text(content)}"></p>').found == ["p"]


@given(ANYTHING, ANYTHING)
def test_every_drawing_is_well_formed(content, class_):
    body = svg.label(0, 0, content, class_=class_) + svg.title(content)
    root = ET.fromstring(svg.as_file(svg.Drawing(10, 10, body, content), content))
    assert [node.tag.split("}")[1] for node in root.iter()].count("text") == 2


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_lie_inside_and_rise(low, extent, n):
    found = svg.ticks(low, low + extent, n)
    assert found == sorted(set(found))
    assert all(low - extent * 1e-6 <= tick <= low + extent * (1 + 1e-6) for tick in found)
