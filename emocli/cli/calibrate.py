"""``emocli calibrate``: probabilities that mean what they say."""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer
from rich import box
from rich.console import RenderableType
from rich.table import Table

from emocli.calibration.conformal import SetRule
from emocli.calibration.storage import dump_calibration
from emocli.cli.confidence import (
    AbstainAbove,
    AbstainBelow,
    calibrated,
    read_calibration,
    withheld,
)
from emocli.cli.console import Talk, choose_format, emit
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
from emocli.cli.render import prediction_table
from emocli.files import STDIN, check_output, write_text
from emocli.metrics.registry import METRICS
from emocli.pipeline.calibrate import (
    CalibrationOptions,
    CalibrationReport,
    Measured,
    fit_calibration,
)
from emocli.pipeline.pairing import Pairing
from emocli.table_io import table_files
from emocli.table_reader import ColumnNames

FIT_PANEL = "Fitting"
APPLY_PANEL = "Applying"
_FIGURES = {
    **{name: METRICS[name].title for name in ("accuracy", "ece", "nll", "brier", "aurc")},
    "coverage": "coverage of the label sets",
    "set_size": "labels in a set",
}


class Method(StrEnum):
    """Ways to calibrate."""

    AUTO = "auto"
    TEMPERATURE = "temperature"
    VECTOR = "vector"
    ISOTONIC = "isotonic"
    BETA = "beta"
    MEAN = "mean"


