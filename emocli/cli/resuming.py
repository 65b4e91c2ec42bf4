"""Options of runs that can be interrupted or shared, and what they come to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import typer

from emocli.cli.console import Talk, complain
from emocli.cli.options import MACHINE_PANEL, OUTPUT_PANEL
from emocli.pipeline.cluster import Cluster
from emocli.pipeline.inputs import Inputs
from emocli.pipeline.journal import Journal, keeps_journal
from emocli.pipeline.shards import Shard

Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--overwrite",
        help="Where -o names a table that this command has begun or made, do only what is new, "
        "changed, missing or failed; or do all anew. What a run has done is kept beside the "
        "table in .NAME.journal.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        envvar="EMOCLI_SHARD",
        metavar="I/N",
        help="Only the I-th of N parts of the inputs, counted from 1: for job arrays. The tables "
        "of all parts, one below another, are that of the whole.",
        rich_help_panel=MACHINE_PANEL,
    ),
]

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        envvar="EMOCLI_CLUSTER",
        metavar="ray[:ADDRESS]",
        help="Run on a Ray cluster (emocli[ray]); -o names a folder, which gets Parquet parts "
        "that fuse, eval and report read as one table. All machines have to see the PATHs: on a "
        "shared disk, or as URIs.",
        rich_help_panel=MACHINE_PANEL,
    ),
]


def find_cluster(text: str | None, paths: Sequence[str], output: str) -> Cluster | None:
    """The cluster that ``--cluster`` names, None where there is no such option.

    Raises:
        typer.BadParameter: it names none, or the output or an input is not for clusters.
    """
    if text is None:
        return None
    try:
        cluster = Cluster.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--cluster") from None
    if output == "-":
        raise typer.BadParameter(
            "a run on a cluster writes parts into a folder; name it with -o", param_hint="-o"
        )
    if "-" in paths:
        raise typer.BadParameter(
            "standard input cannot be read again when the command is repeated; write it to a "
            "file and name that",
            param_hint="--cluster",
        )
    return cluster


def part_of(inputs: Inputs, shard: str | None) -> Inputs:
    """The part of the inputs that ``--shard`` names, or all of them.

    Raises:
        typer.BadParameter: it names no part.
    """
    if shard is None:
        return inputs
    try:
        chosen = Shard.parse(shard)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from None
    return replace(inputs, utterances=chosen.of(inputs.utterances))


@contextmanager
def kept(
    output: str,
    settings: Callable[[], Mapping[str, Any]],
    *,
    resume: bool,
    makes_folders: bool,
    talk: Talk,
) -> Iterator[Journal | None]:
    """The journal of a run; None where the output is a pipe, which nobody can take up again.

    Args:
        output: of the command.
        settings: gives all that decides what rows look like.
        resume: go on where an earlier run of the same command ended.
        makes_folders: the output is a folder, which need not be there.
        talk: says how much is there from before.

    Raises:
        TableError: see `Journal`.
    """
    if not keeps_journal(output):
        yield None
        return
    with Journal(output, settings(), overwrite=not resume, makes_folders=makes_folders) as journal:
        try:
            yield journal
        except KeyboardInterrupt:
            if journal.n_done:
                complain(
                    f"{output}: interrupted; what is done is kept, and the same command goes on "
                    f"from there."
                )
            else:
                complain(f"{output}: interrupted before the first results were there to keep.")
            raise
        journal.finish()
    if journal.n_before:
        talk.say(
            f"{output}: {journal.n_before} results are from before; --overwrite makes them anew."
        )
