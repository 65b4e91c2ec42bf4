"""The command group: commands are imported when they are called, and errors end here."""

import importlib
import os
import signal
import sys
import threading
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup
from typer.main import get_command

from emocli.cli import COMMANDS, SETTINGS, overview
from emocli.errors import EmocliError

ARGUMENTS = "emocli.arguments"
"""Key of the context's ``meta`` under which a command finds its command line."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same end as Ctrl-C, with a status of its own."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


class _PlainHelp:
    """Help that shows a type only where a value is typed after an option."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters; typer would write ``<bool>`` behind switches and a type after names."""
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for one in parameters:
            if isinstance(one, TyperArgument) or getattr(one, "is_flag", False):
                vars(one)["display_type_rich"] = lambda ctx: None
        return parameters


class Command(_PlainHelp, TyperCommand):
    """A command that does something."""


class Subgroup(_PlainHelp, TyperGroup):
    """A command that consists of commands."""


class CommandGroup(TyperGroup):
    """Commands that are imported when they are called, and the boundary where errors end."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in with the command's summary, enough for completion."""
        if cmd_name not in COMMANDS:
            return None
        _, panel, summary = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=summary, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, imported; a typing error gets the nearest name."""
        ctx.meta[ARGUMENTS] = list(args)
        self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name else None, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The same overview that `emocli.cli.main` prints without this module."""
        formatter.write(overview())

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what goes wrong for a known reason becomes one line and a status."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except EmocliError as error:
            from emocli.cli.console import complain

            complain(str(error))
            raise typer.Exit(error.exit_status) from None
        except Terminated:
            raise typer.Exit(128 + signal.SIGTERM) from None
        except BrokenPipeError:
            # The reader has what it wanted (`| head`). Python would complain once more when it
            # flushes standard output at exit, so what is left goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None


def load_command(name: str) -> Any:
    """The imported command of a name in `emocli.cli.COMMANDS`."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        found.info.cls = Subgroup
        for one in found.registered_commands:
            one.cls = Command
        return get_command(found)
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name, cls=Command, context_settings=SETTINGS)(found)
    return get_command(single)


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings=SETTINGS,
    rich_markup_mode="markdown",
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
    """Emotion in speech: predictions, and how sure they are."""
