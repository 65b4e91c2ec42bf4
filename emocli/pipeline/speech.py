"""Emotions of recordings.

Recordings are decoded ahead of the models in threads and cut into windows while they are read, so
that neither many recordings nor a long one are ever in memory as a whole. The windows of many
recordings go through a model together; rows come out in the order of the inputs.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray

from emocli.audio.decode import WaveformStream, resample
from emocli.audio.quality import Level, join_remarks, quality_remarks
from emocli.audio.speech_windows import cut_speech
from emocli.audio.voice_activity import Detector
from emocli.audio.windows import MIN_TAIL_SECONDS, WindowPlan, cut_stream, plan_windows
from emocli.errors import AudioError, EmocliError
from emocli.models.protocol import ModelCard, Recognizer
from emocli.pipeline.ahead import run_ahead
from emocli.pipeline.inputs import Utterance, threads_for
from emocli.pipeline.processes import run_in_processes
from emocli.pipeline.progress import Progress, Tally
from emocli.pipeline.scoring import (
    WHOLE_SECONDS,
    WINDOW_SECONDS,
    Block,
    PredictOptions,
    Row,
    Score,
    about,
    prediction_row,
    score,
    weighted_mean,
)
from emocli.pipeline.voice import NO_SPEECH

AHEAD_SECONDS = 1200.0
"""Seconds of audio that may wait for a model: 77 MB at 16 kHz."""

POOL_WINDOWS = 64
POOL_SECONDS = 480.0
"""Windows that a model is given at once where no batch size is set, for it to arrange in batches
of like length: 64 short utterances, or 40 windows of 12 s, 31 MB at 16 kHz. A model that says
``pool_seconds`` is given less, for what it has not finished is lost when a run is killed."""


@dataclass(frozen=True)
class Window:
    """A stretch of a recording as a model hears it.

    Attributes:
        start: seconds in the recording.
        end: seconds in the recording.
        samples: waveform of shape (n_samples,).
        note: doubts about this stretch.
        soundless: there is nothing to hear in it, as far as that was looked for.
    """

    start: float
    end: float
    samples: NDArray[np.float32]
    note: str = ""
    soundless: bool = False

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Heard:
    """The end of an utterance: all its windows have come, or an error instead of the rest.

    Attributes:
        utterance: which one.
        start: seconds at which it starts.
        end: seconds at which it ends, as measured.
        note: doubts about it as a whole.
        error: why it cannot be used.
        soundless: there is nothing to hear in it.
    """

    utterance: Utterance
    start: float = math.nan
    end: float = math.nan
    note: str = ""
    error: str = ""
    soundless: bool = False


@dataclass
class _Collected:
    """Windows of one utterance with one model's scores, as far as they have come."""

    windows: list[Window] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)

    def add(self, window: Window, found: Score, remark: str) -> None:
        # Without its samples, or the windows of a long recording would stay in memory.
        note = join_remarks(window.note, remark)
        empty = np.empty(0, dtype=np.float32)
        self.windows.append(replace(window, samples=empty, note=note))
        self.scores.append(found)


