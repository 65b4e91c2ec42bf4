"""``emocli report``: tables in, one page or one picture out."""

import os
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from importlib.metadata import version
from pathlib import PurePath
from typing import Annotated

import typer

from emocli.calibration.abstention import keep_labels
from emocli.cli.app import ARGUMENTS
from emocli.cli.cautions import cautions
from emocli.cli.confidence import KeptLabels, split_labels
from emocli.cli.console import Talk
from emocli.cli.fusers import read_fuser
from emocli.cli.named_files import tell_tables
from emocli.cli.options import (
    OUTPUT_PANEL,
    FileColumn,
    Match,
    MatchOption,
    Overwrite,
    Quiet,
    Root,
    SpeakerColumn,
    TextColumn,
    TruthColumn,
    Verbose,
)
from emocli.cli.render import doubtful
from emocli.errors import TableError
from emocli.files import STDIN, check_output, write_bytes
from emocli.fusion.entropy_selection import EntropySelection
from emocli.labels import canonical_label
from emocli.metrics.evaluation import Evaluation
from emocli.pipeline.evaluate import N_DRAWS, EvalOptions
from emocli.pipeline.pairing import Pairing
from emocli.pipeline.report import (
    Sources,
    cards_of,
    embedded,
    find_audio,
    linked,
    systems_of,
)
from emocli.report.content import Report, System
from emocli.report.gallery import KINDS
from emocli.report.page import build_page
from emocli.report.png import as_png
from emocli.report.svg import as_file
from emocli.table import PredictionTable
from emocli.table_io import table_files
from emocli.table_reader import ColumnNames

PLOT_PANEL = "One picture instead"
SUFFIXES = (".svg", ".png")
HEAVY_PAGE = 25_000_000
"""Bytes from which phones are slow to open a page."""


class Figure(StrEnum):
    """Pictures that can be drawn alone."""

    LABELS = "labels"
    SCATTER = "scatter"
    CONFUSION = "confusion"
    RELIABILITY = "reliability"
    RISK_COVERAGE = "risk-coverage"
    SPEAKERS = "speakers"
    TRANSITIONS = "transitions"
    TIMELINE = "timeline"


