"""What is wrong with a command's other arguments is told before its pipe is read.

The command before the pipe may be at work for hours.
"""

import io

import pytest

from emocli.cli import main

GONE = "cannot be read (No such file or directory)"
NOWHERE = "cannot be written (No such file or directory), expected a folder that exists"


class Untouched(io.RawIOBase):
    """A pipe that nothing has come through yet, and that nobody should wait for."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        pytest.fail("standard input was read")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "truth.csv").write_text("file,emotion\na.wav,angry\n")
    (tmp_path / "text.csv").write_text("file,model,p_angry,p_sad\na.wav,words,0.5,0.5\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Untouched())))


def told(command: str, capsys) -> str:
    """What a command says that ends with status 1."""
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (1, "")
    return shown.err


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("eval - --truth gone.csv", f"gone.csv: {GONE}"),
        ("eval - --truth truth.csv --compare gone.csv", f"gone.csv: {GONE}"),
        ("eval - --truth truth.csv --train-table gone.csv", f"gone.csv: {GONE}"),
        ("eval - --truth truth.csv -o no/f.json", f"no/f.json: {NOWHERE}"),
        ("fuse - gone.csv", f"gone.csv: {GONE}"),
        ("fuse - text.csv --fit gone.csv", f"gone.csv: {GONE}"),
        ("fuse - text.csv --fuser gone.json", f"gone.json: {GONE}"),
        ("fuse - text.csv --calibration gone.json", f"gone.json: {GONE}"),
        ("fuse - text.csv -o no/f.csv", f"no/f.csv: {NOWHERE}"),
        ("calibrate - --truth gone.csv", f"gone.csv: {GONE}"),
        ("calibrate - --truth truth.csv -o no/c.json", f"no/c.json: {NOWHERE}"),
        ("calibrate - --apply gone.json", f"gone.json: {GONE}"),
        ("calibrate - --abstain-below 0.5 -o no/f.csv", f"no/f.csv: {NOWHERE}"),
        ("report - --truth gone.csv -o r.html", f"gone.csv: {GONE}"),
        ("report - --fuser gone.json -o r.html", f"gone.json: {GONE}"),
        ("report - -o no/r.html", f"no/r.html: {NOWHERE}"),
        ("report - --plot no/r.svg", f"no/r.svg: {NOWHERE}"),
        ("judge - --dry-run --truth gone.csv", f"gone.csv: {GONE}"),
        ("judge - --dry-run --compare text.csv --compare gone.csv", f"gone.csv: {GONE}"),
        ("judge - --dry-run --reference gone.json", f"gone.json: {GONE}"),
        ("judge - --dry-run -o no/j.csv", f"no/j.csv: {NOWHERE}"),
        ("predict - -m builtn", "No model is called builtn"),
        ("predict - --calibration gone.json", f"gone.json: {GONE}"),
        ("predict - -o no/p.csv", f"no/p.csv: {NOWHERE}"),
        ("transcribe - -o no/t.csv", f"no/t.csv: {NOWHERE}"),
        ("eval - - --truth truth.csv", "- is given 2 times and stands for standard input"),
        ("eval - --truth -", "- is given 2 times and stands for standard input"),
    ],
)
def test_it_is_told_at_once(capsys, command, sentence):
    assert told(command, capsys).startswith(f"emocli: {sentence}")


def test_a_place_that_may_not_be_written_to(monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert told("fuse - text.csv -o f.csv", capsys) == (
        "emocli: f.csv: cannot be written (Permission denied), expected a folder that exists and "
        "may be written to. Make the folder or choose another place with -o.\n"
    )
