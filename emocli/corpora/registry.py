"""Which corpora can be read, and where in a folder one of them starts."""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from emocli.corpora import readers
from emocli.corpora.protocol import Corpus
from emocli.errors import CorpusError
from emocli.table import listing

DEEPEST = 3
"""How many folders below or above the one that is named a corpus is looked for."""


@cache
def corpora() -> dict[str, Corpus]:
    """Readers by the name that a user types."""
    names = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
    modules = (importlib.import_module(f"{readers.__name__}.{name}") for name in names)
    return {module.CORPUS.about.name: module.CORPUS for module in modules}


def find_corpus(name: str) -> Corpus:
    """The reader of a name, however it is written: ``MSP-Podcast`` is ``msp_podcast``.

    Raises:
        CorpusError: there is none.
    """
    known = {_plain(each): corpus for each, corpus in corpora().items()}
    if _plain(name) not in known:
        raise CorpusError(
            f"Corpus {name!r} is unknown, expected one of {', '.join(corpora())}. "
            f"emocli data --list says what each looks like."
        )
    return known[_plain(name)]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def find_root(corpus: Corpus, folder: Path) -> Path:
    """The folder that a corpus starts from: the one given, or the only one in or around it.

    Raises:
        CorpusError: the folder does not exist, or has no such corpus or several.
    """
    about = corpus.about
    if not folder.is_dir():
        raise CorpusError(
            f"{folder}: not a folder, expected one with {about.title}. Check the path."
        )
    if corpus.is_root(folder):
        return folder
    for below in () if about.anywhere else _levels_below(folder):
        roots = [each for each in below if corpus.is_root(each)]
        if len(roots) > 1:
            raise CorpusError(
                f"{folder}: {about.title} is in {len(roots)} folders ({listing(roots)}), expected "
                f"one. Name the one that is meant."
            )
        if roots:
            return roots[0]
    for above in () if about.anywhere else list(folder.absolute().parents)[:DEEPEST]:
        if corpus.is_root(above):
            return above
    raise CorpusError(
        f"{folder}: no {about.title} in this folder, expected {about.layout}. Check that it is "
        f"unpacked and that the name of the corpus is right."
    )


def _levels_below(folder: Path) -> Iterator[list[Path]]:
    level = [folder]
    for _ in range(DEEPEST):
        level = sorted(each for parent in level for each in _folders(parent))
        yield level


def _folders(parent: Path) -> list[Path]:
    try:
        return [each for each in parent.iterdir() if each.is_dir() and each.name[0] != "."]
    except OSError:  # a folder that may not be listed holds no corpus for this user
        return []
