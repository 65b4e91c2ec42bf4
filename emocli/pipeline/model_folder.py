"""Folders that trained models go into."""

from pathlib import Path

from emocli.errors import RecipeError
from emocli.table import listing

WORK = "training"
"""What a training keeps in the folder of its model until the model is there."""


def claim_folder(folder: Path, *, may_hold_model: bool = False) -> None:
    """Make the folder of a model, before the time that its training takes.

    Args:
        folder: of the model; made if it is not there.
        may_hold_model: a model in it may be replaced.

    Raises:
        RecipeError: it cannot be made, or holds a model or somebody's files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise RecipeError(
            f"{folder}: no folder can be made there ({error.strerror}), expected a place for the "
            f"model. Choose another with -o."
        ) from None
    if "config.json" in found:
        if may_hold_model:
            return
        raise RecipeError(
            f"{folder}: holds a model already, expected a folder for a new one. Choose another "
            f"with -o, or delete it."
        )
    if found and WORK not in found:
        raise RecipeError(
            f"{folder}: holds {listing(found)}, expected an empty folder for a model. Choose "
            f"another with -o."
        )
