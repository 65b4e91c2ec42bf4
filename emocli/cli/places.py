"""Where files of single recordings go: subtitles, and timelines for other programs."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from emocli.errors import TableError
from emocli.files import STDIN, check_replaced, journal_path
from emocli.files import write_text as write_file


def file_places(
    files: Sequence[str], output: str, form: str, suffix: str, what: str
) -> dict[str, str]:
    """Where the file of each recording goes.

    One recording goes to standard output, into a file, or into a folder that is there. Several
    go into a folder that mirrors theirs below what their paths have in common; recordings that
    differ only in their ending keep it.

    Args:
        files: each recording once.
        output: file, folder, or ``"-"``.
        form: name of the form, as ``-f`` has it.
        suffix: ending of the files, with its dot.
        what: what the files are, in the plural.

    Raises:
        typer.BadParameter: several recordings and standard output.
        TableError: several recordings and a file instead of a folder.
    """
    several = len(files) > 1
    if output == STDIN:
        if several:
            raise typer.BadParameter(
                f"-f {form} makes one file for each recording and there are {len(files)}; "
                f"add -o DIR",
                param_hint="--output",
            )
        return dict.fromkeys(files, STDIN)
    is_folder = os.path.isdir(output)
    if not several and not is_folder and not output.endswith("/"):
        return dict.fromkeys(files, output)
    if os.path.lexists(output) and not is_folder:
        raise TableError(
            f"{output} is a file, expected a folder for the {what} of {len(files)} recordings. "
            f"Give -o the name of a folder."
        )
    names = _mirrored(files, suffix)
    return {file: os.path.join(output, name) for file, name in names.items()}


def check_places(
    output: str, places: Mapping[str, str], inputs: Iterable[str | None], *, overwrite: bool
) -> None:
    """Make sure that files of single recordings take the place of nothing that is not theirs.

    Args:
        output: what ``-o`` names.
        places: from `file_places`.
        inputs: files that the command reads.
        overwrite: replace files that emocli has not made.

    Raises:
        TableError: see `check_replaced`.
    """
    made_before = os.path.exists(journal_path(output))
    check_replaced(places.values(), inputs, overwrite=overwrite or made_before)


def _mirrored(files: Sequence[str], suffix: str) -> dict[str, str]:
    """A relative path for each file, no two the same."""
    absolute = {file: os.path.abspath(file) for file in files}
    common = os.path.commonpath([os.path.dirname(path) for path in absolute.values()] or ["/"])
    relative = {file: os.path.relpath(path, common) for file, path in absolute.items()}
    short = {file: os.path.splitext(path)[0] for file, path in relative.items()}
    shared = [name.casefold() for name in short.values()]
    return {
        file: f"{name if shared.count(name.casefold()) == 1 else relative[file]}{suffix}"
        for file, name in short.items()
    }


def write_text(text: str, place: str, what: str) -> None:
    """Write a text to standard output, or to a file in a folder that is made where it is missing.

    Args:
        text: the content.
        place: file path or ``"-"``.
        what: what the files are, in the plural.

    Raises:
        TableError: a file or folder cannot be written.
    """
    if place == STDIN:
        write_file(text, place)
        return
    folder = Path(place).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TableError(
            f"{folder}: cannot be made ({error.strerror or error}), expected a folder for "
            f"{what}. Give -o another folder."
        ) from None
    write_file(text, place)
