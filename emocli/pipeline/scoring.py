"""What speech and text models have in common: options, scoring with a fallback, and rows."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from emocli import posteriors
from emocli.audio.quality import join_remarks
from emocli.calibration.abstention import NO_LABEL
from emocli.calibration.uncertainty import uncertainty
from emocli.errors import EmocliError
from emocli.models.protocol import ModelCard, Recognizer
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.processes import count_decoders
from emocli.pipeline.voice import VoiceActivity
from emocli.table import PROBABILITY_PREFIX, SIGMOID_PREFIX, PredictionTable

Row = dict[str, Any]

Block = list[tuple[Utterance, list[Row]]]
"""Utterances with their rows, after which a run can be left and taken up again: what comes next is
the same to the last digit, for models are never given windows of two blocks at once."""

CHUNK = 64
"""Utterances that may share a batch, those of a chunk and no others.

Sums differ in their last digits by what else is in a batch. Batches that do not reach beyond a
chunk are the same however many processes share the chunks, and wherever a run was interrupted.
"""

NOTHING_HEARD = "nothing to hear"
ALL_EQUAL = "all labels are equally likely"

WINDOW_SECONDS = 12.0
"""Longest stretch of a recording that goes through a model unless the user says otherwise."""
WHOLE_SECONDS = 120.0
"""Longest recording that is heard whole; WavLM large takes 2.3 GB for the attention of a layer."""

PIECE_ROWS = 8192
"""Utterances or rows of a long table that are in memory while it is written."""

Item = TypeVar("Item")
Score = NDArray[np.float64] | str
"""Posterior, sigmoids of a multi-label model, or dimensions of one utterance, shape (n_outputs,),
or why there is none.

Of a model that answers several times, shape (n_draws, n_outputs).
"""


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Attributes:
        windows: one row for each window instead of one for each utterance.
        window_seconds: longest stretch that goes through a model; infinite for whole recordings, up
            to `WHOLE_SECONDS`; None for `WINDOW_SECONDS`, or what a model's authors hear.
        hop_seconds: from the start of one window to the next; the window by default.
        batch_size: most utterances or windows that a model is given at once; None leaves it to
            the model.
        n_threads: recordings decoded at a time; 0 decodes each when it is needed.
        n_processes: processes that share many recordings where the model is small; forked, so
            only for programs that have no threads of their own.
        voice: finds speech, and then only speech is heard; None hears everything.
    """

    windows: bool = False
    window_seconds: float | None = None
    hop_seconds: float | None = None
    batch_size: int | None = None
    n_threads: int = field(default_factory=count_decoders)
    n_processes: int = 1
    voice: VoiceActivity | None = None

    @property
    def hears_whole(self) -> bool:
        """Whether recordings are not cut into windows."""
        return self.window_seconds == math.inf

    @property
    def may_cut(self) -> bool:
        """Whether a model's own cut holds, as nothing is said of windows."""
        return self.window_seconds is self.hop_seconds is self.voice is None and not self.windows


DEFAULT_OPTIONS = PredictOptions()


def in_chunks(utterances: Sequence[Utterance]) -> list[Sequence[Utterance]]:
    """Utterances in chunks of at most `CHUNK`."""
    return [utterances[first : first + CHUNK] for first in range(0, len(utterances), CHUNK)]


def in_pieces(
    items: Iterable[Item], table_of: Callable[[Iterable[Item]], PredictionTable]
) -> Iterator[PredictionTable]:
    """A long table in pieces, for items whose rows depend on no other item.

    Args:
        items: rows, or what has rows.
        table_of: makes a table of some of them.
    """
    left = iter(items)
    while len(table := table_of(islice(left, PIECE_ROWS))):
        yield table


def score(
    recognizer: Recognizer, contents: Sequence[Any], batch_size: int | None = None
) -> list[Score]:
    """Posteriors, or dimensions, of utterances; one that the model refuses costs no other.

    Args:
        recognizer: the model.
        contents: waveforms of shape (n_samples,), or texts.
        batch_size: most of them at once, those of like length together; None leaves it to the
            model.

    Returns:
        One score for each utterance, in their order.
    """
    order = np.argsort([len(content) for content in contents], kind="stable")
    size = batch_size or max(1, len(contents))
    scores: list[Score] = [""] * len(contents)
    for first in range(0, len(contents), size):
        batch = order[first : first + size]
        found = _score_batch(recognizer, [contents[index] for index in batch])
        for index, one in zip(batch, found, strict=True):
            scores[index] = one
    return scores


