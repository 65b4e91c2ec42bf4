"""The order in which people expect names: ``a2`` before ``a10``, whatever the disk says."""

import re

_DIGITS = re.compile(r"(\d+)")


def natural_key(path: str) -> list[str]:
    """A sorting key with numbers in order of size, so that ``a2.wav`` comes before ``a10.wav``.

    Folders sort before what is deeper in a later one; case decides only between names that are
    otherwise the same.

    Example:
        >>> sorted(["b/1", "a10", "A2"], key=natural_key)
        ['A2', 'a10', 'b/1']
    """
    return [natural_name(part) for part in (*path.casefold().split("/"), path)]


def natural_name(name: str) -> str:
    """A text that sorts as the numbers of a name do by size and what is between them by letters.

    No name has null characters, so one before a number makes that come before all letters, and
    one after it makes ``0a`` come before ``00a``.
    """
    return _DIGITS.sub(_natural_number, name)


def _natural_number(found: re.Match[str]) -> str:
    digits = str(int(found[0]))
    return f"\0{chr(len(digits))}{digits}{found[0]}\0"
