"""A line on a terminal that says how far a run has come, how fast it is and when it will end."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from emocli.cli.console import Talk, err
from emocli.pipeline.progress import Progress as State
from emocli.pipeline.progress import ProgressCallback


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``.

    Example:
        >>> clock(75), clock(3675)
        ('1:15', '1:01:15')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def pace(state: State, elapsed_seconds: float) -> str:
    """Seconds of audio per second as ``s/s``, and the time left if it goes on like this.

    Args:
        state: how far the run has come.
        elapsed_seconds: since its start.
    """
    share = share_done(state)
    if elapsed_seconds <= 0 or not share:
        return ""
    parts = [f"{state.seconds_done / elapsed_seconds:,.0f} s/s"] if state.seconds_done else []
    if share < 1:
        parts.append(f"{clock(elapsed_seconds * (1 - share) / share)} left")
    return ", ".join(parts)


def share_done(state: State) -> float:
    """Share of this run that is done, from 0 to 1: of its audio where its length is known.

    So the bar moves while a single long recording is heard.
    """
    if state.seconds_done and not math.isnan(state.expected_seconds):
        return state.seconds_done / max(state.expected_seconds, state.seconds_done)
    n_now = state.n_utterances - state.n_before
    return (state.utterances_done - state.n_before) / n_now if n_now else 1.0


class _Pace(ProgressColumn):
    """The pace of the run, from the state that the task carries."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["pace"], style="dim")


@contextmanager
def shown(talk: Talk, what: str) -> Iterator[ProgressCallback | None]:
    """A callback that draws progress while the block runs; None where nobody would see it.

    Args:
        talk: decides whether there is a terminal to draw on.
        what: a noun in the plural, such as ``"recordings"``.
    """
    if not talk.live:
        yield None
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[done]} of {task.fields[n]} {task.description}"),
        _Pace(),
    )
    with Progress(*columns, console=err(), transient=True) as progress:
        task = progress.add_task(what, total=1.0, pace="", done=0, n=0, visible=False)
        begun = time.monotonic()

        def draw(state: State) -> None:
            progress.update(
                task,
                completed=share_done(state),
                done=state.utterances_done,
                n=state.n_utterances,
                pace=pace(state, time.monotonic() - begun),
                visible=True,
            )

        yield draw


@contextmanager
def phases_shown(talk: Talk) -> Iterator[Callable[[str, int, int], None] | None]:
    """A callback that draws a bar for each phase of a training; None where nobody would see it.

    Args:
        talk: decides whether there is a terminal to draw on.
    """
    if not talk.live:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err(), transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def draw(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total)
            progress.update(tasks[phase], completed=done, total=total)

        yield draw
