"""Values from files that people may have edited or damaged: each is checked where it is read.

A JSON object is read field by field, and a field that is not what it has to be ends in one sentence
that names it. Nothing is converted: a number in quotes is no number, and ``true`` is no 1.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self, TypeVar

from emocli.errors import EmocliError, FuserError

Built = TypeVar("Built")


class Fields:
    """A JSON object that is read field by field.

    Every reading method raises an error where the field is missing or is not as expected; those
    that take a default give it where the field is missing or null. What the whole is, a fuser
    unless a subclass says otherwise, decides which error.

    Attributes:
        name: what to call the whole in an error.
        path: where in the whole this object is, ``""`` for the whole itself.
        values: its fields.
        error: what is raised.
        kind: what the whole is.
        writer: the command that writes it.
    """

    error: ClassVar[type[EmocliError]] = FuserError
    kind: ClassVar[str] = "fuser"
    writer: ClassVar[str] = "emocli fuse --save"

    def __init__(self, name: str, path: str, values: Mapping[str, Any]) -> None:
        self.name = name
        self.path = path
        self.values = values
        self._read: set[str] = set()

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """The object that a JSON text is.

        Raises:
            EmocliError: it is no JSON, or no object.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
            raise cls.error(
                f"{name}: not JSON ({_reason(error)}), expected a {cls.kind} that "
                f"{cls.writer} wrote. Check the path, or fit it again."
            ) from None
        if not isinstance(values, dict):
            raise cls.error(
                f"{name}: JSON without fields, expected a {cls.kind} that {cls.writer} wrote. "
                f"Check the path, or fit it again."
            )
        return cls(name, "", values)

    def constant(self, key: str, expected: str | int) -> None:
        """Make sure that a field has the only value that it may have."""
        self._checked(key, lambda v: v == expected and type(v) is type(expected), _json(expected))

    def text(self, key: str, default: str | None = None) -> str:
        """A text, maybe empty."""
        return str(self._checked(key, is_text, "a text", default))

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        return bool(self._checked(key, lambda v: isinstance(v, bool), "true or false", default))

    def choice(self, key: str, options: Sequence[str], default: str | None = None) -> str:
        """One of some texts."""

        def is_right(value: Any) -> bool:
            return isinstance(value, str) and value in options

        return str(self._checked(key, is_right, " or ".join(options), default))

    def count(
        self, key: str, default: int | None = None, *, smallest: int = 0, largest: int = 2**31 - 1
    ) -> int:
        """A whole number from the smallest to the largest allowed."""
        limit = "on" if largest == 2**31 - 1 else f"to {largest}"

        def is_right(value: Any) -> bool:
            return type(value) is int and smallest <= value <= largest

        expected = f"a whole number from {smallest} {limit}"
        return int(self._checked(key, is_right, expected, default))

    def figure(self, key: str, largest: float = math.inf) -> float:
        """A finite number from 0 to the largest allowed."""
        limit = "on" if largest == math.inf else f"to {largest:g}"

        def is_right(value: Any) -> bool:
            return is_number(value) and 0 <= value <= largest

        return float(self._checked(key, is_right, f"a number from 0 {limit}"))

    def number(
        self,
        key: str,
        least: float = -math.inf,
        *,
        open_: bool = False,
        default: float | None = None,
    ) -> float:
        """A finite number, from the least allowed on, or above it if the border is open."""

        def is_right(value: Any) -> bool:
            return is_number(value) and (value > least if open_ else value >= least)

        border = f" above {least:g}" if open_ else f" from {least:g} on"
        expected = f"a number{border if least > -math.inf else ''}"
        return float(self._checked(key, is_right, expected, default))

    def numbers(self, key: str, length: int) -> list[float]:
        """A list of that many finite numbers."""

        def is_right(value: Any) -> bool:
            is_list = isinstance(value, list) and len(value) == length
            return is_list and all(is_number(item) for item in value)

        return [float(item) for item in self._checked(key, is_right, f"{length} numbers")]

    def counts(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on."""

        def is_right(value: Any) -> bool:
            return isinstance(value, list) and all(
                type(item) is int and item >= 0 for item in value
            )

        return tuple(self._checked(key, is_right, "a list of whole numbers from 0 on"))

    def objects(self, key: str) -> list[Self]:
        """A list of at least one object."""

        def is_right(value: Any) -> bool:
            is_list = isinstance(value, list) and bool(value)
            return is_list and all(isinstance(item, dict) for item in value)

        values = self._checked(key, is_right, "a list of objects")
        where = self._where(key)
        return [type(self)(self.name, f"{where}[{i}]", item) for i, item in enumerate(values)]

    def inner(self, key: str) -> Self:
        """An object."""
        values = self._checked(key, lambda v: isinstance(v, dict), "an object")
        return type(self)(self.name, self._where(key), values)

    def members(self, key: str, names: Sequence[str]) -> Self:
        """An object that has exactly these fields."""
        found = self.inner(key)
        if set(found.values) != set(names):
            self.refuse(key, f"an object with {', '.join(names)}", ", ".join(found.values))
        return found

    def names(self, key: str, required: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of different texts with some required ones among them."""

        def is_right(value: Any) -> bool:
            return _are_names(value) and set(required) <= set(value)

        among = f" with {', '.join(required)} among them" if required else ""
        return tuple(self._checked(key, is_right, f"a list of different names{among}"))

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        return list(self._checked(key, lambda v: isinstance(v, list), "a list"))

    def build(self, kind: type[Built]) -> Built:
        """A dataclass with the fields of this object and no others, each of the annotated type.

        Known are texts, flags, whole numbers from 0 on, numbers, dataclasses, and tuples of these.
        """
        hints = typing.get_type_hints(kind)
        for key in self.values:
            if key not in hints:
                self.refuse(key, f"one of the fields {', '.join(hints)}", key)
        for item in dataclasses.fields(typing.cast(Any, kind)):
            if item.default is item.default_factory is dataclasses.MISSING:
                self._checked(item.name, lambda value: True, _said(hints[item.name]))
        given = {key: self._typed(key, hints[key], self.values[key]) for key in self.values}
        try:
            return kind(**given)
        except ValueError as error:
            raise self.error(
                f"{self.name}: {self.path or 'it'} makes no {kind.__name__}: {error} {self._remedy}"
            ) from error

    def _typed(self, key: str, hint: Any, value: Any) -> Any:
        """A value as its annotation has it."""
        if dataclasses.is_dataclass(hint) and isinstance(value, dict):
            return type(self)(self.name, self._where(key), value).build(typing.cast(Any, hint))
        if typing.get_origin(hint) is tuple and isinstance(value, list):
            inner = typing.get_args(hint)[0]
            whole = type(self)(
                self.name, self._where(key), {str(i): v for i, v in enumerate(value)}
            )
            return tuple(whole._typed(str(i), inner, item) for i, item in enumerate(value))
        if hint is float and is_number(value):
            return float(value)
        if not any(hint is known and is_right(value) for known, is_right in _PLAIN.items()):
            self.refuse(key, _said(hint))
        return value

    def nothing_else(self) -> None:
        """Make sure that every field has been read."""
        unknown = [key for key in self.values if key not in self._read]
        if unknown:
            self.refuse(unknown[0], "no such field")

    def refuse(self, key: str, expected: str, found: str | None = None) -> NoReturn:
        """Say that a field is not as expected.

        Raises:
            EmocliError: always.
        """
        shown = _json(self.values[key]) if found is None else found
        raise self.error(
            f"{self.name}: {self._where(key)} is {_shortened(shown)}, expected {expected}. "
            f"{self._remedy}"
        )

    def _checked(
        self, key: str, is_right: Callable[[Any], bool], expected: str, default: Any = None
    ) -> Any:
        if default is not None and self.values.get(key) is None:
            self._read.add(key)
            return default
        if key not in self.values:
            raise self.error(
                f"{self.name}: {self._where(key)} is missing, expected {expected}. {self._remedy}"
            )
        self._read.add(key)
        if not is_right(self.values[key]):
            self.refuse(key, expected)
        return self.values[key]

    @property
    def _remedy(self) -> str:
        """What to do about a field that is not as expected."""
        return f"Fit the {self.kind} again, or correct the field."

    def _where(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def is_number(value: Any) -> typing.TypeGuard[float]:
    """Whether a value is a finite number that float64 can hold; True and "1" are none."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def is_text(value: Any) -> bool:
    """Whether a value is text that can be written: no NUL, and no half of a character."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: {error.msg}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"


def _json(value: Any) -> str:
    """A value as JSON, in ASCII where it holds what cannot be written or would break the line."""
    return json.dumps(value, ensure_ascii=not _is_printable(value))


def _is_printable(value: Any) -> bool:
    return json.dumps(value, ensure_ascii=False).isprintable()


_PLAIN: Mapping[Any, Callable[[Any], bool]] = {
    str: is_text,
    bool: lambda value: isinstance(value, bool),
    int: lambda value: type(value) is int and 0 <= value < 2**31,
}


def _said(hint: Any) -> str:
    """An annotation in words."""
    if dataclasses.is_dataclass(hint):
        return "an object"
    if typing.get_origin(hint) is tuple:
        return "a list"
    words = {str: "a text", bool: "true or false", int: "a whole number from 0 on"}
    return words.get(hint, "a number")


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(is_text(name) and name for name in value)
        and len(set(value)) == len(value)
    )


def _shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
