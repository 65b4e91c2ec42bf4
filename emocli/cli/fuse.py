"""``emocli fuse``: several tables in, one out."""

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from emocli.calibration.disagreement import with_disagreement
from emocli.calibration.uncertainty import with_uncertainty
from emocli.cli.confidence import (
    AbstainAbove,
    AbstainBelow,
    CalibrationFile,
    calibrated,
    read_calibration,
    withheld,
)
from emocli.cli.console import Talk, choose_format, emit, finish
from emocli.cli.fuse_method import WHERE_TRUTH_COUNTS, Method, no_prior
from emocli.cli.named_files import tell_tables
from emocli.cli.options import (
    CsvSafe,
    FileColumn,
    Format,
    Match,
    MatchOption,
    Output,
    Overwrite,
    Quiet,
    Root,
    SpeakerColumn,
    TextColumn,
    TruthColumn,
    Verbose,
)
from emocli.errors import LabelMismatch, TableError
from emocli.files import STDIN, check_output
from emocli.fusion.fused import AVERAGES, ENTROPY_SELECTION, average
from emocli.fusion.sides import (
    NO_ROW,
    Side,
    align,
    align_rows,
    align_union,
    common_posteriors,
    restrict,
    split_models,
)
from emocli.table import PredictionTable
from emocli.table_io import match_tables, table_files
from emocli.table_reader import ColumnNames

if TYPE_CHECKING:
    from rich.console import RenderableType

    from emocli.fusion.entropy_selection import ClassRule
    from emocli.fusion.storage import AnyFuser

FIT_PANEL = "Fusers that learn"
SELECTION_PANEL = "Entropy selection without a fit"


class Criterion(StrEnum):
    """What decides between strengths of a penalty."""

    UAR = "uar"
    MACRO_F1 = "macro-f1"


