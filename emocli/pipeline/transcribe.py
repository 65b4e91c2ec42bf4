"""Transcribing whatever the arguments name: the use case behind ``emocli transcribe``."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emocli.asr.languages import language_code
from emocli.asr.listening import listen
from emocli.asr.load import Machine, load_transcriber
from emocli.asr.transcriber import SAMPLING_RATE, Abandoned, OnWindow, Transcriber
from emocli.audio.quality import join_remarks
from emocli.audio.stores import wanted
from emocli.audio.voice_activity import Detector, find_speech
from emocli.errors import EmocliError
from emocli.pipeline.ahead import run_ahead
from emocli.pipeline.inputs import (
    MIX,
    Arguments,
    ChannelChoice,
    Inputs,
    Utterance,
    carried_columns,
    read_inputs,
    select_sound,
    threads_for,
)
from emocli.pipeline.progress import ProgressCallback, Tally
from emocli.pipeline.scoring import Row, in_pieces
from emocli.table import TRANSCRIPT_COLUMNS, PredictionTable
from emocli.transcript import Segment, TranscribeOptions, Transcript, Word

if TYPE_CHECKING:
    from emocli.pipeline.journal import Journal

DEFAULT_MODEL = "base"
"""140 MB, and about real time on one core of a laptop."""

AHEAD_SECONDS = 1200.0
"""Seconds of audio that may wait for the model: 77 MB."""

NAME = "the transcript"
"""What errors call the table of a run."""

NO_SPEECH = "no speech"
UNDETECTED = "text where no speech was detected"
IMPROBABLE = "no temperature gave a good text, kept the most probable"
_STEP = "transcript"
_OWN_COLUMNS = frozenset((*TRANSCRIPT_COLUMNS, "words", "dropped_text"))


@dataclass(frozen=True)
class Transcribed:
    """An utterance and what was heard in it."""

    utterance: Utterance
    start: float | None
    """Seconds at which it starts, and at which it ends; None if not known."""
    end: float | None
    transcript: Transcript = field(default_factory=Transcript)
    """In seconds of the recording."""
    note: str = ""
    """Doubts about the recording and the text, and what was left out."""
    error: str = ""
    """Why there is no transcript."""


def transcribe(
    paths: Arguments,
    model: str = DEFAULT_MODEL,
    *,
    language: str | None = None,
    task: str = "transcribe",
    segments: bool = False,
    word_timestamps: bool = False,
    initial_prompt: str | None = None,
    beam_size: int | None = None,
    vad: bool = True,
    channel: ChannelChoice = MIX,
    track: int | None = None,
    model_dir: str | os.PathLike[str] | None = None,
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    progress: ProgressCallback | None = None,
    remark: Callable[[str], None] | None = None,
) -> PredictionTable:
    """What is said in recordings.

    A recording that cannot be used has a row with an ``error`` and without a text. Text that the
    model wrote where nobody speaks is moved to the column ``dropped_text``, with a note.

    Args:
        paths: files, folders, patterns, manifests, ``"-"`` for standard input, or a table, which
            may be a pandas data frame with a column (or an audformat index level) ``file``.
        model: a size such as ``"base"``, ``"hf:owner/name@revision"``, a ``.pt`` file or a folder.
        language: code or name; None detects it.
        task: ``"transcribe"``, or ``"translate"`` into English.
        segments: one row for each phrase instead of one for each recording.
        word_timestamps: add a column ``words``, JSON with the times of the words.
        initial_prompt: text that the model is told came before, such as names in their spelling.
        beam_size: width of the beam search; None decodes greedily.
        vad: detect speech, and keep text where there is none only if the model is sure of it.
        channel: ``"mix"``, ``"split"`` or a number, see `emocli.predict`.
        track: sound track of videos with several, from 1 on; None for the default one.
        model_dir: where openai-whisper's ``.pt`` files are; its own cache by default.
        backend: library that computes: ``"openai"`` (takes ``.pt`` files), ``"faster-whisper"``
            (takes all) or ``"auto"``, openai for ``.pt`` files and faster-whisper for all others.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        dtype: ``"auto"``, ``"fp32"``, ``"fp16"``, or for faster-whisper ``"bf16"`` and ``"int8"``;
            ``"auto"`` is fp32, for faster-whisper on a GPU fp16.
        offline: use only what is on this machine.
        progress: called now and then with how far the run has come.
        remark: called with sentences on inputs that were left out or columns that were replaced.

    Returns:
        One row for each recording (or phrase), in the order of the inputs.

    Raises:
        AudioError: a folder without recordings, or a pattern that matches nothing.
        TableError: a manifest that is not a table.
        ModelError: a model that cannot be used, or a language that it does not know.
        ModelUnavailable: a model that is not on this machine and could not be fetched.
    """
    options = TranscribeOptions(
        language=None if language is None else language_code(language),
        task=task,
        initial_prompt=initial_prompt,
        word_timestamps=word_timestamps,
        beam_size=beam_size,
    )
    inputs = select_sound(read_inputs(paths), channel, track)
    if remark is not None:
        for sentence in (*inputs.remarks, *inputs.warnings):
            remark(sentence)
    machine = Machine(backend, device, dtype, len(inputs.utterances))
    transcriber = load_transcriber(model, machine, offline=offline, model_dir=model_dir)
    run = TranscriptionRun(inputs, transcriber, options, find_speech if vad else None)
    return run.table(run.transcripts(progress), segments=segments)


@dataclass(frozen=True)
class TranscriptionRun:
    """A run of a transcriber over utterances."""

    inputs: Inputs
    transcriber: Transcriber
    options: TranscribeOptions
    detector: Detector | None = None
    """Finds speech; None believes the model everywhere."""

    def transcripts(
        self, progress: ProgressCallback | None = None, journal: "Journal | None" = None
    ) -> Iterator[Transcribed]:
        """Utterances with what was heard in them, in the order of the inputs.

        Args:
            progress: called with how far the run has come after each utterance.
            journal: knows the transcripts of an earlier run, which are not made again, and gets
                those that are made.

        Raises:
            ModelError: the model does not know the language, or cannot translate.
            TableError: the journal cannot be written.
        """
        utterances = self.inputs.utterances
        if journal is None:
            pending: Sequence[Utterance] = utterances
        else:
            pending = list(chain.from_iterable(journal.pending(_STEP, utterances)))
        done = transcribe_utterances(
            pending,
            self.transcriber,
            self.options,
            self.detector,
            progress,
            n_before=len(utterances) - len(pending),
        )
        for one in done:
            if journal is not None:
                journal.add(_STEP, [(one.utterance, [_plain(one)])])
            yield one

    def recorded(self, journal: "Journal") -> Iterator[Transcribed]:
        """All transcripts of a run whose `transcripts` have gone to a journal, in their order."""
        for utterance, row in zip(self.inputs.utterances, journal.rows(_STEP), strict=True):
            yield _from_plain(utterance, row)

    def table(self, done: Iterable[Transcribed], *, segments: bool = False) -> PredictionTable:
        """The table of transcripts.

        Args:
            done: of this run.
            segments: one row for each segment instead of one for each utterance.
        """
        rows = chain.from_iterable(
            transcript_rows(one, self.transcriber, self.options, segments=segments) for one in done
        )
        return PredictionTable.from_rows(rows, folder=self.inputs.folder, name=NAME)

    def tables(
        self, done: Iterable[Transcribed], *, segments: bool = False
    ) -> Iterator[PredictionTable]:
        """The same as `table` in pieces."""
        return in_pieces(done, partial(self.table, segments=segments))

    def header(self, *, segments: bool = False) -> list[str]:
        """Names of the columns that the table will have, whatever is said.

        Args:
            segments: one row for each phrase.
        """
        carried = dict.fromkeys(carried_columns(self.inputs.utterances), "")
        example = Transcribed(Utterance("-", Path(), carried=carried), None, None)
        rows = transcript_rows(example, self.transcriber, self.options, segments=segments)
        return list(PredictionTable.from_rows(rows).columns)

    def settings(self, **machine: Any) -> dict[str, Any]:
        """All that decides what transcripts say, as plain data.

        Args:
            machine: what else there is, such as the number format.
        """
        card = self.transcriber.card
        return {
            "version_of_emocli": version("emocli"),
            "model": [card.identifier, card.source, card.n_parameters, card.size_bytes],
            "voice_activity": self.detector is not None,
            **asdict(self.options),
            **machine,
        }


def _plain(one: Transcribed) -> Row:
    """A transcript as plain data, without the utterance."""
    return {
        "start": one.start,
        "end": one.end,
        "transcript": asdict(one.transcript),
        "note": one.note,
        "error": one.error,
    }


def _from_plain(utterance: Utterance, row: Row) -> Transcribed:
    """What `_plain` made of a transcript."""
    found = row["transcript"]
    return Transcribed(
        utterance,
        row["start"],
        row["end"],
        Transcript(
            found["language"],
            tuple(_segment(one) for one in found["segments"]),
            tuple(_segment(one) for one in found["dropped"]),
        ),
        row["note"],
        row["error"],
    )


def _segment(content: dict[str, Any]) -> Segment:
    return Segment(**{**content, "words": tuple(Word(**word) for word in content["words"])})


def transcribe_utterances(
    utterances: Sequence[Utterance],
    transcriber: Transcriber,
    options: TranscribeOptions,
    detector: Detector | None,
    progress: ProgressCallback | None = None,
    *,
    n_before: int = 0,
    n_threads: int = 2,
) -> Iterator[Transcribed]:
    """Transcripts in the order of the utterances, decoded ahead of the model.

    Args:
        utterances: what to listen to.
        transcriber: the model.
        options: how to transcribe.
        detector: finds speech, see `listen`; threads may share it.
        progress: called with how far the run has come, for each window of 30 s and after each
            utterance, by one thread at a time.
        n_before: utterances that an earlier run has done, for the progress.
        n_threads: recordings decoded at a time.

    Raises:
        ModelError: the model does not know the language, or cannot translate.
    """
    transcriber.check(options)
    tally = Tally(len(utterances) + n_before, progress, n_before)
    counting = Lock()
    n_lanes = transcriber.n_lanes(options)

    def hear(heard: _Heard) -> Iterator[Transcribed]:
        counted = 0.0

        def on_window(seconds: float) -> None:
            nonlocal counted
            if not is_wanted():
                raise Abandoned
            with counting:
                tally.heard(max(0.0, seconds - counted))
                counted = max(counted, seconds)
                tally.report()

        is_wanted = wanted.get()
        one = _transcribe(heard, transcriber, options, detector, on_window)
        with counting:
            tally.heard(len(heard.samples) / SAMPLING_RATE - counted)
            tally.finished(failed=bool(one.error))
            tally.report()
        yield one

    with transcriber.shared(n_lanes) as take_share:
        yield from run_ahead(
            _listen(utterances, tally, n_threads),
            hear,
            cost=lambda _: 0.0,
            budget=0.0,
            n_threads=n_lanes if n_lanes > 1 else 0,
            max_jobs=2 * n_lanes,
            ready=take_share,
        )


@dataclass(frozen=True)
class _Heard:
    """A decoded utterance, or why there is none."""

    utterance: Utterance
    samples: NDArray[np.float32]
    start: float = 0.0
    duration: float = 0.0
    note: str = ""
    error: str = ""


def _listen(utterances: Sequence[Utterance], tally: Tally, n_threads: int) -> Iterator[_Heard]:
    """Each utterance as one waveform, decoded ahead in threads."""

    def hear(job: tuple[int, Utterance]) -> Iterator[_Heard]:
        index, utterance = job
        stream = utterance.stream(SAMPLING_RATE)
        try:
            samples = np.concatenate(list(stream))
        except EmocliError as error:
            yield _Heard(utterance, np.empty(0, dtype=np.float32), error=str(error))
            return
        tally.expect(index, stream.duration)
        note = join_remarks(*stream.remarks)
        yield _Heard(utterance, samples, stream.start, stream.duration, note)

    return run_ahead(
        enumerate(utterances),
        hear,
        cost=lambda heard: len(heard.samples) / SAMPLING_RATE,
        budget=AHEAD_SECONDS,
        n_threads=threads_for(utterances, n_threads),
    )


def _transcribe(
    heard: _Heard,
    transcriber: Transcriber,
    options: TranscribeOptions,
    detector: Detector | None,
    on_window: OnWindow,
) -> Transcribed:
    """The transcript of a decoded utterance."""
    utterance = heard.utterance
    if heard.error:
        return Transcribed(utterance, utterance.start, utterance.end, error=heard.error)
    start, end = heard.start, heard.start + heard.duration
    if utterance.end is not None:
        end = utterance.end  # what a manifest calls the segment stays its name
    try:
        transcript = listen(heard.samples, transcriber, options, detector, on_window)
    except EmocliError as error:
        return Transcribed(utterance, start, end, error=f"{utterance.file}: {error}")
    transcript = transcript.moved(start)
    note = join_remarks(utterance.note, heard.note, *_remarks(transcript, options))
    return Transcribed(utterance, start, end, transcript, note)


def _remarks(transcript: Transcript, options: TranscribeOptions) -> Iterator[str]:
    """What a reader of the text should know of it, and of what is not in it."""
    if not transcript.segments:
        yield NO_SPEECH
    doubts: dict[str, list[Segment]] = {}
    for segment in transcript.segments:
        for doubt in _doubts(segment, options):
            doubts.setdefault(doubt, []).append(segment)
    for doubt, segments in doubts.items():
        yield f"{doubt} ({_times(segments)})"
    if transcript.dropped:
        n, times = len(transcript.dropped), _times(transcript.dropped)
        yield f"dropped {n} segment{'s' if n > 1 else ''} without speech ({times})"


def _doubts(segment: Segment, options: TranscribeOptions) -> Iterator[str]:
    if not segment.is_detected:
        yield UNDETECTED
    if (
        segment.avg_logprob < options.logprob_threshold
        or segment.compression_ratio > options.compression_ratio_threshold
    ):
        yield IMPROBABLE


def _times(segments: Iterable[Segment]) -> str:
    return ", ".join(f"{one.start:.2f} to {one.end:.2f} s" for one in segments)


def transcript_rows(
    one: Transcribed,
    transcriber: Transcriber,
    options: TranscribeOptions,
    *,
    segments: bool = False,
) -> list[Row]:
    """The rows of an utterance.

    Args:
        one: the utterance and its transcript.
        transcriber: the model, for its name.
        options: how it was transcribed.
        segments: one row for each segment, kept or dropped, if there is any.

    Returns:
        At least one, and exactly one with an ``error`` where the utterance failed.
    """
    transcript = one.transcript
    if not segments or not (transcript.segments or transcript.dropped):
        return [_row(one, transcriber, options, transcript, one.start, one.end, one.note)]
    found = [(segment, True) for segment in transcript.segments]
    found += [(segment, False) for segment in transcript.dropped]
    rows = []
    for segment, kept in sorted(found, key=lambda pair: pair[0].start):
        alone = Transcript(
            transcript.language, (segment,) if kept else (), () if kept else (segment,)
        )
        doubts = _doubts(segment, options) if kept else [NO_SPEECH]
        note = join_remarks(one.utterance.note, *doubts)
        rows.append(_row(one, transcriber, options, alone, segment.start, segment.end, note))
    return rows


def _row(
    one: Transcribed,
    transcriber: Transcriber,
    options: TranscribeOptions,
    transcript: Transcript,
    start: float | None,
    end: float | None,
    note: str,
) -> Row:
    carried = {k: v for k, v in one.utterance.carried.items() if k not in _OWN_COLUMNS}
    words = [word for segment in transcript.segments for word in segment.words]
    return {
        "file": one.utterance.file,
        "start": math.nan if start is None else round(start, 3),
        "end": math.nan if end is None else round(end, 3),
        "model": transcriber.card.identifier,
        "text": transcript.text,
        "language": transcript.language,
        "avg_logprob": transcript.avg_logprob,
        "no_speech_prob": transcript.no_speech_prob,
        "compression_ratio": transcript.compression_ratio,
        "note": note,
        "error": one.error,
        **({"words": _words_json(words)} if options.word_timestamps else {}),
        "dropped_text": transcript.dropped_text,
        **carried,
    }


def _words_json(words: Sequence[Word]) -> str:
    entries = [
        {
            "word": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "probability": round(word.probability, 6),
        }
        for word in words
    ]
    return json.dumps(entries, ensure_ascii=False) if entries else ""
