"""``emocli models``: which models there are, what they are, fetching and checking them."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from emocli.cli import SETTINGS
from emocli.cli.console import Talk, out, plain
from emocli.cli.options import Device, Quiet
from emocli.errors import ModelError
from emocli.models import hub, registry
from emocli.models.registry import Listing

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings=SETTINGS,
    rich_markup_mode="markdown",
    help="Models that are known, and those on this machine.\n\n"
    "Examples:\n\n"
    "    emocli models list\n\n"
    "    emocli models show builtin\n\n"
    "    emocli models pull audeering-dim",
)

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="builtin, a short name, hf:owner/name[@revision], or a folder."
    ),
]
COLUMNS = ("name", "kind", "gives", "here", "licence", "source")


class Form(StrEnum):
    """Forms of a listing."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormOption = Annotated[
    Form | None,
    typer.Option(
        "-f", "--format", help="Readable on a terminal and otherwise CSV, unless said here."
    ),
]


@app.command("list")
def list_models(form: FormOption = None) -> None:
    """Short names, what each model gives, and whether it is on this machine.

    Any other checkpoint can be named as hf:owner/name or by its folder.
    """
    listings = registry.list_models()
    chosen = form or (Form.TABLE if sys.stdout.isatty() else Form.CSV)
    if chosen is Form.JSON:
        print_json([_facts(listing) for listing in listings])
    elif chosen is Form.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_row(listing) for listing in listings)
    else:
        from rich.table import Table

        table = Table(box=None, header_style="bold")
        for column in COLUMNS[:-1]:  # sources are long; `show` has them
            table.add_column(column, no_wrap=column == "name", overflow="fold")
        for listing in listings:
            table.add_row(*map(plain, _row(listing)[:-1]))
        out().print(table)


@app.command("show")
def show(
    name: Name,
    form: Annotated[
        Form, typer.Option("-f", "--format", help="table for people, or json.")
    ] = Form.TABLE,
) -> None:
    """What is known of one model: labels, sampling rate, size, licence, source, and its card.

    Example: emocli models show builtin
    """
    listing = registry.describe(name)
    if form is Form.JSON:
        print_json(_facts(listing))
        return
    if form is Form.CSV:
        raise typer.BadParameter("a card is shown as table or json", param_hint="--format")
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for field, value in _said(listing):
        table.add_row(field, plain(value))
    out().print(table)
    if listing.text:
        out().print()
        for line in listing.text.splitlines():
            out().print(plain(line), soft_wrap=True)


@app.command("pull")
def pull(
    name: Name,
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Branch, tag or commit of the hub.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch files again that are there already.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a model of the hub into its cache (HF_HOME), weights as safetensors where there are.

    Example: emocli models pull audeering-dim
    """
    talk = Talk(quiet=quiet)
    reference = registry.find(name, revision=revision)
    if not reference.hub:
        talk.say(f"{reference.name} is on this machine: {reference.folder}")
        return
    folder = hub.fetch(reference.hub, reference.revision, progress=talk.live, force=force)
    talk.say(f"{reference.hub} is on this machine: {folder}")


@app.command("verify")
def verify(name: Name, device: Device = "auto") -> None:
    """Check a model's files against their checksums, and its answer where one is recorded.

    Exit status 1 if anything is not as it should be.

    Example: emocli models verify builtin
    """
    from rich.table import Table

    from emocli.models.verify import verify as run_checks

    checks = run_checks(name, device=device)
    marks = {True: "[green]ok[/]", False: "[bold red]wrong[/]", None: "[dim]not known[/]"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        table.add_row(marks[check.passed], plain(check.what), plain(check.detail))
    out().print(table)
    wrong = [check.what for check in checks if check.passed is False]
    if wrong:
        raise ModelError(
            f"{name}: {', '.join(wrong)} is not what was published. Fetch the model again with "
            f"`emocli models pull --force {name}`, or install emocli again if it is part of it."
        )


def print_json(content: Any) -> None:
    """Write JSON on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _row(listing: Listing) -> Sequence[str]:
    card = listing.card
    here = "yes" if listing.on_this_machine else "no"
    return (listing.alias, card.modality, _gives(listing), here, card.licence, card.source)


def _gives(listing: Listing) -> str:
    """Outputs in a few words; long label sets are counted."""
    outputs = listing.card.outputs
    return " ".join(outputs) if len(outputs) <= 8 else f"{len(outputs)} labels"


def _facts(listing: Listing) -> dict[str, Any]:
    return {
        "alias": listing.alias,
        **asdict(listing.card),
        "on_this_machine": listing.on_this_machine,
        "folder": str(listing.folder) if listing.folder else "",
    }


def _said(listing: Listing) -> list[tuple[str, str]]:
    """Fields and values for people, without those that are not known."""
    card = listing.card
    where = str(listing.folder)
    if listing.folder is None:
        where = f"no; `emocli models pull {listing.alias or 'hf:' + listing.hub}` fetches it"
    fields = [
        ("name", listing.alias),
        ("identifier", card.identifier),
        ("kind", card.modality),
        ("labels", ", ".join(card.labels)),
        ("dimensions", ", ".join(card.dimensions)),
        ("scores", "one sigmoid for each label" if card.multi_label else ""),
        ("sampling rate", f"{card.sampling_rate} Hz" if card.sampling_rate else ""),
        ("parameters", f"{card.n_parameters:,}" if card.n_parameters else ""),
        ("size", _megabytes(card.size_bytes)),
        ("licence", card.licence),
        ("source", card.source),
        ("on this machine", where),
        ("about", card.description),
    ]
    return [(field, value) for field, value in fields if value]


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes else ""
