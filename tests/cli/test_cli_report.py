"""``emocli report`` as users meet it: pages, single pictures, sentences and exit status."""

import json
import re
import sys
from html import escape

import numpy as np
import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.cli.report import _NEEDS, Figure
from emocli.report.gallery import KINDS

LABELS = ("angry", "happy", "neutral", "sad")
EMOTIONS = ["angry", "angry", "happy", "neutral", "sad", "sad"]
PREDICTED = ["angry", "happy", "happy", "neutral", "sad", "angry"]
FUSER = {
    "format": "emocli-fuser",
    "version": 1,
    "method": "entropy-selection",
    "emocli": "0.1.0",
    "inputs": {"speech": "m", "text": "t"},
    "labels": list(LABELS),
    "n_calibration": 9,
    "classes": {
        "angry": {"entropy": 0.9, "varentropy": 0.2, "negative": {"rule": "refer"}},
        "happy": None,
        "neutral": None,
        "sad": None,
    },
    "excluded": [],
    "transitions": {},
}


def predictions(labels, model="m", changed=None):
    rows = ["file,model," + ",".join(f"p_{name}" for name in LABELS) + ",changed"]
    for row, label in enumerate(labels):
        probs = ",".join("0.7" if name == label else "0.1" for name in LABELS)
        rows.append(f"{row}.wav,{model},{probs},{changed[row] if changed else ''}")
    return "\n".join(rows) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "p.csv").write_text(predictions(PREDICTED))
    lines = [f"{row}.wav,{name},{'aabbcc'[row]}" for row, name in enumerate(EMOTIONS)]
    (tmp_path / "t.csv").write_text("\n".join(["file,emotion,speaker", *lines]) + "\n")
    windows = ["file,start,end,model,p_angry,p_sad", "a.wav,0,5,m,0.9,0.1", "a.wav,5,9,m,0.3,0.7"]
    (tmp_path / "w.csv").write_text("\n".join(windows) + "\n")
    (tmp_path / "f.json").write_text(json.dumps(FUSER))
    return tmp_path


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, ["report", *arguments], input=stdin)


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def figures_of(page):
    return re.findall(r'<figure data-figure="([^"]+)"', page)


def test_a_page_without_truth(folder):
    (folder / "0.wav").write_bytes(b"sound")
    done = run("p.csv", "-o", "r.html")
    assert (done.exit_code, done.stdout) == (0, "")
    assert re.fullmatch(r"r\.html: 6 rows, 0\.\d MB\.\n", done.stderr)
    page = (folder / "r.html").read_text()
    assert figures_of(page) == ["labels", "scatter"]
    assert data_of(page)["audio"] == [1, 0, 0, 0, 0, 0]
    assert "<title>p.csv</title>" in page


def test_a_page_with_truth_and_thresholds(folder):
    done = run("p.csv", "--truth", "t.csv", "--fuser", "f.json", "-o", "r.html", "--draws", "20")
    assert done.exit_code == 0
    page = (folder / "r.html").read_text()
    assert figures_of(page) == [
        *("labels", "scatter", "confusion", "reliability", "risk-coverage", "speakers")
    ]
    assert "<dt>Accuracy</dt><dd>0.667<small>95%: 0." in page
    assert "angry: the text is asked from entropy 0.900 and up to varentropy 0.200" in page
    assert data_of(page)["rows"]["truth"] == [0, 0, 1, 2, 3, 3]
    assert "Intervals: jackknife over 3 speakers, Student&#x27;s t; they take the speakers" in page
    warning = (
        "Intervals rest on 3 speakers only: they are wide, and weak because they take the "
        "speakers' differences as normal."
    )
    assert f"<li>{escape(warning)}</li>" in page
    assert f"warning: {warning}\n" in done.stderr


def test_command_lines_are_on_the_page(folder):
    run("p.csv", "--truth", "t.csv", "--truth-column", "emotion", "-o", "my page.html", "-q")
    page = (folder / "my page.html").read_text()
    assert re.findall(r"<pre>(emocli .*?)</pre>", page) == [
        "emocli report p.csv --truth t.csv --truth-column emotion -o &#x27;my page.html&#x27; -q",
        "emocli eval p.csv --truth t.csv --allow-missing --ignore-extra",
    ]


def test_the_eval_line_joins_in_the_same_way(folder):
    text = (folder / "t.csv").read_text().replace("emotion", "mood")
    (folder / "t.csv").write_text(text)
    named = ("--truth-column", "mood", "--match", "stem", "--by", "speaker")
    run("p.csv", "--truth", "t.csv", *named, "-o", "r.html", "-q")
    page = (folder / "r.html").read_text()
    assert (
        "emocli eval p.csv --truth t.csv --truth-column mood --match stem --by speaker --a" in page
    )


def test_a_pipe_in_and_out(folder):
    done = run("-", "--title", "Mine", stdin=predictions(PREDICTED))
    assert done.exit_code == 0
    assert "<h1>Mine</h1>" in done.stdout
    assert done.stderr.startswith("standard output: 6 rows, ")


