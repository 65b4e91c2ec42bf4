"""``emocli fuse``: several tables in, one out."""

from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import RenderableType

from emocli import posteriors
from emocli.calibration.disagreement import with_disagreement
from emocli.calibration.uncertainty import with_uncertainty
from emocli.cli.confidence import (
    AbstainAbove,
    AbstainBelow,
    CalibrationFile,
    calibrated,
    withheld,
)
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
from emocli.errors import FuserError, LabelMismatch, TableError
from emocli.fusion.entropy_selection import (
    NEVER,
    REFER,
    ClassRule,
    EntropySelection,
    SentimentRule,
    manual,
)
from emocli.fusion.fused import (
    AVERAGES,
    ENTROPY_SELECTION,
    FitReport,
    Summary,
    average,
    fit_selection,
    select,
    summarise,
)
from emocli.fusion.ridge import Ridge
from emocli.fusion.sides import (
    Side,
    align,
    align_rows,
    common_posteriors,
    find_speech_and_text,
    restrict,
    split_models,
    true_labels,
)
from emocli.fusion.storage import ARROW, AnyFuser, dump_fuser, load_fuser, method_of
from emocli.fusion.trained import (
    FitOptions,
    Fuser,
    apply_fuser,
    choose_method,
    class_mix,
    fit_dimensions,
    fit_labels,
    reweight,
    trained_table,
)
from emocli.table import PredictionTable
from emocli.table_io import STDIN, match_tables, read_table

UNIFORM = "uniform"
FIT_PANEL = "Fusers that learn"
SELECTION_PANEL = "Entropy selection without a fit"


class Method(StrEnum):
    """Ways to fuse."""

    MEAN = "mean"
    PRODUCT = "product"
    ENTROPY_WEIGHTED = "entropy-weighted"
    MAX_CONFIDENCE = "max-confidence"
    ENTROPY_SELECTION = "entropy-selection"
    AUTO = "auto"
    BAYES = "bayes"
    LOGISTIC = "logistic"
    RIDGE = "ridge"
    STACKING = "stacking"


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
        typer.Option(help="logistic: what decides how much to learn.", rich_help_panel=FIT_PANEL),
    ] = Criterion.UAR,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced",
            help="logistic: learn as if all labels were equally frequent.",
            rich_help_panel=FIT_PANEL,
        ),
    ] = False,
    temper: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=2.0,
            metavar="POWER",
            help="bayes: exponent of the text's likelihood; below 1 trusts the text less.",
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
    output: Output = STDIN,
    format_: Format = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """One prediction from several tables of the same recordings.

    Averages need nothing but the tables. Beside emotions, sentiments count as emotions: positive
    as happy, and negative as angry and sad in the ratio that the voice gives them.

    Other methods learn from recordings whose emotions are known (--fit). Entropy selection keeps
    the voice's label and asks the text's sentiment where the voice is doubtful. Bayes' rule
    multiplies the voice's posterior by the likelihood of the text's answer; logistic regression,
    ridge (for dimensions) and stacking take any models. auto is bayes for a voice and a sentiment,
    else logistic, or ridge where there are only dimensions.

    Examples:

        emocli fuse speech.csv text.csv --method product

        emocli fuse speech.csv text.csv --method auto --fit labels.csv --save fuser.json -o dev.csv

        emocli fuse speech.csv text.csv --fuser fuser.json | emocli eval - --truth labels.csv
    """
    kind = choose_format(output, format_)
    talk = Talk(quiet, verbose)
    rule = _rule(entropy_threshold, varentropy_threshold, sentiment_rule)
    _check_way(method, fit=fit, save=save, fuser=fuser, rule=rule)
    find = partial(match_tables, match=match.value, root=root)
    sides = align(_read_sides(tables, labels, talk), find)
    known = fit or truth
    answers = align_rows(sides[0].table, read_table(known), find) if known else None
    held_out = None
    chosen: AnyFuser | None = None
    if fuser is not None:
        chosen = load_fuser(_read(fuser), fuser)
        if method not in (None, Method.AUTO, method_of(chosen)):
            raise typer.BadParameter(f"{fuser} holds {method_of(chosen)}; leave out --method")
    elif rule is not None:
        chosen = _by_hand(sides, rule)
    elif fit is not None and answers is not None:
        options = FitOptions(select_by.value, balanced, temper)
        chosen, held_out = _fitted(sides, answers, truth_column, method, options, talk)
    if save is not None and chosen is not None:
        _write(save, dump_fuser(chosen))
    _check_meaning(chosen, weights=weights, truth=truth, prior=prior)
    if chosen is None:
        fused = average(sides, method or Method.MEAN, weights=_figures(weights))
    elif isinstance(chosen, EntropySelection):
        labelled = true_labels(answers, truth_column) if answers is not None else None
        fused = _selected(sides, chosen, labelled, talk)
    else:
        figures = apply_fuser(sides, chosen) if held_out is None or in_sample else held_out
        if prior is not None and not isinstance(chosen, Ridge):
            figures = _for_mix(figures, chosen, prior, truth_column, talk)
        fused = trained_table(sides, chosen, figures)
    is_ensemble = chosen is None and method in (None, Method.MEAN) and weights is None
    fused = _compared(fused, sides, is_ensemble=is_ensemble)
    fused = calibrated(fused, calibration, "the fused table")
    emit(withheld(fused, abstain_above, abstain_below), output, kind, _readable)
    finish(int(fused.failed.sum()))


