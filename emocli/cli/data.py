"""``emocli data``: a known corpus in, a table of its labels out."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emocli.cli.console import Talk, choose_format, emit, finish
from emocli.cli.options import (
    CsvSafe,
    Format,
    Output,
    Overwrite,
    Quiet,
    Verbose,
)
from emocli.files import STDIN, check_output
from emocli.table import DIMENSIONS, PredictionTable, listing

if TYPE_CHECKING:
    from rich.console import RenderableType

    from emocli.pipeline.corpora import Labels

SPLIT_PANEL = "Parts that share no speaker"
LIST = "list"


def data(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A corpus of `emocli data --list`.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where the corpus is unpacked.")
    ] = None,
    list_corpora: Annotated[
        bool, typer.Option("--list", help="Print the corpora and what they look like on disk.")
    ] = False,
    keep_all: Annotated[
        bool,
        typer.Option(
            "--keep-all",
            help="Also utterances that are left out by default: songs, films, and those on which "
            "listeners did not agree and that have no dimensions. Their emotion is then unknown.",
        ),
    ] = False,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EMOTION=OTHER",
            help="Count an emotion as another, such as excited=happy. May be given several times.",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A choice of utterances that papers share. IEMOCAP has 5531: angry, happy with "
            "excited, neutral and sad, folded by session.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="TRAIN,DEV[,TEST]",
            help="Shares of utterances, by speaker, such as 0.8,0.1,0.1.",
            rich_help_panel=SPLIT_PANEL,
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="N|session|speaker",
            help="A column fold: N groups of speakers, or each session, or each speaker.",
            rich_help_panel=SPLIT_PANEL,
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="K",
            help="A column split as well: this fold for testing, the next for development.",
            rich_help_panel=SPLIT_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Of the chance in parts and folds.", rich_help_panel=SPLIT_PANEL),
    ] = 0,
    shared_speakers: Annotated[
        bool,
        typer.Option(
            "--shared-speakers",
            help="Keep the corpus's own split although speakers are in several parts, as in MELD. "
            "emocli train refuses such a table.",
            rich_help_panel=SPLIT_PANEL,
        ),
    ] = False,
    output: Output = STDIN,
    form: Format = None,
    csv_safe: CsvSafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Labels of a known corpus as a table.

    The table has the columns file, emotion and speaker, and whatever else the corpus says of its
    utterances: text, gender, language, session, strength, and arousal, dominance and valence on
    the corpus's own scale. It has the corpus's own split where there is one. Other commands take it
    as it is: train --data, predict, eval --truth. Paths of recordings start from the table's
    folder where they are below it, and are absolute elsewhere.

    What is left out or missing is said; status 3 means that labels name recordings that are not
    there.

    Examples:

        emocli data ravdess corpora/RAVDESS --split 0.8,0.1,0.1 -o labels.csv

        emocli data iemocap IEMOCAP_full_release --protocol 5531 --fold 5 -o session5.csv

        emocli train odyssey-baseline --data labels.csv --dry-run
    """
    if list_corpora or (name == LIST and folder is None):
        _list()
        return
    if name is None or folder is None:
        raise typer.BadParameter("missing argument NAME or DIR; --list names the corpora")
    kind = choose_format(output, form)
    check_output(output, overwrite=overwrite)
    from emocli.pipeline.corpora import GROUPS, Wanted, read_corpus
    from emocli.splits import shares_of

    if split and (folds or fold):
        raise typer.BadParameter("--split and --folds exclude one another")
    if fold and not (folds or protocol):
        raise typer.BadParameter(
            "there are no folds to choose from; add --folds", param_hint="--fold"
        )
    if folds and folds not in GROUPS and not (folds.isdecimal() and int(folds) > 1):
        raise typer.BadParameter(
            f"{folds!r} is none of session, speaker and a number above 1", param_hint="--folds"
        )
    wanted = Wanted(
        keep_all=keep_all,
        merged=dict(_pair(one) for one in merge or ()),
        protocol=protocol or "",
        shares=shares_of(split) if split else (),
        folds=folds or "",
        fold=fold or 0,
        seed=seed,
        shared_speakers=shared_speakers,
    )
    place = "" if output == STDIN else os.path.dirname(output)
    found = read_corpus(name, folder, wanted, place)
    _tell(Talk(quiet, verbose), found, is_dealt=bool(split or (folds and folds.isdecimal())))
    emit(found.table, output, kind, _readable, csv_safe=csv_safe)
    finish(len(found.missing))


def _pair(text: str) -> tuple[str, str]:
    one, sign, other = text.partition("=")
    if not (one.strip() and sign and other.strip()):
        raise typer.BadParameter(f"{text!r} is not of the form excited=happy", param_hint="--merge")
    return one.strip(), other.strip()


def _list() -> None:
    from rich.table import Table

    from emocli.cli.console import out, plain
    from emocli.corpora.registry import corpora

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, corpus in corpora().items():
        table.add_row(name, plain(f"{corpus.about.title}: {corpus.about.layout}"))
    out().print(table)


def _tell(talk: Talk, found: "Labels", *, is_dealt: bool) -> None:
    """What was found, left out and missed, and whether parts or folds were made anew."""
    for remark in found.remarks:
        talk.say(remark)
    table = found.table
    talk.say(
        f"{len(table)} utterances of {len({*table.column('speaker')} - {''})} speakers: "
        f"{_counts(table, 'emotion')}."
    )
    for column in ("split", "fold"):
        if column in table.columns:
            talk.say(f"{column}: {_counts(table, column)}.")
    n_unknown = sum(not who for who in table.column("speaker"))
    if n_unknown:
        alone = " Each was dealt out by itself." if is_dealt else ""
        talk.say(f"Nobody knows the speakers of {n_unknown} utterances.{alone}")
    if found.about.scale:
        _tell_scale(talk, table, found.about.scale)
    if found.missing:
        talk.warn(f"Labels name what is not there and has no row: {listing(found.missing)}.")


def _tell_scale(talk: Talk, table: PredictionTable, scale: tuple[float, float]) -> None:
    """The scale of the dimensions, and what is needed to train on them."""
    names = [name for name in DIMENSIONS if name in table.columns]
    values = [value for name in names for value in table[name].tolist() if value == value]
    if not values:
        return
    low, high = min(*scale, *values), max(*scale, *values)
    beyond = f" (these from {min(values):g} to {max(values):g})" if (low, high) != scale else ""
    talk.say(
        f"{' and '.join(filter(None, (', '.join(names[:-1]), names[-1])))}: on a scale from "
        f"{scale[0]:g} to {scale[1]:g}{beyond}; emocli train takes --set "
        f"'dimension_range=[{low:g}, {high:g}]'."
    )


def _counts(table: PredictionTable, column: str) -> str:
    counts = Counter(value or "none" for value in table.column(column).tolist())
    ordered = sorted(counts.items(), key=lambda pair: pair[0])
    return ", ".join(f"{value} {n}" for value, n in ordered)


def _readable(table: PredictionTable) -> "RenderableType":
    """Every column, for people."""
    from rich import box
    from rich.table import Table

    from emocli.cli.console import plain

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.columns:
        grid.add_column(name, overflow="fold")
    for row in table.rows():
        grid.add_row(*(plain("" if value != value else str(value)) for value in row.values()))
    return grid
