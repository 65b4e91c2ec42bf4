"""Folders that trained models go into."""

import json
import shutil
from pathlib import Path

from emocli.errors import RecipeError
from emocli.table import listing

WORK = "training"
"""What a training keeps in the folder of its model until the model is there."""
MARK = ".emocli"
"""In `WORK`, says that it is a training's and no folder of somebody else."""
_OF_A_TRAINING = ("state.pt", "statistics.json", "history.csv")
"""What tells the work of earlier versions, which left no mark."""


def claim_folder(folder: Path, *, replaces: str = "") -> None:
    """Make the folder of a model, before the time that its training takes.

    A folder that a training of the same command left when it was killed is claimed again, whatever
    of the model is in it. `release_folder` ends the claim.

    Args:
        folder: of the model; made if it is not there.
        replaces: type of model that may be replaced; none by default.

    Raises:
        RecipeError: it cannot be made, or holds a model or somebody's files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if not _is_work(folder / WORK):
            _check_free(folder, found, replaces)
            (folder / WORK).mkdir()
        (folder / WORK / MARK).touch()
    except OSError as error:
        raise RecipeError(
            f"{folder}: no folder can be made there ({error.strerror}), expected a place for the "
            f"model. Choose another with -o."
        ) from None


def release_folder(folder: Path) -> None:
    """Delete what the training kept, now that the model is there."""
    shutil.rmtree(folder / WORK)


def _is_work(work: Path) -> bool:
    """Whether a folder is what a training keeps; an empty one is one that was just begun."""
    if not work.is_dir():
        return False
    if (work / MARK).exists() or not any(work.iterdir()):
        return True
    return any(path.name in _OF_A_TRAINING for path in work.rglob("*"))


def _check_free(folder: Path, found: list[str], replaces: str) -> None:
    if "config.json" in found:
        if replaces and _type_of(folder / "config.json") == replaces:
            return
        raise RecipeError(
            f"{folder}: holds a model already, expected a folder for a new one. Choose another "
            f"with -o, or delete it."
        )
    if found:
        raise RecipeError(
            f"{folder}: holds {listing(found)}, expected an empty folder for a model. Choose "
            f"another with -o."
        )


def _type_of(path: Path) -> object:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("model_type") if isinstance(content, dict) else None
