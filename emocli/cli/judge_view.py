"""Reviews as people read them: what changed, what that was worth, and prompts."""

import json
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from emocli.chat.question import Question
from emocli.cli.console import printable
from emocli.judging.review import Outcome, Tally, Worth
from emocli.metrics.registry import title
from emocli.report.svg import counted
from emocli.table import PredictionTable

_MEANINGS = {
    Outcome.CONFIRMED: "the judge agrees",
    Outcome.CHANGED: "another label, and sure enough",
    Outcome.UNSURE: "another label, not sure enough: kept",
    Outcome.REFUSED: "the judge refused: kept",
    Outcome.MALFORMED: "the answer has not the form that was asked for: kept",
    Outcome.OFF_LIST: "the answer is none of the labels: kept",
    Outcome.LATE: "no answer in time: kept",
    Outcome.FAILED: "no answer: kept",
    Outcome.NOT_ASKED: "not asked: kept",
}
_FIGURES = ("accuracy", "uar", "macro_f1")


def outcomes_view(outcomes: Mapping[Outcome, int]) -> RenderableType:
    """How many reviews came to what."""
    grid = Table.grid(padding=(0, 2))
    for outcome, count in outcomes.items():
        grid.add_row(f"  {outcome.value}", str(count), Text(_MEANINGS[outcome], style="dim"))
    return grid


def changes_view(changes: Mapping[tuple[str, str], Tally]) -> RenderableType:
    """Each exchange of labels, with what it did where the truth is known."""
    judged = any(tally.corrected is not None for tally in changes.values())
    table = _table("fused", "judge")
    for heading in ("rows", *(("corrected", "broken") if judged else ())):
        table.add_column(heading, justify="right")
    for (before, after), tally in changes.items():
        worth = (str(tally.corrected), str(tally.broken)) if judged else ()
        table.add_row(printable(before), printable(after), str(tally.n), *worth)
    return table


def sweep_view(worths: Sequence[Worth], threshold: float) -> RenderableType:
    """Thresholds with what the answers are worth at each; the one that was used is marked."""
    table = _table("threshold")
    for heading in ("changed", "corrected", "broken", *map(title, _FIGURES)):
        table.add_column(heading, justify="right")
    for one in worths:
        used = one.threshold == threshold
        name = "no judge" if math.isinf(one.threshold) else f"{one.threshold:g}"
        table.add_row(
            f"{name} (used)" if used else name,
            str(one.changed),
            str(one.corrected),
            str(one.broken),
            *(f"{one.figures[figure]:.4f}" for figure in _FIGURES),
            style="bold" if used else "",
        )
    return table


def review_table(table: PredictionTable) -> RenderableType:
    """The rows that were up for review: both labels, how sure the judge is, and why."""
    grid = _table("file", "fused", "judge")
    grid.add_column("confidence", justify="right")
    for heading in ("label", "outcome", "reason"):
        grid.add_column(heading, overflow="fold")
    names = ("label_before", "judge_label", "judge_confidence", "label", "judge_outcome")
    reviewed = table.select(table["judge_outcome"] != "")
    for row in reviewed.rows():
        before, opinion, confidence, label, outcome = (row[name] for name in names)
        changed = outcome == Outcome.CHANGED
        grid.add_row(
            Text(printable(_place(row))),
            Text(printable(before)),
            Text(printable(opinion)),
            "" if math.isnan(confidence) else f"{confidence:.2f}",
            Text(printable(label), style="bold" if changed else ""),
            outcome,
            Text(printable(row["judge_reason"])),
        )
    rest = counted(len(table) - len(reviewed), "row")
    return Group(grid, Text(f"Not up for review: {rest}.", style="dim"))


def prompt_text(questions: Sequence[Question]) -> str:
    """Questions as text to read, each once."""
    parts = []
    for number, question in enumerate(questions, 1):
        parts.append(f"--- prompt {number} of {len(questions)} ---")
        parts += [f"[{one['role']}]\n{one['content']}" for one in question.messages]
        if question.sound:
            parts.append(f"[recording]\nWAV of {question.sound.n_bytes} bytes")
        parts.append(f"[schema]\n{json.dumps(question.schema)}")
    return "".join(f"{part}\n" for part in parts)


def _place(row: Mapping[str, object]) -> str:
    start = row.get("start")
    told = isinstance(start, float) and not math.isnan(start)
    return f"{row['file']} at {start:.2f} s" if told else str(row["file"])


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
