"""Review of fused labels: rows become questions, answers become labels or leave them alone."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.audio.decode import read_waveform
from emocli.audio.prosody import describe_prosody
from emocli.audio.sndfile import wav_bytes
from emocli.chat.batches import run_batches
from emocli.chat.kept import KeptAnswers
from emocli.chat.question import Answer, Ending, Question, Sound
from emocli.chat.service import Server, ask_all
from emocli.errors import AudioError, JudgeError, MissingDependency
from emocli.judging import prompt
from emocli.judging.measures import Measured, Reference, describe, reference_of, sex_of
from emocli.judging.prompt import Case, Turn
from emocli.judging.reply import Fault, Opinion, Unusable, parse_reply
from emocli.judging.review import Outcome, Review, agreed, decide, posterior
from emocli.pipeline.inputs import Utterance, read_inputs
from emocli.pipeline.progress import Progress, ProgressCallback, Tally
from emocli.table import UNNAMED, PredictionTable, listing
from emocli.user_cache import cache_folder

SAMPLING_RATE = 16000
LONGEST_SOUND_SECONDS = 30.0
"""What models that hear take at least: the window of Whisper's encoder, which many have."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FAULTS = {
    Ending.REFUSED: Fault.REFUSED,
    Ending.BROKEN: Fault.MALFORMED,
    Ending.LATE: Fault.LATE,
    Ending.FAILED: Fault.FAILED,
}
BEFORE, OPINION = "label_before", "judge_label"
CONFIDENCE, REASON = "judge_confidence", "judge_reason"
OUTCOME, CHANGED = "judge_outcome", "judge_changed"
ENTROPY, VARENTROPY, SHARE_PREFIX = "judge_entropy", "judge_varentropy", "judge_p_"


@dataclass(frozen=True)
class JudgeOptions:
    """How utterances are put to the judge.

    Attributes:
        model: name by which the server knows it.
        threshold: confidence above which a label changes, from 0 to 1.
        temperature: of the model.
        max_tokens: longest reply.
        turns: how many utterances of the same recording before each one are told as well.
        min_probability: labels of a smaller posterior are not up for choice.
        n_samples: how often each question is asked.
        listens: the recordings go with the questions, their first `LONGEST_SOUND_SECONDS`.
    """

    model: str
    threshold: float = 0.8
    temperature: float = 0.3
    max_tokens: int = 1024
    turns: int = 0
    min_probability: float = 0.0
    n_samples: int = 1
    listens: bool = False


def default_cache() -> Path:
    """``judge`` in the user's cache folder."""
    return cache_folder() / "judge"


def reviewable(table: PredictionTable) -> NDArray[np.bool_]:
    """Rows with a label that a judge could confirm or change, shape (n_rows,).

    Raises:
        JudgeError: the table has no transcripts, or no labels to choose from.
    """
    if "text" not in table:
        raise JudgeError(
            f"No column text among {listing(table.columns)}, expected transcripts. "
            f"Fuse with a table that has them, as emocli transcribe writes it."
        )
    labels = known_labels(table)
    if len(labels) < 2:
        raise JudgeError(
            f"The table knows {', '.join(labels) or 'no label'}, expected two labels or more to "
            f"choose from. Give a table with p_ columns, as emocli fuse writes it."
        )
    return np.asarray((table.column("label") != "") & ~table.failed, dtype=bool)


def known_labels(table: PredictionTable) -> tuple[str, ...]:
    """Labels with a posterior, else those that some row has."""
    return table.labels or tuple(dict.fromkeys(label for label in table.column("label") if label))


@dataclass(frozen=True)
class Measurements:
    """The sound of the rows of a table.

    Attributes:
        measured: by row; rows that were not measured are missing.
        failed: why a recording could not be measured, by its row.
        sounds: what is sent of the recordings, by row; empty where nobody listens.
    """

    measured: Mapping[int, Measured] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    sounds: Mapping[int, Sound] = field(default_factory=dict)


def measure(
    table: PredictionTable,
    rows: Sequence[int],
    *,
    root: str | None = None,
    listens: bool = False,
    progress: ProgressCallback | None = None,
) -> Measurements:
    """Level, pitch and rate of the recordings of rows.

    Args:
        table: with ``file``, and ``start`` and ``end`` of segments.
        rows: indices.
        root: folder that relative paths start from; the table's own by default.
        listens: keep what is to be sent of them, too.
        progress: called after each recording.
    """
    located = replace(table, folder=root) if root is not None else table
    known = {_key(one): _reachable(one) for one in read_inputs(located).utterances}
    tally = Tally(len(rows), progress)
    measured: dict[int, Measured] = {}
    failed: dict[int, str] = {}
    sounds: dict[int, Sound] = {}
    for row in rows:
        key = _key_of_row(table, row)
        # One recording under two spellings of its path is one utterance to `read_inputs`.
        utterance = known.get(key) or Utterance(key[0], Path(located.folder, key[0]), *key[1:])
        try:
            waveform = _waveform(utterance)
            measured[row] = _measured(waveform, table["text"][row])
            if listens:
                sounds[row] = _sound(utterance, waveform)
            tally.heard(measured[row]["duration_seconds"])
        except (AudioError, MissingDependency) as error:
            failed[row] = str(error)
        tally.finished(failed=row in failed)
        tally.report()
    return Measurements(measured, failed, sounds)


