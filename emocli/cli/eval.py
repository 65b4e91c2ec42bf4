"""``emocli eval``: predictions and truth in, figures out."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from emocli.cli.console import Talk, choose_format, complain, show
from emocli.cli.named_files import tell_tables
from emocli.cli.options import (
    OUTPUT_PANEL,
    CsvSafe,
    FileColumn,
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
from emocli.errors import TableError
from emocli.files import STDIN, check_output, write_text
from emocli.labels import canonical_labels
from emocli.metrics.evaluation import Evaluation
from emocli.pipeline.evaluate import LARGE, N_DRAWS, N_PER_LABEL, EvalOptions
from emocli.pipeline.evaluate import evaluate as evaluate_tables
from emocli.pipeline.pairing import Pairing
from emocli.table_io import table_files
from emocli.table_reader import ColumnNames
from emocli.table_writer import text_cell

JOIN_PANEL = "Which rows"
TRUST_PANEL = "Intervals and comparisons"
GROUP_PANEL = "Groups and samples"


class ReportFormat(StrEnum):
    """Forms of an evaluation."""

    TABLE = "table"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"


def evaluate(
    tables: Annotated[
        list[str],
        typer.Argument(metavar="TABLE", help="Predictions; - reads a pipe. Several: a ranking."),
    ],
    truth: Annotated[
        str, typer.Option(metavar="TABLE", help="What is true: file and emotion, by default.")
    ],
    truth_column: TruthColumn = "emotion",
    labels: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="Evaluate only recordings whose truth is one of these.",
            rich_help_panel=JOIN_PANEL,
        ),
    ] = "",
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Count recordings without a prediction as wrong.",
            rich_help_panel=JOIN_PANEL,
        ),
    ] = False,
    ignore_extra: Annotated[
        bool,
        typer.Option(
            "--ignore-extra",
            help="Leave out predictions without a truth.",
            rich_help_panel=JOIN_PANEL,
        ),
    ] = False,
    match: MatchOption = Match.PATH,
    root: Root = None,
    file_column: FileColumn = "",
    text_column: TextColumn = "",
    speaker_column: SpeakerColumn = "",
    exact_text: Annotated[
        bool,
        typer.Option(
            "--exact-text",
            help="Count case and punctuation as errors in WER and CER.",
            rich_help_panel=JOIN_PANEL,
        ),
    ] = False,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Test the difference from another system on the same recordings.",
            rich_help_panel=TRUST_PANEL,
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help=f"Exchanges of the two systems in --compare, by default {N_DRAWS:,}; 0 for no "
            f"intervals, which is the default above {LARGE:,} recordings.",
            rich_help_panel=TRUST_PANEL,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="What intervals and tests take as a whole, or none for single recordings. By "
            "default speaker, where a table has it.",
            rich_help_panel=TRUST_PANEL,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of all chance.", rich_help_panel=TRUST_PANEL)
    ] = 0,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Figures for each value of a column. May be given several times.",
            rich_help_panel=GROUP_PANEL,
        ),
    ] = None,
    balanced_draws: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Mean and sd over N samples with as many recordings of each label.",
            rich_help_panel=GROUP_PANEL,
        ),
    ] = 0,
    per_label: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Recordings of each label in a balanced sample, by default {N_PER_LABEL}.",
            rich_help_panel=GROUP_PANEL,
        ),
    ] = None,
    train_table: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="What the model was trained on: warns of speakers and sentences in both.",
            rich_help_panel=GROUP_PANEL,
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIGURE=X",
            help="Exit 1 if a figure is lower, as in uar=0.6. May be given several times.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIGURE=X",
            help="Exit 1 if a figure is higher, as in wer=0.2.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    output: Output = STDIN,
    form: Annotated[
        ReportFormat | None,
        typer.Option(
            "-f",
            "--format",
            envvar="EMOCLI_FORMAT",
            help="Form of the figures. By default readable on a terminal and CSV in a pipe.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    csv_safe: CsvSafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """How good predictions are, given the truth.

    Emotions are compared where the truth has them, arousal, dominance and valence where both
    tables do, and words where the truth has a column reference and the predictions have text.

    The 95 % intervals take speakers as independent of one another, and recordings where no table
    has a column speaker: jackknife and Student's t, within the range of each figure. Below 8
    speakers they are weak.

    Example: emocli predict clips/ | emocli eval - --truth clips/labels.csv --by speaker
    """
    kind = _form(output, form)
    if per_label is not None and not balanced_draws:
        raise typer.BadParameter(
            "--per-label is the size of balanced samples, and there is no --balanced-draws"
        )
    lower, upper = (_limits(given or [], flag) for given, flag in _flags(fail_under, fail_over))
    options = EvalOptions(
        pairing=Pairing(
            truth_column=truth_column,
            labels=canonical_labels([name for name in labels.split(",") if name.strip()]),
            allow_missing=allow_missing,
            ignore_extra=ignore_extra,
            match=match.value,
            root=root,
            normalize=not exact_text,
        ),
        by=tuple(by or ()),
        cluster=cluster,
        n_draws=draws,
        n_balanced=balanced_draws,
        n_per_label=per_label or N_PER_LABEL,
        seed=seed,
    )
    talk = Talk(quiet, verbose)
    named = [*tables, truth, train_table, compare]
    check_output(output, table_files(named), overwrite=overwrite)
    read = tell_tables(named, ColumnNames(file_column, text_column, speaker_column), talk)
    found = evaluate_tables(
        [(_shown(path), read[path]) for path in tables],
        read[truth],
        options,
        truth_name=_shown(truth),
        train=read[train_table] if train_table else None,
        compare=(_shown(compare), read[compare]) if compare else None,
    )
    _write(found, output, kind, csv_safe=csv_safe)
    _remark(found, talk, options)
    _hold(found, lower, upper)


def _flags(
    under: list[str] | None, over: list[str] | None
) -> tuple[tuple[list[str] | None, str], ...]:
    return (under, "--fail-under"), (over, "--fail-over")


def _shown(path: str) -> str:
    return "standard input" if path == STDIN else path


def _form(output: str, form: ReportFormat | None) -> str:
    kind = choose_format(output, form.value if form else None)
    if kind not in set(ReportFormat):
        raise TableError(
            f"{output}: figures cannot be written as {kind}, expected one of "
            f"{', '.join(ReportFormat)}. Choose another suffix or add -f."
        )
    return kind


def _limits(given: Sequence[str], flag: str) -> dict[str, float]:
    """Limits of figures by name.

    Raises:
        typer.BadParameter: one is not of the form ``figure=number``.
    """
    limits = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = math.nan
        if math.isnan(limit):
            raise typer.BadParameter(
                f"{text!r} is not of the form figure=number, such as uar=0.6", param_hint=flag
            )
        limits[name.strip()] = limit
    return limits


def _write(found: Sequence[Evaluation], output: str, kind: str, *, csv_safe: bool) -> None:
    if kind == ReportFormat.TABLE:
        from emocli.cli.eval_view import figures_view

        show(figures_view(found), output)
        return
    text = _rendered([one.to_dict() for one in found], kind, csv_safe=csv_safe)
    write_text(text, output)


def _rendered(found: Sequence[dict[str, Any]], kind: str, *, csv_safe: bool) -> str:
    """Evaluations as JSON (one object, or a leaderboard of several), or as rows."""
    if kind == ReportFormat.JSON:
        whole = found[0] if len(found) == 1 else {"leaderboard": found}
        return json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    if kind == ReportFormat.JSONL:
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found)
    rows = [row for one in found for row in _rows(one)]
    if csv_safe:
        rows = [{name: _text_or_figure(cell) for name, cell in row.items()} for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    separator = "\t" if kind == ReportFormat.TSV else ","
    writer = csv.DictWriter(text, names, delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for CSV, and one for each group, with the grouping column and its value.

    Figures are followed by the ends of their intervals as ``uar_low`` and ``uar_high``, by
    ``uar_balanced_mean`` and ``uar_balanced_sd`` of balanced samples, and by ``uar_difference``
    from another system with its interval and ``uar_difference_p``.
    """
    who = {"table": found["table"], "model": found["model"]}
    grouped = {"by": "", "group": ""} if found["groups"] else {}
    row = {**who, **grouped, **_figures(found)}
    for name, (low, high) in found["intervals"].items():
        row |= {f"{name}_low": _digits(low), f"{name}_high": _digits(high)}
    if balanced := found.get("balanced_draws"):
        for name, mean in balanced["mean"].items():
            row[f"{name}_balanced_mean"] = _digits(mean)
            row[f"{name}_balanced_sd"] = _digits(balanced["sd"][name])
    if comparison := found.get("comparison"):
        row |= _differences(comparison)
    yield row
    for column, groups in found["groups"].items():
        for group, figures in groups.items():
            yield {**who, "by": column, "group": group, **_figures(figures)}


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is a number or a text, as cells of CSV."""
    return {
        name: _digits(value) if isinstance(value, float) else value
        for name, value in found.items()
        if value is None or isinstance(value, (str, int, float))
    }


def _differences(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Cells of what tells a system from another one."""
    cells = {"compared_with": comparison["table"], "compared_model": comparison["model"]}
    for name, one in comparison["differences"].items():
        cells[f"{name}_difference"] = _digits(one["difference"])
        cells[f"{name}_difference_low"] = _digits(one["low"])
        cells[f"{name}_difference_high"] = _digits(one["high"])
        cells[f"{name}_difference_p"] = _digits(one["p_value"])
    if comparison["mcnemar"]:
        cells["mcnemar_p"] = _digits(comparison["mcnemar"]["p_value"])
    return cells