def test_what_is_not_judged_is_said(folder):
    (folder / "p.csv").write_text(predictions([*PREDICTED[:5]]))
    (folder / "t.csv").write_text("file,emotion\n0.wav,angry\n1.wav,angry\n9.wav,sad\n")
    done = run("p.csv", "--truth", "t.csv", "-o", "r.html", "-q")
    assert (
        "warning: m: 1 of 3 recordings in the truth have no prediction; labels and words count as "
        "wrong there.\nwarning: m: 3 predictions have no truth and are not judged.\n"
    ) in done.stderr
    (folder / "e.csv").write_text("file,model,p_sad,error\na.wav,m,1,\nb.wav,m,,broken\n")
    done = run("e.csv", "-o", "r.html", "-q")
    assert done.stderr == "warning: m: 1 of 2 rows have no prediction; the list says why.\n"


def test_recordings_inside_the_page(folder):
    (folder / "0.wav").write_bytes(b"sound")
    assert run("p.csv", "-o", "r.html", "--embed-audio", "-q").exit_code == 0
    assert data_of((folder / "r.html").read_text())["audio"][0].endswith(";base64,c291bmQ=")


@pytest.mark.parametrize("kind", ["labels", "scatter", "confusion", "reliability", "risk-coverage"])
def test_single_pictures(folder, kind):
    done = run("p.csv", "--truth", "t.csv", "--plot", "x.svg", "--figure", kind)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "x.svg").read_text().startswith("<svg ")


def test_a_picture_of_a_course(folder):
    assert run("w.csv", "--plot", "x.svg", "--figure", "timeline").exit_code == 0
    assert ">a.wav</text>" in (folder / "x.svg").read_text()


def test_a_picture_of_what_fusion_changed(folder):
    changed = ["", "", "", "", "", "sad->angry"]
    (folder / "p.csv").write_text(predictions(PREDICTED, "entropy-selection(m;t)", changed))
    done = run("p.csv", "--truth", "t.csv", "--plot", "x.svg", "--figure", "transitions", "-v")
    assert done.stderr == (
        "x.svg: What the text changed. 1 label changed: 0 corrected, 1 broken.\n"
    )


def test_the_scatter_shows_what_the_voice_says_and_what_the_text_changed(folder):
    changed = ["", "", "", "", "", "sad->angry"]
    lines = predictions(PREDICTED, "entropy-selection(m;t)", changed).splitlines()
    voice = ["speech_label", *PREDICTED[:-1], "sad"]
    rows = [f"{line},{label}" for line, label in zip(lines, voice, strict=True)]
    (folder / "p.csv").write_text("\n".join(rows) + "\n")
    assert run("p.csv", "-o", "r.html").exit_code == 0
    assert (
        "A dot for each prediction; select one to see it in the list. Colours are what the voice "
        "says. Rings: the text changed the label. Broken line: one label against equal others."
    ) in (folder / "r.html").read_text()


def test_only_the_lowest_of_many_speakers_are_drawn(folder, monkeypatch):
    monkeypatch.setattr("emocli.report.gallery.N_GROUPS", 2)
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "-o", "r.html")
    assert done.exit_code == 0
    assert (
        "Each speaker with its number of recordings, the lowest UAR first. Broken lines: means. "
        "The lowest 2 of 3."
    ) in (folder / "r.html").read_text()


def test_one_speaker_is_not_drawn_beside_others(folder):
    truth = (folder / "t.csv").read_text()
    (folder / "t.csv").write_text(re.sub(r",[abc]$", ",a", truth, flags=re.MULTILINE))
    done = run("p.csv", "--truth", "t.csv", "--draws", "0", "-o", "r.html")
    assert done.exit_code == 0
    assert "speakers" not in figures_of((folder / "r.html").read_text())


def test_png(folder):
    pytest.importorskip("resvg_py")
    assert run("p.csv", "--plot", "x.png").exit_code == 0
    content = (folder / "x.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") == 880


def test_png_without_its_package(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    done = run("p.csv", "--plot", "x.png")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: PNG needs the package resvg-py, which is not installed. Install it with pip "
        'install "emocli[plot]", or name a file that ends in .svg.\n'
    )


def test_another_form_of_picture(folder):
    done = run("p.csv", "--plot", "x.pdf")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: x.pdf: suffix .pdf names no form of picture, expected one of .svg, .png. Rename "
        "the file.\n"
    )


def test_a_picture_is_of_one_model(folder):
    (folder / "q.csv").write_text(predictions(EMOTIONS, "other"))
    done = run("p.csv", "q.csv", "--plot", "x.svg")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: --plot draws the predictions of one model, found 2: m, other. Give one table with "
        "the rows of one model.\n"
    )


@pytest.mark.parametrize(
    ("kind", "needs"),
    [(kind, need) for kind, need in _NEEDS.items() if kind not in ("labels", "scatter")],
)
def test_nothing_to_draw(folder, kind, needs):
    done = run("p.csv", "--plot", "x.svg", "--figure", kind)
    assert done.exit_code == 1
    assert done.stderr == (
        f"emocli: p.csv: nothing to draw for --figure {kind}, expected {needs}. Choose another "
        f"figure.\n"
    )