def _score_batch(recognizer: Recognizer, contents: Sequence[Any]) -> list[Score]:
    """Scores of a batch; if it fails, of each utterance alone."""
    try:
        outputs = recognizer.logits(contents)
    except EmocliError as error:
        if len(contents) == 1:
            return [str(error)]
        return [_score_batch(recognizer, [content])[0] for content in contents]
    return _scores(np.asarray(outputs, dtype=np.float64), recognizer.card)


def _scores(outputs: NDArray[np.float64], card: ModelCard) -> list[Score]:
    """Scores of a model's outputs, shape (n_utterances, ..., n_outputs)."""
    finite = np.asarray(np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1))
    values = np.where(finite.reshape(-1, *[1] * (outputs.ndim - 1)), outputs, 0.0)
    if card.labels:
        make = posteriors.sigmoid if card.multi_label else posteriors.softmax
        values = make(values)
    broken = (
        f"{card.identifier} gave scores that are not numbers, expected finite ones. "
        f"Try --dtype fp32."
    )
    return [value if good else broken for value, good in zip(values, finite, strict=True)]


def weighted_mean(scores: Sequence[Score], weights: Sequence[float]) -> Score:
    """The mean of scores, or the first reason why one is missing.

    Args:
        scores: at least one.
        weights: such as durations in seconds, each above 0.
    """
    for one in scores:
        if isinstance(one, str):
            return one
    return np.average(np.stack([np.asarray(one) for one in scores]), axis=0, weights=weights)


def about(utterance: Utterance, found: Score) -> Score:
    """A score as it is; the reason why there is none, with the file in front."""
    return f"{utterance.file}: {found}" if isinstance(found, str) else found


def prediction_row(
    utterance: Utterance,
    card: ModelCard,
    found: Score | None,
    *,
    start: float | None,
    end: float | None,
    notes: Sequence[str] = (),
    soundless: bool = False,
) -> Row:
    """A row of the table.

    Args:
        utterance: what the row is about.
        card: the model that the row is by.
        found: its score, why there is none, or None for no prediction and no error.
        start: seconds.
        end: seconds.
        notes: doubts, after those that the utterance came with.
        soundless: there was nothing to hear, so the row gets no label whatever the model gives.
    """
    given = not (found is None or isinstance(found, str))
    values = np.asarray(found) if given else np.full(len(card.outputs), math.nan)
    no_label = ""
    if card.labels:
        no_label, outputs = _emotions(values, card, soundless=soundless)
    else:
        outputs = dict(zip(card.dimensions, values.tolist(), strict=True))
    return {
        "file": utterance.file,
        "start": _rounded(start),
        "end": _rounded(end),
        "model": card.identifier,
        **outputs,
        "note": join_remarks(utterance.note, *notes, no_label),
        "error": found if isinstance(found, str) else "",
        **utterance.carried,
    }


def _rounded(seconds: float | None) -> float:
    return math.nan if seconds is None else round(seconds, 3)


def _emotions(values: NDArray[np.float64], card: ModelCard, *, soundless: bool) -> tuple[str, Row]:
    """Why there is no label, and label and posterior; the table adds what follows from these."""
    labels = card.labels
    doubts: Row = {}
    sigmoids: Row = {}
    probs = values
    if card.multi_label:
        alone = values.reshape(-1, len(labels)).mean(axis=0).tolist()
        sigmoids = {SIGMOID_PREFIX + name: p for name, p in zip(labels, alone, strict=True)}
        probs = posteriors.shares(values)
    if probs.ndim > 1:
        parts = uncertainty(probs[:, np.newaxis])
        doubts = {
            "expected_entropy": float(parts.expected[0]),
            "mutual_information": float(parts.mutual_information[0]),
        }
        probs = probs.mean(axis=0)
    best = int(posteriors.top(probs))
    no_label = ""
    if best >= 0 and (soundless or posteriors.undecided(probs)):
        no_label = NO_LABEL + (NOTHING_HEARD if soundless else ALL_EQUAL)
    return no_label, {
        "label": labels[best] if best >= 0 and not no_label else "",
        **{PROBABILITY_PREFIX + name: float(p) for name, p in zip(labels, probs, strict=True)},
        **sigmoids,
        **doubts,
    }