def speech_blocks(
    chunks: Sequence[Sequence[Utterance]],
    recognizers: Sequence[Recognizer],
    options: PredictOptions,
    tally: Tally,
) -> Iterator[Block]:
    """Rows of speech models, in the order of the utterances and, for each, of the models.

    A recording is decoded once for all models. Without ``options.windows`` its row has the mean
    of its windows' posteriors (or dimensions), weighted by their durations.

    Args:
        chunks: what gets a row; only utterances of one chunk share batches.
        recognizers: speech models, at least one.
        options: windows and batches.
        tally: told of every utterance; reports whenever a batch is done.

    Yields:
        Utterances and their rows with the columns of the table. An utterance that cannot be used
        has one row with an ``error`` for each model and no prediction.

    Raises:
        AudioError: window or hop are out of their ranges.
    """
    cuts = [one.card.cut_seconds if options.may_cut else 0.0 for one in recognizers]
    if len(set(cuts)) > 1:
        yield from _blocks_by_cut(chunks, recognizers, cuts, options, tally)
        return
    is_light = all(one.one_core for one in recognizers)
    if options.n_processes == 1 or not is_light or options.voice or len(chunks) <= 1:
        yield from _blocks_here(chunks, recognizers, options, tally)
        return
    # Without threads, which would wait for one another; the other processes read meanwhile.
    alone = replace(options, n_threads=0)

    def work(chunk: Sequence[Utterance]) -> Iterator[tuple[list[list[Row]], Progress]]:
        own, before = Tally(len(chunk), None), Progress()
        for block in _blocks_here([chunk], recognizers, alone, own):
            now = own.progress
            yield [rows for _, rows in block], now.since(before)
            before = now

    left = chain.from_iterable(chunks)
    for found, progress in run_in_processes(chunks, work, options.n_processes):
        tally.add(progress)
        yield [(next(left), rows) for rows in found]
        tally.report()


def _blocks_by_cut(
    chunks: Sequence[Sequence[Utterance]],
    recognizers: Sequence[Recognizer],
    cuts: Sequence[float],
    options: PredictOptions,
    tally: Tally,
) -> Iterator[Block]:
    """Rows of models that do not hear the same of a recording, which is decoded for each cut."""
    groups = {cut: [i for i, own in enumerate(cuts) if own == cut] for cut in cuts}
    for chunk in chunks:
        by_model: dict[int, list[Row]] = {}
        for number, members in enumerate(groups.values()):
            own = tally if number == 0 else Tally(len(chunk), None)
            group = [recognizers[i] for i in members]
            rows = [rows for block in speech_blocks([chunk], group, options, own)
                    for _, rows in block]  # fmt: skip
            for place, i in enumerate(members):
                by_model[i] = [each[place] for each in rows]
        ordered = [by_model[i] for i in range(len(recognizers))]
        yield [(one, list(each)) for one, *each in zip(chunk, *ordered, strict=True)]


def _blocks_here(
    chunks: Sequence[Sequence[Utterance]],
    recognizers: Sequence[Recognizer],
    options: PredictOptions,
    tally: Tally,
) -> Iterator[Block]:
    """Rows that are made in this process, from recordings decoded ahead in threads.

    Raises:
        AudioError: window or hop are out of their ranges.
    """
    rate = max(one.card.sampling_rate for one in recognizers)
    plan = _plan(recognizers, rate, options)
    cut_seconds = recognizers[0].card.cut_seconds if options.may_cut else 0.0
    cards = [one.card for one in recognizers]
    collected = [_Collected() for _ in cards]
    events = _listen(chunks, rate, plan, options, tally, cut_seconds)
    block: Block = []
    pool_seconds = min(POOL_SECONDS, *(one.pool_seconds for one in recognizers))
    sizes = [len(chunk) for chunk in chunks]
    for pool in _pools(events, sizes, options.batch_size, pool_seconds):
        windows = [event for event in pool if isinstance(event, Window)]
        scores = [_score(one, windows, rate, options.batch_size) for one in recognizers]
        for event in pool:
            if isinstance(event, Window):
                for part, found in zip(collected, scores, strict=True):
                    part.add(event, *next(found))
                tally.heard(min(event.seconds, plan.hop_samples / rate))
                continue
            if options.voice and not event.error:
                options.voice.count(
                    event.utterance.file,
                    event.end - event.start,
                    [(window.start, window.end) for window in collected[0].windows],
                )
            rows = [
                row
                for card, part in zip(cards, collected, strict=True)
                for row in _rows(event, part, card, options.windows)
            ]
            collected = [_Collected() for _ in cards]
            tally.finished(failed=any(row["error"] for row in rows))
            block.append((event.utterance, rows))
        tally.report()
        if isinstance(pool[-1], Heard):
            yield block
            block = []


