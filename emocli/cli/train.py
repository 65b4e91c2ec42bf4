"""``emocli train``: a recipe in, a model folder or the figures of a validation out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emocli.cli.console import Talk, err
from emocli.cli.options import Quiet, Verbose
from emocli.errors import RecipeError
from emocli.table_io import STDIN, format_of, write_table

if TYPE_CHECKING:
    from emocli.pipeline.train import Trained
    from emocli.training.progress import Progress


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the recipe's tables are. Default: beside it."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Folder for the model, or table for the predictions of a validation.",
        ),
    ] = None,
    cross_validate: Annotated[
        bool,
        typer.Option(
            "--cross-validate", help="Train on some speakers, predict the others, in turn."
        ),
    ] = False,
    leave_corpus_out: Annotated[
        bool,
        typer.Option(
            "--leave-corpus-out", help="Train on all tables but one, predict it, in turn."
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Features and checkpoints. Default: the user's cache."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """A model of your own, from a recipe and labels.

    A recipe names tables of recordings with their emotions and speakers, and says what to train.
    Features are computed once. An interrupted training goes on where it was when the same
    command is given again. The folder that comes out is a model for -m.

    A validation writes a table of predictions for speakers, or for whole corpora, that the model
    had not heard.

    Examples:

        emocli train recipe.toml -o my-model

        emocli predict -m my-model recordings/

        emocli train recipe.toml --cross-validate -o held-out.csv
    """
    from emocli.pipeline.train import (
        cross_validate as validate,
    )
    from emocli.pipeline.train import (
        is_text_recipe,
        leave_each_corpus_out,
        prepare,
        train_model,
        train_text_model,
    )

    if cross_validate and leave_corpus_out:
        raise typer.BadParameter("choose one of --cross-validate and --leave-corpus-out")
    talk = Talk(quiet, verbose)
    validating = cross_validate or leave_corpus_out
    kind = _table_format(output) if validating else ""
    if is_text_recipe(recipe):
        if validating:
            raise typer.BadParameter(
                "a recipe of texts has a development split of its own; leave out the validation"
            )
        with _shown(talk) as progress:
            folder = Path(output) if output else None
            trained = train_text_model(recipe, data=data, output=folder, progress=progress)
        _tell(talk, trained)
        return
    with _shown(talk) as progress:
        prepared = prepare(recipe, data=data, cache=cache, progress=progress)
        talk.detail(f"{len(prepared.utterances)} recordings, checkpoints in {prepared.work}")
        if validating:
            run = validate if cross_validate else leave_each_corpus_out
            trained = run(prepared, progress)
        else:
            trained = train_model(prepared, Path(output or prepared.recipe.output), progress)
    if validating:
        write_table(trained.table, output or STDIN, kind)
    _tell(talk, trained)


def _table_format(output: str | None) -> str:
    if output is None or output == STDIN:
        return "csv"
    kind = format_of(output)
    if kind is None:
        raise RecipeError(
            f"{output}: no suffix of a table, expected one such as .csv for the predictions of a "
            f"validation. Name a table, or leave out --output."
        )
    return kind


def _tell(talk: Talk, trained: "Trained") -> None:
    for what, value in trained.figures.items():
        talk.say(f"{what}: {value:.3f}")
    if trained.folder is not None:
        talk.say(f"Wrote the model to {trained.folder}; predict with -m {trained.folder}")


@contextmanager
def _shown(talk: Talk) -> "Iterator[Progress | None]":
    """A callback that draws progress while the block runs; None where nobody would see it."""
    if not talk.live:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Bars(*columns, console=err(), transient=True) as bars:
        tasks: dict[str, int] = {}

        def draw(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], completed=done, total=total)  # type: ignore[arg-type]

        yield draw