def _rule(entropy: float | None, varentropy: float | None, rule: str | None) -> ClassRule | None:
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
    rule: ClassRule | None,
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


def _check_meaning(
    chosen: AnyFuser | None, *, weights: str | None, truth: str | None, prior: str | None
) -> None:
    """Refuse options that would be passed over in silence."""
    if chosen is not None and weights is not None:
        raise typer.BadParameter(f"{method_of(chosen)} finds its own weights; leave out --weights")
    if truth is not None and not isinstance(chosen, EntropySelection):
        raise typer.BadParameter(
            f"--truth counts what {ENTROPY_SELECTION} changed; for other methods use emocli eval"
        )
    if prior is not None and (chosen is None or isinstance(chosen, EntropySelection | Ridge)):
        name = "an average" if chosen is None else method_of(chosen)
        raise typer.BadParameter(
            f"--prior needs posteriors that were learned from a known class mix, and {name} "
            f"has none"
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


def _fitted(
    sides: Sequence[Side],
    truth: PredictionTable,
    column: str,
    method: str | None,
    options: FitOptions,
    talk: Talk,
) -> tuple[AnyFuser, NDArray[np.float64] | None]:
    """A fuser learned from the tables, and what ones that had not seen a row say of it."""
    wanted = method or Method.AUTO
    chosen = choose_method(sides) if wanted == Method.AUTO else wanted
    if chosen == ENTROPY_SELECTION:
        return _fitted_selection(sides, true_labels(truth, column), talk), None
    speakers = _speakers(truth, sides[0].table)
    if chosen == Method.RIDGE:
        fitted = fit_dimensions(sides, truth, speakers)
    else:
        fitted = fit_labels(sides, true_labels(truth, column), speakers, chosen, options)
    apart = "rows" if speakers is None else "speakers"
    talk.say(f"{chosen}: {_fit_told(fitted.report)}")
    talk.detail(f"Rows that took part are fused by fusers that had not seen their {apart}.")
    return fitted.fuser, fitted.figures


def _speakers(*tables: PredictionTable) -> list[str] | None:
    """Who speaks in each row, None unless it is known of all rows."""
    for table in tables:
        speakers: list[str] = table.column("speaker").tolist()
        if speakers and all(speakers):
            return speakers
    return None


def _for_mix(
    probs: NDArray[np.float64], fuser: Fuser, prior: str, column: str, talk: Talk
) -> NDArray[np.float64]:
    """Posteriors for the class mix that is expected."""
    expected = np.full(len(fuser.labels), 1.0 / len(fuser.labels))
    if prior != UNIFORM:
        expected = class_mix(true_labels(read_table(prior), column), fuser.labels)
    shifted = reweight(probs, fuser.prior, expected)
    n_changed = int((posteriors.top(shifted) != posteriors.top(probs)).sum())
    before, after = (
        ", ".join(f"{name} {share:.1%}" for name, share in zip(fuser.labels, mix, strict=True))
        for mix in (fuser.prior, expected)
    )
    talk.say(f"For the mix {after} instead of {before}: {n_changed} labels change.")
    return shifted


def _fitted_selection(sides: Sequence[Side], truth: Sequence[str], talk: Talk) -> EntropySelection:
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
    sides: Sequence[Side], fuser: EntropySelection, truth: Sequence[str] | None, talk: Talk
) -> PredictionTable:
    """The fused table, after a sentence on what the text changed."""
    fused, selection = select(sides, fuser)
    _, text = find_speech_and_text(sides)
    talk.say(_told(summarise(selection, text, fuser.labels, truth)))
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


def _readable(table: PredictionTable) -> RenderableType:
    """The readable table, with what the text changed among the remarks."""
    remarks = [
        "; ".join(filter(None, (f"text: {changed}" if changed else "", note)))
        for changed, note in zip(table.column("changed"), table.column("note"), strict=True)
    ]
    return prediction_table(table.with_columns({"note": remarks}))


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FuserError(
            f"{path}: cannot be read ({error.strerror}), expected a fuser that emocli fuse --save "
            f"wrote. Check the path."
        ) from None


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise FuserError(
            f"{path}: cannot be written ({error.strerror}), expected a folder that exists and may "
            f"be written to. Choose another place with --save."
        ) from None
