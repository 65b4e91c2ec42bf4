"""The command line as a whole: help, typing errors, streams and where output goes."""

import io
import subprocess
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from emocli.cli import COMMANDS, main, overview
from emocli.cli.app import app, load_command
from emocli.cli.console import Talk, choose_format, emit, plain, printable
from emocli.cli.options import batch_size_of
from emocli.cli.render import prediction_table
from emocli.errors import TableError
from emocli.table import PredictionTable


def shell(command: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=120, **options
    )


def test_help_lists_every_command(capsys):
    main(["--help"])
    shown = capsys.readouterr().out
    assert shown == overview() + "\n"
    for name, (_, _, purpose) in COMMANDS.items():
        assert f"  {name:<12}{purpose}" in shown


def test_no_arguments_and_short_help_say_the_same(capsys):
    for arguments in ([], ["-h"]):
        main(arguments)
        assert capsys.readouterr().out == overview() + "\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    done = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert "emocli " + name in done.stdout.replace("Usage: emocli " + name, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_the_command_s_own_help_says(name):
    helped = load_command(name).help or ""
    assert helped.splitlines()[0] == COMMANDS[name][2]


def test_version():
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, "emocli 0.1.0\n")


def test_a_typing_error_gets_the_nearest_command():
    done = CliRunner().invoke(app, ["predct"])
    assert done.exit_code == 2
    assert "No such command 'predct'. Did you mean 'predict'?" in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_is_a_usage_error():
    done = CliRunner().invoke(app, ["predict", "--modell", "x", "a.wav"])
    assert done.exit_code == 2
    assert "No such option: --modell" in done.stderr


def test_control_characters_are_shown_not_sent():
    assert printable("a\x1b[31m\n.wav") == "a\\x1b[31m\\n.wav"
    assert plain("[bold]a.wav") == "\\[bold]a.wav"


def test_colours_where_they_are_asked_for(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Talk().warn("[x] is odd")
    Talk(verbose=True).detail("so")
    warned, told = capsys.readouterr().err.splitlines()
    assert warned == "\x1b[1;33mwarning:\x1b[0m [x] is odd"
    assert told == "\x1b[2mso\x1b[0m"


def test_the_suffix_decides_the_form():
    assert choose_format("t.jsonl", None) == "jsonl"
    assert choose_format("t.txt", "csv") == "csv"
    with pytest.raises(TableError) as caught:
        choose_format("t.txt", None)
    assert str(caught.value) == (
        "t.txt: suffix .txt names no table format, expected one of .csv, .tsv, .json, .jsonl, "
        ".parquet. Rename the file or add -f."
    )


def test_a_suffix_and_a_form_that_contradict_one_another():
    with pytest.raises(TableError) as caught:
        choose_format("t.json", "csv")
    assert str(caught.value) == (
        "t.json: its suffix says json and -f says csv, expected one form. Leave out -f or rename "
        "the file."
    )


def test_a_full_disk_behind_standard_output():
    done = shell("printf 'file,p_a,p_b\\na.wav,0.5,0.5\\n' | emocli calibrate - "
                 "--abstain-below 0.1 -f csv > /dev/full")  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "emocli: standard output: cannot be written (No space left on device), expected room for "
        "the table. Free some space or choose another place with -o."
    )
    done = shell("printf 'file,p_a,p_b\\na.wav,0.5,0.5\\n' | emocli calibrate - "
                 "--abstain-below 0.1 -f csv -o /dev/full")  # fmt: skip
    assert done.stderr.splitlines()[-1].startswith("emocli: /dev/full: cannot be written (No space")


WIDTHS = {
    90: "file  label  probability  entropy  varentropy  text  remarks",
    76: "file  label  probability  entropy  varentropy  remarks",
    72: "file  label  prob.  entropy  varentropy  remarks",
    62: "file  label  prob.  entropy  varentropy  remarks",
    50: "file  label  prob.  entropy  remarks",
    34: "file  label  prob.  remarks",
}


@pytest.mark.parametrize(("width", "headings"), WIDTHS.items())
def test_a_narrow_terminal_has_fewer_columns_and_whole_numbers(width, headings):
    table = PredictionTable.from_rows([
        {"file": "a-recording.wav", "p_angry": 0.26, "p_happy": 0.74, "text": "well then"},
        {"file": "b.wav", "p_angry": 0.5, "p_happy": 0.5, "text": "", "note": "clipped 0.1 s"},
    ])  # fmt: skip
    page = Console(width=width, file=io.StringIO(), color_system=None)
    page.print(prediction_table(table))
    lines = page.file.getvalue().splitlines()
    assert lines[0].split() == headings.split()
    assert "74%" in lines[2]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_of_transcripts_shows_them_at_any_width(width):
    said = "He had not seen the harbour for eleven years, and nothing in it was as before."
    page = Console(width=width, file=io.StringIO(), color_system=None)
    page.print(prediction_table(PredictionTable.from_rows([{"file": "a.wav", "text": said}])))
    lines = page.file.getvalue().splitlines()[2:]
    assert " ".join(" ".join(lines).replace("a.wav", "").split()) == said


def test_a_readable_table_in_a_file(tmp_path):
    table = PredictionTable.from_rows([{"file": "a.wav", "p_sad": 0.9, "p_happy": 0.1}])
    emit(table, str(tmp_path / "t.txt"), "table", prediction_table)
    assert (tmp_path / "t.txt").read_text().splitlines()[2].split() == [
        "a.wav", "sad", "█████████", "90%", "0.325", "0.435",
    ]  # fmt: skip


def test_parquet_is_not_sent_to_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(TableError) as caught:
        emit(PredictionTable.from_rows([{"file": "a"}]), "-", "parquet", prediction_table)
    assert str(caught.value) == (
        "Parquet is binary and standard output is a terminal, expected a file or a pipe. "
        "Add -o FILE."
    )


def test_batch_size():
    assert batch_size_of("auto") is None
    assert batch_size_of("8") == 8
    for wrong in ("0", "-1", "many"):
        with pytest.raises(typer.BadParameter) as caught:
            batch_size_of(wrong)
        assert str(caught.value) == f"{wrong!r} is neither auto nor a whole number above 0"


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    rows = "".join(f"{i}.wav,a text that fills the pipe,{i}\n" for i in range(30000))
    (tmp_path / "t.csv").write_text("file,text,n\n" + rows)
    done = shell(
        f"set -o pipefail; {sys.executable} -m emocli fuse --method mean t.csv t.csv | head -n 1",
        cwd=tmp_path,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
