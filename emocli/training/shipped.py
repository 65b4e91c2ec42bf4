"""Recipes that come with the package, and how a recipe is found by its name."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from emocli.errors import RecipeError
from emocli.training.recipe import read_content

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Shipped:
    """A recipe of the package.

    Attributes:
        name: what to type.
        path: where it is.
        description: of the model that it gives.
    """

    name: str
    path: Path
    description: str


def shipped_recipes() -> list[Shipped]:
    """All recipes of the package, by name."""
    return [
        Shipped(path.stem, path, str(read_content(path).get("description", "")))
        for path in sorted(FOLDER.glob("*.toml"))
    ]


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of a recipe of the package.

    Raises:
        RecipeError: it is neither. A path that has a suffix or a folder is not looked at here.
    """
    path = Path(name)
    if path.suffix or len(path.parts) > 1 or path.is_file():
        return path
    known = {recipe.stem: recipe for recipe in FOLDER.glob("*.toml")}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(
        f"No recipe is called {name}, and no file is: {guess}`emocli train --list` names those of "
        f"the package."
    )
