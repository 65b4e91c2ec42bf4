"""Recipes that come with the package, and how a recipe is found by its name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emocli.errors import RecipeError
from emocli.training.crossmodal import STACK, single_recipes
from emocli.training.recipe import read_content

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Shipped:
    """A recipe.

    Attributes:
        name: what to type, or how to call it in a message.
        path: the file that it is in.
        content: what it says, as `tomllib` gives it.
    """

    name: str
    path: Path
    content: Mapping[str, Any]

    @property
    def description(self) -> str:
        """Of the model that it gives."""
        return str(self.content.get("description", ""))


def shipped_recipes() -> list[Shipped]:
    """All recipes of the package, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        content = read_content(path)
        found.append(Shipped(path.stem, path, content))
        if path.stem == STACK:
            singles = single_recipes(content).items()
            found += [Shipped(name, path, each) for name, each in singles]
    return found


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of a recipe of the package.

    Raises:
        RecipeError: it is neither. A path that has a suffix or a folder is not looked at here.
    """
    return _find(name).path


def open_recipe(name: str) -> Shipped:
    """What a recipe says: that of a file, or the one of the package of that name.

    Raises:
        RecipeError: it is neither, or a file that cannot be read.
    """
    found = _find(name)
    return found if found.content else Shipped(name, found.path, read_content(found.path))


def _find(name: str) -> Shipped:
    path = Path(name)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        return Shipped(name, path, {})
    known = {recipe.name: recipe for recipe in shipped_recipes()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(
        f"No recipe is called {name}, and no file is: {guess}`emocli train --list` names those of "
        f"the package."
    )
