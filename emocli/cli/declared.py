"""How a command says what may be typed, without the parser that reads it.

Importing typer takes five times as long as starting Python. A command that only works on tables
therefore declares its options by these classes; `emocli.cli.quick` reads plain command lines by
them, and `emocli.cli.app` hands everything else to typer: help, completion, environment variables
and whatever is mistyped.
"""

from collections.abc import Callable
from typing import Any


class Declared:
    """Something that may be typed: the flags of an option, and typer's settings by name."""

    __slots__ = ("flags", "settings")

    def __init__(self, *flags: str, **settings: Any) -> None:
        self.flags = flags
        self.settings = settings


class Option(Declared):
    """An option; without flags it is called as its parameter, with dashes."""


class Argument(Declared):
    """An argument, told from others by its place."""


class Group:
    """A command that consists of commands.

    Args:
        about: what its help says.
    """

    def __init__(self, about: str) -> None:
        self.about = about
        self.commands: dict[str, Callable[..., None]] = {}

    def command(self, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Decorator that adds a function as a command."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            self.commands[name] = function
            return function

        return add


class Misuse(Exception):
    """A usage error: exit status 2, with the command's usage above the sentence.

    Attributes:
        sentence: what was found and expected.
        hint: the option that it is about, None where it is about several.
    """

    def __init__(self, sentence: str, *, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
