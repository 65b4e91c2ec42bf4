"""The readable table on terminals of any width, and what help shows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.cli.render import prediction_table, shorten_middle
from emocli.table import PredictionTable

NAMES = ["sessions/one/Ses01F_impro01_F000.wav", "b.wav", "日本語の録音ファイルその一番目.wav"]


def lines(width, **columns):
    table = PredictionTable.from_columns(
        {
            "file": NAMES,
            "model": ["m"] * 3,
            "label": ["angry", "sad", "angry"],
            "p_angry": [0.9, 0.4, 0.6],
            "p_sad": [0.1, 0.6, 0.4],
            **columns,
        }
    )
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as shown:
        console.print(prediction_table(table))
    return shown.get().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_each_row_is_a_line_that_fits(width):
    note = "near silence (-72 dBFS), clipping (3 % of samples), very short"
    shown = lines(width, note=[note, "", note])
    assert len(shown) == 2 + len(NAMES)
    assert max(map(cell_len, shown)) <= width


def test_names_are_cut_in_the_middle_and_remarks_at_the_end():
    shown = lines(80, note=["near silence (-72 dBFS), clipping (3 % of samples)", "", ""])
    assert shown[2] == (
        "sessio…pro01_F000.wav  angry    90%    0.325       0.435  near silence (-72 dBF…"
    )


def test_names_that_fit_are_whole():
    assert [line.split("  ")[0] for line in lines(120)[2:]] == NAMES


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab/é日本 ", max_size=40), st.integers(3, 40))
def test_a_shortened_text_fits_and_keeps_its_ends(text, cells):
    shortened = shorten_middle(text, cells)
    assert cell_len(shortened) <= cells
    if cell_len(text) <= cells:
        assert shortened == text
    else:
        head, _, tail = shortened.partition("…")
        assert text.startswith(head)
        assert text.endswith(tail)


@pytest.mark.parametrize("command", [["eval"], ["models"], ["models", "show"], ["predict"]])
def test_help_shows_switches_as_switches(command):
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "100"}).stdout
    assert "<bool>" not in shown
    assert "<list" not in shown
    assert "--help" in shown
