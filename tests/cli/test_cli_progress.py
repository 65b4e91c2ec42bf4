"""Lines on a terminal that say how far a run has come."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from emocli.cli import progress
from emocli.cli.console import Talk
from emocli.pipeline.progress import Progress as State


@pytest.fixture
def terminal(monkeypatch):
    """What is drawn on a terminal of 100 columns."""
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(progress, "err", lambda: console)
    monkeypatch.setattr(Talk, "live", True)
    return drawn


def frames(drawn):
    """The lines that were drawn, without what moves the cursor."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", drawn.getvalue()).replace("\r", "\n")
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def test_nobody_who_is_no_terminal_gets_a_line():
    talk = Talk()
    assert not talk.live
    with progress.shown(talk, "recordings") as draw, progress.phases_shown(talk) as phase:
        assert (draw, phase) == (None, None)


def test_how_far_a_run_has_come_and_when_it_will_end(terminal, monkeypatch):
    seconds = iter([100.0, 110.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with progress.shown(Talk(), "recordings") as draw:
        draw(State(3, 12, seconds_done=30.0, expected_seconds=120.0))
    last = frames(terminal)[-1]
    assert last.endswith("3 of 12 recordings 3 s/s, 0:30 left")
    assert "━" in last


def test_one_long_recording_moves_before_it_is_done(terminal, monkeypatch):
    seconds = iter([100.0, 110.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    with progress.shown(Talk(), "recordings") as draw:
        draw(State(0, 1, seconds_done=600.0, expected_seconds=2400.0))
    last = frames(terminal)[-1]
    assert last.endswith("0 of 1 recordings 60 s/s, 0:30 left")
    assert progress.share_done(State(0, 1, seconds_done=600.0, expected_seconds=2400.0)) == 0.25


@pytest.mark.parametrize(
    ("state", "share"),
    [
        (State(3, 12), 0.25),
        (State(6, 12, n_before=4), 0.25),
        (State(4, 4, n_before=4), 1.0),
        (State(1, 4, seconds_done=0.0, expected_seconds=80.0), 0.25),
        (State(4, 4, seconds_done=90.0, expected_seconds=80.0), 1.0),
    ],
)
def test_the_share_that_is_done(state, share):
    assert progress.share_done(state) == share