def _reachable(one: Utterance) -> Utterance:
    """The utterance with its path from the working folder, where the table's has no such file.

    ``emocli fuse recordings.csv text.csv -o out/fused.csv`` keeps paths as they were given.
    """
    from_here = Path(one.file)
    is_lost = isinstance(one.path, Path) and not one.path.exists()
    return replace(one, path=from_here) if is_lost and from_here.exists() else one


_Key = tuple[str, float | None, float | None]


def _key(one: Utterance) -> _Key:
    return one.file, one.start, one.end


def _key_of_row(table: PredictionTable, row: int) -> _Key:
    times = (float(table.column(name)[row]) for name in ("start", "end"))
    start, end = (None if math.isnan(value) else value for value in times)
    return table["file"][row].replace(os.sep, "/"), start, end


def _waveform(utterance: Utterance) -> NDArray[np.float32]:
    return read_waveform(
        utterance.path,
        SAMPLING_RATE,
        start=utterance.start,
        stop=utterance.end,
        name=utterance.file,
        selection=utterance.selection,
    ).samples


def _measured(waveform: NDArray[np.float32], text: str) -> dict[str, float]:
    found = describe_prosody(waveform, SAMPLING_RATE, text)
    return {**asdict(found), "pitch_range_hz": found.pitch_range_hz}


def _sound(utterance: Utterance, waveform: NDArray[np.float32]) -> Sound:
    """What a question sends of an utterance, read again then: all of them would fill the memory."""

    def wav(samples: NDArray[np.float32]) -> bytes:
        return wav_bytes(samples[: round(LONGEST_SOUND_SECONDS * SAMPLING_RATE)], SAMPLING_RATE)

    first = wav(waveform)
    return Sound(hashlib.sha256(first).hexdigest(), len(first), lambda: wav(_waveform(utterance)))


def cases(
    table: PredictionTable,
    rows: Sequence[int],
    sound: Measurements,
    reference: Reference,
    options: JudgeOptions,
) -> list[Case]:
    """What the judge may know of each row: never its file, its speaker's name or its truth."""
    speakers, sexes = _speakers_and_sexes(table)
    compared = [reference.beside(speakers[row], sexes[row]) for row in rows]
    before = _earlier(table) if options.turns else {}
    letters = _letters(table)
    found = _posteriors(table, rows)
    return [
        Case(
            transcript=table["text"][row],
            sound=describe(sound.measured.get(row), terciles),
            beside=others,
            label=table["label"][row],
            posterior=posterior,
            labels=_choices(posterior, table["label"][row], options.min_probability)
            or known_labels(table),
            speaker=letters[row],
            turns=tuple(
                Turn(letters[other], table["text"][other])
                for other in before.get(row, [])[-options.turns :]
            ),
            recording=_part_sent(sound, row),
        )
        for row, posterior, (terciles, others) in zip(rows, found, compared, strict=True)
    ]


def _part_sent(sound: Measurements, row: int) -> str:
    """What of a recording goes with the question, in words; ``""`` for nothing."""
    if row not in sound.sounds:
        return ""
    is_whole = sound.measured[row]["duration_seconds"] <= LONGEST_SOUND_SECONDS
    return "all of it" if is_whole else f"its first {LONGEST_SOUND_SECONDS:g} s"


def reference_of_table(table: PredictionTable, sound: Measurements) -> Reference:
    """What low and high mean in a table, by its columns ``speaker`` and ``gender`` or ``sex``."""
    speakers, sexes = _speakers_and_sexes(table)
    rows = list(sound.measured)
    return reference_of(
        list(sound.measured.values()), [speakers[row] for row in rows], [sexes[row] for row in rows]
    )


def _speakers_and_sexes(table: PredictionTable) -> tuple[list[str], list[str]]:
    told = table.column("gender" if "gender" in table else "sex").tolist()
    return table.column("speaker").tolist(), [sex_of(text) for text in told]


