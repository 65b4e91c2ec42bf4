"""The page in a headless Chromium: it sorts, filters, opens, plays, and runs nobody else's code."""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from emocli.cli.app import app

HOSTILE = "<script>alert(1)<img src=x onerror=alert(2)>.wav"
LABELS = ("angry", "happy", "neutral", "sad")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="module")
def chromium():
    place = shutil.which("chromium") or shutil.which("chromium-browser")
    if place is None:
        pytest.skip("no chromium on this machine; install it to test the report in a browser")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright; pip install playwright"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=place, args=list(SWITCHES))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of a playable file with a hostile name, a long recording, and 120 others."""
    folder = tmp_path_factory.mktemp("report")
    tone = 0.1 * np.sin(np.arange(8000) * 0.3)
    soundfile.write(folder / HOSTILE, tone, 8000)
    rng = np.random.default_rng(7)
    rows = [[HOSTILE, 0, 1, "m", 0.97, 0.01, 0.01, 0.01, HOSTILE, "s1"]]
    for turn in range(6):
        probs = rng.dirichlet(np.ones(4))
        rows.append(["talk.wav", turn * 12, turn * 12 + 12, "m", *probs, "", "s2"])
    for turn in range(120):
        probs = rng.dirichlet(np.ones(4))
        rows.append([f"clips/{turn}.wav", 0, 3, "m", *probs, f"sentence {turn}", f"s{turn % 5}"])
    head = ["file", "start", "end", "model", *(f"p_{name}" for name in LABELS), "text", "speaker"]
    with open(folder / "p.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])
    truth = [[row[0], row[1], row[2], LABELS[int(rng.integers(4))]] for row in rows]
    truth[0][3] = "sad"
    with open(folder / "t.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([["file", "start", "end", "emotion"], *truth])
    page = folder / "r.html"
    source = ("report", str(folder / "p.csv"), "--truth", str(folder / "t.csv"))
    options = ("--draws", "0", "-o", str(page), "-q", "--title", HOSTILE)
    done = CliRunner().invoke(app, [*source, *options])
    assert done.exit_code == 0, done.stderr
    return page


@pytest.fixture
def page(chromium, report):
    """The opened page; whatever it complains of, and whoever speaks up, fails the test."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    opened = context.new_page()
    complaints, asked = [], []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("file://")] == []


def names(page):
    return page.eval_on_selector_all(
        "#table tr.row td.file button", "nodes => nodes.map(node => node.textContent)"
    )


def test_it_opens_with_pages_of_rows_and_fits_a_phone(page):
    assert page.inner_text("#count") == "127 rows"
    assert len(names(page)) == 50
    page.click("#next")
    page.click("#next")
    assert page.inner_text("#page") == "101–127"
    assert page.is_disabled("#next")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_stay_text(page):
    assert names(page)[0] == HOSTILE
    assert page.inner_text("h1") == HOSTILE
    page.click("#table tr.row td.file button >> nth=0")
    assert HOSTILE in page.inner_text("tr.detail")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2


def test_it_sorts_by_menu(page):
    page.select_option("#order", "share")
    assert names(page)[0] == HOSTILE
    page.select_option("#order", "entropy")
    entropy = page.evaluate("JSON.parse(document.getElementById('data').textContent).rows.entropy")
    shown = page.eval_on_selector_all("#table tr.row", "rows => rows.map(row => +row.dataset.row)")
    assert [entropy[row] for row in shown] == sorted(entropy, reverse=True)[:50]
    page.click("#flip")
    shown = page.eval_on_selector_all("#table tr.row", "rows => rows.map(row => +row.dataset.row)")
    assert [entropy[row] for row in shown] == sorted(entropy)[:50]


def test_it_sorts_by_heading(page):
    page.set_viewport_size({"width": 1280, "height": 800})
    page.click("th button >> text=Recording")
    first = names(page)
    page.click("th button >> text=Recording")
    assert page.get_attribute("th[aria-sort]", "aria-sort") == "descending"
    assert names(page)[0] == "talk.wav"
    assert first[0] == HOSTILE
    assert first[1:4] == ["clips/0.wav", "clips/1.wav", "clips/2.wav"]  # 2 comes before 10


def test_it_filters_by_words_label_and_verdict(page):
    page.fill("#search", "sentence 11")
    assert page.inner_text("#count") == "11 rows"
    page.fill("#search", "SENTENCE 117")
    assert names(page) == ["clips/117.wav"]
    page.fill("#search", "")
    page.select_option("#show", "wrong")
    page.select_option("#label", "0")
    assert HOSTILE in names(page)
    assert page.locator("td.truth .right").count() == 0
    page.select_option("#show", "right")
    assert page.locator("td.truth .wrong").count() == 0


def test_it_plays_a_recording(page):
    assert page.locator("td.play button").count() == 1
    page.click("td.play button")
    page.evaluate(  # not wait_for_function, which evaluates strings, which the page forbids
        """() => new Promise((done) => {
            audio.addEventListener("timeupdate", () => audio.currentTime > 0 && done());
        })"""
    )
    assert page.evaluate("audio.error") is None
    assert page.evaluate("audio.duration") == pytest.approx(1.0, abs=0.01)
    assert page.inner_text("#playing").startswith(HOSTILE)
    page.click("#stop")
    assert page.evaluate("audio.paused")


def test_a_point_opens_its_row(page):
    svg = page.locator("svg[data-kind=scatter]")
    place = svg.evaluate(
        """(svg) => {
            const { rows } = JSON.parse(document.getElementById("data").textContent);
            const pixel = (text, value) => {
                const [low, high, start, stop] = text.split(" ").map(Number);
                return start + (value / 1000 - low) / (high - low) * (stop - start);
            };
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
            return { x: pixel(svg.dataset.x, rows.entropy[0]) * scale,
                     y: pixel(svg.dataset.y, rows.varentropy[0]) * scale };
        }"""
    )
    svg.hover(position=place)
    page.wait_for_selector("#hint:not([hidden])")
    assert page.inner_text("#hint") == f"{HOSTILE} · 0:00.0–0:01.0 · angry 97%"
    svg.click(position=place)
    assert page.get_attribute("tr.open", "data-row") == "0"
    assert page.locator("tr.detail .chance").count() == 4


def test_a_moment_opens_its_window(page):
    svg = page.locator("svg[data-kind=timeline]")
    box = svg.bounding_box()
    svg.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.3})
    assert "talk.wav" in page.inner_text("tr.open")
    assert page.inner_text("tr.open .times") in ("0:24.0–0:36.0", "0:36.0–0:48.0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_from_their_ground(chromium, report, scheme):
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    ink, ground = (
        [
            int(part)
            for part in page.evaluate(f"getComputedStyle(document.body).{name}")[4:-1].split(",")
        ]
        for name in ("color", "backgroundColor")
    )
    context.close()
    assert contrast(ink, ground) > 10


def contrast(first, second):
    """The contrast ratio of two colours as WCAG 2 defines it, from 1 to 21."""
    lights = []
    for colour in (first, second):
        linear = [
            part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4
            for part in colour
        ]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
