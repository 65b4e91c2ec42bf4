"""The ``emocli`` command.

This module knows the names of the commands and one line on each, and nothing heavier than that:
``emocli --help`` is answered from here before typer, rich or a command is imported.
"""

import os
import sys
from collections.abc import Sequence

MAIN_PANEL = "Recordings in, emotions out"
MORE_PANEL = "Around them"

COMMANDS = {
    "predict": (
        "emocli.cli.predict:predict",
        MAIN_PANEL,
        "Emotions of recordings, and how sure they are.",
    ),
    "transcribe": (
        "emocli.cli.transcribe:transcribe",
        MAIN_PANEL,
        "What is said in recordings, by Whisper.",
    ),
    "fuse": (
        "emocli.cli.fuse:fuse",
        MAIN_PANEL,
        "One prediction from several tables of the same recordings.",
    ),
    "eval": (
        "emocli.cli.eval:evaluate",
        MAIN_PANEL,
        "How good predictions are, given the truth.",
    ),
    "calibrate": (
        "emocli.cli.calibrate:calibrate",
        MORE_PANEL,
        "Probabilities that mean what they say, and labels only where they are sure.",
    ),
    "train": (
        "emocli.cli.train:train",
        MORE_PANEL,
        "A model of your own, from a recipe and labels.",
    ),
    "judge": (
        "emocli.cli.judge:judge",
        MORE_PANEL,
        "A language model reviews fused labels.",
    ),
    "report": (
        "emocli.cli.report:report",
        MORE_PANEL,
        "One page to look at, listen to and send on.",
    ),
    "data": (
        "emocli.cli.data:data",
        MORE_PANEL,
        "Labels of a known corpus as a table.",
    ),
    "features": (
        "emocli.cli.features:features",
        MORE_PANEL,
        "What a frozen encoder makes of recordings or transcripts.",
    ),
    "models": (
        "emocli.cli.models:app",
        MORE_PANEL,
        "Models that are known, and those on this machine.",
    ),
}
"""Where a command is (module and attribute), the panel that lists it, and what it is for."""

SETTINGS = {"help_option_names": ["-h", "--help"]}
"""Settings of typer that all commands share."""

_USAGE = "Usage: emocli [OPTIONS] COMMAND [ARGS]..."
_INTRODUCTION = """\
Emotion in speech: predictions, and how sure they are.

Every step reads and writes the same table, so steps meet in a pipe:

  emocli predict recordings/ | emocli eval - --truth labels.csv"""
_OPTIONS = (
    ("-h, --help", "Show this message and exit."),
    ("--version", "Print the version and exit."),
    ("--install-completion", "Complete commands and options in this shell with the tab key."),
)
_EPILOGUE = """\
emocli COMMAND --help says more, with an example.

Exit status: 0 all done, 1 error, 2 usage, 3 some inputs failed and the table names
them, 4 a model could not be had, 130 interrupted."""


def overview(*, colour: bool = False) -> str:
    """What ``emocli --help`` prints.

    Args:
        colour: set headings in bold.
    """
    bold, reset = ("\x1b[1m", "\x1b[0m") if colour else ("", "")
    parts = [f"{bold}{_USAGE}{reset}", _INTRODUCTION]
    for panel in (MAIN_PANEL, MORE_PANEL):
        lines = [
            f"  {name:<12}{summary}"
            for name, (_, where, summary) in COMMANDS.items()
            if where == panel
        ]
        parts.append("\n".join([f"{bold}{panel}{reset}", *lines]))
    options = [f"  {flag:<24}{purpose}" for flag, purpose in _OPTIONS]
    parts.append("\n".join([f"{bold}Options{reset}", *options]))
    return "\n\n".join([*parts, _EPILOGUE])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in ([], ["-h"], ["--help"]):
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        sys.stdout.write(overview(colour=colour) + "\n")
        return
    # numpy's own threads gain nothing on arrays as small as these. Starting them costs half as much
    # as importing numpy, and they take the cores that decode. torch has its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from emocli.cli.app import app

    app(args=given, prog_name="emocli")