def _plan(recognizers: Sequence[Recognizer], rate: int, options: PredictOptions) -> WindowPlan:
    """Windows that are no longer than what every model hears, unless recordings are heard whole.

    Raises:
        AudioError: window or hop are out of their ranges.
    """
    wished, hop = options.window_seconds, options.hop_seconds
    if wished is None:
        wished = WINDOW_SECONDS
    limits = [one.max_seconds for one in recognizers if one.max_seconds > 0]
    window = WHOLE_SECONDS if options.hears_whole else min([wished, *limits])
    return plan_windows(
        rate,
        window_seconds=window,
        hop_seconds=hop if hop is None or hop > wished else min(hop, window),
        min_seconds=max(MIN_TAIL_SECONDS, *(one.card.min_seconds for one in recognizers)),
    )


def _listen(
    chunks: Sequence[Sequence[Utterance]],
    rate: int,
    plan: WindowPlan,
    options: PredictOptions,
    tally: Tally,
    cut_seconds: float,
) -> Iterator[Window | Heard]:
    """The windows of each utterance and then its end, decoded ahead."""
    detector = options.voice.detector if options.voice else None

    def hear(job: tuple[int, Utterance]) -> Iterator[Window | Heard]:
        index, utterance = job
        stream = utterance.stream(rate)
        try:
            for number, window in enumerate(
                hear_windows(
                    stream,
                    rate,
                    plan,
                    judge=options.windows,
                    detector=detector,
                    cut_seconds=cut_seconds,
                )
            ):
                tally.expect(index, stream.expected_seconds)
                if options.hears_whole and number:
                    raise AudioError(
                        f"{utterance.file}: longer than the {WHOLE_SECONDS:g} s that are heard "
                        f"whole. Give --window in seconds, or name parts of it in a manifest."
                    )
                yield window
        except EmocliError as error:
            yield Heard(utterance, error=str(error))
            return
        end = stream.start + stream.duration
        yield Heard(
            utterance,
            stream.start,
            end,
            join_remarks(*stream.remarks),
            soundless=stream.level.is_soundless,
        )

    return run_ahead(
        enumerate(chain.from_iterable(chunks)),
        hear,
        cost=lambda event: event.seconds if isinstance(event, Window) else 0.0,
        budget=AHEAD_SECONDS,
        n_threads=max((threads_for(one, options.n_threads) for one in chunks), default=0),
    )


def hear_windows(
    stream: WaveformStream,
    rate: int,
    plan: WindowPlan,
    *,
    judge: bool = False,
    detector: Detector | None = None,
    cut_seconds: float = 0.0,
) -> Iterator[Window]:
    """Windows of a recording as it is decoded.

    Args:
        stream: the recording, not yet read.
        rate: Hz of the stream.
        plan: lengths of windows.
        judge: look for doubts about each window, and whether there is anything to hear in it.
        detector: finds speech, and then windows lie there only.
        cut_seconds: one window of so much of the beginning instead; 0 for all of the recording.

    Raises:
        AudioError: the recording cannot be used.
    """
    if cut_seconds:
        yield _beginning(stream, rate, cut_seconds)
        return
    cut = cut_speech(stream, plan, rate, detector) if detector else cut_stream(stream, plan)
    for first, samples in cut:
        start = stream.start + first / rate
        level = Level.of(samples) if judge else Level()
        note = join_remarks(*quality_remarks(level))
        yield Window(start, start + len(samples) / rate, samples, note, level.is_soundless)


def _beginning(stream: WaveformStream, rate: int, cut_seconds: float) -> Window:
    """The beginning of a recording, which is read to its end all the same."""
    left, kept, is_cut = round(cut_seconds * rate), [], False
    for block in stream:
        is_cut = is_cut or len(block) > left
        kept.append(block[:left])
        left -= len(kept[-1])
    samples = np.concatenate(kept)
    note = f"only the first {cut_seconds:g} s were heard" if is_cut else ""
    return Window(stream.start, stream.start + len(samples) / rate, samples, note)


