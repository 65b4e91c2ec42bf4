"""The ``emocli`` command: a group whose commands are imported when they are called.

``emocli --help`` shows names and one line each from the table below; the module of a command, and
with it everything heavy, is imported for that command alone. Here is also the one place where an
error becomes a sentence on standard error and an exit status.
"""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from emocli.errors import EmocliError

MAIN_PANEL = "Recordings in, emotions out"
MORE_PANEL = "Around them"


@dataclass(frozen=True)
class _Entry:
    """A command that is not imported yet: where it is and what ``--help`` says of it."""

    target: str
    summary: str
    panel: str


COMMANDS = {
    "predict": _Entry(
        "emocli.cli.predict:predict", "Emotions of recordings, and how sure they are.", MAIN_PANEL
    ),
    "transcribe": _Entry(
        "emocli.cli.transcribe:transcribe", "Words of recordings, by Whisper.", MAIN_PANEL
    ),
    "fuse": _Entry(
        "emocli.cli.fuse:fuse", "One prediction from several tables of the same files.", MAIN_PANEL
    ),
    "eval": _Entry(
        "emocli.cli.eval:evaluate", "How good predictions are, given the truth.", MAIN_PANEL
    ),
    "train": _Entry(
        "emocli.cli.train:train", "A model of your own, from a recipe and labels.", MORE_PANEL
    ),
    "models": _Entry(
        "emocli.cli.models:app", "Models that are known, and those on this machine.", MORE_PANEL
    ),
}


class CommandGroup(TyperGroup):
    """Commands that are imported when they are called, and the boundary where errors end."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in with the command's summary, enough for a listing."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        return TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, imported; a typing error gets the nearest name."""
        self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what goes wrong for a known reason becomes one line and a status."""
        try:
            return super().invoke(ctx)
        except EmocliError as error:
            from emocli.cli.console import complain

            complain(str(error))
            raise typer.Exit(error.exit_status) from None
        except BrokenPipeError:
            # The reader has what it wanted (`| head`). Without this, Python complains once more
            # while it flushes standard output at exit.
            sys.stdout = None
            raise typer.Exit(141) from None


def load_command(name: str) -> Any:
    """The imported command of a name in `COMMANDS`."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return get_command(found)
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name, context_settings=_SETTINGS)(found)
    return get_command(single)


_SETTINGS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings=_SETTINGS,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"emocli {version('emocli')}")
        raise typer.Exit


@app.callback()
def _group(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", is_eager=True, callback=_show_version
    ),
) -> None:
    """Emotion in speech: predictions, and how sure they are.

    Every step reads and writes the same table, so steps meet in a pipe:

        emocli predict recordings/ | emocli eval - --truth labels.csv

    Exit status: 0 all done, 1 error, 2 usage, 3 some inputs failed and the table names them,
    4 a model could not be had, 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    app(args=None if arguments is None else list(arguments), prog_name="emocli")
