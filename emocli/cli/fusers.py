"""Fusers that learn, for `emocli.cli.fuse`: fitted at hand, kept in a file, or set by hand."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import typer
from numpy.typing import NDArray

from emocli import posteriors
from emocli.cli.console import Talk
from emocli.cli.fuse_method import WHERE_TRUTH_COUNTS, Method, no_prior
from emocli.cli.named_files import read_bytes
from emocli.errors import FuserError
from emocli.files import write_bytes
from emocli.fusion.entropy_selection import (
    NEVER,
    REFER,
    ClassRule,
    EntropySelection,
    SentimentRule,
    manual,
)
from emocli.fusion.features import only_order_tells
from emocli.fusion.fused import (
    ARROW,
    ENTROPY_SELECTION,
    FitReport,
    Summary,
    fit_selection,
    select,
    summarise,
)
from emocli.fusion.ridge import Ridge
from emocli.fusion.sides import Side, find_speech_and_text, true_labels
from emocli.fusion.storage import AnyFuser, dump_fuser, load_fuser, method_of
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
from emocli.splits import named, units
from emocli.table import PredictionTable
from emocli.table_io import read_table

UNIFORM = "uniform"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the fuser is to be had, and what it is to do; the options of `emocli fuse` by name.

    Attributes:
        rule: thresholds set by hand.
        options: choices that learning leaves open.
    """

    method: str | None
    fit: str | None
    save: str | None
    fuser: AnyFuser | None
    rule: ClassRule | None
    options: FitOptions
    in_sample: bool
    prior: str | None
    truth: str | None
    truth_column: str
    weights: str | None


def fuse_learned(
    sides: Sequence[Side], answers: PredictionTable | None, way: Way, talk: Talk
) -> PredictionTable:
    """The table that a fuser makes of the sides.

    Args:
        sides: what the models say.
        answers: the truth for each row, where it is known.
        way: which fuser.
        talk: where it is told.

    Raises:
        FuserError: the fuser's file cannot be read or written, or does not fit the tables.
        typer.BadParameter: options that contradict the fuser.
    """
    chosen, held_out = _chosen(sides, answers, way, talk)
    if way.save is not None:
        write_bytes(dump_fuser(chosen), way.save)
    _check_meaning(chosen, way)
    if way.fuser is not None and _only_order_tells(chosen):
        talk.warn(
            "Some tables name no model and have the same labels: they are taken for those of "
            "--fit in the order in which they are given."
        )
    if isinstance(chosen, EntropySelection):
        labelled = true_labels(answers, way.truth_column) if answers is not None else None
        return _selected(sides, chosen, labelled, talk)
    seen = held_out is None or way.in_sample
    figures = apply_fuser(sides, chosen) if seen or held_out is None else held_out
    if way.prior is not None and not isinstance(chosen, Ridge):
        figures = _for_mix(figures, chosen, way.prior, way.truth_column, talk)
    return trained_table(sides, chosen, figures)


def _chosen(
    sides: Sequence[Side], answers: PredictionTable | None, way: Way, talk: Talk
) -> tuple[AnyFuser, NDArray[np.float64] | None]:
    """The fuser, and where it was learned here, what ones that had not seen a row say of it."""
    if way.fuser is not None:
        if way.method not in (None, Method.AUTO, method_of(way.fuser)):
            raise typer.BadParameter(f"--fuser holds {method_of(way.fuser)}; leave out --method")
        return way.fuser, None
    if way.rule is not None:
        return _by_hand(sides, way.rule), None
    if answers is None:
        raise typer.BadParameter("--fit needs the truth that it learns from")
    return _fitted(sides, answers, way.truth_column, way.method, way.options, talk)


def manual_rule(entropy: float | None, varentropy: float | None, rule: str | None) -> ClassRule:
    """The rule that is set by hand.

    Raises:
        typer.BadParameter: one of the thresholds is missing, or the rule is none.
    """
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


def _check_meaning(chosen: AnyFuser, way: Way) -> None:
    """Refuse options that would be passed over in silence."""
    if way.weights is not None:
        raise typer.BadParameter(f"{method_of(chosen)} finds its own weights; leave out --weights")
    if way.truth is not None and not isinstance(chosen, EntropySelection):
        raise typer.BadParameter(WHERE_TRUTH_COUNTS)
    if way.prior is not None and isinstance(chosen, EntropySelection | Ridge):
        raise typer.BadParameter(no_prior(method_of(chosen)))


def _only_order_tells(fuser: AnyFuser) -> bool:
    return not isinstance(fuser, EntropySelection) and only_order_tells(fuser.inputs)


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
        return _fitted_selection(sides, _known_labels(truth, column), talk), None
    speakers = _speakers(truth, sides[0].table)
    if speakers is not None and len(set(units(speakers))) < 2:
        talk.warn("All rows are of one speaker: rows are held out, and others may be harder.")
        speakers = None
    if chosen == Method.RIDGE:
        fitted = fit_dimensions(sides, truth, speakers)
    else:
        fitted = fit_labels(sides, _known_labels(truth, column), speakers, chosen, options)
    talk.say(f"{chosen}: {_fit_told(fitted.report)}")
    _tell_held_out(speakers, talk)
    return fitted.fuser, fitted.figures


def _known_labels(truth: PredictionTable, column: str) -> list[str]:
    """The label of each row; one without any is nothing to learn from."""
    return true_labels(truth, column, needs_all=False)


def _speakers(*tables: PredictionTable) -> list[str] | None:
    """Who speaks in each row by the first table that says so; None where nobody is named."""
    columns = [map(named, table.column("speaker").tolist()) for table in tables]
    speakers = [next(filter(None, names), "") for names in zip(*columns, strict=True)]
    return speakers if any(speakers) else None


def _tell_held_out(speakers: Sequence[str] | None, talk: Talk) -> None:
    """What the fusers had not seen by which the rows of the fit are fused."""
    n_unnamed = 0 if speakers is None else speakers.count("")
    if n_unnamed:
        talk.warn(
            f"No speaker is named for {n_unnamed} of {len(speakers or ())} rows: each of these is "
            f"held out by itself, so the fuser may have seen who speaks."
        )
    apart = "rows" if speakers is None else "speakers"
    talk.detail(f"Rows that took part are fused by fusers that had not seen their {apart}.")


def _for_mix(
    probs: NDArray[np.float64], fuser: Fuser, prior: str, column: str, talk: Talk
) -> NDArray[np.float64]:
    """Posteriors for the class mix that is expected."""
    expected = np.full(len(fuser.labels), 1.0 / len(fuser.labels))
    if prior != UNIFORM:
        expected = class_mix(_known_labels(read_table(prior), column), fuser.labels)
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
        counts = ", ".join(f"{name or 'none'} {n}" for name, n in report.foreign.items())
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


def read_fuser(path: str) -> AnyFuser:
    """The fuser in a file.

    Raises:
        FuserError: the file cannot be read or is no fuser.
    """
    content = read_bytes(path, "a fuser that emocli fuse --save wrote", FuserError)
    return load_fuser(content, path)
