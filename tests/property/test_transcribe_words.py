"""Words and their times are those of openai-whisper, whatever it hears."""

from contextlib import ExitStack
from itertools import pairwise
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("whisper")
import whisper.timing
import whisper.tokenizer
import whisper_checkpoints
from whisper.timing import WordTiming, add_word_timestamps

from emocli.models.whisper import LEADING_MARKS, TRAILING_MARKS, TokenSegment
from emocli.models.whisper_words import TimedWord, align, share_words, split_words
from emocli.transcript import Segment

END = 1000

marks = st.sampled_from([" ", "", *TRAILING_MARKS, *(f" {mark}" for mark in LEADING_MARKS)])
texts = st.sampled_from([" a", " b", "c", " d "]) | marks
lengths = st.just(10) | st.sampled_from([0, 5, 10, 15, 20, 40, 60, 300])  # of 20 ms
slips = st.sampled_from([-2.0, -0.6, -0.45, 0.0, 0.45, 0.6, 2.0])  # seconds


@st.composite
def windows(draw):
    """Words as texts, numbers of tokens, starts and ends, and segments over their tokens."""
    n_words = draw(st.integers(0, 10))
    n_tokens = [draw(st.integers(1, 2)) for _ in range(n_words)]
    bounds = np.cumsum([draw(lengths) for _ in range(n_words + 1)]) / 50
    words = [
        (draw(texts), n, bounds[at], bounds[at + 1], 0.1 * at) for at, n in enumerate(n_tokens)
    ]
    seek = draw(st.sampled_from([0, 0, 7, 1234]))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, n_words), max_size=3))), n_words]
    segments = []
    for first, last in pairwise(cuts):
        n = sum(n_tokens[first:last])
        start, end = (seek / 100 + bounds[at] + draw(slips) for at in (first, last))
        segments.append((float(start), float(end), list(range(n))))
    last_speech_seconds = seek / 100 - draw(st.sampled_from([0.0, 0.5, 3.0]))
    return words, segments, seek, last_speech_seconds


@settings(max_examples=250)
@given(windows())
def test_segments_get_the_words_of_the_reference(window):
    words, segments, seek, last_speech_seconds = window
    pieces = [
        TokenSegment(Segment(start, end, "", -0.5, 0.1, 1.0, len(tokens)), tokens, seek / 100)
        for start, end, tokens in segments
    ]
    found = share_words(
        pieces,
        [TimedWord(text, n, float(start), float(end), prob) for text, n, start, end, prob in words],
        last_speech_seconds,
    )
    expected = [
        {"seek": seek, "start": start, "end": end, "tokens": [*tokens, END]}
        for start, end, tokens in segments
    ]
    alignment = [
        WordTiming(text, list(range(n)), start, end, prob) for text, n, start, end, prob in words
    ]
    with mock.patch.object(whisper.timing, "find_alignment", return_value=alignment):
        add_word_timestamps(
            segments=expected,
            model=None,
            tokenizer=SimpleNamespace(eot=END),
            mel=None,
            num_frames=3000,
            last_speech_timestamp=last_speech_seconds,
        )
    for own, other in zip(found, expected, strict=True):
        assert (own.start, own.end) == (other["start"], other["end"])
        assert [(one.text, one.start, one.end, one.probability) for one in own.words] == [
            (one["word"], one["start"], one["end"], one["probability"]) for one in other["words"]
        ]


TOKENIZERS = {
    language: whisper.tokenizer.Tokenizer(
        encoding=whisper_checkpoints.vocabulary().encoding,
        num_languages=99,
        language=language,
        task="transcribe",
    )
    for language in ("pl", "zh")
}
END_OF_TEXT = TOKENIZERS["pl"].eot
characters = st.text("aż 。,.!'\"(中文ไทย🙂\u0301", max_size=12)
any_tokens = st.lists(st.integers(0, END_OF_TEXT - 1), max_size=12)


@given(characters.map(TOKENIZERS["pl"].encode) | any_tokens, st.sampled_from(list(TOKENIZERS)))
def test_words_are_split_as_by_the_reference(tokens, language):
    tokenizer = TOKENIZERS[language]
    tokens = [*tokens, END_OF_TEXT]
    found = split_words(tokens, tokenizer.decode_with_timestamps, language, END_OF_TEXT)
    expected = zip(*tokenizer.split_to_word_tokens(tokens), strict=True)
    assert found == [(text, len(part)) for text, part in expected]


@st.composite
def costs(draw):
    """Costs that add up exactly, many of them equal."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 9)))
    cells = st.lists(st.integers(-3, 3), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return np.array(draw(cells), dtype=float).reshape(shape)


@given(costs())
def test_the_path_of_the_reference(cost):
    with ExitStack() as stack:  # compiling takes longer than a few small paths without it
        for name in ("backtrace", "dtw_cpu"):
            plain = getattr(whisper.timing, name).py_func
            stack.enter_context(mock.patch.object(whisper.timing, name, plain))
        tokens, frames = whisper.timing.dtw_cpu(cost)
    first = np.concatenate([[True], np.diff(tokens) > 0])
    assert align(cost).tolist() == frames[first].tolist()