def _pools(
    events: Iterable[Window | Heard],
    sizes: Sequence[int],
    batch_size: int | None,
    pool_seconds: float,
) -> Iterator[list[Window | Heard]]:
    """Events gathered until their windows are enough to give to a model at once.

    A pool ends with an utterance, at the latest with the last one of a chunk. Only an utterance
    that is too long for that is parted, and then a pool ends where it ends, so that what follows
    is pooled in the same way wherever a run begins.

    Args:
        events: windows of utterances, each followed by its end.
        sizes: utterances in each chunk.
        batch_size: most windows that a model is given at once; None leaves it to the model.
        pool_seconds: of windows that are enough.
    """
    # Several batches, so that there is something to choose from for like lengths.
    most = max(POOL_WINDOWS, batch_size or 0)
    pool: list[Window | Heard] = []
    n_windows, seconds, parted = 0, 0.0, False
    chunk_ends = set(accumulate(sizes))
    n_heard = 0
    for event in events:
        pool.append(event)
        if isinstance(event, Window):
            n_windows, seconds = n_windows + 1, seconds + event.seconds
            ends = n_windows >= 2 * most or seconds >= 2 * pool_seconds
            parted = parted or ends
        else:
            n_heard += 1
            full = n_windows >= most or seconds >= pool_seconds
            ends = full or parted or n_heard in chunk_ends
            parted = False
        if ends:
            yield pool
            pool, n_windows, seconds = [], 0, 0.0


def _score(
    recognizer: Recognizer, windows: Sequence[Window], rate: int, batch_size: int | None
) -> Iterator[tuple[Score, str]]:
    """Scores of windows, and what the model remarks on each.

    The model gets them at its own rate and not below its shortest length.
    """
    card = recognizer.card
    shortest = math.ceil(card.min_seconds * card.sampling_rate)
    waveforms = [resample(window.samples, rate, card.sampling_rate) for window in windows]
    padded = [
        np.pad(waveform, (0, shortest - len(waveform))) if len(waveform) < shortest else waveform
        for waveform in waveforms
    ]
    found = score(recognizer, padded, batch_size)
    return zip(found, recognizer.remarks(waveforms) if waveforms else [], strict=True)


def _rows(heard: Heard, part: _Collected, card: ModelCard, by_window: bool) -> Iterator[Row]:
    """The rows of an utterance by one model."""
    utterance = heard.utterance
    if heard.error:
        yield prediction_row(utterance, card, heard.error, start=utterance.start, end=utterance.end)
    elif not part.windows:
        yield prediction_row(
            utterance,
            card,
            None,
            start=heard.start if utterance.start is None else utterance.start,
            end=heard.end if utterance.end is None else utterance.end,
            notes=(heard.note, NO_SPEECH),
        )
    elif by_window:
        for window, found in zip(part.windows, part.scores, strict=True):
            yield prediction_row(
                utterance,
                card,
                about(utterance, found),
                start=window.start,
                end=window.end,
                notes=(window.note, _too_short(window.seconds, card)),
                soundless=window.soundless,
            )
    else:
        weights = [window.seconds for window in part.windows]
        # What a manifest calls the segment stays its name, to a millisecond.
        yield prediction_row(
            utterance,
            card,
            about(utterance, weighted_mean(part.scores, weights)),
            start=heard.start if utterance.start is None else utterance.start,
            end=heard.end if utterance.end is None else utterance.end,
            notes=(
                heard.note,
                _too_short(heard.end - heard.start, card),
                *(window.note for window in part.windows),
            ),
            soundless=heard.soundless,
        )


def _too_short(seconds: float, card: ModelCard) -> str:
    """A remark on a recording that was padded to what the model takes."""
    if seconds >= card.min_seconds:
        return ""
    return f"too short ({seconds:.2f} s, padded to {card.min_seconds:g} s)"
