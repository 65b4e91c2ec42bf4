"""``emocli fuse``: several tables in, one out."""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated

import typer
from rich.console import RenderableType

from emocli.cli.console import Talk, choose_format, emit, finish
from emocli.cli.options import (
    Format,
    Match,
    MatchOption,
    Output,
    Quiet,
    Root,
    TruthColumn,
    Verbose,
)
from emocli.cli.render import prediction_table
from emocli.errors import FuserError, TableError
from emocli.fusion.entropy_selection import (
    NEVER,
    REFER,
    ClassRule,
    EntropySelection,
    SentimentRule,
    manual,
)
from emocli.fusion.fused import (
    ENTROPY_SELECTION,
    FitReport,
    Summary,
    average,
    fit_selection,
    select,
    summarise,
)
from emocli.fusion.sides import (
    Side,
    align,
    align_truth,
    find_speech_and_text,
    restrict,
    split_models,
)
from emocli.fusion.storage import ARROW, dump_fuser, load_fuser
from emocli.table import PredictionTable
from emocli.table_io import STDIN, match_tables, read_table

SELECTION_PANEL = "Entropy selection"


class Method(StrEnum):
    """Ways to fuse."""

    MEAN = "mean"
    PRODUCT = "product"
    ENTROPY_WEIGHTED = "entropy-weighted"
    MAX_CONFIDENCE = "max-confidence"
    ENTROPY_SELECTION = "entropy-selection"