def report(
    context: typer.Context,
    tables: Annotated[
        list[str], typer.Argument(metavar="TABLE", help="Predictions; - reads a pipe.")
    ],
    truth: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="What is true: file and emotion, by default."),
    ] = None,
    truth_column: TruthColumn = "emotion",
    fuser: Annotated[
        str | None,
        typer.Option(metavar="FUSER", help="Draw the thresholds that emocli fuse --save kept."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Figures for each value of a column; by default of speaker, where there is one.",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"Resampled tables for 95 % intervals; 0 for none. By default {N_DRAWS:,}.",
        ),
    ] = None,
    match: MatchOption = Match.PATH,
    root: Root = None,
    file_column: FileColumn = "",
    text_column: TextColumn = "",
    speaker_column: SpeakerColumn = "",
    embed_audio: Annotated[
        bool,
        typer.Option(
            "--embed-audio",
            help="Put the recordings into the page, up to 20 MB, instead of linking to them.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    heading: Annotated[
        str | None,
        typer.Option(
            "--title",
            metavar="TEXT",
            help="Heading of the page. By default the names of the tables.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where the page goes; players find recordings from there.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = STDIN,
    labels: KeptLabels = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.svg|png",
            help="Draw one picture into a file. PNG needs emocli[plot].",
            rich_help_panel=PLOT_PANEL,
        ),
    ] = None,
    picture: Annotated[
        Figure,
        typer.Option(
            "--figure",
            help="Which picture. All but labels, scatter and timeline need --truth or fusion.",
            rich_help_panel=PLOT_PANEL,
        ),
    ] = Figure.SCATTER,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """One page to look at, listen to and send on.

    The page needs no network and can be sent as it is. Its list can be sorted and searched, plays
    recordings that lie beside the page, and opens at the point that is selected in a picture.
    With --truth it shows what is mistaken for what, and whether the probabilities are honest.

    Examples:

        emocli report predictions.csv --truth labels.csv -o report.html

        emocli report speech.csv text.csv fused.csv --truth labels.csv --fuser fuser.json -o r.html

        emocli report predictions.csv --truth labels.csv --plot confusion.svg --figure confusion
    """
    _check_destination(output, plot)
    inputs = [*table_files([*tables, truth]), fuser]
    option = "--plot" if plot else "-o"
    check_output(plot or output, inputs, overwrite=overwrite, option=option)
    talk = Talk(quiet, verbose)
    thresholds = _thresholds(fuser, talk) if fuser else None
    by_path = tell_tables(
        [*tables, truth], ColumnNames(file_column, text_column, speaker_column), talk
    )
    wanted = split_labels(labels)
    read = [
        (_shown(path), keep_labels(by_path[path], wanted) if wanted else by_path[path])
        for path in tables
    ]
    pairing = Pairing(
        truth_column=truth_column,
        labels=tuple(map(canonical_label, wanted)),
        allow_missing=True,
        ignore_extra=True,
        match=match.value,
        root=root,
    )
    sources = Sources(
        unsure=doubtful,
        truth=by_path[truth] if truth else None,
        truth_name=_shown(truth) if truth else "",
        options=EvalOptions(pairing=pairing, by=tuple(by or ()), n_draws=0 if plot else draws),
        fuser=thresholds,
    )
    systems = systems_of(read, sources)
    if plot:
        _draw(systems, picture, plot, talk)
        return
    found = [table for _, table in read]
    warnings = _warnings(found, systems)
    page = build_page(
        Report(
            heading=heading or ", ".join(PurePath(name).name for name, _ in read),
            systems=tuple(systems),
            audio=_audio(found, output, root, embed=embed_audio),
            cards=tuple(cards_of(systems)),
            warnings=tuple(warnings),
            commands=tuple(_commands(context, tables, truth, sources.options)),
            made=_made(date.today()),
        )
    )
    write_bytes(page, output)
    for sentence in warnings:
        talk.warn(sentence)
    talk.say(f"{_shown(output, 'standard output')}: {_told(systems, len(page))}.")


def _check_destination(output: str, plot: str | None) -> None:
    """Refuse a page or a picture that has nowhere to go."""
    if plot is not None and PurePath(plot).suffix.lower() not in SUFFIXES:
        raise TableError(
            f"{plot}: suffix {PurePath(plot).suffix or '(none)'} names no form of picture, "
            f"expected one of {', '.join(SUFFIXES)}. Rename the file."
        )
    if plot is not None and output != STDIN:
        raise typer.BadParameter("--plot draws one picture instead of the page that -o names")
    if plot is None and output == STDIN and _is_terminal():
        raise TableError(
            "A report is a page for browsers and standard output is a terminal, expected a file "
            "or a pipe. Add -o report.html."
        )


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _shown(path: str, pipe: str = "standard input") -> str:
    return pipe if path == STDIN else path


def _thresholds(path: str, talk: Talk) -> EntropySelection | None:
    """The fuser in a file, if it is one that has thresholds to draw."""
    found = read_fuser(path)
    if isinstance(found, EntropySelection):
        return found
    talk.warn(f"{path}: this method has no thresholds of entropy, so none are drawn.")
    return None


def _draw(systems: Sequence[System], kind: Figure, plot: str, talk: Talk) -> None:
    """Write the first picture of a kind."""
    if len(systems) != 1:
        names = ", ".join(system.name for system in systems)
        raise TableError(
            f"--plot draws the predictions of one model, found {len(systems)}: {names}. "
            f"Give one table with the rows of one model."
        )
    found = next(KINDS[kind.value](systems[0]), None)
    if found is None:
        raise TableError(
            f"{systems[0].table}: nothing to draw for --figure {kind.value}, expected "
            f"{_NEEDS[kind.value]}. Choose another figure."
        )
    drawing = as_file(found.drawing, found.heading)
    is_png = PurePath(plot).suffix.lower() == ".png"
    content = as_png(drawing) if is_png else drawing.encode()
    write_bytes(content, plot)
    talk.detail(f"{plot}: {found.heading}. {found.caption}")


_NEEDS = {
    "labels": "labels",
    "scatter": "probabilities or two dimensions",
    "confusion": "labels and --truth",
    "reliability": "probabilities and --truth",
    "risk-coverage": "probabilities and --truth",
    "speakers": "--truth and a column speaker, or --by",
    "transitions": "a table that emocli fuse made by entropy selection and in which it changed "
    "labels",
    "timeline": "a recording with several windows, with start and end",
}
"""What a picture is drawn from."""


def _warnings(tables: Sequence[PredictionTable], systems: Sequence[System]) -> list[str]:
    """What to doubt: runs that look wrong, rows left out, and what evaluations say."""
    sentences = [sentence for table in tables for sentence in cautions(table)]
    for system in systems:
        if n_failed := int(system.rows.failed.sum()):
            sentences.append(
                f"{system.name}: {n_failed} of {len(system.rows)} rows have no prediction; the "
                f"list says why."
            )
        if system.verdict is not None:
            sentences += _doubts(system.name, system.verdict.evaluation)
    return list(dict.fromkeys(sentences))


def _doubts(who: str, found: Evaluation) -> list[str]:
    sentences = list(found.warnings)
    if found.n_missing:
        sentences.append(
            f"{who}: {found.n_missing} of {found.n} recordings in the truth have no prediction; "
            f"labels and words count as wrong there."
        )
    if found.n_extra:
        sentences.append(f"{who}: {found.n_extra} predictions have no truth and are not judged.")
    return sentences


def _audio(
    tables: Sequence[PredictionTable], output: str, root: str | None, *, embed: bool
) -> dict[str, str]:
    """Addresses of the recordings that the page can play."""
    folder = "" if output == STDIN else os.path.dirname(output)
    places = find_audio(tables, folder, root)
    return embedded(places, folder) if embed else linked(places)


def _commands(
    context: typer.Context, tables: Sequence[str], truth: str | None, options: EvalOptions
) -> list[str]:
    """The command line that made the page, and the one that prints its figures."""
    lines = [["emocli", *context.meta[ARGUMENTS]]]
    if truth and STDIN not in (*tables, truth):
        how = options.pairing
        named = {"--truth-column": how.truth_column, "--match": how.match, "--root": how.root}
        said = [
            part
            for flag, value in named.items()
            if value not in (None, Pairing.truth_column, Pairing.match)
            for part in (flag, str(value))
        ]
        said += [part for column in options.by for part in ("--by", column)]
        said += ["--allow-missing", "--ignore-extra"]
        lines.append(["emocli", "eval", *tables, "--truth", truth, *said])
    return [shlex.join(line) for line in lines]


def _made(day: date) -> str:
    return f"emocli {version('emocli')}, {day.day} {day:%B %Y}."


def _told(systems: Sequence[System], size: int) -> str:
    n_rows = sum(len(system.rows) for system in systems)
    told = f"{n_rows:,} rows, {size / 1e6:.1f} MB"
    if size > HEAVY_PAGE:
        told += ", which phones open slowly; report fewer rows at a time"
    return told