@pytest.mark.parametrize("kind", ["labels", "scatter"])
def test_nothing_to_draw_without_labels(folder, kind):
    (folder / "x.csv").write_text("file,text\na.wav,hello\n")
    done = run("x.csv", "--plot", "x.svg", "--figure", kind)
    assert done.exit_code == 1
    assert f"nothing to draw for --figure {kind}, expected {_NEEDS[kind]}." in done.stderr


def test_a_page_of_transcripts_or_dimensions(folder):
    (folder / "x.csv").write_text("file,text\na.wav,hello\n")
    assert run("x.csv", "-o", "r.html").exit_code == 0
    (folder / "d.csv").write_text("file,arousal,valence\na.wav,0.2,0.3\nb.wav,0.5,\n")
    assert run("d.csv", "-o", "r.html").exit_code == 0
    assert figures_of((folder / "r.html").read_text()) == ["scatter"]


def test_figures_have_one_list_of_names():
    assert [figure.value for figure in Figure] == list(KINDS) == list(_NEEDS)


def test_a_page_or_a_picture_but_not_both(folder):
    done = run("p.csv", "--plot", "x.svg", "-o", "r.html")
    assert done.exit_code == 2
    assert "--plot draws one picture instead of the page that -o names" in " ".join(
        done.stderr.replace("│", " ").split()
    )


def test_a_terminal_gets_no_page(folder, monkeypatch):
    monkeypatch.setattr("emocli.cli.report._is_terminal", lambda: True)
    done = run("p.csv")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: A report is a page for browsers and standard output is a terminal, expected a "
        "file or a pipe. Add -o report.html.\n"
    )


def test_a_fuser_that_is_not_there(folder):
    done = run("p.csv", "--fuser", "no.json", "-o", "r.html")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: no.json: cannot be read (No such file or directory), expected a fuser that emocli "
        "fuse --save wrote. Check the path.\n"
    )


def test_a_fuser_without_thresholds_is_said(folder):
    (folder / "q.csv").write_text(predictions(EMOTIONS, "other"))
    (folder / "t.csv").write_text((folder / "t.csv").read_text().replace("neutral", "happy"))
    fit = ["--method", "logistic", "--fit", "t.csv", "--labels", "angry,happy,sad"]
    done = CliRunner().invoke(app, ["fuse", "p.csv", "q.csv", *fit, "--save", "l.json"])
    assert done.exit_code == 0, done.stderr
    done = run("p.csv", "--fuser", "l.json", "-o", "r.html")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[0] == (
        "warning: l.json: this method has no thresholds of entropy, so none are drawn."
    )


def test_a_heavy_page_is_said(folder, monkeypatch):
    monkeypatch.setattr("emocli.cli.report.HEAVY_PAGE", 10)
    done = run("p.csv", "-o", "r.html")
    assert re.fullmatch(
        r"r\.html: 6 rows, 0\.\d MB, which phones open slowly; report fewer rows at a time\.\n",
        done.stderr,
    )


def test_models_are_compared_in_one_table(folder):
    (folder / "q.csv").write_text(predictions(EMOTIONS, "best"))
    done = run("p.csv", "q.csv", "--truth", "t.csv", "--draws", "0", "-o", "r.html")
    assert done.exit_code == 0
    page = (folder / "r.html").read_text()
    ranking = re.search(r'<section class="ranking">.*?</section>', page, re.DOTALL)[0]
    head = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', ranking)
    assert head[:3] == ["Model", "UAR", "Accuracy"]
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in ranking.split("<tr>")[2:]]
    assert [row[:3] for row in rows] == [["m", "0.750", "0.667"], ["best", "1.000", "1.000"]]
    best = re.findall(r'<td class="number( best)?">', ranking)
    marked = [head[1 + i % (len(head) - 1)] for i in np.flatnonzero(best)]
    assert marked[:2] == ["ECE", "UAR"]  # of the first model, whose errors are the smaller ones
    assert "ECE" not in marked[1:]


def test_a_figure_that_no_model_has_marks_none_as_the_best(folder):
    for name in ("d", "e", "truth"):
        (folder / f"{name}.csv").write_text("file,valence\na.wav,2\nb.wav,2\n")
    done = run("d.csv", "e.csv", "--truth", "truth.csv", "--draws", "0", "-o", "r.html")
    assert done.exit_code == 0
    page = (folder / "r.html").read_text()
    ranking = re.search(r'<section class="ranking">.*?</section>', page, re.DOTALL)[0]
    assert ranking.count('<td class="number">–</td>') == 2
    assert "best" not in ranking


def test_a_table_without_rows(folder):
    done = run("-", "-o", "r.html", stdin="file,p_sad\n")
    assert done.exit_code == 1
    assert done.stderr == (
        "emocli: standard input: no rows, expected at least one prediction. Check that the command "
        "before it found recordings.\n"
    )
