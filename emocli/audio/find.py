"""Recordings in folders and behind patterns, in an order that does not depend on the disk."""

import glob
import os
import re
from collections.abc import Iterator

from emocli.errors import AudioError

SOUNDFILE_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aiff", ".aif", ".au", ".caf", ".w64"),
)
"""Endings of what libsndfile decodes."""

FFMPEG_SUFFIXES = (
    *(".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mov"),
    *(".wma", ".amr", ".3gp"),
)
"""Endings of what needs PyAV."""

AUDIO_SUFFIXES = SOUNDFILE_SUFFIXES + FFMPEG_SUFFIXES
"""What a search in a folder looks for; a file that is named outright may end otherwise."""

_DIGITS = re.compile(r"(\d+)")
_Identity = tuple[int, int]


def natural_key(path: str) -> list[tuple[tuple[int, int, str], ...]]:
    """A sorting key with numbers in order of size, so that ``a2.wav`` comes before ``a10.wav``.

    Folders sort before what is deeper in a later one; case decides only between names that are
    otherwise the same.
    """
    return [_natural_part(part) for part in (*path.casefold().split("/"), path)]


def _natural_part(part: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (0, int(piece), piece) if piece.isdecimal() else (1, 0, piece)
        for piece in _DIGITS.split(part)
        if piece
    )


def find_recordings(folder: str) -> list[str]:
    """Paths of all recordings in a folder and the folders in it, in natural order.

    Hidden files and folders are left out, among them the ``._name.wav`` that macOS leaves on
    foreign disks. Links are followed, to files and to folders, but not from a folder into one
    that it is in. A dangling link and a folder that cannot be listed are among the paths, so that
    whoever reads them finds out.

    Args:
        folder: where to look; it starts every path that is returned.

    Raises:
        AudioError: there is none.
    """
    found = sorted(_walk(folder, ()), key=natural_key)
    if not found:
        raise AudioError(
            f"{folder}: no recordings in this folder, expected files that end in "
            f"{', '.join(AUDIO_SUFFIXES)}. Name the files themselves if they end otherwise."
        )
    return found


def _walk(folder: str, above: tuple[_Identity, ...]) -> Iterator[str]:
    """Recordings below a folder, in the order of the disk; ``above`` are the folders around it."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        yield folder
        return
    for entry in visible:
        path = os.path.join(folder, entry.name)
        # A link that leads to itself makes entry.is_dir() raise.
        if os.path.isdir(path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(path, (*above, identity))
        elif entry.name.lower().endswith(AUDIO_SUFFIXES):
            yield path


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
