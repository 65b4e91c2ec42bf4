"""The page: its data, its policy, and that nothing in a table can get out of its place."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from emocli.report.content import Card, Report, System
from emocli.report.page import build_page
from emocli.report.rows import as_script, page_data
from emocli.table import PredictionTable

HOSTILE = "</script><script>alert(1)</script>.wav"


def system(columns, **more):
    rows = PredictionTable.from_columns(columns)
    unsure = np.zeros(len(rows), dtype=bool)
    return System(**{"table": "t.csv", "model": "m", "rows": rows, "unsure": unsure,
                     "labels": rows.labels} | more)  # fmt: skip


def two_rows(**more):
    return system({"file": [HOSTILE, "b.wav"], "p_angry": [0.9, 0.25], "p_sad": [0.1, 0.75]} | more)


def page_of(*systems, **more):
    return build_page(Report("Heading", tuple(systems), **more)).decode()


class Elements(HTMLParser):
    """The elements of a page, and the text of scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_rows_are_rounded_and_indexed():
    data = page_data(Report("h", (two_rows(start=[0, 1.5], end=[1.5, 3.0]),)))
    assert data["labels"] == ["angry", "sad"]
    assert data["slots"] == (0, 3)
    assert data["rows"]["p"] == [[900, 250], [100, 750]]
    assert data["rows"]["label"] == [0, 1]
    assert data["rows"]["truth"] == [-1, -1]
    assert data["rows"]["end"] == [1500, 3000]
    assert data["rows"]["entropy"] == [325, 562]
    assert data["audio"] == [0, 0]
    assert data["hasTruth"] is False


def test_missing_figures_are_null_and_empty_columns_are_nothing():
    data = page_data(Report("h", (system({"file": ["a", "b"], "p_sad": [1.0, None]}),)))
    assert data["rows"]["p"] == [[1000, None]]
    assert data["rows"]["start"] == []
    assert data["rows"]["label"] == [0, -1]


def test_repeated_texts_are_written_once():
    columns = {"file": list("abcd"), "gender": ["f", "f", "m", "f"], "text": list("wxyz")}
    found = page_data(Report("h", (system(columns),)))["columns"]
    assert found == [
        {"name": "text", "texts": ["w", "x", "y", "z"]},
        {"name": "gender", "values": ["f", "m"], "index": [0, 0, 1, 0]},
    ]


def test_figures_of_dimensions_keep_three_decimals():
    found = page_data(Report("h", (system({"file": ["a"], "valence": [0.12345]}),)))["columns"]
    assert found == [{"name": "valence", "figures": [0.123]}]


def test_systems_with_different_labels_share_one_list():
    other = system({"file": ["b.wav"], "p_calm": [1.0]}, model="n")
    data = page_data(Report("h", (two_rows(), other)))
    assert data["labels"] == ["angry", "sad", "calm"]
    assert data["rows"]["p"][2] == [None, None, 1000]
    assert data["rows"]["system"] == [0, 0, 1]
    assert data["rows"]["file"] == [0, 1, 1]


def test_audio_beside_the_page_is_named_once():
    report = Report("h", (two_rows(),), audio={"b.wav": "b.wav", HOSTILE: "x/y.wav"})
    assert page_data(report)["audio"] == ["x/y.wav", 1]


def test_no_character_ends_the_script_element():
    text = as_script(["</script>", "<!--", "\u2028", "&"])
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == ["</script>", "<!--", "\u2028", "&"]


def test_hostile_names_add_no_element():
    card = Card(HOSTILE, (("licence", HOSTILE),), text=f"{HOSTILE}\nsecond line")
    page = page_of(
        two_rows(speaker=[HOSTILE, "s"], text=[HOSTILE, ""]),
        warnings=(HOSTILE,),
        commands=(HOSTILE,),
        cards=(card,),
        made=HOSTILE,
    )
    found = Elements(page)
    assert [attributes for tag, attributes in found.tags if tag == "script"] == [
        {"type": "application/json", "id": "data"},
        {},
    ]
    assert data_of(page)["files"] == [HOSTILE, "b.wav"]
    assert not [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]
    assert not [1 for _, attributes in found.tags if "style" in attributes]


def test_a_name_that_is_no_unicode_survives():
    page = build_page(Report("\udcff", (system({"file": ["\udcff.wav"], "p_sad": [1.0]}),)))
    assert data_of(page.decode())["files"] == ["\udcff.wav"]


def test_the_policy_allows_this_style_and_this_script_alone():
    page = page_of(two_rows())
    policy = next(a["content"] for tag, a in Elements(page).tags if "http-equiv" in a)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    for name, content in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_nothing_is_fetched():
    page = page_of(two_rows())
    attributes = [
        (name, value) for _, found in Elements(page).tags for name, value in found.items()
    ]
    assert not [pair for pair in attributes if pair[0] in {"src", "href", "srcset", "data"}]
    assert "@import" not in page
    assert "url(" not in page


def test_the_summary_counts():
    page = page_of(two_rows(error=["", "broken"]))
    assert "2 predictions of 2 recordings." in page
    assert "<dt>Predictions</dt><dd>1<small>2 recordings, 1 failed</small>" in page


def test_several_models_get_buttons():
    page = page_of(two_rows(), system({"file": ["b.wav"], "p_calm": [1.0]}, model="n"))
    assert "3 predictions of 2 recordings by 2 models." in page
    assert page.count('<button type="button" aria-pressed') == 2


@pytest.mark.parametrize("n", [10_000])
def test_ten_thousand_files_fit_into_three_megabytes(rng, n):
    probs = rng.dirichlet(np.ones(8), n)
    names = ("angry", "happy", "neutral", "sad", "calm", "fearful", "disgust", "surprised")
    columns = {f"p_{name}": probs[:, place] for place, name in enumerate(names)}
    columns["file"] = [f"corpus/session{i % 10}/speaker_{i % 97:03}/{i:06}.wav" for i in range(n)]
    columns["text"] = [
        f"a sentence of about fifteen words as people say them {i}" for i in range(n)
    ]
    assert len(build_page(Report("h", (system(columns),)))) < 3_000_000
