"""Emotions of recordings together with what is said in them, by models that take both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emocli.audio.quality import join_remarks
from emocli.errors import AudioError, EmocliError, ModelError
from emocli.models.protocol import Recognizer
from emocli.pipeline.ahead import run_ahead
from emocli.pipeline.inputs import Utterance, threads_for
from emocli.pipeline.progress import Tally
from emocli.pipeline.scoring import (
    Block,
    PredictOptions,
    Row,
    about,
    prediction_row,
    score,
)
from emocli.pipeline.texts import Read, read_text

WORDLESS = "without words"
"""Unlike the rows of text models with "no words", such rows have a prediction, by the voice."""
AHEAD_SECONDS = 600.0
"""Seconds of audio that may wait for a model: 38 MB at 16 kHz."""


@dataclass(frozen=True)
class Heard:
    """A recording as a whole with its text.

    Attributes:
        read: the utterance and its text, or the reason why it has none.
        waveform: shape (n_samples,); empty where the recording cannot be used.
        start: seconds at which it starts; None where it is not known.
        end: seconds at which it ends; None where it is not known.
        note: doubts about the recording.
        error: why the recording cannot be used.
        soundless: there is nothing to hear in it.
    """

    read: Read
    waveform: NDArray[np.float32]
    start: float | None = None
    end: float | None = None
    note: str = ""
    error: str = ""
    soundless: bool = False

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end or 0.0) - (self.start or 0.0)


def multimodal_blocks(
    chunks: Sequence[Sequence[Utterance]],
    recognizers: Sequence[Recognizer],
    options: PredictOptions,
    tally: Tally,
) -> Iterator[Block]:
    """Rows of multimodal models, in the order of the utterances and, for each, of the models.

    A recording is heard as a whole. Its text is that of the column ``text``, else of ``name.txt``
    beside ``name.wav``; an utterance without any has an error, unless the model needs none.

    Args:
        chunks: what gets a row; a model is given a chunk at once.
        recognizers: multimodal models, at least one.
        options: the batch size.
        tally: told of every utterance; reports whenever a chunk is done.

    Yields:
        Utterances and their rows with the columns of the table, ``text`` among them.

    Raises:
        ModelError: windows or speech alone are asked for.
    """
    if options.windows or options.voice:
        raise ModelError(
            f"{recognizers[0].card.identifier} takes a recording with its text as a whole, "
            f"expected neither windows nor voice activity. Leave out "
            f"{'--windows and --segments' if options.windows else '--vad'}."
        )
    limits = [one.max_seconds for one in recognizers]
    limit = min((own for own in limits if own > 0), default=0.0)
    rate = recognizers[0].card.sampling_rate
    for chunk in chunks:
        heard = list(_listen(chunk, rate, limit, options.n_threads))
        by_model = [_rows(heard, one, options.batch_size) for one in recognizers]
        rows = [list(each) for each in zip(*by_model, strict=True)]
        for each, one in zip(rows, heard, strict=True):
            tally.heard(one.seconds)
            tally.finished(failed=any(row["error"] for row in each))
        yield list(zip(chunk, rows, strict=True))
        tally.report()


def _listen(chunk: Sequence[Utterance], rate: int, limit: float, n_threads: int) -> Iterator[Heard]:
    """Recordings with their texts, decoded ahead."""

    def hear(utterance: Utterance) -> Iterator[Heard]:
        read = read_text(utterance)
        try:
            yield _hear(read, utterance, rate, limit)
        except EmocliError as error:
            nothing = np.empty(0, dtype=np.float32)
            yield Heard(read, nothing, utterance.start, utterance.end, error=str(error))

    return run_ahead(
        chunk,
        hear,
        cost=lambda one: one.seconds,
        budget=AHEAD_SECONDS,
        n_threads=threads_for(chunk, n_threads),
    )


def _hear(read: Read, utterance: Utterance, rate: int, limit: float) -> Heard:
    """A recording as a whole.

    Raises:
        AudioError: it cannot be used, or is longer than the model takes.
    """
    stream = utterance.stream(rate)
    blocks = []
    for block in stream:
        blocks.append(block)
        if 0 < limit < stream.duration:
            raise AudioError(
                f"{utterance.file}: longer than the {limit:g} s that the model's encoders take at "
                f"once. Name parts of it with start and end in a manifest."
            )
    start = stream.start if utterance.start is None else utterance.start
    end = stream.start + stream.duration if utterance.end is None else utterance.end
    return Heard(
        read,
        np.concatenate(blocks),
        start,
        end,
        join_remarks(*stream.remarks),
        soundless=stream.level.is_soundless,
    )


def _rows(heard: Sequence[Heard], recognizer: Recognizer, batch_size: int | None) -> list[Row]:
    """A row by one model for each utterance."""
    from emocli.models.cross_modal import Spoken

    card = recognizer.card
    needs_text = recognizer.needs_text
    errors = [one.error or (one.read.error if needs_text else "") for one in heard]
    spoken = [
        Spoken(one.waveform, one.read.text)
        for one, error in zip(heard, errors, strict=True)
        if not error
    ]
    found = iter(score(recognizer, spoken, batch_size) if spoken else [])
    said = iter(recognizer.remarks(spoken) if spoken else [])
    rows = []
    for one, error in zip(heard, errors, strict=True):
        utterance = one.read.utterance
        result = error if error else about(utterance, next(found))
        silent = WORDLESS if needs_text and not error and not one.read.text else ""
        notes = () if error else (one.note, silent, next(said))
        rows.append(
            prediction_row(
                utterance,
                card,
                result,
                start=one.start,
                end=one.end,
                notes=notes,
                soundless=one.soundless and not needs_text,
            )
        )
    return rows