def _posteriors(table: PredictionTable, rows: Sequence[int]) -> list[dict[str, float]]:
    """Probability by label of each row, without labels that are not in the row's set."""
    return [
        {label: p for label, p in zip(table.labels, values, strict=True) if not math.isnan(p)}
        for values in table.probs[list(rows)].tolist()
    ]


def _choices(posterior: Mapping[str, float], own: str, min_probability: float) -> tuple[str, ...]:
    """What the judge may answer: the row's labels that are likely enough, and its own."""
    return tuple(name for name, p in posterior.items() if p >= min_probability or name == own)


def _earlier(table: PredictionTable) -> dict[int, list[int]]:
    """Rows of the same recording that begin before each row, in order of time."""
    by_file: dict[str, list[int]] = {}
    starts = table.column("start")
    for row in np.argsort(starts, kind="stable").tolist():
        if not math.isnan(starts[row]):
            by_file.setdefault(table["file"][row], []).append(row)
    return {
        row: [other for other in rows[:place] if starts[other] < starts[row]]
        for rows in by_file.values()
        for place, row in enumerate(rows)
    }


def _letters(table: PredictionTable) -> list[str]:
    """A letter for the speaker of each row, given anew in each recording; empty where unknown."""
    given: dict[str, dict[str, str]] = {}
    letters = []
    for file, speaker in zip(table["file"], table.column("speaker"), strict=True):
        known = given.setdefault(file, {})
        if speaker and speaker not in known:
            place = len(known)
            known[speaker] = _LETTERS[place % 26] + (str(place // 26) if place >= 26 else "")
        letters.append(known[speaker] if speaker else "")
    return letters


def questions_of(case: Case, options: JudgeOptions, sound: Sound | None = None) -> list[Question]:
    """The requests about a case, with its recording if the judge is to hear it."""
    first = Question(
        model=options.model,
        messages=prompt.messages(case, options.threshold),
        schema=prompt.schema(case.labels),
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        sound=sound,
    )
    return [replace(first, draw=draw) for draw in range(options.n_samples)]


@dataclass
class Hearing:
    """Answers to the questions of a run, those of earlier runs among them.

    Attributes:
        answers: by key of the question.
        kept: where answers outlive the run.
        n_before: questions that an earlier run had an answer to.
        n_left: questions beyond the limit, that nobody was asked.
        n_open: questions on batches that have not ended.
        left_out: of the requests, as the server refuses it.
    """

    kept: KeptAnswers
    answers: dict[str, Answer] = field(default_factory=dict)
    n_before: int = 0
    n_left: int = 0
    n_open: int = 0
    left_out: Sequence[str] = ()

    def hear(self, key: str, answer: Answer) -> None:
        """Take an answer, and keep it if it was paid for."""
        self.answers[key] = answer
        if answer.is_paid:
            self.kept.keep(key, answer)


def recall(questions: Sequence[Question], kept: KeptAnswers) -> Hearing:
    """The answers that are there already; what was in no form to be read is asked again."""
    hearing = Hearing(kept)
    for key in dict.fromkeys(question.key for question in questions):
        found = kept.find(key)
        if found is not None and not _is_malformed(found):
            hearing.answers[key] = found
    hearing.n_before = len(hearing.answers)
    return hearing


def _is_malformed(answer: Answer) -> bool:
    if answer.ending is not Ending.ANSWERED:
        return False
    found = parse_reply(answer.text, ())
    return isinstance(found, Unusable) and found.fault is Fault.MALFORMED


def unanswered(questions: Sequence[Question], hearing: Hearing) -> list[Question]:
    """Questions without an answer, each once."""
    return list({one.key: one for one in questions if one.key not in hearing.answers}.values())


def _to_ask(
    questions: Sequence[Question], hearing: Hearing, max_calls: int | None
) -> list[Question]:
    """The first questions without an answer; how many are left is noted."""
    open_ = unanswered(questions, hearing)
    asked = open_[:max_calls]
    hearing.n_left = len(open_) - len(asked)
    return asked


def hold(
    questions: Sequence[Question],
    hearing: Hearing,
    server: Server,
    *,
    max_calls: int | None = None,
    progress: ProgressCallback | None = None,
) -> None:
    """Ask what has no answer yet, and keep each answer as it comes.

    Args:
        questions: of all rows, the same one maybe several times.
        hearing: takes the answers.
        server: where questions go.
        max_calls: ask no more than this many.
        progress: called after each answer.

    Raises:
        JudgeUnavailable: the server cannot be reached, or is of no use.
        JudgeError: answers cannot be kept.
        MissingDependency: the client is not installed.
    """
    asked = _to_ask(questions, hearing, max_calls)
    tally = Tally(len(asked) + hearing.n_before, progress, hearing.n_before)

    def heard(key: str, answer: Answer) -> None:
        hearing.hear(key, answer)
        tally.finished(failed=answer.ending is not Ending.ANSWERED)
        tally.report()

    if asked:
        tally.report()
        hearing.left_out = ask_all(asked, server, heard)


def hold_in_batches(
    questions: Sequence[Question],
    hearing: Hearing,
    server: Server,
    *,
    max_calls: int | None = None,
    pause: Callable[[Progress], None] | None = None,
) -> None:
    """Submit what has no answer yet as batches, or take up those of an earlier run.

    Args:
        questions: of all rows, the same one maybe several times.
        hearing: takes the answers.
        server: where questions go.
        max_calls: submit no more than this many.
        pause: called with how far the run has come before each further look; None to look once.

    Raises:
        JudgeUnavailable: the server cannot be reached, or is of no use.
        JudgeError: it has no batches or refuses one, or answers cannot be kept.
        MissingDependency: the client is not installed.
    """
    asked = _to_ask(questions, hearing, max_calls)
    n_all = len(asked) + hearing.n_before

    def wait(n_open: int) -> None:
        if pause is not None:
            done = max(0, n_all - n_open)
            pause(Progress(done, n_all, n_before=hearing.n_before))

    if asked:
        folder = hearing.kept.folder / "batches"
        hearing.n_open = run_batches(
            asked, server, folder, hearing.hear, pause=wait if pause else None
        )


def reviews_of(
    table: PredictionTable,
    asked: Mapping[int, tuple[Case, Sequence[Question]]],
    hearing: Hearing,
    threshold: float,
) -> list[Review]:
    """What became of each row.

    Args:
        table: the fused rows.
        asked: case and questions of each row that was up for review.
        hearing: the answers.
        threshold: confidence above which a label changes.
    """
    return [
        _review(label, *asked[row], hearing, threshold) if row in asked else Review(label)
        for row, label in enumerate(table["label"].tolist())
    ]


def _review(
    before: str, case: Case, questions: Sequence[Question], hearing: Hearing, threshold: float
) -> Review:
    answers = [hearing.answers.get(question.key) for question in questions]
    found = [_found(answer, case) for answer in answers if answer is not None]
    if not found:
        return Review(before, outcome=Outcome.NOT_ASKED)
    opinions = [one for one in found if isinstance(one, Opinion)]
    return replace(
        decide(before, agreed(opinions) if opinions else found[0], threshold), opinions=opinions
    )


def _found(answer: Answer, case: Case) -> Opinion | Unusable:
    """The opinion in an answer, or why there is none: first of all, that it was cut."""
    if answer.ending is not Ending.ANSWERED:
        return Unusable(_FAULTS[answer.ending], answer.why)
    spoken = "\n".join([case.transcript, *(turn.text for turn in case.turns)])
    found = parse_reply(answer.text, case.labels, spoken)
    if isinstance(found, Unusable) and found.fault is Fault.MALFORMED and answer.why:
        return replace(found, why=answer.why)
    return found


def reviewed_table(
    table: PredictionTable, reviews: Sequence[Review], options: JudgeOptions
) -> PredictionTable:
    """The table with the labels that count, and what the judge said.

    Posteriors, and what is computed from them, stay those of the fusion: a changed label need not
    be the most probable one. A judge that was asked several times has a posterior of its own.
    """
    opinions = [one.found if isinstance(one.found, Opinion) else None for one in reviews]
    names = [name or UNNAMED for name in table.column("model").tolist()]
    return table.with_columns(
        {
            "model": [f"judge({name},{options.model})" for name in names],
            "label": [one.after for one in reviews],
            BEFORE: [one.before for one in reviews],
            OPINION: [one.label if one else "" for one in opinions],
            CONFIDENCE: [one.confidence if one else math.nan for one in opinions],
            **(_sampled(reviews, known_labels(table)) if options.n_samples > 1 else {}),
            REASON: [one.reason for one in reviews],
            CHANGED: [one.change for one in reviews],
            OUTCOME: [one.outcome.value if one.outcome else "" for one in reviews],
        }
    )


def _sampled(reviews: Sequence[Review], labels: Sequence[str]) -> dict[str, Sequence[float]]:
    """Columns of the judge's own posterior, and its entropy and varentropy."""
    shares = np.reshape([posterior(one.opinions, labels) for one in reviews], (-1, len(labels)))
    return {
        **{f"{SHARE_PREFIX}{name}": shares[:, place].tolist() for place, name in enumerate(labels)},
        ENTROPY: posteriors.entropy(shares).tolist(),
        VARENTROPY: posteriors.varentropy(shares).tolist(),
    }
