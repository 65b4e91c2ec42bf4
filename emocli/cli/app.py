"""The command group: commands are imported when they are called, and errors end here."""

import importlib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from emocli.cli import COMMANDS, overview
from emocli.cli.declared import Declared, Group, Misuse, Option
from emocli.errors import EmocliError

ARGUMENTS = "emocli.arguments"
"""Key of the context's ``meta`` under which a command finds its command line."""
_settling: list[BaseException] = []
"""The error that the next command is to raise instead of running."""
_SETTINGS = {"help_option_names": ["-h", "--help"]}


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same end as Ctrl-C, with a status of its own."""


def _terminate(number: int, frame: object) -> None:
    raise Terminated


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
    if isinstance(found, Group):
        group = typer.Typer(no_args_is_help=True, help=found.about, context_settings=_SETTINGS)
        for each, function in found.commands.items():
            group.command(each)(_as_typer_reads_it(function))
        return get_command(group)
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name, context_settings=_SETTINGS)(_as_typer_reads_it(found))
    return get_command(single)


def _as_typer_reads_it(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose options are typer's own."""
    signature = inspect.signature(function)
    parameters = [
        one.replace(annotation=_typer_annotation(one.annotation))
        for one in signature.parameters.values()
    ]

    def run(**values: Any) -> Any:
        try:
            if _settling:
                raise _settling.pop()
            return function(**values)
        except Misuse as error:
            raise typer.BadParameter(error.sentence, param_hint=error.hint) from None

    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def _typer_annotation(annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, declared = get_args(annotation)
    if not isinstance(declared, Declared):
        return annotation
    form = typer.Option if isinstance(declared, Option) else typer.Argument
    return Annotated[kind, form(*declared.flags, **declared.settings)]


def settle(error: BaseException, arguments: Sequence[str]) -> None:
    """End as typer does where a command stops with an error: its sentence, its exit status.

    Args:
        error: what a command that `emocli.cli.quick` has read raised.
        arguments: its command line.
    """
    _settling.append(error)
    app(args=list(arguments), prog_name="emocli")


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings=_SETTINGS,
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