def fuse(
    tables: Annotated[
        list[str], typer.Argument(metavar="TABLE TABLE...", help="Predictions; - reads a pipe.")
    ],
    method: Annotated[
        Method | None,
        typer.Option(help="How to fuse. By default mean, and with --fit auto."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="W,W,...", help="Weight of each table; equal by default."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Use only these labels, scaled to sum to 1."),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(metavar="TRUTH", help="Learn from these labels.", rich_help_panel=FIT_PANEL),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="FUSER", help="Keep what was learned.", rich_help_panel=FIT_PANEL),
    ] = None,
    fuser: Annotated[
        str | None,
        typer.Option(
            metavar="FUSER", help="Fuse with what --save kept.", rich_help_panel=FIT_PANEL
        ),
    ] = None,
    select_by: Annotated[
        Criterion,
        typer.Option(
            help="logistic, blend: what decides how much to learn.", rich_help_panel=FIT_PANEL
        ),
    ] = Criterion.UAR,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced",
            help="logistic: learn as if all labels were equally frequent, as bayes, blend and "
            "stacking do anyway.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = False,
    temper: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=2.0,
            metavar="POWER",
            help="bayes, blend: exponent of the text's likelihood; below 1 trusts the text less.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = 1.0,
    in_sample: Annotated[
        bool,
        typer.Option(
            "--in-sample",
            help="With --fit, fuse these tables with the fuser that has seen them; by default each "
            "row is fused by one that was fitted without it.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = False,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="uniform|TRUTH",
            help="Class mix to expect: all labels equally, or as in this table's labels.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = None,
    entropy_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NATS",
            help="Without a fit: ask the text from this entropy on.",
            rich_help_panel=SELECTION_PANEL,
        ),
    ] = None,
    varentropy_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NATS2",
            help="Without a fit: and up to this varentropy.",
            rich_help_panel=SELECTION_PANEL,
        ),
    ] = None,
    sentiment_rule: Annotated[
        str | None,
        typer.Option(
            metavar="refer|simple:T[:flip]",
            help="Without a fit: negative is the likelier of angry and sad (refer, the default), "
            "or angry up to the score T and sad above it, or with flip the other way round.",
            rich_help_panel=SELECTION_PANEL,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Tables may lack recordings of one another; those that have one decide.",
        ),
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(metavar="TRUTH", help="Count what the text corrected and broke."),
    ] = None,
    truth_column: TruthColumn = "emotion",
    calibration: CalibrationFile = None,
    abstain_above: AbstainAbove = None,
    abstain_below: AbstainBelow = None,
    match: MatchOption = Match.PATH,
    root: Root = None,
    file_column: FileColumn = "",
    text_column: TextColumn = "",
    speaker_column: SpeakerColumn = "",
    output: Output = STDIN,
    format_: Format = None,
    csv_safe: CsvSafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """One prediction from several tables of the same recordings.

    Averages need nothing but the tables. Beside emotions, sentiments count as emotions: positive
    as happy, and negative as angry, sad and others of their kind in the voice's own ratio.

    Other methods learn from recordings whose emotions are known (--fit). Entropy selection keeps
    the voice's label and asks the text's sentiment where the voice is doubtful. Bayes' rule
    multiplies the voice's posterior by the likelihood of the text's answer; logistic regression,
    ridge (for dimensions) and stacking take any models. blend is the geometric mean of bayes and
    balanced logistic regression; where speakers are known, it trusts the voice no more than the
    speaker bears out whose voice the model knows least. auto is blend for one voice and one
    sentiment, else logistic, or ridge where there are only dimensions.

    Examples:

        emocli fuse speech.csv text.csv --method product

        emocli fuse speech.csv text.csv --method auto --fit labels.csv --save fuser.json -o dev.csv

        emocli fuse speech.csv text.csv --fuser fuser.json | emocli eval - --truth labels.csv
    """
    kind = choose_format(output, format_)
    talk = Talk(quiet, verbose)
    rule: ClassRule | None = None
    if (entropy_threshold, varentropy_threshold, sentiment_rule) != (None, None, None):
        from emocli.cli.fusers import manual_rule

        rule = manual_rule(entropy_threshold, varentropy_threshold, sentiment_rule)
    _check_way(method, fit=fit, save=save, fuser=fuser, rule=rule)
    # All that can be wrong with what is named, before a pipe is waited for.
    known = fit or truth
    inputs = [*table_files([*tables, known]), fuser, calibration, prior]
    check_output(output, inputs, overwrite=overwrite)
    check_output(save, inputs, overwrite=overwrite, option="--save")
    correction = read_calibration(calibration)
    kept_fuser = _read_fuser(fuser) if fuser else None
    read = tell_tables(
        [*tables, known], ColumnNames(file_column, text_column, speaker_column), talk
    )
    find = partial(match_tables, match=match.value, root=root)
    sides = _sides([(path, read[path]) for path in tables], labels, talk)
    if allow_missing:
        sides = align_union(sides, find)
        _tell_missing(sides, talk)
    else:
        sides = align(sides, find)
    answers = align_rows(sides[0].table, read[known], find) if known else None
    if fuser is None and fit is None and rule is None:
        _check_plain(truth=truth, prior=prior)
        fused = average(sides, method or Method.MEAN, weights=_figures(weights))
        is_ensemble = method in (None, Method.MEAN) and weights is None
    else:
        from emocli.cli.fusers import FitOptions, Way, fuse_learned

        way = Way(
            method=method,
            fit=fit,
            save=save,
            fuser=kept_fuser,
            rule=rule,
            options=FitOptions(select_by.value, balanced, temper),
            in_sample=in_sample,
            prior=prior,
            truth=truth,
            truth_column=truth_column,
            weights=weights,
        )
        fused = fuse_learned(sides, answers, way, talk)
        is_ensemble = False
    fused = _compared(fused, sides, is_ensemble=is_ensemble)
    fused = calibrated(fused, correction, "the fused table")
    kept = withheld(fused, abstain_above, abstain_below)
    emit(kept, output, kind, _readable, csv_safe=csv_safe)
    finish(int(fused.failed.sum()))


