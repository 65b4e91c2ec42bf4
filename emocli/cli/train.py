"""``emocli train``: a recipe in, a model folder or the figures of a validation out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emocli.cli.console import Talk
from emocli.cli.options import (
    MACHINE_PANEL,
    OUTPUT_PANEL,
    CsvSafe,
    Device,
    DType,
    Offline,
    Quiet,
    Verbose,
)
from emocli.errors import RecipeError
from emocli.files import STDIN
from emocli.table_io import format_of, write_table

if TYPE_CHECKING:
    from emocli.pipeline.train import Trained
    from emocli.training.shipped import Shipped


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE", help="A name of `emocli train --list`, or a TOML file."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="Table of what to train on, with file, emotion and maybe speaker. May be given "
            "several times. Or the folder of the tables that a recipe names.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A key of the recipe and what it shall be instead, as TOML has it. "
            "May be given several times.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Folder for the model, or table for the predictions of a validation.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print data, network, steps and memory, and train nothing."),
    ] = False,
    list_recipes: Annotated[
        bool, typer.Option("--list", help="Print the recipes of the package.")
    ] = False,
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
        typer.Option(
            metavar="DIR",
            help="Features, and checkpoints of embedded models. Default: the user's cache.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    device: Device = "auto",
    dtype: Annotated[
        DType,
        typer.Option(
            "--dtype",
            envvar="EMOCLI_DTYPE",
            help="Number format of the network in training; by default the recipe's.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = DType.AUTO,
    csv_safe: CsvSafe = False,
    offline: Offline = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """A model of your own, from a recipe and labels.

    Recipes of the package fine-tune a pretrained encoder on a table of your recordings or texts,
    or train networks on the features of frozen ones: crossmodal-*, with texts from the column or
    from name.txt beside name.wav.
    builtin trains the embedded voice model anew, on emotions of your own, without any download.
    The table has the columns file, emotion (or arousal, dominance, valence) and speaker, for
    texts also text, and maybe split with train, dev and test; without it some speakers are
    chosen for development.

    An interrupted training goes on where it was when the same command is given again. The folder
    that comes out is a model for -m.

    A validation writes a table of predictions for speakers, or for whole corpora, that the model
    had not heard.

    Examples:

        emocli train builtin --data my.csv -o my-model

        emocli train odyssey-baseline --data labels.csv --dry-run

        emocli train odyssey-baseline --data labels.csv --set epochs=10 -o my-model

        emocli predict -m my-model recordings/

        emocli train crossmodal-stack --data labels.csv --set speech=logmel --set text=words
        --set prosody=prosody -o stack

        emocli train recipe.toml --cross-validate -o held-out.csv
    """
    if list_recipes:
        _list()
        return
    if recipe is None:
        raise typer.BadParameter("missing argument RECIPE; --list names those of the package")
    if cross_validate and leave_corpus_out:
        raise typer.BadParameter("choose one of --cross-validate and --leave-corpus-out")
    from emocli.pipeline.train import is_text_recipe
    from emocli.training.crossmodal import RECIPE_KIND as CROSSMODAL
    from emocli.training.shipped import FOLDER as RECIPES
    from emocli.training.shipped import open_recipe
    from emocli.training.tuning import RECIPE_KIND

    opened, given, talk = open_recipe(recipe), tuple(settings or ()), Talk(quiet, verbose)
    path, kind = opened.path, opened.content.get("recipe")
    validating = cross_validate or leave_corpus_out
    if kind == CROSSMODAL:
        if validating:
            raise typer.BadParameter(
                "cross-modal networks have a development split; leave the validation"
            )
        if not data:
            raise typer.BadParameter(
                "a recipe of cross-modal networks needs a table", param_hint="--data"
            )
        machine = (device, dtype.value, offline)
        _train_crossmodal(opened, data, given, output, machine, cache, dry_run, talk)
        return
    if kind == RECIPE_KIND:
        if validating:
            raise typer.BadParameter(
                "a recipe that fine-tunes has a development split; leave the validation"
            )
        if not data:
            raise typer.BadParameter(
                "a recipe that fine-tunes needs a table of recordings", param_hint="--data"
            )
        _fine_tune(path, data, given, output, (device, dtype.value, offline), dry_run, talk)
        return
    if dry_run:
        raise typer.BadParameter(
            "only recipes that fine-tune have a plan to print, and cross-modal ones",
            param_hint="--dry-run",
        )
    if not data and path.is_relative_to(RECIPES):
        raise typer.BadParameter(
            f"{recipe} needs data: a table of recordings with their emotions", param_hint="--data"
        )
    if is_text_recipe(path):
        if validating:
            raise typer.BadParameter(
                "a recipe of texts has a development split of its own; leave out the validation"
            )
        _train_text(path, data, given, output, talk)
        return
    held_out = _Validation(cross_validate, _table_format(output), csv_safe) if validating else None
    _train_embedded(path, data or (), given, output, cache, held_out, talk)


def _list() -> None:
    from rich.table import Table

    from emocli.cli.console import out, plain
    from emocli.training.shipped import shipped_recipes

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for shipped in shipped_recipes():
        table.add_row(shipped.name, plain(shipped.description))
    out().print(table)


def _fine_tune(
    path: Path,
    data: Sequence[str],
    settings: tuple[str, ...],
    output: str | None,
    machine: tuple[str, str, bool],
    dry_run: bool,
    talk: Talk,
) -> None:
    from emocli.cli.progress import phases_shown
    from emocli.cli.train_view import show_plan, tell_tuned
    from emocli.pipeline.model_folder import WORK
    from emocli.pipeline.tuning import plan_tuning, prepare_tuning, tune

    device, dtype, offline = machine
    prepared = prepare_tuning(
        path, data, settings=settings, device=device, dtype=dtype, offline=offline
    )
    if dry_run:
        show_plan(plan_tuning(prepared))
        return
    folder = Path(output or prepared.recipe.name)
    if (folder / WORK / "state.pt").is_file():
        talk.say(f"Going on from {folder / WORK / 'state.pt'}")
    with phases_shown(talk) as progress:
        tuned = tune(prepared, folder, progress)
    tell_tuned(talk, tuned)


def _train_crossmodal(
    opened: "Shipped",
    data: Sequence[str],
    settings: tuple[str, ...],
    output: str | None,
    machine: tuple[str, str, bool],
    cache: Path | None,
    dry_run: bool,
    talk: Talk,
) -> None:
    from emocli.cli.progress import phases_shown
    from emocli.cli.train_view import show_crossmodal_plan, tell_crossmodal
    from emocli.pipeline.crossmodal import plan_crossmodal, prepare_crossmodal, train_crossmodal
    from emocli.pipeline.model_folder import WORK

    device, dtype, offline = machine
    prepared = prepare_crossmodal(
        opened.content,
        opened.name,
        data,
        settings=settings,
        device=device,
        dtype=dtype,
        cache=cache,
        offline=offline,
    )
    if dry_run:
        show_crossmodal_plan(prepared, plan_crossmodal(prepared))
        return
    folder = Path(output or prepared.recipe.name)
    if (folder / WORK).is_dir():
        talk.say(f"Going on from {folder / WORK}")
    with phases_shown(talk) as progress:
        trained = train_crossmodal(prepared, folder, progress)
    tell_crossmodal(talk, trained)


def _train_text(
    path: Path, data: list[str] | None, settings: tuple[str, ...], output: str | None, talk: Talk
) -> None:
    from emocli.cli.progress import phases_shown
    from emocli.pipeline.train import train_text_model

    folder = Path(output) if output else None
    with phases_shown(talk) as progress:
        trained = train_text_model(
            path,
            settings=settings,
            data=Path(data[0]) if data else None,
            output=folder,
            progress=progress,
        )
    _tell(talk, trained)


@dataclass(frozen=True)
class _Validation:
    """How a validation is done (else each corpus is left out), and how its table is written."""

    by_speaker: bool
    form: str
    csv_safe: bool


def _train_embedded(
    path: Path,
    data: Sequence[str],
    settings: tuple[str, ...],
    output: str | None,
    cache: Path | None,
    validation: _Validation | None,
    talk: Talk,
) -> None:
    from emocli.cli.progress import phases_shown
    from emocli.pipeline.train import (
        cross_validate,
        leave_each_corpus_out,
        prepare,
        train_model,
    )

    with phases_shown(talk) as progress:
        prepared = prepare(path, settings=settings, data=data, cache=cache, progress=progress)
        for remark in prepared.remarks:
            talk.warn(remark)
        talk.detail(f"{len(prepared.utterances)} recordings, checkpoints in {prepared.work}")
        if validation:
            run = cross_validate if validation.by_speaker else leave_each_corpus_out
            trained = run(prepared, progress)
        else:
            trained = train_model(prepared, Path(output or prepared.recipe.output), progress)
    if validation:
        write_table(trained.table, output or STDIN, validation.form, csv_safe=validation.csv_safe)
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
        talk.say(f"{what}: {value}" if isinstance(value, int) else f"{what}: {value:.3f}")
    if trained.folder is not None:
        talk.say(f"Wrote the model to {trained.folder}; predict with -m {trained.folder}")
