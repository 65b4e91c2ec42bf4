"""Recordings in folders and behind patterns, in an order that does not depend on the disk."""

import glob
import os
from collections.abc import Iterator
from itertools import chain, groupby

from emocli.errors import AudioError
from emocli.natural_order import natural_key, natural_name

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".au", ".caf", ".w64"),
    *(".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mov"),
    *(".wma", ".amr", ".3gp"),
)
"""What a search in a folder looks for; a file that is named outright may end otherwise."""

_Identity = tuple[int, int]


def find_recordings(folder: str) -> Iterator[str]:
    """Paths of all recordings in a folder and the folders in it, in the order of `natural_key`.

    Hidden files and folders are left out, among them the ``._name.wav`` that macOS leaves on
    foreign disks. Links are followed, to files and to folders, but not from a folder into one
    that it is in. A dangling link and a folder that cannot be listed are among the paths, so that
    whoever reads them finds out.

    Args:
        folder: where to look; it starts every path.

    Yields:
        Paths as they are found: the names of one folder, and of those around it, are in memory.

    Raises:
        AudioError: there is none.
    """
    paths = _walk(folder, ())
    first = next(paths, None)
    if first is None:
        raise AudioError(
            f"{folder}: no recordings in this folder, expected files that end in "
            f"{', '.join(AUDIO_SUFFIXES)}. Name the files themselves if they end otherwise."
        )
    yield first
    yield from paths


def _walk(folder: str, above: tuple[_Identity, ...]) -> Iterator[str]:
    """Recordings below a folder in natural order; ``above`` are the folders around it."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        names, folders = _visible(folder)
    except OSError:
        yield folder
        return

    start = os.path.join(folder, "")

    def below(name: str) -> Iterator[str]:
        return _walk(start + name, (*above, identity)) if name in folders else iter((start + name,))

    for _, same in groupby(names, str.casefold):
        first, *others = same
        if others:  # what is in folders A and a is in one order
            yield from sorted(chain(*map(below, (first, *others))), key=natural_key)
        elif first in folders:
            yield from below(first)
        else:
            yield start + first


def _visible(folder: str) -> tuple[list[str], set[str]]:
    """Names in a folder that are recordings or folders, in natural order, and the folders."""
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # A link that leads to itself makes entry.is_dir() raise.
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                folders.add(entry.name)
            elif not entry.name.lower().endswith(AUDIO_SUFFIXES):
                continue
            names.append(entry.name)
    names.sort(key=lambda name: natural_name(name.casefold()))
    return names, folders


def is_pattern(path: str) -> bool:
    """Whether a path has the wildcards of a shell in it and is not itself the name of a file."""
    return glob.has_magic(path) and not os.path.lexists(path)


def expand_pattern(pattern: str) -> list[str]:
    """Files and folders that a shell pattern stands for, in natural order; ``**`` goes deep.

    Raises:
        AudioError: there is none.
    """
    found = sorted(glob.glob(pattern, recursive=True), key=natural_key)
    if not found:
        raise AudioError(
            f"{pattern}: no file matches this pattern, expected at least one. "
            f"Check the folder and the ending."
        )
    return found