def _text_or_figure(cell: Any) -> Any:
    return text_cell(cell) if isinstance(cell, str) else cell


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _remark(found: Sequence[Evaluation], talk: Talk, options: EvalOptions) -> None:
    """Everything that was not evaluated as it stands, and what to doubt."""
    for one in found:
        who = f"{one.table} ({one.model})" if one.model else one.table
        talk.detail(f"{who}: {one.n} utterances, labels {', '.join(one.labels) or 'none'}.")
        if one.n_missing:
            talk.warn(_missing_told(one, who))
        if one.n_abstained:
            talk.say(
                f"{who}: {one.n_abstained} of {one.n + one.n_abstained} utterances have no label "
                f"(column note says why); the figures are of the other {one.n}."
            )
        if one.n_left_out:
            talk.say(f"{who}: {one.n_left_out} utterances with other labels are left out.")
        if one.n_extra:
            talk.say(f"{who}: {one.n_extra} predictions without a truth are left out.")
        if one.n > LARGE and options.n_draws is None:
            talk.say(f"{who}: no intervals for {one.n:,} utterances; ask with --draws {N_DRAWS}.")
    for sentence in dict.fromkeys(sentence for one in found for sentence in one.warnings):
        talk.warn(sentence)


def _missing_told(found: Evaluation, who: str) -> str:
    if found.labels or "wer" in found.figures:
        return (
            f"{who}: {found.n_missing} of {found.n} utterances have no prediction and count as "
            f"wrong; figures of probabilities are of the others."
        )
    return f"{who}: {found.n_missing} utterances without a prediction are left out."


def _hold(found: Sequence[Evaluation], lower: dict[str, float], upper: dict[str, float]) -> None:
    """End with status 1 where a figure is beyond a limit.

    Raises:
        SystemExit: with status 1.
        TableError: there is no figure of that name.
    """
    broken = []
    for one in found:
        for limits, word in ((lower, "under"), (upper, "over")):
            for name, limit in limits.items():
                value = _figure(one, name)
                if not (value >= limit if word == "under" else value <= limit):
                    broken.append(f"{one.table}: {name} is {value:.4f}, {word} {limit:g}.")
    for sentence in broken:
        complain(sentence)
    if broken:
        raise SystemExit(1)


def _figure(found: Evaluation, name: str) -> float:
    if name not in found.figures:
        raise TableError(
            f"{found.table}: no figure {name}, expected one of {', '.join(found.figures)}. "
            f"Correct --fail-under or --fail-over."
        )
    return found.figures[name]
