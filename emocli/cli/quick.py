"""Plain command lines, read without typer.

A command line is plain if every word is one that the command declares, every value is there and of
its type, and no environment variable takes part. Whatever is not plain is left to typer, which
alone decides what is an error and how it is told.
"""

import gc
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from emocli.cli import COMMANDS
from emocli.cli.declared import Argument, Declared, Group, Misuse, Option
from emocli.errors import EmocliError

_WHOLE = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_READ = {"flags", "min", "max", "metavar", "help", "rich_help_panel", "envvar"}
"""Settings that are understood here, or that do not matter for reading."""


class NotPlain(Exception):
    """The command line has to be read by typer."""


def run_plain(given: Sequence[str]) -> bool:
    """Run a plain command line; what goes wrong ends as typer would end it.

    Args:
        given: the words after ``emocli``; the first one is in `emocli.cli.COMMANDS`.

    Returns:
        False where nothing was run, because typer has to read the words.
    """
    if "_EMOCLI_COMPLETE" in os.environ:
        return False
    gc.disable()  # nothing that is imported is ever garbage
    try:
        function, words = _command(given)
        values = read(function, words)
    except NotPlain:
        return False
    finally:
        gc.freeze()
        gc.enable()
    try:
        function(**values)
    except (EmocliError, Misuse, BrokenPipeError, KeyboardInterrupt) as error:
        from emocli.cli.app import settle

        settle(error, given)
    return True


def _command(given: Sequence[str]) -> tuple[Callable[..., None], Sequence[str]]:
    """The function of a command or of a group's command, and the words that are left for it."""
    module, _, attribute = COMMANDS[given[0]][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Group):
        return found, given[1:]
    if len(given) < 2 or given[1] not in found.commands:
        raise NotPlain
    return found.commands[given[1]], given[2:]


class Parameter:
    """One parameter of a command.

    Attributes:
        name: as the function calls it.
        kind: type of one value.
        many: whether values add up to a list.
        default: its value where nothing is typed; ``inspect.Parameter.empty`` if it is required.
        declared: what was declared for it.

    Raises:
        NotPlain: it is not declared, or in a way that only typer knows.
    """

    __slots__ = ("declared", "default", "kind", "many", "name")

    def __init__(self, parameter: inspect.Parameter) -> None:
        if get_origin(parameter.annotation) is not Annotated:
            raise NotPlain
        kind, declared = get_args(parameter.annotation)
        if not isinstance(declared, Declared) or not set(declared.settings) <= _READ:
            raise NotPlain
        if get_origin(kind) in (Union, UnionType):
            kinds = [one for one in get_args(kind) if one is not NoneType]
            if len(kinds) != 1:
                raise NotPlain
            kind = kinds[0]
        self.many = get_origin(kind) is list
        self.kind = get_args(kind)[0] if self.many else kind
        self.name = parameter.name
        self.default = parameter.default
        self.declared = declared

    @property
    def flags(self) -> Sequence[str]:
        """Words that mean it."""
        if not self.declared.flags and self.kind is bool:
            raise NotPlain  # typer adds a flag that says no
        return self.declared.flags or (f"--{self.name.replace('_', '-')}",)

    def value(self, text: str) -> Any:
        """The value that a word means.

        Raises:
            NotPlain: none, or one out of bounds.
        """
        if self.kind is str:
            return text
        if issubclass(self.kind, Enum):
            try:
                return self.kind(text)
            except ValueError:
                raise NotPlain from None
        form = {int: _WHOLE, float: _NUMBER}.get(self.kind)
        if form is None or not form.fullmatch(text):
            raise NotPlain
        number = self.kind(text)
        low, high = (self.declared.settings.get(bound) for bound in ("min", "max"))
        if (low is not None and number < low) or (high is not None and number > high):
            raise NotPlain
        return number


def read(function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    """What the words of a command line mean for a command.

    Args:
        function: the command, its parameters annotated with `Option` or `Argument`.
        words: what was typed after its name.

    Returns:
        A value for each parameter of the function.

    Raises:
        NotPlain: typer has to read this.
    """
    parameters = [Parameter(one) for one in inspect.signature(function).parameters.values()]
    _check_environment(parameters)
    options = {
        flag: one for one in parameters if isinstance(one.declared, Option) for flag in one.flags
    }
    typed: dict[str, list[Any]] = {}
    places = []
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            places.append(word)
            continue
        flag, is_joined, joined = word.partition("=")
        one = options.get(flag)
        if one is None or (is_joined and (one.kind is bool or not flag.startswith("--"))):
            raise NotPlain
        text = joined if is_joined else _following(one, rest)
        typed.setdefault(one.name, []).append(True if one.kind is bool else one.value(text))
    arguments = [one for one in parameters if isinstance(one.declared, Argument)]
    typed |= _placed(arguments, places)
    return {one.name: _settled(one, typed) for one in parameters}


def _check_environment(parameters: Sequence[Parameter]) -> None:
    for one in parameters:
        names = one.declared.settings.get("envvar") or ()
        if any(name in os.environ for name in ([names] if isinstance(names, str) else names)):
            raise NotPlain


def _following(one: Parameter, rest: Iterator[str]) -> str:
    """The word after an option; the empty one for an option that takes none."""
    if one.kind is bool:
        return ""
    text = next(rest, None)
    if text is None or (text != "-" and text.startswith("-")):
        raise NotPlain
    return text


def _placed(arguments: Sequence[Parameter], words: Sequence[str]) -> dict[str, list[Any]]:
    """Words by the argument that they fill; only the last one may take many."""
    placed = {}
    left = list(words)
    for one in arguments:
        if one.many and one is not arguments[-1]:
            raise NotPlain
        taken = left if one.many else left[:1]
        left = left[len(taken) :]
        if taken:
            placed[one.name] = [one.value(word) for word in taken]
    if left:
        raise NotPlain
    return placed


def _settled(one: Parameter, typed: dict[str, list[Any]]) -> Any:
    values = typed.get(one.name)
    if values is None:
        if one.default is inspect.Parameter.empty:
            raise NotPlain
        return one.default
    return values if one.many else values[-1]
