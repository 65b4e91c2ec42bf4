"""Features of recordings and texts by a frozen encoder, computed once and kept on disk.

Recordings are decoded ahead in threads and go through the encoder together with others of like
length. What is on disk already is not decoded, so an extraction that was stopped at any moment
goes on where it was.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emocli.audio.decode import DEFAULT_SELECTION, WaveformStream
from emocli.audio.quality import join_remarks
from emocli.encoder_identity import EncoderIdentity
from emocli.errors import AudioError, EmocliError, ModelError
from emocli.models.encoders import Encoder
from emocli.pipeline.ahead import run_ahead
from emocli.pipeline.inputs import Utterance, threads_for
from emocli.pipeline.progress import ProgressCallback, Tally
from emocli.pipeline.texts import read_text
from emocli.training.sequences import (
    SequenceFolder,
    SequenceStore,
    Stored,
    recording_key,
    text_key,
)

AHEAD_SECONDS = 600.0
"""Seconds of audio that may wait for the encoder: 38 MB at 16 kHz."""
POOL_SECONDS = 240.0
POOL_UTTERANCES = 64
"""Utterances that an encoder is given at once, to arrange in batches of like length."""
POOL_TEXTS = 256


@dataclass(frozen=True)
class _Event:
    """What came of one utterance before the encoder.

    Attributes:
        index: which one.
        key: of its features; empty if it could not be read.
        input: waveform or text; None where the features are there or there is an error.
        stored: features that are there.
        seconds: of audio.
        note: doubts about the recording.
        error: why it cannot be used.
    """

    index: int
    key: str = ""
    input: Any = None
    stored: Stored | None = None
    seconds: float = 0.0
    note: str = ""
    error: str = ""


class Place(Protocol):
    """Where features go, such as a `SequenceFolder`."""

    def find(self, key: str) -> Stored | None:
        """What is there for a key; None if nothing is."""
        ...

    def fault(self, frames: NDArray[np.float32]) -> str:
        """Why frames cannot be kept; empty if they can."""
        ...

    def write(self, key: str, frames: NDArray[np.float32], note: str = "") -> Stored:
        """Keep the features of a key."""
        ...


@dataclass(frozen=True)
class Extraction:
    """What an extraction came to, utterance by utterance.

    Attributes:
        keys: of the features in their place; empty where there are none.
        lengths: frames, shape (n_utterances,); 0 where there are none.
        errors: why an utterance has none, by its index.
        notes: doubts about a recording, and what the encoder did not take in, by its index.
    """

    keys: list[str]
    lengths: NDArray[np.intp]
    errors: dict[int, str] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)

    def store(self, folder: SequenceFolder) -> SequenceStore:
        """The sequences in the folder that they went to."""
        return SequenceStore(folder, self.keys, self.lengths, self.errors, self.notes)


def feature_folder(root: Path, identity: EncoderIdentity, dtype: str = "fp32") -> Path:
    """The folder of an encoder below a cache that several share."""
    readable = re.sub(r"[^\w.-]+", "-", identity.name)
    return root / f"{readable}-{identity.layer}-{dtype}-{identity.key[:12]}"


def extract_recordings(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    folder: Path,
    *,
    dtype: str = "fp32",
    n_threads: int = 2,
    progress: ProgressCallback | None = None,
) -> SequenceStore:
    """Features of recordings or segments of them, from the folder or computed and put there.

    Args:
        utterances: whose recordings to read.
        encoder: of recordings.
        folder: for this encoder alone; `feature_folder` gives one below a shared cache.
        dtype: ``fp32`` or ``fp16``, of the files; fp16 takes half the space and is off by 0.05 %
            of a value at most.
        n_threads: recordings that are decoded at a time.
        progress: called with how far the run has come whenever a batch is done.

    Returns:
        A store whose places are those of the utterances. One that cannot be used has an entry in
        ``errors`` and costs no other its features.

    Raises:
        FeatureError: the folder holds features of another encoder, or cannot be written.
        ModelError: the encoder reads texts.
    """
    if encoder.identity.modality == "text":
        raise ModelError(
            f"{encoder.identity.name} reads texts, expected an encoder of recordings. "
            f"Choose another one."
        )
    place = SequenceFolder(folder, encoder.identity, dtype)
    return extract(utterances, encoder, place, n_threads=n_threads, progress=progress).store(place)


def extract_texts(
    texts: Sequence[str],
    encoder: Encoder,
    folder: Path,
    *,
    dtype: str = "fp32",
    progress: ProgressCallback | None = None,
) -> SequenceStore:
    """Features of texts, from the folder or computed and put there.

    Args:
        texts: what to read; an empty one has frames too, those of the tokens at its ends.
        encoder: of texts.
        folder: for this encoder alone; `feature_folder` gives one below a shared cache.
        dtype: ``fp32`` or ``fp16``, of the files.
        progress: called with how far the run has come whenever a batch is done.

    Returns:
        A store whose places are those of the texts. ``notes`` tells which were cut.

    Raises:
        FeatureError: the folder holds features of another encoder, or cannot be written.
        ModelError: the encoder hears recordings.
    """
    if encoder.identity.modality != "text":
        raise ModelError(
            f"{encoder.identity.name} hears recordings, expected an encoder of texts. "
            f"Choose another one."
        )
    place = SequenceFolder(folder, encoder.identity, dtype)
    events = (_text_event(index, text, place) for index, text in enumerate(texts))
    tally = Tally(len(texts), progress)
    return _gather(_pools(events, POOL_TEXTS), encoder, place, len(texts), tally).store(place)


def extract(
    utterances: Sequence[Utterance],
    encoder: Encoder,
    place: Place,
    *,
    n_threads: int = 2,
    progress: ProgressCallback | None = None,
) -> Extraction:
    """Features of utterances, or of their transcripts if the encoder reads texts.

    Transcripts are found as `emocli.pipeline.texts.read_text` finds them.

    Args:
        utterances: what to encode.
        encoder: of recordings or texts.
        place: where the features go.
        n_threads: recordings that are decoded at a time.
        progress: called with how far the run has come whenever a batch is done.

    Raises:
        FeatureError: the place cannot be written.
    """
    tally = Tally(len(utterances), progress)
    if encoder.identity.modality == "text":
        read = map(_reading(place), enumerate(utterances))
        return _gather(_pools(read, POOL_TEXTS), encoder, place, len(utterances), tally)

    def hear(job: tuple[int, Utterance]) -> Iterator[_Event]:
        index, utterance = job
        try:
            yield _hear(index, utterance, place, encoder, tally)
        except EmocliError as error:
            yield _Event(index, error=str(error))

    heard = run_ahead(
        enumerate(utterances),
        hear,
        cost=lambda event: event.seconds,
        budget=AHEAD_SECONDS,
        n_threads=threads_for(utterances, n_threads),
    )
    return _gather(_pools(heard, POOL_UTTERANCES), encoder, place, len(utterances), tally)


def _reading(place: Place) -> Callable[[tuple[int, Utterance]], _Event]:
    def read(job: tuple[int, Utterance]) -> _Event:
        index, utterance = job
        found = read_text(utterance)
        if found.error:
            return _Event(index, error=found.error)
        return _text_event(index, found.text, place)

    return read


def _text_event(index: int, text: str, place: Place) -> _Event:
    key = text_key(text)
    stored = place.find(key)
    return _Event(index, key, None if stored else text, stored)


def _hear(index: int, utterance: Utterance, place: Place, encoder: Encoder, tally: Tally) -> _Event:
    """An utterance, decoded if its features are not there."""
    if utterance.error:
        return _Event(index, error=utterance.error)
    try:
        key = _key_of(utterance)
    except OSError:
        key = ""  # decoding says better what is wrong
    stored = place.find(key) if key else None
    if stored:
        return _Event(index, key, stored=stored)
    stream = utterance.stream(encoder.identity.sampling_rate)
    waveform = _whole(stream, encoder)
    tally.expect(index, stream.duration)
    key = key or _key_of(utterance)
    note = join_remarks(*stream.remarks)
    return _Event(index, key, waveform, seconds=stream.duration, note=note)


def _key_of(utterance: Utterance) -> str:
    chosen = utterance.selection
    part = "" if chosen == DEFAULT_SELECTION else f"{chosen.channel} {chosen.track}"
    return recording_key(utterance.path, utterance.start, utterance.end, part=part)


def _whole(stream: WaveformStream, encoder: Encoder) -> NDArray[np.float32]:
    """The waveform of a recording that is not too long.

    Raises:
        AudioError: it cannot be read, or is longer than the encoder takes.
    """
    blocks = []
    for block in stream:
        blocks.append(block)
        if 0 < encoder.max_seconds < stream.duration:
            raise AudioError(
                f"{stream.name}: longer than the {encoder.max_seconds:g} s that "
                f"{encoder.identity.name} takes at once. Name parts of it with start and end in "
                f"a manifest."
            )
    return np.concatenate(blocks)


def _pools(events: Iterable[_Event], size: int) -> Iterator[list[_Event]]:
    """Events gathered until they are enough to give to an encoder at once."""
    pool: list[_Event] = []
    n_inputs, seconds = 0, 0.0
    for event in events:
        pool.append(event)
        n_inputs += event.input is not None
        seconds += event.seconds
        if n_inputs >= size or seconds >= POOL_SECONDS or len(pool) >= 16 * size:
            yield pool
            pool, n_inputs, seconds = [], 0, 0.0
    if pool:
        yield pool


def _gather(
    pools: Iterable[list[_Event]], encoder: Encoder, place: Place, n: int, tally: Tally
) -> Extraction:
    """Encode what is not there, write it, and say what there is for each utterance."""
    result = Extraction([""] * n, np.zeros(n, np.intp))
    for pool in pools:
        done = _encode_pool(pool, encoder, place)
        for event in pool:
            found = event.stored or done.get(event.key) or event.error
            if isinstance(found, Stored):
                result.keys[event.index] = event.key
                result.lengths[event.index] = found.n_frames
                if found.note:
                    result.notes[event.index] = found.note
            else:
                result.errors[event.index] = found
            tally.heard(event.seconds)
            tally.finished(failed=event.index in result.errors)
        tally.report()
    return result


def _encode_pool(pool: Sequence[_Event], encoder: Encoder, place: Place) -> dict[str, Stored | str]:
    """What came of each key of a pool: features on disk, or why there are none."""
    events = {event.key: event for event in pool if event.input is not None}
    batch = [event.input for event in events.values()]
    try:
        frames: list[NDArray[np.float32] | str] = [*encoder.encode(batch)] if batch else []
    except ModelError:  # memory that ran out with all of them may do for one
        frames = [_encode_alone(one, encoder) for one in batch]
    remarks = encoder.remarks(batch) if batch else []
    return {
        event.key: found
        if isinstance(found, str)
        else _write(place, event.key, found, join_remarks(event.note, remark))
        for event, found, remark in zip(events.values(), frames, remarks, strict=True)
    }


def _encode_alone(one: Any, encoder: Encoder) -> NDArray[np.float32] | str:
    """Frames of an utterance, or why there are none."""
    try:
        return encoder.encode([one])[0]
    except ModelError as error:
        return str(error)


def _write(place: Place, key: str, frames: NDArray[np.float32], note: str) -> Stored | str:
    """Features on disk, or what is wrong with them."""
    fault = place.fault(frames)
    return fault or place.write(key, frames, note)