def fuse(
    tables: Annotated[
        list[str], typer.Argument(metavar="TABLE TABLE...", help="Predictions; - reads a pipe.")
    ],
    method: Annotated[
        Method | None,
        typer.Option(help="How to fuse. Default: mean, or what the fuser was made with."),
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
        typer.Option(
            metavar="TRUTH",
            help="Learn the thresholds from these labels.",
            rich_help_panel=SELECTION_PANEL,
        ),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="FUSER",
            help="Keep what was learned, as JSON.",
            rich_help_panel=SELECTION_PANEL,
        ),
    ] = None,
    fuser: Annotated[
        str | None,
        typer.Option(
            metavar="FUSER",
            help="Fuse with what --save kept.",
            rich_help_panel=SELECTION_PANEL,
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
    truth: Annotated[
        str | None,
        typer.Option(metavar="TRUTH", help="Count what the text corrected and broke."),
    ] = None,
    truth_column: TruthColumn = "emotion",
    match: MatchOption = Match.PATH,
    root: Root = None,
    output: Output = STDIN,
    format_: Format = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """One prediction from several tables of the same recordings.

    Averages need nothing but the tables. Beside emotions, sentiments count as emotions: positive
    as happy, and negative as angry and sad in the ratio that the voice gives them.

    Entropy selection keeps the voice's label and asks the text's sentiment where the voice is
    doubtful. When that is, it learns from recordings whose emotions are known (--fit).

    Examples:

        emocli fuse speech.csv text.csv --method product

        emocli fuse speech.csv text.csv --fit labels.csv --save fuser.json -o fused.csv

        emocli fuse speech.csv text.csv --fuser fuser.json | emocli eval - --truth labels.csv
    """
    kind = choose_format(output, format_)
    talk = Talk(quiet, verbose)
    thresholds = _thresholds(entropy_threshold, varentropy_threshold, sentiment_rule)
    _check_way(method, fit=fit, save=save, fuser=fuser, thresholds=thresholds)
    selecting = fit is not None or fuser is not None or thresholds is not None
    _check_meaning(selecting, weights=weights, truth=truth)
    find = partial(match_tables, match=match.value, root=root)
    sides = align(_read_sides(tables, labels, talk), find)
    answers = fit or truth
    known = align_truth(sides[0].table, read_table(answers), truth_column, find) if answers else []
    if fuser:
        fused = _selected(sides, load_fuser(_read(fuser), fuser), known, talk)
    elif fit:
        fitted = _fitted(sides, known, talk)
        if save:
            _write(save, dump_fuser(fitted))
        fused = _selected(sides, fitted, known, talk)
    elif thresholds:
        fused = _selected(sides, _by_hand(sides, thresholds), known, talk)
    else:
        fused = average(sides, method or Method.MEAN, weights=_figures(weights))
    emit(fused, output, kind, _readable)
    finish(int(fused.failed.sum()))


def _thresholds(
    entropy: float | None, varentropy: float | None, rule: str | None
) -> ClassRule | None:
    """The rule that is set by hand, None where there is none."""
    if entropy is None and varentropy is None and rule is None:
        return None
    if entropy is None or varentropy is None:
        raise typer.BadParameter(
            "a rule set by hand needs both --entropy-threshold and --varentropy-threshold"
        )
    return ClassRule(entropy, varentropy, _sentiment_rule(rule or "refer"))


def _sentiment_rule(text: str) -> SentimentRule:
    kind, *rest = text.split(":")
    if kind == "refer" and not rest:
        return REFER
    if kind == "simple" and rest and rest[1:] in ([], ["flip"]):
        with suppress(ValueError):
            threshold = float(rest[0])
            if 0 <= threshold <= 1:
                return SentimentRule(threshold, flip=bool(rest[1:]))
    raise typer.BadParameter(
        f"{text!r} is neither refer nor simple:T nor simple:T:flip with T from 0 to 1",
        param_hint="--sentiment-rule",
    )


def _check_way(
    method: str | None,
    *,
    fit: str | None,
    save: str | None,
    fuser: str | None,
    thresholds: ClassRule | None,
) -> None:
    """Refuse options about learning that contradict one another."""
    n_ways = sum(way is not None for way in (fit, fuser, thresholds))
    if n_ways > 1:
        raise typer.BadParameter("--fit, --fuser and thresholds set by hand exclude one another")
    if save is not None and fit is None:
        raise typer.BadParameter("--save keeps what --fit TRUTH learned, and there is no --fit")
    if n_ways and method not in (None, ENTROPY_SELECTION):
        raise typer.BadParameter(
            f"--method {method} has nothing to learn; --fit, --fuser and thresholds belong to "
            f"{ENTROPY_SELECTION}"
        )
    if method == ENTROPY_SELECTION and not n_ways:
        raise typer.BadParameter(
            f"{ENTROPY_SELECTION} needs --fit TRUTH, --fuser FUSER, or --entropy-threshold with "
            f"--varentropy-threshold"
        )


def _check_meaning(selecting: bool, *, weights: str | None, truth: str | None) -> None:
    """Refuse options that would be passed over in silence."""
    if selecting and weights is not None:
        raise typer.BadParameter(f"{ENTROPY_SELECTION} chooses one side and takes no --weights")
    if not selecting and truth is not None:
        raise typer.BadParameter(
            f"--truth counts what {ENTROPY_SELECTION} changed; for averages use emocli eval"
        )


def _figures(weights: str | None) -> list[float] | None:
    try:
        return [float(weight) for weight in weights.split(",")] if weights else None
    except ValueError:
        raise typer.BadParameter(
            f"{weights!r} is not a list of numbers such as 2,1", param_hint="--weights"
        ) from None


def _read_sides(paths: Sequence[str], labels: str | None, talk: Talk) -> list[Side]:
    """One side for each model in the tables, over the labels that are asked for."""
    sides = [side for path in paths for side in split_models(_name(path), read_table(path))]
    if len(sides) < 2:
        raise TableError(
            f"{_name(paths[0])} holds the rows of one model, expected two or more models to fuse. "
            f"Give another table."
        )
    if labels is None:
        return sides
    wanted = [label.strip() for label in labels.split(",")]
    restricted = [restrict(side, wanted) for side in sides]
    for side, kept in zip(sides, restricted, strict=True):
        if gone := [label for label in side.labels if label not in kept.labels]:
            talk.say(f"{side.name}: without {', '.join(gone)}, the rest scaled to sum to 1.")
    return restricted


def _name(path: str) -> str:
    return "stdin" if path == STDIN else PurePath(path).stem


def _fitted(sides: Sequence[Side], truth: Sequence[str], talk: Talk) -> EntropySelection:
    """Entropy selection learned from the tables at hand."""
    fuser, report = fit_selection(sides, truth)
    talk.say(_fit_told(report))
    for label, rule in fuser.rules.items():
        talk.detail(f"{label}: {_rule_told(rule)}")
    talk.detail(f"excluded: {', '.join(ARROW.join(pair) for pair in fuser.excluded) or 'none'}")
    return fuser


def _fit_told(report: FitReport) -> str:
    told = f"Fitted on {report.n_used} rows."
    if report.n_silent:
        told += f" {report.n_silent} rows without a prediction took no part."
    if report.foreign:
        counts = ", ".join(f"{name} {count}" for name, count in report.foreign.items())
        told += f" {sum(report.foreign.values())} rows with other labels took no part: {counts}."
    return told


def _rule_told(rule: ClassRule) -> str:
    if rule == NEVER:
        return "the text is never asked"
    negative = "the likelier of angry and sad"
    if rule.sentiment.threshold is not None:
        low, high = ("sad", "angry") if rule.sentiment.flip else ("angry", "sad")
        negative = f"{low} up to {rule.sentiment.threshold:.2f}, {high} above"
    return (
        f"entropy from {rule.entropy:.6f}, varentropy to {rule.varentropy:.6f}, "
        f"negative is {negative}"
    )


def _by_hand(sides: Sequence[Side], rule: ClassRule) -> EntropySelection:
    speech, text = find_speech_and_text(sides)
    return manual(speech.labels, rule, inputs=(speech.model, text.model))


def _selected(
    sides: Sequence[Side], fuser: EntropySelection, truth: Sequence[str], talk: Talk
) -> PredictionTable:
    """The fused table, after a sentence on what the text changed."""
    fused, selection = select(sides, fuser)
    _, text = find_speech_and_text(sides)
    talk.say(_told(summarise(selection, text, fuser.labels, truth or None)))
    return fused


def _told(summary: Summary) -> str:
    told = f"{summary.n} rows, {summary.consulted} consulted, {summary.changed} changed"
    if summary.transitions:
        made = (f"{ARROW.join(pair)} {n}" for pair, n in summary.transitions.items())
        told += f" ({', '.join(made)})"
    if summary.tallies is not None:
        told += f"; {summary.corrected} corrected, {summary.broken} broken"
    for count, what in ((summary.alone, "from the text alone"), (summary.failed, "without any")):
        told += f"; {count} {what}" if count else ""
    return f"{told}."


def _readable(table: PredictionTable) -> RenderableType:
    """The readable table, with what the text changed among the remarks."""
    remarks = [
        "; ".join(filter(None, (f"text: {changed}" if changed else "", note)))
        for changed, note in zip(table.column("changed"), table.column("note"), strict=True)
    ]
    return prediction_table(table.with_columns({"note": remarks}))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise FuserError(
            f"{path}: cannot be read ({reason}), expected a fuser that emocli fuse --save wrote. "
            f"Check the path."
        ) from None


def _write(path: str, content: str) -> None:
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise FuserError(
            f"{path}: cannot be written ({error.strerror}), expected a folder that exists and may "
            f"be written to. Choose another place with --save."
        ) from None