def _check_way(
    method: str | None,
    *,
    fit: str | None,
    save: str | None,
    fuser: str | None,
    rule: "ClassRule | None",
) -> None:
    """Refuse options about learning that contradict one another."""
    n_ways = sum(way is not None for way in (fit, fuser, rule))
    if n_ways > 1:
        raise typer.BadParameter("--fit, --fuser and thresholds set by hand exclude one another")
    if save is not None and fit is None:
        raise typer.BadParameter("--save keeps what --fit TRUTH learned, and there is no --fit")
    if method in AVERAGES and n_ways:
        raise typer.BadParameter(
            f"--method {method} has nothing to learn; leave out --fit, --fuser and thresholds"
        )
    if rule is not None and method not in (None, ENTROPY_SELECTION):
        raise typer.BadParameter(f"thresholds belong to {ENTROPY_SELECTION}, not to {method}")
    if method is not None and method not in AVERAGES and not n_ways:
        by_hand = ", or --entropy-threshold with --varentropy-threshold"
        raise typer.BadParameter(
            f"{method} needs --fit TRUTH or --fuser FUSER"
            f"{by_hand if method == ENTROPY_SELECTION else ''}"
        )


def _check_plain(*, truth: str | None, prior: str | None) -> None:
    """Refuse options that mean nothing for an average."""
    if truth is not None:
        raise typer.BadParameter(WHERE_TRUTH_COUNTS)
    if prior is not None:
        raise typer.BadParameter(no_prior("an average"))


def _figures(weights: str | None) -> list[float] | None:
    try:
        return [float(weight) for weight in weights.split(",")] if weights else None
    except ValueError:
        raise typer.BadParameter(
            f"{weights!r} is not a list of numbers such as 2,1", param_hint="--weights"
        ) from None


def _read_fuser(path: str) -> "AnyFuser":
    from emocli.cli.fusers import read_fuser

    return read_fuser(path)


def _sides(
    tables: Sequence[tuple[str, PredictionTable]], labels: str | None, talk: Talk
) -> list[Side]:
    """One side for each model in the tables, over the labels that are asked for."""
    sides = [side for path, table in tables for side in split_models(_name(path), table)]
    if len(sides) < 2:
        raise TableError(
            f"{_name(tables[0][0])} holds the rows of one model, expected two or more models to "
            f"fuse. Give another table."
        )
    if labels is None:
        return sides
    wanted = [label.strip() for label in labels.split(",")]
    restricted = [restrict(side, wanted) for side in sides]
    for side, kept in zip(sides, restricted, strict=True):
        if gone := [label for label in side.labels if label not in kept.labels]:
            talk.say(f"{side.name}: without {', '.join(gone)}, the rest scaled to sum to 1.")
    return restricted


def _tell_missing(sides: Sequence[Side], talk: Talk) -> None:
    """Say how many recordings each side lacks."""
    for side in sides:
        errors = side.table.column("error").tolist()
        n_missing = sum(error.startswith(NO_ROW) for error in errors)
        if n_missing:
            found = f"{side.name} lacks {n_missing} of {len(errors)} recordings"
            talk.warn(f"{found}; the other models decide there.")


def _name(path: str) -> str:
    return "stdin" if path == STDIN else PurePath(path).stem


def _compared(
    fused: PredictionTable, sides: Sequence[Side], *, is_ensemble: bool
) -> PredictionTable:
    """The fused table with the disagreement of the sides, where their labels can be compared.

    Where its posterior is the plain mean of theirs, the sides are an ensemble: the entropy then
    parts into what each of them doubts and what they do not agree on.
    """
    try:
        _, probs = common_posteriors(sides)
    except LabelMismatch:  # fusers that learn take sides of any labels
        return fused
    comparable = (~np.isnan(probs).all(axis=2)).sum(axis=0) > 1
    if not comparable.any():
        return fused
    compared = with_disagreement(fused, probs)
    return with_uncertainty(compared, probs) if is_ensemble else compared


def _readable(table: PredictionTable) -> "RenderableType":
    """The readable table, with what the text changed among the remarks."""
    from emocli.cli.render import prediction_table

    remarks = [
        "; ".join(filter(None, (f"text: {changed}" if changed else "", note)))
        for changed, note in zip(table.column("changed"), table.column("note"), strict=True)
    ]
    return prediction_table(table.with_columns({"note": remarks}))