def calibrate(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Predictions; - reads a pipe.")],
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="What is true: fit a calibration on it.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="The map; mean averages the other four, auto (the default) takes the one that is "
            "best on held-out speakers, and mean where speakers are not known.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = None,
    conformal: Annotated[
        float | None,
        typer.Option(
            metavar="COVERAGE",
            help="Also sets of labels that hold the truth this often, such as 0.9.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = None,
    adaptive: Annotated[
        bool,
        typer.Option(
            "--adaptive",
            help="Sets that grow with doubt, instead of the smallest on average.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = False,
    penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="X",
            help="Keep adaptive sets short: what each label after the first costs.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = None,
    per_class: Annotated[
        bool,
        typer.Option(
            "--per-class",
            help="Promise the coverage for every emotion, not only for all together.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = False,
    truth_column: TruthColumn = "emotion",
    ignore_extra: Annotated[
        bool, typer.Option("--ignore-extra", help="Leave out predictions without a truth.")
    ] = False,
    match: MatchOption = Match.PATH,
    root: Root = None,
    file_column: FileColumn = "",
    text_column: TextColumn = "",
    speaker_column: SpeakerColumn = "",
    apply: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A calibration to apply to the table.",
            rich_help_panel=APPLY_PANEL,
        ),
    ] = None,
    abstain_above: AbstainAbove = None,
    abstain_below: AbstainBelow = None,
    output: Output = STDIN,
    format_: Format = None,
    csv_safe: CsvSafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Probabilities that mean what they say, and labels only where they are sure.

    With --truth a calibration is fitted and written as JSON; what it is worth is told on standard
    error, measured on speakers that were left out where speakers are known. With --apply it is
    applied to a table of the same model. Unsure labels can be left out with either --abstain
    option; the probabilities stay.

    Examples:

        emocli calibrate dev.csv --truth labels.csv --conformal 0.9 -o cal.json

        emocli calibrate new.csv --apply cal.json --abstain-below 0.5 -o out.csv
    """
    abstaining = abstain_above is not None or abstain_below is not None
    _check_way(truth=truth, applying=apply is not None or abstaining)
    talk = Talk(quiet, verbose)
    columns = ColumnNames(file_column, text_column, speaker_column)
    if truth is None:
        fitting = {
            "--method": method is not None,
            "--conformal": conformal is not None,
            "--adaptive": adaptive,
            "--penalty": penalty is not None,
            "--per-class": per_class,
            "--ignore-extra": ignore_extra,
        }
        _refuse(fitting, "is for fitting, and there is no --truth")
        kind = choose_format(output, format_)
        check_output(output, [*table_files([table]), apply], overwrite=overwrite)
        correction = read_calibration(apply)
        found = tell_tables([table], columns, talk)[table]
        found = calibrated(found, correction, _shown(table))
        found = withheld(found, abstain_above, abstain_below)
        if abstaining:
            talk.say(_abstained(found.column("abstained").tolist()))
        emit(found, output, kind, prediction_table, csv_safe=csv_safe)
        return
    _refuse({"--format": format_ is not None}, "is for tables, and a calibration is JSON")
    check_output(output, table_files([table, truth]), overwrite=overwrite)
    read = tell_tables([table, truth], columns, talk)
    report = fit_calibration(
        read[table],
        read[truth],
        CalibrationOptions(
            method=method or Method.AUTO,
            rule=_rule(conformal, adaptive=adaptive, penalty=penalty, per_class=per_class),
            pairing=Pairing(
                truth_column=truth_column,
                allow_missing=True,
                ignore_extra=ignore_extra,
                match=match.value,
                root=root,
            ),
        ),
        names=(_shown(table), _shown(truth)),
    )
    _tell(report, talk)
    write_text(dump_calibration(report.calibration), output)


def _check_way(*, truth: str | None, applying: bool) -> None:
    if truth is not None and applying:
        raise typer.BadParameter(
            "--truth fits a calibration; --apply and --abstain make a table, in a second step"
        )
    if truth is None and not applying:
        raise typer.BadParameter(
            "nothing to do without --truth TABLE, --apply FILE, --abstain-above or --abstain-below"
        )


def _refuse(given: Mapping[str, bool], why: str) -> None:
    """Refuse options that would be passed over in silence."""
    for option, is_given in given.items():
        if is_given:
            raise typer.BadParameter(f"{option} {why}")


def _rule(
    coverage: float | None, *, adaptive: bool, penalty: float | None, per_class: bool
) -> SetRule | None:
    if coverage is None:
        kinds = {
            "--adaptive": adaptive,
            "--penalty": penalty is not None,
            "--per-class": per_class,
        }
        _refuse(kinds, "speaks of label sets, and there is no --conformal COVERAGE")
        return None
    if not 0 < coverage < 1:
        raise typer.BadParameter(
            f"{coverage:g} is not above 0 and below 1", param_hint="--conformal"
        )
    if penalty is not None and not adaptive:
        raise typer.BadParameter("--penalty belongs to --adaptive sets")
    return SetRule(coverage, adaptive, penalty or 0.0, per_class)


def _shown(path: str) -> str:
    return "standard input" if path == STDIN else path


def _abstained(answers: list[str]) -> str:
    n_known = sum(answer != "" for answer in answers)
    return f"{answers.count('yes')} of {n_known} predictions have no label; see note."


def _tell(report: CalibrationReport, talk: Talk) -> None:
    """What the calibration was fitted on, and what it is worth."""
    calibration = report.calibration
    told = f"{calibration.method} calibration, fitted on {calibration.n_fitted} predictions"
    told += f" of {report.n_groups} speakers." if report.n_groups else "."
    if report.n_silent:
        told += f" {report.n_silent} rows without a prediction took no part."
    if report.foreign:
        counts = ", ".join(f"{name} {count}" for name, count in report.foreign.items())
        told += f" {sum(report.foreign.values())} rows with other labels took no part: {counts}."
    talk.say(told)
    if report.losses:
        shown = ", ".join(f"{name} {loss:.4f}" for name, loss in report.losses.items())
        talk.say(f"Held-out NLL of each method: {shown}.")
    talk.say(f"After calibration measured on {report.measured}:")
    talk.show(_figures(report))
    _warn(report, talk)


def _warn(report: CalibrationReport, talk: Talk) -> None:
    if report.measured == Measured.ITSELF:
        talk.warn(
            "The figures after calibration are in-sample, so they flatter. "
            "Give 20 labelled recordings or more."
        )
    elif report.n_unnamed:
        talk.warn(
            f"The speakers of {report.n_unnamed} predictions are not known: each of these was left "
            f"out by itself, so somebody fitted on may have spoken it."
        )
    elif report.measured == Measured.RECORDINGS:
        talk.warn(
            "No two speakers are known, so the figures hold for the speakers at hand and flatter "
            "for others. Name their column with --speaker-column."
        )
    if report.unseen:
        talk.warn(
            f"No recording is truly {' or '.join(report.unseen)}, so nothing was learned of such. "
            f"Give recordings of every emotion."
        )
    sets = report.calibration.sets
    if sets is not None:
        everywhere = [
            label
            for label, threshold in zip(report.calibration.labels, sets.thresholds, strict=True)
            if math.isinf(threshold)
        ]
        if everywhere:
            talk.warn(
                f"Too few recordings to promise {sets.rule.coverage:g} for "
                f"{', '.join(everywhere)}, so every set holds it. Give more of them."
            )


def _figures(report: CalibrationReport) -> RenderableType:
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    view.add_column("")
    view.add_column("before", justify="right")
    view.add_column("after", justify="right")
    for name, title in _FIGURES.items():
        if name in report.after:
            before = report.before.get(name)
            shown = "" if before is None else f"{before:.4f}"
            view.add_row(title, shown, f"{report.after[name]:.4f}")
    return view
