"""Plain command lines: read as typer reads them, and without loading it."""

import functools
import inspect
import json
import subprocess
import sys
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from emocli.cli import TABLE_COMMANDS
from emocli.cli import app as app_module
from emocli.cli.declared import Argument, Group
from emocli.cli.eval import evaluate
from emocli.cli.fuse import fuse
from emocli.cli.models import app as models
from emocli.cli.quick import NotPlain, Parameter, read

WORDS = ["a.csv", "-", "uar=0.5", "", "angry,sad", "mean", "stem", "json", "0", "3", "0.25", "1e-3"]
COMMANDS = {"fuse": fuse, "eval": evaluate, **models.commands}


def as_typer_reads(function, words):
    """The values that typer hands to a command, None where it refuses."""
    seen = {}

    @functools.wraps(function)
    def note(**values):
        seen.update(values)

    single = app_module.typer.Typer(add_completion=False)
    single.command("it")(app_module._as_typer_reads_it(note))
    done = CliRunner().invoke(single, words)
    return seen if done.exit_code == 0 else None


def lines(function):
    """Command lines of known options in any order, with values that may fit or not."""
    parameters = [Parameter(one) for one in inspect.signature(function).parameters.values()]
    options = [one for one in parameters if not isinstance(one.declared, Argument)]
    kinds = {flag: one.kind for one in options for flag in one.flags}
    needed = ["a.csv"]
    for one in options:
        if one.default is inspect.Parameter.empty:
            needed += [one.flags[0], "t.csv"]

    def words(flag):
        if kinds[flag] is bool:
            return st.just([flag])
        fitting = list(kinds[flag]) if issubclass(kinds[flag], Enum) else WORDS
        value = st.sampled_from(fitting).map(str) | st.sampled_from(WORDS)
        return value.map(lambda text: [flag, text]) | value.map(lambda text: [f"{flag}={text}"])

    typed = st.sampled_from(list(kinds)).flatmap(words)
    placed = st.sampled_from(WORDS).map(lambda word: [word])
    parts = st.lists(typed | placed, max_size=4)
    return parts.map(lambda parts: [*needed, *(word for part in parts for word in part)])


@pytest.mark.parametrize("name", ["fuse", "eval", "show", "pull"])
def test_what_is_read_is_what_typer_reads(name, monkeypatch):
    for variable in ("EMOCLI_FORMAT", "EMOCLI_QUIET", "EMOCLI_VERBOSE"):
        monkeypatch.delenv(variable, raising=False)
    function = COMMANDS[name]
    n_plain = 0

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(lines(function))
    def check(words):
        nonlocal n_plain
        try:
            values = read(function, words)
        except NotPlain:
            return
        n_plain += 1
        expected = as_typer_reads(function, words)
        assert values == expected
        assert [type(values[one]) for one in values] == [type(expected[one]) for one in values]

    check()
    assert n_plain > 10


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["a.csv", "--methd", "mean"],
        ["a.csv", "--method", "median"],
        ["a.csv", "--method"],
        ["a.csv", "--method", "--quiet"],
        ["a.csv", "--quiet=yes"],
        ["a.csv", "-ox.csv"],
        ["a.csv", "-qv"],
        ["a.csv", "--temper", "3"],
        ["a.csv", "--temper", "-1"],
        ["a.csv", "--temper", "much"],
        ["--", "a.csv"],
    ],
)
def test_everything_else_is_left_to_typer(words):
    with pytest.raises(NotPlain):
        read(fuse, words)


def test_an_environment_variable_is_left_to_typer(monkeypatch):
    monkeypatch.setenv("EMOCLI_FORMAT", "json")
    with pytest.raises(NotPlain):
        read(fuse, ["a.csv", "b.csv"])


@pytest.mark.parametrize("words", [["one"], ["one", "two", "three"]])
def test_places_that_are_not_filled_or_too_many(words):
    group = Group("two")

    @group.command("it")
    def it(first: Parameter, second: Parameter) -> None: ...

    with pytest.raises(NotPlain):
        read(it, words)


def emocli(*words, cwd):
    """A command in a process of its own, and the modules that it loaded."""
    code = (
        "import sys, json\nfrom emocli.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=cwd, check=False
    )
    *told, loaded = done.stderr.splitlines()
    return done.returncode, done.stdout, "\n".join(told), set(json.loads(loaded))


TABLE = "file,model,p_angry,p_sad\na.wav,m,0.9,0.1\nb.wav,m,0.2,0.8\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE)
    (tmp_path / "b.csv").write_text(TABLE.replace(",m,", ",n,"))
    (tmp_path / "truth.csv").write_text("file,emotion\na.wav,angry\nb.wav,sad\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "also"),
    [
        (["fuse", "a.csv", "b.csv"], set()),
        (["eval", "a.csv", "--truth", "truth.csv"], set()),
        (["models", "list"], {"numpy"}),
    ],
)
def test_what_a_command_on_tables_does_not_load(folder, words, also):
    status, out, _, loaded = emocli(*words, cwd=folder)
    assert (status, bool(out)) == (0, True)
    heavy = {"torch", "transformers", "typer", "click", "rich", "scipy", "sklearn", "pydantic"}
    assert loaded & (heavy | also) == set()
    assert words[0] in TABLE_COMMANDS


def test_an_error_ends_as_typer_ends_it(folder):
    status, out, told, _ = emocli("fuse", "a.csv", "none.csv", cwd=folder)
    assert (status, out) == (1, "")
    assert told == (
        "emocli: none.csv: cannot be read (No such file or directory), expected a table. "
        "Check the path."
    )


def test_a_usage_error_has_the_usage_above_it(folder):
    status, out, told, _ = emocli("fuse", "a.csv", "b.csv", "--weights", "x", cwd=folder)
    assert (status, out) == (2, "")
    assert told.startswith("Usage: emocli fuse [OPTIONS]")
    assert "Invalid value for --weights: 'x' is not a list of numbers such as 2,1" in told


def test_a_group_alone_shows_its_help(folder):
    status, out, told, _ = emocli("models", cwd=folder)
    assert status == 2
    assert "emocli models list" in out + told


def test_completion_is_left_to_typer(folder, monkeypatch):
    monkeypatch.setenv("_EMOCLI_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "emocli fuse a.csv --meth")
    monkeypatch.setenv("COMP_CWORD", "3")
    status, out, _, _ = emocli("fuse", "a.csv", "b.csv", cwd=folder)
    assert status == 0
    assert "p_angry" not in out
