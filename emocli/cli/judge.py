"""``emocli judge``: a language model reviews fused labels."""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from emocli.chat.question import Question
from emocli.chat.service import FORMATS, NO_KEY, Server, check_endpoint, import_openai
from emocli.cli import progress
from emocli.cli.console import Talk, choose_format, emit, finish
from emocli.cli.judge_view import (
    changes_view,
    outcomes_view,
    prompt_text,
    review_table,
    sweep_view,
)
from emocli.cli.named_files import read_text, tell_tables
from emocli.cli.options import (
    MACHINE_PANEL,
    CsvSafe,
    FileColumn,
    Format,
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
from emocli.errors import JudgeError
from emocli.files import STDIN, check_output, replacing
from emocli.fusion.sides import Side, align_truth, split_models
from emocli.judging.conflicts import conflicts, conflicts_between
from emocli.judging.measures import Reference, dump_reference, parse_reference
from emocli.judging.prompt import Case
from emocli.judging.review import (
    NO_ANSWER,
    NO_OPINION,
    THRESHOLDS,
    Outcome,
    Review,
    changes_of,
    outcomes_of,
    sweep,
)
from emocli.pipeline import judge as judging
from emocli.pipeline.judge import Hearing, JudgeOptions, Measurements
from emocli.pipeline.progress import Progress
from emocli.table import PredictionTable, listing
from emocli.table_io import match_tables, table_files
from emocli.table_reader import ColumnNames

SERVER_PANEL = "Judge"
CHOICE_PANEL = "What is reviewed"
TRUTH_PANEL = "What the review was worth"
LOOK_AGAIN_SECONDS = 30.0


class ReplyFormat(StrEnum):
    """How the form of a reply is asked for."""

    AUTO = "auto"
    SCHEMA = "schema"
    JSON = "json"
    TEXT = "text"


def judge(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="Fused predictions with text; - reads a pipe.")
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="EMOCLI_ENDPOINT",
            metavar="URL",
            help="Server that speaks OpenAI's protocol, such as http://localhost:8000/v1. "
            "Transcripts go there, and with --listen recordings.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(
            envvar="EMOCLI_JUDGE_MODEL",
            metavar="NAME",
            help="Model by the server's name for it.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = None,
    key_env: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Environment variable that holds the key, if the server wants one.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = "OPENAI_API_KEY",
    threshold: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="A label changes only if the judge's confidence is above this.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = 0.8,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Of the model.", rich_help_panel=SERVER_PANEL)
    ] = 0.3,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest reply.", rich_help_panel=SERVER_PANEL)
    ] = 1024,
    reply_format: Annotated[
        ReplyFormat,
        typer.Option(
            help="How the form of a reply is asked for: auto tries a schema, then JSON, then words "
            "alone, as far as the server refuses the one before.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = ReplyFormat.AUTO,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            help="By OpenAI's Batch API, with a schema unless --reply-format says otherwise. "
            "Ctrl-C leaves it; the same command takes it up again.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = False,
    no_wait: Annotated[
        bool,
        typer.Option(
            "--no-wait",
            help="With --batch: look once, and end with status 3 and without a table while "
            "answers are missing.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = False,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="K",
            help="Ask each question K times, for a posterior of the judge and its entropy.",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = 1,
    listen: Annotated[
        bool,
        typer.Option(
            "--listen",
            help="Send the recordings as well, to a model that takes audio (input_audio).",
            rich_help_panel=SERVER_PANEL,
        ),
    ] = False,
    only_conflicts: Annotated[
        bool,
        typer.Option(
            "--only-conflicts/--all",
            help="Review rows on which speech and text disagree, or every row.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = True,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE",
            help="A table that went into the fusion, to find conflicts where the fused one does "
            "not tell. May be given several times.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    max_calls: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Ask at most this often.", rich_help_panel=CHOICE_PANEL
        ),
    ] = None,
    min_probability: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Labels with a smaller posterior are not up for choice.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = 0.0,
    turns: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Also tell the N utterances before, of the same recording; speakers become "
            "letters.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = 0,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What low and high mean, as --save-reference kept it; by default the thirds of "
            "this table's recordings.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep what low and high mean in this table.",
            rich_help_panel=CHOICE_PANEL,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the prompts, and ask nobody.", rich_help_panel=CHOICE_PANEL
        ),
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="What is true: tell the gain, at this and at other thresholds. The judge never "
            "sees it.",
            rich_help_panel=TRUTH_PANEL,
        ),
    ] = None,
    truth_column: TruthColumn = "emotion",
    match: MatchOption = Match.PATH,
    root: Root = None,
    file_column: FileColumn = "",
    text_column: TextColumn = "",
    speaker_column: SpeakerColumn = "",
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            help="Questions at a time at most; fewer if the server is slow.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 8,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.001,
            metavar="SECONDS",
            help="After this an answer is late.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 60.0,
    retries: Annotated[
        int,
        typer.Option(
            min=0,
            help="How often to ask again when the server is busy or breaks off.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = 5,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="EMOCLI_JUDGE_CACHE",
            metavar="DIR",
            help="Where answers are kept, so that none is paid for twice.",
            rich_help_panel=MACHINE_PANEL,
        ),
    ] = None,
    output: Output = STDIN,
    form: Format = None,
    csv_safe: CsvSafe = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """A language model reviews fused labels.

    The judge reads the transcript, how the voice sounds (level, pitch, rate, in numbers and as
    low, medium or high), and the predicted emotion with its probabilities; with --listen it also
    hears the recording, up to 30 s of it. It never learns the file's name, who speaks, or what is
    true. A label changes only if the judge names another of
    the table's labels and is surer than --threshold. An answer that is refused, late, off the list
    or not of the right form changes nothing and is counted.

    The table gets label_before, judge_label, judge_confidence, judge_reason, judge_changed and
    judge_outcome; label is the one that counts. Posteriors and measures stay those of the fusion.

    With --samples the label is the one that most answers give, and its confidence the sum of theirs
    through all answers; judge_p_LABEL are shares of answers, judge_entropy and judge_varentropy
    theirs.

    judge_reason says why the judge gives a label, or why there is no opinion.

    Status 3: some reviews had no answer (outcome late or failed), no reply at all held an opinion,
    or rows of the table have no prediction. Status 4: the server cannot be reached, refuses the key
    or lacks the model.

    Examples:

        emocli judge fused.csv --dry-run

        emocli judge fused.csv --endpoint http://localhost:8000/v1 --judge-model qwen3 -o judged.csv
    """
    kind = choose_format(output, form.value if form else None)
    talk = Talk(quiet=quiet, verbose=verbose)
    if no_wait and not batch:
        raise typer.BadParameter(
            "--no-wait says what to do while a batch is open, and there is no --batch"
        )
    if samples > 1 and not temperature:
        raise typer.BadParameter(
            "--samples asks the same again, and --temperature 0 answers the same"
        )
    if not dry_run and (endpoint is None or judge_model is None):
        raise typer.BadParameter(
            "--endpoint and --judge-model say whom to ask; --dry-run asks nobody"
        )
    options = JudgeOptions(
        judge_model or "",
        threshold,
        temperature,
        max_tokens,
        turns,
        min_probability,
        samples,
        listen,
    )
    named = [table, truth, *(compare or ())]
    inputs = [*table_files(named), str(reference) if reference else None]
    check_output(output, inputs, overwrite=overwrite)
    kept = None if save_reference is None else str(save_reference)
    check_output(kept, inputs, overwrite=overwrite, option="--save-reference")
    sound = _Sound(_read_reference(reference) if reference else None, save_reference, root)
    read = tell_tables(named, ColumnNames(file_column, text_column, speaker_column), talk)
    fused = read[table]
    match_rows = partial(match_tables, match=match.value, root=root)
    true = align_truth(fused, read[truth], truth_column, match_rows) if truth else None
    others = [side for path in compare or () for side in split_models(path, read[path])]
    rows = _rows_up(fused, others, match_rows, only_conflicts)
    asked = _asked(fused, rows, options, sound, talk)
    questions = [question for _, of_row in asked.values() for question in of_row]
    hearing = judging.recall(
        questions, judging.KeptAnswers(cache or judging.default_cache(), endpoint or "")
    )
    if dry_run:
        _print_prompts(questions, hearing, len(fused), talk)
        return
    formats = FORMATS if reply_format is ReplyFormat.AUTO else (reply_format.value,)
    server = Server(
        check_endpoint(endpoint or ""),
        os.environ.get(key_env) or NO_KEY,
        timeout,
        concurrency,
        retries,
        formats,
    )
    _hear(questions, hearing, server, max_calls, talk, wait=not no_wait if batch else None)
    if hearing.n_open:
        talk.say(f"{hearing.n_open} questions are on their way; the same command takes them up.")
        finish(hearing.n_open)
    reviews = judging.reviews_of(fused, asked, hearing, threshold)
    _summarise(reviews, hearing, true, threshold, talk)
    reviewed = judging.reviewed_table(fused, reviews, options)
    emit(reviewed, output, kind, review_table, csv_safe=csv_safe)
    n_silent = sum(one.outcome in NO_ANSWER for one in reviews)
    n_unread = sum(one.outcome in NO_OPINION for one in reviews)
    if n_unread and n_unread == sum(one.outcome is not None for one in reviews):
        talk.warn(f"No reply held an opinion; column {judging.REASON} says why.")
        n_silent = n_unread
    finish(n_silent + int(fused.failed.sum()))


def _rows_up(
    fused: PredictionTable,
    others: Sequence[Side],
    match_rows: partial,
    only_conflicts: bool,
) -> list[int]:
    """Rows that are up for review."""
    up = judging.reviewable(fused)
    if only_conflicts and others:
        up &= conflicts_between(fused, others, match_rows)
    elif only_conflicts:
        up &= conflicts(fused)
    return np.flatnonzero(up).tolist()


@dataclass(frozen=True)
class _Sound:
    """Where descriptions of the sound come from and go to."""

    reference: Reference | None
    save_reference: Path | None
    root: str | None


def _asked(
    fused: PredictionTable, rows: Sequence[int], options: JudgeOptions, sound: _Sound, talk: Talk
) -> dict[int, tuple[Case, list[Question]]]:
    """Case and questions of each row that is up for review."""
    needed = range(len(fused)) if sound.reference is None or sound.save_reference else rows
    with progress.shown(talk, "recordings") as shown:
        found = judging.measure(
            fused,
            needed if rows else (),
            root=sound.root,
            listens=options.listens,
            progress=shown,
        )
    _tell_unmeasured(found, talk)
    of_run = judging.reference_of_table(fused, found)
    if sound.save_reference:
        with replacing(str(sound.save_reference)) as stream:
            stream.write(dump_reference(of_run).encode())
    cases = judging.cases(fused, rows, found, sound.reference or of_run, options)
    return {
        row: (case, judging.questions_of(case, options, found.sounds.get(row)))
        for row, case in zip(rows, cases, strict=True)
    }


def _read_reference(path: Path) -> Reference:
    text = read_text(path, "what --save-reference wrote", JudgeError)
    return parse_reference(text, str(path))


def _tell_unmeasured(found: Measurements, talk: Talk) -> None:
    if not found.failed:
        return
    n_all = len(found.failed) + len(found.measured)
    first = next(iter(found.failed.values()))
    talk.warn(
        f"{len(found.failed)} of {n_all} recordings could not be measured. The first: {first}"
    )
    for reason in found.failed.values():
        talk.detail(reason)


def _print_prompts(
    questions: Sequence[Question], hearing: Hearing, n_rows: int, talk: Talk
) -> None:
    first = [question for question in questions if not question.draw]
    once = list({question.key: question for question in first}.values())
    sys.stdout.write(prompt_text(once))
    n_before = sum(question.key in hearing.answers for question in once)
    talk.say(
        f"{len(once)} prompts for {len(first)} of {n_rows} rows, of which {n_before} have an "
        f"answer in the cache. Nobody was asked."
    )


def _hear(
    questions: Sequence[Question],
    hearing: Hearing,
    server: Server,
    max_calls: int | None,
    talk: Talk,
    *,
    wait: bool | None,
) -> None:
    """Ask; ``wait`` is None for questions one by one, else whether to wait for batches."""
    if judging.unanswered(questions, hearing):
        import_openai()  # says at once that it is missing
    with progress.shown(talk, "questions") as shown:

        def pause(state: Progress) -> None:
            if shown is not None:
                shown(state)
            time.sleep(LOOK_AGAIN_SECONDS)

        try:
            if wait is None:
                judging.hold(questions, hearing, server, max_calls=max_calls, progress=shown)
            else:
                again = pause if wait else None
                judging.hold_in_batches(
                    questions, hearing, server, max_calls=max_calls, pause=again
                )
        except KeyboardInterrupt:
            talk.warn("interrupted; answers that came are kept, and the same command goes on.")
            raise


def _summarise(
    reviews: Sequence[Review],
    hearing: Hearing,
    truth: Sequence[str] | None,
    threshold: float,
    talk: Talk,
) -> None:
    """Say what became of the labels, and with the truth what that was worth."""
    n_up = sum(one.outcome is not None for one in reviews)
    silent = (None, Outcome.NOT_ASKED, *NO_ANSWER)
    n_heard = sum(one.outcome not in silent for one in reviews)
    changes = changes_of(reviews, truth)
    n_changed = sum(tally.n for tally in changes.values())
    kept = f", {hearing.n_before} answers from the cache" if hearing.n_before else ""
    left = f", {hearing.n_left} questions left by --max-calls" if hearing.n_left else ""
    talk.say(
        f"{n_heard} of {len(reviews)} rows reviewed, "
        f"{n_changed} label{'' if n_changed == 1 else 's'} changed{kept}{left}."
    )
    if n_up:
        talk.show(outcomes_view(outcomes_of(reviews)))
    if changes:
        talk.show(changes_view(changes))
    _tell_reasons(reviews, talk)
    if hearing.left_out:
        talk.say(f"Asked without what the server refuses: {listing(hearing.left_out)}.")
    if truth is not None:
        thresholds = sorted({*THRESHOLDS, threshold})
        talk.show(sweep_view(sweep(reviews, truth, [math.inf, *thresholds]), threshold))


def _tell_reasons(reviews: Sequence[Review], talk: Talk) -> None:
    """The first few different reasons why there was no opinion."""
    reasons = Counter(one.reason for one in reviews if one.outcome in NO_OPINION and one.reason)
    if reasons:
        told = [reason if n == 1 else f"{reason} ({n} rows)" for reason, n in reasons.items()]
        talk.say(f"Without an opinion: {listing(told)}.")
